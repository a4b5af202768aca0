"""Who else may change a place: root and otadevice's user may change anything, all others are strangers to it.

Whoever may write to a folder may exchange what is in it, but for what the sticky bit keeps to its owner.
"""

from __future__ import annotations

import itertools
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROOT = 0


def is_foreign(facts: os.stat_result) -> bool:
    """Return whether something belongs to a stranger."""
    return facts.st_uid not in {_ROOT, os.geteuid()}


def is_open(folder: os.stat_result) -> bool:
    """Return whether strangers may write to a folder."""
    return is_foreign(folder) or bool(folder.st_mode & 0o022)


def may_be_exchanged(entry: os.stat_result, folder: os.stat_result) -> bool:
    """Return whether strangers may put something else in the place of an entry of a folder."""
    is_kept = folder.st_mode & stat.S_ISVTX and not is_foreign(folder) and not is_foreign(entry)
    return is_open(folder) and not is_kept


def exposed(folder: Path) -> Path | None:
    """Return the first folder on the way down to `folder`, or it itself, that strangers may change; None if none is."""
    way = list(_there(folder))
    for (above, facts), (_, inner) in itertools.pairwise(way):
        if may_be_exchanged(inner, facts):
            return above
    return way[-1][0] if way and is_open(way[-1][1]) else None


def closed(folder: Path) -> Path | None:
    """Return the first folder on the way down to `folder`, or it itself, that other users cannot pass; None if none."""
    return next((path for path, facts in _there(folder) if not facts.st_mode & 0o001), None)


def remarks(target: Path, work: Path, *, is_folder: bool) -> list[str]:
    """Say what a package's owner should know of who may change it, and who can use it.

    Args:
        target: where the package is, or will be.
        work: the work folder, in which folders of packages really lie.
        is_folder: whether it is one.
    """
    found = []
    if open_to := exposed(target.parent):
        found.append(
            f"others than root may write to {open_to}: they can exchange {target} for anything at any time, and "
            "whoever runs it as another user trusts them"
        )
    if is_folder and (shut := closed(work)):
        found.append(f"only its owner can enter {shut}, so other users cannot use {target}: chmod o+x {shut}")
    return found


def _there(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the folders on the way that are there."""
    for path in reversed((folder, *folder.parents)):
        try:
            yield path, path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return
