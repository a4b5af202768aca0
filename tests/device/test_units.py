"""The units of systemd, and `install-units`: what stands in them, what systemd reads there, whose they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devclient import succession
from devclient.settings.config import Hooks, Remote, Settings
from devclient.units import services
from devclient.units.services import DAEMON, RECOVER
from mirror import unit_files
from mirror.files import Files
from mirror.unit_files import Unit, UnitError
from tests.support.tools import require

if TYPE_CHECKING:
    from tests.support.devices import Rig

PROGRAM = (Path("/opt/otadevice/bin/otadevice"),)
DEVICE = Settings(
    file=Path("/etc/otadevice/otadevice.toml"),
    state=Path("/etc/otadevice/otadevice.json"),
    work=Path("/data/otadevice-work"),
    allow=(Path("/opt"), Path("/srv")),
    remotes=(Remote("main", ("https://updates.example",), Path("/etc/otadevice/otadevice-root.json")),),
)
PATHS = st.text(
    st.characters(
        exclude_categories=["Cs"], exclude_characters=[*map(chr, [*range(32), *range(0xFDD0, 0xFDF0)]), "\x7f", "/"]
    ),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in {".", ".."} and not any(ord(char) & 0xFFFE == 0xFFFE for char in name))
"""Names of files, of all letters but control characters and what Unicode sets aside as no characters."""


def entries(unit: Unit) -> dict[str, list[str]]:
    """Read a unit: what stands under each key, whatever its section."""
    lines = [line.split("=", 1) for line in unit.text.splitlines() if re.match(r"[A-Z][A-Za-z]+=", line)]
    return {key: [value for other, value in lines if other == key] for key, _ in lines}


def both(device: Settings = DEVICE, run_by: tuple[Path, ...] = PROGRAM, fstab: str = "") -> dict[str, Unit]:
    """Write the units of a device, by their names."""
    return {unit.name: unit for unit in services.units(device, run_by, fstab)}


def analyze(*files: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have systemd read units, without those that this machine has beside its own."""
    command = [require("systemd-analyze"), "verify", "--man=no", *map(str, files)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )


def read_by_systemd(file: Path) -> tuple[set[str], list[list[str]]]:
    """Tell what systemd finds in a unit: the paths whose mounts it requires, and its commands, word by word."""
    dump = analyze(file, SYSTEMD_LOG_LEVEL="debug").stdout
    mounts = re.findall(r"^\t\tRequiresMountsFor: (.*) \(origin-file\)$", dump, re.MULTILINE)
    lines = re.findall(r"^\t\t\tCommand Line: (.*)$", dump, re.MULTILINE)
    return set(mounts), [_words(line) for line in lines]


def stand_in(folder: Path) -> tuple[Path]:
    """Make a program that is there, as systemd wants to know."""
    program = folder / "otadevice"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return (program,)


def test_the_daemon_runs_with_absolute_paths() -> None:
    """The real program, and the settings of this device."""
    daemon = entries(both()[DAEMON])

    assert daemon["ExecStart"] == [":/opt/otadevice/bin/otadevice --config /etc/otadevice/otadevice.toml run"]
    assert daemon["ExecReload"] == [""":/bin/sh -c 'kill -HUP "$MAINPID"'"""]
    assert (daemon["Type"], daemon["NotifyAccess"], daemon["WatchdogSec"]) == (["notify"], ["exec"], ["600"])


def test_the_daemon_is_tried_for_ever() -> None:
    """A device whose otadevice stays down gets no update that would help it."""
    daemon = entries(both()[DAEMON])

    assert (daemon["Restart"], daemon["RestartSec"], daemon["StartLimitIntervalSec"]) == (["always"], ["5"], ["0"])


def test_recovery_comes_before_ordinary_services() -> None:
    """These are after basic.target; it waits for recovery, whatever comes of that."""
    recover, daemon = entries(both()[RECOVER]), entries(both()[DAEMON])

    assert recover["ExecStart"] == [
        ":/opt/otadevice/bin/otadevice --config /etc/otadevice/otadevice.toml recover --early"
    ]
    assert recover["DefaultDependencies"] == ["no"]  # else it would be after basic.target itself
    assert (recover["After"], recover["Before"]) == (["sysinit.target"], ["basic.target shutdown.target"])
    assert recover["WantedBy"] == ["basic.target"]
    assert RECOVER in daemon["After"][0].split()
    assert not {"Requires", "BindsTo", "RequiredBy"} & {*recover, *daemon}


def test_nothing_is_forbidden_to_hooks() -> None:
    """They inherit what the service may do, and it may all."""
    sandbox = re.compile(r"^(Protect|Private|NoNew|ReadOnly|Inaccessible|Restrict|SystemCall|Capability|User|Dynamic)")

    assert [key for unit in both().values() for key in entries(unit) if sandbox.match(key)] == []


def test_systemd_puts_no_variables_into_paths() -> None:
    """The colon has it leave `$` alone, also within a word."""
    lines = [
        line
        for unit in both().values()
        for key in ("ExecStart", "ExecReload", "ExecStopPost")
        for line in entries(unit).get(key, [])
    ]

    assert [line[0] for line in lines] == [":"] * 4


def test_what_hooks_have_started_lives_on() -> None:
    """Stopping a service of ours ends otadevice alone."""
    assert [entries(unit)["KillMode"] for unit in both().values()] == [["process"], ["process"]]


@pytest.mark.parametrize(
    ("hooks", "timeouts", "seconds"),
    [
        (Hooks(), {}, "380"),
        (Hooks(timeout=10, grace=2.5), {"app": 900.5, "site": 20}, "966"),
        (Hooks(timeout=1000), {"app": 5}, "1080"),
    ],
)
def test_stopping_waits_for_the_longest_hook(hooks: Hooks, timeouts: dict[str, float], seconds: str) -> None:
    """Its limit, twice the time of grace, and a minute."""
    device = Settings(DEVICE.file, DEVICE.state, DEVICE.work, (), DEVICE.remotes, hooks=hooks, timeouts=timeouts)

    assert entries(both(device)[DAEMON])["TimeoutStopSec"] == [seconds]


def test_recovery_waits_for_the_disks_that_it_needs(tmp_path: Path) -> None:
    """Where packages go, where the records are, where otadevice is; a link's own disk, and that of what it leads to.

    A folder is not named beside one in it, whose disk is on top of its own.
    """
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    device = Settings(
        DEVICE.file, DEVICE.state, DEVICE.work, (tmp_path, tmp_path / "link", Path("/srv/../var/lib")), ()
    )

    found = entries(both(device)[RECOVER])["RequiresMountsFor"]

    own = {str(DEVICE.file), str(DEVICE.state), str(DEVICE.work), str(PROGRAM[0])}
    assert set(found) == own | {str(tmp_path / "link"), str(tmp_path / "disk"), "/var/lib"}


def test_the_daemon_runs_also_when_a_disk_of_packages_is_missing() -> None:
    """What it needs itself are its records: the other packages still want their updates."""
    assert "/srv" not in entries(both()[DAEMON])["RequiresMountsFor"]
    assert str(DEVICE.work) in entries(both()[DAEMON])["RequiresMountsFor"]


@pytest.mark.parametrize(
    ("line", "waits"),
    [
        ("server:/x /srv nfs defaults 0 0", False),
        ("server:/x /srv nfs4 rw", False),
        ("/dev/sdb /srv ext4 defaults,_netdev 0 2", False),
        ("host: / fuse.sshfs defaults 0 0", False),
        ("/dev/sdb /srv ext4 defaults 0 2", True),
        ("#server:/x /srv nfs defaults 0 0", True),
        ("server:/x /srv/below nfs defaults 0 0", True),
        ("server:/x /s\\162v nfs defaults 0 0", False),
        ("broken", True),
    ],
)
def test_recovery_waits_for_no_disk_over_the_network(line: str, *, waits: bool) -> None:
    """The network may come up after it, so each would wait for the other."""
    found = entries(both(fstab=f"proc /proc proc defaults 0 0\n{line}\n")[RECOVER]).get("RequiresMountsFor", [])

    assert ("/srv" in found) == waits


def test_otadevice_is_started_by_the_path_beside_its_python(tmp_path: Path) -> None:
    """A link on the way stays: what it leads to may be another one tomorrow. Without a script, Python runs it."""
    (tmp_path / "new").mkdir()
    stand_in(tmp_path / "new")
    (tmp_path / "current").symlink_to("new")

    current, other = tmp_path / "current", Path("/elsewhere")
    assert services.command(current / "python3", other) == (current / "otadevice",)
    assert services.command(other / "python3", current / "otadevice") == (current / "otadevice",)
    assert services.command(tmp_path / "python3", other) == (tmp_path / "python3", Path("-m"), Path("devclient.cli"))


@pytest.mark.parametrize(("result", "runs"), [("exit-code", True), ("timeout", True), ("success", False)])
def test_what_was_there_before_is_put_back_after_a_failure(tmp_path: Path, result: str, *, runs: bool) -> None:
    """The script in the work folder is run if the service failed, and only then."""
    work = tmp_path / "a 'work' \"$folder\""
    work.mkdir()
    (work / services.PUT_BACK).write_text(f"touch '{tmp_path}/ran'\n")
    ending = _stop_post(tmp_path, work)

    done = subprocess.run(ending, env={"SERVICE_RESULT": result}, check=False, timeout=30)

    assert done.returncode == 0
    assert (tmp_path / "ran").exists() == runs


def test_the_script_has_the_name_that_the_unit_knows() -> None:
    """Who lays it out and who runs it do not know each other otherwise."""
    assert services.PUT_BACK == succession.SCRIPT


def test_a_failure_without_such_a_script_is_just_one(tmp_path: Path) -> None:
    """Nothing is run, and nothing complained about."""
    done = subprocess.run(
        _stop_post(tmp_path, tmp_path), env={"SERVICE_RESULT": "signal"}, capture_output=True, check=True, timeout=30
    )

    assert (done.stdout, done.stderr) == (b"", b"")


def test_systemd_has_nothing_to_complain_about(tmp_path: Path, rig: Rig) -> None:
    """Both units, as they are written, are units without a flaw."""
    require("systemd-analyze")
    device = Settings(rig.config, rig.state_file, rig.folder / "work", (rig.opt, Path("/srv")), ())

    written = unit_files.write(services.units(device, stand_in(tmp_path), ""), tmp_path, Files(), "otadevice")

    assert _complaints(analyze(*written), tmp_path) == []


def test_systemd_complains_when_there_is_a_reason(tmp_path: Path) -> None:
    """What the test before hears is not nothing because nobody speaks."""
    require("systemd-analyze")
    unit = both(run_by=stand_in(tmp_path))[DAEMON]
    wrong = Unit(unit.name, unit.text.replace("RestartSec", "RestartSecs"))

    written = unit_files.write([wrong], tmp_path, Files(), "otadevice")

    assert len(_complaints(analyze(*written), tmp_path)) == 1


def test_a_boot_with_both_has_an_order(tmp_path: Path) -> None:
    """Enabled as systemd does it, nothing waits for what waits for it."""
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    unit_files.write(services.units(DEVICE, stand_in(tmp_path), ""), folder, Files(), "otadevice")

    enable = [require("systemctl"), f"--root={tmp_path}", "--quiet", "enable", RECOVER, DAEMON]
    subprocess.run(enable, check=True, timeout=60)
    done = analyze(Path("multi-user.target"), SYSTEMD_UNIT_PATH=f"{folder}:", SYSTEMD_LOG_LEVEL="debug")

    assert f"{RECOVER}: Installed new job" in done.stderr
    assert f"{DAEMON}: Installed new job" in done.stderr
    assert "cycle" not in done.stderr


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("a b", "$HOME${HOME}", "100%n")
@example("'", '"\\', "\\n%%$$")
@example(" ", ";", "#")
@given(PATHS, PATHS, PATHS)
def test_systemd_reads_the_paths_that_were_meant(tmp_path: Path, one: str, two: str, three: str) -> None:
    """Whatever letters they have: spaces, quotes, percent and dollar signs."""
    require("systemd-analyze")
    paths = [Path("/srv", one), Path("/srv", two), Path("/srv/deeper", three)]
    words = " ".join(map(unit_files.word, paths))
    file = tmp_path / "odd.service"
    file.write_text(f"[Unit]\nRequiresMountsFor={words}\n[Service]\nType=oneshot\nExecStart=:/bin/true {words} end\n")

    mounts, commands = read_by_systemd(file)

    assert mounts == {str(path) for path in paths}
    assert commands == [["/bin/true", *map(str, paths), "end"]]


@pytest.mark.parametrize("name", ["a\nb", "tab\t", "\x7f", "\udcff", "\ufffe", "\ufdd0"])
def test_a_path_that_no_unit_can_name_is_refused(name: str) -> None:
    """It is said which one, instead of another one being used."""
    with pytest.raises(UnitError, match="no unit of systemd can name it"):
        both(Settings(DEVICE.file, DEVICE.state, DEVICE.work / name, (), ()))


@pytest.mark.parametrize("name", ['a"b', "a'b", "a\\b"])
def test_a_program_that_systemd_does_not_start_is_refused(name: str) -> None:
    """Its path has no quotes, nor backslashes; all else is fine."""
    with pytest.raises(UnitError, match="install it elsewhere"):
        both(run_by=(Path("/opt", name),))
    assert ':"/opt/a b$HOME%%n" ' in both(run_by=(Path("/opt/a b$HOME%n"),))[DAEMON].text


def test_install_units_writes_both_and_says_what_comes_next(tmp_path: Path, rig: Rig) -> None:
    """They run this very otadevice; who writes them again changes nothing."""
    first = rig.run("install-units", "--to", str(tmp_path))
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in _units(tmp_path)}
    again = rig.run("install-units", "--to", str(tmp_path))

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert f"systemctl enable --now {RECOVER} {DAEMON}" in first.output
    assert "systemctl restart" not in first.output
    assert f":{Path(sys.executable).parent}/otadevice --config {rig.config} run\n" in (tmp_path / DAEMON).read_text()
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in _units(tmp_path)} == before
    assert "already" in again.output
    assert "next" not in again.output


def test_install_units_writes_what_it_prints(tmp_path: Path, rig: Rig) -> None:
    """With --print it writes nothing."""
    printed = rig.run("install-units", "--to", str(tmp_path), "--print").output
    assert _units(tmp_path) == []

    rig.run("install-units", "--to", str(tmp_path))

    assert printed == "\n".join(f"# {path}\n{path.read_text()}" for path in _units(tmp_path))


def test_units_follow_the_settings(tmp_path: Path, rig: Rig) -> None:
    """One that otadevice wrote and nobody changed is replaced, and the daemon has to be restarted."""
    rig.run("install-units", "--to", str(tmp_path))
    rig.config.write_text(rig.config.read_text() + "\n[packages.app]\nhook_timeout = 1000\n")

    done = rig.run("install-units", "--to", str(tmp_path))

    assert done.output.startswith(f"{tmp_path / DAEMON} is written\nnext:")
    assert f"systemctl restart {DAEMON}" in done.output
    assert "TimeoutStopSec=1080\n" in (tmp_path / DAEMON).read_text()


@pytest.mark.parametrize("foreign", ["edited", "other", "masked"])
def test_a_unit_that_is_not_ours_is_replaced_only_by_force(tmp_path: Path, rig: Rig, foreign: str) -> None:
    """Changed by hand, from somebody else, or masked: it stays, and so does the other one."""
    rig.run("install-units", "--to", str(tmp_path))
    good = {path: path.read_bytes() for path in _units(tmp_path)}
    (tmp_path / RECOVER).unlink()
    if foreign == "edited":
        (tmp_path / DAEMON).write_bytes(good[tmp_path / DAEMON] + b"Nice=5\n")
    else:
        (tmp_path / DAEMON).unlink()
        (tmp_path / DAEMON).symlink_to("/dev/null" if foreign == "masked" else "gone")

    refused = rig.run("install-units", "--to", str(tmp_path))
    there = os.listdir(tmp_path)  # noqa: PTH208 - also a link that leads nowhere
    forced = rig.run("install-units", "--to", str(tmp_path), "--force")

    assert (refused.exit_code, forced.exit_code) == (1, 0)
    assert "--force replaces it" in refused.stderr
    assert RECOVER not in there
    assert {path: path.read_bytes() for path in _units(tmp_path)} == good


@pytest.mark.usefixtures("unprivileged")
def test_who_may_not_write_units_is_told_so() -> None:
    """It takes root."""
    with pytest.raises(UnitError, match="run this as root"):
        unit_files.write(both().values(), Path("/"), Files(), "otadevice")


def test_units_need_a_folder(tmp_path: Path) -> None:
    """Where there is none, there is no systemd, and none is made."""
    with pytest.raises(UnitError, match="is no folder"):
        unit_files.write(both().values(), tmp_path / "missing", Files(), "otadevice")


def test_units_need_a_device_that_is_set_up(tmp_path: Path, rig: Rig) -> None:
    """Without settings there is nothing to run."""
    rig.config.unlink()

    done = rig.run("install-units", "--to", str(tmp_path))

    assert done.exit_code == 1
    assert "`otadevice init` makes one" in done.stderr


def _units(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.service"))


def _stop_post(folder: Path, work: Path) -> list[str]:
    """Tell what systemd runs after the service has stopped, by what itself finds in the unit."""
    device = Settings(DEVICE.file, DEVICE.state, work, (), ())
    (file,) = unit_files.write([both(device, stand_in(folder))[DAEMON]], folder, Files(), "otadevice")
    return next(words for words in read_by_systemd(file)[1] if "put-back" in words)


def _complaints(done: subprocess.CompletedProcess[str], folder: Path) -> list[str]:
    # the units of the machine that runs the test may have flaws of their own
    return [line for line in (done.stdout + done.stderr).splitlines() if str(folder) in line or "otadevice" in line]


def _words(line: str) -> list[str]:
    """Take a line apart as systemd puts it together: quoted where need be, and then with escapes."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|([^ ]+)', line)
    return [plain or re.sub(r"\\(.)", r"\1", quoted) for quoted, plain in found]
