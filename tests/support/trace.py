"""Faults from outside: any program is watched, killed or failed at the system calls that change files.

    for call in record(command, folder):
        prepare(folder)
        kill_at(command, call, folder)

What strace does, found out by trying 6.1, and what follows from it here:
- An injection counts per system call name and per tracee (thread or process), failed calls included. A point
  is therefore a name and a number, taken from a recording of the same program on the same files.
- SIGKILL is delivered on entry: the call is not made. `error=` says so explicitly.
- With `--seccomp-bpf`, four times as fast, signals are silently not injected, so only recordings use it.
- A child or thread that reaches the same count first is killed instead; `kill_at` notices and complains.
- The call after the last one cannot be killed at: it is a run that nothing happens to.

Not seen: writes through a shared writable mapping (SQLite's `-shm`), though the opening for writing is.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import systemcalls, tools

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tests.support.systemcalls import SystemCall

    Done = subprocess.CompletedProcess[str]

_REPOSITORY = Path(__file__).parents[2]


class MissedError(AssertionError):
    """The program was not killed where it should have been: it did not do what was recorded."""


def record(command: Sequence[str], below: Path) -> list[SystemCall]:
    """Run a command and list the system calls, in order, that changed something in the folder `below`.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    calls, done = _strace(command, ["--seccomp-bpf"])
    done.check_returncode()
    folder = below.resolve()
    return [call for call in calls if call.is_change and call.succeeded and call.touches(folder)]


def kill_at(command: Sequence[str], call: SystemCall, below: Path) -> Done:
    """Run a command that kill -9 ends at a recorded call, which is not made any more.

    The files have to be as they were when the call was recorded. Children of the process live on and are
    waited for.

    Raises:
        MissedError: the program ended otherwise, or was killed at a call that does not touch `below`.
    """
    calls, done = _strace(command, ["-e", f"inject={call.name}:error=EIO:signal=SIGKILL:when={call.nth}"])
    last = next((made for made in calls if made.name == call.name and made.was_cut_off), None)
    if last is None or (last.tracee, last.nth) != (call.tracee, call.nth) or not last.touches(below.resolve()):
        raise MissedError(f"wanted {call} in {call.arguments}, got {last}: {done.stdout}{done.stderr}")
    return done


def fail_at(command: Sequence[str], call: SystemCall, error: str, below: Path) -> Done:
    """Run a command to which a recorded call reports an error, as ENOSPC, without being made; it happens once.

    Raises:
        MissedError: another call than the recorded one failed, or none.
    """
    calls, done = _strace(command, ["-e", f"inject={call.name}:error={error}:when={call.nth}"])
    failed = [made for made in calls if made.was_injected]
    places = [(made.tracee, made.name, made.nth) for made in failed]
    if places != [(call.tracee, call.name, call.nth)] or not failed[0].touches(below.resolve()):
        raise MissedError(f"wanted {call} in {call.arguments}, got {failed}: {done.stdout}{done.stderr}")
    return done


def bypasses(calls: Iterable[SystemCall], allowed: Collection[Path] = ()) -> list[SystemCall]:
    """List the recorded calls that changed files and did not come from `mirror.files.Calls`.

    The recording is that of an `announced` command. Syncs from elsewhere do no harm and are not listed;
    `allowed` are the files that something else may change.
    """
    return [
        call
        for call in calls
        if not call.announced and call.name not in systemcalls.SYNCS and not set(call.paths) <= set(allowed)
    ]


def announced(command: Sequence[str]) -> list[str]:
    """Extend `python …` so that `mirror.files.Calls` announces what it does."""
    return [command[0], "-m", "tests.support.announce", *command[1:]]


def of_sqlite(database: Path) -> list[Path]:
    """List the files that SQLite keeps for a database."""
    whole = database.resolve()
    return [whole.with_name(whole.name + end) for end in ("", "-journal", "-wal", "-shm")]


def _strace(command: Sequence[str], options: Sequence[str]) -> tuple[list[SystemCall], Done]:
    """Run a command under strace; `?` before a name: not every machine has every system call."""
    expression = "trace=" + ",".join(f"?{name}" for name in systemcalls.TRACED)
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", prefix="strace-") as listing:
        how = ["-f", "-y", "-s0", "-qq", "-esignal=none", "-o", listing.name, "-e", expression, *options]
        done = subprocess.run(
            [_tool(), *how, *command],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return systemcalls.read(listing), done


def _tool() -> str:
    strace = tools.require("strace")
    tried = subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:  # as in some containers
        tools.missing(f"strace cannot trace here: {tried.stderr}")
    return strace


def _environment() -> dict[str, str]:
    """Take away what makes two runs of one program differ."""
    ours = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(_REPOSITORY)}
    return {**os.environ, **ours}
