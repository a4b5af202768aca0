"""Plans, drawn up: what an offer, a rollback or a removal means on this device.

Looks at places and at the state file; changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devclient import state
from devclient.errors import PlaceError, UndoError
from devclient.install import place
from devclient.plan import MOST, Found, Kind, Plan, Release, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devclient.check import Finding, Offer
    from devclient.install.sets import Sets
    from devclient.records.contents import Contents
    from devclient.settings.config import Settings
    from devclient.state import Package, State


@dataclass(frozen=True)
class Desk:
    """What plans are drawn up from.

    Attributes:
        attempt: a number that no plan had before.
    """

    state: State
    settings: Settings
    sets: Sets
    contents: Contents
    attempt: int


def update(finding: Finding, package: Package, desk: Desk) -> Plan:
    """Draw up how to get to what was found for `package`.

    Raises:
        PlaceError: something cannot go where it should.
    """
    steps = [_step(offer, package, finding, desk) for offer in finding.changes]
    if len(steps) > MOST:
        raise PlaceError(package.name, f"changes together with {len(steps) - 1} others; at most {MOST} can at once")
    _see_that_places_differ(steps, desk)
    return _plan(Kind.UPDATE, steps, desk)


def rollback(last: Plan, desk: Desk) -> Plan:
    """Draw up how to undo the last committed update.

    Raises:
        UndoError: it cannot be undone any more.
        PlaceError: something is in the way.
    """
    earlier = desk.sets.content(last.before)
    return _plan(Kind.ROLLBACK, [_undoing(step, earlier, desk) for step in reversed(last.steps)], desk)


def removal(package: Package, desk: Desk) -> Plan:
    """Draw up how to remove an installed package.

    Raises:
        PlaceError: something else is in its place.
    """
    link = desk.sets.link(package.name)
    target = place.resolve(package.local, desk.settings.allow, link if package.is_folder else "")
    step = Step(
        package=package.name,
        branch=package.branch,
        remote=package.remote,
        local=package.local,
        target=str(target),
        before=_installed(package, desk),
        after=None,
        found=place.found(package.local, target, link),
        timeout=desk.settings.hook_timeout(package.name),
        entry=state.fingerprint(package),
    )
    return _plan(Kind.REMOVE, [step], desk)


def _step(offer: Offer, package: Package, finding: Finding, desk: Desk) -> Step:
    content = offer.content
    entry = desk.state.package(content.package)
    # what the owner says wins; what the publisher says holds for an entry that was written without it
    local = (entry.local if entry else "") or content.local
    if not local:
        raise PlaceError(
            content.package, "neither you nor its publisher says where it goes: add it with `otadevice add --local`"
        )
    link = desk.sets.link(content.package)
    target = place.resolve(local, desk.settings.allow, link if local.endswith("/") else "")
    there = place.found(local, target, link, adopt=bool(entry and entry.adopt))
    if there is Found.FOLDER and content.package == desk.settings.itself:
        problem = "is a folder of yours, which could not be put back if the new otadevice did not come up"
        raise PlaceError(local, f"{problem}: install its first release before you write `self` into the settings")
    before = _installed(entry, desk) if entry and entry.version else None
    if before and not before.content and finding.current and content.package == package.name:
        before = Release(before.version, finding.current.digest, finding.current.sha256)
    return Step(
        package=content.package,
        branch=content.branch,
        remote=entry.remote if entry else package.remote,
        local=local,
        target=str(target),
        before=before,
        after=Release(content.version, content.digest, content.sha256, offer.size),
        found=there,
        folder=f"{desk.attempt}-{content.package}" if local.endswith("/") else "",
        auto=entry is None,
        timeout=desk.settings.hook_timeout(content.package),
        entry=state.fingerprint(entry),
    )


def _undoing(step: Step, earlier: dict[str, str], desk: Desk) -> Step:
    """Turn a step of the last update round."""
    entry, link = desk.state.package(step.package), desk.sets.link(step.package)
    now = entry.content if entry else ""
    if entry is None or step.after is None or now != step.after.content:
        raise UndoError(f"{step.package} is not what the last update left")
    if step.found is Found.FOLDER:
        raise UndoError(f"{step.local} was a folder of yours, move {place.previous(step.path)} back by hand")
    if step.before and desk.contents.get(step.before.content) is None:
        raise UndoError(f"the content.json of {step.package} {step.before.version} is not known here")
    if step.before and not step.is_folder and not place.previous(step.path).is_file():
        raise UndoError(f"the file of {step.package} {step.before.version} is not kept any more")
    if step.before and step.is_folder and step.package not in earlier:
        raise UndoError(f"the folder of {step.package} {step.before.version} is not kept any more")
    return Step(
        package=step.package,
        branch=step.branch,
        remote=step.remote,
        local=step.local,
        target=step.target,
        before=step.after,
        after=step.before,
        found=place.found(step.local, step.path, link),
        folder=earlier.get(step.package, "") if step.is_folder else "",
        timeout=desk.settings.hook_timeout(step.package),
        entry=state.fingerprint(entry),
    )


def _installed(package: Package, desk: Desk) -> Release:
    content = desk.contents.get(package.content)
    return Release(package.version, package.content, content.sha256 if content else "")


def _see_that_places_differ(steps: Sequence[Step], desk: Desk) -> None:
    taken = {package.local.rstrip("/"): package.name for package in desk.state.packages if package.local}
    targets: dict[str, str] = {}
    roots = [remote.root for remote in desk.settings.remotes]
    ours = [path.resolve() for path in (desk.settings.work, desk.settings.state, desk.settings.file, *roots)]
    for step in steps:
        # nor around them: a folder that is adopted is moved aside with all that is in it
        if any(step.path == path or path in step.path.parents or step.path in path.parents for path in ours):
            raise PlaceError(step.local, "is where otadevice keeps its own files: give another place")
        other = targets.setdefault(step.target, step.package)
        if other == step.package:
            other = taken.get(step.local.rstrip("/"), other)
        if other != step.package:
            raise PlaceError(step.local, f"is where {other} goes, and {step.package} too")


def _plan(kind: Kind, steps: Sequence[Step], desk: Desk) -> Plan:
    before = after = desk.sets.current
    if any(step.is_folder for step in steps):
        after = str(desk.attempt)
    return Plan(kind, desk.attempt, tuple(steps), before, after)
