"""Commands that print the configuration of web servers: `host nginx`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from builder.commands import options
from builder.uploads.tokens import Tokens
from builder.web import host
from mirror import terminal
from mirror.files import Files

if TYPE_CHECKING:
    from builder.site import Site


@click.group("host")
def host_group() -> None:
    """Print the configuration of a web server for this mirror."""


@host_group.command("nginx")
@click.option("--listen", default="80", show_default=True, help="Address, port or both, as nginx takes them.")
@click.option("--server-name", default="_", show_default=True)
@options.pass_site
def run_host_nginx(site: Site, listen: str, server_name: str) -> None:
    """Print a configuration for nginx.

    It passes uploads on to the receiver once a token was made (`otamirror token add`), also when none is left.

    \b
    Example: otamirror host nginx --server-name ota.example.org > /etc/nginx/conf.d/mirror.conf
    """
    # before the first token, uploads are for this machine alone, and do not come through nginx
    has_tokens = Tokens(site.paths.tokens, Files(), time.time).are_needed()
    text = host.nginx(
        root=site.paths.mirror,
        listen=listen,
        server_name=server_name,
        pointer_max_age=site.cache.pointer_max_age,
        receiver=site.receiver.listen if has_tokens else None,
    )
    terminal.echo(text, nl=False)


COMMANDS = (host_group,)
