"""builder/client/push.py against the real receiver: what one says, the other understands."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from builder import cli
from builder.client import parcel
from builder.client.answers import RefusedError
from builder.client.push import Patience, push
from builder.client.target import target
from builder.values import Address
from builder.web import host
from mirror import layout
from tests.receiver import rig as rigs
from tests.support import nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from builder.client.parcel import Parcel
    from builder.progress import Advance
    from tests.receiver.rig import Rig

DATA = b"#!/bin/sh\nexit 0\n" * 20_000
LARGE = 64 * 1024 * 1024
IMPATIENT = Patience(lambda _: None, lambda: 0.0, lambda: 0.0)
LIMIT = "[limits]\npackage_bytes = 70000000\n"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Run a receiver, without tokens."""
    with rigs.running(tmp_path / "site", LIMIT) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a package."""
    path = tmp_path / "app.bin"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def run(file: Path, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `otamirror push` on the package, to the receiver."""
    monkeypatch.delenv("OTAMIRROR_TOKEN", raising=False)

    def run(*arguments: str, version: str = "1.0", expected: int = 0) -> Result:
        stated = ("--package", "app", "--branch", "main", "--version", version, "--to", f"http://127.0.0.1:{rig.port}")
        result = CliRunner().invoke(cli.main, ["push", str(file), *stated, *arguments])
        assert result.exit_code == expected, result.output
        return result

    return run


def sending(sent: Parcel, port: int, token: str) -> tuple[str, int]:
    """Push what is refused; gives the refusal and how many bytes of the file were sent."""
    told: list[int] = []

    @contextlib.contextmanager
    def progress(_label: str, _total: int) -> Iterator[Advance]:
        yield told.append

    with pytest.raises(RefusedError) as caught:
        push(sent, target(f"http://127.0.0.1:{port}", token), IMPATIENT, progress)
    return str(caught.value), sum(told)


def large(tmp_path: Path, package: str, size: int = LARGE) -> Parcel:
    """Make a parcel that does not fit into the buffers of two sockets."""
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(size)
    return parcel.stated(path, {"package": package, "version": "1.0", "branch": "main"})


def test_a_pushed_release_is_on_the_mirror(
    rig: Rig, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the command ends, everybody can have it; a second push changes nothing and says so."""
    monkeypatch.setenv("OTAMIRROR_TOKEN", rig.tokens.add("ci", ("app",), ("main",), None))

    first = json.loads(run("--json").stdout)
    before = rig.mirror()
    second = json.loads(run("--json").stdout)

    assert (first["new"], second["new"]) == (True, False)
    assert rig.mirror() == before
    assert before[layout.blob(first["sha256"])][2] == DATA


def test_the_mirrors_warnings_reach_the_publisher(run: Callable[..., Result]) -> None:
    """What only the mirror can know is told after the push."""
    assert "warning: dependencies.lib: is not on this mirror" in run("--depends", "lib=>=1").stderr


def test_a_conflict_is_told(file: Path, rig: Rig, run: Callable[..., Result]) -> None:
    """A version that exists with other bytes is refused for good, in the receiver's words too."""
    run()
    file.write_bytes(b"other bytes")

    refused = run(expected=1)

    assert "answers 409" in refused.stderr
    assert "app 1.0 on main was published before" in refused.stderr
    said = "\n".join(line for line in refused.stderr.splitlines() if " INFO " not in line)  # the receiver's log
    assert said.count("a release never changes") == 1, "it is said once"


def test_a_wrong_token_costs_no_upload(rig: Rig, tmp_path: Path) -> None:
    """The refusal comes before the body, of which nothing is sent."""
    rig.tokens.add("ci", ("app",), ("main",), None)

    for token, advice in (("", "set OTAMIRROR_TOKEN"), ("ota_wrong", "ask the mirror's operator for a new one")):
        told, sent = sending(large(tmp_path, "app"), rig.port, token)
        assert "answers 401" in told
        assert advice in told
        assert sent == 0


def test_another_package_costs_little(rig: Rig, tmp_path: Path) -> None:
    """The refusal comes once content.json is known, while the file is being sent."""
    secret = rig.tokens.add("ci", ("app",), ("main",), None)

    told, sent = sending(large(tmp_path, "other"), rig.port, secret)

    assert "answers 403" in told
    assert "other" in told
    assert sent < LARGE // 2
    assert rig.spooled() == []


def test_a_package_that_is_too_large_costs_no_upload(rig: Rig, tmp_path: Path) -> None:
    """Its length is known before."""
    told, sent = sending(large(tmp_path, "app", 100_000_000), rig.port, "")

    assert "answers 413" in told
    assert "70000000 bytes" in told
    assert sent == 0


def test_a_large_package_arrives(rig: Rig, tmp_path: Path) -> None:
    """Whole, at the first attempt."""
    sent = large(tmp_path, "app")

    receipt = push(sent, target(f"http://127.0.0.1:{rig.port}"), IMPATIENT)

    assert (receipt.is_new, receipt.attempts) == (True, 1)
    assert (rig.site.paths.mirror / layout.blob(sent.content.sha256)).stat().st_size == LARGE


def test_through_nginx_it_is_the_same(rig: Rig, tmp_path: Path) -> None:
    """There the leave comes at once; a refusal is heard all the same, and what is accepted is on the mirror."""
    secret = rig.tokens.add("ci", ("app",), ("main",), None)

    def configured(address: str) -> str:
        return host.nginx(root=rig.site.paths.mirror, listen=address, receiver=Address("127.0.0.1", rig.port))

    with nginx.running(configured, tmp_path) as server:
        unknown = sending(large(tmp_path, "app"), server.port, "ota_wrong")
        foreign = sending(large(tmp_path, "other"), server.port, secret)
        receipt = push(large(tmp_path, "app"), target(server.url, secret), IMPATIENT)

    assert "answers 401" in unknown[0]
    assert "answers 403" in foreign[0]
    assert max(unknown[1], foreign[1]) < LARGE // 2
    assert (receipt.is_new, receipt.attempts) == (True, 1)
