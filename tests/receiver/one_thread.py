"""A receiver that does all its work in one thread, and a client in another: what is traced is always the same.

    python -m tests.receiver.one_thread SITE_FILE

Each accepted version is written to standard output the moment it is acknowledged.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from builder import site as sites
from builder.uploads import commit
from builder.uploads.metrics import Metrics
from builder.uploads.receiver import Receiver
from builder.uploads.tokens import Tokens
from builder.web import serve
from mirror.files import Files
from tests.receiver import raw
from tests.receiver.forms import good, request

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = ("1.0", "3.0", "2.0")


class Inline(Executor):
    """An executor that does everything at once, in the thread of who asks."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Call it."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 - as every executor does
            future.set_exception(error)
        return future


def main(file: str) -> None:
    """Receive each version, one after the other, and end."""
    site, files, metrics, here = sites.load(Path(file)), Files(), Metrics(), Inline()
    with commit.opened(site, files, here, metrics) as committer:
        receiver = Receiver(site, committer, Tokens(site.paths.tokens, files, lambda: 0), files, here, metrics)
        application = Starlette()
        receiver.add_to(application)
        server = serve.Server(application)
        client = threading.Thread(target=publish, args=[server])
        client.start()
        server.run()
        client.join()


def publish(server: serve.Server) -> None:
    """Upload each version, and tell of each that was accepted."""
    for version in VERSIONS:
        answer = raw.exchange(server.port, request(good(version=version)))
        if answer.status == 200:
            os.write(1, f"{version}\n".encode())
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
