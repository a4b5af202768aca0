"""`python -m tests.bench`: runs the benchmarks, prints a table for each, and writes all rows as JSON."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from tests.bench.idling import idle
from tests.bench.polling import poll
from tests.bench.publishing import publish
from tests.bench.rendering import render
from tests.bench.sites import Ground
from tests.bench.updating import update
from tests.bench.uploading import upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# in this order: a render leaves a site as it was, a publish does not
BENCHMARKS: dict[str, Callable[[Ground], Iterable[Any]]] = {
    "render": render,
    "publish": publish,
    "poll": poll,
    "upload": upload,
    "update": update,
    "idle": idle,
}

_QUICK = (1_000, 5_000)
_console = Console(width=max(120, Console().width))


@click.command()
@click.option("--quick", is_flag=True, help="Only small sites and packages: shows that it works, not what it costs.")
@click.option("--only", type=click.Choice([*BENCHMARKS]), help="Run this one alone.")
@click.option("--output", type=click.Path(path_type=Path), default="bench.json", show_default=True)
def main(output: Path, only: str | None, *, quick: bool) -> None:
    """Measure what rendering, publishing, receiving and updating cost."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="otamirror-bench-") as folder:
        ground = Ground(Path(folder))
        if quick:
            ground = dataclasses.replace(
                ground, rendered=_QUICK, published=_QUICK, rounds=5, uploaded_mib=16, updated_mib=16, idle_polls=200
            )
        for name in [only] if only else BENCHMARKS:
            _console.print(f"measuring {name} ...")
            found[name] = [dataclasses.asdict(row) for row in BENCHMARKS[name](ground)]
            _show(BENCHMARKS[name], found[name])
        _console.print(f"removing {folder} ...")
    output.write_text(json.dumps({"quick": quick, "machine": _machine(), **found}, indent=2) + "\n")
    _console.print(f"written to {output}")


def _show(benchmark: Callable[..., object], rows: list[dict[str, Any]]) -> None:
    title, _, meaning = (inspect.getdoc(benchmark) or "").partition("\n\n")
    table = Table(title=title, title_justify="left")
    for name, value in rows[0].items():
        table.add_column(name.replace("_", " "), justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*map(_shown, row.values()))
    _console.print(table)
    _console.print(meaning.replace("\n", " "), highlight=False)


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return "-" if value is None else str(value)


def _machine() -> dict[str, object]:
    return {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}


if __name__ == "__main__":
    main()
