"""Folders and files that all users can read, web servers above all, whatever umask otamirror was started with.

Only what is made here gets these modes: an operator may have closed what is there already.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.files import Files

_FOLDER = 0o755
_FILE = 0o644


def make_folder(folder: Path, files: Files) -> None:
    """Make a folder, and those above it, unless they are there."""
    if folder.is_dir():
        return
    make_folder(folder.parent, files)
    files.make_folder(folder, _FOLDER)
    _give(folder, _FOLDER, files)


def show_file(path: Path, files: Files) -> None:
    """Have a file that was just written be one that all can read and only its owner can write."""
    _give(path, _FILE, files)


def _give(path: Path, mode: int, files: Files) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    if found & 0o777 != mode:
        try:
            files.set_mode(path, found & ~0o777 | mode)
        except PermissionError:  # a hardened service may not give the bits that a folder has inherited
            files.set_mode(path, mode)
