"""The state file says what is installed: what COMMITTED begins with.

The owner may have edited it meanwhile, so it is read again and merged package by package. The bytes go over a file
that was allocated while there was space, and take the name by one rename.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from devclient import state
from devclient.errors import StateChangedError
from devclient.plan import Kind
from devclient.state import OURS, Package

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.plan import Plan, Release, Step
    from devclient.records.contents import Contents
    from devclient.state import State
    from mirror.files import Files

_log = logging.getLogger(__name__)

_MARGIN = 64 * 1024
"""Bytes by which the owner may make the file longer meanwhile without need for space."""


def prepare(plan: Plan, file: Path, contents: Contents, files: Files) -> None:
    """Allocate the next state file, durably; without the contents that it is made of nothing is begun."""
    if lost := [str(step) for step in plan.steps if step.after and contents.get(step.after.content) is None]:
        raise RuntimeError(f"the content of {lost[0]} was not kept")
    blank = bytes(2 * len(state.encode(_merged(state.load(file), plan, contents))) + _MARGIN)
    files.replace(_spare(file), blank, like=file.resolve())


def see_that_nothing_changed(plan: Plan, file: Path) -> None:
    """See that the owner has not changed the entries of a plan's packages since it was made.

    Raises:
        StateChangedError: they have.
    """
    current = state.load(file)
    for step in plan.steps:
        if state.fingerprint(current.package(step.package)) != step.entry:
            raise StateChangedError(file, step.package)


def commit(plan: Plan, file: Path, contents: Contents, files: Files) -> None:
    """Write what is installed into the state file as it is by now, durably; again without effect.

    Raises:
        StateError: the owner has made it unreadable.
    """
    place, spare = file.resolve(), _spare(file)
    raw = state.encode(_merged(state.load(file), plan, contents))
    if raw != place.read_bytes():
        if not spare.exists():
            files.replace(spare, raw, like=place)
        files.overwrite(spare, raw, size=len(raw))
        files.rename(spare, place)
    # also if it was right: whoever renamed it may have been killed before this
    files.sync_folder(place.parent)


def discard(file: Path, files: Files) -> None:
    """Remove what `prepare` allocated, if it was not needed."""
    files.remove(_spare(file))


def _spare(file: Path) -> Path:
    file = file.resolve()
    return file.with_name(f".{file.name}.next")


def _merged(current: State, plan: Plan, contents: Contents) -> State:
    for step in plan.steps:
        entry = current.package(step.package)
        if step.after:
            current = current.including(_installed(entry or _entry(step), step, step.after, contents))
        elif entry and (plan.kind is Kind.REMOVE or entry.auto):
            current = current.without(step.package)
        elif entry:
            current = current.including(entry.wanted())
    return current


def _installed(entry: Package, step: Step, release: Release, contents: Contents) -> Package:
    if content := contents.get(release.content):
        return entry.installed(content, step.local)
    # it was there when this began, and what is in place does not change by its loss: the plan knows enough
    _log.warning("the content.json of %s is damaged or gone: only its version and hashes are written down", step)
    return entry.known(release.version, release.content, release.sha256, step.local)


def _entry(step: Step) -> Package:
    ours = {OURS: {"auto": True}} if step.auto else {}
    remote = {"remote": step.remote} if step.remote else {}
    return Package({"package": step.package, "branch": step.branch, "local": step.local, **remote, **ours})
