"""Who may upload: tokens, and what holds where there are none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request

from builder import values
from builder.uploads import receive
from builder.uploads.admission import admit
from builder.uploads.receive import OpenDoorError
from builder.uploads.refusals import DiskFullError, ForbiddenError
from builder.uploads.tokens import Tokens
from mirror.files import Files
from tests.receiver import forms, raw
from tests.receiver import rig as rigs
from tests.receiver.forms import content, form, part, request
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.receiver.rig import Rig

DAY = 86_400


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run a receiver that wants tokens."""
    with rigs.running(tmp_path_factory.mktemp("guarded")) as running:
        yield running


@pytest.fixture(scope="module")
def secrets(guarded: Rig) -> dict[str, str]:
    """Make tokens of every kind."""
    past = Tokens(guarded.site.paths.tokens, Files(), lambda: time.time() - 10 * DAY)
    yesterday = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - DAY))
    made = {
        "good": guarded.tokens.add("good", ("tool-*",), ("main",), None),
        "expired": past.add("expired", ("*",), ("*",), yesterday),
        "revoked": guarded.tokens.add("revoked", ("*",), ("*",), None),
    }
    guarded.tokens.revoke("revoked")
    return made


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ota_wrong", "Basic {good}", "{good}", "Bearer {good}, Bearer {good}",
     "Bearer {expired}", "Bearer {revoked}"],
)  # fmt: skip
def test_without_a_good_token_nothing_of_the_body_is_read(
    guarded: Rig, secrets: dict[str, str], authorization: str | None
) -> None:
    """401 comes before the body, and says how to authenticate."""
    before = guarded.mirror()
    value = authorization.format(**secrets) if authorization is not None else None
    answer = guarded.put(request(Content_Length="5000", Authorization=value))

    assert (answer.status, answer.error) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["connection"] == "close"
    assert guarded.mirror() == before


def test_a_good_token_publishes_what_it_allows(guarded: Rig, secrets: dict[str, str]) -> None:
    """Packages and branches that match the token's patterns are taken."""
    answer = guarded.put(request(forms.good(package="tool-a"), Authorization=f"bearer {secrets['good']}"))

    assert answer.status == 200


@pytest.mark.parametrize("stated", [{"package": "app"}, {"package": "tool-a", "branch": "stable"}])
def test_another_package_is_refused_as_soon_as_it_is_named(
    guarded: Rig, secrets: dict[str, str], stated: dict[str, str]
) -> None:
    """403 names the package, and comes before the file does."""
    before = guarded.mirror()
    begun = form(part("content", content(**stated)), part("file", b""))[:-20]
    asked = request(begun, Authorization=f"Bearer {secrets['good']}", Content_Length=str(2**30))
    answer = guarded.put(asked)

    assert (answer.status, answer.error) == (403, "forbidden")
    assert stated["package"] in answer.json["detail"]
    assert guarded.mirror() == before
    assert guarded.spooled() == []


@pytest.mark.parametrize("head", [b'{"package":"app","branch":"main",', b'{"package":"tool-a","branch":"stable",'])
def test_a_list_of_another_package_is_refused_by_its_first_bytes(
    guarded: Rig, secrets: dict[str, str], head: bytes
) -> None:
    """Nothing of the rest is waited for, be it valid or not."""
    begun = form(part("list", head + b"[" * 500))[:-20]
    asked = request(begun, Authorization=f"Bearer {secrets['good']}", Content_Length=str(2**23))

    answer = guarded.put(asked)

    assert (answer.status, answer.error) == (403, "forbidden")
    assert "does not allow to publish" in answer.json["detail"]


def test_a_token_that_is_made_while_the_receiver_runs_counts(rig: Rig) -> None:
    """With the first token, nobody uploads without one any more, and proxies are welcome."""
    rig.publish(version="1.0")
    secret = rig.tokens.add("ci", ("*",), ("*",), None)
    proxied = {"Host": "ota.example.org", "X_Forwarded_For": "192.0.2.1", "Via": "1.1 proxy"}

    assert rig.put(request(forms.good(version="2.0"))).status == 401
    assert rig.put(request(forms.good(version="2.0"), Authorization=f"Bearer {secret}", **proxied)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Forwarded": "for=192.0.2.1"},
        {"X_Forwarded_For": "127.0.0.1"},
        {"X_Forwarded_Proto": "https"},
        {"x_forwarded_anything": ""},
        {"X_Forwarded": "192.0.2.1"},
        {"Via": "1.1 proxy"},
        {"X_Real_IP": "127.0.0.1"},
        {"CF_Connecting_IP": "127.0.0.1"},
        {"True_Client_IP": "127.0.0.1"},
        {"X_Client_IP": "127.0.0.1"},
        {"X_Original_Host": "localhost"},
        {"CDN_Loop": "cdn"},
        {"Host": "ota.example.org"},
        {"Host": "localhost.example.org"},
        {"Host": "127.0.0.1.example.org"},
        {"Host": "192.0.2.1"},
        {"Host": "0.0.0.0:8080"},
        {"Host": ""},
        {"Host": "localhost:80:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost http://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": ""},
        {"Sec_Fetch_Site": "same-origin, cross-site"},
        {"Origin": "http://localhost", "Sec_Fetch_Site": "cross-site"},
    ],
)
def test_without_tokens_nothing_comes_from_elsewhere(refusing: Rig, headers: dict[str, str]) -> None:
    """A proxy on this machine, a name that leads to it, or a page in its browser would make everybody look local."""
    before = refusing.mirror()
    answer = refusing.put(request(forms.good(), **headers))

    assert (answer.status, answer.error) == (403, "forbidden")
    assert "otamirror token add" in answer.json["detail"]
    assert refusing.mirror() == before


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:8080"])
def test_without_tokens_this_machine_publishes(refusing: Rig, host: str) -> None:
    """Every spelling of this machine will do, also for a page that it serves itself."""
    own = {"Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}

    assert refusing.put(request(forms.good(), Host=host)).status == 200
    assert refusing.put(request(forms.good(), Host=host, **own)).status == 200
    assert refusing.put(request(forms.good(), Host=host, Sec_Fetch_Site="none")).status == 200


@pytest.mark.parametrize("host", ["ota.example.org", "localhost.example.org", "192.0.2.1:8080", "[2001:db8::1]"])
def test_the_host_of_a_whole_url_counts_too(refusing: Rig, host: str) -> None:
    """Which a client sends that takes the receiver for a proxy; then the other one is not looked at by servers."""
    assert refusing.put(request(forms.good(), target=f"http://{host}/update")).status == 403
    assert refusing.put(request(forms.good(), target="http://[::1]:80/update")).status == 200


def test_two_hosts_or_origins_are_none_of_this_machine(refusing: Rig) -> None:
    """One of them is somebody else's."""
    twice = request(forms.good(), Origin="http://localhost\r\nOrigin: http://evil.example")

    assert refusing.put(twice).status == 403


@pytest.mark.parametrize("client", [("192.0.2.1", 1), ("::ffff:192.0.2.1", 1), ("fe80::1", 1), None])
def test_without_tokens_other_machines_are_refused(tmp_path: Path, client: tuple[str, int] | None) -> None:
    """Who is not on this machine gets a 403, whatever the request says."""
    headers = [(b"host", b"localhost"), (b"content-length", b"0")]
    asked = Request({"type": "http", "method": "PUT", "headers": headers, "client": client})

    with pytest.raises(ForbiddenError):
        admit(asked, Tokens(tmp_path / "tokens.json", Files(), time.time), 0, lambda: 0)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.255.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("builder", False), ("", False)],
)  # fmt: skip
def test_loopback_is_told_by_the_address(host: str, *, is_loopback: bool) -> None:
    """A name other than localhost may lead anywhere."""
    assert values.is_loopback(host) is is_loopback


def test_an_open_door_is_not_opened_without_a_token(tmp_path: Path) -> None:
    """The receiver does not listen to other machines until there is a token, and says how to make one."""
    site = sites.make(tmp_path, '[receiver]\nlisten = "0.0.0.0:0"')
    with receive.receiving(site, lambda: None) as receiver:
        with pytest.raises(OpenDoorError, match="otamirror token add"), receive.listening(site, receiver):
            pytest.fail("it listens")

        Tokens(site.paths.tokens, Files(), time.time).add("ci", ("*",), ("*",), None)

        with receive.listening(site, receiver) as server:
            assert raw.exchange(server.port, request(forms.good())).status == 401


def test_a_damaged_file_of_tokens_lets_nobody_in(rig: Rig) -> None:
    """What cannot be read does not count as no tokens, and tells strangers nothing."""
    rig.site.paths.tokens.write_bytes(b'{"tokens": [')

    answer = rig.put(request(forms.good(), Authorization="Bearer x"))

    assert rig.put(request(forms.good())).status == 401
    assert (answer.status, answer.error) == (500, "fault")
    assert str(rig.site.paths.tokens) not in answer.body.decode()
    assert rig.pages() == {}


def test_what_has_no_room_is_refused_before_it_comes(tmp_path: Path) -> None:
    """A body that is announced larger than what is free on the disk is not waited for."""
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"multipart/form-data; boundary=b"),
        (b"content-length", b"1001"),
    ]
    asked = Request({"type": "http", "method": "PUT", "headers": headers, "client": ("127.0.0.1", 1)})

    with pytest.raises(DiskFullError):
        admit(asked, Tokens(tmp_path / "tokens.json", Files(), time.time), 0, lambda: 1000)
