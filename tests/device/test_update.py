"""Updates of single files, as a poll does them; what happens when they are cut is told in tests/survival."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devclient import poll
from devclient.records import results
from mirror.files import Files
from tests.support import devices, trees
from tests.support.devices import FolderMirror
from tests.support.trees import Release

if TYPE_CHECKING:
    from devclient.check import Offer
    from devclient.device import Device

OLD, NEW = Release("1.0", b"old " * 600), Release("2.0", b"new " * 900)


@pytest.fixture
def device(tmp_path: Path, tree: Path) -> Device:
    """A device that has 1.0 of app, and a mirror that has 2.0."""
    return make_device(tmp_path, tree, Files())


def make_device(folder: Path, tree: Path, files: Files) -> Device:
    """Put such a device, and such a mirror, into folders."""
    made = devices.device(folder, tree, files)
    trees.write(tree, OLD)
    place = folder / "opt" / "app"
    place.parent.mkdir()
    devices.write_state(made.settings.state, {"package": "app", "branch": "stable", "local": str(place)})
    (first,) = poll.run(devices.device(folder, tree, Files()))
    assert first.to == "1.0"
    trees.write(tree, OLD, NEW)
    return made


def state(device: Device) -> Any:
    """Read the state file."""
    return json.loads(device.settings.state.read_bytes())


def place(device: Device) -> Path:
    """Tell where app goes."""
    return device.settings.allow[0] / "app"


def rewrite(device: Device, **keys: Any) -> None:
    """Edit the entry of app as its owner would."""
    fields = state(device)
    fields["package"][0] |= keys
    device.settings.state.write_text(json.dumps(fields))


def test_an_update_takes_what_is_offered(device: Device) -> None:
    """The file, the state file, and the result say so; nothing is left in the work folder."""
    (result,) = poll.run(device)

    assert place(device).read_bytes() == NEW.data
    assert state(device)["package"][0]["version"] == "2.0"
    assert (result.outcome, result.version, result.to, result.exit_code) == ("updated", "1.0", "2.0", 0)
    assert list(device.parts.iterdir()) == []


def test_results_are_kept(device: Device) -> None:
    """What an update came to can be read afterwards."""
    done = poll.run(device)

    assert results.load(device.work) == {"app": done[0]}
    assert done[0].at == "2026-11-23T07:00:00Z"


def test_the_second_update_changes_nothing(device: Device) -> None:
    """Neither the file nor the state file is written again."""
    poll.run(device)
    before = [path.stat().st_mtime_ns for path in (place(device), device.settings.state)]

    (result,) = poll.run(device)

    assert [path.stat().st_mtime_ns for path in (place(device), device.settings.state)] == before
    assert (result.outcome, result.message) == ("nothing newer", "nothing newer than 2.0")


def test_a_file_that_is_right_already_is_left(device: Device) -> None:
    """What holds the offered bytes is not downloaded, not rewritten, only recorded."""
    place(device).write_bytes(NEW.data)
    inode = place(device).stat().st_ino

    (result,) = poll.run(replace(device, free=lambda _folder: 0))

    assert result.to == "2.0"
    assert place(device).stat().st_ino == inode
    assert state(device)["package"][0]["version"] == "2.0"


def test_the_owners_place_wins(device: Device, tree: Path) -> None:
    """What content.json says about `local` does not matter to a device that has its own."""
    trees.write(tree, Release("3.0", b"3", content={"local": "/opt/elsewhere"}))

    poll.run(device)

    assert place(device).read_bytes() == b"3"
    assert state(device)["package"][0]["local"] == str(place(device))


def test_an_entry_without_a_place_takes_what_is_proposed(device: Device, tree: Path) -> None:
    """Two keys are enough, if the publisher says where it goes."""
    proposed = place(device).with_name("proposed")
    trees.write(tree, Release("1.0", b"3", content={"local": str(proposed)}))
    devices.write_state(device.settings.state, {"package": "app", "branch": "stable"})

    (result,) = poll.run(device)

    assert result.to == "1.0"
    assert proposed.read_bytes() == b"3"
    assert state(device)["package"][0]["local"] == str(proposed)


def test_what_is_proposed_must_be_allowed(device: Device, tree: Path) -> None:
    """A publisher cannot choose a place outside the allowed folders."""
    trees.write(tree, Release("1.0", b"3", content={"local": "/etc/cron.d/mine"}))
    devices.write_state(device.settings.state, {"package": "app", "branch": "stable"})

    (result,) = poll.run(device)

    assert (result.code, result.exit_code) == ("place", 1)
    assert not Path("/etc/cron.d/mine").exists()


def test_too_little_space_is_found_before(device: Device) -> None:
    """Blob, copy and the reserve must fit before a byte is asked for; the previous file keeps its place."""
    enough = 2 * len(NEW.data) + 16 * 1024 * 1024

    (short,) = poll.run(replace(device, free=lambda _folder: enough - 1))
    assert (short.code, short.exit_code) == ("space", 1)
    assert not list((device.settings.work / "parts").iterdir())

    (fits,) = poll.run(replace(device, free=lambda _folder: enough))
    assert fits.to == "2.0"


def test_what_is_downloaded_needs_no_space_again(device: Device) -> None:
    """The bytes of a part count."""
    (device.settings.work / "parts" / f"{NEW.sha256}.part").write_bytes(NEW.data[:1000])
    enough = 2 * len(NEW.data) + 16 * 1024 * 1024

    (result,) = poll.run(replace(device, free=lambda _folder: enough - 1000))

    assert result.to == "2.0"


class Editing:
    """Progress that edits the state file while a download runs."""

    def __init__(self, device: Device, **keys: Any) -> None:
        self._device = device
        self._keys = keys

    def __call__(self, _offer: Offer, have: int) -> None:
        """Edit it once bytes have come."""
        if have:
            rewrite(self._device, **self._keys)


def test_an_owner_who_changes_the_package_stops_its_update(device: Device) -> None:
    """It is given up before the file is touched, and may be tried again."""
    (result,) = poll.run(replace(device, progress=Editing(device, branch="edge")))

    assert (result.code, result.exit_code) == ("state-changed", 75)
    assert place(device).read_bytes() == OLD.data
    assert (state(device)["package"][0]["version"], state(device)["package"][0]["branch"]) == ("1.0", "edge")


def test_what_an_owner_changes_elsewhere_stays(device: Device) -> None:
    """The state file is read again before it is written, and merged by package."""
    other = {"package": "other", "branch": "stable", "local": "/opt/other"}

    def add(_offer: Offer, _have: int) -> None:
        fields = state(device)
        fields["package"] = [fields["package"][0], other]
        fields["description"] = "in the cellar"
        device.settings.state.write_text(json.dumps(fields))

    (result,) = poll.run(replace(device, progress=add))

    assert result.to == "2.0"
    after = state(device)
    assert after["description"] == "in the cellar"
    assert [entry["package"] for entry in after["package"]] == ["app", "other"]
    assert after["package"][0]["version"] == "2.0"


def test_a_package_that_fails_stops_no_other(device: Device, tree: Path) -> None:
    """Each has its own result, and what came of the others does not matter."""
    trees.write(tree, Release("1.0", b"b"), package="b")
    fields = state(device)
    fields["package"].insert(0, {"package": "bad", "branch": "stable", "local": "/etc/x"})
    fields["package"].append({"package": "b", "branch": "stable", "local": str(place(device).with_name("b"))})
    trees.write(tree, Release("1.0", b"bad"), package="bad")
    device.settings.state.write_text(json.dumps(fields))

    done = poll.run(device)

    assert [result.outcome for result in done] == ["failed", "updated", "updated"]


def test_parts_of_other_releases_go(device: Device) -> None:
    """What was downloaded for a release that is no longer offered makes room."""
    stale = device.settings.work / "parts" / f"{'0' * 64}.part"
    stale.write_bytes(b"stale")

    poll.run(device)

    assert not stale.exists()


class Away:
    """A mirror that cannot be reached."""

    def __getattr__(self, name: str) -> Any:
        raise OSError(f"no network for {name}")


def test_parts_stay_while_a_mirror_is_away(device: Device) -> None:
    """Nobody knows then what is still offered."""
    part = device.settings.work / "parts" / f"{NEW.sha256}.part"
    part.write_bytes(NEW.data[:10])

    (result,) = poll.run(replace(device, mirror=lambda _url: Away()))

    assert (result.outcome, result.code) == ("failed", "system")
    assert part.read_bytes() == NEW.data[:10]


def test_a_yank_is_remembered(device: Device, tree: Path) -> None:
    """What the mirror said against the installed release holds until it is asked again."""
    yank = {"reason": "breaks doors", "replacement": "2.0"}
    taken_back = Release("1.0", OLD.data, entry={"yanked": yank})
    trees.write(tree, taken_back)

    assert poll.run(device)[0].yanked == yank
    assert poll.run(replace(device, mirror=lambda _url: Away()))[0].yanked == yank
    trees.write(tree, taken_back, NEW)
    assert poll.run(device)[0].yanked is None
    assert poll.run(replace(device, mirror=lambda _url: Away()))[0].yanked is None


def test_progress_is_told(device: Device) -> None:
    """Of which offer, and how many bytes are there."""
    told: list[tuple[str, int]] = []

    poll.run(replace(device, progress=lambda offer, have: told.append((str(offer), have))))

    assert (told[0], told[-1]) == (("app 2.0", 0), ("app 2.0", len(NEW.data)))


def test_a_mirror_is_asked_by_the_url_of_the_entry(device: Device, tree: Path) -> None:
    """The owner's `remote` says which mirror serves a package."""
    rewrite(device, remote="https://mine.example")
    asked: list[str] = []

    def mirror(url: str) -> FolderMirror:
        asked.append(url)
        return FolderMirror(tree)

    poll.run(replace(device, mirror=mirror))

    assert set(asked) == {"https://mine.example"}
    assert state(device)["package"][0]["remote"] == "https://mine.example"


def test_a_look_changes_nothing(device: Device) -> None:
    """It tells what an update would do."""
    before = sorted(device.settings.file.parent.rglob("*"))

    (prospect,) = poll.look(device)

    assert prospect.plan is not None
    (step,) = prospect.plan.steps
    assert (str(step), step.path) == ("app 2.0", place(device))
    assert sorted(device.settings.file.parent.rglob("*")) == before
    assert place(device).read_bytes() == OLD.data
