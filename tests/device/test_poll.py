"""One poll: each package asked about and taken by itself, or with what it goes with, and what came of it kept."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devclient import poll, update
from devclient.check import Wish
from devclient.errors import NetworkError, ProvisionError, StateError
from devclient.records import results
from devclient.states import State
from mirror.files import Calls, Files
from tests.support import archives, devices, trees
from tests.support.devices import FolderMirror
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device

ONE, TWO = Release("1.0", b"one"), Release("2.0", b"two")


@pytest.fixture
def device(tmp_path: Path, tree: Path) -> Device:
    """A device that wants nothing yet."""
    made = devices.device(tmp_path, tree, Files())
    (tmp_path / "opt").mkdir()
    want(made)
    return made


def want(device: Device, *packages: str) -> None:
    """Want packages, in this order; a name that ends in a slash is a folder."""
    devices.write_state(device.settings.state, *(entry(device, package) for package in packages))


def entry(device: Device, package: str, **keys: Any) -> dict[str, Any]:
    """Make the entry of a package that is wanted."""
    local = device.settings.allow[0] / package.rstrip("/")
    end = "/" if package.endswith("/") else ""
    return {"package": package.rstrip("/"), "branch": "stable", "local": f"{local}{end}", **keys}


def hooks(**commands: str) -> Release:
    """Make a release with hooks."""
    return Release("1.0", b"one", content=commands)


def needs(version: str = "1.0", **dependencies: str) -> Release:
    """Make a release that depends on others."""
    return Release(version, f"{version} needs".encode(), {"dependencies": dependencies}, {"dependencies": dependencies})


def versions(device: Device) -> dict[str, str]:
    """Read what the state file says is installed."""
    fields = json.loads(device.settings.state.read_bytes())
    return {each["package"]: each.get("version", "") for each in fields["package"]}


def test_unrelated_packages_are_updated_one_after_the_other(device: Device, tree: Path, tmp_path: Path) -> None:
    """The second begins when the first is in the state file."""
    want(device, "a", "b")
    seen = tmp_path / "seen"
    trees.write(tree, hooks(before_update=f"cp {device.settings.state} {seen}.a"), package="a")
    trees.write(tree, hooks(before_update=f"cp {device.settings.state} {seen}.b"), package="b")

    found = poll.run(device)

    assert [(result.package, result.to) for result in found] == [("a", "1.0"), ("b", "1.0")]
    first, second = (json.loads((tmp_path / f"seen.{name}").read_bytes())["package"] for name in ("a", "b"))
    assert ["version" in package for package in first] == [False, False]
    assert ["version" in package for package in second] == [True, False]


@pytest.mark.parametrize(
    ("bad", "outcome", "code"),
    [
        (hooks(before_update="exit 1"), "rolled back", "hook"),
        (hooks(after_update="exit 1"), "rolled back", "hook"),
        (hooks(before_update="exit 75"), "postponed", "postponed"),
        (hooks(after_update="exit 76"), "waits for a reboot", "reboot"),
        (Release("1.0", archives.member("../up") + archives.END), "failed", "archive"),
        (Release("1.0", b"one", entry={"size": 1 << 50}), "failed", "space"),
        (Release("1.0", b"\x00ne", entry={"size": 2}), "failed", "broken-promise"),
        (Release("1.0", b"one", entry={"size": 99}), "failed", "network"),
        (needs(missing=">=1"), "nothing newer", ""),
    ],
)
def test_a_package_that_fails_stops_no_other(device: Device, tree: Path, bad: Release, outcome: str, code: str) -> None:
    """Unless it waits for a reboot: then nothing else is begun."""
    want(device, "bad/", "good")
    trees.write(tree, bad, package="bad")
    if code in {"hook", "postponed", "reboot"}:
        want(device, "bad", "good")
    trees.write(tree, ONE, package="good")

    found = {result.package: (result.outcome, result.code) for result in poll.run(device)}

    assert found.pop("bad") == (outcome, code)
    if code == "reboot":
        assert found == {}
        assert update.open_journal(device).record.state is State.INSTALLED
    else:
        assert found == {"good": ("updated", "")}
        assert versions(device) == {"bad": "", "good": "1.0"}


def test_a_missing_dependency_is_explained(device: Device, tree: Path) -> None:
    """Which package is needed by which release, and what there is of it."""
    want(device, "app")
    trees.write(tree, needs(lib=">=2"))
    (absent,) = poll.run(device)
    trees.write(tree, Release("1.5"), package="lib")
    (low,) = poll.run(device)

    assert (absent.outcome, absent.exit_code, absent.to) == ("nothing newer", 0, "")
    assert "lib >=2, which this mirror does not have on stable" in absent.message
    assert "the highest that can be taken is 1.5" in low.message
    assert list(device.settings.allow[0].iterdir()) == []


def test_what_goes_together_is_tried_once(device: Device, tree: Path, tmp_path: Path) -> None:
    """A set that is rolled back is not tried again for each package in it."""
    tries = tmp_path / "tries"
    want(device, "app", "lib")
    failing = {"before_update": f"echo x >> {tries}; exit 1"}
    trees.write(tree, needs(lib="*"))
    trees.write(tree, Release("1.0", b"lib", content=failing), package="lib")

    found = poll.run(device)

    assert tries.read_text() == "x\n"
    assert {(result.package, result.outcome) for result in found} == {("app", "rolled back"), ("lib", "rolled back")}
    assert {result.message for result in found} == {"BeforeUpdate of lib 1.0 failed with exit code 1"}


def test_the_output_is_told_of_the_package_whose_hook_it_is(device: Device, tree: Path) -> None:
    """The others have the cause alone."""
    want(device, "app", "lib")
    trees.write(tree, needs(lib="*"))
    failing = {"before_update": "echo it is lib; exit 1"}
    trees.write(tree, Release("1.0", b"lib", content=failing), package="lib")

    found = {result.package: result.output for result in poll.run(device)}

    assert found == {"app": "", "lib": "it is lib\n"}


def test_what_failed_is_passed_over_for_what_is_newer(device: Device, tree: Path) -> None:
    """It is not taken again, and that is told; a newer one is; and so is the same one, once it is cleared."""
    want(device, "app")
    trees.write(tree, ONE)
    poll.run(device)
    bad = Release("2.0", b"two", content={"before_update": "exit 1"})
    trees.write(tree, ONE, bad)
    poll.run(device)

    (again,) = poll.run(device)
    assert (again.outcome, again.exit_code) == ("nothing newer", 0)
    assert "2.0 failed on this device: BeforeUpdate of app 2.0 failed with exit code 1" in again.message
    assert "clear-bad" in again.message

    trees.write(tree, ONE, bad, Release("2.1", b"two and one"))
    assert [result.to for result in poll.run(device)] == ["2.1"]

    device.marks.clear()
    trees.write(tree, ONE, bad, Release("2.1", b"two and one"))
    (wished,) = poll.run(device, "app", Wish("2.0", allow_downgrade=True))
    assert (wished.outcome, wished.code) == ("rolled back", "hook")


def test_one_package_may_be_asked_for(device: Device, tree: Path) -> None:
    """The others are left alone, and their results stay as they were."""
    want(device, "a", "b")
    for package in ("a", "b"):
        trees.write(tree, ONE, package=package)
    poll.run(device)
    for package in ("a", "b"):
        trees.write(tree, ONE, TWO, package=package)

    found = poll.run(device, "b")

    assert [(result.package, result.to) for result in found] == [("b", "2.0")]
    assert {name: result.to for name, result in results.load(device.work).items()} == {"a": "1.0", "b": "2.0"}


@pytest.mark.parametrize("ask", [poll.look, poll.run, lambda device, name: poll.remove(name, device)])
def test_a_package_that_is_not_wanted_is_not_asked_for(device: Device, ask: Any) -> None:
    """It is a mistake in the name, or it has to be added."""
    want(device, "app")

    with pytest.raises(ProvisionError, match=r"other is not in .*otadevice add"):
        ask(device, "other")


def test_an_entry_that_goes_during_the_poll_is_left_out(device: Device, tree: Path) -> None:
    """The state file is its owner's, and read again for each package."""
    want(device, "a", "b")
    trees.write(tree, ONE, package="b")
    only_a = json.dumps({"package": [entry(device, "a")]})
    trees.write(tree, hooks(before_update=f"echo '{only_a}' > {device.settings.state}"), package="a")

    assert [result.package for result in poll.run(device)] == ["a"]
    assert versions(device) == {"a": "1.0"}


def test_an_entry_that_comes_during_the_poll_waits_for_the_next(device: Device, tree: Path) -> None:
    """Which packages are asked about is settled at its beginning."""
    want(device, "a")
    both = json.dumps({"package": [entry(device, "a"), entry(device, "b")]})
    trees.write(tree, hooks(before_update=f"echo '{both}' > {device.settings.state}"), package="a")
    trees.write(tree, ONE, package="b")

    assert [result.package for result in poll.run(device)] == ["a"]
    assert [result.package for result in poll.run(device)] == ["a", "b"]


def test_a_mirror_that_is_away_stops_its_packages_alone(device: Device, tree: Path) -> None:
    """Those of another one are updated."""
    devices.write_state(device.settings.state, entry(device, "a", remote="https://away.example"), entry(device, "b"))
    trees.write(tree, ONE, package="b")

    def mirror(url: str) -> FolderMirror:
        if url:
            raise NetworkError(url, "no route")
        return FolderMirror(tree)

    found = {result.package: result for result in poll.run(replace(device, mirror=mirror))}

    assert (found["a"].code, found["a"].exit_code) == ("network", 75)
    assert found["b"].to == "1.0"


def test_no_package_is_no_failure(device: Device) -> None:
    """A device that wants nothing has nothing to do."""
    assert poll.run(device) == []
    assert poll.look(device) == []


def test_a_state_file_that_cannot_be_read_stops_the_poll(device: Device) -> None:
    """Nobody knows then what is wanted."""
    device.settings.state.write_text("{")

    with pytest.raises(StateError):
        poll.run(device)


class FullForResults(Calls):
    """The real calls, but for one file that no space is left for."""

    def open(self, path: Path, flags: int, mode: int = 0o666, *, at: int | None = None) -> int:
        """Open a file."""
        if "results" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return super().open(path, flags, mode, at=at)


def test_results_that_cannot_be_kept_make_no_failure(
    device: Device, tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done is done, and told."""
    want(device, "app")
    trees.write(tree, ONE)

    (result,) = poll.run(devices.device(tmp_path, tree, Files(FullForResults())))

    assert (result.outcome, versions(device)) == ("updated", {"app": "1.0"})
    assert "the results are not kept for `otadevice status`" in caplog.text


def test_contents_are_kept_for_what_is_installed_and_what_can_be_undone(device: Device, tree: Path) -> None:
    """Older ones go; nothing else is ever run."""
    want(device, "app")
    releases = [Release(f"{number}.0", f"{number}".encode()) for number in range(1, 5)]
    for count in range(1, 5):
        trees.write(tree, *releases[:count])
        poll.run(device)

    kept = {path.name for path in (device.work / "contents").iterdir()}

    assert kept == {release.content_on("app", "stable").digest for release in releases[2:]}


def test_folders_are_kept_for_what_is_installed_and_what_can_be_undone(device: Device, tree: Path) -> None:
    """Once another update has been committed, what was before the one before takes no room any more."""
    want(device, "site/", "app")
    one, two = (Release(f"{n}.0", archives.pack([archives.Entry("VERSION", b"%d" % n)])) for n in (1, 2))
    trees.write(tree, ONE)
    trees.write(tree, one, package="site")
    poll.run(device)
    trees.write(tree, one, two, package="site")
    poll.run(device)
    assert len(list((device.work / "folders").iterdir())) == 2

    trees.write(tree, ONE, TWO)
    poll.run(device)

    assert len(list((device.work / "folders").iterdir())) == 1
    assert len(list((device.work / "sets").iterdir())) == 1
    assert (device.settings.allow[0] / "site" / "VERSION").read_bytes() == b"2"


def test_a_package_that_was_only_wanted_is_forgotten(device: Device) -> None:
    """Nothing of it is installed, so nothing has to be done."""
    want(device, "a", "b")

    (result,) = poll.remove("a", device)

    assert (result.package, result.outcome) == ("a", "removed")
    assert versions(device) == {"b": ""}


def test_a_package_that_others_need_stays(device: Device, tree: Path) -> None:
    """It is told which."""
    want(device, "app", "lib")
    trees.write(tree, needs(lib="*"))
    trees.write(tree, ONE, package="lib")
    poll.run(device)

    with pytest.raises(ProvisionError, match="app depends on lib; remove that first"):
        poll.remove("lib", device)

    assert versions(device) == {"app": "1.0", "lib": "1.0"}
