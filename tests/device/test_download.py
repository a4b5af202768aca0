"""A blob onto a device: resumed, verified, never more than promised."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devclient import download
from devclient.errors import BrokenPromiseError, NetworkError, SlowMirrorError, WebPageError
from devclient.web.answers import Body
from mirror.files import Files
from tests.support import devices, httpd, trees
from tests.support.faults import CountingCalls
from tests.support.httpd import PORTAL, Fault
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from devclient.check import Offer
    from devclient.trust.signed import SignedMirror
    from mirror.blobs import Blob
    from tests.support.devices import Rig
    from tests.support.httpd import Server

DATA = random.Random(7).randbytes(256_000)
HALF = len(DATA) // 2


class Downloads:
    """One blob, and where it goes."""

    def __init__(self, folder: Path, offer: Offer, mirror: SignedMirror) -> None:
        self.folder, self.offer, self.mirror = folder, offer, mirror
        self.part = folder / f"{offer.content.sha256}.part"
        self.told: list[int] = []

    def go(self, offer: Offer | None = None, source: download.Blobs | None = None) -> Blob:
        """Download it."""
        files = Files()
        return download.download(offer or self.offer, source or self.mirror, self.folder, files, self.told.append)

    def mirror_of(self, data: bytes) -> Path:
        """Make a mirror that has such a blob; returns its tree."""
        tree = self.folder.with_name("small")
        trees.write(tree, Release("1.0", data))
        return tree

    def left(self, data: bytes) -> None:
        """Have an earlier run left this."""
        self.folder.mkdir(exist_ok=True)
        self.part.write_bytes(data)


@pytest.fixture
def downloads(tmp_path: Path, rig: Rig) -> Iterator[Downloads]:
    """A blob on a mirror."""
    trees.write(rig.tree, Release("1.0", DATA))
    with rig.mirror() as mirror:
        yield Downloads(tmp_path / "parts", devices.offer(rig.tree), mirror)


class Blocks:
    """A source whose blobs are these blocks."""

    def __init__(self, *blocks: bytes) -> None:
        self.blocks = blocks
        self.given = 0

    @contextlib.contextmanager
    def blob(self, sha256: str, offset: int, **_how: object) -> Iterator[Body]:  # noqa: ARG002 - all blobs are the same here
        """Open the blob, of a size that nobody tells."""
        yield Body(0, None, self._count(self.blocks))

    def _count(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.given += 1
            yield block


def test_what_is_here_is_told_while_it_is_read(downloads: Downloads, server: Server) -> None:
    """A large part, or a whole blob, takes long to hash: whoever waits for signs of life gets them."""
    half = len(DATA) // 2
    downloads.left(DATA[:half])
    downloads.go()
    assert downloads.told.count(half) == 2, "once while the part was read, once before asking for the rest"

    downloads.told.clear()
    downloads.go()
    assert downloads.told, "nothing was told while the blob was read"


def ranges(server: Server) -> list[str]:
    """List which parts were asked for."""
    return [request.range for request in server.asked("/otafiles/")]


def sent(server: Server) -> list[int]:
    """List how many bytes each answer had."""
    return [request.sent for request in server.asked("/otafiles/")]


def test_a_blob_comes_whole(downloads: Downloads, server: Server) -> None:
    """It gets its name, the part is gone, and every step was told."""
    blob = downloads.go()

    assert blob.path == downloads.folder / hashlib.sha256(DATA).hexdigest()
    assert blob.path.read_bytes() == DATA
    assert not downloads.part.exists()
    assert (downloads.told[0], downloads.told[-1]) == (0, len(DATA))
    assert downloads.told == sorted(downloads.told)


def test_what_was_cut_off_is_continued(downloads: Downloads, server: Server) -> None:
    """After a cut every byte that came is kept, and only the others are asked for, at once."""
    server.misbehave("/otafiles/", Fault(cut_after=100_000), times=1)

    assert downloads.go().path.read_bytes() == DATA

    assert ranges(server) == ["", "bytes=100000-"]
    assert sent(server) == [100_000, len(DATA) - 100_000]


def test_what_was_cut_off_is_continued_by_the_next_run(downloads: Downloads, server: Server) -> None:
    """When asking again does not help, what came is kept for another day."""
    server.misbehave("/otafiles/", Fault(cut_after=100_000), times=1)
    server.misbehave("/otafiles/", Fault(status=503))

    with pytest.raises(NetworkError, match="503"):
        downloads.go()
    assert downloads.part.read_bytes() == DATA[:100_000]
    server.behave()
    assert downloads.go().path.read_bytes() == DATA

    assert ranges(server) == ["", "bytes=100000-", "bytes=100000-"]
    assert sum(sent(server)) == len(DATA)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_ten_drops_cost_next_to_nothing(downloads: Downloads, server: Server, seed: int, *, reset: bool) -> None:
    """A line that breaks ten times, wherever, gets there in one run; hardly a byte comes twice."""
    places = sorted(random.Random(seed).sample(range(1, len(DATA)), 10))
    for cut in map(int.__sub__, places, [0, *places]):
        server.misbehave("/otafiles/", Fault(reset_after=cut) if reset else Fault(cut_after=cut), times=1)

    assert downloads.go().path.read_bytes() == DATA

    assert len(sent(server)) >= 10
    assert sum(sent(server)) <= 1.15 * len(DATA)


def test_a_line_that_always_breaks_gets_there(downloads: Downloads, server: Server) -> None:
    """As long as bytes come it goes on, and no byte comes twice."""
    server.misbehave("/otafiles/", Fault(cut_after=5000))

    assert downloads.go().path.read_bytes() == DATA
    assert sum(sent(server)) == len(DATA)


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_line_that_brings_next_to_nothing_is_left(downloads: Downloads, server: Server, cut: int) -> None:
    """A few bytes for each request are not worth it; what came is kept."""
    server.misbehave("/otafiles/", Fault(cut_after=HALF), times=1)
    server.misbehave("/otafiles/", Fault(cut_after=cut))

    with pytest.raises(NetworkError):
        downloads.go()

    assert len(sent(server)) == 3
    assert downloads.part.read_bytes() == DATA[: HALF + 2 * cut]


def test_a_server_that_begins_again_and_again_is_left(downloads: Downloads, server: Server) -> None:
    """One without ranges that is cut off at the same place each time does not get on."""
    server.misbehave("/otafiles/", Fault(ignore_range=True, cut_after=HALF))

    with pytest.raises(NetworkError):
        downloads.go()

    assert sent(server) == [HALF] * 3


def test_a_server_that_gives_a_little_of_each_range_is_enough(downloads: Downloads, server: Server) -> None:
    """One that answers with less than was asked for is asked for the rest."""
    step, headers = 60_000, {"Content-Length": None, "Connection": "close"}
    server.misbehave("/otafiles/", Fault(headers=headers, cut_after=step))

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == ["", *(f"bytes={at}-" for at in range(step, len(DATA), step))]


class Slow:
    """A source that is left as too slow after so many bytes each time."""

    def __init__(self, data: bytes, *steps: int) -> None:
        self.data = data
        self.steps = list(steps)
        self.asked: list[int] = []

    @contextlib.contextmanager
    def blob(self, sha256: str, offset: int, **_how: object) -> Iterator[Body]:  # noqa: ARG002 - all blobs are the same here
        """Open the blob."""
        self.asked.append(offset)
        step = self.steps.pop(0)

        def blocks() -> Iterator[bytes]:
            yield self.data[offset : offset + step]
            raise SlowMirrorError("http://slow.example", "the server is too slow")

        yield Body(offset, len(self.data), blocks())


def test_who_is_too_slow_gets_one_chance_more(downloads: Downloads) -> None:
    """A byte now and then is no progress, however small the blob."""
    source = Slow(DATA[:500], 60, 60, 60)
    offer = devices.offer(downloads.mirror_of(DATA[:500]))

    with pytest.raises(SlowMirrorError):
        downloads.go(offer, source)

    assert source.asked == [0, 60]


def test_who_falls_silent_after_much_is_asked_again(downloads: Downloads) -> None:
    """A connection that dies without a word is a cut like any other if it was of use before."""
    source = Slow(DATA, 100_000, 100_000, 100_000)

    assert downloads.go(source=source).path.read_bytes() == DATA
    assert source.asked == [0, 100_000, 200_000]


def test_a_server_without_ranges_starts_over(downloads: Downloads, server: Server) -> None:
    """A whole file in answer to a Range is compared with what was there, and goes on after it."""
    downloads.left(DATA[:HALF])
    server.misbehave("/otafiles/", Fault(ignore_range=True))

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == [f"bytes={HALF}-"]


@pytest.mark.parametrize("cut", [1, 1000, HALF - 1, HALF])
def test_a_cut_never_loses_ground(downloads: Downloads, server: Server, cut: int) -> None:
    """Where a server begins anew each time, what was further ahead stays, and gets further by what comes beyond it."""
    downloads.left(DATA[:HALF])
    server.misbehave("/otafiles/", Fault(ignore_range=True, cut_after=cut))
    with pytest.raises(NetworkError):
        downloads.go()
    assert downloads.part.read_bytes() == DATA[:HALF]

    server.behave()
    server.misbehave("/otafiles/", Fault(ignore_range=True, cut_after=HALF + 5000), times=1)
    server.misbehave("/otafiles/", Fault(status=503))
    with pytest.raises(NetworkError):
        downloads.go()
    assert downloads.part.read_bytes() == DATA[: HALF + 5000]


@pytest.mark.parametrize("wrong", [0, 1, 70_000, HALF - 1])
def test_what_differs_from_a_whole_answer_is_wrong(downloads: Downloads, server: Server, wrong: int) -> None:
    """A damaged byte of what an earlier run left costs no request: the answer is one, what was there may not be."""
    left = bytearray(DATA[:HALF])
    left[wrong] ^= 1
    downloads.left(bytes(left))
    server.misbehave("/otafiles/", Fault(ignore_range=True))

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == [f"bytes={HALF}-"]


@pytest.mark.parametrize("status", [400, 416])
def test_a_server_that_knows_no_such_range_is_asked_for_the_whole(
    downloads: Downloads, server: Server, status: int
) -> None:
    """Whatever it calls that; and what is here already is not lost by it."""
    downloads.left(DATA[:HALF])
    server.misbehave("/otafiles/", Fault(status=status), times=1)
    server.misbehave("/otafiles/", Fault(cut_after=1000), times=1)

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == [f"bytes={HALF}-", "", f"bytes={HALF}-"]


@pytest.mark.parametrize("ignore_range", [False, True])
def test_a_blob_that_is_still_being_copied_is_kept_and_continued(
    downloads: Downloads, server: Server, *, ignore_range: bool
) -> None:
    """It is shorter than the list says: what there is comes, and the rest when it is there."""
    for there_is in (HALF, HALF, HALF + 70_000):
        server.misbehave("/otafiles/", Fault(keep=there_is, ignore_range=ignore_range))
        with pytest.raises(
            NetworkError, match=rf"has {there_is} bytes .* as while it is being copied; try again"
        ) as told:
            downloads.go()
        assert told.value.exit_code == 75
        assert downloads.part.read_bytes() == DATA[:there_is]
        server.behave()

    server.requests.clear()
    assert downloads.go().path.read_bytes() == DATA
    assert sum(sent(server)) == len(DATA) - HALF - 70_000


def test_a_mirror_that_is_behind_loses_nothing(downloads: Downloads, server: Server) -> None:
    """A URL whose copy is shorter than what has come from another is not read at all."""
    downloads.left(DATA[: HALF + 1])
    server.misbehave("/otafiles/", Fault(keep=HALF))

    with pytest.raises(NetworkError, match="being copied"):
        downloads.go()

    assert downloads.part.read_bytes() == DATA[: HALF + 1]


@pytest.mark.parametrize("length", [{}, {"Content-Length": None, "Connection": "close"}], ids=["told", "not told"])
@pytest.mark.parametrize("left", [b"", DATA[:HALF]], ids=["none", "half"])
@pytest.mark.parametrize("text", [b"Please accept the terms of use.", b'{"captive":true}', b""])
def test_what_a_network_says_in_the_place_of_a_blob_is_no_part_of_it(
    downloads: Downloads, server: Server, left: bytes, text: bytes, length: dict[str, str | None]
) -> None:
    """Text that no header calls a page: it is tried again later, and what came before is not touched."""
    if left:
        downloads.left(left)
    portal = Fault(status=200, body=text, headers={"Content-Type": "application/octet-stream", **length})
    server.misbehave("/otafiles/", portal)

    if left and length:
        with contextlib.suppress(NetworkError):  # of unknown size: it may be the blob, and what was left is in doubt
            downloads.go()
    else:
        with pytest.raises(NetworkError):
            downloads.go()
        assert (downloads.part.read_bytes() if downloads.part.exists() else b"") == left
    server.behave()
    server.requests.clear()
    assert downloads.go().path.read_bytes() == DATA
    assert sum(sent(server)) <= len(DATA)


@pytest.mark.parametrize("fault", [Fault(flip=HALF), Fault(extra=b"!"), Fault(keep=HALF)], ids=str)
def test_a_cache_with_wrong_bytes_is_gone_around(downloads: Downloads, server: Server, fault: Fault) -> None:
    """Under a name that never changes it would keep them for a year; who has wrong bytes asks the mirror itself."""
    server.misbehave("/otafiles/", fault, times=1)

    assert downloads.go().path.read_bytes() == DATA
    assert [request.cache for request in server.asked("/otafiles/")] == ["", "no-cache"]


def test_a_line_that_breaks_is_no_reason_to_go_around_caches(downloads: Downloads, server: Server) -> None:
    """They are what carries a fleet."""
    server.misbehave("/otafiles/", Fault(cut_after=HALF), times=1)

    assert downloads.go().path.read_bytes() == DATA
    assert [request.cache for request in server.asked("/otafiles/")] == ["", ""]


@pytest.mark.parametrize(
    "fault", [Fault(status=416), Fault(headers={"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"})]
)
def test_a_range_that_is_answered_wrongly_starts_over(downloads: Downloads, server: Server, fault: Fault) -> None:
    """416, or bytes from elsewhere, lead to a request for the whole."""
    downloads.left(DATA[:HALF])
    server.misbehave("/otafiles/", fault, times=1)

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == [f"bytes={HALF}-", ""]


def test_what_is_all_here_is_not_asked_for(downloads: Downloads, server: Server) -> None:
    """A part with all bytes, and a whole blob, need no network."""
    downloads.left(DATA)
    blob = downloads.go()
    assert downloads.go() == blob

    assert blob.path.read_bytes() == DATA
    assert ranges(server) == []


@pytest.mark.parametrize("rotten", [b"", b"rotten", b"\0" * len(DATA), DATA[:-1], DATA + b"!"], ids=len)
def test_a_whole_blob_that_rotted_is_fetched_again(downloads: Downloads, server: Server, rotten: bytes) -> None:
    """A name alone is not trusted."""
    path = downloads.go().path
    path.write_bytes(rotten)

    assert downloads.go().path.read_bytes() == DATA
    assert len(ranges(server)) == 2


def test_what_cannot_be_read_is_fetched_again(downloads: Downloads, server: Server) -> None:
    """Whatever has come into the place of a blob, or of a part, or leads out of the folder, is in nobody's way."""
    outside = downloads.folder.with_name("outside")
    outside.write_bytes(DATA)
    whole = downloads.folder / downloads.offer.content.sha256
    for place in (whole, downloads.part):
        (place / "in a folder").mkdir(parents=True)
        assert downloads.go().path.read_bytes() == DATA
        whole.unlink()
        place.symlink_to(outside)
        assert downloads.go().path.read_bytes() == DATA
        whole.unlink()

    assert ranges(server) == [""] * 4
    assert outside.read_bytes() == DATA


def test_a_part_that_is_too_long_is_dropped(downloads: Downloads, server: Server) -> None:
    """It cannot be the beginning of the blob."""
    downloads.left(DATA + b"!")

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == [""]


def test_a_changed_byte_is_found(downloads: Downloads, server: Server) -> None:
    """Bytes with another hash are removed, and said to be wrong."""
    server.misbehave("/otafiles/", Fault(flip=HALF), times=2)

    with pytest.raises(BrokenPromiseError, match=f"not {downloads.offer.content.sha256}"):
        downloads.go()

    assert list(downloads.folder.iterdir()) == []
    assert downloads.go().path.read_bytes() == DATA


@pytest.mark.parametrize("left", [b"\0" * HALF, b"\0" * len(DATA), DATA[: HALF - 1] + b"\0", b"\0"], ids=len)
def test_a_damaged_part_poisons_nothing(downloads: Downloads, server: Server, left: bytes) -> None:
    """What an earlier run left is verified with the rest, and if that is wrong, the blob is fetched anew as a whole."""
    downloads.left(left)

    assert downloads.go().path.read_bytes() == DATA

    assert ranges(server) == [f"bytes={len(left)}-", ""][len(left) == len(DATA) :]
    assert downloads.told[0] == len(left)
    assert 0 in downloads.told[1:]


def test_a_blob_is_fetched_anew_once(downloads: Downloads, server: Server) -> None:
    """If the bytes are wrong then, too, they are the mirror's; nothing of them stays."""
    downloads.left(DATA[:HALF])
    server.misbehave("/otafiles/", Fault(flip=HALF + 1))

    with pytest.raises(BrokenPromiseError):
        downloads.go()

    assert ranges(server) == [f"bytes={HALF}-", "", ""]
    assert list(downloads.folder.iterdir()) == []


def test_a_blob_is_fetched_anew_once_even_if_it_is_cut_off_each_time(downloads: Downloads, server: Server) -> None:
    """Bytes of several answers are no excuse for ever."""
    server.misbehave("/otafiles/", Fault(flip=HALF, cut_after=HALF), times=8)

    with pytest.raises(BrokenPromiseError):
        downloads.go()

    assert ranges(server) == ["", f"bytes={HALF}-"] * 3
    assert list(downloads.folder.iterdir()) == []


def test_what_was_cut_off_and_is_wrong_is_fetched_anew(downloads: Downloads, server: Server) -> None:
    """The bytes of two answers in one run may be of two servers, one of which lies."""
    server.misbehave("/otafiles/", Fault(flip=1, cut_after=HALF), times=1)

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == ["", f"bytes={HALF}-", ""]


def test_a_page_to_sign_in_is_the_networks(downloads: Downloads, server: Server) -> None:
    """It comes instead of the blob, but not from the mirror; what came before is kept."""
    downloads.left(DATA[:HALF])
    server.misbehave("/otafiles/", PORTAL)

    with pytest.raises(NetworkError, match="sign-in"):
        downloads.go()

    assert downloads.part.read_bytes() == DATA[:HALF]


def test_a_package_may_be_a_page(tmp_path: Path, rig: Rig, server: Server) -> None:
    """A server that looks into files may well call one what it is."""
    page = b"<!DOCTYPE html><title>Manual</title>" + DATA
    trees.write(rig.tree, Release("1.0", page))
    server.misbehave("/otafiles/", Fault(headers={"Content-Type": "text/html"}, cut_after=HALF))

    with rig.mirror() as mirror:
        blob = download.download(devices.offer(rig.tree), mirror, tmp_path / "parts", Files(), lambda _have: None)

    assert blob.path.read_bytes() == page


class Edges:
    """Several servers of one mirror, at URLs of their own, and a device that knows them all."""

    def __init__(self, rig: Rig, servers: list[Server]) -> None:
        self.servers = servers
        urls = json.dumps([server.url for server in servers])
        text = rig.config.read_text()
        rig.config.write_text(re.sub(r"(?m)^urls = .*$", f"urls = {urls}", text))

    def asked(self) -> list[list[str]]:
        """List which parts each was asked for."""
        return [ranges(server) for server in self.servers]


@pytest.fixture
def edges(rig: Rig) -> Iterator[Edges]:
    """Three servers."""
    with contextlib.ExitStack() as stack:
        yield Edges(rig, [stack.enter_context(httpd.serving(rig.tree)) for _ in range(3)])


@pytest.fixture
def spread(edges: Edges, downloads: Downloads, rig: Rig) -> Iterator[Downloads]:
    """A blob on a mirror that has three URLs."""
    with rig.mirror() as mirror:
        yield Downloads(downloads.folder, downloads.offer, mirror)


def test_what_was_cut_off_is_continued_elsewhere(spread: Downloads, edges: Edges) -> None:
    """The next URL gives the rest."""
    edges.servers[0].misbehave("/otafiles/", Fault(cut_after=100_000))

    assert spread.go().path.read_bytes() == DATA
    assert edges.asked() == [[""], ["bytes=100000-"], []]


def test_what_breaks_everywhere_goes_round(spread: Downloads, edges: Edges) -> None:
    """Each URL in its turn, for as long as that helps."""
    for server in edges.servers:
        server.misbehave("/otafiles/", Fault(cut_after=60_000))

    assert spread.go().path.read_bytes() == DATA
    assert [len(asked) for asked in edges.asked()] == [2, 2, 1]


@pytest.mark.parametrize(
    "fault", [Fault(status=503), Fault(status=404), Fault(encoding="gzip"), PORTAL, Fault(raw=b"")]
)
def test_who_has_it_not_is_passed_over(spread: Downloads, edges: Edges, fault: Fault) -> None:
    """Whatever is in the way at one URL, even that the file is not there, does not matter while another has it."""
    edges.servers[0].misbehave("/otafiles/", fault)
    edges.servers[1].misbehave("/otafiles/", fault)

    assert spread.go().path.read_bytes() == DATA
    assert edges.asked() == [[""], [""], [""]]


def test_nothing_from_anywhere_ends(spread: Downloads, edges: Edges) -> None:
    """After the last byte each URL is asked once more, and that is all."""
    for server in edges.servers:
        server.misbehave("/otafiles/", Fault(cut_after=0))

    with pytest.raises(NetworkError):
        spread.go()

    assert sum(len(asked) for asked in edges.asked()) == 1 + 3


@pytest.mark.parametrize(
    ("fault", "rest"),
    [(Fault(flip=HALF), ""), (Fault(extra=b"!"), ""), (Fault(keep=HALF), f"bytes={HALF}-")],
    ids=["changed", "longer", "shorter"],
)
def test_wrong_bytes_are_fetched_elsewhere(spread: Downloads, edges: Edges, fault: Fault, rest: str) -> None:
    """A URL that sends something else than it should is left for the next, from the end of what may be right."""
    edges.servers[0].misbehave("/otafiles/", fault)

    assert spread.go().path.read_bytes() == DATA
    assert edges.asked() == [[""], [rest], []]


@pytest.mark.parametrize("fault", [Fault(flip=HALF), Fault(extra=b"!")], ids=["changed", "longer"])
def test_wrong_bytes_from_everywhere_are_told(spread: Downloads, edges: Edges, fault: Fault) -> None:
    """Each URL has one chance, and one of them a second, around caches; nothing of what came stays."""
    for server in edges.servers:
        server.misbehave("/otafiles/", fault)

    with pytest.raises(BrokenPromiseError):
        spread.go()

    assert edges.asked() == [["", ""], [""], [""]]
    assert list(spread.folder.iterdir()) == []


def test_a_liar_is_asked_last(spread: Downloads, edges: Edges) -> None:
    """What was fetched anew and is cut off is not continued where wrong bytes came from."""
    edges.servers[0].misbehave("/otafiles/", Fault(flip=1))
    edges.servers[1].misbehave("/otafiles/", Fault(cut_after=60_000))
    edges.servers[2].misbehave("/otafiles/", Fault(cut_after=60_000))

    assert spread.go().path.read_bytes() == DATA
    assert [len(asked) for asked in edges.asked()] == [1, 3, 2]


def test_the_beginning_of_a_lie_is_not_the_fault_of_who_ends_it(spread: Downloads, edges: Edges) -> None:
    """After a part that was wrong from the beginning the same URL may give the whole."""
    spread.left(b"\0" * HALF)

    assert spread.go().path.read_bytes() == DATA
    assert edges.asked() == [[f"bytes={HALF}-", ""], [], []]


def test_a_blob_that_is_longer_than_the_list_says_is_told(downloads: Downloads, server: Server) -> None:
    """When the server announces more, no byte is written."""
    size = len(DATA) - 1
    with pytest.raises(BrokenPromiseError, match=f"{len(DATA)} bytes on the mirror and {size} by the release list"):
        downloads.go(replace(downloads.offer, size=size))

    assert list(downloads.folder.iterdir()) == []


@pytest.mark.parametrize("text", [b"Please accept the terms of use.", b'{"captive":true,"url":"https://a.example"}'])
def test_what_a_network_says_may_be_longer_than_a_blob(downloads: Downloads, server: Server, text: bytes) -> None:
    """It is the network's all the same."""
    offer = devices.offer(downloads.mirror_of(b"tiny"))
    server.misbehave("/otafiles/", Fault(status=200, body=text))

    with pytest.raises(WebPageError):
        downloads.go(offer)


def test_no_more_than_the_size_is_written(downloads: Downloads) -> None:
    """A body without end is left when as many bytes came as the list tells."""
    source = Blocks(*[DATA[:HALF]] * 100)
    offer = replace(downloads.offer, size=HALF + 10)

    with pytest.raises(BrokenPromiseError):
        downloads.go(offer, source)

    assert max(downloads.told) == HALF + 10
    assert source.given == 2 * 2, "of each of two answers"


def test_a_body_of_unknown_size_that_ends_early_is_told(downloads: Downloads) -> None:
    """Without an announced size the list's counts; what came last is kept."""
    with pytest.raises(NetworkError, match=f"ended after {HALF} of {len(DATA)} bytes"):
        downloads.go(source=Blocks(DATA[:HALF]))

    assert downloads.part.read_bytes() == DATA[:HALF]


def test_an_empty_blob_is_a_blob(tmp_path: Path, tree: Path) -> None:
    """Nothing is asked for, and there is a file."""
    trees.write(tree, Release("1.0", b""))

    blob = download.download(devices.offer(tree), Blocks(), tmp_path / "parts", Files(), lambda _have: None)

    assert blob.path.read_bytes() == b""


def test_a_blob_is_durable_before_it_has_its_name(downloads: Downloads) -> None:
    """Synced, renamed, and the name synced."""
    calls = CountingCalls()

    download.download(downloads.offer, downloads.mirror, downloads.folder, Files(calls), lambda _have: None)

    order = [call.name for call in calls.calls if call.name in {"fsync", "rename"}]
    assert order == ["fsync", "rename", "fsync"]
    assert calls.bytes_written == len(DATA)


def test_unwanted_parts_are_discarded(tmp_path: Path) -> None:
    """Only what belongs to the wanted blobs stays."""
    for name in ("a", "a.part", "b", "b.part"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c" / "d").mkdir(parents=True)

    download.discard(tmp_path, {"a"}, Files())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.part"]


def test_bytes_at_hand_are_counted(tmp_path: Path) -> None:
    """Of the blob, whole or in part."""
    assert download.at_hand("a" * 64, tmp_path / "nowhere") == 0
    (tmp_path / f"{'a' * 64}.part").write_bytes(b"12345")
    (tmp_path / f"{'b' * 64}.part").write_bytes(b"123")

    assert download.at_hand("a" * 64, tmp_path) == 5


_PROGRAM = """
import re, sys, time
from datetime import UTC, datetime
from pathlib import Path
from devclient.settings import config
from devclient.check import check
from devclient.download import download
from devclient.web.fetcher import Fetcher
from devclient.state import Package
from devclient.trust.signed import Mirrors
from mirror.files import Files

def most():  # getrusage would tell the most of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

settings, folder = config.load(Path(sys.argv[1])), Path(sys.argv[2])
with (
    Fetcher(settings.network, "otadevice/test", time.monotonic) as fetcher,
    Mirrors(settings, fetcher, Files(), lambda: datetime.now(UTC), lasting=False) as mirrors,
):
    mirror = mirrors("")
    app = Package({"package": "app", "branch": "stable"})
    offer = check(app, (app,), mirror).offer
    before = most()
    download(offer, mirror, folder, Files(), lambda have: print(have, flush=True))
    print("grown", most() - before)
"""


def program(rig: Rig, folder: Path) -> list[str]:
    """Give the command line of a process that downloads app, and prints how far it is."""
    return [sys.executable, "-c", _PROGRAM, str(rig.config), str(folder)]


def test_a_killed_download_is_continued(downloads: Downloads, rig: Rig, server: Server) -> None:
    """What a killed process had received is not sent again."""
    server.misbehave("/otafiles/", Fault(hold_after=HALF), times=1)
    with subprocess.Popen(program(rig, downloads.folder), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == HALF:
                break
        process.send_signal(signal.SIGKILL)

    assert process.returncode == -signal.SIGKILL
    assert downloads.part.stat().st_size == HALF
    assert downloads.go().path.read_bytes() == DATA
    assert server.asked("/otafiles/")[1].range == f"bytes={HALF}-"
    assert server.asked("/otafiles/")[1].sent == len(DATA) - HALF


def test_memory_does_not_grow_with_the_blob(tmp_path: Path, tree: Path, rig: Rig, server: Server) -> None:
    """64 MiB are downloaded, half of them resumed, with a few MiB of memory."""
    size = 64 * 1024 * 1024
    trees.write(tree, Release("1.0", b"\0" * size))
    offer = devices.offer(tree)
    (tmp_path / "parts").mkdir()
    part = tmp_path / "parts" / f"{offer.content.sha256}.part"
    part.touch()
    os.truncate(part, size // 2)

    done = subprocess.run(program(rig, tmp_path / "parts"), capture_output=True, text=True, check=True)

    (grown,) = re.findall(r"^grown (\d+)$", done.stdout, re.MULTILINE)
    assert int(grown) * 1024 < 12 * 1024 * 1024
    assert server.asked("/otafiles/")[0].sent == size // 2
