"""What a file system allows at a package's place, tried before anything is begun.

Once services may have been stopped an update only renames; a rename that is refused then would stop them for nothing,
at each poll again. A trial changes nothing that is there, and leaves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from devclient.errors import PlaceError
from devclient.install import place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devclient.plan import Step
    from mirror.folders import Folder

_log = logging.getLogger(__name__)

_MOUNTS = Path("/proc/self/mountinfo")
_INSIDE = "inside"
# how a rename onto a folder that is not empty is refused where nothing else stands in its way
_ALLOWED = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR})
_EXCHANGED = _ALLOWED | {errno.ENOTDIR, errno.ENOENT}
_REASONS = {
    errno.EPERM: "cannot be renamed: it or its folder is immutable or append-only (see `lsattr`), or it is another "
    "user's in a sticky folder",
    errno.EACCES: "cannot be renamed: its folder lets otadevice's user change nothing",
    errno.EROFS: "is on a file system that is mounted read-only",
    errno.EBUSY: "cannot be renamed: it is in use, as a mount point is",
}
_NO_SYMLINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})


def links(step: Step, folder: Folder) -> None:
    """See that there can be symbolic links in a folder, as a package that is a folder needs them.

    Raises:
        PlaceError: there cannot.
    """
    name = place.trial(step.path).name
    clear(step, folder)
    try:
        folder.symlink(_INSIDE, name)
    except OSError as error:
        if error.errno not in _NO_SYMLINKS:
            raise
        problem = f"cannot be a folder: {folder.path} is on a file system without symbolic links, such as FAT"
        raise PlaceError(step.local, problem) from None
    folder.remove(name)


def can_be_renamed(step: Step, name: str, folder: Folder) -> bool:
    """Return whether what has a name at a step's place can get another; False for a folder that can only be copied.

    An overlay, as containers and read-only roots have it, renames no folder that is in its lower layer.

    Raises:
        PlaceError: it can neither be renamed nor copied.
    """
    if str(folder.path / name) in _mount_points():
        raise PlaceError(step.local, "is a mount point, which cannot be replaced: unmount it, or give another place")
    trial = place.trial(step.path).name
    clear(step, folder)
    with folder.make(trial, 0o700) as made:
        made.make(_INSIDE).close()
    try:
        folder.rename(name, folder, trial)
    except OSError as error:
        return _judge(step, name, folder, error)
    else:  # somebody has exchanged the folder that it was tried on
        folder.rename(trial, folder, name)
        raise PlaceError(step.local, "somebody else changes the folder that it is in; update again")
    finally:
        clear(step, folder)


def clear(step: Step, folder: Folder) -> None:
    """Remove what a trial that was cut off has left."""
    name = place.trial(step.path).name
    if folder.look(name) is None:
        return
    if not place.is_folder(folder, name):
        folder.remove(name)
        return
    # no more than was made: what else is in it may have been put there for us to remove
    try:
        with folder.child(name) as left, contextlib.suppress(FileNotFoundError):
            left.rmdir(_INSIDE)
        folder.rmdir(name)
    except OSError as error:
        if error.errno not in _EXCHANGED:
            raise
        _log.warning("%s holds what is not otadevice's, and is left", folder.path / name)


def _judge(step: Step, name: str, folder: Folder, error: OSError) -> bool:
    if error.errno in _ALLOWED:
        return True
    facts = folder.look(name)
    if error.errno == errno.EXDEV and facts and stat.S_ISDIR(facts.st_mode):
        return False
    if reason := _REASONS.get(error.errno or 0):
        raise PlaceError(step.local, reason) from None
    raise error


def _mount_points() -> set[str]:
    try:
        lines: Iterable[str] = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return set()
    return {_unescaped(line.split(" ")[4]) for line in lines}


def _unescaped(field: str) -> str:
    r"""Read a path as the kernel writes it: space, tab, newline and backslash as \ooo (proc(5))."""
    for letter in " \t\n\\":
        field = field.replace(f"\\{ord(letter):03o}", letter)
    return field
