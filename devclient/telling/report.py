"""What people are shown: the `facts`, put into lines and tables."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from devclient.check import yanked_in_words
from mirror.text import one_line
from mirror.version import sort_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from devclient.records.results import Result

    Row = Mapping[str, Any]

NOTHING_WANTED = "no packages yet, add one with `otadevice add`"
_NARROWEST = 8  # columns of a terminal for each of a table; on a narrower one lines are broken
_SHOWN = 20
"""Lines of a hook's output that people are shown; `--json` has all that was kept."""


def mirrors(trust: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Show where the mirrors stand, a line for each, and below it what is held against its URLs."""
    return [line for name, told in trust.items() for line in _mirror(name, told)]


def remarks(further: Mapping[str, Any]) -> list[str]:
    """Show what holds for the whole device, a line each: what is not at its end, and what can be undone."""
    lines = [further["pending"]["message"]] if further.get("pending") else []
    undo = further.get("rollback")
    # it would end what is pending first, and who knows what comes then
    if undo and undo["steps"] and not lines:
        steps = ", ".join(f"{each['package']} {each['from']} to {each['to'] or 'nothing'}" for each in undo["steps"])
        not_now = "" if undo["possible"] else f", but that is not possible: {undo['why']}"
        lines.append(f"rollback would take {steps}{not_now}")
    return lines


def offers(rows: Sequence[Row], width: int) -> str:
    """Show what `facts.of_prospect` told as a table."""
    lines = [
        (
            row["package"],
            row["branch"],
            row["installed"] or "-",
            row["offered"] or "-",
            "\n".join(map(one_line, _notes(row))),
        )
        for row in rows
    ]
    return _table(("PACKAGE", "BRANCH", "INSTALLED", "OFFERED", "NOTE"), lines, width)


def explanations(rows: Sequence[Row], width: int) -> str:
    """Show what `facts.of_explanation` told: where the package is, and below it a table of its releases."""
    return "\n".join(line for row in rows for line in _explanation(row, width))


def packages(rows: Sequence[Row], width: int) -> str:
    """Show what `facts.of_package` told: a table, and below it the story of each package."""
    lines = [
        (row["package"], row["branch"], row["installed"] or "-", row["offered"] or "-", row["local"] or "-")
        for row in rows
    ]
    table = _table(("PACKAGE", "BRANCH", "INSTALLED", "OFFERED", "LOCAL"), lines, width)
    # not in the table: lines of a hook's output should stay as they are
    return "\n".join([table, "", *(one_line(line) for row in rows for line in _story(row))])


def outcome(result: Result) -> str:
    """Say in one line what came of an update."""
    more = "; `otadevice status` shows the output" if result.output else ""
    return f"{result.package} ({result.branch}): {one_line(_what_came(result.fields()))}{more}"


def _what_came(result: Mapping[str, Any]) -> str:
    if result["to"]:
        return _change(result["version"], result["to"])
    if result["message"] and result["outcome"] in _SAID_BY_MESSAGE:
        return str(result["message"])
    return f"{result['outcome']}: {result['message']}" if result["message"] else str(result["outcome"])


_SAID_BY_MESSAGE = {"nothing newer", "waits", "waits for a reboot"}


def _change(version: str, to: str) -> str:
    if not version:
        return f"installed {to}"
    if version == to:
        return f"installed {to} again"
    return f"updated {version} to {to}" if sort_key(version) < sort_key(to) else f"went back from {version} to {to}"


def _mirror(name: str, told: Mapping[str, Any]) -> Iterator[str]:
    yield f"mirror {name}: {'; '.join(_of_mirror(told))}"
    if told["clock"]:
        floor, system = told["clock"]["floor"], told["clock"]["system"]
        yield f"  expiries are judged by {floor}, as the mirror has signed, and not by the clock, which shows {system}"
    if behind := told["behind"]:
        yield f"  behind since {behind['since']}, at {behind['polls']} polls: {behind['message']}"
    for each in told["urls"] if len(told["urls"]) > 1 else ():  # what is wrong with the only one is told as such
        if each["held"]:
            yield f"  asked after the others since {each['held']['at']}: {each['held']['message']}"


def _of_mirror(told: Mapping[str, Any]) -> Iterator[str]:
    if told["error"]:
        yield f"not believed ({told['error']['code']})"
    if told["root"] is None:
        yield "never verified"
    else:
        yield f"signed {told['issued']}, good until {told['expires']}"


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(map(one_line, texts))


def _notes(row: Row) -> Iterator[str]:
    if row["error"]:
        yield row["error"]
    elif row["target"]:
        along = f", with {', '.join(row['with'])}" if row["with"] else ""
        yield f"{row['size']} bytes, goes to {row['target']}{along}"
    elif row["why"]:
        yield row["why"]
    # where nothing is offered, `why` speaks of the first of them
    yield from _passed_over(row["skipped"] if row["offered"] else row["skipped"][1:])
    if row["yanked"] is not None:
        yield f"{row['installed']} {yanked_in_words(row['yanked'])}"


def _explanation(row: Row, width: int) -> Iterator[str]:
    here = f"{row['installed']} is installed" if row["installed"] else "nothing is installed"
    more = row["error"] or row["why"] or f"{row['offered']} is offered"
    yield f"{row['package']} ({row['branch']}): {here}; {one_line(more)}"
    yield from (f"  not now: {one_line(obstacle)}" for obstacle in row["obstacles"])
    if row["releases"]:
        lines = [tuple(one_line(each[key]) for key in ("version", "published", "why")) for each in row["releases"]]
        yield f"\n{_table(('RELEASE', 'PUBLISHED', 'WHY'), lines, width)}"


def _story(row: Row) -> Iterator[str]:
    """Tell of one package what came of it, and why not more."""
    told = [each for each in (row["last"], row["rolled_back"]) if each]
    lines = [line for each in told for line in _of_update(each)] or ["no update yet"]
    first, *others = [*lines, *_lasting(row, " ".join(each["message"] for each in told))]
    yield f"{row['package']}: {first}"
    yield from (f"  {line}" for line in others)


def _of_update(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['at']} {_what_came(told)}"
    yield from (f"besides: {complaint}" for complaint in told["complaints"])
    yield from (f"| {line}" for line in told["output"].splitlines()[-_SHOWN:])


def _lasting(row: Row, said: str) -> Iterator[str]:
    """Tell what holds for a package until somebody acts; no reason again that was `said` before."""
    if row["pin"]:
        yield f"pinned to {row['pin']}"
    if row["unneeded"]:
        yield f"came along with a package that is not here any more; `otadevice remove {row['package']}` removes it"
    yield from row["remarks"]
    for mark in row["bad"]:
        reason = "" if mark["reason"] in said else f": {mark['reason']}"
        yield f"{mark['version']} is not taken until `otadevice clear-bad {row['package']}`{reason}"
    bad = {mark["version"] for mark in row["bad"]}
    yield from _passed_over([each for each in row["skipped"] if each["version"] not in bad and each["why"] not in said])
    if row["yanked"] is not None:
        yield f"{row['installed']} {yanked_in_words(row['yanked'])}"


def _passed_over(skipped: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield from (f"{each['version']} {each['why']}" for each in skipped)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    table = Table(box=None, pad_edge=False, header_style="")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = max(width, _NARROWEST * len(columns))
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
