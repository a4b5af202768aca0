"""Hooks in whole updates: in which order they run, and what comes of those that fail, hang, or want something else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient import poll, update
from devclient.errors import RebootError
from devclient.states import State
from tests.support import updates
from tests.support.faults import KILL_BEFORE, CountingCalls, Fault, FaultyCalls, Killed
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from functools import partial
    from pathlib import Path
    from typing import Any

    from mirror.files import Calls
    from tests.support.updates import Scene


class KilledAtTheSwitch(CountingCalls):
    """The real calls, up to the first that would put something new in place."""

    def _do(self, name: str, call: partial[Any]) -> Any:
        if name == "rename" and call.args[0].name.endswith(".ota-new"):
            raise Killed
        return super()._do(name, call)


def test_hooks_run_in_the_order_of_dependencies(scene: Scene) -> None:
    """All before the switch, then all after it, then every restore; what others need comes first."""
    updates.run(scene)

    assert scene.lines()[1:] == [
        *(f"{package} before 2.0 -" for package in ("lib", "site", "app")),
        *(f"{package} after 2.0 updated" for package in ("lib", "site", "app")),
        *(f"{package} restore 2.0 updated" for package in ("lib", "site", "app")),
    ]


def test_a_hook_is_told_what_is_going_on(scene: Scene, tmp_path: Path) -> None:
    """Its variables are those of the contract, with their values."""
    told = tmp_path / "told"
    updates.break_hook(scene, "site", "before_update", f"env | grep ^OTA_ | sort > {told}")

    updates.run(scene)

    values = dict(line.split("=", 1) for line in told.read_text().splitlines())
    file = values.pop("OTA_FILE")
    assert os.path.dirname(file) == str(scene.home / "otadevice-work" / "parts")  # noqa: PTH120 - a text, as it was told
    assert values == {
        "OTA_PACKAGE": "site",
        "OTA_BRANCH": "stable",
        "OTA_FROM": "1.0",
        "OTA_TO": "2.0",
        "OTA_LOCAL": f"{scene.local('site')}/",
        "OTA_RESULT": "",
        "OTA_REBOOTED": "",
    }


@pytest.mark.parametrize(
    ("hook", "undone"), [("before_update", ["site", "lib"]), ("after_update", ["app", "site", "lib"])]
)
def test_a_failing_hook_rolls_everything_back(scene: Scene, hook: str, undone: list[str]) -> None:
    """Services come up again on the old files, in reverse order, those whose turn had come; the release is marked."""
    updates.break_hook(scene, "site", hook, "echo oh no; exit 3")
    before = scene.local("app").stat().st_ino

    results = {result.package: result for result in updates.run(scene)}

    assert updates.check(scene) == OLD
    assert scene.local("app").stat().st_ino == before
    assert [line for line in scene.lines() if " after 1.0 rolled-back" in line] == [
        f"{package} after 1.0 rolled-back" for package in undone
    ]
    assert {line.split()[0] for line in scene.lines() if " restore 2.0 rolled-back" in line} == set(undone)
    assert (results["site"].outcome, results["site"].code, results["site"].exit_code) == ("rolled back", "hook", 1)
    assert results["site"].output == "oh no\n"
    assert [mark["package"] for mark in scene.device().marks.listed()] == ["site"]

    again = updates.run(scene)

    assert updates.check(scene) == OLD
    assert "before 2.0" not in "".join(updates.attempts(scene.lines())[-1])
    assert any("failed with exit code 3" in result.message for result in again)
    scene.device().marks.clear()
    updates.break_hook(scene, "site", hook, "true")
    updates.run(scene)
    assert updates.check(scene) == NEW


def test_not_now_is_no_failure(scene: Scene, tmp_path: Path) -> None:
    """A BeforeUpdate that ends with 75 is asked again at the next poll."""
    busy = tmp_path / "busy"
    busy.touch()
    updates.break_hook(scene, "app", "before_update", f"test ! -e {busy} || exit 75")

    results = updates.run(scene)

    assert {(result.outcome, result.exit_code) for result in results} == {("postponed", 75)}
    assert updates.check(scene) == OLD
    assert scene.device().marks.listed() == []
    busy.unlink()
    updates.run(scene)
    assert updates.check(scene) == NEW


@pytest.mark.parametrize(("hook", "code"), [("before_update", 76), ("after_update", 75)])
def test_the_wrong_wish_is_a_failure(scene: Scene, hook: str, code: int) -> None:
    """Before the switch there is nothing to reboot for, and after it is too late for "not now"."""
    updates.break_hook(scene, "app", hook, f"exit {code}")

    results = updates.run(scene)

    assert {result.outcome for result in results} == {"rolled back"}
    assert updates.check(scene) == OLD


def test_a_reboot_is_awaited(scene: Scene) -> None:
    """The hook that asked for it runs again after it, told that it is the second time; those before it do not."""
    updates.break_hook(
        scene, "site", "after_update", f'echo "re $OTA_REBOOTED" >> {scene.log}; test "$OTA_REBOOTED" || exit 76'
    )
    reboots: list[None] = []
    device = replace(scene.device(boot="first"), reboot=lambda: reboots.append(None))

    waiting = poll.run(device)

    assert {(result.outcome, result.exit_code) for result in waiting} == {("waits for a reboot", 75)}
    assert update.open_journal(device).record.state is State.INSTALLED
    with pytest.raises(RebootError):  # the same boot: it is asked for again
        poll.run(device)
    assert len(reboots) == 2
    assert [line for line in scene.lines() if line.startswith("re")] == ["re "]

    updates.recover(scene, boot="second")

    assert updates.check(scene) == NEW
    after = [line for line in scene.lines() if " after 2.0" in line or line.startswith("re ")]
    assert after == [
        "lib after 2.0 updated",
        *["site after 2.0 updated", "re "],
        *["site after 2.0 updated", "re 1"],
        "app after 2.0 updated",
    ]


def test_a_second_wish_for_a_reboot_is_a_failure(scene: Scene) -> None:
    """Or a device would reboot for ever."""
    updates.break_hook(scene, "site", "after_update", "exit 76")
    updates.run(scene, boot="first")

    done = updates.recover(scene, boot="second")

    assert done is not None
    assert done.cause is not None
    assert "exit code 76" in done.cause.message
    assert updates.check(scene) == OLD


def test_a_cut_in_the_second_run_rolls_back(scene: Scene) -> None:
    """What asked for a reboot and then does not come through is undone."""
    updates.break_hook(scene, "site", "after_update", 'test "$OTA_REBOOTED" || exit 76')
    updates.run(scene, boot="first")
    counting = CountingCalls()
    kept = updates.copy(scene)
    updates.recover(scene, counting, boot="second")
    started = next(point for point, call in enumerate(counting.calls, 1) if call.name == "overwrite")

    updates.put_back(kept, scene)
    with pytest.raises(Killed):
        updates.recover(scene, FaultyCalls(Fault(started + 3, KILL_BEFORE)), boot="second")
    updates.recover(scene, boot="third")

    assert updates.check(scene) == OLD


def test_a_hook_that_hangs_is_ended(scene: Scene) -> None:
    """Once its package's time is up, whether it obeys or not."""
    updates.break_hook(scene, "app", "before_update", "trap '' TERM; while :; do sleep 100; done")
    device = scene.device()
    limited = replace(device, settings=replace(device.settings, timeouts={"app": 0.3}))

    results = {result.package: result for result in poll.run(limited)}

    assert "took too long" in results["app"].message
    assert updates.check(scene) == OLD


def test_interruptions_make_it_wait(scene: Scene) -> None:
    """After the third it is left alone for an hour, and then twice as long each time; until somebody says otherwise."""
    now = datetime(2026, 11, 23, 8, tzinfo=UTC)

    def at(moment: datetime, calls: Calls | None = None) -> list[str]:
        scene.note("update")
        return [result.code for result in poll.run(replace(scene.device(calls), now=lambda: moment))]

    for _ in range(3):
        with pytest.raises(Killed):
            at(now, KilledAtTheSwitch())
        updates.recover(scene)
    assert set(at(datetime(2026, 11, 23, 7, 30, tzinfo=UTC))) == {"interrupted"}
    assert updates.check(scene) == OLD

    scene.device().marks.clear()
    assert set(at(now + timedelta(minutes=1))) == {""}
    assert updates.check(scene) == NEW


def test_a_state_file_that_a_hook_edits_is_merged(scene: Scene) -> None:
    """What its owner, or a program of theirs, writes after PREPARED is kept."""
    file = scene.home / "otadevice.json"
    edit = f'sed -i \'s/"description": ""/"description": "in the cellar"/\' {file}'
    updates.break_hook(scene, "app", "after_update", edit)

    updates.run(scene)

    assert json.loads(file.read_bytes())["description"] == "in the cellar"
    assert updates.check(scene) == NEW
