"""A disk that is really full, to its last byte or its last inode, from one moment of an update on.

The whole device lies on an ext4 disk of its own, where nothing is reserved for root. A hook fills it, when all that
is needed was allocated; what services write lies on another disk.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import powercut, updates
from tests.support.faults import KILL_BEFORE, CountingCalls, Fault, FaultyCalls, Killed, spread
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from functools import partial
    from pathlib import Path

    from tests.support.powercut import Disk
    from tests.support.updates import Scene

pytestmark = pytest.mark.root

SIZE = 16 * 1024 * 1024
CUTS = 4
"""At how many calls on the full disk the power is cut."""

FILLS = {
    # the last blocks go one by one, after a sync: a large file may not have those set aside for its own needs
    "bytes": "cat /dev/zero > zeros; sync -f .; for n in $(seq 64); do echo > $n; done; sync -f .",
    "inodes": "seq $(stat -f -c %d .) | xargs touch; sync -f .",
}
LEFT = "stat -f -c '%a %d' ."
"""Tells how many blocks and inodes there are to be had, for root too."""


class NotingCalls(CountingCalls):
    """The real calls; `full_since` is the number of the first one on the full disk."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene
        self.full_since = 0

    def _do(self, name: str, call: partial[Any]) -> Any:
        if not self.full_since and left(self._scene).exists():
            self.full_since = len(self.calls)
        return super()._do(name, call)


@pytest.fixture(scope="module")
def machine() -> Iterator[Disk]:
    """A machine with a small disk, which is soon full."""
    with powercut.disk(SIZE) as disk:
        yield disk


def lay(machine: Disk, fill: str, package: str, hook: str, ending: str) -> Scene:
    """Lay out a scene on a disk that a hook of the new release of a package fills before it ends."""
    make_room(machine)
    scene = updates.lay(machine.folder / "scene")
    filling = f"cd {filled(machine)}; ({FILLS[fill]}) >/dev/null 2>&1; {LEFT} > {left(scene)}; {ending}"
    updates.break_hook(scene, package, hook, filling)
    machine.sync()
    return scene


def filled(machine: Disk) -> Path:
    """Tell where what fills the disk is."""
    return machine.folder / "fill"


def left(scene: Scene) -> Path:
    """Tell where the hook writes down what it has left."""
    return scene.services / "left"


def make_room(machine: Disk) -> None:
    """Remove what fills the disk."""
    shutil.rmtree(filled(machine), ignore_errors=True)
    filled(machine).mkdir()


def see_full(scene: Scene, fill: str) -> None:
    """See that the hook has left nothing."""
    blocks, inodes = map(int, left(scene).read_text().split())
    assert (inodes if fill == "inodes" else blocks) == 0


def see_that_all_goes_on(machine: Disk, scene: Scene) -> None:
    """Make room, and see that the next poll takes the next release, which fills nothing."""
    make_room(machine)
    updates.publish(scene)
    updates.settle(scene)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("package", "hook"), [("lib", "before_update"), ("app", "after_update")])
@pytest.mark.parametrize(("ending", "version"), [("exit 1", OLD), ("exit 0", NEW)])
def test_an_update_ends_on_a_full_disk(
    machine: Disk, fill: str, package: str, hook: str, ending: str, version: str
) -> None:
    """Rolled back whole, with its mark, or committed whole; and once there is room the next poll works."""
    scene = lay(machine, fill, package, hook, ending)

    results = updates.run(scene)

    see_full(scene, fill)
    assert updates.check(scene) == version
    updates.check_story(scene)
    assert {result.outcome for result in results} == {"updated" if version == NEW else "rolled back"}
    marked = [(mark["package"], mark["version"]) for mark in scene.device().marks.listed()]
    assert marked == ([] if version == NEW else [(package, NEW)])
    see_that_all_goes_on(machine, scene)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("ending", "version"), [("exit 1", OLD), ("exit 0", NEW)])
def test_a_power_cut_on_a_full_disk_is_recovered_on_it(machine: Disk, fill: str, ending: str, version: str) -> None:
    """Cut at any call since: with no more room than there was, the old set is whole again, or the new one."""
    scene = lay(machine, fill, "app", "after_update", ending)
    noting = NotingCalls(scene)
    updates.run(scene, noting)

    for point in spread(len(noting.calls) - noting.full_since, CUTS):
        scene = lay(machine, fill, "app", "after_update", ending)
        with pytest.raises(Killed):
            updates.run(scene, FaultyCalls(Fault(noting.full_since + point, KILL_BEFORE)), boot="the boot before")

        with machine.cut():
            updates.recover(scene)

            see_full(scene, fill)
            assert updates.check(scene) in {OLD, version}
            updates.check_story(scene)
            see_that_all_goes_on(machine, scene)
