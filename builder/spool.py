"""The spool: where bytes stay until they are verified and named, on the mirror's own file system.

Every process has a folder of its own in it, locked while the process lives; what a dead one left is removed
by the next. So nothing in the mirror's tree ever has a temporary name.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
from typing import TYPE_CHECKING

from builder.errors import PlacementError
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
    """Open a folder of this process in the spool, and remove it in the end.

    Raises:
        PlacementError: the spool is on another file system than the mirror, so nothing could be moved by rename.
    """
    if spool.stat().st_dev != mirror.stat().st_dev:
        raise PlacementError("paths.spool", spool, mirror)
    folder = spool / secrets.token_hex(_NAME_BYTES)
    own = Lock(folder)
    with Lock(spool).held():  # nobody may take the new folder for a dead one before it is locked
        _remove_dead(spool, files)
        files.make_folder(folder)
        own.try_acquire()
    try:
        yield Spool(folder, files)
        files.remove_tree(folder)
    finally:
        own.release()


def _remove_dead(spool: Path, files: Files) -> None:
    for folder in spool.iterdir():
        if not _OURS.fullmatch(folder.name):  # a spool may be set to a folder that holds other things
            continue
        lock = Lock(folder)
        with contextlib.suppress(FileNotFoundError):  # its process was just about to end
            if lock.try_acquire():
                files.remove_tree(folder)
                lock.release()
