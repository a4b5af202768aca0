"""What a large blob costs a device while its line breaks: no memory, and no more of the disk than its bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devclient import download, poll
from mirror import layout
from mirror.files import Files
from tests.support import cost, devices, httpd, tools, trees
from tests.support.devices import Rig
from tests.support.faults import CountingCalls
from tests.support.httpd import Fault
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from functools import partial

    from devclient.check import Offer
    from tests.support.httpd import Server

MIB = 1024 * 1024
ROOM = 40 * MIB
"""How far above that of a poll that finds nothing new memory may rise."""
BLOCK = 64 * 1024
PAYLOAD = b"0123456789abcdef" * (MIB // 4)


@dataclass(frozen=True)
class Zeros(Release):
    """A release of so many zeros, which nobody holds in memory.

    Attributes:
        size: how many.
    """

    size: int = 0

    @property
    def sha256(self) -> str:
        """The name of its blob."""
        digest = hashlib.sha256()
        for _ in range(self.size // MIB):
            digest.update(bytes(MIB))
        return digest.hexdigest()

    def write(self, tree: Path) -> None:
        """Put it onto a mirror."""
        trees.write(tree, replace(self, data=b"", entry={"size": self.size}))
        os.truncate(tree / layout.blob(self.sha256), self.size)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that leaves nothing behind: others need the room, too."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def rig(folder: Path) -> Iterator[Rig]:
    """A device, and a mirror with its server."""
    (folder / "mirror").mkdir()
    (folder / "device").mkdir()
    with httpd.serving(folder / "mirror") as server:
        yield Rig(folder / "device", folder / "mirror", server).init()


@pytest.mark.parametrize(
    "size", [pytest.param(64 * MIB, id="64-MiB"), pytest.param(1024 * MIB, id="1-GiB", marks=pytest.mark.long)]
)
def test_a_large_blob_takes_no_memory(rig: Rig, size: int) -> None:
    """`otadevice update` needs hardly more for a blob of any size, over a line that breaks, than with nothing to do."""
    if shutil.disk_usage(rig.folder).free < 3 * size:
        tools.missing(f"{3 * size // MIB} MiB of free disk are needed")
    Zeros("1.0", size=size).write(rig.tree)
    local = rig.add()
    rig.server.misbehave("/otafiles/", Fault(cut_after=size // 3), times=2)

    _, busy = cost.run(rig.command("update"))
    _, idle = cost.run(rig.command("update"))

    assert [request.range for request in rig.server.asked("/otafiles/")][1:] == [
        f"bytes={part * (size // 3)}-" for part in (1, 2)
    ]
    assert local.stat().st_size == size
    assert busy.peak_bytes - idle.peak_bytes <= ROOM


class WeighingCalls(CountingCalls):
    """The real calls, with somebody who weighs a folder after each.

    Attributes:
        most: bytes in all its files at the worst moment.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.most = 0
        self._folder = folder

    def _do(self, name: str, call: partial[Any]) -> Any:
        done = super()._do(name, call)
        self.most = max(self.most, weight(self._folder))
        return done


def weight(folder: Path) -> int:
    """Count the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def nothing(_parts: Path, _name: str, _server: Server) -> None:
    """Let nothing be there, and nothing happen."""


def cut(_parts: Path, _name: str, server: Server) -> None:
    """Break the line again and again."""
    server.misbehave("/otafiles/", Fault(cut_after=300_000))


def poisoned(parts: Path, name: str, _server: Server) -> None:
    """Have an earlier run left something else."""
    (parts / f"{name}.part").write_bytes(bytes(len(PAYLOAD) - 1))


def damaged(parts: Path, name: str, _server: Server) -> None:
    """Have an earlier run left all of it, and then a disk that forgot a byte; and the beginning of it again."""
    (parts / name).write_bytes(PAYLOAD[:-1])
    (parts / f"{name}.part").write_bytes(PAYLOAD[:1000])


def beginning_anew(_parts: Path, _name: str, server: Server) -> None:
    """Have a server that knows no Range begin at the start each time."""
    server.misbehave("/otafiles/", Fault(cut_after=len(PAYLOAD) // 2), times=1)
    server.misbehave("/otafiles/", Fault(ignore_range=True))


def endless(_parts: Path, _name: str, server: Server) -> None:
    """Have a server that does not come to an end."""
    headers = {"Content-Length": None, "Connection": "close"}
    server.misbehave("/otafiles/", Fault(extra=bytes(len(PAYLOAD)), headers=headers))


@pytest.mark.parametrize("before", [nothing, cut, poisoned, damaged, beginning_anew, endless])
def test_there_is_never_a_second_copy(rig: Rig, folder: Path, before: Callable[[Path, str, Server], None]) -> None:
    """Whatever was left, and whatever comes, the parts are never more than the blob."""
    release = Release("1.0", PAYLOAD)
    trees.write(rig.tree, release)
    parts = folder / "parts"
    parts.mkdir()
    before(parts, release.sha256, rig.server)
    calls = WeighingCalls(parts)
    weights: list[int] = []

    with rig.mirror() as mirror:
        offer = devices.offer(rig.tree)
        blob = download.download(offer, mirror, parts, Files(calls), lambda _have: weights.append(weight(parts)))

    assert blob.path.read_bytes() == PAYLOAD
    assert max(weights) <= len(PAYLOAD) + BLOCK
    assert calls.most <= len(PAYLOAD) + BLOCK


def test_a_whole_update_needs_the_bytes_of_the_blob_and_no_more_while_it_downloads(folder: Path) -> None:
    """The copy that is installed is made when the download is done, and not before."""
    tree, home, data = folder / "mirror", folder / "device", PAYLOAD[: MIB // 4]
    (home / "opt").mkdir(parents=True)
    trees.write(tree, Release("1.0", data))
    device = devices.device(home, tree, Files())
    entry = {"package": "app", "branch": "stable", "local": str(home / "opt" / "app")}
    devices.write_state(device.settings.state, entry)
    weights: list[tuple[int, int]] = []

    def progress(_offer: Offer, have: int) -> None:
        weights.append((have, weight(home)))

    (result,) = poll.run(replace(device, progress=progress))

    assert result.to == "1.0"
    at_first = weights[0][1]
    assert weights[-1][0] == len(data)
    assert max(there_is - have for have, there_is in weights) <= at_first + BLOCK
