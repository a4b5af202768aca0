"""Whoever else changes what an update works on: its owner, with an editor, and hooks, at any moment of it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devclient import draft, poll, update
from devclient.errors import StateError
from devclient.states import State
from mirror.files import Files
from tests.support import archives, devices, trees, updates
from tests.support.trees import Release
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device
    from tests.support.updates import Scene


def state_file(scene: Scene) -> Path:
    """Tell where the state file is."""
    return scene.home / "otadevice.json"


def edit(scene: Scene, package: str, **keys: Any) -> None:
    """Edit the entry of a package as its owner would; a key that is None goes."""
    fields = json.loads(state_file(scene).read_bytes())
    for number, entry in enumerate(fields["package"]):
        if entry["package"] == package:
            edited = {**entry, **keys}
            fields["package"][number] = {key: value for key, value in edited.items() if value is not None}
    state_file(scene).write_text(json.dumps(fields))


# before anything is switched


@pytest.mark.parametrize(
    ("text", "code", "exit_code"),
    [(None, "state-changed", 75), ("{", "state", 1), ('{"device": "", "package": []}', "state-changed", 75)],
)
def test_an_edit_during_the_download_gives_it_up(scene: Scene, text: str | None, code: str, exit_code: int) -> None:
    """Another branch, a file that cannot be read, an empty one: what was laid out goes, and the edit stays."""
    before = state_file(scene).read_text()

    def edits(_offer: object, have: int) -> None:
        if have:
            state_file(scene).write_text(text) if text else edit(scene, "lib", branch="edge")

    scene.note("update")
    results = poll.run(replace(scene.device(), progress=edits), only="app")

    assert {(result.code, result.exit_code) for result in results} == {(code, exit_code)}
    if text:
        assert state_file(scene).read_text() == text
    state_file(scene).write_text(before)
    assert updates.check(scene) == OLD
    assert [line for line in scene.lines() if line.startswith(("lib", "site", "app"))] == []


def test_what_comes_to_lie_at_a_place_gives_it_up(tmp_path: Path) -> None:
    """During the download of a first installation: it is not touched, and nothing lies beside it."""
    device, place = _fresh(tmp_path)
    trees.write(tmp_path / "mirror", Release("1.0", b"1"))

    def fills(_offer: object, have: int) -> None:
        if have:
            place.write_text("somebody's")

    (result,) = poll.run(replace(device, progress=fills))

    assert (result.outcome, result.code, result.exit_code) == ("failed", "place", 1)
    assert "something else came to lie there" in result.message
    assert [(path, path.read_text()) for path in place.parent.iterdir()] == [(place, "somebody's")]


# after PREPARED, by hooks


@pytest.mark.parametrize("hook", ["before_update", "after_update"])
def test_an_edit_by_a_hook_is_merged_package_by_package(scene: Scene, tmp_path: Path, hook: str) -> None:
    """What is stated of other packages and what an owner keeps in an entry stays; what is installed is what it is."""
    edited = tmp_path / "edited"
    fields = json.loads(state_file(scene).read_bytes())
    fields["package"][0] |= {"note": "mine", "version": "0.1"}
    fields["package"].append({"package": "other", "branch": "edge"})
    edited.write_text(json.dumps(fields))
    updates.break_hook(scene, "lib", hook, f"cp {edited} {state_file(scene)}")

    updates.run(scene)

    entries = {entry["package"]: entry for entry in json.loads(state_file(scene).read_bytes())["package"]}
    assert [*entries] == [*(entry["package"] for entry in fields["package"])]
    assert (entries["app"]["note"], entries["app"]["version"]) == ("mine", NEW)
    assert entries.pop("other") == {"package": "other", "branch": "edge"}
    assert {entry["version"] for entry in entries.values()} == {NEW}


@pytest.mark.parametrize("how", ["rm", "echo '{' >"])
def test_a_state_file_that_a_hook_breaks_is_told_and_mended(scene: Scene, how: str) -> None:
    """The new set is final then, so it stays; once the file can be read again, `recover` finishes."""
    before = state_file(scene).read_bytes()
    updates.break_hook(scene, "app", "after_update", f"{how} {state_file(scene)}")

    results = {result.package: result for result in updates.run(scene)}

    assert (results["app"].outcome, results["app"].code, results["app"].exit_code) == ("failed", "state", 1)
    assert str(state_file(scene)) in results["app"].message
    assert update.open_journal(scene.device()).record.state is State.COMMITTED
    with pytest.raises(StateError):
        updates.run(scene)
    state_file(scene).write_bytes(before)
    updates.recover(scene)
    assert updates.check(scene) == NEW
    assert [line for line in scene.lines() if "restore" in line] == [
        f"{package} restore 2.0 updated" for package in ("lib", "site", "app")
    ]


@pytest.mark.parametrize(("ending", "version"), [("exit 0", NEW), ("exit 1", OLD)])
def test_a_hook_that_fills_its_place_does_not_matter(scene: Scene, ending: str, version: str) -> None:
    """Whatever file it puts there before the switch: the release, or what was there before the update, takes it."""
    place = scene.local("lib")
    filling = f"echo other > {place}.mine && mv {place}.mine {place}"
    updates.break_hook(scene, "lib", "before_update", f"{filling}; {ending}")
    inode = place.stat().st_ino

    updates.run(scene)

    assert updates.check(scene) == version
    assert (place.stat().st_ino == inode) == (version == OLD)


def test_a_hook_that_empties_its_place_does_not_matter(scene: Scene) -> None:
    """A program that uninstalls itself is there again, in both outcomes."""
    place = scene.local("lib")
    updates.break_hook(scene, "lib", "before_update", f"rm {place}; exit 1")
    updates.run(scene)
    assert updates.check(scene) == OLD

    scene.device().marks.clear()
    updates.break_hook(scene, "lib", "before_update", f"rm {place}")
    updates.run(scene)
    assert updates.check(scene) == NEW


@pytest.mark.parametrize("hook", ["before_update", "after_update"])
@pytest.mark.parametrize("package", ["lib", "site"])
def test_a_hook_that_makes_a_folder_of_its_place_is_undone(scene: Scene, package: str, hook: str) -> None:
    """The old set comes back, and what the hook has made lies beside it."""
    place = scene.local(package)
    updates.break_hook(scene, package, hook, f"rm {place}; mkdir {place}; touch {place}/mine; exit 1")

    updates.run(scene)

    aside = place.with_name(f".{place.name}.aside")
    assert (aside / "mine").exists()
    shutil.rmtree(aside)
    assert updates.check(scene) == OLD


# what was there before otadevice


@pytest.mark.parametrize("is_listed", [True, False])
def test_an_entry_written_by_hand_has_the_hooks_that_the_mirror_knows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_listed: bool
) -> None:
    """What is still listed is verified, and run; without it that is told, and all else works."""
    device, place = _fresh(tmp_path, version="1.0")
    place.write_text("by hand")
    told = tmp_path / "told"
    old = Release("1.0", b"by hand", content={"after_update": f"echo $OTA_RESULT >> {told}"})
    new = Release("2.0", b"new", content={"after_update": "exit 1"})
    trees.write(tmp_path / "mirror", *([old] if is_listed else []), new)

    (result,) = poll.run(device)

    assert (result.outcome, result.code, place.read_text()) == ("rolled back", "hook", "by hand")
    assert told.exists() == is_listed
    assert ("no verified content.json of version 1.0 is here" in caplog.text) == (not is_listed)

    trees.write(tmp_path / "mirror", Release("3.0", b"newer"))
    (result,) = poll.run(device)
    assert (result.to, place.read_text()) == ("3.0", "newer")


@pytest.mark.parametrize("hook", ["before_update", "after_update"])
def test_an_adopted_folder_comes_back_if_the_update_fails(tmp_path: Path, hook: str) -> None:
    """The very same folder, with all in it."""
    device, place = _fresh(tmp_path, adopting=True)
    inode = _own(place)
    archive = archives.pack([archives.Entry("VERSION", b"1.0")])
    trees.write(tmp_path / "mirror", Release("1.0", archive, content={hook: "exit 1"}))

    (result,) = poll.run(device)

    assert result.outcome == "rolled back"
    assert (place.stat().st_ino, place.is_symlink(), (place / "mine").read_text()) == (inode, False, "precious")
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert list((device.work / "folders").iterdir()) == []


def test_an_adopted_folder_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    """Under the name of what was there before."""
    device, place = _fresh(tmp_path, adopting=True)
    inode = _own(place)
    trees.write(tmp_path / "mirror", Release("1.0", archives.pack([archives.Entry("VERSION", b"1.0")])))

    poll.run(device)

    assert place.is_symlink()
    assert (place / "VERSION").read_text() == "1.0"
    previous = place.with_name(f".{place.name}.previous")
    assert (previous.stat().st_ino, (previous / "mine").read_text()) == (inode, "precious")
    (entry,) = json.loads(device.settings.state.read_bytes())["package"]
    assert "adopt" not in entry["otadevice"]


def test_an_adopted_folder_is_its_owners_for_ever(tmp_path: Path) -> None:
    """No later update, rollback or removal takes it for something of otadevice's own."""
    device, place = _fresh(tmp_path, adopting=True)
    inode = _own(place)
    for version in ("1.0", "2.0", "3.0"):
        archive = archives.pack([archives.Entry("VERSION", version.encode())])
        trees.write(tmp_path / "mirror", Release(version, archive))
        poll.run(device)
        assert (place / "VERSION").read_text() == version
    last = device.plans.last
    assert last is not None
    poll.settle(draft.rollback(last, poll.desk(device)), device)
    poll.remove("app", device)

    assert not os.path.lexists(place)
    previous = place.with_name(f".{place.name}.previous")
    assert (previous.stat().st_ino, (previous / "mine").read_text()) == (inode, "precious")


def test_a_second_folder_is_not_adopted_over_the_first(tmp_path: Path) -> None:
    """There is one name to keep one under: the owner has to decide about the first."""
    device, place = _fresh(tmp_path, adopting=True)
    _own(place.with_name(f".{place.name}.previous"))
    inode = _own(place)
    trees.write(tmp_path / "mirror", Release("1.0", archives.pack([archives.Entry("VERSION", b"1.0")])))

    (result,) = poll.run(device)

    assert (result.code, "is in the way" in result.message) == ("place", True)
    assert place.stat().st_ino == inode


def _fresh(folder: Path, *, adopting: bool = False, **keys: str) -> tuple[Device, Path]:
    """Make a device that wants app, or one that lets a folder be replaced by it; returns the place, too."""
    device = devices.device(folder, folder / "mirror", Files())
    place = folder / "opt" / "app"
    place.parent.mkdir()
    ours = {"otadevice": {"adopt": True}} if adopting else {}
    local = f"{place}/" if adopting else str(place)
    devices.write_state(device.settings.state, {"package": "app", "branch": "stable", "local": local, **keys, **ours})
    return device, place


def _own(place: Path) -> int:
    """Make a folder of the owner's; returns its inode."""
    place.mkdir()
    (place / "mine").write_text("precious")
    return place.stat().st_ino
