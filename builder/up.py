"""The whole site in one process: web server and receiver have threads, the inbox is watched in the main one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from builder import build
from builder.intake import hints
from builder.intake.bell import Bell
from builder.intake.watch import watch
from builder.signing import access, establish
from builder.uploads import receive
from builder.web import serve
from mirror import terminal

if TYPE_CHECKING:
    from builder.build import Builder
    from builder.intake.drops import Pass
    from builder.site import Site

logger = logging.getLogger(__name__)

_POLL_SECONDS = 2
_NEXT = """\
The mirror of {name} is at {url}/
The inbox is {inbox}

Publish a package:
  {bin}otamirror pack FILE --package app --branch main --version 1.0
  mv FILE FILE.json {inbox}/
or upload it:
  curl -X PUT -F content=@FILE.json -F file=@FILE {uploads}/update

Update a device from it:
  {bin}otamirror --site {site} keys export-root --output root.json
  {bin}otadevice init --device my-device --remote {url} --root root.json --allow "$PWD"
  {bin}otadevice add app --branch main --local "$PWD/app"
  {bin}otadevice update

Ctrl-C stops it; everything is kept in {var}
"""


def up(site: Site) -> None:
    """Run until SIGINT or SIGTERM; a pass over the inbox that is under way ends first."""
    bell = _stopped_by_signals()
    with contextlib.ExitStack() as stack:
        ring = access.keyring(site)
        with build.opened(site, ring=ring) as builder:
            _check(builder)
        site = _serve(site, bell, stack)
        builder = stack.enter_context(build.opened(site, ring=ring))
        terminal.echo(_next(site))
        _watch_inbox(builder, bell)


def watch_only(site: Site) -> None:
    """Run until SIGINT or SIGTERM as `up` does, without web server and receiver."""
    bell = _stopped_by_signals()
    with build.opened(site, ring=access.keyring(site, makes_first=False)) as builder:
        _check(builder)
        terminal.echo(f"Watching {site.paths.inbox}. Ctrl-C stops it.")
        _watch_inbox(builder, bell)


def _check(builder: Builder) -> None:
    """Finish what was begun, and see that every key is here before it is needed."""
    builder.finish()
    builder.signing.check_keys()


def _stopped_by_signals() -> Bell:
    bell = Bell()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: bell.stop())
    return bell


def _watch_inbox(builder: Builder, bell: Bell) -> None:
    def take() -> Pass:
        result = builder.take_inbox()
        builder.resign()
        builder.refresh_pages()
        return result

    inbox = builder.site.inbox
    with contextlib.ExitStack() as stack:
        if inbox.events != "none":
            poll_seconds = _POLL_SECONDS if inbox.events == "poll" else None
            stack.enter_context(hints.watching(builder.site.paths.inbox, bell.ring, poll_seconds=poll_seconds))
        watch(take, bell.wait, inbox.scan_seconds, max(1, inbox.settle_seconds))
    logger.info("stopped")


def _serve(site: Site, bell: Bell, stack: contextlib.ExitStack) -> Site:
    """Start web server and receiver; returns the site with the ports that they have."""
    listen, separate = site.server.listen, site.receiver.listen != site.server.listen
    application = serve.app(site.paths.mirror, site.cache.pointer_max_age)
    receiver = stack.enter_context(receive.receiving(site, bell.ring))
    if separate:
        stack.enter_context(receive.listening(site, receiver))
    else:
        receive.share(site, receiver, application)
    server = stack.enter_context(serve.running(application, *listen, patience=receive.patience(site.receiver)))
    stack.callback(receiver.stop, receive.GRACE)
    listen = listen._replace(port=server.port)
    site = dataclasses.replace(site, url=site.url or listen.url)
    return site if separate else dataclasses.replace(site, receiver=dataclasses.replace(site.receiver, listen=listen))


def _next(site: Site) -> str:
    command = Path(sys.argv[0])
    folder = f"{command.parent}/" if command.name == "otamirror" else ""
    paths, uploads = site.paths, site.receiver.listen.url
    text = _NEXT.format(
        name=site.name,
        url=site.url,
        uploads=uploads,
        inbox=paths.inbox,
        var=paths.var,
        bin=folder,
        site=site.file,
    )
    advice = establish.offline_advice(paths.keys)
    return f"{text}\n{advice}\n" if advice else text
