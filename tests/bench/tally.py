"""Counting what a process does with files: what it writes through `mirror.files`, what it reads, what it lists."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.files import Calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Tally(Calls):
    """The real calls, counted as cheaply as can be: they are part of what is measured."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self.syncs = 0

    def open(self, path: Path, flags: int, mode: int = 0o644, *, at: int | None = None) -> int:
        """Open, and count a new file."""
        self.files += bool(flags & os.O_CREAT)
        return super().open(path, flags, mode, at=at)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write, and count the bytes."""
        written = super().write(descriptor, data)
        self.bytes += written
        return written

    def fsync(self, descriptor: int) -> None:
        """Sync, and count that."""
        self.syncs += 1
        super().fsync(descriptor)

    def syncfs(self, descriptor: int) -> None:
        """Sync everything, and count that as one."""
        self.syncs += 1
        super().syncfs(descriptor)


@dataclass
class Looks:
    """How often a file was opened for reading, there or not, and how often a folder was listed."""

    reads: int = 0
    listings: int = 0


@contextlib.contextmanager
def looking() -> Iterator[Looks]:
    """Count while the context lasts; the interpreter stays a little slower for ever, so measure time before."""
    looks, counting = Looks(), True

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if not counting:
            return
        if event in {"os.listdir", "os.scandir"}:
            looks.listings += 1
        elif event == "open" and isinstance(arguments[2], int):
            flags = arguments[2]
            # a folder is opened to be locked or synced; listing it is an event of its own
            looks.reads += flags & os.O_ACCMODE == os.O_RDONLY and not flags & os.O_DIRECTORY

    sys.addaudithook(hear)
    try:
        yield looks
    finally:
        counting = False
