"""Whether somebody is still writing to a dropped file.

The file system tells where it can. Elsewhere a file is taken when it has not changed for a while, which its times
say; those that lie in the future, as of a machine whose clock is ahead, say nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

WRITING = "is still being written"


class _Look(NamedTuple):
    """How a file looked, and since when it has been looking so."""

    facts: tuple[int, ...]
    since: float


class Settling:
    """Judges open files, pass by pass; remembers those whose times say nothing."""

    def __init__(self, settle_seconds: float, clock: Callable[[], float]) -> None:
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._before: dict[tuple[int, int], _Look] = {}
        self._now: dict[tuple[int, int], _Look] = {}

    def begin_pass(self) -> None:
        """Forget the files that were not seen in the pass that is over."""
        self._before, self._now = self._now, {}

    @property
    def is_watching(self) -> bool:
        """Whether a file of this pass is taken only if it has not changed at a later one."""
        return bool(self._now)

    def waits(self, descriptor: int) -> str:
        """Tell why a regular file cannot be taken yet; empty if it can.

        A read lease is granted only on a file that nobody has open for writing. Where there are no leases (network
        mounts, files of other users), the file must not have changed for `settle_seconds`.
        """
        leased = _lease(descriptor)
        if leased is not None:
            return "" if leased else WRITING
        status, now = os.fstat(descriptor), self._clock()
        if status.st_ctime > now:  # nobody can set this one: a clock was or is ahead
            return self._watch(status, now)
        # the time of its change is enough: who copies a file with its times sets the other one, however far ahead
        changed = max(time for time in (status.st_mtime, status.st_ctime) if time <= now)
        return "" if now - changed >= self._settle_seconds else WRITING

    def _watch(self, status: os.stat_result, now: float) -> str:
        file, facts = (status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        look = self._now.get(file) or self._before.get(file)
        if look is None or look.facts != facts or look.since > now:
            look = _Look(facts, now)
        if now - look.since >= self._settle_seconds:
            return ""
        self._now[file] = look
        return f"was changed in the future, so it is watched: it is taken {self._settle_seconds:g} s after it rests"


def _lease(descriptor: int) -> bool | None:
    """Tell whether nobody has a file open for writing; None if the file system does not say."""
    try:
        # a writer that opens the file while we hold the lease must not end us: SIGURG is ignored, SIGIO kills
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return False if error.errno == errno.EAGAIN else None
    return True
