"""The daemon under its service manager: one process that lives on, is told things, and ends as it should.

Its unit is the one that `otadevice install-units` writes, read by a stand-in for systemd.
"""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient.settings.windows import DAYS
from mirror.trust import POLL
from tests.support import daemons, trees
from tests.support.daemons import held_hook, polled, settle
from tests.support.httpd import Fault
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig
    from tests.support.httpd import Server
    from tests.support.manager import Manager

ONE = Release("1.0", b"one")


def test_it_is_ready_then_polls_and_installs(rig: Rig, tree: Path, manager: Manager) -> None:
    """What is there is installed without a hand on it, and what it did is its status."""
    local = rig.add()
    trees.write(tree, ONE)

    manager.start()
    polled(manager)

    assert local.read_bytes() == b"one"
    assert manager.messages[0] == "READY=1"
    assert manager.status == "app (stable): installed 1.0; polls again in 60 min"
    assert "app (stable): installed 1.0\n" in manager.log
    manager.stop()
    assert manager.results == ["success"]
    assert "STOPPING=1" in manager.messages


def test_a_second_one_names_the_first(rig: Rig, manager: Manager) -> None:
    """And ends with 75, at once."""
    manager.start()

    done = subprocess.run(rig.command("run"), capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 75
    assert f"process {manager.pid} is at work on this device" in done.stderr
    assert done.stderr.endswith("daemon.lock; one daemon is enough\n")


def test_other_commands_work_beside_it(rig: Rig, tree: Path, manager: Manager) -> None:
    """While it sleeps, its owner may do what its owner likes."""
    trees.write(tree, ONE)
    manager.start()
    polled(manager)
    local = rig.add()

    done = rig.run("update")

    assert done.exit_code == 0, done.stderr
    assert local.read_bytes() == b"one"


def test_while_another_is_at_work_it_waits(rig: Rig, tree: Path, manager: Manager) -> None:
    """It says who is, asks nobody, and comes back soon."""
    local = rig.add()
    trees.write(tree, Release("1.0", b"one", content={"before_update": held_hook(rig)}))
    with subprocess.Popen(rig.command("update"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as by_hand:
        manager.until((rig.folder / "waits").exists)
        manager.start()
        manager.until(lambda: f"process {by_hand.pid} is at work" in manager.status)
        (rig.folder / "go").touch()
        assert by_hand.wait(timeout=60) == 0

    assert local.read_bytes() == b"one"
    assert manager.status.endswith("polls again in 60 s")


# what it is asked for


def test_it_reads_its_settings_again(rig: Rig, tree: Path, manager: Manager) -> None:
    """And polls soon by the new ones: another mirror or package is not to wait for an hour."""
    manager.start()
    polled(manager)
    local = rig.add()
    trees.write(tree, ONE)
    settle(rig, interval=1800)

    manager.reload()
    manager.until(lambda: "polls again in 30 min" in manager.status)

    assert local.read_bytes() == b"one"
    assert manager.pid == int((rig.folder / "otadevice-work" / "daemon.lock").read_text())


def test_settings_that_are_wrong_change_nothing(rig: Rig, manager: Manager) -> None:
    """It is said what is wrong with them, and the daemon lives on with those that it has."""
    manager.start()
    polled(manager)
    settle(rig, interval=-1)

    manager.reload()

    assert "daemon.interval: must be a number above 0, not -1" in manager.log
    assert manager.status == "polls in 60 min"


@pytest.mark.parametrize("hook", ["before_update", "after_update"])
def test_a_stop_ends_a_hook_and_rolls_back(rig: Rig, tree: Path, manager: Manager, hook: str) -> None:
    """The old release comes up by its own hook, though that takes its time; nothing is held against the new one."""
    local = rig.add()
    trees.write(
        tree, Release("1.0", b"one", content={"after_update": f'sleep 0.5; echo "$OTA_RESULT" >{rig.folder}/up'})
    )
    assert rig.run("update").exit_code == 0
    trees.write(tree, Release("2.0", b"two", content={hook: f"{held_hook(rig)}; touch {rig.folder}/survived"}))
    manager.start()
    manager.until((rig.folder / "waits").exists)

    manager.stop()

    assert manager.results == ["success"]
    assert local.read_bytes() == b"one"
    assert (rig.folder / "up").read_text() == "rolled-back\n"
    (rig.folder / "go").touch()
    assert rig.run("recover").stdout == "nothing to recover\n"
    assert rig.run("update").exit_code == 0
    assert local.read_bytes() == b"two"
    assert (rig.folder / "survived").exists()


def test_a_stop_asks_for_the_time_that_hooks_need(rig: Rig, tree: Path, manager: Manager) -> None:
    """What has to run to the end while it stops may take longer than the manager would wait."""
    rig.add()
    trees.write(tree, Release("1.0", b"one", content={"after_update": "true"}))
    assert rig.run("update").exit_code == 0
    trees.write(tree, Release("2.0", b"two", content={"before_update": held_hook(rig)}))
    manager.start()
    manager.until((rig.folder / "waits").exists)
    assert not any(message.startswith("EXTEND") for message in manager.messages)

    manager.stop()

    assert f"EXTEND_TIMEOUT_USEC={int((300 + 3 * 10) * 1e6)}" in manager.messages


def test_a_stop_ends_a_download_and_keeps_what_came(rig: Rig, tree: Path, server: Server, manager: Manager) -> None:
    """The next one goes on with the rest."""
    data = bytes(1_000_000)
    local = rig.add()
    trees.write(tree, Release("1.0", data))
    server.misbehave("/otafiles/", Fault(drip=0.001), times=1)
    manager.start()
    manager.until(lambda: any(request.path.startswith("/otafiles/") and request.sent for request in server.requests))

    manager.stop()

    assert manager.results == ["success"]
    assert not local.exists()
    parts = list((rig.folder / "otadevice-work" / "parts").iterdir())
    assert [part.suffix for part in parts] == [".part"]
    assert 0 < parts[0].stat().st_size < len(data)
    assert rig.run("update").exit_code == 0
    assert server.requests[-1].range == f"bytes={len(data) - server.requests[-1].sent}-"
    assert local.read_bytes() == data


# signs of life


def test_it_gives_signs_of_life_while_a_hook_runs(rig: Rig, tree: Path, manager: Manager) -> None:
    """A hook may take longer than the watchdog waits."""
    rig.add()
    trees.write(tree, Release("1.0", b"one", content={"before_update": held_hook(rig)}))
    manager.start()
    manager.until((rig.folder / "waits").exists)
    before = manager.messages.count("WATCHDOG=1")

    manager.until(lambda: manager.messages.count("WATCHDOG=1") >= before + 3)

    (rig.folder / "go").touch()
    polled(manager)
    assert manager.results == []


def test_it_gives_signs_of_life_while_a_server_drips(rig: Rig, tree: Path, server: Server, manager: Manager) -> None:
    """A download may, too."""
    rig.add()
    trees.write(tree, Release("1.0", bytes(1_000_000)))
    server.misbehave("/otafiles/", Fault(drip=0.001), times=1)
    manager.start()
    manager.until(lambda: any(request.path.startswith("/otafiles/") for request in server.requests))
    before = manager.messages.count("WATCHDOG=1")

    manager.until(lambda: manager.messages.count("WATCHDOG=1") >= before + 3)

    assert server.requests[-1].sent < 1_000_000
    assert manager.results == []


def test_one_that_hangs_is_replaced(rig: Rig, manager: Manager) -> None:
    """The watchdog sees to it, and the next one polls."""
    manager.start()
    polled(manager)
    hangs = manager.pid
    manager.limits["TimeoutStopSec"] = 0  # one that is stopped does not even hear that it is to abort

    os.kill(hangs, signal.SIGSTOP)
    manager.until(lambda: "watchdog" in manager.results)

    manager.until(lambda: manager.messages.count("READY=1") == 2)
    polled(manager)
    assert manager.pid != hangs


# when it installs


def test_as_long_as_the_inhibit_file_is_there_nothing_is_installed(rig: Rig, tree: Path, manager: Manager) -> None:
    """It is downloaded and ready; once the file is gone, it is installed without waiting for the hour."""
    local = rig.add()
    trees.write(tree, ONE)
    (rig.folder / "inhibit").touch()

    manager.start()
    polled(manager)

    assert not local.exists()
    assert (rig.folder / "otadevice-work" / "parts" / ONE.sha256).read_bytes() == b"one"
    assert f"nothing is installed as long as {rig.folder}/inhibit is there" in manager.status
    (rig.folder / "inhibit").unlink()
    manager.until(local.exists)


def test_the_inhibit_file_holds_by_hand_too(rig: Rig, tree: Path) -> None:
    """Whoever made it had a reason; whoever knows better removes it."""
    local = rig.add()
    trees.write(tree, ONE)
    (rig.folder / "inhibit").touch()

    done = rig.run("update")

    assert done.exit_code == 75
    assert f"nothing is installed as long as {rig.folder}/inhibit is there" in done.stderr
    assert not local.exists()


def test_outside_of_windows_nothing_is_installed(rig: Rig, tree: Path, manager: Manager) -> None:
    """It is downloaded, and it is said when it will be; by hand it is installed all the same."""
    local = rig.add()
    trees.write(tree, ONE)
    day = datetime.now(UTC) + timedelta(days=3)
    name = next(name for name, number in DAYS.items() if number == day.weekday())
    settle(rig, f'[[daemon.windows]]\ndays = ["{name}"]\nfrom = "02:00"\nto = "04:00"\nzone = "UTC"\n')

    manager.start()
    polled(manager)

    assert not local.exists()
    assert (rig.folder / "otadevice-work" / "parts" / ONE.sha256).exists()
    assert f"outside of maintenance windows, of which the next one opens at {day:%Y-%m-%d}T02:00:00Z" in manager.status
    assert rig.run("update").exit_code == 0
    assert local.exists()


# what mirrors want


def test_it_waits_as_long_as_a_server_wants(rig: Rig, tree: Path, server: Server, manager: Manager) -> None:
    """A Retry-After counts more than the interval."""
    rig.add()
    trees.write(tree, ONE)
    server.misbehave("/metadata/timestamp.json", Fault(status=503, headers={"Retry-After": "7200"}))

    manager.start()
    polled(manager)

    assert "the server answers 503" in manager.status
    assert manager.status.endswith("polls again in 120 min")


def test_it_waits_as_long_as_the_mirror_has_signed(rig: Rig, tree: Path, manager: Manager) -> None:
    """So operators can brake a fleet."""
    rig.add()
    trees.write(tree, ONE)
    trees.simulator(tree).timestamp.unrecognized_fields[POLL] = 14400
    trees.simulator(tree).publish()

    manager.start()
    polled(manager)

    assert manager.status.endswith("polls again in 240 min")


def test_a_mirror_that_is_away_is_asked_again_soon_at_first(rig: Rig, server: Server, manager: Manager) -> None:
    """After a start the network may not be up yet; nothing of it ends the daemon."""
    rig.add()
    server.refuse()

    manager.start()
    polled(manager)

    assert "the connection failed" in manager.status
    assert manager.status.endswith("polls again in 60 s")
    assert manager.results == []


def test_a_state_file_that_is_broken_ends_nothing(rig: Rig, tree: Path, manager: Manager) -> None:
    """It is said what is wrong, once, and as soon as it is mended it goes on with the next poll."""
    rig.state_file.write_text("{")
    settle(rig, interval=0.2)
    manager.start()
    polled(manager, times=3)
    assert manager.log.count("is not JSON") == 1

    daemons.want_app(rig)
    trees.write(tree, ONE)

    manager.until((rig.opt / "app").exists)
