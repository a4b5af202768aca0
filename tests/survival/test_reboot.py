"""An AfterUpdate that asks for a reboot: the update waits for another boot, through every accident on the way.

The boot is played: by a device that is told another boot id, and by a reboot command that kills otadevice at once.
"""

from __future__ import annotations

import signal
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devclient import poll, update
from devclient.errors import RebootError
from devclient.settings import config
from devclient.states import State
from tests.support import updates
from tests.support.faults import KILLS, Fault, FaultyCalls, Killed, sweep
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from mirror.files import Calls
    from tests.support.updates import Scene

ONCE = 'test "$OTA_REBOOTED" || exit 76'


def waiting() -> Scene:
    """Lay out a device whose update waits for a reboot; `site`, the second of three, asked for it in the first boot."""
    scene = updates.lay(updates.place())
    updates.break_hook(scene, "site", "after_update", ONCE)
    updates.run(scene, boot="first")
    assert update.open_journal(scene.device()).record.state is State.INSTALLED
    return scene


def reboot(scene: Scene, calls: Calls | None = None) -> None:
    """Have the device start again, in another boot, which runs `recover` first."""
    updates.recover(scene, calls, boot="second")


def afters(scene: Scene) -> list[str]:
    """List which AfterUpdates ran."""
    return [line for line in scene.lines() if " after " in line]


def clean_reboot(calls: Calls) -> None:
    """Do what `test_a_reboot_that_goes_wrong_...` cuts."""
    reboot(waiting(), calls)


@sweep(clean_reboot, KILLS, wanted=5)
def test_a_cut_after_the_reboot_leaves_one_whole_set(fault: Fault) -> None:
    """While the journal has the wish it goes on in the third boot; once a hook has begun, it is undone or final."""
    scene = waiting()
    with pytest.raises(Killed):
        reboot(scene, FaultyCalls(fault))
    record = update.open_journal(scene.device()).record

    updates.recover(scene, boot="third")

    is_undone = record.state is State.INSTALLED and not record.reboot
    assert updates.check(scene) == (OLD if is_undone else NEW)
    assert afters(scene).count("lib after 2.0 updated") == 1
    assert afters(scene).count("site after 2.0 updated") <= 2


def test_all_else_waits_for_the_reboot() -> None:
    """Every command that would change something asks for it again, and what was asked before is not asked twice."""
    scene = waiting()
    asked: list[str] = []
    device = replace(scene.offline(boot="first"), reboot=lambda: asked.append("reboot"))
    before = afters(scene)

    for command in (poll.recover, poll.run, poll.recover):
        with pytest.raises(RebootError) as caught:
            command(device)
        assert caught.value.exit_code == 75

    assert asked == ["reboot"] * 3
    assert afters(scene) == before
    reboot(scene)
    assert updates.check(scene) == NEW


def test_what_waits_after_its_reboot_may_be_left_until_services_are_up() -> None:
    """At boot the AfterUpdate would look for services in vain; whoever recovers later has it run."""
    scene = waiting()
    before = afters(scene)
    device = scene.device(boot="second")

    assert poll.recover(device, early=True) == {}
    assert afters(scene) == before
    assert update.open_journal(device).record.state is State.INSTALLED

    poll.recover(device)
    assert updates.check(scene) == NEW


def test_packages_after_it_are_not_begun_before_the_reboot() -> None:
    """Only those before it have had their AfterUpdate; what it asked for and the one after it come later."""
    scene = waiting()
    assert afters(scene) == ["lib after 2.0 updated", "site after 2.0 updated"]
    assert [line for line in scene.lines() if "restore" in line] == []

    reboot(scene)

    assert afters(scene)[2:] == ["site after 2.0 updated", "app after 2.0 updated"]


def test_two_packages_may_ask_one_after_the_other(scene: Scene) -> None:
    """Each has its own reboot, and is told of its own alone."""
    for package in ("lib", "app"):
        updates.break_hook(
            scene, package, "after_update", f'echo "{package} told=$OTA_REBOOTED" >> {scene.log}; {ONCE}'
        )
    updates.run(scene, boot="first")

    with pytest.raises(RebootError):
        updates.recover(scene, boot="second")
    updates.recover(scene, boot="third")

    assert updates.check(scene) == NEW
    told = [line for line in scene.lines() if "told=" in line]
    assert told == ["lib told=", "lib told=1", "app told=", "app told=1"]


def test_a_failure_after_the_reboot_rolls_back(scene: Scene) -> None:
    """As any failure of an AfterUpdate: the release is marked, and the old one runs again."""
    updates.break_hook(scene, "site", "after_update", 'test "$OTA_REBOOTED" && exit 5; exit 76')
    updates.run(scene, boot="first")

    (result,) = {each.message for each in poll.recover(scene.offline(boot="second")).values()}

    assert result == "AfterUpdate of site 2.0 failed with exit code 5"
    assert updates.check(scene) == OLD
    assert [mark["package"] for mark in scene.device().marks.listed()] == ["site"]


def test_a_reboot_that_cannot_be_had_is_a_failure_of_the_system(scene: Scene) -> None:
    """Without one the update could wait for ever: it is undone, and tried again."""
    updates.break_hook(scene, "site", "after_update", ONCE)

    def broken() -> None:
        raise OSError("no shell")

    results = poll.run(replace(scene.device(), reboot=broken))

    assert {(result.outcome, result.code) for result in results} == {("rolled back", "system")}
    assert updates.check(scene) == OLD
    assert scene.device().marks.listed() == []


@pytest.mark.usefixtures("server")
def test_the_real_command_is_killed_by_the_reboot(scene: Scene) -> None:
    """What the machine does when it goes down: the wish was durable before, and holds in the next boot."""
    updates.break_hook(scene, "site", "after_update", ONCE)
    _reboot_by(scene, "kill -9 $PPID")
    scene.note("update")
    killed = subprocess.run(updates.command(scene, "update"), capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL

    # the machine did not go down: whoever comes asks again, and goes no further
    _reboot_by(scene, f"echo asked >> {scene.log}")
    again = subprocess.run(updates.command(scene, "recover"), capture_output=True, text=True, check=False, timeout=60)
    assert (again.returncode, scene.lines()[-1]) == (75, "asked")
    assert "waits for this device to be rebooted" in again.stderr
    assert "app after 2.0 updated" not in scene.lines()

    updates.recover(scene, boot="another")

    assert updates.check(scene) == NEW


def _reboot_by(scene: Scene, command: str) -> None:
    file = scene.home / "otadevice.toml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("reboot = ")]
    at = lines.index("[hooks]") + 1
    file.write_text("\n".join([*lines[:at], f"reboot = '{command}'", *lines[at:]]) + "\n")
    assert config.load(file).hooks.reboot == command
