"""Commands that only read: `list`, `show`, `check`, `schema`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from builder import check, console
from builder.catalogue import Catalogue
from builder.commands import options
from builder.intake import sharing
from builder.signing import access, expiry
from mirror import content, content_schema, terminal
from mirror.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager

    from builder.catalogue import Row
    from builder.site import Site


@click.command("list")
@click.argument("package", required=False)
@click.option("--branch", help="Only this branch.")
@options.as_json
@options.pass_site
def run_list(site: Site, package: str | None, branch: str | None, *, as_json: bool) -> None:
    """List releases, the highest version of each branch first."""
    with _catalogue(site) as catalogue:
        rows = catalogue.releases(package, branch)
        if as_json:
            console.as_json([_fields(row) for row in rows])
        else:
            of = "".join(f" {word} {name}" for word, name in (("of", package), ("on", branch)) if name)
            cells = ((r.package, r.branch, r.version, console.size(r.size), r.published, r.blob[:12]) for r in rows)
            console.table(
                ("package", "branch", "version", "size", "published", "sha256"),
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
    with _catalogue(site) as catalogue:
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
    with _catalogue(site) as catalogue:
        signing = access.signing(site, catalogue.connection, access.keyring(site), time.time)
        faults = [*check.check(site.paths.mirror, catalogue, console.progress), *check.times(signing)]
        roles = expiry.summary(signing)
        count = catalogue.count()
    shared = list(sharing.problems(site.paths.inbox)) if site.paths.inbox.is_dir() else []
    if as_json:
        named = [{"path": fault.path, "problem": fault.problem} for fault in faults]
        console.as_json({"faults": named, "roles": [each.fields() for each in roles], "inbox": shared})
    else:
        for problem in shared:
            terminal.echo(f"shared badly\t{problem}")
        for fault in faults:
            terminal.echo(f"{fault.problem}\t{fault.path}")
        for each in roles:
            if each.is_alarming and each.left > 0:
                terminal.echo(f"expires soon\t{each}")
        for advice in _advice({fault.problem for fault in faults}):
            terminal.echo(advice, err=True)
        first = min(roles, key=lambda each: each.expires, default=None)
        until = f"; {first.role} is the first to expire, {first.expires}" if first else ""
        terminal.echo(f"{count} releases checked, {len(faults)} faults{until}", err=True)
    if faults:
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


def _catalogue(site: Site) -> AbstractContextManager[Catalogue]:
    path = site.paths.catalogue
    if not path.exists():
        advice = "nothing was published yet, or `otamirror recover` rebuilds it"
        raise OperatorError(f"there is no catalogue at {path}; {advice}")
    return Catalogue.open(path)


def _fields(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in ("package", "branch", "version", "blob", "size", "published")}


@click.command("schema")
def run_schema() -> None:
    """Print the JSON Schema of content.json, for editors and publishers' own tools."""
    console.as_json(content_schema.schema())


COMMANDS = (run_list, run_show, run_check, run_schema)
