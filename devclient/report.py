"""What commands show: the same facts as JSON for programs and as a table for people."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from devclient.check import yanked_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from devclient.results import Result
    from devclient.state import Package
    from devclient.update import Plan


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
