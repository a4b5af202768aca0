"""Receiving one large package, beside hashing it and beside an nginx that just stores it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder.intake.drops import CONTENT
from tests.receiver import process
from tests.support import nginx, sites, tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.sites import Ground

_MIB = 1024**2
_TICK = os.sysconf("SC_CLK_TCK")
_DAV = """
server {{
    listen {address};
    client_max_body_size 0;
    location / {{
        root {folder};
        dav_methods PUT;
    }}
}}
"""


@dataclass(frozen=True)
class Row:
    """What one program spent on one package; of a server only what it spent itself, not its client."""

    program: str
    mib: int
    cpu_share: float
    cpu_seconds: float
    wall_seconds: float
    peak_growth_mb: float | None


def upload(ground: Ground) -> Iterator[Row]:
    """Upload of one large package by curl.

    CPU is user and system time, its share is of what hashlib needs to read and hash the same file. The receiver
    hashes, stores and publishes it, and should stay at or below 2.2; nginx's DAV module only stores it.
    """
    package, sha256 = _package(ground.folder, ground.uploaded_mib)
    begun, used = time.monotonic(), time.process_time()
    with package.open("rb", buffering=0) as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == sha256
    hashing = time.process_time() - used
    yield Row("hashlib", ground.uploaded_mib, 1.0, hashing, time.monotonic() - begun, None)
    for name, serve in (("otamirror", _receiver), ("nginx, DAV", _dav)):
        with serve(ground.folder, package, sha256) as (pid, command):
            before, begun = _spent(pid), time.monotonic()
            peak = _peak(pid)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            cpu, wall = _spent(pid) - before, time.monotonic() - begun
            yield Row(name, ground.uploaded_mib, cpu / hashing, cpu, wall, (_peak(pid) - peak) / 1_000_000)


def _package(folder: Path, mib: int) -> tuple[Path, str]:
    """Write bytes that cannot be compressed; returns the file and its hash."""
    piece, digest = os.urandom(_MIB), hashlib.sha256()
    path = folder / "package.bin"
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(piece)
            digest.update(piece)
    os.sync()  # nobody is to pay for what was written before
    return path, digest.hexdigest()


@contextlib.contextmanager
def _receiver(folder: Path, package: Path, sha256: str) -> Iterator[tuple[int, list[str]]]:
    site = sites.make(folder / "receiver", '[receiver]\nlisten = "127.0.0.1:0"')
    content = folder / CONTENT
    content.write_text(json.dumps({"package": "large", "version": "1.0", "branch": "main", "sha256": sha256}))
    with process.running(site) as service:
        url = f"http://127.0.0.1:{service.port}/update"
        yield service.process.pid, _curl("-X", "PUT", "-F", f"content=@{content}", "-F", f"file=@{package}", url)


@contextlib.contextmanager
def _dav(folder: Path, package: Path, _sha256: str) -> Iterator[tuple[int, list[str]]]:
    place = folder / "dav"
    place.mkdir()

    def configured(address: str) -> str:
        return _DAV.format(address=address, folder=place)

    with nginx.running(configured, place) as server:
        server.requests()  # it is up once it answers
        (worker,) = _children(int((place / "nginx.pid").read_text()))
        yield worker, _curl("-T", str(package), f"{server.url}/stored.bin")


def _curl(*options: str) -> list[str]:
    return [tools.require("curl"), "-sS", "--fail", *options]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _spent(pid: int) -> float:
    """Tell what CPU a process has used, in seconds."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICK


def _peak(pid: int) -> int:
    """Tell the most memory that a process ever had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
