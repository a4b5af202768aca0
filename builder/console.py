"""What people see: progress bars on a terminal, plain lines elsewhere, tables, and logging set up for both."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from typing import TYPE_CHECKING

import click
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from builder.progress import Advance

_LINE = "%(asctime)s %(levelname)s %(message)s"
_errors = Console(stderr=True)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send log lines to standard error: coloured on a terminal, one plain line each elsewhere."""
    handler: logging.Handler = logging.StreamHandler()
    if _errors.is_terminal:
        handler = RichHandler(console=_errors, show_path=False, markup=False)
    logging.basicConfig(
        level=level, format="%(message)s" if _errors.is_terminal else _LINE, handlers=[handler], force=True
    )
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
    columns = (TextColumn("{task.description}"), BarColumn(), *amounts, TimeRemainingColumn())
    with Progress(*columns, console=_errors, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda amount: bar.advance(task, amount)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings: aligned on a terminal, separated by tabs elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(str(cell) for cell in row))
        return
    shown = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    Console().print(shown)


def as_json(value: object) -> None:
    """Print a value as JSON for programs."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def size(number: int) -> str:
    """Return a number of bytes as people read it."""
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
