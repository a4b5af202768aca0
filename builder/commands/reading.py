"""Commands that only read: `list`, `show`, `check`, `schema`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from builder import check, console
from builder.commands import options
from builder.errors import KeysError
from builder.intake import sharing
from builder.signing import access, expiry
from mirror import content, content_schema, terminal
from mirror.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from builder.catalogue import Row
    from builder.check import Fault
    from builder.signing.sign import Signing
    from builder.site import Site


_MOST_OF_A_KIND = 20


@click.command("list")
@click.argument("package", required=False)
@click.option("--branch", help="Only this branch.")
@options.as_json
@options.pass_site
def run_list(site: Site, package: str | None, branch: str | None, *, as_json: bool) -> None:
    """List releases, the highest version of each branch first."""
    with options.reading(site) as catalogue:
        rows = catalogue.releases(package, branch)
        if as_json:
            console.as_json([_fields(row) for row in rows])
        else:
            of = "".join(f" {word} {name}" for word, name in (("of", package), ("on", branch)) if name)
            cells = (
                (r.package, r.branch, r.version, console.size(r.size), r.published, r.blob[:12], r.state) for r in rows
            )
            console.table(
                ("package", "branch", "version", "size", "published", "sha256", "state"),
                cells,
                empty=f"no release is published{of}",
            )


@click.command("show")
@click.argument("package")
@click.argument("version")
@click.option("--branch", required=True)
@options.pass_site
def run_show(site: Site, package: str, version: str, branch: str) -> None:
    """Print one release as JSON: its content.json, and what the catalogue knows beside."""
    with options.reading(site) as catalogue:
        row = catalogue.find(package, branch, version)
    if row is None:
        advice = f"`otamirror list {package}` shows what there is"
        raise OperatorError(f"there is no release {package} {version} on {branch}; {advice}")
    console.as_json(_fields(row) | {"content": content.parse(row.content.encode()).content.fields()})


@click.command("check")
@options.as_json
@options.pass_site
def run_check(site: Site, *, as_json: bool) -> None:
    """Read every byte of the mirror again, verify every signature, and tell how long each role holds.

    Files that are missing, extra, changed, truncated, not signed by who should, expired, or signed at a time that is
    yet to come are named.
    """
    with options.reading(site) as catalogue:
        signing = access.signing(site, catalogue.connection, access.keyring(site), time.time)
        faults = [*check.check(site.paths.mirror, catalogue, console.progress), *check.times(signing)]
        roles = expiry.summary(signing)
        keys = _missing_keys(signing)
        count = catalogue.count()
    shared = list(sharing.problems(site.paths.inbox)) if site.paths.inbox.is_dir() else []
    if as_json:
        named = [{"path": fault.path, "problem": fault.problem} for fault in faults]
        told = [each.fields() for each in roles]
        console.as_json({"faults": named, "roles": told, "keys": keys, "inbox": shared})
    else:
        for problem in shared:
            terminal.echo(f"shared badly\t{problem}")
        _print_faults(faults)
        for problem in keys:
            terminal.echo(f"no key\t{problem}")
        for each in roles:
            if each.is_alarming and each.left > 0:
                terminal.echo(f"expires soon\t{each}")
        for advice in _advice({fault.problem for fault in faults}):
            terminal.echo(advice, err=True)
        first = min(roles, key=lambda each: each.expires, default=None)
        until = f"; {first.role} is the first to expire, {first.expires}" if first else ""
        terminal.echo(f"{count} releases checked, {len(faults) + len(keys)} faults{until}", err=True)
    if faults or keys:
        sys.exit(1)


def _advice(problems: Collection[str]) -> Iterator[str]:
    if "expired" in problems:
        yield "expired: devices refuse it; `otamirror resign` signs what is signed here, docs/keys.md says who the rest"
    if "future" in problems:
        yield (
            "future: set this machine's clock if it is wrong. If it is right, the mirror was signed by one that was "
            "ahead, and devices take nothing more: `otamirror resign --clock-is-right`, then for devices of an older "
            "otadevice `otamirror keys rotate timestamp`"
        )


def _missing_keys(signing: Signing) -> list[str]:
    try:
        signing.check_keys()
    except KeysError as error:
        return str(error).splitlines()
    return []


def _print_faults(faults: Sequence[Fault]) -> None:
    """Print faults; of many of one kind only some, and how many more there are."""
    by_kind: dict[str, list[Fault]] = {}
    for fault in faults:
        by_kind.setdefault(fault.problem, []).append(fault)
    for problem, found in by_kind.items():
        for fault in found[:_MOST_OF_A_KIND]:
            terminal.echo(f"{problem}\t{fault.path}")
        if (more := len(found) - _MOST_OF_A_KIND) > 0:
            terminal.echo(f"{problem}\tand {more} more; --json names them all")


def _fields(row: Row) -> dict[str, object]:
    names = ("package", "branch", "version", "blob", "size", "published", "yanked")
    return {name: getattr(row, name) for name in names} | {"withdrawn": row.is_withdrawn, "offered": row.is_offered}


@click.command("schema")
def run_schema() -> None:
    """Print the JSON Schema of content.json, for editors and publishers' own tools."""
    console.as_json(content_schema.schema())


COMMANDS = (run_list, run_show, run_check, run_schema)
