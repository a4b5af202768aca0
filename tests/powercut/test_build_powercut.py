"""Builds whose machine loses its power: what was acknowledged is there, what was begun is finished by the next.

The real command is killed at a system call and the power is cut at once, so that nothing survives that it had not
asked to be durable. SQLite's own durability is part of it.
"""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from mirror.files import Calls, Files
from tests.support import clients, crashes, powercut, readers
from tests.support.crashes import SCENES
from tests.support.faults import KILL_BEFORE, SYNCS, Fault, FaultyCalls, Killed, spread
from tests.support.trace import kill_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.crashes import Recording, Scene
    from tests.support.powercut import Disk
    from tests.support.readers import View

pytestmark = pytest.mark.root

SAMPLE = 2
POINTS = 20
DEATHS = [
    pytest.param(name, points, marks=[] if nth in (6, 14) else [pytest.mark.long])
    for name, calls in zip(SCENES, (220, 100), strict=True)
    for nth, points in enumerate(zip(spread(calls, 20), random.Random(0).sample(range(1, 80), 20), strict=True))
]

_PUBLISHED = re.compile(r"published (\S+) (\S+) on (\S+),")


class UnsyncedCalls(Calls):
    """A system that only says that things are durable."""

    def fsync(self, _descriptor: int) -> None:
        """Do nothing."""

    def syncfs(self, _descriptor: int) -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Disk]:
    """Start a machine with an empty disk."""
    with powercut.disk() as disk:
        yield disk


@pytest.fixture(scope="module", params=SCENES)
def recording(request: pytest.FixtureRequest, machine: Disk) -> Recording:
    """Record the command on each scene in turn."""
    with machine.cut() as disk:
        return crashes.record(request.param, disk.folder / "site")


@pytest.fixture
def fresh(machine: Disk) -> Iterator[Disk]:
    """Give each test the machine as it was at first."""
    with machine.cut() as disk:
        yield disk


def lay(name: str, disk: Disk) -> Scene:
    """Lay out a scene that has been there for long."""
    scene = crashes.lay(name, disk.folder / "site")
    disk.sync()
    return scene


def acknowledged(log: str) -> set[tuple[str, str, str]]:
    """Name the releases of which the command says that they are published."""
    return {(package, branch, version) for package, version, branch in _PUBLISHED.findall(log)}


def look(scene: Scene, device: Path) -> View:
    """See the mirror as readers do, and as a device that does not lose its power and forgets nothing."""
    clients.look(scene.site.paths.mirror, device)
    return crashes.look(scene)


def cut_and_settle(recording: Recording, point: int, disk: Disk, device: Path) -> None:
    """Kill the command at a call of the recording, cut the power, and let the next build finish."""
    scene = lay(recording.name, disk)
    killed = kill_at(scene.command, recording.calls[point - 1], disk.folder)
    seen = look(scene, device)

    with disk.cut():
        assert acknowledged(killed.stderr) <= set(crashes.look(scene).versions())
        crashes.settle(scene)
        look(scene, device).keeps(seen)


@pytest.mark.parametrize("nth", range(SAMPLE))
def test_a_build_that_lost_its_power_is_finished_by_the_next(
    nth: int, recording: Recording, fresh: Disk, tmp_path: Path
) -> None:
    """Cut at calls from all over the run: nothing acknowledged is lost, no file is empty, all is published once."""
    cut_and_settle(recording, spread(len(recording.calls), SAMPLE)[nth], fresh, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("nth", range(POINTS))
def test_a_build_that_lost_its_power_anywhere_is_finished_by_the_next(
    nth: int, recording: Recording, fresh: Disk, tmp_path: Path
) -> None:
    """The same at many calls."""
    cut_and_settle(recording, spread(len(recording.calls), POINTS, seed=1)[nth], fresh, tmp_path)


@pytest.mark.parametrize("name", SCENES)
def test_what_was_acknowledged_is_durable(name: str, fresh: Disk) -> None:
    """Cut right after a build, everything is published and nothing is left to do; the next publish works."""
    scene = lay(name, fresh)
    done = subprocess.run(scene.command, check=True, capture_output=True, text=True)
    assert acknowledged(done.stderr) == set(crashes.named(scene.dropped))

    with fresh.cut():
        crashes.check_published(scene.site, scene.packages)
        crashes.settle(scene)


@pytest.mark.parametrize("name", SCENES)
def test_a_build_that_does_not_sync_is_found(name: str, fresh: Disk) -> None:
    """Without syncs, the checks that all tests here make find files without bytes."""
    scene = lay(name, fresh)
    crashes.run(scene.site, UnsyncedCalls())

    with fresh.cut(), pytest.raises(readers.BrokenError, match=r"is empty|is missing|other bytes"):
        crashes.look(scene)


@pytest.mark.parametrize("name", [SCENES[0], pytest.param(SCENES[1], marks=pytest.mark.long)])
def test_a_build_that_was_about_to_sync_is_finished_by_the_next(name: str, machine: Disk, tmp_path: Path) -> None:
    """Cut right before any sync, with all names on the disk and no bytes: nothing that readers see is empty."""
    for point in crashes.points(name, lambda call: call.name in SYNCS):
        with machine.cut() as disk:
            scene = lay(name, disk)
            with pytest.raises(Killed):
                crashes.run(scene.site, FaultyCalls(Fault(point, KILL_BEFORE)))
            write_names(disk)
            device = tmp_path / f"{point}"
            seen = look(scene, device)

            with disk.cut():
                crashes.settle(scene)
                look(scene, device).keeps(seen)


def write_names(disk: Disk) -> None:
    """Let another program make a file durable: the file system writes its journal, but the bytes of that file only."""
    Files().replace(disk.folder / "neighbour", b"of another program")


@pytest.mark.parametrize(("name", "deaths"), DEATHS)
def test_what_two_dead_builds_left_is_finished_after_a_cut(
    name: str, deaths: tuple[int, int], fresh: Disk, tmp_path: Path
) -> None:
    """Cut after a build died at what another had left: a third one finishes, and its readers see no broken mirror."""
    scene = lay(name, fresh)
    for point in deaths:
        with contextlib.suppress(Killed):  # where the first one came far, the second may come through
            crashes.run(scene.site, FaultyCalls(Fault(point, KILL_BEFORE)))
    seen = look(scene, tmp_path)

    with fresh.cut():
        crashes.settle(scene, crashes.WatchedCalls(scene))
        look(scene, tmp_path).keeps(seen)
