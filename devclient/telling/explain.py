"""Why a package is at the release at which it is: every release of its branch, and what speaks for or against it.

What an update of the package alone would take is asked of `poll`, and told as it was found; what was not computed is
not claimed. Nothing is changed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devclient import check, downloads, poll, update
from devclient.errors import JournalError
from devclient.install import room
from devclient.records import results
from devclient.states import State
from mirror.errors import OTAError
from mirror.version import order_key, sort_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devclient.check import Finding
    from devclient.device import Device
    from devclient.plan import Plan
    from devclient.poll import Prospect
    from devclient.records.results import Result
    from devclient.state import Package
    from mirror.releases import Entry

_IN_VAIN = {"failed", "rolled back", "postponed", "lost"}
INSTALLED, OFFERED, PASSED_OVER = "installed", "offered", "passed over"


@dataclass(frozen=True)
class Verdict:
    """One release, and why it is or is not the one.

    Attributes:
        published: when, as the list says.
        verdict: "installed", "offered" or "passed over".
        why: words that follow its name.
    """

    version: str
    published: str
    verdict: str
    why: str


@dataclass(frozen=True)
class Explanation:
    """What there is of a package, and why not more of it.

    Attributes:
        prospect: what could be done about it.
        releases: all of the branch, highest first; none where the mirror could not be asked.
        obstacles: what keeps the release that is offered from being installed now, in sentences.
        error: why the releases are not known.
    """

    prospect: Prospect
    releases: tuple[Verdict, ...] = ()
    obstacles: tuple[str, ...] = ()
    error: OTAError | OSError | None = None


def explain(name: str, device: Device, obstacles: Sequence[str] = ()) -> Explanation:
    """Explain where the package `name` is, and why.

    Args:
        name: that of a package of the state file.
        device: which device.
        obstacles: what keeps any update from being installed now, in sentences.

    Raises:
        ProvisionError: the package is not in the state file.
        StateError: the state file is not usable.
    """
    (prospect,) = poll.look(device, name)
    package, finding = prospect.package, prospect.finding
    if finding is None:
        return Explanation(prospect, error=prospect.error)
    try:
        mirror = device.mirror(package.remote)
        turn = functools.partial(poll.turn, device, mirror)
        judged = check.refusals(package, mirror, bad=device.marks.bad, turn=turn)
    except (OTAError, OSError) as error:
        return Explanation(prospect, error=error)
    failed = _failure(results.load(device.work).get(name))
    releases = tuple(_remembering(_verdict(entry, refused, package, finding), failed) for entry, refused in judged)
    in_the_way = (*obstacles, *_obstacles(prospect, device)) if finding.offer else ()
    return Explanation(prospect, releases, in_the_way)


def _failure(last: Result | None) -> tuple[str, str]:
    """Return the release that the last update tried in vain, and what came of it."""
    if last is None or last.to or last.outcome not in _IN_VAIN:
        return "", ""
    return last.offered, f"{last.outcome}: {last.message}" if last.message else last.outcome


def _remembering(verdict: Verdict, failed: tuple[str, str]) -> Verdict:
    """Say of a release that is to be installed what came of it the last time."""
    version, came = failed
    if verdict.verdict != OFFERED or verdict.version != version:
        return verdict
    return replace(verdict, why=f"{verdict.why}; the last try ended so, {came}")


def _verdict(entry: Entry, refused: str, package: Package, finding: Finding) -> Verdict:
    if entry.version == package.version:
        taken_back = f", but {check.yanked_in_words(entry.yanked)}" if entry.yanked is not None else ""
        return Verdict(entry.version, entry.published, INSTALLED, f"is installed{taken_back}")
    if finding.offer and entry.version == finding.offer.content.version:
        return Verdict(entry.version, entry.published, OFFERED, _why_this(package, finding))
    return Verdict(entry.version, entry.published, PASSED_OVER, _why_not(entry, refused, package, finding))


def _why_this(package: Package, finding: Finding) -> str:
    others = [str(each) for each in finding.changes if each is not finding.offer]
    along = f", with {', '.join(others)}" if others else ""
    version = finding.offer.content.version if finding.offer else ""
    if package.version and sort_key(version) < sort_key(package.version):
        return f"is to be installed{along}: it is what the mirror names to replace {package.version}"
    return f"is to be installed{along}"


def _why_not(entry: Entry, refused: str, package: Package, finding: Finding) -> str:
    if skipped := next((each for each in finding.skipped if each.version == entry.version), None):
        return skipped.why
    if package.version and sort_key(entry.version) < sort_key(package.version):
        besides = f"; besides, it {refused}" if refused else ""
        return f"is below {package.version}, which is installed, and a device does not go back by itself{besides}"
    if refused:
        return refused
    if finding.offer:
        taken = finding.offer.content.version
        if order_key(entry.version) == order_key(taken):
            return f"is the same version as {taken}, which can be taken and comes first by its spelling alone"
        return f"was not tried, because {taken} is higher and can be taken"
    return f"was not tried: {check.MOST_TRIED} above it do not go with what is installed"


def _obstacles(prospect: Prospect, device: Device) -> Iterator[str]:
    """Tell what keeps an offer from being installed now, apart from what its owner has set."""
    yield from _unfinished(device)
    if prospect.error:
        yield str(prospect.error)
    if prospect.plan:
        yield from _lack_of_room(prospect.plan, device)


def _unfinished(device: Device) -> Iterator[str]:
    """Tell whether an earlier update is in the way; one that was cut off is not, it is brought to its end first."""
    try:
        record = update.open_journal(device).record
    except JournalError:
        return  # no plan could be drawn up then, and that says why
    if record.state is not State.IDLE and record.reboot == device.boot:
        before = device.plans.load(record.plan) or "an earlier update"
        yield f"{before} waits for this device to be rebooted, and nothing else is begun before"


def _lack_of_room(planned: Plan, device: Device) -> Iterator[str]:
    """Tell whether the downloads have no room; what unpacking takes is counted when they are here."""
    try:
        room.check(downloads.needs(planned, device), device.free)
    except (OTAError, OSError) as error:
        yield str(error)
