"""Processes that outlive the daemon that started them: known again, and ended.

A process id alone says little, since ids are given again. With the moment of its start and the id of the boot it
means one process for ever; and while any process of a group lives, its number is given to nobody else. So nothing
is ended here that was not shown to be of the recorded group: better one left over than one innocent killed.
A process that left its group (`setsid`, a service started through the init system) is out of reach, by design.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"
_GLANCE = 0.05
"""Seconds between two looks at a group that is being ended."""
_DYING = 5.0
"""Seconds that killed processes have to be gone: the kernel may be busy with what they had open."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Process:
    """One process, and the group that it leads, told from all others of all times.

    Attributes:
        pid: its id.
        start: when it started, in clock ticks since the boot.
        boot: the id of that boot.
    """

    pid: int
    start: int
    boot: str


class _Sight(NamedTuple):
    """What the system tells of a process that is there."""

    pid: int
    start: int
    group: int
    alive: bool


def boot_id() -> str:
    """Tell which boot of the machine this is."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def identify(pid: int, boot: str) -> Process:
    """Make sure who `pid` is in this boot, for later.

    Raises:
        ProcessLookupError: there is no such process.
    """
    sight = _look(pid)
    if sight is None:
        raise ProcessLookupError(f"there is no process {pid}")
    return Process(pid, sight.start, boot)


def end(
    process: Process,
    boot: str,
    grace: float,
    marker: str = "",
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """End what still lives of the group that `process` leads, and wait until it is gone; tell whether there was any.

    TERM goes to the group, and KILL after `grace` seconds. If another process has the id of `process` by now, or
    the boot is another one, nothing is touched. If only other members of the group are left, those are ended that
    started no earlier and have `marker` (NAME=value) in their environment; none without a marker.
    Zombies are as good as gone. What even KILL does not end within seconds is left, with a warning.
    """
    if process.boot != boot:
        return False
    group = _Group(process, marker)
    found = group.signal(signal.SIGTERM)
    until = clock() + grace
    while group.living() and clock() < until:
        pause(_GLANCE)
    until = clock() + _DYING
    while group.signal(signal.SIGKILL):  # each time anew: a member may have forked just before
        if clock() >= until:
            _log.warning("some of the process group %d live on: %s", process.pid, group.living())
            break
        pause(_GLANCE)
    return found


def reap(but: int = 0) -> None:
    """Wait for ended processes that became children of this one when their parents died.

    Only process 1, as otadevice is in a container, gets such children. The child with the id `but` is left to its
    own waiter; there must be no other.
    """
    if os.getpid() != 1:
        return
    with contextlib.suppress(ChildProcessError):  # there are none, or no more
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != but:
            os.waitpid(ended.si_pid, 0)


class _Group:
    """The members of a group, as far as they are shown to be of the one that `process` led."""

    def __init__(self, process: Process, marker: str) -> None:
        self._process = process
        self._marker = marker
        self._known: set[tuple[int, int]] = set()  # a leader that dies must not take the proof along

    def living(self) -> list[int]:
        """List the ids of the members that live."""
        leader = _look(self._process.pid)
        if leader and leader.start != self._process.start:
            return []
        members = [sight for sight in _everyone() if sight.alive and sight.group == self._process.pid]
        ours = [sight for sight in members if leader or self._is_ours(sight)]
        self._known.update((sight.pid, sight.start) for sight in ours)
        return [sight.pid for sight in ours]

    def signal(self, number: int) -> bool:
        """Send a signal to all that live; tell whether there was any."""
        members = self.living()
        if members and _is_there(self._process):
            _send(os.killpg, self._process.pid, number)  # to all at once: nobody is missed for forking meanwhile
        else:
            for pid in members:
                _send(os.kill, pid, number)
        return bool(members)

    def _is_ours(self, sight: _Sight) -> bool:
        if (sight.pid, sight.start) in self._known:
            return True
        return bool(self._marker) and sight.start >= self._process.start and self._marker in _environment(sight.pid)


def _send(kill: Callable[[int, int], None], whom: int, number: int) -> None:
    # one that is gone by now is what was wanted; one of another user shows in the warning
    with contextlib.suppress(ProcessLookupError, PermissionError):
        kill(whom, number)


def _is_there(process: Process) -> bool:
    sight = _look(process.pid)
    return sight is not None and sight.start == process.start


def _everyone() -> Iterator[_Sight]:
    sights = (_look(int(name)) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208 - names are all it takes
    return (sight for sight in sights if sight)


def _look(pid: int) -> _Sight | None:
    """Look at a process, dead or alive; None if there is none."""
    stat = _read(pid, "stat")
    if not stat:
        return None
    # the name before the last bracket may be anything; proc(5) counts the state behind it as field 3
    state, _, group, *fields = stat.rpartition(b")")[2].split()
    threads, start = int(fields[14]), int(fields[16])
    # the first thread may be dead and others at work
    return _Sight(pid, start, int(group), alive=state not in {b"Z", b"X"} or threads > 1)


def _environment(pid: int) -> list[str]:
    return [os.fsdecode(entry) for entry in _read(pid, "environ").split(b"\0")]


def _read(pid: int, name: str) -> bytes:
    """Read what the system tells of a process, nothing if it is gone or another user's."""
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
