"""What commands tell, as facts for programs: the objects that `--json` prints and `report` puts into words.

Times are UTC text, versions and paths "" where there is none.

`check` and `update --dry-run` tell for each package, in the order in which an update comes to them:
    package, branch, installed: as the state file has them.
    offered, size, target: the release that would be installed, the bytes of its blob, and where it goes.
    with: the other releases that change in the same update.
    along: the package whose update that is, if it is not its own.
    why: why nothing is offered; skipped: the releases above the offered one, and why each is passed over.
    yanked: what the mirror says if it has taken back the installed release.
    error: what is in the way.

`explain` tells of its package:
    package, branch, installed, offered, with, why: as `check`.
    obstacles: what keeps the offered release from being installed now, in sentences.
    releases: all of the branch, highest first: version, published, verdict ("installed", "offered" or "passed over")
    and why, in words that follow the version; none if the list has words in `needs` that are not understood.
    error: why nothing is known of the releases.

`status` tells for each package, without a network:
    package, branch, installed, local, pin, auto: as the state file has them.
    unneeded: whether it came along with a package that is not here any more.
    remarks: who else may change what is installed, or cannot use it, in sentences.
    offered, skipped, yanked: as `check`, as far as the last update knew.
    bad: the releases that are not taken again: content, package, version, reason, at.
    last: what the last update came to, `records.results.Result`.
    rolled_back: the one before that was rolled back, if nothing has changed the package since.

All tell `pending`, the update that is not at its end, null if there is none:
    state: that of the journal, "DAMAGED" if it cannot be read; update: what it brings.
    reboot: whether it waits for one; message: what to do.

`status` tells of `rollback`: steps, each a package that it would take from one version to another; possible, and
why if it is not.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from devclient import draft, poll, trust_errors, update
from devclient.errors import JournalError, UndoError
from devclient.states import State
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from devclient.device import Device
    from devclient.plan import Plan
    from devclient.poll import Prospect
    from devclient.records.results import Result
    from devclient.settings.config import Settings
    from devclient.state import Package
    from devclient.telling.explain import Explanation
    from devclient.trust.remote_status import RemoteStatus

Failure = tuple[str, str, str]
"""What went wrong with a package: its remote as the state file has it, the code of the error, and its message."""


def of_prospect(prospect: Prospect) -> dict[str, Any]:
    """Tell what a mirror offers of one package, and what is in the way."""
    name, finding = prospect.package.name, prospect.finding
    own = finding if finding and not prospect.along else None
    changes = finding.changes if finding else ()
    offer = next((each for each in changes if each.content.package == name), None)
    steps = prospect.plan.steps if prospect.plan else ()
    return {
        "package": name,
        "branch": prospect.package.branch,
        "installed": prospect.package.version,
        "offered": offer.content.version if offer else "",
        "size": offer.size if offer else None,
        "target": next((step.target for step in steps if step.package == name), ""),
        "with": [str(each) for each in changes if each is not offer],
        "along": prospect.along,
        "why": own.why if own else "",
        "skipped": [dataclasses.asdict(each) for each in own.skipped] if own else [],
        "yanked": own.yanked if own else None,
        "error": str(prospect.error or ""),
    }


def of_explanation(explained: Explanation) -> dict[str, Any]:
    """Tell where a package is, and what speaks for or against each release."""
    offer = of_prospect(explained.prospect)
    return {
        **{key: offer[key] for key in ("package", "branch", "installed", "offered", "with", "why")},
        "obstacles": list(explained.obstacles),
        "releases": [dataclasses.asdict(each) for each in explained.releases],
        "error": str(explained.error or ""),
    }


def of_package(
    package: Package,
    last: Result | None,
    undone: Result | None,
    bad: Iterable[Mapping[str, str]],
    unneeded: Sequence[Package],
    remarks: Sequence[str],
) -> dict[str, Any]:
    """Tell what is installed and wanted of one package, what the last update came to, and what failed here."""
    return {
        "package": package.name,
        "branch": package.branch,
        "installed": package.version,
        "local": package.local,
        "pin": package.pin,
        "auto": package.auto,
        "unneeded": package in unneeded,
        "remarks": list(remarks),
        "offered": last.offered if last and last.offered != package.version else "",
        "skipped": last.skipped if last else [],
        "yanked": last.yank_of(package.version) if last else None,
        "bad": [mark for mark in bad if mark["package"] == package.name],
        "last": last.fields() if last else None,
        "rolled_back": undone.fields() if undone else None,
    }


def pending(device: Device) -> dict[str, Any] | None:
    """Tell of an update that is not at its end."""
    try:
        record = update.open_journal(device).record
    except JournalError as error:
        return {"state": "DAMAGED", "update": "", "reboot": False, "message": str(error)}
    if record.state is State.IDLE:
        return None
    planned = str(device.plans.load(record.plan) or "an unknown release")
    reboot = record.reboot == device.boot
    if reboot:
        message = f"the update to {planned} waits for this device to be rebooted, and goes on after that"
    else:
        message = (
            f"the update to {planned} is in {record.state}: if no otadevice is at work, it was cut off, and "
            "`otadevice recover` brings it to its end"
        )
    return {"state": record.state, "update": planned, "reboot": reboot, "message": message}


def undoing(device: Device) -> dict[str, Any]:
    """Tell what `otadevice rollback` would undo."""
    last = device.plans.last
    why = _why_not(last, device)
    steps = [
        {
            "package": step.package,
            "from": step.after.version if step.after else "",
            "to": step.before.version if step.before else "",
        }
        for step in (last.steps if last else ())
    ]
    return {"possible": not why, "why": why, "steps": steps}


def obstacles(prospects: Iterable[Prospect]) -> list[Failure]:
    """Tell what is in the way of packages."""
    failed = [(each.package.remote, each.error) for each in prospects if isinstance(each.error, OTAError)]
    return [(remote, error.code, str(error)) for remote, error in failed]


def failures(packages: Iterable[Package], last: Mapping[str, Result]) -> list[Failure]:
    """Tell why the last update of packages failed."""
    found = [(each, last[each.name]) for each in packages if each.name in last]
    return [(package.remote, result.code, result.message) for package, result in found]


def trust(
    settings: Settings, statuses: Mapping[str, RemoteStatus], failures: Iterable[Failure]
) -> dict[str, dict[str, Any]]:
    """Tell of each remote where its metadata stands, what its URLs did, and why it was not believed, if it was not."""
    told = {name: status.fields() for name, status in statuses.items()}
    for url, code, message in failures:
        remote = settings.remote(url)
        if remote and code in trust_errors.CODES:
            told[remote.name] |= {"error": {"code": code, "message": message}}
    return told


def _why_not(last: Plan | None, device: Device) -> str:
    """Tell why the last update cannot be undone; nothing if it can."""
    if last is None:
        return "there is none, or it was undone already"
    try:
        draft.rollback(last, poll.desk(device))
    except UndoError as error:
        return error.problem
    except (OTAError, OSError) as error:
        return str(error)
    return ""
