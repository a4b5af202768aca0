"""What hooks leave running: ended first when otadevice was killed, left alone when they had succeeded."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import updates
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.updates import Scene

PATIENCE = 30
"""Seconds after which a test gives up waiting for a fact."""


def alone(otadevice: int, _hook: int) -> None:
    """Kill otadevice and nothing else."""
    os.kill(otadevice, signal.SIGKILL)


def its_group(otadevice: int, _hook: int) -> None:
    """Kill the group that it was started in."""
    os.killpg(otadevice, signal.SIGKILL)


def and_the_shell(otadevice: int, hook: int) -> None:
    """Kill the hook's shell too; only what the shell has started is left."""
    os.kill(otadevice, signal.SIGKILL)
    os.kill(hook, signal.SIGKILL)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kill", [alone, its_group, and_the_shell])
@pytest.mark.parametrize(
    ("package", "hook"), [("lib", "before_update"), pytest.param("app", "after_update", marks=pytest.mark.long)]
)
def test_what_a_killed_otadevice_left_is_ended_before_the_rollback(
    scene: Scene, tmp_path: Path, kill: Callable[[int, int], None], package: str, hook: str
) -> None:
    """Even if it does not listen: it would work against the old release that comes up again."""
    pids = tmp_path / "pids"
    stubborn = f"trap '' TERM; while :; do echo orphan >> {scene.log}; sleep 0.02; done"
    updates.break_hook(scene, package, hook, f"({stubborn}) & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait")
    _short_grace(scene)
    _kill_once(pids, scene, kill)
    child = int(pids.read_text().split()[1])
    assert _is_alive(child)

    try:
        scene.note("recover")
        subprocess.run(updates.command(scene, "recover"), check=True, capture_output=True, timeout=PATIENCE)
        assert not _is_alive(child)
    finally:
        _end(child)
    lines = scene.lines()
    first = next(number for number, line in enumerate(lines) if line.endswith("rolled-back"))
    assert "orphan" not in lines[first:]
    assert updates.check(scene) == OLD


@pytest.mark.parametrize("hook", ["before_update", "after_update"])
def test_what_a_successful_hook_left_lives_on(scene: Scene, tmp_path: Path, hook: str) -> None:
    """A service that an AfterUpdate has started is what the update was for; no later command ends it."""
    file = tmp_path / "pid"
    updates.break_hook(scene, "lib", hook, f"sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > {file}")

    updates.run(scene)
    updates.recover(scene)
    updates.run(scene)

    child = int(file.read_text())
    try:
        assert _is_alive(child)
        assert updates.check(scene) == NEW
    finally:
        _end(child)


def test_what_a_failed_hook_left_is_ended_with_it(scene: Scene, tmp_path: Path) -> None:
    """Before the old release comes up again."""
    file = tmp_path / "pid"
    updates.break_hook(scene, "lib", "after_update", f"sleep 1000 & echo $! > {file}; exit 1")

    updates.run(scene)

    child = int(file.read_text())
    try:
        assert not _is_alive(child)
        assert updates.check(scene) == OLD
    finally:
        _end(child)


@pytest.mark.parametrize(("ending", "version"), [("exit 0", NEW), ("exit 9", OLD)])
def test_a_flood_of_output_harms_nothing(scene: Scene, ending: str, version: str) -> None:
    """Its end is kept and told if the hook fails, the rest is dropped."""
    flood = f"yes 0123456789abcdef | head -c {20_000_000}; echo; echo the end; {ending}"
    updates.break_hook(scene, "site", "before_update", flood)

    results = {result.package: result for result in updates.run(scene)}

    assert updates.check(scene) == version
    output = results["site"].output
    assert (len(output) == 64 * 1024, output.endswith("the end\n")) == (version == OLD, version == OLD)


def _short_grace(scene: Scene) -> None:
    file = scene.home / "otadevice.toml"
    text = file.read_text()
    assert "grace = 10" in text
    file.write_text(text.replace("grace = 10", "grace = 0.2"))


def _kill_once(begun: Path, scene: Scene, kill: Callable[[int, int], None]) -> None:
    """Run the real update, and kill it as soon as the hook has begun."""
    scene.note("update")
    process = subprocess.Popen(updates.command(scene, "update"), stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + PATIENCE
    while not begun.exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    kill(process.pid, int(begun.read_text().split()[0]))
    assert process.wait() == -signal.SIGKILL


def _end(pid: int) -> None:
    """End what the test has started, if it lives."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - of another process
            return file.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False
