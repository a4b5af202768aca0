"""The embedded web server: hands a mirror out over HTTP, as section 3 of the contract says.

Every request is answered as the nginx configuration of `builder.web.host` answers it, down to the ETag; where the
contract is silent, nginx is the rule. No file is opened before its name was matched. A file that changes is read
whole while it is open, a package is sent in pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
import socket
import threading
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from builder.web import addresses, classes, conditions
from builder.web.connection import ClientLimits, limited
from mirror import layout
from mirror.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

_FOREVER = "public, max-age=31536000, immutable"
_BYTES = "application/octet-stream"
_RANGED = re.compile(classes.BYTES)
_PIECE = 256 * 1024
_GRACE = 5.0  # seconds that answers under way have when the server stops
_ACCEPTED_AT_ONCE = 128
_PATIENCE = ClientLimits()

_METHOD = re.compile("[A-Z_-]+")  # in other letters it is none, says nginx
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})


class ListenError(OperatorError):
    """The embedded server cannot have its address."""

    code = "listen"


def app(root: Path, pointer_max_age: int) -> Starlette:
    """Make the application that serves the mirror in `root`; routes that are added to it come first."""
    application = Starlette()
    application.router.default = _Mirror(root, pointer_max_age)
    return application


class Server:
    """An application on an address of its own; connections queue from the moment that it is made.

    What clients may hold of it is in `patience`.
    """

    def __init__(
        self,
        application: ASGIApp,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        grace: float = _GRACE,
        patience: ClientLimits = _PATIENCE,
    ) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        config = uvicorn.Config(
            application,
            loop="asyncio",
            http=limited(patience),
            ws="none",
            log_config=None,
            log_level="error",  # what clients get wrong is not for the operator to read
            access_log=False,
            backlog=_ACCEPTED_AT_ONCE,  # so many may be open before the first of them is refused
            server_header=False,
            proxy_headers=False,  # who the client is must not be the client's choice
        )
        self._server = _Uvicorn(config, grace)

    def run(self) -> None:
        """Serve until `stop` is called or, in the main thread, SIGINT or SIGTERM comes."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Have `run` return, from any thread; answers that take longer than `grace` are broken off."""
        self._server.should_exit = True


@contextlib.contextmanager
def running(
    application: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    grace: float = _GRACE,
    patience: ClientLimits = _PATIENCE,
    setting: str = "server.listen",
) -> Iterator[Server]:
    """Serve from another thread for as long as the context lasts; `setting` is the one that names the address.

    Raises:
        ListenError: it cannot be listened on.
    """
    try:
        server = Server(application, host, port, grace=grace, patience=patience)
    except ListenError as error:
        raise ListenError(f"{error}; set `{setting}` in site.toml to another address") from error
    thread = threading.Thread(target=server.run, name="serve")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, grace: float) -> None:
        super().__init__(config)
        self._grace = grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Break off what takes too long as if the client had gone: whoever downloads resumes later."""
        timer = asyncio.get_running_loop().call_later(self._grace, self._break_off)
        await super().shutdown(sockets)
        timer.cancel()

    def _break_off(self) -> None:
        for connection in self.server_state.connections:
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal, but do not raise it again: the caller has more than this server to stop."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {host} port {port}: {reason}") from error
    # connections inherit it; without, the second half of a small answer would wait 40 ms for the first to arrive
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Mirror:
    """The application: from a request to a file, and from a file to an answer."""

    def __init__(self, root: Path, pointer_max_age: int) -> None:
        self._root = root
        self._pointer = f"public, max-age={pointer_max_age}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await run_in_threadpool(self._answer, Request(scope))
        await response(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        query = request.scope["query_string"].decode()
        path = ""
        try:
            path = addresses.path(f"{request.scope['raw_path'].decode()}?{query}")
            _check_method(request.method)
            return self._file(addresses.file(path, query), request)
        except HTTPException as refused:
            if refused.status_code == 404:
                return self._missing(path)
            headers = {**(refused.headers or {}), **_common("no-store")}
            return PlainTextResponse(refused.detail, refused.status_code, headers)

    def _missing(self, path: str) -> Response:
        """Answer 404, to people with the mirror's own page."""
        headers = _common(self._pointer if addresses.is_pointer(path) else "no-store")
        if addresses.is_for_people(path):
            with contextlib.suppress(HTTPException), _open(self._root / layout.NOT_FOUND_PAGE) as file:
                headers["ETag"] = conditions.validators(os.fstat(file.fileno()))["ETag"]  # as nginx does
                return Response(file.read(), 404, headers, classes.TYPES["html"])
        return PlainTextResponse("Not Found", 404, headers)

    def _file(self, name: str, request: Request) -> Response:
        with _open(self._root / name) as file:
            facts = os.fstat(file.fileno())  # of the open file: a pointer may be replaced at any moment
            immutable = layout.kind(name) is layout.Kind.IMMUTABLE
            headers = _common(_FOREVER if immutable else self._pointer) | conditions.validators(facts)
            if conditions.is_known(request.headers, headers):
                return Response(status_code=304, headers=headers)
            if not _RANGED.fullmatch(name):
                media_type = classes.TYPES.get(PurePath(name).suffix[1:], _BYTES)
                return Response(file.read(), headers=headers, media_type=media_type)
        return _blob(self._root / name, facts.st_size, request, headers)


def _common(cached: str) -> dict[str, str]:
    return {"Cache-Control": cached, "X-Content-Type-Options": "nosniff"}


def _check_method(method: str) -> None:
    if not _METHOD.fullmatch(method):
        raise HTTPException(400)
    if method not in {"GET", "HEAD"}:
        raise HTTPException(405, headers={"Allow": "GET, HEAD"})


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        raise HTTPException(404) from None


def _blob(path: Path, size: int, request: Request, headers: dict[str, str]) -> Response:
    """Answer with a package's bytes or a range of them, in constant memory."""
    part = conditions.part(request.headers, headers, size)
    start, end = part or (0, size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    else:
        headers["Accept-Ranges"] = "bytes"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(None, status, headers, _BYTES)
    return _Pieces(path, start, end, status, headers)


class _Pieces(StreamingResponse):
    """A part of a file, a piece at a time; the file is closed however the request ends."""

    def __init__(self, path: Path, start: int, end: int, status: int, headers: Mapping[str, str]) -> None:
        self._pieces = _pieces(path, start, end)
        super().__init__(self._pieces, status, headers, _BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.closing(self._pieces):
            await super().__call__(scope, receive, send)


def _pieces(path: Path, start: int, end: int) -> Generator[bytes, None, None]:
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(min(_PIECE, end - start)):
            start += len(piece)
            yield piece
