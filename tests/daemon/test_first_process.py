"""The daemon as process 1, as it is in a container: whoever loses its parent becomes its child."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import trees
from tests.support.tools import require, require_root
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.devices import Rig

LEFT = 20
"""Processes that the hook leaves to process 1, one after the other."""
_PATIENCE = 60.0


@pytest.mark.root
@pytest.mark.parametrize("while_it_runs", [True, False])
def test_ended_children_of_hooks_are_waited_for(rig: Rig, tree: Path, *, while_it_runs: bool) -> None:
    """No zombie is left, neither while the hook runs nor after it, or a device would run out of process ids."""
    require_root()
    # each has lost its parent, a subshell, before it ends itself
    strays = f"for _ in $(seq {LEFT}); do (sleep 0.2 </dev/null >/dev/null 2>&1 &); done"
    held = f"touch {rig.folder}/waits; until test -e {rig.folder}/go; do echo .; sleep 0.1; done"
    trees.write(tree, Release("1.0", b"one", content={"after_update": f"{strays}; {held if while_it_runs else ':'}"}))
    local = rig.add()
    alone = [require("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child"]
    with (rig.folder / "log").open("wb") as log, subprocess.Popen([*alone, *rig.command("run")], stderr=log) as outer:
        try:
            if while_it_runs:
                _until((rig.folder / "waits").exists)
                daemon = _only_child(outer.pid)
                _until(lambda: _ended(daemon) == [])
                (rig.folder / "go").touch()
            _until(lambda: "installed 1.0" in (rig.folder / "log").read_text())
            assert local.read_bytes() == b"one"
            daemon = _only_child(outer.pid)
            _until(lambda: _children(daemon) == [])
        finally:
            outer.terminate()
            outer.kill()


def _until(fact: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not fact():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _only_child(pid: int) -> int:
    (child,) = _children(pid)
    return child


def _ended(pid: int) -> list[int]:
    """List the children of a process that have ended and are not waited for, once all its strays have come to it."""
    states = {child: _state(child) for child in _children(pid)}
    zombies = [child for child, state in states.items() if state == "Z"]
    # those that sleep still are yet to end: not before then is it true that none is left
    return zombies if len(states) <= 1 + len(zombies) else [os.getpid()]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # waited for just now
        return ""
