"""Plans to prepare, switch and undo: each thing that may lie at a place, for each kind of plan.

    scene = installs.lay(folder, installs.CASES["a file that is there"])
    before = scene.look()
    prepare.prepare(scene.plan, ...)

A scene has one package, or in `MANY` several, in a folder that is allowed, and a work folder with what was installed
before. Nothing of otadevice's own is used to make it, but for the layout of the work folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from devclient.clean import after_nothing
from devclient.install import prepare, switch
from devclient.install.parents import Parents
from devclient.install.sets import Sets
from devclient.plan import Found, Kind, Plan, Release, Step
from devclient.records.plans import Plans
from mirror.archive.archive import Limits
from mirror.files import Calls, Files
from tests.support import archives, devices

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.faults import Call

OLD, NEW, EARLIER = b"the old bytes" * 100, b"the new bytes" * 120, b"bytes of before the last update"
ATTEMPT = 9
FOLDER = archives.pack(
    [archives.Entry("bin/run", NEW, mode=0o755), archives.Entry("link", kind=archives.SYMLINK, leads_to="bin/run")]
)


@dataclass(frozen=True)
class Case:
    """One package, and what is to become of it.

    Attributes:
        after: whether there is to be a release in the end.
        previous: whether there is a file from before the last update.
        same: whether the new bytes are in place already.
    """

    kind: Kind
    found: Found
    is_folder: bool = False
    after: bool = True
    previous: bool = False
    same: bool = False


CASES = {
    "a first file": Case(Kind.UPDATE, Found.NOTHING),
    "a file that is there": Case(Kind.UPDATE, Found.FILE),
    "a file that is there for the second time": Case(Kind.UPDATE, Found.FILE, previous=True),
    "a file that is right": Case(Kind.UPDATE, Found.FILE, same=True),
    "a first folder": Case(Kind.UPDATE, Found.NOTHING, is_folder=True),
    "a folder that is there": Case(Kind.UPDATE, Found.LINK, is_folder=True),
    "an adopted folder": Case(Kind.UPDATE, Found.FOLDER, is_folder=True),
    "a file back": Case(Kind.ROLLBACK, Found.FILE, previous=True),
    "a file back to where none is": Case(Kind.ROLLBACK, Found.NOTHING, previous=True),
    "its owner's file back": Case(Kind.ROLLBACK, Found.FILE, after=False, previous=True),
    "a first file undone": Case(Kind.ROLLBACK, Found.FILE, after=False),
    "a folder back": Case(Kind.ROLLBACK, Found.LINK, is_folder=True),
    "a folder back to where none is": Case(Kind.ROLLBACK, Found.NOTHING, is_folder=True),
    "a first folder undone": Case(Kind.ROLLBACK, Found.LINK, is_folder=True, after=False),
    "a file removed": Case(Kind.REMOVE, Found.FILE, after=False, previous=True),
    "a file removed that is gone": Case(Kind.REMOVE, Found.NOTHING, after=False),
    "a folder removed": Case(Kind.REMOVE, Found.LINK, is_folder=True, after=False),
    "a folder removed that is gone": Case(Kind.REMOVE, Found.NOTHING, is_folder=True, after=False),
}
MANY = ("a file that is there", "a first file", "a folder that is there", "an adopted folder", "a file that is right")
"""Cases that make one update together."""
each_plan = pytest.mark.parametrize("names", [*((name,) for name in CASES), MANY], ids=", ".join)
"""Gives a test the names of each case alone, and of those together."""


@dataclass(frozen=True)
class Scene:
    """A device's places and its work folder.

    Attributes:
        cases: what becomes of each package, in the plan's order.
    """

    folder: Path
    cases: tuple[Case, ...]
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        steps = tuple(self._step(number, case) for number, case in enumerate(self.cases))
        folders = any(case.is_folder for case in self.cases)
        object.__setattr__(
            self, "plan", Plan(self.cases[0].kind, ATTEMPT, steps, "2", str(ATTEMPT) if folders else "2")
        )

    @property
    def opt(self) -> Path:
        """Where packages are."""
        return self.folder / "opt"

    @property
    def work(self) -> Path:
        """The work folder."""
        return self.folder / "otadevice-work"

    @property
    def parts(self) -> Path:
        """Where blobs are."""
        return self.work / "parts"

    def sets(self, calls: Calls | None = None) -> Sets:
        """Open the sets."""
        return Sets(self.work, Files(calls))

    def parents(self, calls: Calls | None = None) -> Parents:
        """Open the folders of the places, as whoever finds them after a cut."""
        return Parents(Plans(self.work, Files()).places(self.plan), Files(calls))

    def prepare(self, calls: Calls | None = None) -> None:
        """Lay everything out."""
        with Parents({}, Files(calls)) as parents:
            source = prepare.Source(self.parts, Limits())
            prepare.prepare(self.plan, parents, source, self.sets(calls), Plans(self.work, Files(calls)))

    def switch(self, calls: Calls | None = None) -> None:
        """Go to the new."""
        with self.parents(calls) as parents:
            switch.switch(self.plan, parents, self.sets(calls))

    def switch_back(self, calls: Calls | None = None) -> None:
        """Go back to the old."""
        with self.parents(calls) as parents:
            switch.switch_back(self.plan, parents, self.sets(calls))
        assert not parents.lost

    def settle(self, calls: Calls | None = None) -> None:
        """Keep what was replaced."""
        with self.parents(calls) as parents:
            switch.settle(self.plan, parents)
        assert not parents.lost

    def clean(self, calls: Calls | None = None) -> None:
        """Remove what was laid out for nothing."""
        with self.parents(calls) as parents:
            after_nothing(self.plan, devices.device(self.folder, self.folder, Files(calls)), parents)
        assert not parents.lost

    def look(self) -> dict[str, object]:
        """See all that anybody could: names, kinds, modes, bytes, and which file it is; not the blobs."""
        return {
            os.fspath(path.relative_to(self.folder)): _look_at(path)
            for path in sorted(self.folder.rglob("*"))
            if self.parts not in path.parents and path.name not in {"places.json", ".places.json.tmp"}
        }

    def check_new(self) -> None:
        """Check that what is to be in place is."""
        for step, case in zip(self.plan.steps, self.cases, strict=True):
            _check(step.path, case)

    def _step(self, number: int, case: Case) -> Step:
        package = f"p{number}"
        blob = FOLDER if case.is_folder else OLD if case.same else NEW
        after = Release("2", "a2" * 32, hashlib.sha256(blob).hexdigest(), len(blob)) if case.after else None
        local = f"{self.folder}/opt/{package}"
        unpacked = f"{ATTEMPT if case.kind is Kind.UPDATE else 1}-{package}" if case.is_folder and case.after else ""
        return Step(
            package,
            "stable",
            "",
            f"{local}/" if case.is_folder else local,
            local,
            None if case.found is Found.NOTHING else Release("1", "a1" * 32),
            after,
            case.found,
            folder=unpacked,
        )


def lay(folder: Path, *names: str) -> Scene:
    """Lay out the scene of the `CASES` with these names in `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    scene = Scene(folder, tuple(CASES[name] for name in names))
    for place in (scene.opt, scene.parts, scene.work / "folders", scene.work / "sets" / "1", scene.work / "sets" / "2"):
        place.mkdir(parents=True)
    (scene.work / "current").symlink_to("sets/2")
    # the update before went from set 1 to set 2, and may still be undone
    (scene.work / "last.json").write_bytes(replace(scene.plan, attempt=2, steps=(), before="1", after="2").encode())
    for step, case in zip(scene.plan.steps, scene.cases, strict=True):
        _lay(scene, step, case)
    return scene


def _lay(scene: Scene, step: Step, case: Case) -> None:
    _lay_at_its_place(scene, step, case)
    if case.previous:
        place = step.path.with_name(f".{step.path.name}.previous")
        place.write_bytes(EARLIER)
        place.chmod(0o710)
    if case.kind is Kind.UPDATE and not case.same and step.after:
        (scene.parts / step.after.sha256).write_bytes(FOLDER if case.is_folder else NEW)
    if case.is_folder:
        for number, data in ((1, EARLIER), (2, OLD)):
            unpacked = scene.work / "folders" / f"{number}-{step.package}"
            unpacked.mkdir()
            (unpacked / "run").write_bytes(data)
            (scene.work / "sets" / str(number) / step.package).symlink_to(f"../../folders/{unpacked.name}")


def _lay_at_its_place(scene: Scene, step: Step, case: Case) -> None:
    if case.found is Found.FILE:
        step.path.write_bytes(OLD)
        step.path.chmod(0o640)
    elif case.found is Found.LINK:
        step.path.symlink_to(scene.sets().link(step.package))
    elif case.found is Found.FOLDER:
        step.path.mkdir(0o750)
        (step.path / "theirs").write_bytes(OLD)
        (step.path / "sub").mkdir()


def _check(place: Path, case: Case) -> None:
    if not case.is_folder:
        wanted = EARLIER if case.previous and case.kind is Kind.ROLLBACK else OLD if case.same else NEW
        there = case.after or wanted == EARLIER
        assert (place.read_bytes() if there else os.path.lexists(place)) == (wanted if there else False)
    elif not case.after:
        assert not os.path.lexists(place)
    elif case.kind is Kind.ROLLBACK:
        assert (place / "run").read_bytes() == EARLIER
    else:
        assert ((place / "link").read_bytes(), (place / "bin" / "run").stat().st_mode & 0o777) == (NEW, 0o755)


def _look_at(path: Path) -> object:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return os.fspath(path.readlink())
    if stat.S_ISREG(found.st_mode):
        return (found.st_ino, found.st_mode, found.st_uid, found.st_mtime_ns, path.read_bytes())
    return (found.st_mode, found.st_uid)


def unsynced(calls: Iterable[Call]) -> set[Path]:
    """Tell in which folders names were changed that nothing has made durable by the end."""
    open_: set[Path] = set()
    for name, paths, _ in calls:
        if name in {"rename", "link", "flink", "symlink", "unlink", "mkdir", "rmdir"}:
            open_ |= {path.parent for path in paths[-1:]}
        elif name == "open" and not paths[0].is_dir():  # a file without a name is opened by its folder
            open_ |= {paths[0].parent}
        elif name == "fsync":
            open_ -= set(paths)
        elif name == "syncfs":
            open_.clear()
    return {folder for folder in open_ if folder.is_dir()}  # a folder that was removed needs no names
