"""Where a remote is found, under one or several URLs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from devclient.config import Network
from devclient.errors import NetworkError, NotOnMirrorError
from devclient.fetcher import Fetcher
from devclient.trust.origin import Origin
from devclient.trust_errors import IncompleteMirrorError
from tests.support.httpd import PORTAL, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.httpd import Server

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """A fetcher."""
    with Fetcher(Network(), "otadevice/test", time.monotonic) as made:
        yield made


@pytest.fixture(autouse=True)
def files(tree: Path) -> None:
    """Two files to fetch."""
    (tree / "list.json").write_bytes(b"{}")
    (tree / "blob").write_bytes(b"12345")


def test_a_mirror_that_is_away_is_replaced_by_the_next(fetcher: Fetcher, server: Server) -> None:
    """URLs are tried in their order until one answers; the answer says which."""
    origin = Origin([NOBODY, server.url], fetcher)

    answer = origin.ask("list.json", limit=10)

    assert (answer.data, answer.url) == (b"{}", f"{server.url}/list.json")
    assert origin.fetch("list.json", limit=10).data == b"{}"
    with origin.stream("blob", 2) as body:
        assert b"".join(body.blocks) == b"345"


def test_an_answer_is_an_answer(fetcher: Fetcher, server: Server) -> None:
    """Who says that there is nothing is believed; the next mirror is not asked."""
    origin = Origin([server.url, server.url], fetcher)

    with pytest.raises(NotOnMirrorError):
        origin.ask("nothing.json", limit=10)

    assert len(server.requests) == 1


def test_when_all_are_away_the_last_is_named(fetcher: Fetcher, server: Server) -> None:
    """The network's fault is told when no URL is left."""
    server.misbehave("/", PORTAL)

    with pytest.raises(NetworkError, match=NOBODY):
        Origin([server.url, NOBODY], fetcher).ask("list.json", limit=10)


def test_what_the_mirror_names_and_does_not_have_is_its_fault(fetcher: Fetcher, server: Server) -> None:
    """It may be in the middle of being copied, so it is tried again later."""
    origin = Origin([server.url], fetcher)

    with pytest.raises(IncompleteMirrorError, match="is being copied") as caught:
        origin.fetch("nothing.json", limit=10)
    with pytest.raises(IncompleteMirrorError), origin.stream("nothing", 0):
        pass

    assert (caught.value.url, caught.value.exit_code) == (f"{server.url}/nothing.json", 75)


def test_a_condition_goes_with_the_question(fetcher: Fetcher, server: Server) -> None:
    """To whichever URL answers."""
    origin = Origin([NOBODY, server.url], fetcher)
    etag = origin.ask("list.json", limit=10).etag

    assert origin.ask("list.json", limit=10, etag=etag).data is None
    assert server.requests[-1].etag == etag


def test_a_stream_that_breaks_is_not_begun_elsewhere(fetcher: Fetcher, server: Server) -> None:
    """Once bytes come, what goes wrong is told to who reads them, and keeps what came."""
    server.misbehave("/", Fault(cut_after=2))
    came = bytearray()

    def read() -> None:
        with Origin([server.url, server.url], fetcher).stream("blob", 0) as body:
            for block in body.blocks:
                came.extend(block)

    with pytest.raises(NetworkError):
        read()

    assert came == b"12"
    assert len(server.requests) == 1
