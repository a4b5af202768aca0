"""builder/client/push.py: reading what a mirror has, before a publisher signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.client.answers import NotNowError, RefusedError
from builder.client.push import ATTEMPTS, Patience, get
from tests.support import httpd
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.httpd import Server

DATA = b'{"a":1}\n' * 1000
PATIENCE = Patience(lambda _: None, lambda: 0.0, lambda: 0.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve one file."""
    (tmp_path / "list.json").write_bytes(DATA)
    with httpd.serving(tmp_path) as running:
        yield running


def test_a_file_is_read_as_it_is(server: Server) -> None:
    """Neither compressed nor decoded, and no more than may come."""
    assert get(f"{server.url}/list.json", len(DATA), PATIENCE) == DATA
    assert server.requests[0].accepts == "identity"
    assert server.requests[0].agent.startswith("otamirror/")


def test_what_is_not_there_is_told(server: Server) -> None:
    """That is an answer, and not asked again."""
    assert get(f"{server.url}/other.json", 100, PATIENCE) is None
    assert len(server.requests) == 1


def test_what_is_too_large_is_not_read_to_its_end(server: Server) -> None:
    """A server cannot fill this side's memory."""
    with pytest.raises(RefusedError, match="more than 100 bytes"):
        get(f"{server.url}/list.json", 100, PATIENCE)

    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [Fault(cut_after=100), Fault(status=503), Fault(status=500), Fault(raw=b"")])
def test_what_may_pass_is_asked_again(server: Server, fault: Fault) -> None:
    """A file that was cut off is no file; a server in trouble may recover, or not."""
    server.misbehave("/", fault, times=2)
    assert get(f"{server.url}/list.json", len(DATA), PATIENCE) == DATA
    assert len(server.requests) == 3

    server.misbehave("/", fault)
    with pytest.raises(NotNowError):
        get(f"{server.url}/list.json", len(DATA), PATIENCE)
    assert len(server.requests) == 3 + ATTEMPTS


@pytest.mark.parametrize("status", [204, 301, 307, 401, 403])
def test_other_answers_are_told(server: Server, status: int) -> None:
    """Nobody is led elsewhere, and what is forbidden stays so."""
    server.misbehave("/", Fault(status=status, headers={"Location": f"{server.url}/list.json"}))

    with pytest.raises(RefusedError, match=f"answers {status}"):
        get(f"{server.url}/list.json", len(DATA), PATIENCE)

    assert len(server.requests) == 1
