"""Commands that set a site up and run it: `init`, `up`, `watch`, `receive`, `install-units`."""

from __future__ import annotations

import logging
import os
import pwd
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder import public, services, up
from builder import site as sites
from builder.commands import options
from builder.intake import sharing
from builder.uploads import receive
from mirror import terminal, unit_files
from mirror.errors import OperatorError
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.site import Site

_BY = "otamirror"

logger = logging.getLogger(__name__)


@click.command()
@click.pass_obj
def init(file: Path) -> None:
    """Write a commented site.toml with every setting at its default, and make the inbox.

    \b
    Example: otamirror --site /srv/ota/site.toml init
    """
    if file.exists():
        raise OperatorError(f"{file} is there already; edit it, or choose another with --site")
    files = Files()
    files.make_folder(file.absolute().parent)
    files.replace(file, sites.sample().encode())
    paths = sites.load(file).paths
    for folder in (paths.var, paths.inbox):
        public.make_folder(folder, files)
    terminal.echo(f"Wrote {file}. `otamirror --site {file} up` starts the service.")


@click.command("up")
@options.pass_site
def run_up(site: Site) -> None:
    """Run the whole site in one process: the inbox's watch, a web server, and the receiver of uploads.

    Stops at SIGINT or SIGTERM; a second start picks up where the first stopped.
    """
    _tell_how_it_runs(site)
    up.up(site)


@click.command("watch")
@options.pass_site
def run_watch(site: Site) -> None:
    """Watch the inbox and publish, without web server and uploads: for a machine on which nginx serves the mirror."""
    _tell_how_it_runs(site)
    up.watch_only(site)


@click.command("receive")
@options.pass_site
def run_receive(site: Site) -> None:
    """Receive uploads (PUT /update) and publish them, without inbox and web server.

    It is for a machine on which nginx serves the mirror: `otamirror host nginx` passes uploads on to it.
    """
    _tell_how_it_runs(site, has_inbox=False)
    receive.receive(site)


def _tell_how_it_runs(site: Site, *, has_inbox: bool = True) -> None:
    """Tell what makes attacks easier than need be: rights that nothing here needs, an inbox that is shared badly."""
    if os.geteuid() == 0:
        logger.warning(
            "otamirror runs as root, which nothing in it needs: `otamirror install-units` writes units that run it "
            "as a user of its own"
        )
    if has_inbox and site.paths.inbox.is_dir():
        for problem in sharing.problems(site.paths.inbox):
            logger.warning("%s", problem)


@click.command("install-units")
@click.option("--user", metavar="NAME", help="Who runs the service; without it, who owns the folders, or `otamirror`.")
@click.option(
    "--to",
    "folder",
    default=unit_files.FOLDER,
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the units.",
)
@click.option("--print", "--dry-run", "only_print", is_flag=True, help="Only print them.")
@click.option("--force", is_flag=True, help="Replace units that were changed by hand, or are not from otamirror.")
@options.pass_site
def install_units(site: Site, user: str | None, folder: Path, *, only_print: bool, force: bool) -> None:
    """Write the units by which systemd runs this site, as a user of its own that can do nothing else.

    One is for `up`, which is all of it; two are for `receive` and `watch`, where nginx serves the mirror.

    \b
    Example: otamirror --site /srv/ota/site.toml install-units
    """
    user = user or _owner(site.paths.var) or services.USER
    run_by = unit_files.command("otamirror", "builder.cli", Path(sys.executable), Path(sys.argv[0]).absolute())
    units = services.units(site, run_by, user)
    if only_print:
        texts = (f"# {folder / unit.name}\n{unit_files.marked(unit, _BY).decode()}" for unit in units)
        terminal.echo("\n".join(texts), nl=False)
        return
    written = unit_files.write(units, folder.absolute(), Files(), _BY, force=force)
    for path in written:
        terminal.echo(f"{path} is written")
    if not written:
        terminal.echo(f"{', '.join(unit.name for unit in units)} are in {folder} already")
    terminal.echo("next:")
    for step in _steps(site, user):
        terminal.echo(f"  {step}")


def _owner(folder: Path) -> str:
    """Return the name of the user that a folder belongs to; empty if that is root, or there is none."""
    try:
        owner = folder.stat().st_uid
        return pwd.getpwuid(owner).pw_name if owner else ""
    except (FileNotFoundError, KeyError):
        return ""


def _steps(site: Site, user: str) -> Iterator[str]:
    """Yield the commands that come after `install-units`."""
    try:
        number = pwd.getpwnam(user).pw_uid
    except KeyError:
        number = -1
        yield f"useradd --system --no-create-home --shell /usr/sbin/nologin {user}"
    for folder in services.written(site):
        if not folder.is_dir():
            yield f"install --directory --owner={user} {shlex.quote(str(folder))}"
        elif folder.stat().st_uid != number:
            yield f"chown --recursive {user}: {shlex.quote(str(folder))}"
    yield "systemctl daemon-reload"
    yield f"systemctl enable --now {services.UP}"
    yield f"# or, where nginx serves the mirror: systemctl enable --now {services.RECEIVE} {services.WATCH}"


COMMANDS = (init, run_up, run_watch, run_receive, install_units)
