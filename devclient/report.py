"""What commands show: the same facts as JSON for programs and as a table for people."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from devclient import trust_errors, update
from devclient.check import yanked_in_words
from devclient.errors import JournalError
from devclient.states import State
from mirror.errors import OTAError
from mirror.trust import time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from devclient.config import Settings
    from devclient.device import Device
    from devclient.poll import Prospect
    from devclient.records.results import Result
    from devclient.state import Package
    from devclient.trust.standing import Standing

_SHOWN = 20
"""Lines of a hook's output that people are shown; `--json` has all that was kept."""
Failure = tuple[str, str, str]
"""What went wrong with a package: its remote as the state file has it, the code of the error, and its message."""


def of_prospect(prospect: Prospect) -> dict[str, Any]:
    """Tell what a mirror offers of one package, and what is in the way."""
    finding, plan = prospect.finding, prospect.plan
    offer = finding.offer if finding else None
    return {
        "package": prospect.package.name,
        "branch": prospect.package.branch,
        "installed": prospect.package.version,
        "offered": offer.content.version if offer else "",
        "size": offer.size if offer else None,
        "with": [str(each) for each in finding.changes if each is not offer] if finding else [],
        "target": next((step.target for step in plan.steps if step.package == prospect.package.name), "")
        if plan
        else "",
        "why": finding.why if finding else "",
        "skipped": [{"version": each.version, "why": each.why} for each in finding.skipped] if finding else [],
        "yanked": finding.yanked if finding else None,
        "error": str(prospect.error or ""),
    }


def of_package(package: Package, last: Result | None, bad: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Tell what is installed and wanted of one package, what the last update came to, and what failed here."""
    return {
        "package": package.name,
        "branch": package.branch,
        "installed": package.version,
        "local": package.local,
        "pin": package.pin,
        "auto": package.auto,
        "bad": [mark for mark in bad if mark["package"] == package.name],
        "yanked": last.yank_of(package.version) if last else None,
        "last": last.fields() if last else None,
    }


def pending(device: Device) -> str:
    """Say what waits for `otadevice recover` or for a reboot, "" if nothing does."""
    try:
        record = update.open_journal(device).record
    except JournalError as error:
        return str(error)
    if record.state is State.IDLE:
        return ""
    if record.reboot == device.boot:
        return "an update waits for this device to be rebooted"
    return f"an update was cut off in {record.state}, or is at work; `otadevice recover` brings it to its end"


def undoing(device: Device) -> list[dict[str, str]]:
    """Tell what `otadevice rollback` would undo."""
    last = device.plans.last
    steps = last.steps if last else ()
    return [
        {
            "package": step.package,
            "from": step.after.version if step.after else "",
            "to": step.before.version if step.before else "",
        }
        for step in steps
    ]


def remarks(further: Mapping[str, Any]) -> list[str]:
    """Show what `pending` and `undoing` told, a line each."""
    lines = [further["pending"]] if further.get("pending") else []
    if undo := further.get("rollback"):
        steps = (f"{step['package']} {step['from']} to {step['to'] or 'nothing'}" for step in undo)
        lines.append(f"rollback would take {', '.join(steps)}")
    return lines


def obstacles(prospects: Iterable[Prospect]) -> list[Failure]:
    """Tell what is in the way of packages."""
    failed = [(each.package.remote, each.error) for each in prospects if isinstance(each.error, OTAError)]
    return [(remote, error.code, str(error)) for remote, error in failed]


def failures(packages: Iterable[Package], last: Mapping[str, Result]) -> list[Failure]:
    """Tell why the last update of packages failed."""
    found = [(each, last[each.name]) for each in packages if each.name in last]
    return [(package.remote, result.code, result.message) for package, result in found]


def trust(
    settings: Settings, standings: Mapping[str, Standing | None], failures: Iterable[Failure]
) -> dict[str, dict[str, Any]]:
    """Tell of each remote where its metadata stands, and why it was not believed, if it was not."""
    told = {name: _of_standing(standing) for name, standing in standings.items()}
    for url, code, message in failures:
        remote = settings.remote(url)
        if remote and code in trust_errors.CODES:
            told[remote.name] |= {"error": {"code": code, "message": message}}
    return told


def mirrors(trust: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Show what `trust` told, a line for each remote."""
    return [f"mirror {name}: {'; '.join(_of_mirror(told))}" for name, told in trust.items()]


def offers(rows: Sequence[Mapping[str, Any]], width: int) -> str:
    """Show what `of_plan` told as a table."""
    lines = [
        (row["package"], row["branch"], row["installed"] or "-", row["offered"] or "-", "\n".join(_notes(row)))
        for row in rows
    ]
    return _table(("PACKAGE", "BRANCH", "INSTALLED", "OFFERED", "NOTE"), lines, width)


def packages(rows: Sequence[Mapping[str, Any]], width: int) -> str:
    """Show what `of_package` told as a table."""
    lines = [
        (row["package"], row["branch"], row["installed"] or "(wanted)", row["local"] or "-", _story(row))
        for row in rows
    ]
    return _table(("PACKAGE", "BRANCH", "INSTALLED", "LOCAL", "LAST UPDATE"), lines, width)


def outcome(result: Result) -> str:
    """Say in one line what came of an update."""
    return f"{result.package} ({result.branch}): {_what_came(result.fields())}"


def _what_came(result: Mapping[str, Any]) -> str:
    if result["to"]:
        return _change(result["version"], result["to"])
    if result["outcome"] not in {"nothing newer", "updated"}:
        return f"{result['outcome']}: {result['message']}" if result["message"] else str(result["outcome"])
    return str(result["message"] or result["outcome"])


def _of_standing(standing: Standing | None) -> dict[str, Any]:
    return {
        "root": standing.root if standing else None,
        "timestamp": standing.timestamp if standing else None,
        "issued": time(standing.issued) if standing and standing.issued else "",
        "expires": time(standing.expires) if standing else "",
        "error": None,
    }


def _of_mirror(told: Mapping[str, Any]) -> Iterator[str]:
    if told["error"]:
        yield f"not believed ({told['error']['code']})"
    if told["root"] is None:
        yield "never verified"
    else:
        yield f"signed {told['issued']}, good until {told['expires']}"


def _notes(row: Mapping[str, Any]) -> Iterator[str]:
    if row["error"]:
        yield row["error"]
    elif row["target"]:
        along = f", together with {', '.join(row['with'])}" if row["with"] else ""
        yield f"{row['size']} bytes, goes to {row['target']}{along}"
    elif row["why"]:
        yield row["why"]
    # where nothing is offered, `why` speaks of the first of them
    for each in row["skipped"] if row["offered"] else row["skipped"][1:]:
        yield f"{each['version']} {each['why']}"
    if row["yanked"] is not None:
        yield f"{row['installed']} {yanked_in_words(row['yanked'])}"


def _story(row: Mapping[str, Any]) -> str:
    return "\n".join(_lines(row))


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    last = row["last"]
    if last is None:
        yield "none yet"
    else:
        yield f"{last['at']} {_what_came(last)}"
        yield from last["complaints"]
        yield from (f"  | {line}" for line in last["output"].splitlines()[-_SHOWN:])
    if row["pin"]:
        yield f"pinned to {row['pin']}"
    yield from (f"{mark['version']} is not taken again: {mark['reason']}" for mark in row["bad"])
    if row["yanked"] is not None:
        yield f"{row['installed']} {yanked_in_words(row['yanked'])}"


def _change(version: str, to: str) -> str:
    return f"updated {version} to {to}" if version else f"installed {to}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    table = Table(box=None, pad_edge=False, header_style="")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
