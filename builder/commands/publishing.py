"""Commands of publishers: `pack`, `push`."""

from __future__ import annotations

from pathlib import Path

import click

from builder import console
from builder.commands import options, packing
from builder.commands.pushing import run_push, size, warn
from builder.pack import describe_first, pack
from mirror import terminal
from mirror.files import Files


@click.command("pack")
@click.argument("file", type=click.Path(path_type=Path))
@options.release(required=True)
@click.option("--output", type=click.Path(path_type=Path), help="Where to write; FILE.json if not given.")
@click.option(
    "--archive", type=click.Path(path_type=Path), help="Where the archive of a folder goes; beside it if not."
)
@packing.compressing
@click.option("--force", is_flag=True, help="Replace what is written if it is there.")
@options.as_json
def run_pack(
    file: Path,
    output: Path | None,
    archive: Path | None,
    compression: str,
    depends: tuple[str, ...],
    *,
    force: bool,
    as_json: bool,
    **given: str | None,
) -> None:
    """Write the content.json of FILE beside it, as the inbox takes it.

    If FILE is a folder, an archive of it is the package: of the same bytes on every machine.

    \b
    Examples:
      otamirror pack app.bin --package app --branch main --version 1.0
      otamirror pack build/ --package app --branch main --version 1.0 --local /opt/app/
    """
    fields = options.stated(depends, **given)
    package = packing.Package(file)
    if file.is_dir():
        target = archive or packing.beside(file, compression)
        describe_first(fields, target, output, overwrite=force)
        package = packing.archived(file, target, compression, str(fields.get("local", "")))
    elif archive:
        raise click.UsageError(f"--archive is for folders, and {file} is none")
    with console.progress(f"hashing {package.file.name}", size(package.file)) as advance:
        packed = pack(package.file, fields, output, Files(), advance, overwrite=force)
    warnings = (*package.warnings, *packed.warnings)
    warn(warnings)
    if as_json:
        about = {key: getattr(packed.content, key) for key in ("package", "branch", "version", "local", "sha256")}
        places = {"content": str(packed.path), "file": str(package.file), "size": size(package.file)}
        console.as_json(about | places | {"warnings": [warning._asdict() for warning in warnings]})
    else:
        terminal.echo(str(packed.path))


COMMANDS = (run_pack, run_push)
