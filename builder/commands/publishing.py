"""Commands of publishers: `pack`, `push`."""

from __future__ import annotations

from pathlib import Path

import click

from builder import console
from builder.commands import options
from builder.commands.pushing import run_push, size, warn
from builder.pack import pack
from mirror import terminal
from mirror.files import Files


@click.command("pack")
@click.argument("file", type=click.Path(path_type=Path))
@options.release(required=True)
@click.option("--output", type=click.Path(path_type=Path), help="Where to write; FILE.json if not given.")
@click.option("--force", is_flag=True, help="Replace the output if it is there.")
def run_pack(file: Path, output: Path | None, depends: tuple[str, ...], *, force: bool, **given: str | None) -> None:
    """Write the content.json of FILE beside it, as the inbox takes it.

    \b
    Example: otamirror pack app.bin --package app --branch main --version 1.0
    """
    with console.progress(f"hashing {file.name}", size(file)) as advance:
        packed = pack(file, options.stated(depends, **given), output, Files(), advance, overwrite=force)
    warn(packed.warnings)
    terminal.echo(str(packed.path))


COMMANDS = (run_pack, run_push)
