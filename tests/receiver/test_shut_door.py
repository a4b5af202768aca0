"""Uploads stay shut where tokens have ended, with the nginx and the configuration that operators have in front."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from builder import cli
from builder.uploads import receive
from builder.uploads.tokens import Tokens
from mirror.files import Files
from tests.receiver import forms, raw
from tests.receiver import rig as rigs
from tests.receiver.forms import request
from tests.support import nginx, sites

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.receiver.rig import Rig
    from tests.support.nginx import Nginx

ALL = ("*",)
YESTERDAY = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 86_400))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run a receiver that once had a token."""
    with rigs.running(tmp_path_factory.mktemp("guarded")) as running:
        running.tokens.add("ci", ALL, ALL, None)
        yield running


@pytest.fixture(scope="module")
def proxied(guarded: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """Run nginx before it, as `host nginx` configures it."""

    def configured(address: str) -> str:
        words = ["--site", str(guarded.site.file), "host", "nginx", "--listen", address]
        printed = CliRunner().invoke(cli.main, words, catch_exceptions=False).stdout
        return printed.replace("http://127.0.0.1:8080;", f"http://127.0.0.1:{guarded.port};")

    with nginx.running(configured, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture
def token(guarded: Rig) -> str:
    """Make the only token."""
    for grant in guarded.tokens.grants():
        guarded.tokens.revoke(grant.name)
    return guarded.tokens.add("ci", ALL, ALL, None)


def revoked(rig: Rig) -> None:
    """Revoke the last token, by the command."""
    words = ["--site", str(rig.site.file), "token", "revoke", "ci"]
    assert CliRunner().invoke(cli.main, words, catch_exceptions=False).exit_code == 0


def expired(rig: Rig) -> None:
    """Have the last token be one that expired."""
    rig.tokens.revoke("ci")
    Tokens(rig.site.paths.tokens, Files(), lambda: 0).add("old", ALL, ALL, YESTERDAY)


def removed(rig: Rig) -> None:
    """Remove the file of tokens."""
    rig.site.paths.tokens.unlink()


def emptied(rig: Rig) -> None:
    """Empty the file of tokens."""
    rig.site.paths.tokens.write_bytes(b"")


ENDS = [revoked, expired, removed, emptied]


@pytest.mark.parametrize("end", ENDS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("host", ["ota.example.org", "localhost", "127.0.0.1:8080"])
def test_no_token_left_shuts_the_door_through_nginx(
    guarded: Rig, proxied: Nginx, token: str, end: Callable[[Rig], None], host: str
) -> None:
    """Neither without a token nor with one that is not good any more, whatever Host and Authorization say."""
    end(guarded)
    before = guarded.mirror()

    for authorization in (None, "", f"Bearer {token}", "Bearer x", "Basic eDp4"):
        answer = raw.exchange(proxied.port, request(forms.good(), Host=host, Authorization=authorization))
        assert (answer.status, answer.error) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert guarded.mirror() == before
    assert guarded.spooled() == []


@pytest.mark.parametrize("end", ENDS, ids=lambda each: each.__name__)
def test_no_token_left_shuts_the_door_on_the_machine_too(guarded: Rig, token: str, end: Callable[[Rig], None]) -> None:
    """An older configuration of a web server does not say that it is one."""
    end(guarded)

    for authorization in (None, f"Bearer {token}"):
        assert guarded.put(request(forms.good(), Authorization=authorization)).status == 401


def test_every_trace_of_tokens_removed_still_shuts_it_through_nginx(guarded: Rig, proxied: Nginx, token: str) -> None:
    """Where not even the receiver knows that there were tokens, it sees that a web server is in front."""
    for file in guarded.site.paths.tokens.parent.glob("*tokens.json*"):
        file.unlink()
    assert not guarded.tokens.are_needed()

    for host, expected in (("ota.example.org", 403), ("localhost", 403)):
        answer = raw.exchange(proxied.port, request(forms.good(), Host=host, Authorization=f"Bearer {token}"))
        assert (answer.status, answer.error) == (expected, "forbidden")
        assert raw.exchange(proxied.port, request(forms.good(), Host=host)).status == 401
    assert guarded.put(request(forms.good(version="0.1"))).status == 200


def test_nginx_asks_for_a_token_as_the_receiver_does(guarded: Rig, proxied: Nginx, token: str) -> None:
    """Its refusal is the same to a program, and to a person who reads it."""
    assert token
    asked = request(Content_Length=str(2**40))
    through, direct = raw.exchange(proxied.port, asked), guarded.put(asked)

    assert (through.status, through.json) == (direct.status, direct.json)
    for name in ("www-authenticate", "cache-control", "content-type", "x-content-type-options"):
        assert through.headers[name] == direct.headers[name]


def test_a_start_says_that_nobody_can_upload(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After the last token has ended, or where its file cannot be read; not before the first one."""
    site = sites.make(tmp_path)
    tokens = Tokens(site.paths.tokens, Files(), time.time)

    def said() -> list[str]:
        caplog.clear()
        with receive.receiving(site, lambda: None):
            return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    assert said() == []
    tokens.add("ci", ALL, ALL, None)
    assert said() == []
    tokens.revoke("ci")
    assert said() == ["no token is left, so nobody can upload; `otamirror token add` makes one"]
    site.paths.tokens.write_bytes(b"{")
    assert "is damaged" in said()[0]


def test_a_new_token_opens_the_door_again(guarded: Rig, proxied: Nginx, token: str) -> None:
    """Whatever became of those before."""
    for end in ENDS:
        end(guarded)
        secret = guarded.tokens.add(f"new-{end.__name__}", ALL, ALL, None)
        asked = request(forms.good(), Authorization=f"Bearer {secret}")
        assert raw.exchange(proxied.port, asked).status == 200
        guarded.tokens.revoke(f"new-{end.__name__}")
        if all(grant.name != "ci" for grant in guarded.tokens.grants()):
            guarded.tokens.add("ci", ALL, ALL, None)
    assert token
