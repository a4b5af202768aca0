"""The spool: where bytes stay until they are verified and named, on the mirror's own file system.

Every process has a folder of its own in it, locked while the process lives; what a dead one left is removed
by the next. So nothing in the mirror's tree ever has a temporary name. No other user can enter the spool.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
from typing import TYPE_CHECKING

from builder import private
from builder.errors import PlacementError, PrivacyError
from builder.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mirror.files import Files

_NAME_BYTES = 8
_OURS = re.compile(rf"[0-9a-f]{{{2 * _NAME_BYTES}}}")


class Spool:
    """A process's own folder in the spool."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._numbers = itertools.count(1)

    def path(self) -> Path:
        """Return a path that nothing has had before."""
        return self._folder / f"{next(self._numbers)}"

    def discard(self, path: Path) -> None:
        """Remove what was refused; fine if it was moved away."""
        self._files.remove(path)


@contextlib.contextmanager
def session(spool: Path, mirror: Path, files: Files) -> Iterator[Spool]:
    """Open a folder of this process in the spool, which is made if need be, and remove it in the end.

    Raises:
        PrivacyError: the spool is not ours alone.
        PlacementError: the spool is on another file system than the mirror, so nothing could be moved by rename.
    """
    private.make_folder(spool, files, close=True)
    if spool.stat().st_dev != mirror.stat().st_dev:
        raise PlacementError("paths.spool", spool, mirror)
    folder = spool / secrets.token_hex(_NAME_BYTES)
    own = Lock(folder)
    with Lock(spool).held():  # nobody may take the new folder for a dead one before it is locked
        _remove_dead(spool, files)
        private.make_folder(folder, files)
        own.try_acquire()
    try:
        yield Spool(folder, files)
        files.remove_tree(folder)
    finally:
        own.release()


def lock(spool: Path, work: str, files: Files) -> Lock:
    """Return the lock on one kind of work, such as that on the inbox; the one for publishing is on the spool itself.

    It is in the spool, which is private, and beside the mirror: an inbox may be a network mount, which has no locks.
    """
    folder = spool / work
    private.make_folder(folder, files)
    return Lock(folder)


def _remove_dead(spool: Path, files: Files) -> None:
    for folder in spool.iterdir():
        if not _OURS.fullmatch(folder.name):  # a spool may be set to a folder that holds other things
            continue
        lock = Lock(folder)
        # its process was just about to end, or is another user's, whose folder it stays
        with contextlib.suppress(FileNotFoundError, PrivacyError):
            private.close_folder(folder, files)
            if lock.try_acquire():
                files.remove_tree(folder)
                lock.release()
