"""What goes when an update has ended, and what stays so that it can be undone."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import pytest

from devclient import clean
from devclient.plan import Kind
from devclient.records.plans import Plans
from mirror.files import Files
from tests.support import devices, installs
from tests.support.faults import KILL_BEFORE, CountingCalls, Fault, FaultyCalls, Killed

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device
    from mirror.files import Calls
    from tests.support.installs import Scene

FILES, FOLDERS = ("a file that is there", "a file that is right"), ("a folder that is there",)


def _device(scene: Scene, calls: Calls | None = None) -> Device:
    return devices.device(scene.folder, scene.folder, Files(calls))


def _switched(folder: Path, *names: str) -> Scene:
    """Carry out a plan up to where it is committed."""
    scene = installs.lay(folder, *names)
    Plans(scene.work, Files()).write(scene.plan)
    scene.prepare()
    scene.switch()
    return scene


def _after_commit(scene: Scene, calls: Calls | None = None) -> None:
    with scene.parents(calls) as parents:
        clean.after_commit(scene.plan, _device(scene, calls), parents)


def _below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("names", [FILES, FOLDERS, installs.MANY], ids=", ".join)
def test_a_committed_update_can_be_undone_and_nothing_before_it(tmp_path: Path, names: tuple[str, ...]) -> None:
    """The plan is the last one; the set before it is kept if folders have changed, and no other; blobs go."""
    scene = _switched(tmp_path / "device", *names)

    _after_commit(scene)

    assert Plans(scene.work, Files()).last == scene.plan
    assert _below(scene.parts) == []
    assert _below(scene.work / "sets") == (["2", "9"] if scene.plan.before != scene.plan.after else ["2"])
    kept = {link.readlink().name for link in (scene.work / "sets").glob("*/*")}
    assert set(_below(scene.work / "folders")) == kept
    scene.check_new()


@pytest.mark.parametrize("name", ["a file back", "a folder back", "a file removed", "a folder removed"])
def test_what_is_undone_or_removed_leaves_nothing_to_undo(tmp_path: Path, name: str) -> None:
    """Neither a plan, nor files, nor any set but the one in place."""
    scene = _switched(tmp_path / "device", name)

    _after_commit(scene)

    assert Plans(scene.work, Files()).last is None
    assert list(scene.opt.glob(".*")) == []
    assert _below(scene.work / "sets") == [scene.plan.after]
    scene.check_new()


@pytest.mark.parametrize("names", [FILES, FOLDERS, installs.MANY, ("a folder back",)], ids=", ".join)
def test_cleaning_may_be_killed_and_repeated(tmp_path: Path, names: tuple[str, ...]) -> None:
    """At each call; in the end it is as if nothing had been."""
    counting = CountingCalls()
    scene = _switched(tmp_path / "device", *names)
    _after_commit(scene, counting)
    wanted = _seen(scene)

    for point in range(1, len(counting.calls) + 1):
        scene = _switched(tmp_path / "device", *names)
        with pytest.raises(Killed):
            _after_commit(scene, FaultyCalls(Fault(point, KILL_BEFORE)))
        _after_commit(scene)

        assert _seen(scene) == wanted


def test_what_the_update_before_kept_is_forgotten(tmp_path: Path) -> None:
    """Of packages that this one does not touch: nobody can undo that any more."""
    scene = _switched(tmp_path / "device", *FILES)
    first, second = scene.plan.steps
    (scene.opt / ".p0.previous").write_bytes(b"")
    Plans(scene.work, Files()).forget_last()
    last = dataclasses.replace(scene.plan, attempt=5, steps=(first,))
    plans = Plans(scene.work, Files())
    plans.write(last)
    plans.commit()
    only_second = dataclasses.replace(scene.plan, steps=(second,), kind=Kind.UPDATE)
    plans.write(only_second)

    with scene.parents() as parents:
        clean.after_commit(only_second, _device(scene), parents)

    assert not (scene.opt / ".p0.previous").exists()
    assert (scene.opt / ".p1.previous").exists()


def test_only_what_was_being_written_is_left_over(tmp_path: Path) -> None:
    """Files that had no name of their own yet; others of that kind beside the state file may be their owner's."""
    scene = installs.lay(tmp_path / "device", *FILES)
    (scene.work / "contents").mkdir()
    ours = [
        scene.work / ".plan.json.tmp",
        scene.work / "contents" / ".ab.tmp",
        scene.folder / ".otadevice.json.tmp",
        scene.folder / "..otadevice.json.next.tmp",
    ]
    theirs = [scene.folder / ".theirs.tmp", scene.opt / ".app.tmp", scene.work / "plan.json"]
    for path in (*ours, *theirs):
        path.write_bytes(b"")

    for _ in range(2):
        clean.leftovers(_device(scene))

        assert [path for path in ours if path.exists()] == []
        assert [path for path in theirs if not path.exists()] == []


def _seen(scene: Scene) -> dict[str, str | bytes | None]:
    return {
        os.fspath(path.relative_to(scene.folder)): os.fspath(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in scene.folder.rglob("*")
        if path.name != "places.json"  # it has the inodes of this run
    }
