"""Large packages: memory stays constant on both sides, and the builder reads a package once.

Each test runs the real commands on a sample of some 200 MB, and on 2 GiB where it is marked `long`.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import site as settings
from mirror import layout
from tests.support import cost, nginx, tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cost import Cost

MIB = 1024 * 1024
ROOM = 64 * MIB
"""How far above an idle run memory may rise."""

# the sample has room for a program that keeps the file in memory to be noticed beyond doubt
sizes = pytest.mark.parametrize(
    "size",
    [pytest.param(192 * MIB, id="192-MiB"), pytest.param(2048 * MIB, id="2-GiB", marks=pytest.mark.long)],
)

_READING = "read,pread64,readv,preadv,preadv2,sendfile,copy_file_range,splice"
_READ = re.compile(r"\d+ +\w+\((?:\d+, )?\d+<(?P<path>[^>]*)>.*\) += (?P<size>\d+)")


@dataclass(frozen=True)
class Place:
    """A folder with a site, and room for a device beside it."""

    folder: Path

    @property
    def mirror(self) -> Path:
        """What is served."""
        return settings.load(self.folder / "site.toml").paths.mirror

    def build(self, *before: str) -> Cost:
        """Run `otamirror build`, under another program if that is given."""
        return self._run(*before, sys.executable, "-m", "builder.cli", "build")

    def device(self, *arguments: str) -> Cost:
        """Run `otadevice`."""
        return self._run(sys.executable, "-m", "devclient.cli", *arguments)

    def _run(self, *command: str) -> Cost:
        return cost.run(command, self.folder)[1]

    def drop(self, size: int) -> str:
        """Drop a package of so many bytes, no two MiB of them alike; returns its SHA-256."""
        inbox = settings.load(self.folder / "site.toml").paths.inbox
        block = random.Random(0).randbytes(MIB - 8)
        digest = hashlib.sha256()
        with (inbox / "big").open("wb") as file:
            for number in range(size // MIB):
                chunk = number.to_bytes(8, "big") + block
                digest.update(chunk)
                file.write(chunk)
        fields = {"package": "big", "branch": "main", "version": "1.0", "sha256": digest.hexdigest()}
        (inbox / "big.json").write_text(json.dumps(fields))
        return digest.hexdigest()


@pytest.fixture
def place(size: int, tmp_path: Path) -> Iterator[Place]:
    """A site that has published nothing yet, which leaves nothing behind: others need the disk too."""
    needed = 4 * size  # dropped, on the mirror, downloaded, installed
    if shutil.disk_usage(tmp_path).free < needed:
        tools.missing(f"{needed // MIB} MiB of free disk are needed")
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        place = Place(Path(folder))
        (place.folder / "site.toml").touch()
        place.build()
        yield place


@sizes
def test_a_large_package_is_published_in_constant_memory(place: Place, size: int) -> None:
    """`otamirror build` needs no more memory for a package of any size than for an empty inbox, 64 MiB aside."""
    idle = place.build()
    sha256 = place.drop(size)

    busy = place.build()

    assert (place.mirror / "otafiles" / sha256).stat().st_size == size
    assert busy.peak_bytes - idle.peak_bytes <= ROOM


@sizes
def test_a_large_package_is_read_once_on_its_way_into_the_mirror(place: Place, size: int) -> None:
    """Hashing, copying and publishing a package takes one reading of it: of the copy only the start is looked at."""
    sha256 = place.drop(size)
    listing = place.folder / "strace"

    place.build(tools.require("strace"), "-f", "-y", "-s0", "-qq", "--seccomp-bpf", "-o", str(listing), f"-e{_READING}")

    assert (place.mirror / "otafiles" / sha256).stat().st_size == size
    reads = [_READ.fullmatch(line) for line in listing.read_text().splitlines()]
    by_path = [(Path(read["path"]), int(read["size"])) for read in reads if read]
    var = place.mirror.parent.resolve()
    assert sum(count for path, count in by_path if path.name == "big") == size
    assert sum(count for path, count in by_path if path.is_relative_to(var)) < size + 2 * MIB


@sizes
def test_a_large_package_is_downloaded_and_installed_in_constant_memory(place: Place, size: int) -> None:
    """`otadevice update` needs no more memory for a package of any size than with nothing to do, 64 MiB aside."""
    sha256 = place.drop(size)
    place.build()
    installed = place.folder / "installed" / "big"
    installed.parent.mkdir()
    (place.folder / "nginx").mkdir()

    with nginx.running(place.mirror, place.folder / "nginx") as server:
        root = str(place.mirror / layout.metadata("root", 1))
        folder = str(installed.parent)
        place.device("init", "--device", "door-7", "--remote", server.url, "--root", root, "--allow", folder)
        place.device("add", "big", "--branch", "main", "--local", str(installed))
        busy = place.device("update")
        idle = place.device("update")

    with installed.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == sha256
    assert busy.peak_bytes - idle.peak_bytes <= ROOM
