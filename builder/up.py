"""The whole site in one process: the web server runs in a thread, the inbox is watched in the main one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder import build, serve
from builder.watch import watch

if TYPE_CHECKING:
    from builder.site import Site
    from builder.submission import Pass

logger = logging.getLogger(__name__)

_NEXT = """\
The mirror of {name} is at {url}/
The inbox is {inbox}

Publish a package:
  {bin}otamirror pack FILE --package app --branch main --version 1.0
  mv FILE FILE.json {inbox}/

Update a device from it:
  {bin}otadevice init --device my-device --remote {url} --allow "$PWD"
  {bin}otadevice add app --branch main --local "$PWD/app"
  {bin}otadevice update

Ctrl-C stops it; everything is kept in {var}
"""


def up(site: Site) -> None:
    """Run until SIGINT or SIGTERM; a pass over the inbox that is under way ends first."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    application = serve.app(site.paths.mirror, site.cache.pointer_max_age)
    listen = site.server.listen
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve.running(application, listen.host, listen.port))
        if listen.port == 0:  # only now it is known where the mirror is
            site = dataclasses.replace(site, url=server.url)
        builder = stack.enter_context(build.opened(site))
        click.echo(_next(site))

        def take() -> Pass:
            result = builder.take_inbox()
            builder.refresh_pages()
            return result

        watch(take, stop.wait, site.inbox.scan_seconds)
    logger.info("stopped")


def _next(site: Site) -> str:
    command = Path(sys.argv[0])
    folder = f"{command.parent}/" if command.name == "otamirror" else ""
    paths = site.paths
    return _NEXT.format(name=site.name, url=site.url, inbox=paths.inbox, var=paths.var, bin=folder)
