"""builder/uploads/tokens.py: the tokens of publishers and their file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from builder import cli
from builder.uploads.tokens import Tokens, TokensError, UnauthorizedError
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from builder.site import Site

ALL = ("*",)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_795_420_800.0  # 2026-11-23T08:00:00Z

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Make a clock."""
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> Tokens:
    """Make tokens whose file does not exist yet."""
    return Tokens(tmp_path / "var" / "tokens.json", Files(), clock)


def file(tmp_path: Path) -> Path:
    """Name the file of `tokens`."""
    return tmp_path / "var" / "tokens.json"


def test_a_token_is_good_for_what_was_granted(tokens: Tokens) -> None:
    """Who brings the token gets the grant under its name, with its limits."""
    secret = tokens.add("ci", ("app-*",), ("main",), None)

    found = tokens.check(f"Bearer {secret}")

    assert found.name == "ci"
    assert found.allows("app-a", "main")
    assert not found.allows("lib", "main")
    assert not found.allows("app-a", "stable")


def test_each_token_has_its_own_grant(tokens: Tokens) -> None:
    """Among several, the one that was brought counts, whichever place it has."""
    secrets = {name: tokens.add(name, (name,), ALL, None) for name in ("first", "second", "third")}

    assert {tokens.check(f"Bearer {secret}").name: secret for secret in secrets.values()} == secrets
    assert len(set(secrets.values())) == 3


def test_a_token_is_256_random_bits(tokens: Tokens) -> None:
    """In characters that need no quoting, in a shell or in a header."""
    secret = tokens.add("ci", ALL, ALL, None)

    assert re.fullmatch(r"ota_[A-Za-z0-9_-]{43}", secret)


def test_the_token_itself_is_not_kept(tokens: Tokens, tmp_path: Path) -> None:
    """Who reads the file, or a backup of it, cannot upload; no other user reads it anyway."""
    secret = tokens.add("ci", ALL, ALL, None)

    text = file(tmp_path).read_text()

    assert secret.removeprefix("ota_") not in text
    assert hashlib.sha256(secret.encode()).hexdigest() in text
    assert stat.S_IMODE(file(tmp_path).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Basic {}",
        "{}",
        "Bearer {}x",
        "Bearer x{}",
        "Bearer {}\n",
        "Bearer {}, Bearer {}",
        "Bearer \u00e4",
    ],
)
def test_another_authorization_is_refused(tokens: Tokens, authorization: str) -> None:
    """Whatever is not the token, whole and alone, lets nobody in."""
    secret = tokens.add("ci", ALL, ALL, None)

    with pytest.raises(UnauthorizedError) as caught:
        tokens.check(authorization.replace("{}", secret))

    assert (caught.value.status_hint, caught.value.code) == (401, "unauthorized")
    assert caught.value.challenge == 'Bearer realm="otamirror", error="invalid_token"'


def test_the_hash_is_not_the_token(tokens: Tokens) -> None:
    """What stands in the file is of no use as a token."""
    secret = tokens.add("ci", ALL, ALL, None)

    with pytest.raises(UnauthorizedError, match="not known here"):
        tokens.check(f"Bearer {hashlib.sha256(secret.encode()).hexdigest()}")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_no_case(tokens: Tokens, scheme: str) -> None:
    """As HTTP says of all schemes."""
    secret = tokens.add("ci", ALL, ALL, None)

    assert tokens.check(f"{scheme} {secret}").name == "ci"


def test_without_a_token_the_challenge_names_no_error(tokens: Tokens) -> None:
    """A client that did not know gets to know what is wanted, and its publisher how to send it."""
    with pytest.raises(UnauthorizedError, match="OTAMIRROR_TOKEN") as caught:
        tokens.check(None)

    assert caught.value.challenge == 'Bearer realm="otamirror"'


def test_an_expired_token_is_refused_by_name(tokens: Tokens, clock: Clock) -> None:
    """Its publisher learns what happened; it was a token, so the receiver stays closed."""
    secret = tokens.add("ci", ALL, ALL, "2026-11-24T08:00:00Z")
    clock.now += 86_399
    assert tokens.check(f"Bearer {secret}").name == "ci"

    clock.now += 1

    with pytest.raises(UnauthorizedError, match="ci expired at 2026-11-24T08:00:00Z"):
        tokens.check(f"Bearer {secret}")
    assert tokens.are_needed()
    assert not tokens.are_good()


def test_a_revoked_token_is_refused(tokens: Tokens) -> None:
    """The others stay good."""
    gone, kept = tokens.add("gone", ALL, ALL, None), tokens.add("kept", ALL, ALL, None)

    tokens.revoke("gone")

    with pytest.raises(UnauthorizedError, match="not known here"):
        tokens.check(f"Bearer {gone}")
    assert tokens.check(f"Bearer {kept}").name == "kept"


def test_before_the_first_token_there_is_none(tokens: Tokens, tmp_path: Path) -> None:
    """Asking makes no file, nor does revoking what never was."""
    assert not tokens.are_needed()
    with pytest.raises(TokensError, match="none was ever made"):
        tokens.revoke("ci")
    assert tokens.grants() == ()
    with pytest.raises(UnauthorizedError):
        tokens.check("Bearer x")
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_changes_counts_at_once(tokens: Tokens, tmp_path: Path, clock: Clock) -> None:
    """A running receiver needs no restart for a new token, nor for a revoked one."""
    assert not tokens.are_needed()
    other = Tokens(file(tmp_path), Files(), clock)

    secret = other.add("ci", ALL, ALL, None)
    assert tokens.check(f"Bearer {secret}").name == "ci"

    other.revoke("ci")
    with pytest.raises(UnauthorizedError):
        tokens.check(f"Bearer {secret}")
    assert tokens.are_needed()


def test_there_is_no_way_back_by_itself_to_before_the_first_token(tokens: Tokens, tmp_path: Path) -> None:
    """The last one revoked, its file lost, an empty one in its place: a token is needed, and a new one is good."""
    tokens.add("ci", ALL, ALL, None)
    tokens.revoke("ci")
    assert tokens.are_needed()

    for spoil in (file(tmp_path).unlink, file(tmp_path).touch, lambda: file(tmp_path).write_text('{"tokens": []}')):
        spoil()
        assert tokens.are_needed()
        assert not tokens.are_good()
        with pytest.raises(UnauthorizedError, match="not known here"):
            tokens.check("Bearer x")
    assert tokens.check(f"Bearer {tokens.add('new', ALL, ALL, None)}").name == "new"


@pytest.mark.parametrize("text", ["", '{"tokens": []}'])
def test_an_empty_file_shuts_the_door(tokens: Tokens, tmp_path: Path, text: str) -> None:
    """Also where somebody made it by hand, so that nobody uploads."""
    file(tmp_path).parent.mkdir()
    file(tmp_path).write_text(text)

    assert tokens.are_needed()
    assert not tokens.are_good()


def test_a_file_that_cannot_be_looked_for_lets_nobody_in(tokens: Tokens, tmp_path: Path) -> None:
    """It may well be there."""
    (tmp_path / "var").symlink_to("var")

    with pytest.raises(TokensError, match="cannot be looked for"):
        tokens.are_needed()


def test_a_file_of_the_same_size_and_time_is_seen_as_new(tokens: Tokens, tmp_path: Path, clock: Clock) -> None:
    """A change within the clock's resolution is a change all the same."""
    old = tokens.add("ci", ALL, ALL, None)
    tokens.check(f"Bearer {old}")
    facts = file(tmp_path).stat()
    new = Tokens(tmp_path / "other", Files(), clock).add("ci", ALL, ALL, None)
    os.utime(tmp_path / "other", ns=(facts.st_mtime_ns, facts.st_mtime_ns))

    assert (tmp_path / "other").replace(file(tmp_path)).stat().st_size == facts.st_size

    assert tokens.check(f"Bearer {new}").name == "ci"
    with pytest.raises(UnauthorizedError):
        tokens.check(f"Bearer {old}")


def test_an_unchanged_file_is_not_read_again(tokens: Tokens, tmp_path: Path) -> None:
    """Every request asks; what was understood once is not parsed for each of them."""
    tokens.add("ci", ALL, ALL, None)
    tokens.grants()
    facts = file(tmp_path).stat()
    file(tmp_path).write_bytes(b"x" * facts.st_size)
    os.utime(file(tmp_path), ns=(facts.st_mtime_ns, facts.st_mtime_ns))

    assert tokens.are_good()


def entry(**changed: Any) -> dict[str, Any]:
    """Make an entry of the file."""
    valid = {
        "name": "ci",
        "packages": ["*"],
        "branches": ["*"],
        "created": "2026-11-23T08:00:00Z",
        "expires": None,
        "sha256": hashlib.sha256(b"secret").hexdigest(),
    }
    return valid | changed


def without(key: str) -> dict[str, Any]:
    """Make an entry that lacks a key."""
    return {name: value for name, value in entry().items() if name != key}


def test_a_file_by_hand_is_understood(tokens: Tokens, tmp_path: Path) -> None:
    """The entry that the damaged ones below are made of is good."""
    file(tmp_path).parent.mkdir()
    file(tmp_path).write_text(json.dumps({"tokens": [entry()]}))

    assert tokens.check("Bearer secret").name == "ci"


@pytest.mark.parametrize(
    "damaged",
    [
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b'{"tokens": {}}',
        b'{"tokens": [], "more": 1}',
        b'{"tokens": [], "tokens": []}',
        *(
            json.dumps({"tokens": tokens}).encode()
            for tokens in (
                [1],
                [entry(only_from="10.0.0.0/8")],
                [without("expires")],
                [without("packages")],
                [entry(packages="*")],
                [entry(packages=[])],
                [entry(packages=[1])],
                [entry(branches=["[a]"])],
                [entry(name=1)],
                [entry(sha256="secret")],
                [entry(sha256=None)],
                [entry(expires="soon")],
                [entry(expires=1)],
                [entry(), entry(name="other")],
                [entry(), entry(sha256="0" * 64)],
            )
        ),
    ],
)
def test_a_damaged_file_lets_nobody_in(tokens: Tokens, tmp_path: Path, damaged: bytes) -> None:
    """Half of the tokens is not taken for all of them, and an unknown key may be a limit; the operator is told."""
    file(tmp_path).parent.mkdir()
    file(tmp_path).write_bytes(damaged)

    with pytest.raises(TokensError, match=r"tokens\.json is damaged: .+ put back from a backup"):
        tokens.check("Bearer secret")
    assert tokens.are_needed()


def test_a_damaged_file_is_not_overwritten(tokens: Tokens, tmp_path: Path) -> None:
    """Adding a token to what cannot be read would throw away the others."""
    file(tmp_path).parent.mkdir()
    file(tmp_path).write_bytes(b"damaged")

    with pytest.raises(TokensError):
        tokens.add("ci", ALL, ALL, None)

    assert file(tmp_path).read_bytes() == b"damaged"


def test_a_file_that_was_good_and_is_damaged_now_lets_nobody_in(tokens: Tokens, tmp_path: Path) -> None:
    """What was known before is not used on, even if the file kept its place and its size."""
    secret = tokens.add("ci", ALL, ALL, None)
    tokens.check(f"Bearer {secret}")
    facts = file(tmp_path).stat()

    file(tmp_path).write_bytes(b"x" * facts.st_size)
    os.utime(file(tmp_path), ns=(facts.st_mtime_ns + 1, facts.st_mtime_ns + 1))

    with pytest.raises(TokensError):
        tokens.check(f"Bearer {secret}")


def test_a_file_that_cannot_be_read_lets_nobody_in(tokens: Tokens, tmp_path: Path) -> None:
    """Not there is no tokens; there and unreadable is trouble."""
    file(tmp_path).mkdir(parents=True)

    with pytest.raises(TokensError, match="cannot be read: Is a directory"):
        tokens.grants()


def test_a_name_is_used_once(tokens: Tokens) -> None:
    """Revoking by name has one meaning; the token that there is stays as it is."""
    secret = tokens.add("ci", ("app",), ALL, None)

    with pytest.raises(TokensError, match="revoke it first"):
        tokens.add("ci", ALL, ALL, None)

    assert tokens.check(f"Bearer {secret}").packages == ("app",)
    assert len(tokens.grants()) == 1


def test_revoking_what_is_not_there_says_so(tokens: Tokens) -> None:
    """A mistyped name is not taken for done."""
    with pytest.raises(TokensError, match="none was ever made"):
        tokens.revoke("ci")


def test_tokens_that_are_added_at_once_are_all_kept(tmp_path: Path, clock: Clock) -> None:
    """Two commands at the same moment do not undo one another."""

    def add(name: str) -> str:
        return Tokens(file(tmp_path), Files(), clock).add(name, ALL, ALL, None)

    with ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(add, [f"t{number}" for number in range(24)]))

    tokens = Tokens(file(tmp_path), Files(), clock)
    assert [tokens.check(f"Bearer {secret}").name for secret in secrets] == [f"t{number}" for number in range(24)]


@pytest.fixture
def run(site: Site) -> Callable[..., Result]:
    """Run `otamirror token` on the site under test."""

    def run(*arguments: str, expected: int = 0) -> Result:
        result = CliRunner().invoke(cli.main, ["--site", str(site.file), "token", *arguments])
        assert result.exit_code == expected, result.output
        return result

    return run


def test_add_prints_the_token_alone(site: Site) -> None:
    """`TOKEN=$(otamirror token add ...)` works: all that is said besides goes to standard error."""
    command = [sys.executable, "-m", "builder.cli", "--site", str(site.file), "token", "add", "ci"]
    command += ["--package", "app-*", "--package", "lib", "--branch", "main", "--expires", "never"]

    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    secret = done.stdout.removesuffix("\n")
    found = Tokens(site.paths.tokens, Files(), Clock()).check(f"Bearer {secret}")
    assert (found.packages, found.branches, found.expires) == (("app-*", "lib"), ("main",), None)
    assert "ci may upload app-*, lib to main, until it is revoked" in done.stderr
    assert secret not in done.stderr


def test_a_new_token_lasts_ninety_days_unless_said_otherwise(run: Callable[..., Result]) -> None:
    """A token that somebody forgets ends by itself."""
    run("add", "ci", "--package", "*", "--branch", "*")

    (row,) = json.loads(run("list", "--json").stdout)

    life = datetime.fromisoformat(row["expires"]) - datetime.fromisoformat(row["created"])
    assert round(life / timedelta(days=1), 3) == 90


def test_list_shows_what_each_token_allows(site: Site, run: Callable[..., Result]) -> None:
    """For people as lines, for programs as JSON; never a token or its hash."""
    secret = Tokens(site.paths.tokens, Files(), Clock()).add("old", ("a", "b-*"), ("main",), "2020-01-01T00:00:00Z")
    run("add", "ci", "--package", "*", "--branch", "*", "--expires", "never")

    lines = run("list").stdout
    listed = json.loads(run("list", "--json").stdout)

    heading, _, lines = lines.partition("\n")
    assert heading == "name\tpackages\tbranches\tcreated\texpires"
    assert lines.startswith("old\ta, b-*\tmain\t2026-11-23T08:00:00Z\t2020-01-01T00:00:00Z (over)\nci\t*\t*\t")
    assert listed[0] == {
        "name": "old",
        "packages": ["a", "b-*"],
        "branches": ["main"],
        "created": "2026-11-23T08:00:00Z",
        "expires": "2020-01-01T00:00:00Z",
        "expired": True,
    }
    assert [row["expired"] for row in listed] == [True, False]
    assert secret not in lines
    assert hashlib.sha256(secret.encode()).hexdigest() not in lines


def test_revoke_ends_a_token(site: Site, run: Callable[..., Result]) -> None:
    """By its name, which `list` shows; a second time there is nothing to revoke."""
    secret = run("add", "ci", "--package", "*", "--branch", "*").stdout.strip()

    said = run("revoke", "ci").stderr

    assert "\nci is refused from now on; no token is left, so nobody can upload, not even from this machine;" in said
    with pytest.raises(UnauthorizedError):
        Tokens(site.paths.tokens, Files(), Clock()).check(f"Bearer {secret}")
    assert run("list").stdout == ""
    assert "no token is left" in run("list").stderr
    assert "there is no token ci" in run("revoke", "ci", expected=1).output


def test_revoke_says_which_tokens_are_left(site: Site, run: Callable[..., Result]) -> None:
    """Those that are good: one that expired opens nothing."""
    past = Tokens(site.paths.tokens, Files(), Clock())
    past.add("old", ALL, ALL, "2020-01-01T00:00:00Z")
    for name in ("ci", "release", "other"):
        past.add(name, ALL, ALL, None)

    said = [run("revoke", name).stderr for name in ("ci", "release", "other")]

    assert [line.partition("; ")[2].rstrip() for line in said[:2]] == [
        "uploads still need a token, and these are left: release, other",
        "uploads still need a token, and these are left: other",
    ]
    assert "no token is left, so nobody can upload" in said[2]


def test_before_the_first_token_the_list_says_who_may_upload(run: Callable[..., Result]) -> None:
    """On standard error: there is nothing to list."""
    done = run("list")

    assert (done.stdout, done.stderr) == (
        "",
        "no token was ever made, so this machine alone may upload, without one\n",
    )


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["ci"], "Missing option '--package'"),
        (["ci", "--package", "*"], "Missing option '--branch'"),
        (["ci", "--package", "[a]", "--branch", "*"], "'[a]' is not a pattern"),
        (["ci", "--package", "*", "--branch", "feature/x"], "'feature/x' is not a pattern"),
        (["c i", "--package", "*", "--branch", "*"], "'c i' is not a name"),
        (["ci", "--package", "*", "--branch", "*", "--expires", "soon"], "'soon' is none of"),
    ],
)
def test_a_wrong_grant_is_a_wrong_usage(
    site: Site, run: Callable[..., Result], arguments: list[str], fault: str
) -> None:
    """What may be uploaded has to be said, rightly; no token is made otherwise."""
    assert fault in " ".join(run("add", *arguments, expected=2).output.split())
    assert not site.paths.tokens.exists()
