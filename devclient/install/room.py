"""Free space: found out before a download starts, not when a disk is full."""

from __future__ import annotations

import shutil
from collections import defaultdict
from typing import TYPE_CHECKING

from devclient.errors import SpaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

RESERVE = 16 * 1024 * 1024
"""Bytes that stay free on each file system."""


def free(folder: Path) -> int:
    """Return the bytes that may still be written to the file system of `folder`."""
    return shutil.disk_usage(folder).free


def check(needs: Iterable[tuple[Path, int]], free: Callable[[Path], int]) -> None:
    """Check that each folder can take so many bytes more; folders that are not there yet count as their parents.

    Raises:
        SpaceError: naming the first folder of a file system that cannot.
    """
    wanted: dict[int, int] = defaultdict(lambda: RESERVE)
    folders: dict[int, Path] = {}
    for folder, size in needs:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        system = there.stat().st_dev
        wanted[system] += size
        folders.setdefault(system, there)
    for system, folder in folders.items():
        if (there_is := free(folder)) < wanted[system]:
            raise SpaceError(folder, wanted[system], there_is)
