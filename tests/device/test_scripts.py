"""Which commands an update runs, and what they are told."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from devclient import hooks, poll
from devclient.hooks import Hook, Runner
from devclient.install import moved
from devclient.plan import Found, Kind, Plan, Release, Step
from devclient.records.contents import Contents
from devclient.scripts import ROLLED_BACK, UPDATED, Scripts
from mirror.content import Content
from mirror.files import Files
from tests.support import devices, trees

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.hooks import Process

BLOB = "b2" * 32
COMMON = Content(package="app", version="1.0", branch="stable", sha256=BLOB)
OLD = replace(COMMON, before_update="old before", after_update="old after", restore="/old")
NEW = replace(COMMON, version="2.0", before_update="new before", after_update="new after", restore="run/me")


def release(content: Content) -> Release:
    """Make the release of a content."""
    return Release(content.version, content.digest, content.sha256, 10)


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """One package, a file, that goes from the old release to the new one."""
    place = f"{tmp_path}/opt/app"
    return Step("app", "stable", "", place, place, release(OLD), release(NEW), Found.FILE, timeout=7)


def scripts(step: Step, folder: Path, *known: Content, kind: Kind = Kind.UPDATE) -> Scripts:
    """Give the commands of a plan of one step, on a device that knows these contents, or both."""
    contents = Contents(folder / "contents", Files())
    for content in known or (OLD, NEW):
        contents.keep(content)
    plan = Plan(kind, 1, (step,))
    return Scripts(
        plan, contents, partial(moved.where, plan, folder / "parts"), lambda package: f"{folder}/current/{package}"
    )


def told(hook: Hook | None, *names: str) -> list[str]:
    """Tell what a hook has in some of its variables."""
    assert hook is not None
    return [hook.variables[f"OTA_{name}"] for name in names]


def test_before_and_after_are_those_of_the_new_release(step: Step, tmp_path: Path) -> None:
    """And of the old one when that is in place again."""
    found = scripts(step, tmp_path)

    assert (found.before(step) or Hook("", {}, 0)).command == "new before"
    assert (found.after(step, rebooted=False) or Hook("", {}, 0)).command == "new after"
    assert (found.undone(step) or Hook("", {}, 0)).command == "old after"


def test_a_hook_is_told_the_result_and_whether_it_is_the_second_time(step: Step, tmp_path: Path) -> None:
    """From and to are the same in all of them."""
    found = scripts(step, tmp_path)
    names = ("FROM", "TO", "RESULT", "REBOOTED")

    assert told(found.before(step), *names) == ["1.0", "2.0", "", ""]
    assert told(found.after(step, rebooted=False), *names) == ["1.0", "2.0", "updated", ""]
    assert told(found.after(step, rebooted=True), *names) == ["1.0", "2.0", "updated", "1"]
    assert told(found.undone(step), *names) == ["1.0", "2.0", "rolled-back", ""]


def test_a_first_release_has_no_version_before_it(step: Step, tmp_path: Path) -> None:
    """And nothing that could run when it is undone."""
    first = replace(step, before=None)
    found = scripts(first, tmp_path)

    assert told(found.before(first), "FROM", "TO") == ["", "2.0"]
    assert found.undone(first) is None


def test_what_goes_for_good_has_no_hooks(step: Step, tmp_path: Path) -> None:
    """No release is being installed that could have some; what is there again if it fails, has."""
    gone = replace(step, after=None)
    found = scripts(gone, tmp_path, kind=Kind.REMOVE)

    assert (found.before(gone), found.after(gone, rebooted=False), found.restore(gone, UPDATED)) == (None, None, None)
    assert told(found.undone(gone), "FROM", "TO") == ["1.0", ""]


@pytest.mark.parametrize(("kind", "is_there"), [(Kind.UPDATE, True), (Kind.UPDATE, False), (Kind.ROLLBACK, True)])
def test_the_verified_package_is_named_while_it_is_there(
    step: Step, tmp_path: Path, kind: Kind, *, is_there: bool
) -> None:
    """Nothing is where nothing was downloaded, as for a rollback."""
    found = scripts(step, tmp_path, kind=kind)
    if is_there:
        (tmp_path / "parts").mkdir()
        (tmp_path / "parts" / BLOB).touch()

    expected = os.fspath(tmp_path / "parts" / BLOB) if is_there and kind is Kind.UPDATE else ""
    assert told(found.before(step), "FILE") == [expected]


def test_what_is_not_known_is_not_run(step: Step, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told which release's."""
    found = scripts(step, tmp_path, NEW)

    assert found.undone(step) is None
    assert "no verified content.json of version 1.0 is here" in caplog.text
    assert found.before(step) is not None


def test_what_is_damaged_is_not_run(step: Step, tmp_path: Path) -> None:
    """Content that does not have its hash any more is as good as none."""
    found = scripts(step, tmp_path)
    file = tmp_path / "contents" / NEW.digest
    file.write_bytes(file.read_bytes().replace(b"new before", b"rm -rf /  "))

    assert found.before(step) is None


def test_each_hook_has_its_packages_time(step: Step, tmp_path: Path) -> None:
    """As the plan says."""
    hook = scripts(step, tmp_path).before(step)

    assert hook is not None
    assert hook.timeout == 7


def test_restore_is_the_new_releases_in_both_outcomes(step: Step, tmp_path: Path) -> None:
    """A relative path is one in the folder that is in place then; an absolute one is the owner's."""
    folder = replace(step, local=f"{step.local}/")
    script = tmp_path / "current" / "app" / "run" / "me"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    found = scripts(folder, tmp_path)

    for result in (UPDATED, ROLLED_BACK):
        hook = found.restore(folder, result)
        assert hook is not None
        assert (hook.command, told(hook, "RESULT")) == (hooks.script(script), [result])

    own = tmp_path / "own"
    own.touch()
    content = replace(NEW, restore=os.fspath(own))
    absolute = replace(step, after=release(content))
    hook = scripts(absolute, tmp_path, content).restore(absolute, UPDATED)
    assert hook is not None
    assert hook.command == hooks.script(own)


@pytest.mark.parametrize(
    ("restore", "is_folder", "warned"),
    [
        ("", True, False),
        ("run/me", True, True),
        ("run/me", False, True),
        ("/not/there", False, True),
        (".", True, True),
    ],
)
def test_a_restore_script_that_is_not_there_is_left_out(
    step: Step, tmp_path: Path, caplog: pytest.LogCaptureFixture, restore: str, *, is_folder: bool, warned: bool
) -> None:
    """With a warning, and no harm; a single file has no folder in which it could be."""
    (tmp_path / "current" / "app").mkdir(parents=True)
    content = replace(NEW, restore=restore)
    local = f"{step.local}/" if is_folder else step.local
    changed = replace(step, local=local, after=release(content))

    assert scripts(changed, tmp_path, content).restore(changed, UPDATED) is None

    assert ("is not there" in caplog.text) == warned


class Noted:
    """Runs hooks for real, and notes what each was given."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.given: list[tuple[str, dict[str, Any]]] = []

    def run(self, hook: Hook, record: Any) -> hooks.Ending:
        """Run one."""

        def noting(process: Process) -> None:
            self.given.append((hook.command, dict(hook.variables)))
            record(process)

        return self._runner.run(hook, noting)


def test_a_hook_has_the_documented_variables_and_no_other(tmp_path: Path, tree: Path) -> None:
    """Not what otadevice itself was started with; the shell adds the folder in which it is."""
    device = devices.device(tmp_path, tree, Files())
    (tmp_path / "opt").mkdir()
    entry = {"package": "app", "branch": "stable", "local": f"{tmp_path}/opt/app"}
    devices.write_state(device.settings.state, entry)
    seen = tmp_path / "seen"
    shows = {name: f"env > {seen}-{name}" for name in ("before_update", "after_update")}
    trees.write(tree, trees.Release("1.0", b"one", content=shows))
    noted = Noted(Runner(device.boot))

    poll.run(replace(device, runner=noted))

    before, after = ((tmp_path / f"seen-{name}").read_text().splitlines() for name in ("before_update", "after_update"))
    common = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        *("LANG=C.UTF-8", "PWD=/", "OTA_PACKAGE=app", "OTA_BRANCH=stable", "OTA_FROM=", "OTA_TO=1.0"),
        *(f"OTA_LOCAL={tmp_path}/opt/app", "OTA_REBOOTED="),
    }
    assert {line for line in before if not line.startswith("_=")} == {
        *common, "OTA_RESULT=", f"OTA_FILE={tmp_path}/opt/.app.ota-new",
    }  # fmt: skip
    assert {line for line in after if not line.startswith("_=")} == {
        *common, "OTA_RESULT=updated", f"OTA_FILE={tmp_path}/opt/app",
    }  # fmt: skip
    assert [command for command, _ in noted.given] == [*shows.values()]
