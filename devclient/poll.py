"""One poll: every package asked about, and what is offered taken, one update after the other.

A package that cannot be updated stops no other. What came of it is kept for `status`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devclient import check, download, draft, state, update
from devclient.draft import Desk
from devclient.errors import ProvisionError, RebootError, WaitingError
from devclient.outcome import Outcome
from devclient.records import identity, results
from devclient.records.results import Result
from devclient.states import State
from mirror.errors import OTAError
from mirror.trust import time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devclient.check import Finding, Wish
    from devclient.device import Device
    from devclient.outcome import Done
    from devclient.plan import Plan, Step
    from devclient.state import Package


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prospect:
    """What could be done about one package.

    Attributes:
        finding: what the check found; None if it failed.
        plan: what can be done, at once or after a wait; None if nothing is offered, or it has no place here.
        error: what is in the way.
    """

    package: Package
    finding: Finding | None = None
    plan: Plan | None = None
    error: OTAError | OSError | None = None


def look(device: Device, only: str = "", wish: Wish | None = None) -> list[Prospect]:
    """Ask the mirrors about every package, or `only` one; nothing is changed."""
    packages = state.load(device.settings.state).packages
    names = _names(device, only)
    return [_look(package, device, wish) for package in packages if package.name in names]


def run(device: Device, only: str = "", wish: Wish | None = None) -> list[Result]:
    """Finish what was cut off, then update every package, or `only` one, and keep what came of it.

    Args:
        device: which device.
        only: the name of a package, "" for all.
        wish: which release of it is wanted, instead of the highest.

    Raises:
        RebootError: an update that was begun before waits for a reboot.
        StateError: the state file is not usable.
        OSError: what was cut off cannot be finished.
    """
    done = recover(device)
    identity.ensure(device.work, device.files)
    prospects: list[Prospect] = []
    changed: set[str] = set()
    for name in _names(device, only):
        # read again each time: it is its owner's file, and an update may have changed other packages with it
        package = state.load(device.settings.state).package(name)
        if package is None or name in changed:
            continue
        prospects.append(_look(package, device, wish))
        came = _take(prospects[-1], device)
        changed |= came.keys()
        done |= came
        if update.open_journal(device).record.state is not State.IDLE:
            break  # it goes on after a reboot, or once the disk works again
    else:
        _tidy(prospects, device, whole=not only)
    _keep(done, device)
    return list(done.values())


def recover(device: Device) -> dict[str, Result]:
    """Finish what was cut off, without a network; returns what came of it, by package.

    Raises:
        RebootError: as `run`.
        OSError: as `run`.
    """
    settled = update.recover(device)
    if settled is None:
        return {}
    found = _results(settled, device)
    _keep(found, device)
    return found


def desk(device: Device) -> Desk:
    """Lay out what plans are drawn up from."""
    attempt = max(update.open_journal(device).record.sequence + 1, device.sets.next_attempt())
    current = state.load(device.settings.state)
    return Desk(current, device.settings, device.sets, device.contents, attempt)


def remove(name: str, device: Device) -> list[Result]:
    """Remove a package, installed or only wanted.

    Raises:
        ProvisionError: it is not there, or others depend on it.
        DeviceError: as `update.carry_out`.
        OSError: as `update.carry_out`.
    """
    here = desk(device)
    package = here.state.package(_names(device, name)[0])
    users = [each.name for each in here.state.packages if name in each.dependencies]
    if users or package is None:
        raise ProvisionError(f"{', '.join(users)} depends on {name}; remove that first, nothing was changed")
    if package.version:
        return settle(draft.removal(package, here), device)
    state.save(here.state.without(name), device.settings.state, device.files)
    return [Result(name, package.branch, "removed", at=time(device.now()))]


def settle(plan: Plan, device: Device) -> list[Result]:
    """Carry out a plan that its owner asked for, and keep what came of it.

    Raises:
        DeviceError: as `update.carry_out`.
        OSError: as `update.carry_out`.
    """
    came = _results(update.carry_out(plan, (), device), device)
    _keep(came, device)
    return list(came.values())


def _keep(came: Mapping[str, Result], device: Device) -> None:
    """Keep results for `status`; that the disk is full does not make an update a failure."""
    try:
        results.save(came, device.work, device.files)
    except OSError as error:
        _log.warning("the results are not kept for `otadevice status`: %s", error)


def _names(device: Device, only: str) -> list[str]:
    names = [package.name for package in state.load(device.settings.state).packages]
    if only and only not in names:
        raise ProvisionError(f"{only} is not in {device.settings.state}; `otadevice add` adds it")
    return [only] if only else names


def _look(package: Package, device: Device, wish: Wish | None = None) -> Prospect:
    finding = plan = None
    try:
        packages = state.load(device.settings.state).packages
        finding = check.check(
            package,
            packages,
            device.mirror(package.remote),
            bad=device.marks.bad,
            wish=wish,
            lacks=lambda content: device.contents.get(content) is None,
            remote=device.settings.remote_name,
        )
        plan = draft.update(finding, package, desk(device)) if finding.offer else None
        if plan and (wait := device.marks.wait(plan.identity, device.now())):
            raise WaitingError(str(plan), wait.times, time(wait.until))
    except (OTAError, OSError) as error:
        return Prospect(package, finding, plan, error)
    return Prospect(package, finding, plan)


def _take(prospect: Prospect, device: Device) -> dict[str, Result]:
    """Carry out what can be done about a package; returns what came of it, by package."""
    package, finding, plan = prospect.package, prospect.finding, prospect.plan
    result = _result(prospect, device)
    try:
        if prospect.error:
            raise prospect.error
        if plan is None or finding is None:
            return {package.name: replace(result, message=finding.why if finding else "")}
        contents = [offer.content for offer in finding.changes]
        done = update.carry_out(plan, [*contents, *filter(None, [finding.current])], device)
    except (OTAError, OSError) as error:
        code, exit_code = (error.code, error.exit_code) if isinstance(error, OTAError) else ("system", 1)
        outcome = "waits for a reboot" if isinstance(error, RebootError) else "failed"
        return {package.name: replace(result, outcome=outcome, message=str(error), code=code, exit_code=exit_code)}
    return _results(done, device)


def _result(prospect: Prospect, device: Device) -> Result:
    package = prospect.package
    # what was known before holds for a mirror that cannot be asked now
    last = results.load(device.work).get(package.name)
    known = last.yank_of(package.version) if last else None
    yanked = prospect.finding.yanked if prospect.finding else known
    at = time(device.now())
    return Result(package.name, package.branch, "nothing newer", package.version, at=at, yanked=yanked)


def _results(done: Done, device: Device) -> dict[str, Result]:
    at = time(device.now())
    return {step.package: _of_step(step, done, at) for step in done.plan.steps}


def _of_step(step: Step, done: Done, at: str) -> Result:
    version = step.before.version if step.before else ""
    result = Result(step.package, step.branch, done.outcome, version, at=at, complaints=list(done.complaints))
    if done.cause is None:
        to = step.after.version if step.after else ""
        return replace(result, outcome="updated" if to else "removed", to=to)
    exit_code = 1 if done.outcome is Outcome.ROLLED_BACK and done.cause.code != "interrupted" else 75
    output = done.output if done.cause.package in ("", step.package) else ""
    return replace(result, message=done.cause.message, code=done.cause.code, exit_code=exit_code, output=output)


def _tidy(prospects: Sequence[Prospect], device: Device, *, whole: bool) -> None:
    """Remove what was kept for releases that are no longer offered, if all mirrors could be asked about everything."""
    if not whole or not all(prospect.finding for prospect in prospects):
        return
    blobs = {sha256 for prospect in prospects if prospect.plan for sha256 in prospect.plan.blobs}
    download.discard(device.parts, blobs, device.files)
    installed = {package.content for package in state.load(device.settings.state).packages}
    last = device.plans.last
    device.contents.tidy(installed | (last.contents if last else set()))
    for url in {prospect.package.remote for prospect in prospects}:
        device.mirror(url).tidy()
