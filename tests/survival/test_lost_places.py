"""After a cut, the folder of a package, or what was laid out in it, is something else: it is left alone, and told."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devclient import poll, update
from devclient.hooks import Ending
from devclient.states import State
from mirror.files import Files
from tests.support import devices, trees
from tests.support.faults import Killed
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devclient.device import Device
    from devclient.hooks import Hook

OLD, NEW = b"the old bytes", b"the new bytes"


class Dying:
    """Runs no hook: the device is cut off at the first that has these variables."""

    def __init__(self, result: str) -> None:
        self._result = result

    def run(self, hook: Hook, _record: object) -> Ending:
        """Die, or have the hook succeed."""
        if hook.variables["OTA_RESULT"] == self._result:
            raise Killed
        return Ending(0, timed_out=False, output="")


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device with two packages in folders of their own, which change together."""
    made = devices.device(tmp_path, tmp_path / "mirror", Files())
    entries = []
    for package, other in (("app", "lib"), ("lib", "")):
        place = tmp_path / "opt" / package / package
        place.parent.mkdir(parents=True)
        needs = {other: "==2.0"} if other else {}
        hooks = {"before_update": "true", "after_update": "true", "dependencies": needs}
        trees.write(
            tmp_path / "mirror",
            Release("1.0", OLD),
            Release("2.0", NEW, content=hooks, entry={"dependencies": needs}),
            package=package,
        )
        place.write_bytes(OLD)
        entries.append({"package": package, "branch": "stable", "version": "1.0", "local": str(place)})
    devices.write_state(made.settings.state, *entries)
    return made


def cut(device: Device, result: str) -> None:
    """Cut the device off at the first hook that is told this result."""
    with pytest.raises(Killed):
        poll.run(replace(device, runner=Dying(result)))


def place(tmp_path: Path, package: str) -> Path:
    """Tell where a package is."""
    return tmp_path / "opt" / package / package


def exchange_folder(tmp_path: Path) -> None:
    """Put another folder, with files of the same names, in the place of that of lib."""
    folder = place(tmp_path, "lib").parent
    folder.rename(folder.with_name("away"))
    folder.mkdir()
    for name in ("lib", ".lib.ota-old", ".lib.ota-new"):
        (folder / name).write_bytes(b"theirs")


def exchange_for_link(tmp_path: Path) -> None:
    """Put a link to another folder in its place."""
    exchange_folder(tmp_path)
    folder = place(tmp_path, "lib").parent
    folder.rename(folder.with_name("other"))
    folder.symlink_to("other")


def exchange_file(tmp_path: Path) -> None:
    """Put another file in the place of what is to come back."""
    old = place(tmp_path, "lib").with_name(".lib.ota-old")
    old.unlink()
    old.write_bytes(b"theirs")


def remove_file(tmp_path: Path) -> None:
    """Remove what is to come back."""
    place(tmp_path, "lib").with_name(".lib.ota-old").unlink()


def give_away(tmp_path: Path) -> None:
    """Give the folder another mode than it had."""
    place(tmp_path, "lib").parent.chmod(0o777)


def seen(folder: Path) -> dict[str, tuple[int, bytes]]:
    """See which files there are, and their bytes."""
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "exchange", [exchange_folder, exchange_for_link, exchange_file, remove_file, give_away], ids=lambda do: do.__name__
)
def test_what_was_exchanged_is_left_alone_and_the_others_come_back(
    device: Device, tmp_path: Path, exchange: Callable[[Path], None]
) -> None:
    """Nothing is touched there; the package is told as lost, and the other one is what it was."""
    cut(device, "updated")
    assert update.open_journal(device).record.state is State.INSTALLED
    exchange(tmp_path)
    before = seen(place(tmp_path, "lib").parent.resolve())

    results = poll.recover(device)

    assert seen(place(tmp_path, "lib").parent.resolve()) == before
    assert place(tmp_path, "app").read_bytes() == OLD
    assert (results["lib"].outcome, results["lib"].code, results["lib"].exit_code) == ("lost", "lost", 1)
    assert str(place(tmp_path, "lib").parent) in results["lib"].message
    assert results["app"].outcome == "rolled back"
    assert update.open_journal(device).record.state is State.IDLE
    kept = json.loads((device.work / "results.json").read_bytes())
    assert {each["package"]: each["outcome"] for each in kept["last"]}["lib"] == "lost"


def test_what_was_copied_to_another_disk_is_still_known(device: Device, tmp_path: Path) -> None:
    """A file with the same bytes is what was laid out, whatever number it has."""
    cut(device, "updated")
    old = place(tmp_path, "lib").with_name(".lib.ota-old")
    old.rename(old.with_name("copied"))
    old.write_bytes(OLD)

    results = poll.recover(device)

    assert {result.outcome for result in results.values()} == {"rolled back"}
    assert place(tmp_path, "lib").read_bytes() == OLD


@pytest.mark.parametrize("result", ["", "updated"])
def test_a_plan_of_the_release_before_is_finished(device: Device, tmp_path: Path, result: str) -> None:
    """It recorded nothing of places, and they are worked in all the same, following no link."""
    cut(device, result)
    (device.work / "places.json").unlink()

    poll.recover(device)

    assert [place(tmp_path, package).read_bytes() for package in ("app", "lib")] == [OLD, OLD]
    assert sorted(os.listdir(place(tmp_path, "lib").parent)) == ["lib"]  # noqa: PTH208 - names


def test_a_new_file_that_was_exchanged_takes_no_place(device: Device, tmp_path: Path) -> None:
    """Between laying out and switching, as by a hook: the update is rolled back."""
    new = place(tmp_path, "lib").with_name(".lib.ota-new")

    class Exchanging(Dying):
        def run(self, hook: Hook, _record: object) -> Ending:
            if new.exists() and new.read_bytes() == NEW:
                new.unlink()
                new.write_bytes(b"theirs")
            return super().run(hook, _record)

    results = {each.package: each for each in poll.run(replace(device, runner=Exchanging("never")))}

    assert (results["app"].outcome, results["app"].code) == ("rolled back", "lost")
    assert [place(tmp_path, package).read_bytes() for package in ("app", "lib")] == [OLD, OLD]
