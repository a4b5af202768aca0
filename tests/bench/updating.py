"""Taking one large package, beside a plain loop that takes the same bytes; and what a command costs that only looks."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder import build
from builder.submission import Release
from devclient.settings import config, sample
from mirror import blobs, content, layout
from mirror.files import Files
from tests.bench import sites
from tests.support import cost, devices, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.sites import Ground
    from tests.support.cost import Cost

_MEGA = 1_000_000
_MIB = 1024**2

_PLAIN = """
import hashlib, os, sys, urllib.request
digest = hashlib.sha256()
with urllib.request.urlopen(sys.argv[1]) as answer, open(sys.argv[2], "wb") as file:
    while block := answer.read(64 * 1024):
        digest.update(block)
        file.write(block)
    file.flush()
    os.fsync(file.fileno())
"""
_IMPORT = re.compile(r"import time: +(?P<own>\d+) \| +\d+ \| +(?P<name>\S+)")


@dataclass(frozen=True)
class Row:
    """What one program spent on one package, from its start to its end."""

    program: str
    mib: int
    cpu_seconds: float
    cpu_share: float | None
    wall_seconds: float
    peak_mb: float
    dearest_import: str


def update(ground: Ground) -> Iterator[Row]:
    """Update to one large package, from a real nginx.

    CPU is user and system time; the share is of what a plain loop needs that downloads, hashes, writes and syncs the
    same bytes. otadevice does that, and then copies them beside their place and hashes them once more on the way. The
    idle update finds nothing newer; a large one should need at most 40 MB more than it at its peak. The import is the
    library whose modules take the most time to load, and its share of all.
    """
    folder, mib = ground.folder / "updating", ground.updated_mib
    tree, home = publish(folder / "site", mib), folder / "device"
    for made in (home / "opt", folder / "nginx"):
        made.mkdir(parents=True)
    with nginx.running(tree, folder / "nginx") as server:
        set_up(home, tree, server.url)
        blob = next((tree / layout.BLOBS).iterdir())
        plain = [sys.executable, "-c", _PLAIN, f"{server.url}/{layout.BLOBS}/{blob.name}", str(folder / "plain")]
        base = _cost(plain, folder)
        yield _row("plain loop", mib, base, base)
        yield _row("otadevice update", mib, _cost(_command(home, "update"), folder), base)
        yield _row("otadevice update, idle", 0, _cost(_command(home, "update"), folder))
    yield _row("otadevice status", 0, _cost(_command(home, "status"), folder), dearest=_dearest(home))


def publish(folder: Path, mib: int) -> Path:
    """Publish a package that cannot be compressed; returns the mirror."""
    folder.mkdir(parents=True)
    (folder / "site.toml").touch()
    site, piece = sites.load(folder), os.urandom(_MIB)
    with build.opened(site) as builder:
        blob = blobs.put(itertools.repeat(piece, mib), folder / "package.bin", Files())
        stated = content.build({"package": "app", "version": "1.0", "branch": sites.BRANCH, "sha256": blob.sha256})
        builder.publish([Release(stated.content, blob)])
    return site.paths.mirror


def set_up(home: Path, tree: Path, url: str) -> None:
    """Set a device up that wants that package."""
    (home / config.ROOT).write_bytes((tree / layout.metadata("root", 1)).read_bytes())
    (home / "otadevice.toml").write_text(sample.write((url,), (home / "opt",)))
    entry = {"package": "app", "branch": sites.BRANCH, "local": str(home / "opt" / "app")}
    devices.write_state(home / config.STATE, entry)


def _command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "devclient.cli", "--config", str(home / "otadevice.toml"), *words]


def _cost(command: list[str], folder: Path) -> Cost:
    os.sync()  # nobody is to pay for what was written before
    return cost.run(command, folder)[1]


def _row(program: str, mib: int, spent: Cost, base: Cost | None = None, dearest: str = "") -> Row:
    share = spent.cpu_seconds / base.cpu_seconds if base else None
    return Row(program, mib, spent.cpu_seconds, share, spent.wall_seconds, spent.peak_bytes / _MEGA, dearest)


def _dearest(home: Path) -> str:
    """Name the library that takes the most time to import, and its share of all that is imported."""
    command = _command(home, "status")
    command[1:1] = ["-X", "importtime"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    times: Counter[str] = Counter()
    for match in _IMPORT.finditer(listing):
        times[match["name"].partition(".")[0]] += int(match["own"])
    (name, spent), *_ = times.most_common(1)
    return f"{name}, {spent / times.total():.0%} of {times.total() / 1000:.0f} ms"
