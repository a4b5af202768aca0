"""From the old set to the new one, and back: renames of what `prepare` has laid out.

Wherever `switch` is cut, `switch_back` undoes it; it is never called again. The other functions may be cut anywhere
and be called again. None needs free space on a file system that renames and removes without it, as ext4 and xfs do.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import stat
from typing import TYPE_CHECKING

from devclient.errors import LostError
from devclient.install import folder_copy, place
from devclient.install.parents import Parents
from devclient.plan import Found, Kind
from mirror import trees

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devclient.install.sets import Sets
    from devclient.plan import Plan, Step
    from mirror.files import Files
    from mirror.folders import Folder

_log = logging.getLogger(__name__)


def switch(plan: Plan, parents: Parents, sets: Sets) -> None:
    """Put everything new in place, durably.

    Raises:
        LostError: what was laid out is not there any more, or is something else.
    """
    for step in plan.steps:
        _switch(step, parents)
    # folders last: their links lead nowhere until this one rename
    if plan.before != plan.after:
        sets.switch()
    parents.sync(plan.steps)


def switch_back(plan: Plan, parents: Parents, sets: Sets) -> None:
    """Put everything old back in place, durably, however much was replaced; `prepare.discard` removes the rest."""
    if plan.before != plan.after:
        sets.switch_back(plan.before)
    for step in reversed(plan.steps):
        with parents.sparing(step):
            _switch_back(step, parents, sets)
    parents.sync(plan.steps)


def settle(plan: Plan, parents: Parents) -> None:
    """Keep what was replaced as the previous release, and remove what was kept before that."""
    for step in plan.steps:
        with parents.sparing(step):
            _settle(plan, step, parents)
    parents.sync(plan.steps)


def forget(steps: Iterable[Step], files: Files) -> None:
    """Remove what is kept of the time before an earlier update that nobody can undo any more."""
    with Parents({}, files) as parents:
        for step in steps:
            with contextlib.suppress(LostError):  # whoever has taken the folder away has taken this along
                _discard(parents.of(step), place.previous(step.path).name)


def _settle(plan: Plan, step: Step, parents: Parents) -> None:
    folder = parents.of(step)
    old, previous = place.old(step.path).name, place.previous(step.path).name
    parents.check(step, old)
    if plan.kind is not Kind.UPDATE or step.found not in {Found.FILE, Found.FOLDER}:
        _discard(folder, old)
        _discard(folder, previous)
    elif folder.look(old):
        _keep(folder, old, previous)


def _keep(folder: Folder, old: str, previous: str) -> None:
    if place.is_folder(folder, previous):  # its owner's; `prepare` has seen to it that there is no second one
        _discard(folder, old)
        return
    if place.is_folder(folder, old):
        folder.remove(previous)
    folder.rename(old, folder, previous)
    folder.remove(old)  # it is still there if both were names of one file


def _switch(step: Step, parents: Parents) -> None:
    folder, target = parents.of(step), step.path.name
    new = place.new(step.path).name
    parents.check(step, new)
    is_there = folder.look(new) is not None
    if parents.needs_new(step) and not is_there:
        raise LostError(step.local, f"{folder.path / new} is not there any more")
    if step.found is Found.FOLDER:
        _put_aside(step, folder, parents)
    if is_there:
        folder.rename(new, folder, target)
        folder.remove(new)  # it is still there if both were names of one file
    elif step.after is None:
        folder.remove(target)


def _put_aside(step: Step, folder: Folder, parents: Parents) -> None:
    """Give a folder of its owner's another name; where that cannot be done, its copy gets it."""
    target, old, copy = step.path.name, place.old(step.path).name, place.copy(step.path).name
    if folder.look(copy) is None:
        folder.rename(target, folder, old)
        return
    parents.check(step, copy)
    with folder.child(target) as original, folder.child(copy) as copied:
        # what was written to it until its service was stopped must not be lost with it
        folder_copy.renew(step.local, original, copied, parents.files)
        folder.rename(copy, folder, old)
        folder.sync_all()
    parents.check(step, old)
    trees.remove(folder, target)


def _switch_back(step: Step, parents: Parents, sets: Sets) -> None:
    folder, target = parents.of(step), step.path.name
    new, old = place.new(step.path).name, place.old(step.path).name
    for name in (new, old):
        parents.check(step, name)
    is_kept = folder.look(old) is not None
    if not is_kept:
        parents.check_restored(step)
    # hooks may have put a folder here, or removed our link
    if place.is_folder(folder, target) and (is_kept or step.found is not Found.FOLDER):
        _move_aside(step, folder)
    _take_out(step, parents)
    if is_kept:
        if step.found is Found.FOLDER:
            folder.remove(target)
        folder.rename(old, folder, target)
        folder.remove(old)  # as above: it was not switched
    elif step.found is Found.LINK and not _is_link(folder, target):
        folder.symlink(sets.link(step.package), target)


def _take_out(step: Step, parents: Parents) -> None:
    """Take what is new out of its place, under its name of before: a blob may be nowhere else."""
    folder, target, new = parents.of(step), step.path.name, place.new(step.path).name
    if folder.look(new) is not None:
        return
    if step.found is Found.NOTHING:
        folder.rename(target, folder, new) if parents.has_new(step) else folder.remove(target)
    elif step.found is Found.FILE and parents.has_new(step):
        with contextlib.suppress(OSError):  # where it gets no second name it is downloaded again, no more
            folder.link(target, folder, new)


def _move_aside(step: Step, folder: Folder) -> None:
    """Give a folder another name that a hook has put where a file or our link should be; what it holds is not ours."""
    aside = place.aside(step.path)
    _log.warning("%s is a folder now, as a hook must have made it; it is moved to %s", step.path, aside)
    trees.remove(folder, aside.name)
    try:
        folder.rename(step.path.name, folder, aside.name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        trees.remove(folder, step.path.name)  # the rest of its owner's, which was copied because it cannot be renamed


def _is_link(folder: Folder, name: str) -> bool:
    facts = folder.look(name)
    return facts is not None and stat.S_ISLNK(facts.st_mode)


def _discard(folder: Folder, name: str) -> None:
    """Remove what was kept, but for a folder: that was its owner's before it was adopted, and stays."""
    if not place.is_folder(folder, name):
        folder.remove(name)
