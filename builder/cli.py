"""The command `otamirror`: options, objects, one call, output.

Exit codes: 0 done, 1 failed (or something was refused, or a check found faults), 2 usage, 75 try later.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from builder import build, check, console, host, recover, up
from builder import site as sites
from builder.catalogue import Catalogue
from builder.pack import pack as pack_file
from mirror import content
from mirror.errors import OTAError
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.catalogue import Row
    from builder.site import Site
    from builder.submission import Pass

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Group(click.Group):
    """A group that turns our errors into one message and an exit code, here and nowhere else."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except OTAError as error:
            _fail(str(error), error.exit_code)
        except (OSError, sqlite3.Error) as error:
            _fail(str(error), 1)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"otamirror: {message}", err=True)
    sys.exit(code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--site", "site_file", default="site.toml", show_default=True, type=click.Path(path_type=Path))
@click.version_option(package_name="otamirror")
@click.pass_context
def main(context: click.Context, site_file: Path) -> None:
    """Turn uploaded packages into a static mirror that devices update from.

    \b
    Example:
      otamirror init
      otamirror pack app.bin --package app --branch main --version 1.0
      mv app.bin app.bin.json var/inbox/
      otamirror build
      otamirror host nginx > /etc/nginx/conf.d/mirror.conf

    \b
    Exit codes: 0 done, 1 failed or refused, 2 usage, 75 try later.
    """
    os.umask(0o022)  # a web server runs as another user, and must be able to read the mirror
    console.log_to_stderr()
    context.obj = site_file


def _site(context: click.Context) -> Site:
    return sites.load(context.obj)


@main.command()
@click.pass_context
def init(context: click.Context) -> None:
    """Write a commented site.toml with every setting at its default.

    \b
    Example: otamirror --site /srv/ota/site.toml init
    """
    file: Path = context.obj
    if file.exists():
        _fail(f"{file} is there already; edit it, or choose another with --site", 1)
    files = Files()
    files.make_folder(file.absolute().parent)
    files.replace(file, sites.sample().encode())
    click.echo(f"Wrote {file}. `otamirror --site {file} up` starts the service.")


@main.command("up")
@click.pass_context
def run_up(context: click.Context) -> None:
    """Run the whole site in one process: the inbox's watch and a web server.

    Stops at SIGINT or SIGTERM; a second start picks up where the first stopped.
    """
    up.up(_site(context))


@main.command("build")
@click.option("--from-scratch", is_flag=True, help="First render the whole mirror again.")
@JSON
@click.pass_context
def run_build(context: click.Context, *, from_scratch: bool, as_json: bool) -> None:
    """Publish what lies in the inbox, once.

    \b
    Example: otamirror build
    """
    with build.opened(_site(context), progress=console.progress) as builder:
        rendered = builder.render_all() if from_scratch else 0
        result = builder.take_inbox()
        builder.refresh_pages(everything=from_scratch)
    if as_json:
        console.as_json(_pass_fields(result) | {"rendered": rendered})
    else:
        _print_pass(result)
    if any(verdict.error for verdict in result.verdicts):
        sys.exit(1)


def _pass_fields(result: Pass) -> dict[str, object]:
    return {
        "published": [verdict.title for verdict in result.verdicts if verdict.is_new],
        "known": [verdict.title for verdict in result.verdicts if not verdict.is_new and not verdict.error],
        "refused": [{"drop": v.title, **v.error.as_json()} for v in result.verdicts if v.error],
        "waiting": {find.title: find.waiting for find in result.waiting},
    }


def _print_pass(result: Pass) -> None:
    refused = sum(verdict.error is not None for verdict in result.verdicts)
    new = sum(verdict.is_new for verdict in result.verdicts)
    known = len(result.verdicts) - refused - new
    click.echo(f"{new} published, {known} there already, {refused} refused, {len(result.waiting)} waiting")
    for find in result.waiting:
        click.echo(f"  {find.title} waits: {find.waiting}")


@main.command("recover")
@click.pass_context
def run_recover(context: click.Context) -> None:
    """Rebuild a lost catalogue from the mirror's folder.

    A catalogue that cannot be read is kept beside, with `.damaged` at the end of its name.
    """
    site = _site(context)
    if recover.set_aside(site.paths.catalogue, Files()):
        click.echo(f"kept what could not be read as {site.paths.catalogue}.damaged", err=True)
    with build.opened(site, progress=console.progress) as builder:
        count = builder.recover()
        builder.render_all()
        builder.refresh_pages(everything=True)
    click.echo(f"{count} releases recovered")


@main.command("pack")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--package", required=True, help="Name of the package.")
@click.option("--branch", required=True, help="Branch, such as main or stable.")
@click.option("--version", required=True, help="Version, such as 1.4.2.")
@click.option("--description", help="One or more lines for people.")
@click.option("--local", help="Absolute path on the device; ending in / for an archive that is unpacked there.")
@click.option("--remote", help="URL of the mirror, for people who read content.json.")
@click.option("--before", "before_update", help="Shell command that the device runs before the update.")
@click.option("--after", "after_update", help="Shell command that the device runs after the update.")
@click.option("--depends", multiple=True, metavar="NAME=RANGE", help="A package it needs, as lib=>=1.2,<2")
@click.option("--restore", help="Path of a script that the device runs at the very end.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write; FILE.json if not given.")
@click.option("--force", is_flag=True, help="Replace the output if it is there.")
def run_pack(file: Path, output: Path | None, depends: tuple[str, ...], *, force: bool, **given: str | None) -> None:
    """Write the content.json of FILE beside it, as the inbox takes it.

    \b
    Example: otamirror pack app.bin --package app --branch main --version 1.0
    """
    fields: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if depends:
        fields["dependencies"] = dict(_dependencies(depends))
    total = file.stat().st_size if file.is_file() else 0
    with console.progress(f"hashing {file.name}", total) as advance:
        packed = pack_file(file, content.spelled(**fields), output, Files(), advance, overwrite=force)
    for warning in packed.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(packed.path)


def _dependencies(depends: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in depends:
        name, sign, version_range = text.partition("=")
        if not sign:
            raise click.BadParameter(f"{text!r} is not NAME=RANGE", param_hint="--depends")
        yield name, version_range


@main.command("list")
@click.argument("package", required=False)
@click.option("--branch", help="Only this branch.")
@JSON
@click.pass_context
def run_list(context: click.Context, package: str | None, branch: str | None, *, as_json: bool) -> None:
    """List releases, the highest version of each branch first."""
    with _catalogue(context) as catalogue:
        rows = catalogue.releases(package, branch)
        if as_json:
            console.as_json([_fields(row) for row in rows])
        else:
            cells = ((r.package, r.branch, r.version, console.size(r.size), r.published, r.blob[:12]) for r in rows)
            console.table(("package", "branch", "version", "size", "published", "sha256"), cells)


def _fields(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in ("package", "branch", "version", "blob", "size", "published")}


@main.command("show")
@click.argument("package")
@click.argument("version")
@click.option("--branch", required=True)
@click.pass_context
def run_show(context: click.Context, package: str, version: str, branch: str) -> None:
    """Print one release as JSON: its content.json, and what the catalogue knows beside."""
    with _catalogue(context) as catalogue:
        row = catalogue.find(package, branch, version)
    if row is None:
        _fail(f"there is no release {package} {version} on {branch}; `otamirror list {package}` shows what there is", 1)
    console.as_json(_fields(row) | {"content": content.parse(row.content.encode()).content.fields()})


@main.command("check")
@JSON
@click.pass_context
def run_check(context: click.Context, *, as_json: bool) -> None:
    """Read every byte of the mirror again; files that are missing, extra, changed or truncated are named."""
    site = _site(context)
    with _catalogue(context) as catalogue:
        faults = list(check.check(site.paths.mirror, catalogue, console.progress))
        count = catalogue.count()
    if as_json:
        console.as_json([{"path": fault.path, "problem": fault.problem} for fault in faults])
    else:
        for fault in faults:
            click.echo(f"{fault.problem}\t{fault.path}")
        click.echo(f"{count} releases checked, {len(faults)} faults", err=True)
    if faults:
        sys.exit(1)


@main.command("prune")
@click.option("--keep-days", default=30, show_default=True, help="Keep superseded release lists for so long.")
@click.pass_context
def run_prune(context: click.Context, keep_days: int) -> None:
    """Remove blobs that no release names, and release lists that were superseded long ago."""
    with build.opened(_site(context)) as builder:
        for path in builder.prune(keep_days):
            click.echo(path)


@main.group("host")
def host_group() -> None:
    """Print the configuration of a web server for this mirror."""


@host_group.command("nginx")
@click.option("--listen", default="80", show_default=True, help="Address, port or both, as nginx takes them.")
@click.option("--server-name", default="_", show_default=True)
@click.pass_context
def run_host_nginx(context: click.Context, listen: str, server_name: str) -> None:
    """Print a configuration for nginx.

    \b
    Example: otamirror host nginx --server-name ota.example.org > /etc/nginx/conf.d/mirror.conf
    """
    site = _site(context)
    text = host.nginx(
        root=site.paths.mirror,
        listen=listen,
        server_name=server_name,
        pointer_max_age=site.cache.pointer_max_age,
    )
    click.echo(text, nl=False)


def _catalogue(context: click.Context) -> Any:
    path = _site(context).paths.catalogue
    if not path.exists():
        _fail(f"there is no catalogue at {path}; nothing was published yet, or `otamirror recover` rebuilds it", 1)
    return Catalogue.open(path)


if __name__ == "__main__":
    logging.captureWarnings(capture=True)
    main()
