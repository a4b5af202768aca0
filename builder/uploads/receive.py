"""Receiving uploads: a receiver with all that it needs, inside `up` or alone behind a web server."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from builder import build
from builder.intake.bell import Bell
from builder.intake.drops import Pass
from builder.intake.watch import watch
from builder.signing import access
from builder.uploads import commit, metrics
from builder.uploads.receiver import PATH, Receiver
from builder.uploads.tokens import Tokens, TokensError
from builder.uploads.worker import Worker
from builder.values import is_loopback
from builder.web import serve
from builder.web.connection import ClientLimits
from mirror import terminal
from mirror.errors import OperatorError
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.site import Receiver as Limits
    from builder.site import Site
    from builder.uploads.commit import Committer
    from builder.values import Address

logger = logging.getLogger(__name__)

GRACE = 2.0  # seconds that an upload under way has when its receiver stops; less than the server's own
_ADVICE = (
    "uploads from other machines need a token, and there is none: make one with `otamirror token add`, "
    "or listen on 127.0.0.1"
)


class OpenDoorError(OperatorError):
    """A receiver without tokens would listen to other machines."""

    code = "open-door"


def receive(site: Site) -> None:
    """Receive uploads until SIGINT or SIGTERM; what is under way ends first, or is refused."""
    bell = Bell()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: bell.stop())
    with contextlib.ExitStack() as stack:
        builder = stack.enter_context(build.opened(site, ring=access.keyring(site, makes_first=False)))
        builder.finish()
        builder.signing.check_keys()
        receiver = stack.enter_context(receiving(site, bell.ring))
        server = stack.enter_context(listening(site, receiver))
        stack.callback(receiver.stop, GRACE)
        terminal.echo(f"Uploads come in by PUT {server.url}{PATH}. Ctrl-C stops it.")

        def tidy() -> Pass:
            builder.resign()
            builder.refresh_pages()
            return Pass()

        watch(tidy, bell.wait, site.inbox.scan_seconds)
    logger.info("stopped")


@contextlib.contextmanager
def receiving(site: Site, published: Callable[[], None], files: Files | None = None) -> Iterator[Receiver]:
    """Make a receiver and what it works with; `published` is called after every publish, from another thread."""
    files, figures = files or Files(), metrics.Metrics()
    with contextlib.ExitStack() as stack:
        committer = stack.enter_context(commit.opened(site, files, Worker("commit"), figures, published))
        disk = stack.enter_context(ThreadPoolExecutor(thread_name_prefix="upload"))
        if site.metrics.listen:
            watched = metrics.app(figures, lambda: _trouble(committer))
            stack.enter_context(serve.running(watched, *site.metrics.listen, setting="metrics.listen"))
        tokens = _tokens(site)
        _warn_if_shut(tokens)
        yield Receiver(site, committer, tokens, files, disk, figures)


@contextlib.contextmanager
def listening(site: Site, receiver: Receiver) -> Iterator[serve.Server]:
    """Have a receiver answer on an address of its own.

    Raises:
        OpenDoorError: other machines would reach it, and there is no token.
    """
    listen = site.receiver.listen
    if _is_open_door(site, listen):
        raise OpenDoorError(f"the receiver does not listen on {listen}: {_ADVICE}")
    application = Starlette()
    receiver.add_to(application)
    running = serve.running(application, *listen, patience=patience(site.receiver), setting="receiver.listen")
    with running as server:
        yield server


def share(site: Site, receiver: Receiver, application: Starlette) -> None:
    """Have a receiver answer beside the mirror, on the address of the web server."""
    if _is_open_door(site, site.server.listen):
        logger.warning("uploads are taken from this machine only: %s", _ADVICE)
    receiver.add_to(application)


def patience(limits: Limits) -> ClientLimits:
    """Return what clients of the web server and the receiver may hold of them."""
    return ClientLimits(
        limits.header_seconds, limits.silence_seconds, limits.min_bytes_per_second, connections=limits.connections
    )


def _warn_if_shut(tokens: Tokens) -> None:
    """Say at the start that nobody can upload, if so."""
    try:
        if tokens.are_needed() and not tokens.are_good():
            logger.warning("no token is left, so nobody can upload; `otamirror token add` makes one")
    except TokensError as error:
        logger.warning("%s", error)


def _is_open_door(site: Site, listen: Address) -> bool:
    return not is_loopback(listen.host) and not _tokens(site).are_needed()


def _tokens(site: Site) -> Tokens:
    return Tokens(site.paths.tokens, Files(), time.time)


def _trouble(committer: Committer) -> str:
    """Tell why uploads cannot be published at this moment."""
    return committer.trouble if committer.free_bytes() else "the disk is full"
