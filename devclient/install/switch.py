"""From the old set to the new one, and back: renames of what `prepare` has laid out.

Wherever `switch` is cut, `switch_back` undoes it; it is never called again. The other functions may be cut anywhere
and be called again. None needs free space on a file system that renames and removes without it, as ext4 and xfs do.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from devclient.install import place
from devclient.plan import Found, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from devclient.install.sets import Sets
    from devclient.plan import Plan, Step
    from mirror.files import Files

_log = logging.getLogger(__name__)


def switch(plan: Plan, sets: Sets, files: Files) -> None:
    """Put everything new in place, durably."""
    for step in plan.steps:
        _switch(step, files)
    # folders last: their links lead nowhere until this one rename
    if plan.before != plan.after:
        sets.switch()
    _sync(plan, files)


def switch_back(plan: Plan, sets: Sets, files: Files) -> None:
    """Put everything old back in place, durably, however much of it was replaced."""
    if plan.before != plan.after:
        sets.switch_back(plan.before)
    for step in reversed(plan.steps):
        _switch_back(step, sets, files)
    _sync(plan, files)


def settle(plan: Plan, files: Files) -> None:
    """Keep what was replaced as the previous release, and remove what was kept before that."""
    for step in plan.steps:
        target = step.path
        old, previous = place.old(target), place.previous(target)
        if plan.kind is not Kind.UPDATE or step.found not in {Found.FILE, Found.FOLDER}:
            _discard(old, files)
            _discard(previous, files)
        elif os.path.lexists(old):
            _keep(old, previous, files)
    _sync(plan, files)


def forget(steps: Iterable[Step], files: Files) -> None:
    """Remove what is kept of the time before an earlier update that nobody can undo any more."""
    for step in steps:
        _discard(place.previous(step.path), files)


def _keep(old: Path, previous: Path, files: Files) -> None:
    if place.is_folder(previous):  # its owner's; `prepare` has seen to it that there is no second one
        _discard(old, files)
        return
    if place.is_folder(old):
        files.remove(previous)
    files.rename(old, previous)
    files.remove(old)  # it is still there if both were names of one file


def _switch(step: Step, files: Files) -> None:
    target = step.path
    new, old = place.new(target), place.old(target)
    if step.found is Found.FOLDER:
        files.rename(target, old)
    if os.path.lexists(new):
        files.rename(new, target)
        files.remove(new)  # it is still there if both were names of one file
    elif step.after is None:
        files.remove(target)


def _switch_back(step: Step, sets: Sets, files: Files) -> None:
    target = step.path
    new, old = place.new(target), place.old(target)
    is_kept = os.path.lexists(old)
    # hooks may have put a folder here, or removed our link
    if place.is_folder(target) and (is_kept or step.found is not Found.FOLDER):
        _move_aside(target, files)
    if step.found is Found.NOTHING and not os.path.lexists(new):
        files.remove(target)
    if is_kept:
        if step.found is Found.FOLDER:
            files.remove(target)
        files.rename(old, target)
        files.remove(old)  # as above: it was not switched
    elif step.found is Found.LINK and not target.is_symlink():
        files.symlink(sets.link(step.package), target)
    files.remove(new)


def _move_aside(target: Path, files: Files) -> None:
    """Give a folder another name that a hook has put where a file or our link should be; what it holds is not ours."""
    aside = place.aside(target)
    _log.warning("%s is a folder now, as a hook must have made it; it is moved to %s", target, aside)
    files.remove_tree(aside)
    files.rename(target, aside)


def _discard(path: Path, files: Files) -> None:
    """Remove what was kept, but for a folder: that was its owner's before it was adopted, and stays."""
    if not place.is_folder(path):
        files.remove(path)


def _sync(plan: Plan, files: Files) -> None:
    for folder in sorted({step.path.parent for step in plan.steps}):
        files.sync_folder(folder)
