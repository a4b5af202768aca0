"""Where a remote is found, under one or several URLs."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from devclient.errors import BrokenPromiseError, NetworkError, NotOnMirrorError
from devclient.settings.config import Network
from devclient.trust.origin import REST, Origin
from devclient.trust_errors import IncompleteMirrorError
from devclient.web.fetcher import Fetcher
from tests.support import httpd
from tests.support.httpd import PORTAL, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.httpd import Server

LIST = b'{"package":1}'
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """A fetcher."""
    with Fetcher(Network(), "otadevice/test", time.monotonic) as made:
        yield made


@pytest.fixture(autouse=True)
def files(tree: Path) -> None:
    """Two files to fetch."""
    (tree / "list.json").write_bytes(LIST)
    (tree / "blob").write_bytes(b"12345")


def test_a_mirror_that_is_away_is_replaced_by_the_next(fetcher: Fetcher, server: Server) -> None:
    """URLs are tried in their order until one answers; the answer says which."""
    origin = Origin([NOBODY, server.url], fetcher)

    answer = origin.ask("list.json", limit=100)

    assert (answer.data, answer.url) == (LIST, f"{server.url}/list.json")
    assert origin.fetch("list.json", limit=100).data == LIST
    with origin.stream("blob", 2) as body:
        assert b"".join(body.blocks) == b"345"


def test_an_answer_is_an_answer(fetcher: Fetcher, server: Server) -> None:
    """Who says that there is nothing is believed; the next mirror is not asked."""
    origin = Origin([server.url, server.url], fetcher)

    with pytest.raises(NotOnMirrorError):
        origin.ask("nothing.json", limit=100)

    assert len(server.requests) == 1


def test_when_all_are_away_the_last_is_named(fetcher: Fetcher, server: Server) -> None:
    """The network's fault is told when no URL is left."""
    server.misbehave("/", PORTAL)

    with pytest.raises(NetworkError, match=NOBODY):
        Origin([server.url, NOBODY], fetcher).ask("list.json", limit=100)


def test_what_the_mirror_names_and_does_not_have_is_its_fault(fetcher: Fetcher, server: Server) -> None:
    """It may be in the middle of being copied, so it is tried again later."""
    origin = Origin([server.url], fetcher)

    with pytest.raises(IncompleteMirrorError, match="is being copied") as caught:
        origin.fetch("nothing.json", limit=100)
    with pytest.raises(IncompleteMirrorError), origin.stream("nothing", 0):
        pass

    assert (caught.value.url, caught.value.exit_code) == (f"{server.url}/nothing.json", 75)


def test_a_condition_goes_with_the_question(fetcher: Fetcher, server: Server) -> None:
    """To whichever URL answers."""
    origin = Origin([NOBODY, server.url], fetcher)
    known = origin.ask("list.json", limit=100).validators

    assert origin.ask("list.json", limit=100, known=known).data is None
    assert (server.requests[-1].etag, server.requests[-1].modified) == (known.etag, known.modified)


def test_a_stream_that_breaks_is_told(fetcher: Fetcher, server: Server) -> None:
    """Once bytes come, what goes wrong is told to who reads them, and keeps what came."""
    server.misbehave("/", Fault(cut_after=2))

    came = read(Origin([server.url, server.url], fetcher))

    assert came == b"12"
    assert len(server.requests) == 1


@pytest.fixture
def edges(tree: Path) -> Iterator[list[Server]]:
    """Three servers of one mirror."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(httpd.serving(tree)) for _ in range(3)]


@pytest.fixture
def origin(edges: list[Server], fetcher: Fetcher) -> Origin:
    """A remote that has three URLs."""
    return Origin([server.url for server in edges], fetcher)


def read(origin: Origin, error: Exception | None = None) -> bytes:
    """Read a stream until it breaks, or the reader finds this to be wrong."""
    came = bytearray()
    with contextlib.suppress(NetworkError, BrokenPromiseError), origin.stream("blob", 0) as body:
        for block in body.blocks:
            came.extend(block)
        if error:
            raise error
    return bytes(came)


def who_was_asked(edges: list[Server]) -> list[int]:
    """Count the requests that each server has got since this was asked last."""
    counts = [len(server.requests) for server in edges]
    for server in edges:
        server.requests.clear()
    return counts


def test_after_a_break_the_next_stream_begins_elsewhere(origin: Origin, edges: list[Server]) -> None:
    """Whoever failed last is asked last."""
    for server in edges:
        server.misbehave("/blob", Fault(cut_after=2))

    for asked in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]):
        read(origin)
        assert who_was_asked(edges) == asked


def test_who_failed_is_asked_after_the_others(origin: Origin, edges: list[Server]) -> None:
    """What is not answered at all counts as much as a stream that breaks, for all kinds of files."""
    edges[0].misbehave("/list.json", Fault(status=503), times=1)
    origin.ask("list.json", limit=100)
    assert who_was_asked(edges) == [1, 1, 0]

    origin.ask("list.json", limit=100)
    origin.fetch("list.json", limit=100)
    assert read(origin) == b"12345"

    assert who_was_asked(edges) == [0, 3, 0]


def test_the_preferred_one_is_not_forgotten(origin: Origin, edges: list[Server]) -> None:
    """After some requests to others it is tried again, and kept if it answers."""
    edges[0].misbehave("/list.json", Fault(status=503), times=1)

    for _ in range(REST + 10):
        origin.ask("list.json", limit=100)

    first, *others = who_was_asked(edges)
    assert (first, others) == (1 + 10, [REST, 0])


def test_who_sent_wrong_bytes_is_asked_last(origin: Origin, edges: list[Server]) -> None:
    """Who only breaks off is better than who lies, even if it was later."""
    read(origin, BrokenPromiseError("the blob", "is wrong"))
    assert who_was_asked(edges) == [1, 0, 0]
    edges[1].misbehave("/blob", Fault(cut_after=2))
    edges[2].misbehave("/blob", Fault(cut_after=2))

    for _ in range(3):
        read(origin)

    assert who_was_asked(edges) == [0, 2, 1]


def test_who_lied_has_lied(origin: Origin, edges: list[Server]) -> None:
    """Who is asked nevertheless, because nobody else answers, and breaks off, is no better for that."""
    read(origin, BrokenPromiseError("the blob", "is wrong"))
    for server in edges:
        server.misbehave("/blob", Fault(status=503), times=1)
    read(origin)
    edges[1].misbehave("/blob", Fault(status=503), times=1)
    edges[2].misbehave("/blob", Fault(status=503), times=1)
    who_was_asked(edges)

    assert read(origin) == b"12345"

    assert who_was_asked(edges) == [1, 1, 1]
    edges[1].misbehave("/blob", Fault(status=503), times=1)
    assert read(origin) == b"12345"
    assert who_was_asked(edges) == [0, 1, 1]


def test_an_error_of_ones_own_is_nobodys_fault(origin: Origin, edges: list[Server]) -> None:
    """A disk that is full says nothing about a server."""
    with pytest.raises(OSError, match="full"):
        read(origin, OSError("full"))

    read(origin)
    assert who_was_asked(edges) == [2, 0, 0]


@pytest.mark.parametrize("status", [404, 403])
def test_what_one_url_lacks_another_may_have(origin: Origin, edges: list[Server], status: int) -> None:
    """A file that the mirror names and that is not there: this URL may be behind the others."""
    edges[0].misbehave("/", Fault(status=status))
    edges[1].misbehave("/", Fault(status=503))

    assert origin.fetch("list.json", limit=100).data == LIST
    assert who_was_asked(edges) == [1, 1, 1]
    assert read(origin) == b"12345"
    assert who_was_asked(edges) == [0, 0, 1]


def test_a_stream_is_looked_for_everywhere(origin: Origin, edges: list[Server]) -> None:
    """It is opened where it is, and missing if it is nowhere."""
    edges[0].misbehave("/blob", Fault(status=404))
    edges[1].misbehave("/blob", Fault(status=404))

    assert read(origin) == b"12345"
    assert who_was_asked(edges) == [1, 1, 1]
    edges[2].misbehave("/blob", Fault(status=404))
    with pytest.raises(IncompleteMirrorError), origin.stream("blob", 0):
        pass


def test_a_stream_tells_where_else_it_could_come_from(origin: Origin) -> None:
    """From how many other URLs."""
    with origin.stream("blob", 0) as body:
        assert body.others == 2


def test_what_may_not_be_there_is_asked_for_once(origin: Origin, edges: list[Server]) -> None:
    """That a file is missing which nobody promised is an answer, and held against nobody."""
    for _ in range(2):
        with pytest.raises(NotOnMirrorError):
            origin.ask("nothing.json", limit=100)

    assert who_was_asked(edges) == [2, 0, 0]
