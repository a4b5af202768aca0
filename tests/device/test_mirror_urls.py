"""Where a remote is found, under one or several URLs."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient.errors import BrokenPromiseError, NetworkError, NotOnMirrorError, WebPageError
from devclient.settings.config import Network
from devclient.trust.elapsed import DAY, Instant
from devclient.trust.mirror_urls import MirrorUrls
from devclient.trust_errors import IncompleteMirrorError
from devclient.web.fetcher import Fetcher
from tests.support import httpd
from tests.support.httpd import PORTAL, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devclient.trust.url_records import UrlRecord
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


NOW = Instant(datetime(2026, 12, 1, tzinfo=UTC), 1000.0, "boot")


def later(seconds: float) -> Instant:
    """Return a moment after that."""
    return Instant(NOW.clock + timedelta(seconds=seconds), NOW.uptime + seconds, NOW.boot)


def known(urls: list[str], fetcher: Fetcher, now: Instant = NOW) -> MirrorUrls:
    """Return a remote at these URLs, of which nothing is kept yet."""
    return MirrorUrls(urls, fetcher, lambda: now)


def find(urls: MirrorUrls, path: str = "list.json") -> bytes | None:
    """Find a file that the mirror names."""
    return urls.search(path, limit=100).next().data


def test_a_mirror_that_is_away_is_replaced_by_the_next(fetcher: Fetcher, server: Server) -> None:
    """What the mirror names comes from any URL that has it; the answer says from which."""
    urls = known([NOBODY, server.url], fetcher)

    answer = urls.search("list.json", limit=100).next()

    assert (answer.data, answer.url) == (LIST, f"{server.url}/list.json")
    with urls.stream("blob", 2) as body:
        assert b"".join(body.blocks) == b"345"


def test_one_url_answers_for_itself(fetcher: Fetcher, server: Server) -> None:
    """Whether something is there at one URL is not asked of another."""
    urls = known([NOBODY, server.url], fetcher)

    with pytest.raises(NetworkError):
        urls.ask(NOBODY, "list.json", limit=100)
    with pytest.raises(NotOnMirrorError):
        urls.ask(server.url, "nothing.json", limit=100)

    assert len(server.requests) == 1


def test_of_all_that_is_wrong_the_worst_is_told(edges: list[Server], origin: MirrorUrls) -> None:
    """Wrong bytes are worse than none, and those worse than a network that is away."""
    edges[0].misbehave("/", PORTAL)
    edges[1].misbehave("/", Fault(status=404))
    edges[2].misbehave("/", Fault(status=503))

    with pytest.raises(WebPageError):
        find(origin)


def test_what_the_mirror_names_and_does_not_have_is_its_fault(fetcher: Fetcher, server: Server) -> None:
    """It may be in the middle of being copied, so it is tried again later."""
    urls = known([server.url], fetcher)

    with pytest.raises(IncompleteMirrorError, match="is being copied") as caught:
        find(urls, "nothing.json")
    with pytest.raises(IncompleteMirrorError), urls.stream("nothing", 0):
        pass

    assert (caught.value.url, caught.value.exit_code) == (f"{server.url}/nothing.json", 75)


def test_a_condition_goes_with_the_question(fetcher: Fetcher, server: Server) -> None:
    """To the URL that is asked."""
    urls = known([server.url], fetcher)
    validators = urls.ask(server.url, "list.json", limit=100).validators

    assert urls.ask(server.url, "list.json", limit=10, known=validators).data is None
    assert server.requests[-1].etag == validators.etag


def test_wrong_bytes_are_asked_for_around_caches_and_then_elsewhere(edges: list[Server], origin: MirrorUrls) -> None:
    """Once at each URL, until somebody has the right ones."""
    search = origin.search("list.json", limit=100)
    for _ in range(4):
        search.next()
        search.wrong(BrokenPromiseError("the list", "is wrong"))
    search.next()

    assert [[request.cache for request in server.requests] for server in edges] == [["", "no-cache"]] * 2 + [[""]]


def test_a_stream_that_breaks_is_told(fetcher: Fetcher, server: Server) -> None:
    """Once bytes come, what goes wrong is told to who reads them, and keeps what came."""
    server.misbehave("/", Fault(cut_after=2))

    came = read(known([server.url], fetcher))

    assert came == b"12"
    assert len(server.requests) == 1


@pytest.fixture
def edges(tree: Path) -> Iterator[list[Server]]:
    """Three servers of one mirror."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(httpd.serving(tree)) for _ in range(3)]


@pytest.fixture
def origin(edges: list[Server], fetcher: Fetcher) -> MirrorUrls:
    """A remote that has three URLs."""
    return known([server.url for server in edges], fetcher)


def read(origin: MirrorUrls, error: Exception | None = None) -> bytes:
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


def test_after_a_break_the_next_stream_begins_elsewhere(origin: MirrorUrls, edges: list[Server]) -> None:
    """Whoever failed last is asked last."""
    for server in edges:
        server.misbehave("/blob", Fault(cut_after=2))

    for asked in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]):
        read(origin)
        assert who_was_asked(edges) == asked


def test_who_failed_is_asked_after_the_others(origin: MirrorUrls, edges: list[Server]) -> None:
    """What is not answered at all counts as much as a stream that breaks, for all kinds of files."""
    edges[0].misbehave("/list.json", Fault(status=503), times=1)
    find(origin)
    assert who_was_asked(edges) == [1, 1, 0]

    find(origin)
    find(origin)
    assert read(origin) == b"12345"

    assert who_was_asked(edges) == [0, 3, 0]


def test_blame_is_durable_and_lasts_a_day(edges: list[Server], fetcher: Fetcher) -> None:
    """Who failed is asked after the others by the next process too, for a day, and is never left out."""
    kept: dict[str, UrlRecord] = {}
    places = [server.url for server in edges]
    MirrorUrls(places, fetcher, lambda: NOW, kept, kept.update).blame(places[0], NetworkError(places[0], "was away"))

    def order(now: Instant) -> list[str]:
        return MirrorUrls(places, fetcher, lambda: now, kept).order()

    assert order(NOW) == order(later(DAY - 1)) == [*places[1:], places[0]]
    assert order(later(DAY)) == places


def test_who_led_to_what_is_known_is_asked_first(origin: MirrorUrls, edges: list[Server]) -> None:
    """For what metadata names; until something is held against it."""
    origin.follow(edges[1].url)
    find(origin)
    assert who_was_asked(edges) == [0, 1, 0]
    origin.blame(edges[1].url, NetworkError("it", "went away"))

    find(origin)

    assert who_was_asked(edges) == [1, 0, 0]


def test_retry_after_binds_its_sender_alone(edges: list[Server], fetcher: Fetcher) -> None:
    """It is left alone for so long, by the next process too; who has no other waits for the first that may be asked."""
    kept: dict[str, UrlRecord] = {}
    places = [server.url for server in edges[:2]]
    urls = MirrorUrls(places, fetcher, lambda: NOW, kept, kept.update)
    edges[0].misbehave("/", Fault(status=503, headers={"Retry-After": "600"}))
    edges[1].misbehave("/", Fault(status=429, headers={"Retry-After": "60"}))

    with pytest.raises(NetworkError):
        urls.ask(places[0], "list.json", limit=100)
    assert (MirrorUrls(places, fetcher, lambda: NOW, kept).order(), urls.wait) == ([places[1]], 0)
    with pytest.raises(NetworkError):
        urls.ask(places[1], "list.json", limit=100)

    assert (urls.order(), urls.wait) == (places, 60)
    assert MirrorUrls(places, fetcher, lambda: later(60), kept).order() == [places[1]]
    assert MirrorUrls(places, fetcher, lambda: later(600), kept).order() == places


def test_who_sent_wrong_bytes_is_asked_last(origin: MirrorUrls, edges: list[Server]) -> None:
    """Who only breaks off is better than who lies, even if it was later."""
    read(origin, BrokenPromiseError("the blob", "is wrong"))
    assert who_was_asked(edges) == [1, 0, 0]
    edges[1].misbehave("/blob", Fault(cut_after=2))
    edges[2].misbehave("/blob", Fault(cut_after=2))

    for _ in range(3):
        read(origin)

    assert who_was_asked(edges) == [0, 2, 1]


def test_who_lied_has_lied(origin: MirrorUrls, edges: list[Server]) -> None:
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


def test_an_error_of_ones_own_is_nobodys_fault(origin: MirrorUrls, edges: list[Server]) -> None:
    """A disk that is full says nothing about a server."""
    with pytest.raises(OSError, match="full"):
        read(origin, OSError("full"))

    read(origin)
    assert who_was_asked(edges) == [2, 0, 0]


@pytest.mark.parametrize("status", [404, 403])
def test_what_one_url_lacks_another_may_have(origin: MirrorUrls, edges: list[Server], status: int) -> None:
    """A file that the mirror names and that is not there: this URL may be behind the others."""
    edges[0].misbehave("/", Fault(status=status))
    edges[1].misbehave("/", Fault(status=503))

    assert find(origin) == LIST
    assert who_was_asked(edges) == [1, 1, 1]
    assert read(origin) == b"12345"
    assert who_was_asked(edges) == [0, 0, 1]


def test_a_stream_is_looked_for_everywhere(origin: MirrorUrls, edges: list[Server]) -> None:
    """It is opened where it is, and missing if it is nowhere."""
    edges[0].misbehave("/blob", Fault(status=404))
    edges[1].misbehave("/blob", Fault(status=404))

    assert read(origin) == b"12345"
    assert who_was_asked(edges) == [1, 1, 1]
    edges[2].misbehave("/blob", Fault(status=404))
    with pytest.raises(IncompleteMirrorError), origin.stream("blob", 0):
        pass


def test_a_stream_tells_where_else_it_could_come_from(origin: MirrorUrls) -> None:
    """From how many other URLs."""
    with origin.stream("blob", 0) as body:
        assert body.others == 2


def test_the_longest_wait_that_a_server_wants_is_kept(fetcher: Fetcher, server: Server) -> None:
    """Also if the same one wants less, or answers, later."""
    urls = known([server.url], fetcher)
    for wait in ("30", "600", "60"):
        server.misbehave("/", Fault(status=503, headers={"Retry-After": wait}), times=1)
        with pytest.raises(NetworkError):
            urls.ask(server.url, "list.json", limit=100)
    find(urls)

    assert urls.wait == 600
