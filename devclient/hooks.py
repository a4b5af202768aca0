"""Hooks: the commands that a release brings along, run so that each of them finds the same world.

A hook is known durably before any of it runs: its shell waits behind a gate until its process is recorded, and ends
by itself if the gate is never opened. So whatever a killed daemon leaves behind can be ended before recovery.
What a failed hook has started is ended with it, or it would race with the rollback. What a successful one has started
in the background is left alone. Whether a hook's ending means failure, later or reboot is not decided here.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Self

from devclient import orphans
from devclient.lifeline import Lifeline
from devclient.orphans import Process, boot_id, end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Ending", "Hook", "Process", "Runner", "boot_id", "end", "script"]

KEPT = 64 * 1024
"""Bytes of a hook's output that are kept: the last ones."""
_SHELL = "/bin/sh"
# one process from the gate to the command, so that what was recorded stays true; a shell's own complaints about the
# folder or the input that it was started with are nobody's business, hence stderr only at the end
_GATE = f'cd / && umask 022 && unset OLDPWD && read -r _ && exec {_SHELL} -c -- "$0" </dev/null 2>&1'
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_PIPE = 1024 * 1024  # what a pipe holds at most, unless root enlarged it: one read empties it
_GLANCE = 0.05  # seconds between two looks at a shell, on systems that do not tell of its exit
_LONGEST = 3600.0  # seconds of one wait: select takes no more than some weeks


def _watch(pid: int) -> int | None:
    """Open what becomes ready when a process exits; None on systems that are too old for it."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


@dataclass(frozen=True)
class Hook:
    """What is to be run.

    Attributes:
        command: for the shell.
        variables: the hook's environment beside PATH and LANG; their names begin with OTA_.
        timeout: seconds that it may take.
        to_the_end: whether it is run, and to its end, though otadevice shall stop.
    """

    command: str
    variables: Mapping[str, str]
    timeout: float
    to_the_end: bool = False


@dataclass(frozen=True)
class Ending:
    """How a hook ended.

    Attributes:
        status: its exit code, 128 and the signal's number if a signal ended it.
        timed_out: whether it was ended because it took too long.
        output: the last 64 KiB of what it wrote to stdout and stderr, in the order of writing.
        stopped: whether it was ended, or not even started, because otadevice shall stop.
    """

    status: int
    timed_out: bool
    output: str
    stopped: bool = False

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == 0 and not self.timed_out and not self.stopped


class Runner:
    """Runs hooks, one at a time.

    Attributes:
        boot: the id of the boot in which it does.
        grace: seconds between TERM and KILL.
        lifeline: gets signs of life while a hook runs, and may want it to stop.
    """

    def __init__(
        self,
        boot: str,
        grace: float = 10,
        lifeline: Lifeline | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[int], int | None] = _watch,
    ) -> None:
        self.boot = boot
        self.grace = grace
        self.lifeline = lifeline or Lifeline()
        self._clock = clock
        self._watch = watch

    def run(self, hook: Hook, record: Callable[[Process], None]) -> Ending:
        """Run `hook` once `record` has made its process known durably; nothing of it runs if `record` raises.

        Nor does anything of it run, and nothing is recorded, if otadevice shall stop already.
        It is over when its shell exits, also if background processes still hold its output open. After exit code 0
        they live on; with any other one, when a signal ended the shell, when time is up and when otadevice shall stop,
        the rest of the process group is ended: TERM, the time of grace, KILL. Out of reach is what left the group.
        Nobody reads the output of what lives on: a background process that still writes to it gets SIGPIPE, so it
        should be started with its output redirected.

        Raises:
            OSError: the system starts no process; nothing of the hook has run.
        """
        if self._shall_stop(hook):
            return Ending(128 + signal.SIGTERM, timed_out=False, output="", stopped=True)
        self.lifeline.ask_for(hook.timeout + 3 * self.grace)
        with _pipe() as (stdin, gate), _pipe() as (output, stdout):
            process = _start(hook, stdin, stdout, self.boot)
            try:
                record(process)
            except BaseException:
                gate.close()
                os.waitpid(process.pid, 0)
                raise
            try:
                _open(gate)
                return self._follow(process, hook, output)
            except BaseException:
                orphans.end(process, self.boot, self.grace)
                _reap(process.pid)
                raise

    def _follow(self, process: Process, hook: Hook, output: FileIO) -> Ending:
        with _Tail(output, self._watch(process.pid), self.lifeline.wakes, self._clock) as tail:
            exits = self._exits(process.pid, tail, hook)
            stopped = not exits and self._shall_stop(hook)
            tail.take()
            # not reaped yet: as long as the dead shell has its id, the group cannot be mistaken
            if not exits or not _succeeded(process.pid):
                orphans.end(process, self.boot, self.grace, clock=self._clock, pause=tail.read_for)
                tail.take()
            return Ending(_reap(process.pid), not exits and not stopped, tail.text, stopped)

    def _exits(self, pid: int, tail: _Tail, hook: Hook) -> bool:
        """Read until the shell exits; tell whether it did before time was up, and before otadevice shall stop."""
        deadline = self._clock() + hook.timeout
        while not _exit(pid):
            left = deadline - self._clock()
            if left <= 0 or self._shall_stop(hook):
                return False
            self.lifeline.beat()
            orphans.reap(but=pid)
            tail.read(min(left, self.lifeline.every))
        return True

    def _shall_stop(self, hook: Hook) -> bool:
        return self.lifeline.stopping and not hook.to_the_end


class _Tail:
    """The end of what comes out of a pipe; it is read as it comes, so that no writer is held up for long.

    It closes `exit_watch`, a descriptor that is ready when the hook's shell has exited; `wakes` is one that is ready
    when there is another reason to look up.
    """

    def __init__(self, pipe: FileIO, exit_watch: int | None, wakes: int | None, clock: Callable[[], float]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipe = pipe
        self._exit_watch = exit_watch
        self._clock = clock
        self._kept = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(pipe, selectors.EVENT_READ)
        self._longest = _GLANCE
        if exit_watch is not None:
            self._longest = _LONGEST
            self._selector.register(exit_watch, selectors.EVENT_READ)
        if wakes is not None:
            self._selector.register(wakes, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        if self._exit_watch is not None:
            os.close(self._exit_watch)

    @property
    def text(self) -> str:
        """What was kept, as text."""
        return self._kept.decode(errors="replace")

    def take(self) -> bool:
        """Take what is in the pipe, without waiting; tell whether more may come."""
        piece = self._pipe.read(_PIPE)
        self._kept = (self._kept + (piece or b""))[-KEPT:]
        return piece != b""

    def read(self, seconds: float) -> None:
        """Wait for output or the exit, at most that long, and take what came; it may return without either."""
        for key, _ in self._selector.select(min(seconds, self._longest)):
            if key.fileobj is not self._pipe:  # once is enough, it stays ready
                # one that is traced is dead some time before that is told to its parent: look now and then
                self._longest = _GLANCE
                self._selector.unregister(key.fileobj)
            elif not self.take():
                self._selector.unregister(key.fileobj)

    def read_for(self, seconds: float) -> None:
        """Take all that comes within that time."""
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            self.read(left)


def script(path: Path) -> str:
    """Make the command that runs a script, given by its absolute path: by itself if it is executable."""
    name = shlex.quote(str(path))
    return f"exec {name}" if os.access(path, os.X_OK) else f"exec {_SHELL} {name}"


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Make a pipe, and close of it what was not closed before."""
    reader, writer = os.pipe()
    with FileIO(reader, "r") as readable, FileIO(writer, "w") as writable:
        yield readable, writable


def _start(hook: Hook, stdin: FileIO, stdout: FileIO, boot: str) -> Process:
    """Start a shell that waits at the gate; the ends of the pipes that it gets are closed here."""
    actions = [
        # in this order it is right, too, for a daemon that was started without a stdin, stdout or stderr
        (os.POSIX_SPAWN_DUP2, stdin.fileno(), 0),
        (os.POSIX_SPAWN_DUP2, stdout.fileno(), 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        *((os.POSIX_SPAWN_CLOSE, number) for number in _descriptors() if number > 2),
    ]
    pid = os.posix_spawn(
        _SHELL,
        [_SHELL, "-c", _GATE, hook.command],
        {**hook.variables, **_ENVIRONMENT},
        file_actions=actions,
        setpgroup=0,
        setsigmask=(),
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )
    stdin.close()
    stdout.close()
    return orphans.identify(pid, boot)


def _open(gate: FileIO) -> None:
    with contextlib.suppress(BrokenPipeError):  # the shell is dead already, as its exit code will tell
        gate.write(b"\n")
    gate.close()


def _descriptors() -> list[int]:
    """List what is open here; Python's own files are closed by exec anyway, but not what came from our parent."""
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def _exit(pid: int) -> os.waitid_result | None:
    """Tell how a child ended, None if it has not; it stays a zombie."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _succeeded(pid: int) -> bool:
    end = _exit(pid)
    return end is not None and end.si_code == os.CLD_EXITED and end.si_status == 0


def _reap(pid: int) -> int:
    """Take a child's exit code, as a shell would count it; one that not even KILL has ended is left behind."""
    reaped, status = os.waitpid(pid, os.WNOHANG)
    code = os.waitstatus_to_exitcode(status) if reaped else -signal.SIGKILL
    return code if code >= 0 else 128 - code
