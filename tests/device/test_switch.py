"""From the old set to the new one and back: whatever is cut, what comes back is the very tree from before."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from devclient.install import place, switch
from devclient.plan import Found
from mirror.files import Files
from tests.support import installs
from tests.support.faults import (
    BROKEN_ONCE,
    FULL,
    KILL_BEFORE,
    KILL_HALFWAY,
    CountingCalls,
    Fault,
    FaultyCalls,
    Killed,
    points,
    spread,
)
from tests.support.installs import MANY, Scene, each_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.files import Calls

AGAIN = 3
"""At how many calls undoing is killed again, for each call at which switching was."""


def _prepared(folder: Path, names: tuple[str, ...]) -> tuple[Scene, dict[str, object]]:
    scene = installs.lay(folder, *names)
    before = scene.look()
    scene.prepare()
    return scene, before


def _check_undone(scene: Scene, before: dict[str, object]) -> None:
    scene.clean()
    assert scene.look() == before


@each_plan
def test_the_new_takes_its_place(tmp_path: Path, names: tuple[str, ...]) -> None:
    """And once it is settled nothing of the update is left beside it but the previous release, where there was one."""
    scene, _ = _prepared(tmp_path / "device", names)

    scene.switch()
    scene.settle()

    scene.check_new()
    left = {path.name for path in scene.opt.glob(".*")}
    kept = [step for step in scene.plan.steps if step.found in {Found.FILE, Found.FOLDER}]
    assert left == ({f".{step.package}.previous" for step in kept} if scene.plan.kind == "update" else set())
    assert all(".previous" in name for name in left)


@each_plan
def test_a_killed_switch_is_undone_whole(tmp_path: Path, names: tuple[str, ...]) -> None:
    """At whatever call, and though undoing is killed too: the same files are there as before, and no others."""
    scene, _ = _prepared(tmp_path / "device", names)
    total = points(scene.switch)

    for point in range(1, total + 2):
        fault = Fault(point, (KILL_BEFORE, KILL_HALFWAY)[point % 2])
        scene, before = _cut(tmp_path / "device", names, fault)
        undoing = points(scene.switch_back)
        _check_undone(scene, before)

        for again in spread(undoing, AGAIN, seed=point):
            scene, before = _cut(tmp_path / "device", names, fault)
            with pytest.raises(Killed):
                scene.switch_back(FaultyCalls(Fault(again, (KILL_BEFORE, KILL_HALFWAY)[again % 2])))
            scene.switch_back()
            _check_undone(scene, before)


@each_plan
def test_undoing_needs_no_space(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Nor does switching: on a disk that is full since everything was laid out, both work."""
    scene, before = _prepared(tmp_path / "device", names)

    scene.switch(FaultyCalls(Fault(1, FULL)))
    scene.check_new()
    scene.switch_back(FaultyCalls(Fault(1, FULL)))

    _check_undone(scene, before)


@each_plan
def test_a_switch_that_fails_is_undone_whole(tmp_path: Path, names: tuple[str, ...]) -> None:
    """One call ends with an error, and what was done before it is taken back."""
    scene, _ = _prepared(tmp_path / "device", names)

    for point in range(1, points(scene.switch) + 1):
        scene, before = _prepared(tmp_path / "device", names)
        with contextlib.suppress(OSError):
            scene.switch(FaultyCalls(Fault(point, BROKEN_ONCE)))
        scene.switch_back()
        _check_undone(scene, before)


@each_plan
def test_undoing_what_was_never_switched_changes_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    """As after a BeforeUpdate that failed, and as often as one likes."""
    scene, before = _prepared(tmp_path / "device", names)

    for _ in range(2):
        scene.switch_back()

    _check_undone(scene, before)


@each_plan
def test_settling_may_be_killed_and_repeated(tmp_path: Path, names: tuple[str, ...]) -> None:
    """In the end it is as if nothing had been."""
    scene = _switched(tmp_path / "device", names)
    total = points(scene.settle)
    wanted = _names_and_bytes(scene)

    for point in range(1, total + 1):
        scene = _switched(tmp_path / "device", names)
        with pytest.raises(Killed):
            scene.settle(FaultyCalls(Fault(point, KILL_BEFORE)))
        scene.settle()

        assert _names_and_bytes(scene) == wanted


@each_plan
def test_the_switch_is_durable(tmp_path: Path, names: tuple[str, ...]) -> None:
    """On return each folder in which names changed was synced since."""
    scene, _ = _prepared(tmp_path / "device", names)
    calls = CountingCalls()

    scene.switch(calls)

    assert installs.unsynced(calls.calls) == set()


@each_plan
@pytest.mark.parametrize("step", [Scene.switch_back, Scene.settle], ids=lambda step: step.__name__)
def test_what_is_repeated_is_durable(
    tmp_path: Path, names: tuple[str, ...], step: Callable[[Scene, Calls | None], None]
) -> None:
    """On return each folder is synced in which names were changed, also by the one that was killed."""
    scene = _switched(tmp_path / "device", names)
    total = points(lambda calls: step(scene, calls))

    for point in range(1, total + 2):
        scene = _switched(tmp_path / "device", names)
        killed, repeated = FaultyCalls(Fault(point, KILL_BEFORE)), CountingCalls()
        with contextlib.suppress(Killed):
            step(scene, killed)
        step(scene, repeated)
        # the call at which it was killed was not made
        made = [*killed.calls[: point - 1], *repeated.calls]
        assert installs.unsynced(made) == set()


def test_the_owners_folder_comes_back_whole(tmp_path: Path) -> None:
    """The same folder, not a copy of it; once the update is final it is kept beside its place."""
    scene, _ = _prepared(tmp_path / "device", ("an adopted folder",))
    (step,) = scene.plan.steps
    theirs = step.path.stat().st_ino

    scene.switch()
    assert step.path.is_symlink()
    scene.switch_back()
    assert (step.path.stat().st_ino, step.path.is_symlink()) == (theirs, False)

    scene.prepare()
    scene.switch()
    scene.settle()
    assert place.previous(step.path).stat().st_ino == theirs


@pytest.mark.parametrize("name", ["a file that is there", "an adopted folder"])
def test_what_was_kept_before_makes_room(tmp_path: Path, name: str) -> None:
    """A place may have had another kind of package once."""
    scene, _ = _prepared(tmp_path / "device", (name,))
    (step,) = scene.plan.steps
    kept = place.previous(step.path)
    kept.write_bytes(b"")
    there = step.path.stat().st_ino

    scene.switch()
    scene.settle()

    assert kept.stat().st_ino == there
    assert not os.path.lexists(place.old(step.path))


def test_a_folder_of_its_owners_makes_room_for_nothing(tmp_path: Path) -> None:
    """What was adopted once stays, and the file that was replaced is kept no longer."""
    scene, _ = _prepared(tmp_path / "device", ("a file that is there",))
    (step,) = scene.plan.steps
    theirs = place.previous(step.path) / "theirs"
    theirs.mkdir(parents=True)

    scene.switch()
    scene.settle()

    assert theirs.exists()
    assert not os.path.lexists(place.old(step.path))


@pytest.mark.parametrize("name", ["a file that is there", "a first file", "a folder that is there", "a first folder"])
def test_a_folder_that_came_into_the_place_is_moved_aside(tmp_path: Path, name: str) -> None:
    """Undoing goes on, wherever it is cut, and nothing of the folder is lost."""
    scene, before = _prepared(tmp_path / "device", (name,))
    (step,) = scene.plan.steps
    scene.switch()
    step.path.unlink()
    (step.path / "strange").mkdir(parents=True)
    total = points(scene.switch_back)
    aside = place.aside(step.path)
    assert (aside / "strange").exists()

    for point in range(1, total + 1):
        scene, before = _prepared(tmp_path / "device", (name,))
        scene.switch()
        step.path.unlink()
        (step.path / "strange").mkdir(parents=True)
        with contextlib.suppress(Killed):
            scene.switch_back(FaultyCalls(Fault(point, KILL_BEFORE)))
        scene.switch_back()
        assert (aside / "strange").exists()
        (aside / "strange").rmdir()
        aside.rmdir()
        _check_undone(scene, before)


def test_two_updates_without_new_bytes_leave_nothing_else(tmp_path: Path) -> None:
    """What was in place, what is, and what was before may all be names of one file."""
    scene = installs.lay(tmp_path / "device", "a file that is right")
    for _ in range(3):
        scene.prepare()
        scene.switch()
        scene.settle()

    scene.check_new()
    assert sorted(path.name for path in scene.opt.iterdir()) == [".p0.previous", "p0"]


def test_what_nobody_can_undo_any_more_is_forgotten(tmp_path: Path) -> None:
    """Files that were kept go; what is in place stays, and folders that were their owner's before they were adopted."""
    scene = installs.lay(tmp_path / "device", *MANY)
    for step in scene.plan.steps:
        kept = place.previous(step.path)
        kept.mkdir() if step.is_folder else kept.write_bytes(b"")
    kept_for_theirs = scene.plan.steps[-2].path

    for _ in range(2):
        switch.forget(scene.plan.steps, Files())

    assert {path.name for path in scene.opt.glob(".*")} == {
        place.previous(step.path).name for step in scene.plan.steps if step.is_folder
    }
    assert (kept_for_theirs / "theirs").exists()


def _cut(folder: Path, names: tuple[str, ...], fault: Fault) -> tuple[Scene, dict[str, object]]:
    """Prepare a scene and kill its switch; a fault after the last call does not."""
    scene, before = _prepared(folder, names)
    with contextlib.suppress(Killed):
        scene.switch(FaultyCalls(fault))
    return scene, before


def _switched(folder: Path, names: tuple[str, ...]) -> Scene:
    scene, _ = _prepared(folder, names)
    scene.switch()
    return scene


def _names_and_bytes(scene: Scene) -> dict[str, bytes]:
    """Read what is at places and beside them, through links."""
    return {str(path.relative_to(scene.opt)): path.read_bytes() for path in scene.opt.rglob("*") if path.is_file()}
