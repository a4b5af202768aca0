"""Locks between processes: flock on a folder, so no file is made for it; gone with the process that held it.

Only a folder that no other user can open is locked: whoever can open one, if only to read, can hold its lock for ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from builder import private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Lock:
    """An advisory lock that one process at a time can hold, on a private folder of a local file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it; tells whether that worked.

        Raises:
            PrivacyError: other users can open the folder.
        """
        return self._acquire(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextlib.contextmanager
    def held(self, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock for a while; `waiting` is told once if somebody else has it."""
        if not self.try_acquire():
            waiting()
            self._acquire(fcntl.LOCK_EX)
        try:
            yield
        finally:
            self.release()

    def _acquire(self, operation: int) -> bool:
        if self._descriptor is not None:
            raise RuntimeError(f"the lock on {self._folder} is held already")
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            private.check(os.fstat(descriptor), self._folder)
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True
