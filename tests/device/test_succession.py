"""The script that starts the otadevice before: it is run here, by the shell, from wherever that one is kept."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import zipapp
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import devclient
from devclient import lock, succession
from devclient.held_errors import SuccessorError
from devclient.plan import Found, Kind, Plan, Release, Step
from mirror.files import Calls, Files
from tests.support import devices
from tests.support.faults import KILL_BEFORE, Fault, FaultyCalls, Killed

if TYPE_CHECKING:
    from collections.abc import Callable

    from devclient.device import Device

ATTEMPT = 12
# it says what it is, and what it was given; whatever runs it has to find it beside this text
TOLD = """\
#!/bin/sh
printf '%s\\0' '{name}' "$@"
"""
NAMES = {
    "plain": "device",
    "space": "a device",
    "spaces around": " a  device ",
    "quote": "the owner's",
    "quotes": '"a" device',
    "variable": "$HOME${PATH}$kept",
    "command": "`id`$(id)",
    "line": "two\nlines\n",
    "braces": "{step}{0}{}{kept!r}",
    "backslash": "a\\nb\\",
    "pattern": "*?[a-z]",
    "hash": "# no comment; exit 0 & |",
    "dash": "-rf",
    "no text": os.fsdecode(b"\xff\xfe"),
}


@dataclass(frozen=True)
class Ground:
    """A device whose otadevice is replaced.

    Attributes:
        outside: a folder outside of its place.
    """

    device: Device
    plan: Plan
    outside: Path

    @property
    def step(self) -> Step:
        """The step that replaces it."""
        return self.plan.steps[0]

    @property
    def old(self) -> Path:
        """What is run of it, in its place."""
        return self.step.path / "bin" / "otadevice" if self.step.is_folder else self.step.path

    def text(self, *command: str | Path) -> str:
        """Write the script for a command that runs now."""
        return succession.script(self.step, self.plan, self.device, [str(word) for word in command])

    def lay_out(self, *command: str | Path) -> None:
        """Write it as the update does, but for that command."""
        file = self.device.work / succession.SCRIPT
        succession.prepare(self.plan, self.device)
        assert file.read_bytes() == os.fsencode(self.text(*succession.running()))
        file.write_bytes(os.fsencode(self.text(*command)))

    def switch(self) -> None:
        """Put the new one in its place."""
        if self.step.is_folder:
            _program(self.device.work / "folders" / "12-otadevice" / "bin" / "otadevice", "new")
            self.device.sets.make("12", {"otadevice": "12-otadevice"})
            self.device.sets.switch()
        else:
            self.step.path.unlink()
            _program(self.step.path, "new")

    def run(self) -> list[str]:
        """Run the script as the service manager does; returns what the program that it starts was given."""
        return _run(["/bin/sh", str(self.device.work / succession.SCRIPT)])

    @property
    def words(self) -> list[str]:
        """What the one before is to be given."""
        return ["--config", str(self.device.settings.file), succession.SCRIPT, str(ATTEMPT)]


def lay(folder: Path, kind: str, calls: Calls | None = None) -> Ground:
    """Lay out a device in `folder` that has an otadevice, and the plan to replace it."""
    made = devices.device(folder, folder, Files(calls))
    device = replace(made, settings=replace(made.settings, itself="otadevice"))
    local = folder / "opt" / "otadevice"
    if kind == "folder":
        _program(device.work / "folders" / "3-otadevice" / "bin" / "otadevice", "old")
        device.sets.make("3", {"otadevice": "3-otadevice"})
        device.sets.switch()
        local.parent.mkdir()
        local.symlink_to(device.sets.link("otadevice"))
    else:
        device.work.mkdir()
        _program(local, "old")
    step = Step(
        package="otadevice",
        branch="stable",
        remote="",
        local=f"{local}/" if kind == "folder" else str(local),
        target=str(local),
        before=Release("1.0", "1" * 64),
        after=Release("2.0", "2" * 64),
        found=Found.LINK if kind == "folder" else Found.FILE,
        folder="12-otadevice" if kind == "folder" else "",
    )
    outside = folder / "usr"
    outside.mkdir()
    return Ground(device, Plan(Kind.UPDATE, ATTEMPT, (step,), "3", "12"), outside)


def _program(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TOLD.format(name=name))
    path.chmod(0o755)
    return path


def _run(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, check=True, cwd="/", env={"PATH": "/usr/bin:/bin"})
    assert done.stderr == b""
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.fixture(params=["folder", "file"])
def kind(request: pytest.FixtureRequest) -> str:
    """What the package of otadevice is."""
    return str(request.param)


@pytest.fixture
def ground(tmp_path: Path, kind: str) -> Ground:
    """A device whose otadevice is replaced."""
    (tmp_path / "device").mkdir()
    return lay(tmp_path / "device", kind)


# the script


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_the_one_before_runs_from_where_it_is_kept(tmp_path: Path, kind: str, name: str) -> None:
    """Whatever its folders are called, and before the new one is in its place as well as after that."""
    folder = tmp_path / name
    folder.mkdir()
    ground = lay(folder, kind)

    ground.lay_out(ground.old)

    assert ground.run() == ["old", *ground.words]
    ground.switch()
    assert _run([str(ground.old)]) == ["new"]
    assert ground.run() == ["old", *ground.words]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_words_are_given_as_they_are(ground: Ground, name: str) -> None:
    """Also what stands between the program and the words of the script's own."""
    ground.lay_out(ground.old, name, "", "-m")
    ground.switch()

    assert ground.run() == ["old", name, "", "-m", *ground.words]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_what_lies_in_its_place_may_be_called_anything(tmp_path: Path, name: str) -> None:
    """All that it is started with comes from where it is kept."""
    (tmp_path / "device").mkdir()
    ground = lay(tmp_path / "device", "folder")
    for version in ("old", "new"):
        _program(ground.step.path / "bin" / name, version)
        if version == "old":
            ground.lay_out(ground.step.path / "bin" / name, ground.old.parent)
            ground.switch()

    assert ground.run() == ["old", f"{ground.device.work}/folders/3-otadevice/bin", *ground.words]


def test_what_runs_it_may_be_elsewhere(ground: Ground) -> None:
    """As a Python that came with the system."""
    ground.lay_out("/bin/sh", ground.old)
    ground.switch()

    assert ground.run() == ["old", *ground.words]


def _by_a_link(ground: Ground) -> Path:
    link = ground.outside / "otadevice"
    link.symlink_to(ground.old)
    return link


def _by_two_links(ground: Ground) -> Path:
    link = ground.outside / "ota"
    link.symlink_to(_by_a_link(ground).name)
    return link


def _by_a_relative_link(ground: Ground) -> Path:
    link = ground.outside / "otadevice"
    link.symlink_to(os.path.relpath(ground.old, ground.outside))
    return link


def _by_a_linked_folder(ground: Ground) -> Path:
    folder = ground.outside / "bin"
    folder.symlink_to(ground.old.parent)
    return folder / ground.old.name


def _by_where_it_really_is(ground: Ground) -> Path:
    return ground.old.resolve()


def _by_the_place_as_its_owner_calls_it(ground: Ground) -> Path:
    opt = ground.outside / "opt"
    opt.symlink_to(ground.step.path.parent)
    return opt / ground.old.relative_to(ground.step.path.parent)


WAYS = (
    _by_a_link,
    _by_two_links,
    _by_a_relative_link,
    _by_a_linked_folder,
    _by_where_it_really_is,
    _by_the_place_as_its_owner_calls_it,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.removeprefix("_"))
def test_links_that_lead_into_its_place_are_followed(ground: Ground, way: Callable[[Ground], Path]) -> None:
    """Or the script would start the new one, to which they lead by then."""
    ground.lay_out(way(ground))
    ground.switch()

    assert ground.run() == ["old", *ground.words]


def test_a_link_in_its_place_stays_the_one_that_is_called(tmp_path: Path) -> None:
    """As the Python of a virtual environment, which knows by its own path what belongs to it."""
    (tmp_path / "device").mkdir()
    ground = lay(tmp_path / "device", "folder")
    python = ground.old.with_name("python")
    python.symlink_to("/bin/sh")

    text = ground.text(python, ground.old)

    assert f'exec "$kept"/bin/python "$kept"/bin/otadevice --config {ground.device.settings.file} ' in text


@pytest.mark.parametrize("where", ["opt/otadevice-other", "usr/otadevice"])
def test_what_lies_outside_stays(ground: Ground, where: str) -> None:
    """Also if its name only begins like that of the place."""
    program = _program(ground.outside.parent / where, "outside")
    ground.lay_out(program, ground.outside / "nothing")
    ground.switch()

    assert ground.run() == ["outside", f"{ground.outside}/nothing", *ground.words]


def test_a_circle_of_links_ends(ground: Ground) -> None:
    """It leads nowhere, and so it is no way into the place."""
    circle = ground.outside / "circle"
    circle.symlink_to(circle)

    assert f"exec {circle} " in ground.text(circle)


def test_an_otadevice_that_is_gone_is_told(ground: Ground) -> None:
    """The script fails, and says why."""
    ground.lay_out(ground.old)
    ground.switch()
    for path in (ground.device.work / "put-back.kept", ground.device.work / "folders" / "3-otadevice"):
        path.rename(path.with_name("moved")) if path.exists() else None

    done = subprocess.run(
        ["/bin/sh", ground.device.work / succession.SCRIPT], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "the otadevice before is not there any more" in done.stderr


@pytest.mark.parametrize("found", [Found.NOTHING, Found.LINK])
def test_one_that_was_in_no_place_runs_from_where_it_is(tmp_path: Path, found: Found) -> None:
    """As it is not replaced; also if a link is in the place that leads nowhere."""
    (tmp_path / "device").mkdir()
    ground = lay(tmp_path / "device", "folder")
    step = replace(ground.step, found=found)
    ground = replace(ground, plan=replace(ground.plan, steps=(step,), before=""))
    program = _program(ground.outside / "otadevice", "outside")

    ground.lay_out(program)

    assert ground.run() == ["outside", *ground.words]


# laid out and removed


@pytest.mark.parametrize("change", [{"kind": Kind.ROLLBACK}, {"kind": Kind.REMOVE}, {"steps": ()}], ids=str)
def test_only_an_update_that_brings_one_has_a_script(ground: Ground, change: dict[str, object]) -> None:
    """Nobody has to be put back after what the owner undoes or takes away."""
    succession.prepare(replace(ground.plan, **change), ground.device)  # type: ignore[arg-type]  # one of several keys

    assert list(ground.device.work.glob("put-back*")) == []


def test_the_script_is_for_nobody_else_and_goes_with_what_it_needs(ground: Ground) -> None:
    """Its folder is as it was."""
    before = sorted(ground.device.work.iterdir())

    succession.prepare(ground.plan, ground.device)
    assert (ground.device.work / succession.SCRIPT).stat().st_mode & 0o777 == 0o600

    succession.arrived(ground.device)
    assert sorted(ground.device.work.iterdir()) == before


def test_nothing_else_is_installed_until_the_one_that_is_awaited_has_come_up(ground: Ground) -> None:
    """Whoever makes way for it may be gone already, and it may not have started yet."""
    with lock.hold(ground.device.work / lock.DAEMON, Files()):
        succession.prepare(ground.plan, ground.device)

    with pytest.raises(SuccessorError, match="has yet to come up"):
        succession.see_that_it_is_over(ground.device)
    succession.arrived(ground.device)
    succession.see_that_it_is_over(ground.device)


def test_where_no_daemon_makes_way_nobody_waits(ground: Ground) -> None:
    """On a device that is updated by a timer, say, the next update says that it came up."""
    succession.prepare(ground.plan, ground.device)

    succession.see_that_it_is_over(ground.device)

    assert list(ground.device.work.glob("put-back*")) == []


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("does", [succession.prepare, lambda _, device: succession.withdraw(device)], ids=["lay", "go"])
def test_there_is_no_script_without_what_it_starts(
    tmp_path: Path, kind: str, does: Callable[[Plan, Device], None]
) -> None:
    """Wherever laying it out or removing it is cut: it comes last, and goes first."""

    def cut(point: int) -> tuple[Ground, bool]:
        folder = tmp_path / str(point)
        folder.mkdir()
        ground = lay(folder, kind)
        if does is not succession.prepare:
            succession.prepare(ground.plan, ground.device)
        calls = FaultyCalls(Fault(point, KILL_BEFORE))
        with contextlib.suppress(Killed):
            does(ground.plan, replace(ground.device, files=Files(calls)))
        return ground, calls.dead

    for point in itertools.count(1):
        ground, was_cut = cut(point)
        if (ground.device.work / succession.SCRIPT).exists():
            (kept,) = succession._kept(ground.step, ground.plan, ground.device)
            assert kept.exists()
        if not was_cut:
            break
    assert point > 2


class Linkless(Calls):
    """A system that gives no file a second name."""

    def link(self, source: Path, target: Path, *, at: int | None = None, to: int | None = None) -> None:  # noqa: ARG002 - it refuses whatever it is given
        """Refuse."""
        raise PermissionError(1, "Operation not permitted", str(source))


def test_it_is_copied_where_files_have_one_name_only(tmp_path: Path) -> None:
    """Or where the work folder is on a file system of its own; it can be started from there all the same."""
    (tmp_path / "device").mkdir()
    ground = lay(tmp_path / "device", "file", Linkless())

    ground.lay_out(ground.old)
    ground.switch()

    assert ground.run() == ["old", *ground.words]


# what runs now


TELLING = (
    "import json, sys\nfrom devclient import succession\nprint(json.dumps([*succession.running(), *sys.argv[1:]]))\n"
)
_BASE = Path(devclient.__file__).parent.parent


def _told(command: list[str], folder: Path) -> list[str]:
    """Run a program that tells what it is; returns what has to be run for that."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{_BASE}"}
    done = subprocess.run(command, capture_output=True, check=True, cwd=folder, env=environment)
    return list(json.loads(done.stdout))


def _as_a_script(folder: Path) -> list[str]:
    (folder / "otadevice").write_text(TELLING)
    return ["otadevice"]


def _as_a_link_to_one(folder: Path) -> list[str]:
    (folder / "link").symlink_to(_as_a_script(folder)[0])
    return ["link"]


def _as_a_module(folder: Path) -> list[str]:
    (folder / "telling.py").write_text(TELLING)
    return ["-m", "telling"]


def _as_a_package(folder: Path) -> list[str]:
    (folder / "telling").mkdir()
    (folder / "telling" / "__init__.py").touch()
    (folder / "telling" / "__main__.py").write_text(TELLING)
    return ["-m", "telling"]


def _as_a_folder(folder: Path) -> list[str]:
    (folder / "program").mkdir()
    (folder / "program" / "__main__.py").write_text(TELLING)
    return ["program"]


def _as_an_archive(folder: Path) -> list[str]:
    zipapp.create_archive(folder / _as_a_folder(folder)[0], folder / "program.pyz")
    return ["program.pyz"]


FORMS = (_as_a_script, _as_a_link_to_one, _as_a_module, _as_a_package, _as_a_folder, _as_an_archive)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__.removeprefix("_"))
def test_what_runs_can_be_run_again(tmp_path: Path, form: Callable[[Path], list[str]]) -> None:
    """In whatever form it was started: from another folder too, and links stay as they are."""
    words = form(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    told = _told([sys.executable, *words], tmp_path)

    assert told[0] == sys.executable
    assert told[1] == (words[0] if words[0] == "-m" else str(tmp_path / words[0]))
    assert _told(told, tmp_path) == told
