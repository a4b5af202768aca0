"""Removing a folder with all in it: by descriptors, however deep, and never out of it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from mirror.calls import naming

if TYPE_CHECKING:
    from mirror.folders import Folder


def remove(folder: Folder, name: str) -> None:
    """Remove whatever has a name in `folder`, a tree with all in it, and follow nothing; fine if it is gone.

    Raises:
        OSError: somebody moves or exchanges it meanwhile, or it cannot be removed; a part of it may be gone.
    """
    found = folder.look(name)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        _remove_folder(folder, name)
    else:
        folder.remove(name)


def _remove_folder(top: Folder, name: str) -> None:
    """Remove a folder with all in it; one is open at a time, so that no depth exhausts anything."""
    here = top.child(name)
    try:
        way = [(name, top.identity)]  # the folders that are gone down into, each with the one above it
        left: list[list[str]] = []  # what is still in each
        while way:
            if len(left) < len(way):
                left.append(_remove_files(here))
            if left[-1]:
                if (deeper := _deeper(here, inner := left[-1].pop())) is not None:
                    way.append((inner, here.identity))
                    here.close()
                    here = deeper
                continue
            name, above = way.pop()
            left.pop()
            up = here.above(above)
            here.close()
            here = up
            here.rmdir(name)
    finally:
        here.close()


def _deeper(folder: Folder, name: str) -> Folder | None:
    """Open a folder that was seen in another; if it has become something else meanwhile, remove that."""
    try:
        return folder.child(name)
    except (NotADirectoryError, FileNotFoundError):
        folder.remove(name)
        return None


def _remove_files(folder: Folder) -> list[str]:
    """Remove all but the folders in a folder; returns these."""
    with naming(folder.path), os.scandir(folder.descriptor) as found:
        entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
    for name, is_folder in entries:
        if not is_folder:
            folder.remove(name)
    return [name for name, is_folder in entries if is_folder]
