"""A blob onto a device: resumed, verified, never more than promised."""

from __future__ import annotations

import contextlib
import hashlib
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
from devclient.errors import BrokenPromiseError, NetworkError
from devclient.fetcher import Body
from mirror.files import Files
from tests.support import devices, trees
from tests.support.faults import CountingCalls
from tests.support.httpd import Fault
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
    def blob(self, sha256: str, offset: int) -> Iterator[Body]:  # noqa: ARG002 - all blobs are the same here
        """Open the blob, of a size that nobody tells."""
        yield Body(0, None, self._count(self.blocks))

    def _count(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.given += 1
            yield block


def ranges(server: Server) -> list[str]:
    """List which parts were asked for."""
    return [request.range for request in server.asked("/otafiles/")]


def test_a_blob_comes_whole(downloads: Downloads, server: Server) -> None:
    """It gets its name, the part is gone, and every step was told."""
    blob = downloads.go()

    assert blob.path == downloads.folder / hashlib.sha256(DATA).hexdigest()
    assert blob.path.read_bytes() == DATA
    assert not downloads.part.exists()
    assert (downloads.told[0], downloads.told[-1]) == (0, len(DATA))
    assert downloads.told == sorted(downloads.told)


def test_what_was_cut_off_is_continued(downloads: Downloads, server: Server) -> None:
    """After a cut every byte that came is kept, and only the others are asked for."""
    server.misbehave("/otafiles/", Fault(cut_after=100_000), times=1)

    with pytest.raises(NetworkError):
        downloads.go()
    assert downloads.part.read_bytes() == DATA[:100_000]
    assert downloads.go().path.read_bytes() == DATA

    assert ranges(server) == ["", "bytes=100000-"]
    assert [request.sent for request in server.asked("/otafiles/")] == [100_000, len(DATA) - 100_000]


def test_many_cuts_lead_to_the_end(downloads: Downloads, server: Server) -> None:
    """A line that breaks every few bytes gets there, and no byte comes twice."""
    server.misbehave("/otafiles/", Fault(cut_after=30_000), times=8)

    for _ in range(8):
        with pytest.raises(NetworkError):
            downloads.go()
    downloads.go()

    assert sum(request.sent for request in server.asked("/otafiles/")) == len(DATA)


def test_a_server_without_ranges_starts_over(downloads: Downloads, server: Server) -> None:
    """A whole file in answer to a Range replaces what was there."""
    downloads.left(DATA[:HALF])
    server.misbehave("/otafiles/", Fault(ignore_range=True))

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == [f"bytes={HALF}-"]


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


def test_a_whole_blob_that_rotted_is_fetched_again(downloads: Downloads, server: Server) -> None:
    """A name alone is not trusted."""
    path = downloads.go().path
    path.write_bytes(b"rotten")

    assert downloads.go().path.read_bytes() == DATA
    assert len(ranges(server)) == 2


def test_a_part_that_is_too_long_is_dropped(downloads: Downloads, server: Server) -> None:
    """It cannot be the beginning of the blob."""
    downloads.left(DATA + b"!")

    assert downloads.go().path.read_bytes() == DATA
    assert ranges(server) == [""]


def test_a_changed_byte_is_found(downloads: Downloads, server: Server) -> None:
    """Bytes with another hash are removed, and said to be wrong."""
    server.misbehave("/otafiles/", Fault(flip=HALF), times=1)

    with pytest.raises(BrokenPromiseError, match=f"not {downloads.offer.content.sha256}"):
        downloads.go()

    assert list(downloads.folder.iterdir()) == []
    assert downloads.go().path.read_bytes() == DATA


def test_a_damaged_part_is_found(downloads: Downloads, server: Server) -> None:
    """What an earlier run left is verified with the rest; the next try starts over."""
    downloads.left(b"\0" * HALF)

    with pytest.raises(BrokenPromiseError):
        downloads.go()

    assert list(downloads.folder.iterdir()) == []
    assert downloads.go().path.read_bytes() == DATA


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_a_size_that_is_not_the_lists_is_told(downloads: Downloads, server: Server, size: int) -> None:
    """When the server announces another size than the list, no byte is written."""
    with pytest.raises(BrokenPromiseError, match=f"{len(DATA)} bytes on the mirror and {size} by the release list"):
        downloads.go(replace(downloads.offer, size=size))

    assert list(downloads.folder.iterdir()) == []


def test_no_more_than_the_size_is_written(downloads: Downloads) -> None:
    """A body without end is left when as many bytes came as the list tells."""
    source = Blocks(*[DATA[:HALF]] * 100)
    offer = replace(downloads.offer, size=HALF + 10)

    with pytest.raises(BrokenPromiseError):
        downloads.go(offer, source)

    assert max(downloads.told) == HALF + 10
    assert source.given == 2


def test_a_body_of_unknown_size_that_ends_early_is_told(downloads: Downloads) -> None:
    """Without an announced size the list's counts; what came is kept."""
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
from devclient import config
from devclient.check import check
from devclient.download import download
from devclient.fetcher import Fetcher
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
    offer = check("app", "stable", "", mirror).offer
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
