"""Commands that set a site up and run it: `init`, `up`, `watch`, `receive`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from builder import site as sites
from builder import up
from builder.commands import options
from builder.uploads import receive
from mirror import terminal
from mirror.errors import OperatorError
from mirror.files import Files

if TYPE_CHECKING:
    from pathlib import Path

    from builder.site import Site


@click.command()
@click.pass_obj
def init(file: Path) -> None:
    """Write a commented site.toml with every setting at its default.

    \b
    Example: otamirror --site /srv/ota/site.toml init
    """
    if file.exists():
        raise OperatorError(f"{file} is there already; edit it, or choose another with --site")
    files = Files()
    files.make_folder(file.absolute().parent)
    files.replace(file, sites.sample().encode())
    terminal.echo(f"Wrote {file}. `otamirror --site {file} up` starts the service.")


@click.command("up")
@options.pass_site
def run_up(site: Site) -> None:
    """Run the whole site in one process: the inbox's watch, a web server, and the receiver of uploads.

    Stops at SIGINT or SIGTERM; a second start picks up where the first stopped.
    """
    up.up(site)


@click.command("watch")
@options.pass_site
def run_watch(site: Site) -> None:
    """Watch the inbox and publish, without web server and uploads: for a machine on which nginx serves the mirror."""
    up.watch_only(site)


@click.command("receive")
@options.pass_site
def run_receive(site: Site) -> None:
    """Receive uploads (PUT /update) and publish them, without inbox and web server.

    It is for a machine on which nginx serves the mirror: `otamirror host nginx` passes uploads on to it.
    """
    receive.receive(site)


COMMANDS = (init, run_up, run_watch, run_receive)
