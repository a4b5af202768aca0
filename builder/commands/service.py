"""Commands that set a site up and run it: `init`, `up`, `watch`, `receive`."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import click

from builder import site as sites
from builder import up
from builder.commands import options
from builder.intake import sharing
from builder.uploads import receive
from mirror import terminal
from mirror.errors import OperatorError
from mirror.files import Files

if TYPE_CHECKING:
    from pathlib import Path

    from builder.site import Site

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
        files.make_folder(folder)
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
            "otamirror runs as root, which nothing in it needs: `otamirror install-units --user ota` writes units that "
            "run it as a user of its own"
        )
    if has_inbox and site.paths.inbox.is_dir():
        for problem in sharing.problems(site.paths.inbox):
            logger.warning("%s", problem)


COMMANDS = (init, run_up, run_watch, run_receive)
