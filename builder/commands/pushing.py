"""The command `push`: a package to a mirror, and what its publisher signs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from builder import console
from builder.client import dry_run as rehearsal
from builder.client import parcel, signed
from builder.client.push import Patience, get, push
from builder.client.target import target
from builder.commands import options, packing, statements
from mirror import content, layout, names, terminal
from mirror.content import MAX_BYTES
from mirror.errors import OTAError
from mirror.text import without_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from builder.client.parcel import Parcel
    from builder.client.push import Receipt
    from builder.client.target import Target
    from builder.commands.statements import Signing
    from mirror.canonical import Problem

_VARIABLE = "OTAMIRROR_TOKEN"
_MAX_TOKEN = 4096
_ALWAYS = ("package", "branch", "version")


class Subject(NamedTuple):
    """A branch of a package."""

    package: str
    branch: str


class Place(NamedTuple):
    """Where an upload goes, as it was given."""

    url: str | None
    token_file: Path | None
    insecure_http: bool

    def target(self) -> Target | None:
        """Return the receiver; None if none is named."""
        token = _token(self.token_file)
        return target(self.url, token, insecure_http=self.insecure_http) if self.url else None


def _placed(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what says where to upload, as one argument `place`."""

    @click.option("--to", "url", metavar="URL", help="The mirror that takes uploads.")
    @click.option("--token-file", type=click.Path(path_type=Path), help=f"File with the token, instead of {_VARIABLE}.")
    @click.option("--insecure-http", is_flag=True, help="Let the token pass over a network in the clear.")
    @functools.wraps(command)
    def with_place(
        *arguments: Any, url: str | None, token_file: Path | None, insecure_http: bool, **named: Any
    ) -> None:
        command(*arguments, place=Place(url, token_file, insecure_http), **named)

    return with_place


@click.command("push")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--content", "written", type=click.Path(path_type=Path), help="A whole content.json, instead of options.")
@options.release(required=False)
@packing.compressing
@_placed
@statements.options
@click.option("--dry-run", is_flag=True, help="Judge it by the mirror's own rules, and by what --to has; send nothing.")
@options.as_json
def run_push(
    file: Path | None,
    written: Path | None,
    compression: str,
    place: Place,
    signing: Signing,
    *,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Upload FILE, or an archive of it if it is a folder, to a mirror; done once it is published there.

    The token comes from the environment, OTAMIRROR_TOKEN, or from a file. The publisher of a claimed package signs:
    with --key, and a passphrase from OTAMIRROR_PASSPHRASE or asked for.

    \b
    Examples:
      otamirror push app.bin --package app --branch main --version 1.0 --to https://updates.example.org
      otamirror push --key app.pem --package app --branch main --yank 1.0 --to https://updates.example.org
    """
    signing.check(has_file=file is not None)
    if not (place.url or (dry_run and (signing.mirror or not signing.is_wanted))):
        raise click.MissingParameter(param_hint="'--to'", param_type="option")
    with contextlib.ExitStack() as inside:
        if as_json:
            inside.enter_context(_errors_as_json())
        there = place.target()
        fields = options.stated(**given)
        sent = inside.enter_context(_parcel(file, compression, written, fields)) if file else None
        mirror = target(signing.mirror).mirror if signing.mirror else there.mirror if there else ""
        asked = mirror if dry_run else ""
        if dry_run:
            there = None
        if signing.is_wanted:
            _push_signed(sent, _subject(sent, fields), signing, there, mirror, as_json=as_json)
        elif sent:
            _push(sent, there, asked, as_json=as_json)


def _push(sent: Parcel, there: Target | None, asked: str, *, as_json: bool) -> None:
    """Push a parcel; without a receiver only see whether it could be, on the mirror that is asked, if any."""
    warn(sent.warnings)
    patience = _patience()
    receipt = push(sent, there, patience, console.transfer) if there else None
    is_new = True
    if asked:
        is_new = rehearsal.is_new(sent, lambda path, most: get(f"{asked}/{path}", most, patience), patience.now())
    if receipt:
        warn(warning for warning in receipt.answer.warnings if warning not in sent.warnings)
    if as_json:
        console.as_json(
            _fields(sent) | (_done(receipt) if receipt else {"dry_run": True, **({"new": is_new} if asked else {})})
        )
    elif receipt is None and not is_new:
        terminal.echo(f"{sent.title} was published before, with the same bytes")
    elif receipt is None:
        terminal.echo(f"{sent.title} can be pushed: {console.size(sent.size)}, sha256 {sent.content.sha256}")
    else:
        terminal.echo(
            f"{sent.title} {'is published' if receipt.is_new else 'was published before, with the same bytes'}"
        )


def _push_signed(
    sent: Parcel | None, subject: Subject, signing: Signing, there: Target | None, mirror: str, *, as_json: bool
) -> None:
    warn(sent.warnings if sent else ())
    patience = _patience()
    order = signing.order(*subject, sent, patience.now())

    def read(path: str, most_bytes: int) -> bytes | None:
        return get(f"{mirror}/{layout.url_path(path)}", most_bytes, patience)

    receipt: Receipt | None = None
    if there is None:
        statement = signed.prepare(order, read, datetime.fromtimestamp(patience.now(), UTC))
    elif done := signed.publish(order, sent, read, there, patience, console.transfer):
        statement, receipt = done
        warn(warning for warning in receipt.answer.warnings if not sent or warning not in sent.warnings)
    else:
        statement = None
    what = sent.title if sent else f"{subject.package} on {subject.branch}:"
    if as_json:
        about = _fields(sent) if sent else subject._asdict()
        done_so = _done(receipt) if receipt else {"dry_run": True} if there is None else {"new": False, "attempts": 0}
        console.as_json(about | done_so | (statements.fields(statement) if statement else {}))
    elif statement is None:
        terminal.echo(f"{what} {'is' if sent else 'it is'} so already; nothing has to be signed")
    elif receipt is None:
        terminal.echo(
            f"{what} {'' if sent else 'this '}can be pushed. It would be signed: {statements.sentence(statement)}"
        )
    else:
        terminal.echo(f"{what} {signing.done}. {statements.sentence(statement)}")


def _subject(sent: Parcel | None, fields: Mapping[str, object]) -> Subject:
    """Tell which branch is signed."""
    if sent:
        return Subject(sent.content.package, sent.content.branch)
    for name in Subject._fields:
        if name not in fields:
            raise click.MissingParameter(param_hint=f"'--{name}'", param_type="option")
    if others := sorted(fields.keys() - set(Subject._fields)):
        raise click.UsageError(f"{', '.join(others)} is said of a FILE, and there is none")
    if not names.is_name(str(fields["package"])) or not names.is_branch(str(fields["branch"])):
        raise click.UsageError(f"{fields['package']!r} on {fields['branch']!r}: these are no names")
    return Subject(str(fields["package"]), str(fields["branch"]))


def _patience() -> Patience:
    return Patience(time.sleep, random.random, time.time)


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get(_VARIABLE, "").strip()
    with file.open("rb") as opened:  # bounded, because it may be the wrong file
        return without_mark(opened.read(_MAX_TOKEN)).decode(errors="replace").strip()


@contextlib.contextmanager
def _parcel(file: Path, compression: str, written: Path | None, fields: Mapping[str, object]) -> Iterator[Parcel]:
    if written and fields:
        raise click.UsageError(f"--content has all of it, so leave out what says {', '.join(fields)}")
    missing = [name for name in _ALWAYS if name not in fields]
    if not written and missing:
        raise click.MissingParameter(param_hint=f"'--{missing[0]}'", param_type="option")
    raw = _read(written) if written else b""
    local = content.parse(raw).content.local if written else str(fields.get("local", ""))
    with packing.for_a_while(file, compression, local) as package:
        with console.progress(f"hashing {file.name}", size(package.file)) as advance:
            sent = (
                parcel.written(package.file, raw, advance) if written else parcel.stated(package.file, fields, advance)
            )
        yield dataclasses.replace(sent, warnings=(*package.warnings, *sent.warnings))


def _read(file: Path) -> bytes:
    with file.open("rb") as raw:
        return raw.read(MAX_BYTES + 1)


def _fields(sent: Parcel) -> dict[str, object]:
    return {name: getattr(sent.content, name) for name in (*_ALWAYS, "sha256")} | {"size": sent.size}


def _done(receipt: Receipt) -> dict[str, object]:
    return {"new": receipt.is_new, "attempts": receipt.attempts}


@contextlib.contextmanager
def _errors_as_json() -> Iterator[None]:
    try:
        yield
    except OTAError as error:
        console.as_json(error.as_json())
        raise


def warn(warnings: Iterable[Problem]) -> None:
    """Tell what the publisher should look at all the same."""
    for warning in warnings:
        terminal.echo(f"warning: {warning}", err=True)


def size(file: Path) -> int:
    """Return the size of a file, for a bar; 0 if there is none."""
    return file.stat().st_size if file.is_file() else 0
