"""One poll: every package asked about, and what is offered taken, one update after the other.

A package that cannot be updated stops no other. What came of it is kept for `status`.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devclient import check, download, draft, outcome, state, update
from devclient.draft import Desk
from devclient.errors import ProvisionError, RebootError, SuccessionError, WaitingError
from devclient.held_errors import InhibitedError, StoppedError, WindowError
from devclient.records import identity, results
from devclient.records.results import Result
from devclient.solve import rollout
from devclient.states import State
from mirror.errors import OTAError
from mirror.trust import time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devclient.check import Finding, Wish
    from devclient.device import Device, Mirror
    from devclient.plan import Plan
    from devclient.solve.rollout import Turn
    from devclient.state import Package

    Among = Callable[[Package], bool]


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prospect:
    """What could be done about one package.

    Attributes:
        finding: what the check found; None if it failed.
        plan: what can be done, at once or after a wait; None if nothing is offered, or it has no place here.
        error: what is in the way.
        along: the package whose update this is, "" if it is its own.
    """

    package: Package
    finding: Finding | None = None
    plan: Plan | None = None
    error: OTAError | OSError | None = None
    along: str = ""

    def brings(self, package: str) -> bool:
        """Whether it would change a package."""
        return self.plan is not None and self.error is None and self.plan.touches(package)


def look(device: Device, only: str = "", wish: Wish | None = None, *, among: Among | None = None) -> list[Prospect]:
    """Ask the mirrors about every package, or `only` one, as if each update before had come through; see `run`.

    Nothing is changed.
    """
    names, now = _names(device, only, among), state.load(device.settings.state)
    then, found = now, list[Prospect]()
    for package in [each for each in now.packages if each.name in names]:
        if leader := next((each for each in found if each.brings(package.name)), None):
            found.append(replace(leader, package=package, along=leader.package.name))
            continue
        found.append(_look(package, then, device, wish))
        then = _after(found[-1], then)
    return found


def run(device: Device, only: str = "", wish: Wish | None = None, *, among: Among | None = None) -> list[Result]:
    """Finish what was cut off, then update every package, or `only` one, and keep what came of it.

    Args:
        device: which device.
        only: the name of a package, "" for all.
        wish: which release of it is wanted, instead of the highest.
        among: tells which packages are to be updated at all, None for each.

    Raises:
        RebootError: an update that was begun before waits for a reboot.
        StateError: the state file is not usable.
        OSError: what was cut off cannot be finished.
    """
    done = recover(device)
    identity.ensure(device.work, device.files)
    prospects: list[Prospect] = []
    changed: set[str] = set()
    for name in _names(device, only, among):
        if device.lifeline.stopping:
            break
        # read again each time: it is its owner's file, and an update may have changed other packages with it
        current = state.load(device.settings.state)
        package = current.package(name)
        if package is None or name in changed:
            continue
        prospects.append(_look(package, current, device, wish))
        came = _take(prospects[-1], device, wished=wish is not None)
        changed |= came.keys()
        done |= came
        if update.open_journal(device).record.state is not State.IDLE:
            break  # it goes on after a reboot, or once the disk works again
        if device.settings.itself in came and came[device.settings.itself].to:
            break  # what comes after it is for the new otadevice, or it could not be put back
    else:
        _tidy(prospects, device, whole=not (only or among))
    _keep(done, device)
    return list(done.values())


def recover(device: Device, *, early: bool = False) -> dict[str, Result]:
    """Finish what was cut off, without a network; returns what came of it, by package; see `update.recover`.

    Raises:
        RebootError: as `run`.
        OSError: as `run`.
    """
    settled = update.recover(device, early=early)
    if settled is None:
        return {}
    found = outcome.by_package(settled, time(device.now()))
    _keep(found, device)
    return found


def desk(device: Device, current: state.State | None = None) -> Desk:
    """Lay out what plans are drawn up from; without a `current` state, it is read."""
    attempt = update.open_journal(device).record.sequence + 1
    return Desk(current or state.load(device.settings.state), device.settings, device.sets, device.contents, attempt)


def turn(device: Device, mirror: Mirror) -> Turn:
    """Tell when what is rolled out comes to this device; the time is not before what the mirror has signed last."""
    return rollout.turn(identity.load(device.work), max(device.now(), mirror.issued or device.now()))


def remove(name: str, device: Device) -> list[Result]:
    """Remove a package, installed or only wanted.

    Raises:
        ProvisionError: it is not there, or others depend on it.
        DeviceError: as `update.carry_out`.
        OSError: as `update.carry_out`.
    """
    here = desk(device)
    package = here.state.package(name)
    if package is None:
        raise _missing(name, device)
    users = [each.name for each in here.state.packages if name in each.dependencies]
    if users:
        verb, those = ("depends", "that") if len(users) == 1 else ("depend", "those")
        raise ProvisionError(f"{', '.join(users)} {verb} on {name}; remove {those} first, nothing was changed")
    if package.version:
        return settle(draft.removal(package, here), device)
    state.save(here.state.without(name), device.settings.state, device.files)
    done = Result(name, package.branch, "removed", at=time(device.now()))
    _keep({name: done}, device)
    return [done]


def settle(plan: Plan, device: Device, *, forced: bool = False) -> list[Result]:
    """Carry out a plan that its owner asked for, and keep what came of it; see `update.carry_out`.

    Raises:
        DeviceError: as `update.carry_out`.
        OSError: as `update.carry_out`.
    """
    came = outcome.by_package(update.carry_out(plan, (), device, forced=forced), time(device.now()))
    _keep(came, device)
    return list(came.values())


def _keep(came: Mapping[str, Result], device: Device) -> None:
    """Keep results for `status`; that the disk is full does not make an update a failure."""
    try:
        results.save(came, device.work, device.files)
    except OSError as error:
        _log.warning("the results are not kept for `otadevice status`: %s", error)


def _names(device: Device, only: str, among: Among | None) -> list[str]:
    packages = state.load(device.settings.state).packages
    if only and only not in [package.name for package in packages]:
        raise _missing(only, device)
    return [package.name for package in packages if only in {"", package.name} and (among is None or among(package))]


def _missing(name: str, device: Device) -> ProvisionError:
    return ProvisionError(f"{name} is not in {device.settings.state}; `otadevice add` adds it")


def _look(package: Package, current: state.State, device: Device, wish: Wish | None) -> Prospect:
    finding = plan = None
    try:
        finding = check.check(
            package,
            current.packages,
            device.mirror(package.remote),
            bad=device.marks.bad,
            wish=wish,
            lacks=lambda content: device.contents.get(content) is None,
            remote=device.settings.remote_name,
            turn=functools.partial(turn, device, device.mirror(package.remote)),
        )
        plan = draft.update(finding, package, desk(device, current)) if finding.offer else None
        if plan and (wait := device.marks.wait(plan.identity, device.now())):
            raise WaitingError(str(plan), wait.times, time(wait.until))
    except (OTAError, OSError) as error:
        return Prospect(package, finding, plan, error)
    return Prospect(package, finding, plan)


def _after(prospect: Prospect, before: state.State) -> state.State:
    """Tell what the state would be after the update of a package, if there is one."""
    if prospect.finding is None or prospect.plan is None or prospect.error:
        return before
    then = before
    for offer, step in zip(prospect.finding.changes, prospect.plan.steps, strict=True):
        entry = then.package(step.package) or state.Package({"package": step.package, "branch": step.branch})
        then = then.including(entry.installed(offer.content, step.local))
    return then


def _take(prospect: Prospect, device: Device, *, wished: bool) -> dict[str, Result]:
    """Carry out what can be done about a package; returns what came of it, by package."""
    package, finding, plan = prospect.package, prospect.finding, prospect.plan
    result = _result(prospect, device)
    try:
        if prospect.error:
            raise prospect.error
        if plan is None or finding is None:
            result = replace(result, message=finding.why if finding else "")
            # what its owner asks for by its version, and cannot have, is a failure
            refused = replace(result, outcome="failed", code="not-taken", exit_code=1)
            return {package.name: refused if wished else result}
        contents = [offer.content for offer in finding.changes]
        done = update.carry_out(plan, [*contents, *filter(None, [finding.current])], device)
    except (OTAError, OSError) as error:
        code, exit_code = (error.code, error.exit_code) if isinstance(error, OTAError) else ("system", 1)
        how = _OUTCOMES.get(type(error), "failed")
        return {package.name: replace(result, outcome=how, message=str(error), code=code, exit_code=exit_code)}
    came = outcome.by_package(done, time(device.now()))
    return {**came, package.name: replace(came[package.name], skipped=result.skipped)}


_OUTCOMES = {
    RebootError: "waits for a reboot",
    SuccessionError: "waits for the new otadevice",
    **dict.fromkeys((WaitingError, InhibitedError, WindowError, StoppedError), "waits"),
}


def _result(prospect: Prospect, device: Device) -> Result:
    package, finding = prospect.package, prospect.finding
    result = Result(package.name, package.branch, "nothing newer", package.version, at=time(device.now()))
    if finding is None:
        # what was known before holds for a mirror that cannot be asked now
        last = results.load(device.work).get(package.name, result)
        return replace(result, offered=last.offered, skipped=last.skipped, yanked=last.yank_of(package.version))
    offered = finding.offer.content.version if finding.offer else ""
    skipped = [dataclasses.asdict(each) for each in finding.skipped[:_MOST_SKIPPED]]
    return replace(result, offered=offered, skipped=skipped, yanked=finding.yanked)


_MOST_SKIPPED = 20
"""How many releases that were passed over are kept for `status`."""


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
