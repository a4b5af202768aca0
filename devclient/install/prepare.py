"""Everything new beside everything old, durably: what is done in DOWNLOADED.

Afterwards switching is renames alone. What is there under its own name is not touched; a cut leaves files that
`discard` removes. A file that is replaced gets a second name, so undoing brings back the very same file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devclient import unpack, work_folder
from devclient.errors import BrokenPromiseError, PlaceError
from devclient.install import attributes, folder_copy, moved, place, trial
from devclient.plan import Found, Kind
from mirror import blobs, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devclient.install.attributes import Attributes
    from devclient.install.parents import Parents
    from devclient.install.sets import Sets
    from devclient.plan import Plan, Release, Step
    from devclient.records.plans import Plans
    from mirror.archive.archive import Limits
    from mirror.files import Files
    from mirror.folders import Folder

_log = logging.getLogger(__name__)

# what file systems say that have no second names for a file, or no more of them
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


def prepare(plan: Plan, parents: Parents, source: Source, sets: Sets, plans: Plans) -> None:
    """Lay out all that `plan` brings, and have `plans` note what belongs to its places: first their folders, then all.

    Raises:
        ArchiveError: a folder's package cannot be unpacked.
        BrokenPromiseError: a blob's bytes are no longer those that were verified.
        PlaceError: something else came to lie at a place since the plan was made.
    """
    files = plans.files
    for step in plan.steps:
        parents.make(step)
    plans.note(plan, parents.recorded)
    for step in plan.steps:
        folder = parents.of(step)
        _make_way(step, folder)
        _lay_out(plan, step, folder, source, sets, files)
        _try_renames(step, folder, files)
        _keep(step, folder, sets, files)
        folder.sync()
    if plan.before != plan.after:
        _make_set(plan, sets, files)
    for step in plan.steps:
        _see_that_nothing_changed(step, parents.of(step), sets)
        parents.record(step, step.after.sha256 if step.after and plan.kind is Kind.UPDATE else "")
    plans.note(plan, parents.recorded)


@dataclass(frozen=True)
class Source:
    """Where what is laid out comes from.

    Attributes:
        parts: the folder of the verified blobs.
        limits: what an archive may unpack to.
    """

    parts: Path
    limits: Limits


def unpacked(plan: Plan, parts: Path, limits: Limits, go_on: Callable[[], None]) -> list[int]:
    """Tell for each folder that `prepare` will unpack how many bytes it will take; see `unpack.measure`."""
    new = [(step, step.after) for step in plan.steps if plan.kind is Kind.UPDATE and step.is_folder and step.after]
    return [unpack.measure(parts / after.sha256, str(step), limits, go_on).on_disk for step, after in new]


def holds(target: Path, sha256: str, size: int, files: Files, progress: Callable[[int], None] = lambda _: None) -> bool:
    """Tell whether these bytes are installed at `target` already; see `blobs.hashed`."""
    try:
        with files.open_folder(target.parent) as folder:
            return _has(folder, target.name, sha256, size, progress)
    except (FileNotFoundError, NotADirectoryError):
        return False


def discard(plan: Plan, parents: Parents, parts: Path, files: Files) -> None:
    """Remove what was laid out beside the places of `plan`; a blob that was moved there goes back to `parts`."""
    for step in plan.steps:
        if not (step.package in parents.recorded or step.path.parent.exists()):
            continue  # cut off before its folder was made
        with parents.sparing(step):
            folder = parents.of(step)
            for name in _ours(step):
                if not place.is_folder(folder, name):  # what `prepare` refused to take for its own
                    parents.check(step, name)
                    moved.take_back(plan, step, folder, name, parts, files)
                    _remove(folder, name)
            _discard_own(step, folder)


def _lay_out(plan: Plan, step: Step, folder: Folder, source: Source, sets: Sets, files: Files) -> None:
    if step.is_folder and step.after:
        sets.check_links(step.local)
        trial.links(step, folder)
    if plan.kind is Kind.ROLLBACK:
        _lay_out_previous(step, folder, sets, files)
    elif step.is_folder and step.after:
        _unpack(step, step.after, source, sets, files)
        _lay_out_link(step, folder, sets)
    elif step.after:
        _lay_out_file(step, step.after, folder, source, files, last=step is _last_use(plan, step.after))


def _unpack(step: Step, after: Release, source: Source, sets: Sets, files: Files) -> None:
    folder = sets.folder(step.folder)
    files.remove_tree(folder)
    files.make_folder(folder.parent, work_folder.OPEN)
    unpack.unpack(source.parts / after.sha256, folder, str(step), after.sha256, source.limits, files)
    _log.info("%s is ready to go to %s", step, step.local)


def _last_use(plan: Plan, after: Release) -> Step | None:
    """Return the last step that needs the same blob: those before it are to leave it where it is."""
    return next((step for step in reversed(plan.steps) if step.after and step.after.sha256 == after.sha256), None)


def _lay_out_file(step: Step, after: Release, folder: Folder, source: Source, files: Files, *, last: bool) -> None:
    blob, (new, _) = source.parts / after.sha256, _ours(step)
    looks = attributes.of(folder, step.path.name)
    if last and blob.exists() and moved.move(blob, folder, new, looks, files):
        pass  # without reading it once more
    elif blob.exists():
        with blob.open("rb", buffering=0) as reader:
            _copy(reader.fileno(), folder, new, looks, files, expected=after.sha256)
    elif _has(folder, step.path.name, after.sha256, after.size):
        _give_name(folder, step.path.name, new, files)  # nothing was downloaded because it is there
    else:
        raise PlaceError(step.local, "was changed during the update, which was given up; update again")
    _log.info("%s is ready to go to %s", step, step.local)


def _lay_out_previous(step: Step, folder: Folder, sets: Sets, files: Files) -> None:
    previous = folder.look(place.previous(step.path).name)
    if step.is_folder and step.after:
        _lay_out_link(step, folder, sets)
    elif previous and stat.S_ISREG(previous.st_mode):
        _give_name(folder, place.previous(step.path).name, place.new(step.path).name, files)


def _lay_out_link(step: Step, folder: Folder, sets: Sets) -> None:
    if step.found is not Found.LINK:
        folder.symlink(sets.link(step.package), place.new(step.path).name)


def _keep(step: Step, folder: Folder, sets: Sets, files: Files) -> None:
    """Give what is at the place the name under which undoing finds it."""
    old = place.old(step.path).name
    if step.found is Found.FILE:
        _give_name(folder, step.path.name, old, files)
    elif step.found is Found.LINK and step.after is None:
        folder.symlink(sets.link(step.package), old)


def _make_set(plan: Plan, sets: Sets, files: Files) -> None:
    folders = sets.content(plan.before)
    for step in plan.steps:
        folders.pop(step.package, None)
        if step.is_folder and step.after:
            folders[step.package] = step.folder
    sets.make(plan.after, folders)
    # one call for however many files were unpacked
    files.sync_all(sets.folder("").parent)


def _see_that_nothing_changed(step: Step, folder: Folder, sets: Sets) -> None:
    link = sets.link(step.package)
    adopt = step.found is Found.FOLDER
    if place.found_in(folder, step.local, step.path, link, adopt=adopt) is not step.found:
        raise PlaceError(step.local, "something else came to lie there during the update; nothing was changed")


def _try_renames(step: Step, folder: Folder, files: Files) -> None:
    """See that switching can rename; a folder of its owner's that cannot be is copied."""
    name = place.new(step.path).name if step.found in {Found.NOTHING, Found.LINK} else step.path.name
    if folder.look(name) is None or trial.can_be_renamed(step, name, folder):
        return
    with folder.child(name) as original, folder.make(place.copy(step.path).name, 0o700) as made:
        folder_copy.copy(step.local, original, made, files)
    folder.sync_all()


def _discard_own(step: Step, folder: Folder) -> None:
    """Remove what has names that nobody but us gives to a folder."""
    trial.clear(step, folder)
    trees.remove(folder, place.copy(step.path).name)


def _remove(folder: Folder, name: str) -> None:
    if folder.look(name):  # a file system that is mounted read-only refuses to remove even what is not there
        folder.remove(name)


def _ours(step: Step) -> tuple[str, str]:
    return place.new(step.path).name, place.old(step.path).name


def _make_way(step: Step, folder: Folder) -> None:
    """Remove what lies under the names that are ours, or switching would take it for what was laid out."""
    # one folder of its owner's can be kept, the one that was adopted first
    kept = (place.previous(step.path).name,) if step.found is Found.FOLDER else ()
    for name in (*_ours(step), *kept):
        if place.is_folder(folder, name):
            raise PlaceError(step.local, f"{folder.path / name} is in the way: move it away")
    for name in _ours(step):
        _remove(folder, name)
    _discard_own(step, folder)


def _has(folder: Folder, name: str, sha256: str, size: int, progress: Callable[[int], None] = lambda _: None) -> bool:
    """Tell whether an ordinary file in a folder has these bytes."""
    facts = folder.look(name)
    if facts is None or not stat.S_ISREG(facts.st_mode) or facts.st_size != size:
        return False
    with folder.read(name) as descriptor:
        return blobs.hashed(descriptor, progress)[0] == sha256


def _give_name(folder: Folder, name: str, second: str, files: Files) -> None:
    """Give a file a second name; where a file system has none, the name is that of a copy."""
    try:
        folder.link(name, folder, second)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with folder.read(name) as descriptor:
            _copy(descriptor, folder, second, attributes.of(folder, name), files)


def _copy(source: int, folder: Folder, name: str, looks: Attributes, files: Files, expected: str = "") -> None:
    """Copy an open file durably, hashing it on the way if a hash is `expected` of it; its attributes come last."""
    digest = hashlib.sha256()
    folder.remove(name)
    with _unless_exchanged(folder, name), folder.appear(name) as writer:
        for chunk in blobs.chunks(source):
            digest.update(chunk)
            writer.write(chunk)
        if expected and digest.hexdigest() != expected:
            raise BrokenPromiseError(str(folder.path / name), f"no longer has the SHA-256 {expected}")
        looks.give(writer.descriptor, files)
        writer.sync()
        copied = os.fstat(writer.descriptor)
    with _unless_exchanged(folder, name):
        named = folder.look(name)
        if named is None or (named.st_dev, named.st_ino) != (copied.st_dev, copied.st_ino):
            raise FileExistsError


@contextlib.contextmanager
def _unless_exchanged(folder: Folder, name: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        problem = "somebody put something else there while it was written; nothing was changed"
        raise PlaceError(str(folder.path / name), problem) from None
