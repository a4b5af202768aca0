"""What is laid out before anything is switched: all of it, verified, durable, and beside what is there."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from devclient.errors import ArchiveError, BrokenPromiseError, PlaceError
from devclient.install import place, prepare
from mirror.files import Calls, Files
from tests.support import installs, tools
from tests.support.faults import (  # fmt: skip
    BROKEN_ONCE,
    FULL_ONCE,
    KILL_BEFORE,
    KILL_HALFWAY,
    CountingCalls,
    Fault,
    FaultyCalls,
    Killed,
    points,
    spread,
)
from tests.support.installs import CASES, MANY, NEW, OLD, Scene, each_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.faults import Mode

OWN_NAMES = (".ota-new", ".ota-old")


class NoLinks(Calls):
    """A file system on which a file has one name."""

    def __init__(self, error: int) -> None:
        self.error = error

    def link(self, source: Path, target: Path, *, at: int | None = None, to: int | None = None) -> None:  # noqa: ARG002 - it is refused
        """Refuse it."""
        raise OSError(self.error, os.strerror(self.error))


def _in_use(scene: Scene) -> dict[str, object]:
    """See what programs see: neither what is ours alone, nor sets and folders that nothing leads to yet."""
    return {
        path: seen
        for path, seen in scene.look().items()
        if not path.endswith(OWN_NAMES) and not path.startswith(("otadevice-work/sets", "otadevice-work/folders"))
    }


@each_plan
def test_what_is_in_use_is_not_touched(tmp_path: Path, names: tuple[str, ...]) -> None:
    """All that is there under a name of its own is the same file as before, at every call and afterwards."""
    scene = installs.lay(tmp_path / "device", *names)
    before, links = _in_use(scene), {"otadevice-work/current.new", "otadevice-work/current.old"}

    scene.prepare()

    assert {path: seen for path, seen in _in_use(scene).items() if path not in links} == before


@each_plan
@pytest.mark.parametrize("mode", [KILL_BEFORE, KILL_HALFWAY, FULL_ONCE, BROKEN_ONCE], ids=lambda mode: mode.name)
def test_what_was_cut_off_is_removed_and_tried_again(tmp_path: Path, names: tuple[str, ...], mode: Mode) -> None:
    """Killed or failed at any call: cleaning brings back the tree from before, and the next try works."""
    scene = installs.lay(tmp_path / "device", *names)
    total = points(scene.prepare)

    for point in spread(total, 10, seed=len(names)):
        scene = installs.lay(tmp_path / "device", *names)
        before = scene.look()
        try:
            scene.prepare(FaultyCalls(Fault(point, mode)))  # a column of the table
        except (Killed, OSError):
            scene.clean()
            assert scene.look() == before
        scene.prepare()
        scene.switch()
        scene.check_new()


@each_plan
def test_what_is_laid_out_is_durable(tmp_path: Path, names: tuple[str, ...]) -> None:
    """On return every folder in which names changed was synced since; so was every file, before it got its name."""
    scene, calls = installs.lay(tmp_path / "device", *names), CountingCalls()

    scene.prepare(calls)

    assert installs.unsynced(calls.calls) == set()
    written = {path for call in calls.calls if call.name == "write" for path in call.paths}
    synced = {path for call in calls.calls if call.name == "fsync" for path in call.paths}
    whole = max((number for number, call in enumerate(calls.calls) if call.name == "syncfs"), default=-1)
    assert all(path in synced or whole >= 0 for path in written)


def test_a_new_file_looks_like_the_old_one(tmp_path: Path) -> None:
    """Its bytes are new, its mode is that of the file that it replaces; a first one is a program."""
    scene = installs.lay(tmp_path / "device", "a file that is there", "a first file")

    scene.prepare()

    there, first = (place.new(step.path) for step in scene.plan.steps)
    assert (there.read_bytes(), there.stat().st_mode & 0o777) == (NEW, 0o640)
    assert (first.read_bytes(), first.stat().st_mode & 0o777) == (NEW, 0o755)


def test_the_old_file_gets_a_second_name(tmp_path: Path) -> None:
    """It is the very same file that comes back."""
    scene = installs.lay(tmp_path / "device", "a file that is there")
    (step,) = scene.plan.steps

    scene.prepare()

    assert place.old(step.path).stat().st_ino == step.path.stat().st_ino


def test_what_is_right_already_is_not_copied(tmp_path: Path) -> None:
    """It stays the same file, also once it is switched; no byte is written."""
    scene, calls = installs.lay(tmp_path / "device", "a file that is right"), CountingCalls()
    (step,) = scene.plan.steps
    there = step.path.stat().st_ino

    scene.prepare(calls)
    scene.switch()

    assert step.path.stat().st_ino == there
    assert not [call for call in calls.calls if call.name == "write" and scene.opt in call.paths[0].parents]
    assert prepare.holds(step.path, step.after.sha256, step.after.size, Files()) if step.after else False


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
@pytest.mark.parametrize(
    "name",
    [name for name, case in CASES.items() if not case.is_folder and case.found == "file"],
)
def test_where_files_have_one_name_they_are_copied(tmp_path: Path, name: str, error: int) -> None:
    """Some file systems know no second names: the bytes and the mode come back all the same."""
    scene = installs.lay(tmp_path / "device", name)
    (step,) = scene.plan.steps
    mode = step.path.stat().st_mode

    scene.prepare(NoLinks(error))
    scene.switch()
    scene.check_new()
    scene.switch_back()

    assert (step.path.read_bytes(), step.path.stat().st_mode) == (OLD, mode)
    scene.clean()
    if CASES[name].kind == "update" and not CASES[name].same:
        (scene.parts / hashlib.sha256(NEW).hexdigest()).write_bytes(NEW)  # it is downloaded again
    scene.prepare(NoLinks(error))
    scene.switch()
    scene.settle()
    scene.check_new()


def test_bytes_that_are_no_longer_those_verified_are_refused(tmp_path: Path) -> None:
    """They are hashed while they are copied, as to where others may write; nothing was changed."""
    scene = installs.lay(tmp_path / "device", "a file that is there")
    scene.opt.chmod(0o777)
    before = scene.look()
    (blob,) = scene.parts.iterdir()
    blob.write_bytes(NEW[:-1] + b"!")

    with pytest.raises(BrokenPromiseError, match="no longer has the SHA-256"):
        scene.prepare()

    scene.clean()
    assert scene.look() == before


def test_a_file_that_was_right_and_is_not_any_more_is_refused(tmp_path: Path) -> None:
    """What was not downloaded because it was in place must still be there."""
    scene = installs.lay(tmp_path / "device", "a file that is right")
    (step,) = scene.plan.steps
    step.path.write_bytes(b"edited meanwhile")

    with pytest.raises(PlaceError, match="during the update"):
        scene.prepare()

    scene.clean()
    assert step.path.read_bytes() == b"edited meanwhile"


def test_an_archive_that_cannot_be_unpacked_is_refused(tmp_path: Path) -> None:
    """And what was unpacked of it goes."""
    scene = installs.lay(tmp_path / "device", "a folder that is there")
    before = scene.look()
    (blob,) = scene.parts.iterdir()
    blob.write_bytes(blob.read_bytes()[:700])

    with pytest.raises((ArchiveError, BrokenPromiseError)):
        scene.prepare()

    scene.clean()
    assert scene.look() == before


def _a_file(path: Path) -> None:
    path.write_bytes(b"mine")


def _a_folder(path: Path) -> None:
    path.mkdir()


def _a_link(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("put", [_a_file, _a_folder, _a_link])
@pytest.mark.parametrize("name", ["a first file", "a first folder", "a file removed that is gone"])
def test_what_came_to_lie_there_meanwhile_is_not_touched(
    tmp_path: Path, name: str, put: Callable[[Path], None]
) -> None:
    """The update is given up, and whatever it is stays as it is."""
    scene = installs.lay(tmp_path / "device", name)
    (step,) = scene.plan.steps
    put(step.path)  # a column of the table
    before = scene.look()

    with pytest.raises(PlaceError):
        scene.prepare()

    scene.clean()
    assert scene.look() == before


@pytest.mark.parametrize("name", ["a file that is there", "a folder that is there", "an adopted folder"])
def test_what_went_away_meanwhile_is_noticed(tmp_path: Path, name: str) -> None:
    """The update is given up rather than carried out on something else."""
    scene = installs.lay(tmp_path / "device", name)
    (step,) = scene.plan.steps
    step.path.rename(step.path.with_name("moved"))
    before = scene.look()

    with pytest.raises((PlaceError, FileNotFoundError)):
        scene.prepare()

    scene.clean()
    assert scene.look() == before


@pytest.mark.parametrize("name", ["a file that is there", "an adopted folder", "a folder removed"])
@pytest.mark.parametrize("end", OWN_NAMES)
def test_a_folder_under_a_name_of_ours_stops_the_update_and_nothing_else(tmp_path: Path, name: str, end: str) -> None:
    """Whoever made it: it is not removed, and the device can still be cleaned."""
    scene = installs.lay(tmp_path / "device", name)
    (step,) = scene.plan.steps
    strange = step.path.with_name(f".{step.path.name}{end}")
    (strange / "sub").mkdir(parents=True)
    before = scene.look()

    with pytest.raises(PlaceError, match=f"{strange} is in the way"):
        scene.prepare()

    scene.clean()
    assert scene.look() == before


def test_a_file_left_under_a_name_of_ours_does_no_harm(tmp_path: Path) -> None:
    """What an earlier update may have left is written over."""
    for name in CASES:
        scene = installs.lay(tmp_path / "device", name)
        before = scene.look()
        (step,) = scene.plan.steps
        for end in OWN_NAMES:
            step.path.with_name(f".{step.path.name}{end}").write_bytes(b"left")

        scene.prepare()
        scene.switch()
        scene.check_new()
        scene.switch_back()
        scene.clean()

        assert scene.look() == before, name


def test_the_folder_of_a_place_is_made(tmp_path: Path) -> None:
    """With its parents, durably."""
    scene, calls = installs.lay(tmp_path / "device", "a first file"), CountingCalls()
    scene.opt.rmdir()

    scene.prepare(calls)

    assert installs.unsynced(calls.calls) == set()
    scene.switch()
    scene.check_new()


def test_discarding_again_has_no_effect(tmp_path: Path) -> None:
    """Also where nothing was ever laid out."""
    scene = installs.lay(tmp_path / "device", *MANY)
    before = scene.look()

    for _ in range(2):
        with scene.parents() as parents:
            prepare.discard(scene.plan, parents, scene.parts, Files())

    assert scene.look() == before


def test_a_blob_becomes_the_file_without_being_read(tmp_path: Path) -> None:
    """Where nobody else may write: the very file that was downloaded, with the looks of the one that it replaces."""
    scene, calls = installs.lay(tmp_path / "device", "a file that is there"), CountingCalls()
    (step,), (blob,) = scene.plan.steps, scene.parts.iterdir()
    inode = blob.stat().st_ino

    scene.prepare(calls)

    new = place.new(step.path)
    assert (new.stat().st_ino, new.stat().st_mode & 0o777) == (inode, 0o640)
    assert not [call for call in calls.calls if call.name == "write" and scene.opt in call.paths[0].parents]


@pytest.mark.parametrize("names", [("a first file", "a file that is there"), ("a file that is there", "a first file")])
def test_of_several_uses_of_a_blob_the_last_one_takes_it(tmp_path: Path, names: tuple[str, str]) -> None:
    """The others are copies."""
    scene = installs.lay(tmp_path / "device", *names)
    (blob,) = scene.parts.iterdir()
    inode = blob.stat().st_ino

    scene.prepare()

    found = [place.new(step.path).stat().st_ino == inode for step in scene.plan.steps]
    assert (found, list(scene.parts.iterdir())) == ([False, True], [])
    scene.switch()
    scene.check_new()


@pytest.mark.parametrize("name", ["a first file", "a file that is there"])
@pytest.mark.parametrize("how_far", ["laid out", "switched"])
def test_what_is_undone_gives_the_blob_back(tmp_path: Path, name: str, how_far: str) -> None:
    """For the next try, which need not download it again; only otadevice can read it."""
    scene = installs.lay(tmp_path / "device", name)
    before = scene.look()
    (blob,) = scene.parts.iterdir()
    scene.prepare()
    if how_far == "switched":
        scene.switch()
        scene.switch_back()

    scene.clean()

    assert scene.look() == before
    assert (blob.read_bytes(), blob.stat().st_mode & 0o777) == (NEW, 0o600)


def test_a_blob_on_another_file_system_is_copied(tmp_path: Path) -> None:
    """The rename itself tells."""

    class Elsewhere(Calls):
        def rename(self, source: Path, target: Path, *, at: int | None = None, to: int | None = None) -> None:
            if source.name == hashlib.sha256(NEW).hexdigest():
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            super().rename(source, target, at=at, to=to)

    scene = installs.lay(tmp_path / "device", "a file that is there")
    (blob,) = scene.parts.iterdir()

    scene.prepare(Elsewhere())

    (step,) = scene.plan.steps
    assert place.new(step.path).read_bytes() == blob.read_bytes() == NEW


@pytest.mark.root
def test_a_first_file_gets_the_label_of_its_folder(tmp_path: Path) -> None:
    """One that a blob has from the work folder would keep the program from being run, so it is copied."""
    tools.require_root()
    scene = installs.lay(tmp_path / "device", "a first file")
    (step,), (blob,) = scene.plan.steps, scene.parts.iterdir()
    try:
        os.setxattr(blob, "security.selinux", b"system_u:object_r:var_lib_t:s0")
    except OSError as error:
        tools.missing(f"labels cannot be set here: {error}")

    scene.prepare()

    assert "security.selinux" not in os.listxattr(place.new(step.path))
    assert blob.exists()
