"""Commands of publishers: `pack`, `push`."""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder import console
from builder.client import parcel
from builder.client.push import Patience, push
from builder.client.target import target
from builder.commands import options
from builder.pack import pack
from mirror.content import MAX_BYTES
from mirror.errors import OTAError
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from builder.client.parcel import Parcel
    from builder.client.push import Receipt
    from mirror.canonical import Problem

_VARIABLE = "OTAMIRROR_TOKEN"
_MAX_TOKEN = 4096
_ALWAYS = ("package", "branch", "version")


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
    with console.progress(f"hashing {file.name}", _size(file)) as advance:
        packed = pack(file, options.stated(depends, **given), output, Files(), advance, overwrite=force)
    _warn(packed.warnings)
    click.echo(packed.path)


@click.command("push")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--content", "written", type=click.Path(path_type=Path), help="A whole content.json, instead of options.")
@options.release(required=False)
@click.option("--to", "url", metavar="URL", help="The mirror that takes uploads.")
@click.option("--token-file", type=click.Path(path_type=Path), help=f"File with the token, instead of {_VARIABLE}.")
@click.option("--insecure-http", is_flag=True, help="Let the token pass over a network in the clear.")
@click.option("--dry-run", is_flag=True, help="Judge it by the mirror's own rules, and send nothing.")
@options.as_json
def run_push(
    file: Path,
    written: Path | None,
    url: str | None,
    token_file: Path | None,
    *,
    insecure_http: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Upload FILE to a mirror; done once it is published there.

    The token comes from the environment, OTAMIRROR_TOKEN, or from a file.

    \b
    Example: otamirror push app.bin --package app --branch main --version 1.0 --to https://updates.example.org
    """
    if not url and not dry_run:
        raise click.MissingParameter(param_hint="'--to'", param_type="option")
    with _errors_as_json() if as_json else contextlib.nullcontext():
        place = target(url, _token(token_file), insecure_http=insecure_http) if url else None
        sent = _parcel(file, written, options.stated(**given))
        _warn(sent.warnings)
        if dry_run or place is None:
            _tell(sent, None, as_json=as_json)
            return
        patience = Patience(time.sleep, random.random, time.time)
        receipt = push(sent, place, patience, console.transfer)
    _warn(warning for warning in receipt.answer.warnings if warning not in sent.warnings)
    _tell(sent, receipt, as_json=as_json)


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get(_VARIABLE, "").strip()
    with file.open(errors="replace") as text:  # bounded, because it may be the wrong file
        return text.read(_MAX_TOKEN).strip()


def _parcel(file: Path, written: Path | None, fields: Mapping[str, object]) -> Parcel:
    if written and fields:
        raise click.UsageError(f"--content has all of it, so leave out what says {', '.join(fields)}")
    missing = [name for name in _ALWAYS if name not in fields]
    if not written and missing:
        raise click.MissingParameter(param_hint=f"'--{missing[0]}'", param_type="option")
    with console.progress(f"hashing {file.name}", _size(file)) as advance:
        if not written:
            return parcel.stated(file, fields, advance)
        with written.open("rb") as raw:
            return parcel.written(file, raw.read(MAX_BYTES + 1), advance)


def _tell(sent: Parcel, receipt: Receipt | None, *, as_json: bool) -> None:
    """Print what was done; without a receipt nothing was."""
    content = sent.content
    if as_json:
        fields = {name: getattr(content, name) for name in (*_ALWAYS, "sha256")} | {"size": sent.size}
        done = {"new": receipt.is_new, "attempts": receipt.attempts} if receipt else {"dry_run": True}
        console.as_json(fields | done)
    elif receipt is None:
        click.echo(f"{sent.title} can be pushed: {console.size(sent.size)}, sha256 {content.sha256}")
    else:
        click.echo(f"{sent.title} {'is published' if receipt.is_new else 'was published before, with the same bytes'}")


@contextlib.contextmanager
def _errors_as_json() -> Iterator[None]:
    try:
        yield
    except OTAError as error:
        console.as_json(error.as_json())
        raise


def _warn(warnings: Iterable[Problem]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


COMMANDS = (run_pack, run_push)
