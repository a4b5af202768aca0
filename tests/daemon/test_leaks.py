"""The daemon over thousands of polls: it holds no more memory, descriptors and threads than after the first ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support import daemons, trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from tests.support.devices import Rig
    from tests.support.httpd import Server
    from tests.support.manager import Manager

WARM = 200
"""Polls until what is kept for good is there."""
GROWTH = 1024
"""KiB: what the allocator of C may hold on to, however many polls there are."""


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


@pytest.mark.parametrize("polls", [600, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.timeout(1200)
def test_polls_leave_nothing_behind(rig: Rig, tree: Path, server: Server, manager: Manager, polls: int) -> None:
    """Ten thousand of them, a year of polls every hour, with a request each."""
    rig.add()
    trees.write(tree, Release("1.0", b"one"))
    daemons.settle(rig, interval=0.001)
    manager.patience = 1000
    manager.start()

    def asked() -> int:
        return sum(request.path == "/metadata/timestamp.json" for request in server.requests)

    manager.until(lambda: asked() >= WARM)
    before = held(manager.pid)
    manager.until(lambda: asked() >= WARM + polls)
    later = held(manager.pid)

    assert manager.results == []
    assert later.descriptors <= before.descriptors + 3  # a poll at work has some open
    assert later.threads == before.threads
    assert later.memory <= before.memory + GROWTH
