"""Updates on the file systems that devices have: they work, or are refused before anything is begun, with a reason."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import file_systems, tools, updates
from tests.support.faults import KILLS, CountingCalls, Fault, FaultyCalls, Killed, spread
from tests.support.file_systems import FAT, PLAYED, READ_ONLY, REAL, PlayedCalls
from tests.support.updates import FOLDERS, NEW, OLD, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.file_systems import System
    from tests.support.updates import Scene

FILES = Kind(("app", "lib"), (), "app")


@pytest.mark.root
@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize(("ending", "version"), [("exit 0", NEW), ("exit 1", OLD)])
def test_an_update_comes_through_or_is_undone(tmp_path: Path, kind: str, ending: str, version: str) -> None:
    """Files and folders, on each of the file systems: the new set whole, or the old one again."""
    with file_systems.mounted(kind, tmp_path):
        scene = updates.lay(tmp_path / "scene")
        updates.break_hook(scene, "app", "after_update", ending)

        updates.run(scene)

        assert updates.check(scene) == version
        updates.check_story(scene)


@pytest.mark.parametrize("system", PLAYED, ids=str)
@pytest.mark.parametrize(("ending", "version"), [("exit 0", NEW), ("exit 1", OLD)])
def test_single_files_need_neither_links_nor_owners(system: System, ending: str, version: str) -> None:
    """A boot partition on FAT, a share: what a file system does not keep is left, and the update is whole."""
    scene = updates.lay(updates.place(), FILES)
    updates.break_hook(scene, "app", "after_update", ending)

    updates.run(scene, PlayedCalls(system, scene.opt))

    assert updates.check(scene) == version
    updates.check_story(scene)


@pytest.mark.parametrize("system", PLAYED, ids=str)
def test_first_files_are_installed(system: System) -> None:
    """Also where there was none, which gets the mode that a program has if the file system knows modes."""
    scene = updates.lay(updates.place(), FILES)
    forget(scene)

    updates.run(scene, PlayedCalls(system, scene.opt))

    assert updates.check(scene) == NEW


@pytest.mark.parametrize("whole_device", [False, True])
def test_a_folder_needs_symbolic_links(*, whole_device: bool) -> None:
    """Where there are none it is refused with the reason, poll after poll, and no service is stopped for it."""
    scene = updates.lay(updates.place())
    forget(scene)

    for _ in range(2):
        results = updates.run(scene, PlayedCalls(FAT, scene.home if whole_device else scene.opt))

        failed = {result.message for result in results if result.exit_code}
        assert any("symbolic link" in message for message in failed), failed
        # lib, a file that needs nothing, goes its own way
        assert not [line for line in scene.lines() if "before" in line and not line.startswith("lib")]


def test_a_read_only_place_is_told_before_anything_is_stopped() -> None:
    """Poll after poll: the reason, and no hook."""
    scene = updates.lay(updates.place(), FILES)

    for _ in range(2):
        results = updates.run(scene, PlayedCalls(READ_ONLY, scene.opt))

        assert all("ead-only" in result.message for result in results), results
        assert not [line for line in scene.lines() if "before" in line]
        assert updates.check(scene) == OLD


@pytest.mark.parametrize("name", ["a mount point", "immutable"])
def test_what_cannot_be_renamed_is_told_before_anything_is_stopped(name: str) -> None:
    """A file that was mounted over, as containers do, or that is immutable: the reason, poll after poll."""
    tools.require_root()
    scene = updates.lay(updates.place(), FILES)
    lib = str(scene.local("lib"))
    begin, end = {
        "a mount point": (["mount", "--bind", lib, lib], ["umount", lib]),
        "immutable": (["chattr", "+i", lib], ["chattr", "-i", lib]),
    }[name]
    try:
        subprocess.run(begin, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        tools.missing(error.stderr.decode())
    try:
        for _ in range(2):
            results = updates.run(scene)

            assert all(name in result.message for result in results), results
            assert not [line for line in scene.lines() if "before" in line]
            assert updates.check(scene) == OLD
    finally:
        subprocess.run(end, check=True, capture_output=True)
    updates.settle(scene)


# a folder that an overlay does not rename


@pytest.mark.root
@pytest.mark.parametrize(("ending", "version"), [("exit 0", NEW), ("exit 1", "")])
def test_a_folder_in_the_lower_layer_is_adopted(ending: str, version: str) -> None:
    """It is replaced, and kept with all that it had; or put back, with what was written until its service stopped."""
    scene = adopting()
    updates.break_hook(scene, "site", "before_update", f"echo late > {scene.local('site')}/late")
    updates.break_hook(scene, "app", "after_update", ending)
    theirs = look(scene.local("site")) | {"late": (stat.S_IFREG | 0o644, "late\n")}
    with file_systems.overlaid(scene.opt):
        updates.run(scene)

        assert updates.version_of(scene, "site") == version if version else True
        kept = scene.local(".site.previous") if version else scene.local("site")
        assert look(kept) == theirs
        assert sorted(path.name for path in scene.opt.iterdir()) == sorted(
            [".site.previous", "app", "site"] if version else ["site"]
        )


def adopted_points() -> int:
    """Count the calls of an update that adopts such a folder."""
    scene, counting = adopting(), CountingCalls()
    with file_systems.overlaid(scene.opt):
        updates.run(scene, counting)
    return len(counting.calls)


@pytest.mark.root
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, 8))])
def test_a_killed_adoption_loses_nothing(part: int) -> None:
    """Killed at any call: their folder is whole in its place, or kept beside the new one."""
    tools.require_root()
    total = adopted_points()
    points = spread(total, 12) if part == 0 else [point for point in range(1, total + 1) if point % 7 == part - 1]
    for point in points:
        scene = adopting()
        theirs = look(scene.local("site"))
        with file_systems.overlaid(scene.opt):
            with pytest.raises(Killed):
                updates.run(scene, FaultyCalls(Fault(point, KILLS[point % 2])), boot="the boot before")

            updates.recover(scene)

            is_new = scene.local("site").is_symlink()
            assert look(scene.local(".site.previous") if is_new else scene.local("site")) == theirs, point
            updates.run(scene)
            assert updates.version_of(scene, "site") == NEW
            assert look(scene.local(".site.previous")) == theirs, point
            assert sorted(path.name for path in scene.opt.iterdir()) == [".site.previous", "app", "site"]


def adopting() -> Scene:
    """Lay out a scene in which a folder of the owner's is to be adopted."""
    scene = updates.lay(updates.place(), FOLDERS)
    forget(scene)
    fields = json.loads((scene.home / "otadevice.json").read_bytes())
    for entry in fields["package"]:
        entry["otadevice"] = {"adopt": True}
    (scene.home / "otadevice.json").write_text(json.dumps(fields))
    theirs = scene.local("site")
    (theirs / "data" / "deep").mkdir(parents=True)
    (theirs / "data" / "deep" / "file").write_text("theirs")
    (theirs / "data" / "secret").write_text("of one user")
    (theirs / "data" / "secret").chmod(0o600)
    os.chown(theirs / "data" / "secret", 1234, 5678)
    (theirs / "link").symlink_to("data/deep/file")
    (theirs / "data").chmod(0o750)
    return scene


def look(folder: Path) -> dict[str, tuple[int, str]]:
    """Describe what is in a folder: kind and mode of everything, and what it says."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        says = os.fspath(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[os.fspath(path.relative_to(folder))] = (facts.st_mode, f"{says}{facts.st_uid or ''}")
    return found


def forget(scene: Scene) -> None:
    """Have nothing installed, as on a device that only wants the packages."""
    fields = json.loads((scene.home / "otadevice.json").read_bytes())
    kept = ("package", "branch", "local")
    fields["package"] = [{key: entry[key] for key in kept} for entry in fields["package"]]
    (scene.home / "otadevice.json").write_text(json.dumps(fields))
    for path in [*scene.opt.iterdir()]:
        path.unlink()
