"""builder/client/push.py: publishing over HTTP, as the publisher's side sees it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from builder import cli
from builder.client import parcel
from builder.client.answers import NotNowError, RefusedError
from builder.client.parcel import ChangedError
from builder.client.push import ATTEMPTS, LONGEST_PAUSE, Patience, push
from builder.client.target import target
from tests.support import receiving
from tests.support.receiving import Play
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from builder.client.parcel import Parcel
    from builder.progress import Advance

TOKEN = "ota_secret"  # noqa: S105 - no real one
DATA = b"#!/bin/sh\nexit 0\n" * 20_000
LARGE = 64 * 1024 * 1024
"""More than what fits into the buffers of two sockets."""


class Pauses:
    """Patience that does not wait and keeps how long it should have; no jitter, and it is 1970."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.patience = Patience(self.seconds.append, lambda: 0.0, lambda: 0.0)


@pytest.fixture
def pauses() -> Pauses:
    """Make a record of pauses."""
    return Pauses()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a package."""
    path = tmp_path / "app.bin"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def sent(file: Path) -> Parcel:
    """Make a parcel of it."""
    return parcel.stated(file, {"package": "app", "version": "1.0", "branch": "main"})


@pytest.fixture
def large(tmp_path: Path) -> Parcel:
    """Make a parcel of a package that is much larger than what may be under way."""
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(LARGE)
    return parcel.stated(path, {"package": "app", "version": "1.0", "branch": "main"})


class Sent:
    """A progress that adds up what it is told."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextlib.contextmanager
    def __call__(self, _label: str, _total: int) -> Iterator[Advance]:
        """Begin."""
        yield self._add

    def _add(self, amount: int) -> None:
        self.bytes += amount


def test_a_release_is_published(sent: Parcel, pauses: Pauses) -> None:
    """One request with the token, content.json first, then the file; the receiver's word is the receipt."""
    progress = Sent()

    with receiving.serving(Play(lies={"new": False})) as server:
        receipt = push(sent, target(server.url, TOKEN), pauses.patience, progress)

    [request] = server.requests
    assert request.line == "PUT /update HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert int(request.headers["content-length"]) == len(request.body)
    assert [(part.name, part.raw) for part in request.parts()] == [
        ("content", sent.content.canonical()),
        ("file", DATA),
    ]
    assert (receipt.is_new, receipt.attempts) == (False, 1)
    assert progress.bytes == len(DATA)
    assert pauses.seconds == []


def test_a_large_file_arrives_as_it_is(large: Parcel, pauses: Pauses) -> None:
    """Also where the server takes it in small pieces."""
    with receiving.serving() as server:
        assert push(large, target(server.url), pauses.patience).attempts == 1

    assert hashlib.sha256(server.requests[0].parts()[1].raw).hexdigest() == large.content.sha256


def test_an_empty_file_is_published(file: Path, pauses: Pauses) -> None:
    """A package without bytes is a package."""
    file.write_bytes(b"")
    empty = parcel.stated(file, {"package": "app", "version": "1.0", "branch": "main"})

    with receiving.serving() as server:
        assert push(empty, target(server.url), pauses.patience).is_new

    assert [part.raw for part in server.requests[0].parts()] == [empty.content.canonical(), b""]


def test_nobody_else_says_who_the_publisher_is(
    sent: Parcel, pauses: Pauses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that a .netrc has for the same host is not sent instead of the token, nor without one."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    with receiving.serving() as server:
        push(sent, target(server.url), pauses.patience)
        push(sent, target(server.url, TOKEN), pauses.patience)

    assert [request.headers.get("authorization") for request in server.requests] == [None, f"Bearer {TOKEN}"]


def test_this_machine_is_reached_without_a_proxy(sent: Parcel, pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token would reach the proxy in the clear, and another machine's loopback after it."""
    with receiving.serving() as proxy, receiving.serving() as server:
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, proxy.url)
        push(sent, target(server.url, TOKEN), pauses.patience)

    assert len(server.requests) == 1
    assert proxy.requests == []


def test_another_machine_is_reached_through_the_proxy(
    sent: Parcel, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all programs here reach it; it is asked for the whole URL."""
    with receiving.serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        push(sent, target("http://mirror.invalid"), pauses.patience)

    assert [request.line.split()[1] for request in proxy.requests] == ["http://mirror.invalid/update"]


def test_a_proxy_that_is_none_is_told(sent: Parcel, pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the environment is no passing trouble."""
    monkeypatch.setenv("https_proxy", "http://")

    with pytest.raises(RefusedError, match="proxy URL"):
        push(sent, target("https://updates.example.org", TOKEN), pauses.patience)

    assert pauses.seconds == []


def test_a_redirect_is_not_followed(sent: Parcel, pauses: Pauses) -> None:
    """Neither package nor token goes where a server, and not the publisher, says."""
    with receiving.serving() as other:
        away = Play(status=307, headers={"Location": f"{other.url}/update"}, take=0, leave=False)
        with receiving.serving(away) as server, pytest.raises(RefusedError, match=f"uploads to {other.url}/update"):
            push(sent, target(server.url, TOKEN), pauses.patience)

    assert other.requests == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 403, 404, 405, 409, 411, 413, 415, 417, 418])
def test_a_refusal_is_told_and_not_repeated(sent: Parcel, pauses: Pauses, status: int) -> None:
    """What will not change by itself is asked once; 304 above all is no success."""
    with receiving.serving(Play(status=status)) as server, pytest.raises(RefusedError) as caught:
        push(sent, target(server.url, TOKEN), pauses.patience)

    assert caught.value.answer
    assert caught.value.answer.status == status
    assert f"/update answers {status}: " in str(caught.value)
    assert len(server.requests) == 1
    assert pauses.seconds == []


def test_the_receivers_reason_is_shown(sent: Parcel, pauses: Pauses) -> None:
    """From the body, or with 304, which has none, from its header."""
    conflict = Play(status=409, body=b'{"error": "version-conflict", "detail": "1.0 exists"}')
    changed = Play(status=304, headers={"X-OTA-Error": "other hash"})

    with receiving.serving(conflict, changed) as server:
        for reason in ("1.0 exists", "other hash"):
            with pytest.raises(RefusedError, match=rf"(?m)(^|answers 409: ){reason}$"):
                push(sent, target(server.url), pauses.patience)


@pytest.mark.parametrize(
    "play", [Play(body=b"<title>Sign in</title>"), Play(lies={"sha256": "0" * 64}), Play(lies={"version": "2"})]
)
def test_somebody_elses_200_is_no_success(sent: Parcel, pauses: Pauses, play: Play) -> None:
    """What answers has to say that it has this release."""
    with receiving.serving(play) as server, pytest.raises(RefusedError, match="no receiver"):
        push(sent, target(server.url), pauses.patience)


def test_an_endless_answer_is_not_read_to_its_end(sent: Parcel, pauses: Pauses) -> None:
    """What goes wrong on the other side does not fill this side's memory."""
    with receiving.serving(Play(status=400, body=b"x" * LARGE)) as server, pytest.raises(RefusedError) as caught:
        push(sent, target(server.url), pauses.patience)

    assert caught.value.answer
    assert len(caught.value.answer.body) < 100_000


def test_nothing_is_sent_without_leave(large: Parcel, pauses: Pauses) -> None:
    """A refusal for the token's sake comes before the first byte of the body."""
    progress = Sent()
    refusal = Play(status=401, leave=False, take=0)

    with receiving.serving(refusal) as server, pytest.raises(RefusedError):
        push(large, target(server.url, TOKEN), pauses.patience, progress)

    assert server.requests[0].headers["expect"] == "100-continue"
    assert progress.bytes == 0


@pytest.mark.parametrize("late_leave", [False, True])
def test_a_refusal_is_heard_while_sending(large: Parcel, pauses: Pauses, *, late_leave: bool) -> None:
    """A server that has read content.json and wants no more is not sent the rest, even if it just stops reading."""
    progress = Sent()
    refusal = Play(status=403, take=4096, late_leave=late_leave, body=b'{"detail": "not yours"}')

    with receiving.serving(refusal) as server, pytest.raises(RefusedError, match="not yours"):
        push(large, target(server.url, TOKEN), pauses.patience, progress)

    assert progress.bytes < LARGE // 2


def test_a_server_that_does_not_know_of_leave_gets_the_body(sent: Parcel, pauses: Pauses) -> None:
    """Silence is not waited out."""
    with receiving.serving(Play(leave=False)) as server:
        assert push(sent, target(server.url), pauses.patience).attempts == 1

    assert server.requests[0].parts()[1].raw == DATA


@pytest.mark.parametrize(
    "trouble",
    [
        Play(reset=True, take=0),
        Play(reset=True, take=100_000),
        Play(reset=True),
        Play(hang_up=True, take=0, leave=False),
        Play(hang_up=True, take=4096),
        Play(status=408),
        Play(status=429),
        Play(status=500),
        Play(status=503, take=0, leave=False),
        Play(status=504),
    ],
)
def test_what_may_pass_is_tried_again(sent: Parcel, pauses: Pauses, trouble: Play) -> None:
    """A connection that broke, an overloaded or restarting server: the whole upload goes again."""
    with receiving.serving(trouble, trouble, Play()) as server:
        receipt = push(sent, target(server.url, TOKEN), pauses.patience)

    assert receipt.attempts == 3
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {TOKEN}"] * 3
    assert server.requests[2].parts()[1].raw == DATA
    assert len(pauses.seconds) == 2


def test_pauses_grow_and_end(sent: Parcel, pauses: Pauses, caplog: pytest.LogCaptureFixture) -> None:
    """Each is twice the one before; after some attempts the publisher is told to come again, and why."""
    with receiving.serving(Play(status=503)) as server, pytest.raises(NotNowError, match="answers 503") as caught:
        push(sent, target(server.url, TOKEN), pauses.patience)

    assert caught.value.exit_code == 75
    assert len(server.requests) == ATTEMPTS
    assert pauses.seconds == [1, 2, 4, 8, 16]
    assert caplog.messages[0].endswith("trying again in 1 seconds")
    assert TOKEN not in caplog.text


def test_pauses_differ_between_clients() -> None:
    """A thousand publishers that were sent away together do not come back together."""
    shares = iter((0.0, 0.5, 0.9))
    patience = Patience(lambda _: None, lambda: next(shares), lambda: 0.0)

    assert [patience.pause(3, None) for _ in range(3)] == [4, 6, pytest.approx(7.6)]


def test_a_server_says_how_long_to_wait(sent: Parcel, pauses: Pauses) -> None:
    """Its Retry-After is kept, in seconds or as a date."""
    busy = Play(status=503, headers={"Retry-After": "7"})
    later = Play(status=429, headers={"Retry-After": "Thu, 01 Jan 1970 00:01:30 GMT"})

    with receiving.serving(busy, later, Play()) as server:
        push(sent, target(server.url), pauses.patience)

    assert pauses.seconds == [7, 90]


def test_a_server_that_wants_hours_is_not_waited_for(sent: Parcel, pauses: Pauses) -> None:
    """The publisher's job ends, with the exit code that says later."""
    busy = Play(status=503, headers={"Retry-After": f"{LONGEST_PAUSE * 2:.0f}"})

    with receiving.serving(busy) as server, pytest.raises(NotNowError):
        push(sent, target(server.url), pauses.patience)

    assert len(server.requests) == 1
    assert pauses.seconds == []


def test_a_full_disk_is_for_later_but_not_for_now(sent: Parcel, pauses: Pauses) -> None:
    """Nobody makes room within a minute."""
    with receiving.serving(Play(status=507)) as server, pytest.raises(NotNowError, match="no room") as caught:
        push(sent, target(server.url), pauses.patience)

    assert caught.value.exit_code == 75
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_for_later(sent: Parcel, pauses: Pauses) -> None:
    """It may be starting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

    with pytest.raises(NotNowError, match=r"the connection failed \(Connection refused\)"):
        push(sent, target(url), pauses.patience)

    assert len(pauses.seconds) == ATTEMPTS - 1


def test_what_answers_without_http_is_for_later(sent: Parcel, pauses: Pauses) -> None:
    """A server that hangs up without a word is as good as none."""
    with receiving.serving(Play(reset=True, take=0, leave=False)) as server, pytest.raises(NotNowError):
        push(sent, target(server.url), pauses.patience)

    assert len(server.requests) == ATTEMPTS


def test_a_file_that_changes_is_not_published(sent: Parcel, pauses: Pauses) -> None:
    """Its upload is broken off before its end, and not repeated: the hash would never be right."""
    sent.file.write_bytes(DATA[:-1] + b"x")

    with receiving.serving() as server, pytest.raises(ChangedError):
        push(sent, target(server.url), pauses.patience)

    [request] = server.requests
    assert len(request.body) < int(request.headers["content-length"])
    assert pauses.seconds == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    command = [
        require("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """Make what a server with this certificate needs."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the certificate, as an operator with a certificate authority of their own does."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))


@pytest.mark.usefixtures("trusted")
def test_a_release_is_published_over_tls(sent: Parcel, pauses: Pauses, tls: ssl.SSLContext) -> None:
    """What TLS itself sends after its handshake is not mistaken for an answer."""
    with receiving.serving(context=tls) as server:
        assert push(sent, target(server.url, TOKEN), pauses.patience).attempts == 1

    assert server.requests[0].parts()[1].raw == DATA


@pytest.mark.usefixtures("trusted")
def test_a_large_file_arrives_over_tls_as_it_is(large: Parcel, pauses: Pauses, tls: ssl.SSLContext) -> None:
    """Also where the server takes it in small pieces."""
    with receiving.serving(context=tls) as server:
        assert push(large, target(server.url), pauses.patience).attempts == 1

    assert hashlib.sha256(server.requests[0].parts()[1].raw).hexdigest() == large.content.sha256


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("play", "most"), [(Play(status=401, leave=False, take=0), 0), (Play(status=403, take=99), LARGE // 2)]
)
def test_a_refusal_is_heard_over_tls(large: Parcel, pauses: Pauses, tls: ssl.SSLContext, play: Play, most: int) -> None:
    """Before the body and during it, as without TLS."""
    progress = Sent()

    with receiving.serving(play, context=tls) as server, pytest.raises(RefusedError, match=f"answers {play.status}"):
        push(large, target(server.url, TOKEN), pauses.patience, progress)

    assert progress.bytes <= most


def test_a_server_that_is_not_trusted_gets_nothing(sent: Parcel, pauses: Pauses, tls: ssl.SSLContext) -> None:
    """A certificate that is not known here ends it: waiting would not help."""
    with receiving.serving(context=tls) as server, pytest.raises(RefusedError, match="certificate is not trusted"):
        push(sent, target(server.url, TOKEN), pauses.patience)

    assert server.requests == []
    assert pauses.seconds == []


@pytest.fixture
def run(file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `otamirror push` on the package, without a token in the environment."""
    monkeypatch.delenv("OTAMIRROR_TOKEN", raising=False)

    def run(*arguments: str, expected: int = 0) -> Result:
        result = CliRunner().invoke(cli.main, ["push", str(file), *arguments])
        assert result.exit_code == expected, result.output
        return result

    return run


STATED = ("--package", "app", "--branch", "main", "--version", "1.0")


def test_the_command_publishes(run: Callable[..., Result]) -> None:
    """With the options of `pack`, in a sentence that says whether it is new."""
    with receiving.serving(Play(), Play(lies={"new": False})) as server:
        new = run(*STATED, "--depends", "lib=>=1,<2", "--before", "true", "--to", server.url)
        known = run(*STATED, "--to", server.url)

    content = json.loads(server.requests[0].parts()[0].raw)
    assert (content["dependencies"], content["BeforeUpdate"]) == ({"lib": ">=1,<2"}, "true")
    assert new.stdout == "app 1.0 on main is published\n"
    assert known.stdout == "app 1.0 on main was published before, with the same bytes\n"


def test_the_command_takes_a_whole_content(run: Callable[..., Result], sent: Parcel, tmp_path: Path) -> None:
    """A content.json that is there already needs no options."""
    (tmp_path / "content.json").write_bytes(sent.content.canonical())

    with receiving.serving() as server:
        run("--content", str(tmp_path / "content.json"), "--to", server.url)

    assert server.requests[0].parts()[0].raw == sent.content.canonical()


def test_the_token_comes_from_the_environment_or_a_file(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is named counts more; there is no option for the token itself, which others could see."""
    (tmp_path / "token").write_text("ota_file\n")
    monkeypatch.setenv("OTAMIRROR_TOKEN", f" {TOKEN}\n")

    with receiving.serving() as server:
        run(*STATED, "--to", server.url)
        run(*STATED, "--to", server.url, "--token-file", str(tmp_path / "token"))

    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {TOKEN}", "Bearer ota_file"]
    assert "No such option" in run(*STATED, "--to", server.url, "--token", TOKEN, expected=2).output


def test_a_dry_run_judges_and_sends_nothing(run: Callable[..., Result], sent: Parcel) -> None:
    """By the mirror's own rules; a mirror is only asked if one is named, tests/test_dry_run.py."""
    line = run(*STATED, "--dry-run").stdout
    listed = json.loads(run(*STATED, "--dry-run", "--json").stdout)
    refused = run("--package", "app", "--branch", "a/b", "--version", "1", "--dry-run", expected=1)

    assert line == f"app 1.0 on main can be pushed: 340.0 kB, sha256 {sent.content.sha256}\n"
    assert (listed["dry_run"], listed["sha256"], listed["size"]) == (True, sent.content.sha256, len(DATA))
    assert "use 'a-b'" in refused.output


def test_programs_read_json(run: Callable[..., Result], sent: Parcel) -> None:
    """Of a success and of a refusal; the sentence for people is on standard error."""
    conflict = Play(status=409, body=b'{"error": "version-conflict", "detail": "it exists"}')

    with receiving.serving(Play(), conflict) as server:
        done = json.loads(run(*STATED, "--to", server.url, "--json").stdout)
        refused = run(*STATED, "--to", server.url, "--json", expected=1)

    assert done == {
        "package": "app",
        "branch": "main",
        "version": "1.0",
        "sha256": sent.content.sha256,
        "size": len(DATA),
        "new": True,
        "attempts": 1,
    }
    told = json.loads(refused.stdout)
    assert (told["error"], told["status"], told["answer"]["error"]) == ("refused", 409, "version-conflict")
    assert "it exists" in refused.stderr


def test_the_exit_code_says_whether_to_come_again(run: Callable[..., Result]) -> None:
    """1 is refused for good, 75 is later."""
    busy = Play(status=503, headers={"Retry-After": "9000"})

    with receiving.serving(Play(status=304), Play(status=507), busy) as server:
        for code in (1, 75, 75):
            run(*STATED, "--to", server.url, expected=code)


def test_warnings_are_told_once(run: Callable[..., Result], sent: Parcel, tmp_path: Path) -> None:
    """What this side finds, before anything is sent; what only the mirror knows, after."""
    fields = {**sent.content.fields(), "descripton": "x"}
    (tmp_path / "content.json").write_text(json.dumps(fields))
    known = {"key": "descripton", "message": "is not known here; it is kept and served as it is"}
    missing = {"key": "dependencies.lib", "message": "is not on this mirror", "hint": "publish it too"}
    hinted = {**known, "hint": "did you mean 'description'?"}

    with receiving.serving(Play(lies={"warnings": [hinted, missing]})) as server:
        result = run("--content", str(tmp_path / "content.json"), "--to", server.url)

    assert result.stderr.splitlines() == [
        "warning: descripton: is not known here; it is kept and served as it is (did you mean 'description'?)",
        "warning: dependencies.lib: is not on this mirror (publish it too)",
    ]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (STATED, "Missing option '--to'"),
        (("--to", "http://127.0.0.1:1"), "Missing option '--package'"),
        ((*STATED[:4], "--dry-run"), "Missing option '--version'"),
        ((*STATED, "--dry-run", "--depends", "lib"), "'lib' is not NAME=RANGE"),
        (("--content", "content.json", *STATED, "--dry-run"), "leave out what says package, version, branch"),
        ((*STATED, "--to", "updates.example.org"), 'is not "", or an http or https URL'),
        ((*STATED, "--to", "http://updates.example.org", "--token-file", "token"), "use https, or --insecure-http"),
    ],
)
def test_a_wrong_use_is_told_before_anything_is_read_or_sent(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], fault: str
) -> None:
    """Exit code 2 means that the command line has to change."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(TOKEN)

    assert fault in run(*arguments, expected=2).output


def test_a_token_file_of_something_else_is_not_sent(run: Callable[..., Result], file: Path) -> None:
    """The package itself, by a slip of the keys, is no token."""
    file.write_bytes(b"\xff\x00" * 100)

    assert "no token has" in run(*STATED, "--to", "http://127.0.0.1:1", "--token-file", str(file), expected=2).output


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_authorities_that_are_not_there_are_told(
    sent: Parcel, pauses: Pauses, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With what names them, and at once: waiting does not bring them."""
    monkeypatch.setenv(name, str(tmp_path / "gone.pem"))

    with receiving.serving(context=tls) as server, pytest.raises(RefusedError, match=f"{name} names .*gone.pem"):
        push(sent, target(server.url, TOKEN), pauses.patience)

    assert pauses.seconds == []


def test_an_authority_of_the_system_is_believed(
    sent: Parcel, pauses: Pauses, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenSSL, curl and Go are told of it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    with receiving.serving(context=tls) as server:
        assert push(sent, target(server.url, TOKEN), pauses.patience).attempts == 1
