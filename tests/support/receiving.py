"""A server for uploads that answers as it is told, to see what a client makes of it.

    with receiving.serving(Play(status=503), Play()) as server:
        ...
    assert len(server.requests) == 2

Each request gets the next play, the last one again and again. A play without more is what a receiver does: it gives
leave, reads the body, and says that the release is published.
"""

from __future__ import annotations

import contextlib
import io
import json
import select
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import multipart

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

_BLOCK = 64 * 1024
_IN_MEMORY = 1024**3
_NARROW = 16 * 1024
"""So little fits into a connection that clients have to wait in the middle of what they send."""

_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Play:
    """What to do with one request.

    Attributes:
        status: what to answer.
        headers: what to say with it, besides the length.
        body: what to answer; None is what a receiver says of a release that it took.
        lies: what to say differently there.
        leave: whether to say 100 to a client that waits for it.
        late_leave: whether to say it, once more, after what was taken.
        take: how many bytes of the body to read before answering; None is all.
        reset: whether to reset the connection instead of answering.
        hang_up: whether to end this side of it instead of answering.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    lies: Mapping[str, object] = field(default_factory=dict)
    leave: bool = True
    late_leave: bool = False
    take: int | None = None
    reset: bool = False
    hang_up: bool = False


@dataclass
class Request:
    """One request as it came, with as much of its body as was taken."""

    line: str
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)

    def parts(self) -> list[multipart.MultipartPart]:
        """Take the form apart."""
        return parts(self.headers["content-type"], bytes(self.body))


class Server:
    """A running server."""

    def __init__(self, plays: tuple[Play, ...], context: ssl.SSLContext | None) -> None:
        self.requests: list[Request] = []
        self._plays = list(plays) or [Play()]
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW)
        self._ending, self._end = socket.socketpair()
        self._threads = [threading.Thread(target=self._listen)]
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Take connections from now on."""
        self._threads[0].start()

    def stop(self) -> None:
        """End all connections."""
        self._end.close()
        for thread in self._threads:
            thread.join()
        self._ending.close()
        self._listener.close()

    def _listen(self) -> None:
        while self._listener in select.select([self._listener, self._ending], [], [])[0]:
            connection, _ = self._listener.accept()
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client has had enough
            self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            if self._context:
                connection = stack.enter_context(self._context.wrap_socket(connection, server_side=True))
            incoming = stack.enter_context(connection.makefile("rb"))
            request = _head(incoming)
            self.requests.append(request)
            play = self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]
            if play.leave and "expect" in request.headers:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if not _take(incoming, request, play):
                return
            if play.reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return
            if play.hang_up:
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.sendall(_answer(request, play))
            line = select.poll()
            line.register(connection, select.POLLRDHUP)
            line.register(self._ending, select.POLLIN)
            line.poll()  # nothing more is read: a client that does not listen gets stuck


def parts(content_type: str, body: bytes) -> list[multipart.MultipartPart]:
    """Take a form apart, strictly."""
    boundary = multipart.parse_options_header(content_type)[1]["boundary"]
    limits = {"spool_limit": _IN_MEMORY, "memory_limit": _IN_MEMORY}
    return list(multipart.MultipartParser(io.BytesIO(body), boundary, strict=True, **limits))


@contextlib.contextmanager
def serving(*plays: Play, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server on a free port of 127.0.0.1."""
    server = Server(plays, context)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _head(incoming: Any) -> Request:
    lines: list[str] = []
    while line := incoming.readline().decode("latin-1").rstrip("\r\n"):
        lines.append(line)
    if not lines:
        raise ConnectionError("the client hung up")
    pairs = (line.split(": ", 1) for line in lines[1:])
    return Request(lines[0], {name.lower(): value for name, value in pairs})


def _take(incoming: Any, request: Request, play: Play) -> bool:
    """Read what is to be read of the body; tells whether it came."""
    length = int(request.headers["content-length"])
    wanted = length if play.take is None else min(play.take, length)
    while len(request.body) < wanted and (block := incoming.read1(min(_BLOCK, wanted - len(request.body)))):
        request.body += block
    return len(request.body) == wanted


def _answer(request: Request, play: Play) -> bytes:
    body = play.body
    if body is None:
        body = _taken(request, play) if play.status == 200 else b""
    lines = [f"HTTP/1.1 {play.status} As Told", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in play.headers.items()]
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" if play.late_leave else b""
    return interim + "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _taken(request: Request, play: Play) -> bytes:
    content = json.loads(next(part.raw for part in request.parts() if part.name == "content"))
    said = {key: content[key] for key in ("package", "branch", "version", "sha256")}
    return json.dumps({**said, "new": True, "warnings": [], **play.lies}).encode()
