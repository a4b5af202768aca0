"""What a killed otadevice leaves running: it is known again and ended, and nobody else is."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient import orphans
from devclient.orphans import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOOT = orphans.boot_id()
GRACE = 0.2
MARKER = "OTA_PACKAGE=app-of-this-test"
FOREVER = "while :; do sleep 1000; done"

# a daemon, as far as hooks go: it records to a file, and whoever waits for the hook's own words kills it
DAEMON = """
import sys
from pathlib import Path
from devclient.hooks import Hook, Runner, boot_id

def record(process):
    Path(sys.argv[1]).write_text(f"{process.pid} {process.start} {process.boot}")
    if sys.argv[3:] == ["stay"]:
        print("recorded", flush=True)
        sys.stdin.read()

print(Runner(boot_id(), 60).run(Hook(sys.argv[2], {}, 60), record))
"""

HEADLESS = """
import ctypes, threading
threading.Thread(target=threading.Event().wait).start()
print(flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start shells that lead groups of their own; they end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: str, *, marked: bool = False) -> subprocess.Popen[bytes]:
        name, _, value = MARKER.partition("=")
        environment = {"PATH": os.environ["PATH"]} | ({name: value} if marked else {})
        shell = subprocess.Popen(["/bin/sh", "-c", command], process_group=0, stdout=subprocess.PIPE, env=environment)
        started.append(shell)
        return shell

    yield start
    for shell in started:
        for pid in _group(shell.pid):
            os.kill(pid, signal.SIGKILL)
        with shell:
            pass


@pytest.fixture
def group(start: Callable[..., subprocess.Popen[bytes]]) -> Process:
    """A shell with a child, both at work."""
    shell = start(f"sleep 1000 & {FOREVER}")
    _await(lambda: len(_group(shell.pid)) >= 3)
    return orphans.identify(shell.pid, BOOT)


def test_a_process_is_known_by_its_start(group: Process) -> None:
    """The same one each time, in this boot."""
    assert orphans.identify(group.pid, BOOT) == group
    assert group.start > 0


def test_a_process_that_is_not_there_cannot_be_identified() -> None:
    """It is an error, not a guess."""
    gone = subprocess.Popen(["true"])
    gone.wait()

    with pytest.raises(ProcessLookupError):
        orphans.identify(gone.pid, BOOT)


def test_a_whole_group_is_ended(group: Process) -> None:
    """The shell and what it has started; a second time there is nothing to end."""
    assert orphans.end(group, BOOT, GRACE)

    assert _group(group.pid) == []
    assert not orphans.end(group, BOOT, GRACE)


def test_what_ignores_term_is_killed(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """After the time of grace."""
    shell = start(f"trap '' TERM; echo; {FOREVER}")
    _read_line(shell)

    assert orphans.end(orphans.identify(shell.pid, BOOT), BOOT, GRACE)

    assert shell.wait() == -signal.SIGKILL
    assert _group(shell.pid) == []


def test_what_obeys_term_gets_its_time(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """It may clean up before it goes."""
    shell = start("trap 'sleep 0.3; exit 7' TERM; echo; while :; do sleep 0.01; done")
    _read_line(shell)

    assert orphans.end(orphans.identify(shell.pid, BOOT), BOOT, 60)

    assert shell.wait() == 7


def test_another_boots_process_is_not_touched(group: Process) -> None:
    """Ids and times start anew with each boot."""
    before = _group(group.pid)

    assert not orphans.end(dataclasses.replace(group, boot="another"), BOOT, GRACE)
    assert not orphans.end(group, "another", GRACE)

    assert _group(group.pid) == before


@pytest.mark.parametrize("later", [-1, 1])
def test_an_innocent_process_with_the_same_id_is_not_touched(group: Process, later: int) -> None:
    """It has started at another time, so it is another one; a marker does not make it the recorded one."""
    before = _group(group.pid)
    other = dataclasses.replace(group, start=group.start + later)

    assert not orphans.end(other, BOOT, GRACE)
    assert not orphans.end(other, BOOT, GRACE, MARKER)

    assert _group(group.pid) == before


def test_nobody_is_ended_when_nobody_is_left() -> None:
    """The usual case: the hook was over long ago."""
    gone = subprocess.Popen(["true"])
    process = orphans.identify(gone.pid, BOOT)
    gone.wait()

    assert not orphans.end(process, BOOT, GRACE, MARKER)


def test_a_zombie_is_as_good_as_gone() -> None:
    """Its parent reads its exit code when it likes."""
    with subprocess.Popen(["true"]) as zombie:
        process = orphans.identify(zombie.pid, BOOT)
        _await(lambda: _group(zombie.pid) == [])

        assert not orphans.end(process, BOOT, GRACE)


def test_a_process_without_its_first_thread_is_alive() -> None:
    """It looks like a zombie, and its other threads are at work."""
    with subprocess.Popen([sys.executable, "-c", HEADLESS], process_group=0, stdout=subprocess.PIPE) as headless:
        _read_line(headless)
        process = orphans.identify(headless.pid, BOOT)
        _await(lambda: Path(f"/proc/{headless.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")

        assert orphans.end(process, BOOT, GRACE)

        assert headless.wait() == -signal.SIGTERM


def test_without_its_leader_a_group_is_ended_by_the_marker(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """The shell is gone, and what it has left has the hook's own variable in its environment."""
    process = _leaderless(start, marked=True)

    assert orphans.end(process, BOOT, GRACE, MARKER)

    assert _group(process.pid) == []


@pytest.mark.parametrize(("marked", "marker"), [(True, ""), (False, MARKER), (True, "OTA_PACKAGE=app")])
def test_without_its_leader_and_the_marker_a_group_is_not_touched(
    start: Callable[..., subprocess.Popen[bytes]],
    marked: bool,  # noqa: FBT001 - a column of a table
    marker: str,
) -> None:
    """Better one left over than one innocent killed."""
    process = _leaderless(start, marked=marked)
    before = _group(process.pid)

    assert not orphans.end(process, BOOT, GRACE, marker)

    assert _group(process.pid) == before


def test_what_is_older_than_the_leader_is_not_of_its_group(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Even with the marker: it cannot have been started by the hook."""
    process = _leaderless(start, marked=True)
    before = _group(process.pid)

    assert not orphans.end(dataclasses.replace(process, start=process.start + 1_000_000), BOOT, GRACE, MARKER)

    assert _group(process.pid) == before


def test_a_leader_that_dies_first_does_not_save_the_others(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """What was seen as its group once is ended, though TERM ends only the leader, and nothing has a marker."""
    shell = start("(trap '' TERM; echo; while :; do sleep 1000; done) & trap - TERM; wait")
    _read_line(shell)
    process = orphans.identify(shell.pid, BOOT)

    def pause(_seconds: float) -> None:
        shell.wait()  # so that not even a zombie is left of it

    assert orphans.end(process, BOOT, GRACE, pause=pause)

    assert _group(process.pid) == []


def test_the_hook_of_a_killed_daemon_is_ended(tmp_path: Path) -> None:
    """A daemon is killed while its hook runs: the hook is still there, known, and ended."""
    daemon = _daemon(tmp_path, f"sleep 1000 & touch {tmp_path}/runs; {FOREVER}")
    _await((tmp_path / "runs").exists)
    daemon.kill()
    daemon.communicate()
    process = _recorded(tmp_path)

    assert _group(process.pid) != []
    assert orphans.end(process, BOOT, GRACE)

    assert _group(process.pid) == []


def test_a_daemon_that_is_killed_before_the_gate_leaves_nothing(tmp_path: Path) -> None:
    """Its hook was recorded and has not begun, so it never will."""
    daemon = _daemon(tmp_path, f"touch {tmp_path}/runs", "stay")
    _read_line(daemon)
    daemon.kill()
    daemon.communicate()

    _await(lambda: _group(_recorded(tmp_path).pid) == [])
    assert not (tmp_path / "runs").exists()


def _leaderless(start: Callable[..., subprocess.Popen[bytes]], *, marked: bool) -> Process:
    """Make a group whose leader is gone for good."""
    shell = start("sleep 1000 & exec sleep 1000", marked=marked)
    process = orphans.identify(shell.pid, BOOT)
    _await(lambda: len(_group(shell.pid)) == 2)
    shell.kill()
    shell.wait()
    return process


def _daemon(folder: Path, command: str, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(folder / "record"), command, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _recorded(folder: Path) -> Process:
    pid, started, boot = (folder / "record").read_text().split()
    return Process(int(pid), int(started), boot)


def _read_line(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is None:
        raise RuntimeError("it was started without a pipe")
    process.stdout.readline()


def _group(number: int) -> list[int]:
    """List the living members of a process group."""
    return [sight.pid for sight in orphans._everyone() if sight.alive and sight.group == number]


def _await(fact: Callable[[], bool]) -> None:
    """Wait until something is true, as long as a slow machine may take."""
    for _ in range(3000):
        if fact():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")
