"""One update: check, download, install, state file (contract, section 6).

The only place where the stages meet. A package that fails stops no other and leaves everything as it was.
The state file is written last: after a cut before that, the next run finds the new file in its place,
leaves it alone and writes what is true.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from devclient import check, download, install, place, results, room, state, unsupported
from devclient.errors import StateChangedError
from devclient.results import Result
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from devclient.check import Finding, Offer
    from devclient.config import Settings
    from devclient.state import Package
    from mirror.files import Files

_log = logging.getLogger(__name__)


class Mirror(check.Mirror, download.Blobs, Protocol):
    """All that an update asks a mirror for."""

    def tidy(self) -> None:
        """Forget what was kept and not asked for in this run."""


@dataclass(frozen=True)
class Device:
    """What an update works with.

    Attributes:
        mirror: gives the mirror at a URL, for "" the usual one.
        free: tells the free bytes of a folder's file system.
        progress: is told of an offer how many of its bytes are here.
        now: tells the time, in UTC.
    """

    settings: Settings
    files: Files
    mirror: Callable[[str], Mirror]
    free: Callable[[Path], int]
    progress: Callable[[Offer, int], None]
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Step:
    """One package on its way to an offer.

    Attributes:
        local: the place as its owner calls it.
        target: the file that this is in the end.
    """

    package: Package
    offer: Offer
    local: str
    target: Path


@dataclass(frozen=True)
class Plan:
    """What an update would do about one package.

    Attributes:
        finding: what the check found; None if it failed.
        step: what can be done; None if nothing is offered, or something is in the way.
        error: what is in the way.
    """

    package: Package
    finding: Finding | None = None
    step: Step | None = None
    error: OTAError | OSError | None = None


def plan(device: Device) -> list[Plan]:
    """Ask the mirrors about every package; nothing is changed."""
    return [_plan(package, device) for package in state.load(device.settings.state).packages]


def run(device: Device) -> list[Result]:
    """Update every package, one after the other, and keep what came of it for `status`."""
    plans = plan(device)
    _tidy(plans, device)
    last = results.load(results_file(device.settings))
    done = [_carry_out(each, last.get(each.package.name), device) for each in plans]
    results.save(done, results_file(device.settings), device.files)
    return done


def results_file(settings: Settings) -> Path:
    """Tell where the results of the last update are kept."""
    return settings.work / "results.json"


def _plan(package: Package, device: Device) -> Plan:
    finding = None
    try:
        finding = check.check(package.name, package.branch, package.version, device.mirror(package.remote))
        step = _step(package, finding.offer, device) if finding.offer else None
    except (OTAError, OSError) as error:
        return Plan(package, finding, error=error)
    return Plan(package, finding, step)


def _step(package: Package, offer: Offer, device: Device) -> Step:
    # what the owner says wins; what the publisher says holds for an entry that was written without it
    local = package.local or offer.content.local
    unsupported.refuse(offer, local)
    return Step(package, offer, local, place.resolve(local, device.settings.allow))


def _update(step: Step, device: Device) -> None:
    """Bring one package to its offer."""
    offer, target, files = step.offer, step.target, device.files
    if not install.holds(target, offer.content.sha256):
        room.check(_needs(step, device), device.free)
        source = device.mirror(step.package.remote)
        progress = functools.partial(device.progress, offer)
        blob = download.download(offer, source, _parts(device), files, progress)
        _give_up_if_changed(step.package, device)
        install.install(blob, target, files)
        files.remove(blob.path)
    _commit(step, device)


def _needs(step: Step, device: Device) -> list[tuple[Path, int]]:
    """Tell which folders grow by how much: the rest of the blob, its copy, the previous file's copy."""
    offer, target = step.offer, step.target
    missing = max(0, offer.size - download.at_hand(offer.content.sha256, _parts(device)))
    replaced = target.stat().st_size if target.exists() else 0
    return [(_parts(device), missing), (target.parent, offer.size + replaced)]


def _give_up_if_changed(package: Package, device: Device) -> None:
    file = device.settings.state
    if state.load(file).package(package.name) != package:
        raise StateChangedError(file, package.name)


def _commit(step: Step, device: Device) -> None:
    """Write what is installed into the state file as it is by now, package by package."""
    file, content = device.settings.state, step.offer.content
    current = state.load(file)
    entry = current.package(step.package.name) or step.package
    state.save(current.including(entry.installed(content, step.local)), file, device.files)
    _log.info("%s of %s is now at %s", step.offer, content.branch, step.local)


def _carry_out(plan: Plan, last: Result | None, device: Device) -> Result:
    package = plan.package
    # what was known before holds for a mirror that cannot be asked now
    known = last.yank_of(package.version) if last else None
    yanked = plan.finding.yanked if plan.finding else known
    at = f"{device.now():%Y-%m-%dT%H:%M:%SZ}"
    result = Result(package.name, package.branch, "nothing newer", package.version, at=at, yanked=yanked)
    try:
        if plan.error:
            raise plan.error
        if plan.step:
            _update(plan.step, device)
    except (OTAError, OSError) as error:
        code, exit_code = (error.code, error.exit_code) if isinstance(error, OTAError) else ("system", 1)
        return replace(result, outcome="failed", message=str(error), code=code, exit_code=exit_code)
    if plan.step:
        return replace(result, outcome="updated", to=plan.step.offer.content.version, yanked=None)
    return replace(result, message=plan.finding.why if plan.finding else "")


def _tidy(plans: Sequence[Plan], device: Device) -> None:
    """Remove what was kept for releases that are no longer offered, if all mirrors could be asked."""
    if all(plan.finding for plan in plans):
        keep = {plan.step.offer.content.sha256 for plan in plans if plan.step}
        download.discard(_parts(device), keep, device.files)
        for url in {plan.package.remote for plan in plans}:
            device.mirror(url).tidy()


def _parts(device: Device) -> Path:
    return device.settings.work / "parts"
