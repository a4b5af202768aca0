"""The text file for Prometheus' node exporter: what it says, and that it never gets in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devclient.records import results
from devclient.records.results import Result
from devclient.settings import config
from devclient.settings.config import Daemon
from devclient.telling import metrics
from devclient.trust.standing import Standing
from mirror.files import Files
from tests.support import devices, faults, trees
from tests.support.faults import ERRORS, KILLS, FaultyCalls, Killed
from tests.support.httpd import Fault
from tests.support.trees import Release

if TYPE_CHECKING:
    from devclient.device import Device
    from mirror.files import Calls
    from tests.support.devices import Rig

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
UPDATED = Result("app", "stable", "updated", "1.0", to="1.1", at="2026-11-23T06:59:00Z")
NOTHING = Result("app", "stable", "nothing newer", "1.1", at="2026-11-23T07:00:00Z")
UNREACHED = Result("app", "stable", "failed", "1.1", code="network", exit_code=75)


def made(folder: Path, calls: Calls | None = None, *, name: str = "door-7", file: str = "out/otadevice.prom") -> Device:
    """Make a device with an app, whose settings name a file."""
    entry = {"package": "app", "branch": "stable", "version": "1.1"}
    (folder / "out").mkdir(exist_ok=True)
    packages = [entry, {"package": "wanted", "branch": "main"}]
    (folder / config.STATE).write_text(json.dumps({"device": name, "package": packages}))
    device = devices.device(folder, folder, Files(calls))
    return replace(device, settings=replace(device.settings, daemon=Daemon(metrics=folder / file)))


def standing(expires: datetime) -> Standing:
    """Make the standing of a mirror."""
    return Standing(1, frozenset({"key"}), 3, expires, NOW - HOUR, 0, expires - HOUR)


def poll(
    device: Device, *done: Result, downloaded: int = 0, later: timedelta = timedelta(), exit_code: int = 0
) -> None:
    """Write the file after a poll, some time later."""
    results.save({each.package: each for each in done}, device.work, Files())
    device = replace(device, now=lambda: NOW + later)
    metrics.write(device, {"main": standing(NOW + HOUR), "never": None}, done, downloaded, exit_code=exit_code)


def read(device: Device) -> dict[str, dict[str, float]]:
    """Read the file as Prometheus does: values by their labels, by the name of the metric without `otadevice_`."""
    assert device.settings.daemon.metrics
    return parse(device.settings.daemon.metrics)


def parse(file: Path) -> dict[str, dict[str, float]]:
    """Read a file; the values of labels are in the order of their names."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(file.read_text()):
        assert family.documentation
        for sample in family.samples:
            labels = " ".join(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name.removeprefix("otadevice_"), {})[labels] = sample.value
    return found


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device."""
    return made(tmp_path)


def test_all_that_it_says(device: Device) -> None:
    """Each metric has its labels, a text and a type; what is not known is left out."""
    device.marks.add_bad("ab" * 32, "app", "2.0", "its hook failed", NOW)

    poll(device, UPDATED, downloaded=700)

    at = NOW.timestamp()
    assert read(device) == {
        "info": {f"door-7 {version('otamirror')}": 1},
        "last_poll_timestamp_seconds": {"": at},
        "last_success_timestamp_seconds": {"": at},
        "poll_exit_code": {"": 0},
        "downloaded_bytes_total": {"": 700},
        "update_pending": {"IDLE": 0},
        "bad_releases": {"": 1},
        "package_info": {"stable app 1.1": 1, "main wanted ": 1},
        "package_update_result": {"updated app": 1},
        "package_last_change_timestamp_seconds": {"app": at - 60},
        "metadata_expires_timestamp_seconds": {"main": at + 3600},
        "metadata_seconds_to_expiry": {"main": 3600},
    }
    text = device.settings.daemon.metrics.read_text() if device.settings.daemon.metrics else ""
    assert "# TYPE otadevice_downloaded_bytes_total counter\n" in text
    assert "# TYPE otadevice_bad_releases gauge\n" in text


def test_what_is_counted_goes_on_with_the_next_poll(device: Device) -> None:
    """Also with that of another process: nothing of it is kept but in the file."""
    poll(device, UPDATED, downloaded=700)
    poll(device, NOTHING, later=HOUR)
    poll(device, NOTHING, later=2 * HOUR, downloaded=42)

    found = read(device)
    assert found["downloaded_bytes_total"] == {"": 742}
    assert found["package_last_change_timestamp_seconds"] == {"app": NOW.timestamp() - 60}
    assert found["package_update_result"] == {"nothing newer app": 1}


@pytest.mark.parametrize(
    ("result", "succeeds"),
    [
        (NOTHING, True),
        (UPDATED, True),
        (replace(NOTHING, outcome="postponed", exit_code=75), True),
        (replace(NOTHING, outcome="waits", code="window", exit_code=75), True),
        (replace(NOTHING, outcome="waits", code="inhibited", exit_code=75), True),
        (replace(NOTHING, outcome="waits for a reboot", code="reboot", exit_code=75), True),
        (replace(NOTHING, outcome="rolled back", code="stopped", exit_code=75), True),
        (replace(NOTHING, outcome="waits", code="interrupted", exit_code=75), False),
        (replace(NOTHING, outcome="rolled back", exit_code=1), False),
        (UNREACHED, False),
    ],
    ids=lambda value: f"{value.outcome}-{value.code}" if isinstance(value, Result) else str(value),
)
def test_a_poll_that_reached_the_mirror_and_failed_nothing_is_a_success(
    device: Device, result: Result, *, succeeds: bool
) -> None:
    """What waits has not failed; the time of the last success stays until the next one."""
    poll(device, NOTHING)

    poll(device, replace(NOTHING, package="other"), result, later=HOUR)

    found = read(device)
    assert found["last_success_timestamp_seconds"] == {"": (NOW + HOUR * succeeds).timestamp()}
    assert found["last_poll_timestamp_seconds"] == {"": (NOW + HOUR).timestamp()}
    assert found["poll_exit_code"] == {"": result.exit_code}


def test_there_is_no_success_before_the_first(device: Device) -> None:
    """Nor where nobody was asked about anything."""
    poll(device)
    poll(device, UNREACHED)

    assert "last_success_timestamp_seconds" not in read(device)


def test_the_exit_code_is_the_worst(device: Device) -> None:
    """Of the packages, or of the error that ended the poll; the other figures stay."""
    poll(device, NOTHING, UNREACHED, replace(UNREACHED, package="other", exit_code=1), downloaded=3)
    assert read(device)["poll_exit_code"] == {"": 1}

    poll(device, exit_code=75, later=HOUR)

    assert read(device)["poll_exit_code"] == {"": 75}
    assert read(device)["downloaded_bytes_total"] == {"": 3}


def test_a_state_file_that_is_not_usable_is_no_reason_to_say_nothing(device: Device) -> None:
    """The monitoring has to learn of it: the exit code says that something is wrong."""
    device.settings.state.write_text("{")

    poll(device, exit_code=1)

    assert read(device)["poll_exit_code"] == {"": 1}
    assert "package_info" not in read(device)


@pytest.mark.parametrize(
    "name", ['a "quoted" name', "back\\slash\\n", "two\nlines", "{a=b} 1 # HELP", "Tür 7 🚪", 'x",y="z']
)
def test_any_name_of_a_device_can_be_read_again(tmp_path: Path, name: str) -> None:
    """Whatever its owner calls it, the file is one for Prometheus, and is taken for ours the next time."""
    device = made(tmp_path, name=name)

    poll(device, UPDATED, downloaded=7)
    poll(device, UPDATED, downloaded=7)

    text = (tmp_path / "out" / "otadevice.prom").read_text()
    (info,) = [each.samples[0] for each in text_string_to_metric_families(text) if each.name == "otadevice_info"]
    assert info.labels["device"] == name
    assert read(device)["downloaded_bytes_total"] == {"": 14}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"otadevice{",
        b"a b c d\n",
        b"otadevice_downloaded_bytes_total NaN\n",
        b"otadevice_downloaded_bytes_total -5\n",
        b'otadevice_downloaded_bytes_total{x="y"} 9\n',
        b"otadevice_downloaded_bytes_total +Inf\n",
        b"# TYPE",
        b"# TYPE otadevice_xcounter\notadevice_x 1\n",
        b"x\x00y 1\n",
        b"{" * 100_000,
    ],
)
def test_a_file_that_is_none_of_ours_is_replaced(device: Device, damage: bytes) -> None:
    """What was counted begins anew."""
    assert device.settings.daemon.metrics
    device.settings.daemon.metrics.write_bytes(damage)

    poll(device, NOTHING, downloaded=7)

    assert read(device)["downloaded_bytes_total"] == {"": 7}


def test_others_may_read_it(device: Device) -> None:
    """The node exporter is another user, whatever the umask of otadevice is."""
    before = os.umask(0o077)
    try:
        poll(device, NOTHING)
    finally:
        os.umask(before)

    assert device.settings.daemon.metrics
    assert device.settings.daemon.metrics.stat().st_mode & 0o777 == 0o644


def test_no_file_is_written_unless_the_settings_name_one(device: Device, tmp_path: Path) -> None:
    """Nor anything read."""
    silent = replace(device, settings=replace(device.settings, daemon=Daemon()))

    poll(silent, NOTHING)

    assert list((tmp_path / "out").iterdir()) == []


# whatever happens to it


def again(calls: Calls) -> None:
    """Write the file a second time, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        poll(made(Path(folder)), NOTHING, downloaded=1)
        poll(made(Path(folder), calls), NOTHING, downloaded=2)


@faults.sweep(again, KILLS, wanted=20)
def test_whoever_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path, fault: faults.Fault) -> None:
    """Never half of one, and the next poll goes on from it."""
    poll(made(tmp_path), NOTHING, downloaded=1)
    with pytest.raises(Killed):
        poll(made(tmp_path, FaultyCalls(fault)), NOTHING, downloaded=2)

    found = read(made(tmp_path))["downloaded_bytes_total"][""]
    assert found in {1, 3}
    poll(made(tmp_path), NOTHING, downloaded=4)
    assert read(made(tmp_path))["downloaded_bytes_total"] == {"": found + 4}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["otadevice.prom"]


@faults.sweep(again, ERRORS, wanted=20)
def test_a_disk_that_fails_is_a_warning(tmp_path: Path, fault: faults.Fault, caplog: pytest.LogCaptureFixture) -> None:
    """The poll goes on, and the file is the old or the new one."""
    poll(made(tmp_path), NOTHING, downloaded=1)

    poll(made(tmp_path, FaultyCalls(fault)), NOTHING, downloaded=2)

    found = read(made(tmp_path))["downloaded_bytes_total"][""]
    assert found == 3 or (found == 1 and "otadevice.prom is not written: " in caplog.text)


def configure(rig: Rig, file: Path) -> Path:
    """Name the file in the settings."""
    rig.config.write_text(rig.config.read_text().replace("[daemon]\n", f'[daemon]\nmetrics = "{file}"\n'))
    return file


def test_an_update_by_hand_is_told_too(rig: Rig, tree: Path) -> None:
    """With what it downloaded, and until when the mirror is believed."""
    file = configure(rig, rig.folder / "otadevice.prom")
    data = bytes(200_000)
    trees.write(tree, Release("1.0", data))
    rig.add()
    rig.server.misbehave("/otafiles/", Fault(cut_after=150_000), times=1)

    assert rig.run("update").exit_code == 0

    found = parse(file)
    assert found["downloaded_bytes_total"] == {"": len(data)}
    assert found["package_info"] == {"stable app 1.0": 1}
    assert found["poll_exit_code"] == {"": 0}
    expires = trees.simulator(tree).timestamp.expires.timestamp()
    assert found["metadata_expires_timestamp_seconds"] == {"main": expires}
    assert 13 * 86400 < found["metadata_seconds_to_expiry"]["main"] < 14 * 86400


def test_an_update_that_fails_is_told_too(rig: Rig, tree: Path) -> None:
    """With its exit code, whether it came to results or not."""
    file = configure(rig, rig.folder / "otadevice.prom")
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.server.refuse()

    assert rig.run("update").exit_code == 75
    assert parse(file)["poll_exit_code"] == {"": 75}
    assert parse(file)["package_update_result"] == {"failed app": 1}

    rig.state_file.write_text("{")
    assert rig.run("update").exit_code == 1
    assert parse(file)["poll_exit_code"] == {"": 1}


def test_an_update_that_waits_for_a_reboot_is_pending(rig: Rig, tree: Path) -> None:
    """In the state of its journal."""
    file = configure(rig, rig.folder / "otadevice.prom")
    rig.config.write_text(rig.config.read_text().replace("systemctl reboot || reboot", "true"))
    trees.write(tree, Release("1.0", content={"after_update": "exit 76"}))
    rig.add()

    for _ in range(2):
        assert rig.run("update").exit_code == 75
        assert parse(file)["update_pending"] == {"INSTALLED": 1}
        assert parse(file)["poll_exit_code"] == {"": 75}


@pytest.mark.parametrize("there", ["nothing", "a file", "a folder"])
def test_a_place_where_no_file_can_be_is_a_warning(rig: Rig, tree: Path, there: str) -> None:
    """Never a failed update."""
    file = configure(rig, rig.folder / "monitoring" / "otadevice.prom")
    if there == "a file":
        file.parent.write_bytes(b"")
    if there == "a folder":
        file.mkdir(parents=True)
    trees.write(tree, Release("1.0", b"one"))
    local = rig.add()

    done = rig.run("update")

    assert (done.exit_code, done.stdout) == (0, "app (stable): installed 1.0\n")
    assert f"{file} is not written: " in done.stderr
    assert local.read_bytes() == b"one"


def test_a_device_without_prometheus_client_is_updated(rig: Rig, tree: Path) -> None:
    """It says what is missing, and what to do."""
    file = configure(rig, rig.folder / "otadevice.prom")
    trees.write(tree, Release("1.0", b"one"))
    local = rig.add()
    code = "import sys; sys.modules['prometheus_client'] = None; from devclient.cli import main; main()"

    words = [sys.executable, "-c", code, "--config", str(rig.config), "update"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0
    assert "install otamirror[device] anew" in done.stderr
    assert (local.read_bytes(), file.exists()) == (b"one", False)


def test_a_device_without_such_a_file_does_not_load_the_library(rig: Rig, tree: Path) -> None:
    """Memory is scarce there."""
    trees.write(tree, Release("1.0", b"one"))
    rig.add()
    code = (
        "import sys\nfrom devclient.cli import main\nmain(standalone_mode=False)\n"
        "sys.exit('prometheus_client' in sys.modules)"
    )

    words = [sys.executable, "-c", code, "--config", str(rig.config), "update"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (0, "app (stable): installed 1.0\n")
