"""What people see: progress bars on a terminal, plain lines elsewhere, tables, and logging set up for both."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

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
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROLS_IN_LINES = re.compile(f"(?!\n){_CONTROLS.pattern}")
_errors = Console(stderr=True)


def one_line(text: str) -> str:
    """Return a text as one line that a terminal shows as it is: control characters are escaped."""
    return _escaped(_CONTROLS, "; ".join(text.split("\n")))


def _escaped(controls: re.Pattern[str], text: str) -> str:
    return controls.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _LineFormatter(logging.Formatter):
    """Makes one line of each record, whatever it holds: strangers name much of what is logged."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line of a record."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Return a traceback, the only thing that has several lines."""
        return _escaped(_CONTROLS_IN_LINES, super().formatException(ei))


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send log lines to standard error: coloured on a terminal, one plain line each elsewhere."""
    handler: logging.Handler = logging.StreamHandler()
    if _errors.is_terminal:
        handler = RichHandler(console=_errors, show_path=False, markup=False)
    handler.setFormatter(_LineFormatter("%(message)s" if _errors.is_terminal else _LINE))
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
