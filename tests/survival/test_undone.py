"""What its owner undoes or takes away, by the journal as an update: whole or not at all, wherever it is killed.

A rollback undoes the last update that was committed, once; a removal takes one package away for good.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devclient import draft, poll, update
from devclient.errors import UndoError
from devclient.states import State
from mirror.files import Files
from tests.support import archives, devices, trees, updates
from tests.support.faults import FULL, KILLS, CountingCalls, Fault, FaultyCalls, Killed, sweep
from tests.support.trees import Release
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device
    from devclient.records.results import Result
    from mirror.files import Calls
    from tests.support.updates import Scene


def updated() -> Scene:
    """Lay out a device that has taken the new set."""
    scene = updates.lay(updates.place())
    updates.run(scene)
    scene.note("update")
    return scene


def roll_back(device: Device) -> list[Result]:
    """Undo the last update, as the command does."""
    assert device.plans.last is not None
    return poll.settle(draft.rollback(device.plans.last, poll.desk(device)), device)


def without_app(calls: Calls) -> None:
    """Remove app, that depends on the others, in a run whose calls can be counted."""
    poll.remove("app", updates.lay(updates.place()).device(calls))


def without_site(calls: Calls) -> None:
    """Likewise site, a folder, of which nothing depends any more."""
    poll.remove("site", apart().device(calls))


def apart() -> Scene:
    """Lay out a device on which nothing depends on site."""
    scene = updates.lay(updates.place())
    poll.remove("app", scene.device())
    return scene


# rollback


def test_a_rollback_takes_the_whole_set_back() -> None:
    """Files, folder and state file; the services come up on the old releases, by their own hooks."""
    scene = updated()

    results = roll_back(scene.device())

    assert updates.check(scene) == OLD
    assert [(result.package, result.version, result.to) for result in results] == [
        (package, NEW, OLD) for package in ("app", "site", "lib")
    ]
    assert updates.attempts(scene.lines())[-1][1:] == [
        *(f"{package} before 1.0 -" for package in ("app", "site", "lib")),
        *(f"{package} after 1.0 updated" for package in ("app", "site", "lib")),
        *(f"{package} restore 1.0 updated" for package in ("app", "site", "lib")),
    ]
    assert scene.device().plans.last is None


@sweep(lambda calls: roll_back(updated().device(calls)), KILLS, wanted=4)
def test_a_killed_rollback_is_recovered(fault: Fault) -> None:
    """Old or new, whole; from new it can be asked for again."""
    scene = updated()
    with pytest.raises(Killed):
        roll_back(scene.device(FaultyCalls(fault)))

    updates.recover(scene)

    if updates.check(scene) == NEW:
        roll_back(scene.device())
    assert updates.check(scene) == OLD


def test_a_rollback_whose_hook_fails_changes_nothing() -> None:
    """The new release stays, and it may be undone once more."""
    scene = updates.lay(updates.place())
    block = scene.services / "block"
    hook = f"test ! -e {block}"
    old = Release("3.0", b"3", content={"before_update": hook})
    trees.write(scene.tree, old, package="other")
    _want(scene, "other")
    updates.run(scene)
    trees.write(scene.tree, old, Release("4.0", b"4"), package="other")
    updates.run(scene)
    block.touch()

    (failed,) = roll_back(scene.device())

    assert (failed.outcome, failed.code, failed.exit_code) == ("rolled back", "hook", 1)
    assert scene.local("other").read_bytes() == b"4"
    assert "4.0" not in [mark["version"] for mark in scene.device().marks.listed()]
    block.unlink()
    (done,) = roll_back(scene.device())
    assert (done.to, scene.local("other").read_bytes()) == ("3.0", b"3")


def test_a_failed_update_leaves_the_one_before_it_to_be_undone() -> None:
    """What can be undone is what was committed last."""
    scene = updated()
    trees.write(scene.tree, Release("3.0", b"3", content={"after_update": "exit 1"}), package="lib")
    (_, failed) = sorted(updates.run(scene), key=lambda result: result.outcome == "rolled back")[-2:]
    assert failed.package == "lib"

    roll_back(scene.device())

    assert updates.check(scene) == OLD


def test_what_came_first_goes_again(tmp_path: Path) -> None:
    """A first installation leaves its entry, wanted as before; what came only because it was needed leaves nothing."""
    device = _fresh(tmp_path, {"package": "app", "branch": "stable", "local": f"{tmp_path}/opt/app"})
    needs = {"dependencies": {"lib": "*"}}
    trees.write(tmp_path / "mirror", Release("1.0", b"app", content=needs, entry=needs))
    folder = archives.pack([archives.Entry("file", b"lib")])
    trees.write(tmp_path / "mirror", Release("1.0", folder, content={"local": f"{tmp_path}/opt/lib/"}), package="lib")
    before = device.settings.state.read_bytes()
    poll.run(device)
    assert (tmp_path / "opt" / "lib" / "file").read_bytes() == b"lib"

    results = roll_back(device)

    assert {(result.package, result.outcome) for result in results} == {("app", "removed"), ("lib", "removed")}
    assert json.loads(device.settings.state.read_bytes()) == json.loads(before)
    assert list((tmp_path / "opt").iterdir()) == []
    assert list((device.work / "folders").iterdir()) == []


def test_a_rollback_works_on_a_full_disk_or_changes_nothing() -> None:
    """What was kept is put back without being copied; only what is noted down needs room."""
    counting = CountingCalls()
    roll_back(updated().device(counting))
    for point in (1, len(counting.calls) // 2, len(counting.calls) - 20):
        scene = updated()
        try:
            roll_back(scene.device(FaultyCalls(Fault(point, FULL))))
        except OSError:
            assert updates.check(scene) == NEW
        assert update.open_journal(scene.device()).record.state is State.IDLE
        assert updates.check(scene) in {OLD, NEW}


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ({"version": "1.5", "otadevice": {}}, "app is not what the last update left"),
        (None, "app is not what the last update left"),
    ],
)
def test_what_its_owner_changed_is_not_undone(edit: dict[str, Any] | None, why: str) -> None:
    """It is said what is in the way, and nothing is touched."""
    scene = updated()
    file = scene.home / "otadevice.json"
    fields = json.loads(file.read_bytes())
    fields["package"] = [
        {**entry, **(edit or {})} for entry in fields["package"] if entry["package"] != "app" or edit is not None
    ]
    file.write_text(json.dumps(fields))

    with pytest.raises(UndoError, match=why):
        roll_back(scene.device())

    assert file.read_text() == json.dumps(fields)
    assert updates.version_of(scene, "app") == NEW


# removal


@sweep(without_app, KILLS, wanted=3)
def test_a_killed_removal_of_a_file_is_recovered(fault: Fault) -> None:
    """It is there with its entry, or both are gone and nothing is left over; then the rest goes on being updated."""
    scene = updates.lay(updates.place())
    with pytest.raises(Killed):
        poll.remove("app", scene.device(FaultyCalls(fault)))

    _see_removed(scene, "app")


@sweep(without_site, KILLS, wanted=3)
def test_a_killed_removal_of_a_folder_is_recovered(fault: Fault) -> None:
    """Likewise, and the set of folders has it or not."""
    scene = apart()
    with pytest.raises(Killed):
        poll.remove("site", scene.device(FaultyCalls(fault)))

    _see_removed(scene, "site")
    assert scene.device().sets.content(scene.device().sets.current) == {}


def _see_removed(scene: Scene, package: str) -> None:
    """Recover, see all or nothing, then remove what is still there."""
    updates.recover(scene)
    there = updates.version_of(scene, package)
    assert updates.stated(scene).get(package, "") == there
    assert updates.strays(scene, OLD) == []
    if there:
        poll.remove(package, scene.device())
    assert updates.version_of(scene, package) == ""
    assert package not in updates.stated(scene)
    assert updates.strays(scene, OLD) == []


def _want(scene: Scene, package: str) -> None:
    file = scene.home / "otadevice.json"
    fields = json.loads(file.read_bytes())
    entry = {"package": package, "branch": "stable", "local": str(scene.local(package))}
    file.write_text(json.dumps({**fields, "package": [*fields["package"], entry]}))


def _fresh(folder: Path, *entries: dict[str, Any]) -> Device:
    device = devices.device(folder, folder / "mirror", Files())
    (folder / "opt").mkdir()
    devices.write_state(device.settings.state, *entries)
    return device
