"""What people see: progress bars on a terminal, plain lines elsewhere, tables, and logging set up for both."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from mirror import terminal
from mirror.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from builder.progress import Advance

_NARROWEST = 8  # columns of a terminal for each of a table; on a narrower one lines are broken
_LINE = "%(asctime)s %(levelname)s %(message)s"
_errors = Console(stderr=True, markup=False, highlight=False, emoji=False)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send log lines to standard error: coloured on a terminal, one plain line each elsewhere."""
    handler: logging.Handler = logging.StreamHandler()
    if _errors.is_terminal:
        handler = RichHandler(console=_errors, show_path=False, markup=False)
    handler.setFormatter(terminal.LineFormatter(None if _errors.is_terminal else _LINE))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("tuf").setLevel(logging.WARNING)  # it tells of every signature that is not there yet


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Show a bar on a terminal while something takes long; elsewhere nothing, the log has its lines."""
    with _bar(label, total, TaskProgressColumn()) as advance:
        yield advance


@contextlib.contextmanager
def transfer(label: str, total: int) -> Iterator[Advance]:
    """Show a bar as `progress` does, for bytes: how many there were, of how many, and how many in a second."""
    with _bar(label, total, DownloadColumn(), TransferSpeedColumn()) as advance:
        yield advance


@contextlib.contextmanager
def _bar(label: str, total: int, *amounts: ProgressColumn) -> Iterator[Advance]:
    if not _errors.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *amounts, TimeRemainingColumn())
    with Progress(*columns, console=_errors, transient=True) as bar:
        task = bar.add_task(one_line(label), total=total)
        yield lambda amount: bar.advance(task, amount)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "") -> None:
    """Print rows under headings, aligned on a terminal and separated by tabs elsewhere; `empty` says there are none."""
    cells = ([one_line(str(cell)) for cell in row] for row in rows)
    first = next(cells, None)
    if first is None:
        terminal.echo(empty, err=True, nl=bool(empty))
    elif sys.stdout.isatty():
        _aligned(headings, itertools.chain([first], cells))
    else:
        for row in itertools.chain([headings, first], cells):
            terminal.echo("\t".join(row))


def _aligned(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")  # nothing is cut off
    for row in rows:
        table.add_row(*row)
    width = max(Console().width, _NARROWEST * len(headings))
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)


def as_json(value: object) -> None:
    """Print a value as JSON for programs."""
    terminal.echo(json.dumps(value, ensure_ascii=False, indent=2))


def size(number: int) -> str:
    """Return a number of bytes as people read it."""
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
