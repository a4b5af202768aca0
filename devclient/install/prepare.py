"""Everything new beside everything old, durably: what is done in DOWNLOADED.

Afterwards switching is renames alone. What is there under its own name is not touched; a cut leaves files that
`discard` removes. A file that is replaced gets a second name, so undoing brings back the very same file.
"""

from __future__ import annotations

import errno
import hashlib
import logging
from typing import TYPE_CHECKING

from devclient import unpack
from devclient.errors import BrokenPromiseError, PlaceError
from devclient.install import attributes, place
from devclient.plan import Found, Kind
from mirror import blobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devclient.install.attributes import Attributes
    from devclient.install.sets import Sets
    from devclient.plan import Plan, Step
    from mirror.archive.archive import Limits
    from mirror.files import Files

_log = logging.getLogger(__name__)

# what file systems say that have no second names for a file, or no more of them
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


def prepare(plan: Plan, parts: Path, sets: Sets, limits: Limits, files: Files) -> None:
    """Lay out all that `plan` brings; the blobs are in the folder `parts`.

    Raises:
        ArchiveError: a folder's package cannot be unpacked.
        BrokenPromiseError: a blob's bytes are no longer those that were verified.
        PlaceError: something else came to lie at a place since the plan was made.
    """
    for step in plan.steps:
        target = step.path
        _make_folder(target.parent, files)
        _make_way(step, files)
        if plan.kind is Kind.ROLLBACK:
            _lay_out_previous(step, sets, files)
        elif step.after:
            _lay_out(step, step.after.sha256, parts, sets, limits, files)
        _keep(step, target, sets, files)
        files.sync_folder(target.parent)
    if plan.before != plan.after:
        _make_set(plan, sets, files)
    for step in plan.steps:
        _see_that_nothing_changed(step, sets)


def unpacked(plan: Plan, parts: Path, limits: Limits, go_on: Callable[[], None]) -> list[int]:
    """Tell for each folder that `prepare` will unpack how many bytes it will take; see `unpack.measure`."""
    new = [(step, step.after) for step in plan.steps if plan.kind is Kind.UPDATE and step.is_folder and step.after]
    return [unpack.measure(parts / after.sha256, str(step), limits, go_on).on_disk for step, after in new]


def holds(target: Path, sha256: str, size: int, progress: Callable[[int], None] = lambda _: None) -> bool:
    """Tell whether these bytes are installed at `target` already; see `blobs.digest`."""
    return target.is_file() and target.stat().st_size == size and blobs.digest(target, progress)[0] == sha256


def discard(plan: Plan, files: Files) -> None:
    """Remove what was laid out beside the places of `plan`, whose own names nothing has taken yet."""
    for step in plan.steps:
        for path in _ours(step):
            if not place.is_folder(path):  # what `prepare` refused to take for its own
                files.remove(path)


def _lay_out(step: Step, sha256: str, parts: Path, sets: Sets, limits: Limits, files: Files) -> None:
    blob, new = parts / sha256, place.new(step.path)
    if step.is_folder:
        folder = sets.folder(step.folder)
        files.remove_tree(folder)
        files.make_folder(folder.parent)
        unpack.unpack(blob, folder, str(step), sha256, limits, files)
        _lay_out_link(step, sets, files)
    elif blob.exists():
        _copy(blob, new, attributes.of(step.path), files, expected=sha256)
    elif step.after and holds(step.path, sha256, step.after.size):
        _give_name(step.path, new, files)  # nothing was downloaded because it is there
    else:
        raise PlaceError(step.local, "was changed during the update, which was given up; update again")
    _log.info("%s is ready to go to %s", step, step.local)


def _lay_out_previous(step: Step, sets: Sets, files: Files) -> None:
    if step.is_folder and step.after:
        _lay_out_link(step, sets, files)
    elif place.previous(step.path).is_file():
        _give_name(place.previous(step.path), place.new(step.path), files)


def _lay_out_link(step: Step, sets: Sets, files: Files) -> None:
    if step.found is not Found.LINK:
        files.symlink(sets.link(step.package), place.new(step.path))


def _keep(step: Step, target: Path, sets: Sets, files: Files) -> None:
    """Give what is at the place the name under which undoing finds it."""
    if step.found is Found.FILE:
        _give_name(target, place.old(target), files)
    elif step.found is Found.LINK and step.after is None:
        files.symlink(sets.link(step.package), place.old(target))


def _make_set(plan: Plan, sets: Sets, files: Files) -> None:
    folders = sets.content(plan.before)
    for step in plan.steps:
        folders.pop(step.package, None)
        if step.is_folder and step.after:
            folders[step.package] = step.folder
    sets.make(plan.after, folders)
    # one call for however many files were unpacked
    files.sync_all(sets.folder("").parent)


def _see_that_nothing_changed(step: Step, sets: Sets) -> None:
    link = sets.link(step.package)
    adopt = step.found is Found.FOLDER
    if place.found(step.local, step.path, link, adopt=adopt) is not step.found:
        raise PlaceError(step.local, "something else came to lie there during the update; nothing was changed")


def _make_folder(folder: Path, files: Files) -> None:
    if not folder.exists():
        files.make_folder(folder)
        files.sync_all(folder)


def _ours(step: Step) -> tuple[Path, Path]:
    return place.new(step.path), place.old(step.path)


def _make_way(step: Step, files: Files) -> None:
    """Remove what lies under the names that are ours, or switching would take it for what was laid out."""
    # one folder of its owner's can be kept, the one that was adopted first
    kept = (place.previous(step.path),) if step.found is Found.FOLDER else ()
    for path in (*_ours(step), *kept):
        if place.is_folder(path):
            raise PlaceError(step.local, f"{path} is in the way: move it away")
    for path in _ours(step):
        files.remove(path)


def _give_name(source: Path, target: Path, files: Files) -> None:
    """Give a file a second name; where a file system has none, the name is that of a copy."""
    try:
        files.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, target, attributes.of(source), files)


def _copy(source: Path, target: Path, looks: Attributes, files: Files, expected: str = "") -> None:
    """Copy a file durably, hashing it on the way if a hash is `expected` of it."""
    digest = hashlib.sha256()
    files.remove(target)
    with source.open("rb", buffering=0) as reader, files.create(target, 0o600) as writer:
        for chunk in blobs.chunks(reader.fileno()):
            digest.update(chunk)
            writer.write(chunk)
        if expected and digest.hexdigest() != expected:
            raise BrokenPromiseError(str(source), f"no longer has the SHA-256 {expected}")
        looks.give(writer.descriptor, files)
        writer.sync()
