"""The daemon over thousands of polls: it holds no more memory, descriptors and threads than after the first ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support import daemons, trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from tests.support.devices import Rig
    from tests.support.httpd import Server
    from tests.support.manager import Manager


class Held(NamedTuple):
    """What a process holds: KiB of memory, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


def held(pid: int) -> Held:
    """Tell what a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory, threads = (int(re.findall(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[0]) for name in ("VmRSS", "Threads"))
    return Held(memory, len(list(Path(f"/proc/{pid}/fd").iterdir())), threads)


@pytest.mark.parametrize(("warm", "polls"), [(100, 300), pytest.param(2000, 10_000, marks=pytest.mark.long)])
@pytest.mark.timeout(1200)
def test_polls_leave_nothing_behind(
    rig: Rig, tree: Path, server: Server, manager: Manager, warm: int, polls: int
) -> None:
    """Ten thousand of them, a year of polls every hour; what is kept for good is there after the first ones."""
    rig.add()
    trees.write(tree, Release("1.0", b"one"))
    daemons.settle(rig, interval=0.001)
    manager.patience = 1000
    manager.start()

    def asked() -> int:
        return sum(request.path == "/metadata/timestamp.json" for request in server.requests)

    manager.until(lambda: asked() >= warm)
    before = held(manager.pid)
    manager.until(lambda: asked() >= warm + polls)
    later = held(manager.pid)

    assert manager.results == []
    assert later.descriptors <= before.descriptors + 3  # a poll at work has some open
    assert later.threads == before.threads
    assert later.memory <= before.memory + _STEP


@pytest.mark.parametrize("polls", [300, pytest.param(3000, marks=pytest.mark.long)])
def test_polls_keep_no_object(rig: Rig, tree: Path, polls: int) -> None:
    """What memory, which grows in steps, would hide for long: one object more in three polls, or fifteen, is seen."""
    rig.add()
    trees.write(tree, Release("1.0", b"one"))
    daemons.settle(rig, interval=0.001)
    command = [sys.executable, "-c", _COUNTING, str(polls), "--config", str(rig.config), "run"]

    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=250)

    before, later = map(int, done.stdout.split())
    assert later <= before + max(100, polls // 15)  # it goes up and down by some dozens


_STEP = 2048
"""KiB: the interpreter's table of strings grows and shrinks at once, for names that come and go with each poll."""
_COUNTING = """
import gc, os, signal, sys
from devclient import cli
from devclient.daemon.visit import Work

warm, polls, visit = 100, 0, Work.visit
last = warm + int(sys.argv.pop(1))

def counted(*what):
    global polls
    found, polls = visit(*what), polls + 1
    if polls in (warm, last):
        gc.collect()
        print(sys.getallocatedblocks(), flush=True)
    if polls == last:
        os.kill(os.getpid(), signal.SIGTERM)
    return found

Work.visit = counted
cli.main()
"""
