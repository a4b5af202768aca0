"""What commands show: the same facts as JSON for programs and as a table for people."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from devclient import trust_errors
from devclient.check import yanked_in_words
from mirror.errors import OTAError
from mirror.trust import time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from devclient.config import Settings
    from devclient.results import Result
    from devclient.state import Package
    from devclient.trust.standing import Standing
    from devclient.update import Plan

Failure = tuple[str, str, str]
"""What went wrong with a package: its remote as the state file has it, the code of the error, and its message."""


def of_plan(plan: Plan) -> dict[str, Any]:
    """Tell what a mirror offers of one package, and what is in the way."""
    finding = plan.finding
    offer = finding.offer if finding else None
    return {
        "package": plan.package.name,
        "branch": plan.package.branch,
        "installed": plan.package.version,
        "offered": offer.content.version if offer else "",
        "size": offer.size if offer else None,
        "target": str(plan.step.target) if plan.step else "",
        "why": finding.why if finding else "",
        "skipped": [{"version": each.version, "why": each.why} for each in finding.skipped] if finding else [],
        "yanked": finding.yanked if finding else None,
        "error": str(plan.error or ""),
    }


def of_package(package: Package, last: Result | None) -> dict[str, Any]:
    """Tell what is installed and wanted of one package, and what the last update came to."""
    return {
        "package": package.name,
        "branch": package.branch,
        "installed": package.version,
        "local": package.local,
        "yanked": last.yank_of(package.version) if last else None,
        "last": last.fields() if last else None,
    }


def obstacles(plans: Iterable[Plan]) -> list[Failure]:
    """Tell what is in the way of plans."""
    return [
        (plan.package.remote, plan.error.code, str(plan.error)) for plan in plans if isinstance(plan.error, OTAError)
    ]


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
    what = _change(result.version, result.to) if result.to else result.message
    return f"{result.package} ({result.branch}): {what}"


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
        yield f"{row['size']} bytes, goes to {row['target']}"
    elif row["why"]:
        yield row["why"]
    # where nothing is offered, `why` speaks of the first of them
    for each in row["skipped"] if row["offered"] else row["skipped"][1:]:
        yield f"{each['version']} {each['why']}"
    if row["yanked"] is not None:
        yield f"{row['installed']} {yanked_in_words(row['yanked'])}"


def _story(row: Mapping[str, Any]) -> str:
    last = row["last"]
    if last is None:
        return "none yet"
    what = _change(last["version"], last["to"]) if last["to"] else last["outcome"]
    lines = [f"{last['at']} {what}"]
    if last["outcome"] == "failed":
        lines.append(last["message"])
    if row["yanked"] is not None:
        lines.append(f"{row['installed']} {yanked_in_words(row['yanked'])}")
    return "\n".join(lines)


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
