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


@pytest.mark.parametrize(
    ("warm", "polls", "growth"), [(100, 300, 2048), pytest.param(2000, 10_000, 512, marks=pytest.mark.long)]
)
@pytest.mark.timeout(1200)
def test_polls_leave_nothing_behind(
    rig: Rig, tree: Path, server: Server, manager: Manager, warm: int, polls: int, growth: int
) -> None:
    """Ten thousand of them, a year of polls every hour; what is kept for good is there after the first ones.

    `growth` is in KiB: a step that the allocator may make, whatever it is asked for.
    """
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
    assert later.memory <= before.memory + growth
