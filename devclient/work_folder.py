"""The work folder and who may see what in it: others only pass through to the folders of packages.

Releases before this one were less strict, and a umask may have been stricter than is right; both are mended here.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from mirror.folders import set_mode

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.files import Files
    from mirror.folders import Folder

OPEN, PASSABLE, OURS, OUR_FILE = 0o755, 0o711, 0o700, 0o600
"""Modes: of the folders in which packages really lie, of those that links lead through, of all others, of files."""
_SETS, _FOLDERS = "sets", "folders"
# what else lies there is not ours to judge, as the program that is kept while otadevice itself is updated
_OUR_NAMES = {
    "lock", "daemon.lock", "journal", "plan.json", "places.json", "last.json", "marks", "results.json",
    "identity.json", "put-back", "parts", "contents", "trust", _SETS, _FOLDERS,
}  # fmt: skip


def ready(work: Path, files: Files) -> None:
    """Make the work folder if need be, and give what is in it the modes that it should have."""
    files.make_folder(work.parent)
    files.make_folder(work, OPEN)
    with files.open_folder(work.resolve()) as folder:
        set_mode(folder.descriptor, OPEN, files.calls)
        for name in sorted(_OUR_NAMES):
            _mend(folder, name, {_SETS: PASSABLE, _FOLDERS: OPEN}.get(name, OURS), files)
        _mend_inner(folder, _SETS, PASSABLE, files)
        _mend_inner(folder, _FOLDERS, 0, files)


def _mend_inner(folder: Folder, name: str, mode: int, files: Files) -> None:
    """Mend the folders in one of the folder: to `mode`, or so that they can be used by others."""
    facts = folder.look(name)
    if facts is None or not stat.S_ISDIR(facts.st_mode):
        return
    with folder.child(name) as inner:
        for each in inner.names():
            found = inner.look(each)
            _mend(inner, each, mode or (stat.S_IMODE(found.st_mode) if found else 0) | OPEN, files)


def _mend(folder: Folder, name: str, mode: int, files: Files) -> None:
    """Give a folder this mode, or a file that of our files."""
    facts = folder.look(name)
    if facts and stat.S_ISDIR(facts.st_mode) and stat.S_IMODE(facts.st_mode) != mode:
        with folder.child(name) as inner:
            set_mode(inner.descriptor, mode, files.calls)
    elif facts and stat.S_ISREG(facts.st_mode) and stat.S_IMODE(facts.st_mode) != OUR_FILE:
        with folder.read(name) as descriptor:
            set_mode(descriptor, OUR_FILE, files.calls)
