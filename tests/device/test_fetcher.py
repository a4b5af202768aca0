"""HTTP for devices, against a real server that misbehaves."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from devclient.errors import MirrorRefusesError, NetworkError, NotOnMirrorError, SlowMirrorError
from devclient.held_errors import StoppedError
from devclient.settings.config import Network
from devclient.trust_errors import EndlessDataError
from devclient.web.fetcher import MAX_REDIRECTS, Fetcher
from devclient.web.headers import Validators
from mirror.errors import DeviceError
from tests.support.httpd import PORTAL, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.httpd import Server

JSON = b'{"package":1}\n'
BLOB = random.Random(7).randbytes(256_000)

HASTY = replace(Network(), patience=0.2, minimum_rate=1e6)
"""Settings under which a server that drips is left at once; one that does not, is not."""


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """A fetcher with the usual patience."""
    with Fetcher(Network(), "otadevice/test", time.monotonic) as made:
        yield made


@pytest.fixture
def hasty() -> Iterator[Fetcher]:
    """A fetcher with little patience."""
    with Fetcher(HASTY, "otadevice/test", time.monotonic) as made:
        yield made


@pytest.fixture(autouse=True)
def files(tree: Path) -> None:
    """Two files to fetch."""
    (tree / "list.json").write_bytes(JSON)
    (tree / "blob").write_bytes(BLOB)


def read(fetcher: Fetcher, url: str, offset: int = 0) -> tuple[int, bytes]:
    """Read a stream to its end; returns where it began and what came."""
    with fetcher.stream(url, offset) as body:
        return body.start, b"".join(body.blocks)


def test_a_file_comes_whole(fetcher: Fetcher, server: Server) -> None:
    """A small file is fetched, by one that says who it is."""
    assert fetcher.ask(f"{server.url}/list.json", limit=100).data == JSON
    assert server.requests[-1].agent == "otadevice/test"


def test_what_is_not_there_is_told(fetcher: Fetcher, server: Server) -> None:
    """404 has an error of its own, with the URL."""
    with pytest.raises(NotOnMirrorError, match="check the names") as caught:
        fetcher.ask(f"{server.url}/nothing.json", limit=100)

    assert (caught.value.url, caught.value.status) == (f"{server.url}/nothing.json", 404)
    assert caught.value.exit_code == 1


def test_what_is_forbidden_is_told(fetcher: Fetcher, server: Server) -> None:
    """A refusal that will not pass by itself is a failure with its status."""
    server.misbehave("/", Fault(status=403))

    with pytest.raises(MirrorRefusesError, match="403") as caught:
        fetcher.ask(f"{server.url}/list.json", limit=100)

    assert caught.value.exit_code == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 511])
def test_what_passes_by_itself_is_tried_later(fetcher: Fetcher, server: Server, status: int) -> None:
    """A server in trouble means try later, with what it says about when."""
    server.misbehave("/", Fault(status=status, headers={"Retry-After": "120"}))

    with pytest.raises(NetworkError, match=str(status)) as caught:
        fetcher.ask(f"{server.url}/list.json", limit=100)

    assert caught.value.exit_code == 75
    assert caught.value.retry_after == 120


@pytest.mark.parametrize("head", [True, False], ids=["head", "body"])
def test_a_read_that_takes_long_can_be_left(server: Server, *, head: bool) -> None:
    """Whoever is asked before each read may raise, and that comes through as it is; the connection is closed."""
    reads = 0

    def go_on() -> None:
        nonlocal reads
        reads += 1
        if reads > 20:
            raise StoppedError

    server.misbehave("/", Fault(drip_head=0.001) if head else Fault(drip=0.001, extra=bytes(1000)))
    with Fetcher(Network(), "otadevice/test", time.monotonic, go_on=go_on) as made:
        with pytest.raises(StoppedError):
            made.ask(f"{server.url}/list.json", limit=10_000_000)

        reads = -1_000_000
        server.behave()
        assert made.ask(f"{server.url}/list.json", limit=100).data


@pytest.mark.parametrize(
    "fault",
    [PORTAL, replace(PORTAL, headers={}), replace(PORTAL, body=b"sign in"), replace(PORTAL, body=b"")],
    ids=["both", "by its first letter", "by its type", "empty"],
)
def test_a_captive_portal_is_the_networks_fault(fetcher: Fetcher, server: Server, fault: Fault) -> None:
    """A web page in the place of JSON means try later, whatever type it says it has."""
    server.misbehave("/", fault)

    with pytest.raises(NetworkError, match="sign-in"):
        fetcher.ask(f"{server.url}/list.json", limit=100)


def test_nobody_listening_is_the_networks_fault(fetcher: Fetcher, server: Server) -> None:
    """A connection that is refused means try later, in words that a person understands."""
    with pytest.raises(NetworkError, match=r"the connection failed \(Connection refused\); try again later"):
        fetcher.ask("http://127.0.0.1:1/list.json", limit=100)


def test_a_file_that_is_too_large_is_left(fetcher: Fetcher, server: Server) -> None:
    """No more than the limit, and one block, is ever read of a small file."""
    server.misbehave("/", Fault(body=b"{" * 50_000_000))

    with pytest.raises(EndlessDataError, match="more than 100 bytes"):
        fetcher.ask(f"{server.url}/list.json", limit=100)

    assert server.requests[-1].sent < 50_000_000


def test_a_file_that_is_cut_off_is_no_file(fetcher: Fetcher, server: Server) -> None:
    """Fewer bytes than the server announced are an error."""
    server.misbehave("/", Fault(cut_after=3))

    with pytest.raises(NetworkError, match="the connection failed"):
        fetcher.ask(f"{server.url}/list.json", limit=100)


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "x-unheard-of"])
def test_other_codings_than_gzip_are_not_taken(fetcher: Fetcher, server: Server, coding: str) -> None:
    """What nobody asked for is the fault of something on the way."""
    server.misbehave("/", Fault(encoding=coding))

    with pytest.raises(NetworkError, match="encodes"):
        fetcher.ask(f"{server.url}/list.json", limit=100)


def test_a_small_file_may_come_compressed(fetcher: Fetcher, server: Server, tree: Path) -> None:
    """Compression is asked for, and undone; the limit is that of the file itself."""
    data = b'{"package":"' + b"z" * 20_000 + b'"}'
    (tree / "long.json").write_bytes(data)

    assert fetcher.ask(f"{server.url}/long.json", limit=len(data)).data == data
    assert server.requests[-1].accepts == "gzip"
    assert server.requests[-1].sent < 1000


def test_a_large_file_is_never_compressed(fetcher: Fetcher, server: Server) -> None:
    """A package is asked for as it is, and not taken if it comes otherwise."""
    read(fetcher, f"{server.url}/blob")
    server.misbehave("/", Fault(encoding="gzip"))

    with pytest.raises(NetworkError, match="encodes"):
        read(fetcher, f"{server.url}/blob")
    assert {request.accepts for request in server.requests} == {"identity"}


def test_what_unpacks_to_too_much_is_left(fetcher: Fetcher, server: Server) -> None:
    """The limit holds for what comes out of gzip: a byte more is too much."""
    server.misbehave("/", Fault(body=b"{" * 101, encoding="gzip"))

    with pytest.raises(EndlessDataError, match="more than 100 bytes"):
        fetcher.ask(f"{server.url}/list.json", limit=100)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (gzip.compress(JSON, mtime=0)[:-1], "cut off"),
        (gzip.compress(JSON, mtime=0)[:12], "cut off"),
        (b"", "cut off"),
        (gzip.compress(JSON, mtime=0) + b"!", "more bytes came"),
        (gzip.compress(JSON, mtime=0) + gzip.compress(JSON, mtime=0), "more bytes came"),
        (gzip.compress(JSON, mtime=0)[:-8] + b"\0" * 8, "damaged"),
        (JSON, "damaged"),
    ],
)
def test_gzip_that_is_not_whole_is_the_networks_fault(
    fetcher: Fetcher, server: Server, body: bytes, problem: str
) -> None:
    """Cut off, followed by something, or damaged: it is tried again later."""
    server.misbehave("/", Fault(body=body, headers={"Content-Encoding": "gzip"}))

    with pytest.raises(NetworkError, match=problem):
        fetcher.ask(f"{server.url}/list.json", limit=100)


def test_a_page_that_comes_compressed_is_a_page(fetcher: Fetcher, server: Server) -> None:
    """Nor does a captive portal become an attack by being large."""
    server.misbehave("/", Fault(body=b"<html>" + b" " * 1_000_000, encoding="gzip"))

    with pytest.raises(NetworkError, match="sign-in"):
        fetcher.ask(f"{server.url}/list.json", limit=100)


def test_a_file_is_asked_for_by_what_is_known_of_it(fetcher: Fetcher, server: Server, tree: Path) -> None:
    """With the ETag of an answer the next is 304 and empty, until the file changes."""
    url = f"{server.url}/list.json"
    first = fetcher.ask(url, limit=100)
    again = fetcher.ask(url, limit=100, known=first.validators)
    (tree / "list.json").write_bytes(JSON + b" ")
    changed = fetcher.ask(url, limit=100, known=first.validators)

    assert (first.data, again.data, changed.data) == (JSON, None, JSON + b" ")
    assert again.validators == first.validators != changed.validators
    assert [request.etag for request in server.requests] == ["", first.validators.etag, first.validators.etag]
    assert [request.status for request in server.requests] == [200, 304, 200]


def test_a_server_without_etags_is_asked_by_the_date(fetcher: Fetcher, server: Server, tree: Path) -> None:
    """It is sent as it came, and where there are both, both are."""
    url = f"{server.url}/list.json"
    os.utime(tree / "list.json", (0, 1_000_000_000))
    both = fetcher.ask(url, limit=100).validators
    fetcher.ask(url, limit=100, known=both)
    server.misbehave("/", Fault(headers={"ETag": None}))
    dated = fetcher.ask(url, limit=100).validators

    assert fetcher.ask(url, limit=100, known=dated).data is None
    assert (dated.etag, dated.modified) == ("", both.modified)
    asked = [(request.etag, request.modified) for request in server.requests]
    assert asked == [("", ""), (both.etag, both.modified), ("", ""), ("", both.modified)]


def test_a_file_may_be_wanted_as_it_is(fetcher: Fetcher, server: Server) -> None:
    """Uncompressed, and past whatever caches there are."""
    fetcher.ask(f"{server.url}/list.json", limit=100)
    fetcher.ask(f"{server.url}/list.json", limit=100, compressed=False, around_caches=True)
    with fetcher.stream(f"{server.url}/blob", 1000, around_caches=True):
        pass

    asked = [(request.accepts, request.cache) for request in server.requests]
    assert asked == [("gzip", ""), ("identity", "no-cache"), ("identity", "no-cache")]


@pytest.mark.parametrize("etag", ["", "no quotes", '"with\n newline"', '"' + "x" * 300 + '"'])
def test_what_is_no_etag_is_not_sent(fetcher: Fetcher, server: Server, etag: str) -> None:
    """What was kept may be damaged; then the file is simply asked for."""
    assert fetcher.ask(f"{server.url}/list.json", limit=100, known=Validators(etag)).data == JSON
    assert server.requests[-1].etag == ""


def test_304_without_being_asked_is_the_networks_fault(fetcher: Fetcher, server: Server) -> None:
    """Nobody can say "nothing new" to who has nothing."""
    server.misbehave("/", Fault(status=304))

    with pytest.raises(NetworkError, match="304"):
        fetcher.ask(f"{server.url}/list.json", limit=100)


@pytest.mark.parametrize("status", ["200 OK", "304 Not Modified"])
def test_an_answer_tells_what_the_server_takes_for_the_time(fetcher: Fetcher, server: Server, status: str) -> None:
    """Whether the file comes or has not changed."""
    length = 0 if status.startswith("304") else len(JSON)
    head = f"HTTP/1.1 {status}\r\nDate: Mon, 23 Nov 2026 09:00:00 +0100\r\nContent-Length: {length}\r\n\r\n"
    server.misbehave("/", Fault(raw=head.encode() + JSON[:length]))

    answer = fetcher.ask(f"{server.url}/list.json", limit=100, known=Validators('"known"'))

    assert answer.date == datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1 \xff\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nx",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes 1000-2000/" + b"9" * 5000 + b"\r\n\r\nx",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes " + b"9" * 5000 + b"-9/9\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 302 Found\r\nLocation: http://a..b:99999999/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
    ],
    ids=range(14),
)
def test_nonsense_is_the_networks_fault(fetcher: Fetcher, server: Server, raw: bytes, offset: int) -> None:
    """Whatever comes, what is told is an error of ours, or the bytes that came to their end."""
    server.misbehave("/", Fault(raw=raw))

    for fetch in (lambda: fetcher.ask(f"{server.url}/a", limit=10), lambda: read(fetcher, f"{server.url}/a", offset)):
        with contextlib.suppress(DeviceError):
            fetch()

    assert len(server.requests) >= 2


def test_slowness_is_told_from_other_faults(hasty: Fetcher, server: Server) -> None:
    """Who reads a large file may care."""
    server.misbehave("/", Fault(drip=0.01), times=1)
    server.misbehave("/", Fault(cut_after=10), times=1)

    with pytest.raises(SlowMirrorError):
        read(hasty, f"{server.url}/blob")
    with pytest.raises(NetworkError) as caught:
        read(hasty, f"{server.url}/blob")
    assert not isinstance(caught.value, SlowMirrorError)


def test_a_body_that_drips_is_left(hasty: Fetcher, server: Server) -> None:
    """A server that sends byte by byte meets every time limit of a read, and is left all the same."""
    server.misbehave("/", Fault(body=b"{" * 1_000_000, drip=0.01))

    with pytest.raises(NetworkError, match="too slow"):
        hasty.ask(f"{server.url}/list.json", limit=1_000_000)


def test_a_head_that_drips_is_left(hasty: Fetcher, server: Server) -> None:
    """A head that never ends keeps nobody either."""
    server.misbehave("/", Fault(drip_head=0.01))

    with pytest.raises(NetworkError, match="too slow"):
        hasty.ask(f"{server.url}/list.json", limit=100)


def test_a_stream_that_drips_is_left(hasty: Fetcher, server: Server) -> None:
    """The same holds while a large file is read."""
    server.misbehave("/", Fault(drip=0.01))

    with pytest.raises(NetworkError, match="too slow"):
        read(hasty, f"{server.url}/blob")


def test_a_stream_that_falls_silent_gives_what_came(hasty: Fetcher, server: Server) -> None:
    """No byte that was received waits for others when the connection is given up."""
    server.misbehave("/", Fault(hold_after=100_001))
    came = bytearray()

    def read_all() -> None:
        with hasty.stream(f"{server.url}/blob") as body:
            for block in body.blocks:
                came.extend(block)

    with pytest.raises(NetworkError, match="too slow"):
        read_all()

    assert came == BLOB[:100_001]


class Clock:
    """A clock that goes on by itself, or by hand."""

    def __init__(self, step: float = 0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        """Tell the time."""
        self.now += self.step
        return self.now


def test_a_small_file_has_a_deadline(server: Server) -> None:
    """However fast its bytes come, a file that takes longer than the deadline is left."""
    server.misbehave("/", Fault(body=b"{" * 50_000_000))
    network = replace(Network(), patience=1e9, deadline=5)

    with Fetcher(network, "otadevice/test", Clock(step=1)) as fetcher, pytest.raises(NetworkError, match="slow"):
        fetcher.ask(f"{server.url}/list.json", limit=100_000_000)


@pytest.mark.parametrize("offset", [0, 1000])
def test_a_large_file_has_none(server: Server, offset: int) -> None:
    """Once its head is there, a blob may take as long as it takes."""
    clock = Clock()

    with (
        Fetcher(replace(Network(), deadline=5), "otadevice/test", clock) as fetcher,
        fetcher.stream(f"{server.url}/blob", offset) as body,
    ):
        clock.now += 1000
        came = b"".join(body.blocks)

    assert came == BLOB[offset:]


def test_redirects_are_followed(fetcher: Fetcher, server: Server) -> None:
    """As many redirects as allowed lead to the file."""
    there = Fault(status=302, headers={"Location": "/list.json"})
    server.misbehave("/", there, times=MAX_REDIRECTS)

    assert fetcher.ask(f"{server.url}/start.json", limit=100).data == JSON
    assert len(server.requests) == MAX_REDIRECTS + 1


def test_redirects_without_end_are_left(fetcher: Fetcher, server: Server) -> None:
    """One redirect more than allowed is the network's fault."""
    server.misbehave("/", Fault(status=302, headers={"Location": "/list.json"}))

    with pytest.raises(NetworkError, match="redirected more than 5 times"):
        fetcher.ask(f"{server.url}/start.json", limit=100)

    assert len(server.requests) == MAX_REDIRECTS + 1


def test_the_body_of_a_redirect_is_not_read(fetcher: Fetcher, server: Server) -> None:
    """A redirect cannot fill the memory."""
    server.misbehave("/start", Fault(status=302, body=b"x" * 50_000_000, headers={"Location": "/list.json"}))

    assert fetcher.ask(f"{server.url}/start.json", limit=100).data == JSON
    assert server.requests[0].sent < 50_000_000


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://[", ""])
def test_redirects_to_nowhere_are_left(fetcher: Fetcher, server: Server, location: str) -> None:
    """A redirect leads to http or https, or nowhere."""
    server.misbehave("/", Fault(status=302, headers={"Location": location}))

    with pytest.raises(NetworkError, match="no place on the web"):
        fetcher.ask(f"{server.url}/start.json", limit=100)


def test_a_stream_begins_where_it_is_asked_to(fetcher: Fetcher, server: Server) -> None:
    """A Range is asked for and answered."""
    assert read(fetcher, f"{server.url}/blob", 1000) == (1000, BLOB[1000:])
    assert [request.range for request in server.requests] == ["bytes=1000-"]


def test_a_stream_from_the_start_asks_for_no_range(fetcher: Fetcher, server: Server) -> None:
    """Without an offset the file is asked for as a whole."""
    assert read(fetcher, f"{server.url}/blob") == (0, BLOB)
    assert [request.range for request in server.requests] == [""]


def test_a_redirect_keeps_the_range(fetcher: Fetcher, server: Server) -> None:
    """Where a redirect leads, the same part of the file is asked for."""
    server.misbehave("/", Fault(status=307, headers={"Location": "/blob"}), times=1)

    assert read(fetcher, f"{server.url}/start", 1000) == (1000, BLOB[1000:])


def test_a_server_that_ignores_ranges_gives_all(fetcher: Fetcher, server: Server) -> None:
    """200 to a Range is the whole file, and said to be."""
    server.misbehave("/", Fault(ignore_range=True))

    assert read(fetcher, f"{server.url}/blob", 1000) == (0, BLOB)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(headers={"Content-Range": "bytes 999-255999/256000"}),
        Fault(headers={"Content-Range": "bytes=1000-"}),
        Fault(headers={"Content-Range": None}),
        Fault(headers={"Content-Range": None, "Content-Type": "multipart/byteranges; boundary=x"}),
        Fault(status=416),
    ],
    ids=["elsewhere", "nonsense", "missing", "in parts", "416"],
)
def test_an_answer_to_a_range_that_cannot_be_used_starts_over(fetcher: Fetcher, server: Server, fault: Fault) -> None:
    """Bytes from an unknown place are not read; the file is asked for as a whole instead."""
    server.misbehave("/", fault, times=1)

    assert read(fetcher, f"{server.url}/blob", 1000) == (0, BLOB)
    assert [request.range for request in server.requests] == ["bytes=1000-", ""]


@pytest.mark.parametrize("offset", [0, 1000])
def test_a_part_of_what_was_asked_for_as_a_whole_is_the_networks_fault(
    fetcher: Fetcher, server: Server, offset: int
) -> None:
    """206 to no Range comes from something on the way that mixes requests up."""
    server.misbehave("/", Fault(status=416), times=1 if offset else 0)
    server.misbehave("/", Fault(status=206))

    with pytest.raises(NetworkError, match="206"):
        read(fetcher, f"{server.url}/blob", offset)
    with pytest.raises(NetworkError, match="206"):
        fetcher.ask(f"{server.url}/list.json", limit=100)


@pytest.mark.parametrize("fault", [Fault(status=416), Fault(headers={"Content-Range": "bytes 0-1/2"})])
def test_starting_over_ends(fetcher: Fetcher, server: Server, fault: Fault) -> None:
    """A Range is given up once; what is said to be wrong after that, too, is an answer like any other."""
    server.misbehave("/", fault)

    with contextlib.suppress(NetworkError):
        read(fetcher, f"{server.url}/blob", 1000)

    assert [request.range for request in server.requests] == ["bytes=1000-", ""]


def test_a_page_is_known_by_its_type(fetcher: Fetcher, server: Server) -> None:
    """Whether a large file is what a network says that wants a sign-in is for the reader to judge, who knows more."""
    with fetcher.stream(f"{server.url}/blob") as plain:
        assert not plain.is_page
    server.misbehave("/", PORTAL)
    with fetcher.stream(f"{server.url}/blob") as page:
        assert page.is_page


class Sleeper:
    """A time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self.now += seconds


@pytest.mark.parametrize("rate", [5_000, 100_000])
def test_packages_come_as_fast_as_the_settings_allow(server: Server, rate: int) -> None:
    """Not faster, over several requests, and in small blocks; small files are not held back."""
    time = Sleeper()
    with Fetcher(replace(Network(), bandwidth=rate), "otadevice/test", time, time.sleep) as fetcher:
        for _ in range(3):
            fetcher.ask(f"{server.url}/list.json", limit=100)
        assert time.now == 0
        for offset in (0, 100_000):
            with fetcher.stream(f"{server.url}/blob", offset) as body:
                blocks = list(body.blocks)
            assert b"".join(blocks) == BLOB[offset:]
            assert max(map(len, blocks)) <= rate // 4

    assert time.now == pytest.approx((2 * len(BLOB) - 100_000) / rate, rel=0.05)


def test_held_back_is_not_too_slow(server: Server) -> None:
    """The patience with a server is not used up by the device's own waiting."""
    time = Sleeper()
    network = replace(Network(), bandwidth=1000, patience=0.5, minimum_rate=1e6)
    with Fetcher(network, "otadevice/test", time, time.sleep) as fetcher:
        assert read(fetcher, f"{server.url}/blob") == (0, BLOB)

    assert time.now > 250


@pytest.mark.parametrize(
    ("offset", "headers", "total"),
    [
        (0, {}, len(BLOB)),
        (1000, {}, len(BLOB)),
        (1000, {"Content-Range": "bytes 1000-255999/*"}, None),
        (0, {"Content-Length": None, "Connection": "close"}, None),
    ],
    ids=["whole", "part", "part of unknown", "unknown"],
)
def test_the_size_of_the_file_is_told_if_known(
    fetcher: Fetcher, server: Server, offset: int, headers: dict[str, str | None], total: int | None
) -> None:
    """The size of the whole file is known from the head of the answer, or not at all."""
    server.misbehave("/", Fault(headers=headers))

    with fetcher.stream(f"{server.url}/blob", offset) as body:
        assert body.total == total
        assert b"".join(body.blocks) == BLOB[offset:]


def test_a_stream_that_is_cut_off_is_an_error_after_its_bytes(fetcher: Fetcher, server: Server) -> None:
    """What came before the cut is given, then the cut is told."""
    server.misbehave("/", Fault(cut_after=100_000))
    came = bytearray()

    def read_all() -> None:
        with fetcher.stream(f"{server.url}/blob") as body:
            for block in body.blocks:
                came.extend(block)

    with pytest.raises(NetworkError, match="the connection failed"):
        read_all()

    assert came == BLOB[:100_000]


@pytest.mark.parametrize(("status", "error"), [(404, NotOnMirrorError), (503, NetworkError)])
def test_a_stream_is_refused_like_a_file(fetcher: Fetcher, server: Server, status: int, error: type[Exception]) -> None:
    """Errors of the server are the same with and without a Range."""
    server.misbehave("/", Fault(status=status))

    for offset in (0, 1000):
        with pytest.raises(error):
            read(fetcher, f"{server.url}/blob", offset)
