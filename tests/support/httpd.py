"""A small web server for a folder, which misbehaves as it is told.

    with httpd.serving(folder) as server:
        server.misbehave("/otafiles/", Fault(cut_after=1000), times=1)
        ...
    assert server.requests[-1].range == "bytes=1000-"

Every request is noted, with the bytes of the body that were sent for it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BLOCK = 64 * 1024
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


@dataclass(frozen=True)
class Fault:
    """One way to misbehave; what is not set is done right.

    Attributes:
        status: answer this, with the file's bytes only if it is 200 or 206.
        body: send these bytes instead of the file's.
        headers: send these instead of the right ones; None leaves one out.
        ignore_range: answer a Range with the whole file.
        flip: change the byte at this place of the file.
        cut_after: close the connection after so many bytes of the body.
        hold_after: send no more after so many bytes of the body, until the client or the test ends.
        drip: send the body a byte at a time, so many seconds apart.
        drip_head: send a head without end like that.
        raw: send these bytes, head and all, and close the connection.
    """

    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    ignore_range: bool = False
    flip: int | None = None
    cut_after: int | None = None
    hold_after: int | None = None
    drip: float | None = None
    drip_head: float | None = None
    raw: bytes | None = None


PORTAL = Fault(status=200, body=b"<!DOCTYPE html><title>Sign in</title>", headers={"Content-Type": "text/html"})
"""What a network says that wants people to sign in first."""


@dataclass
class Request:
    """One request, and how many bytes of the body of its answer were sent so far."""

    path: str
    range: str
    agent: str
    sent: int = 0


class Server:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.ending = threading.Event()
        self._faults: list[tuple[str, Fault, list[None]]] = []

    def misbehave(self, prefix: str, fault: Fault, times: int = 1_000_000) -> None:
        """Misbehave on the next requests for paths that begin with `prefix`; what is told first goes first."""
        self._faults.append((prefix, fault, [None] * times))

    def next_fault(self, path: str) -> Fault:
        """Take the fault for a request."""
        for prefix, fault, left in self._faults:
            if path.startswith(prefix) and left:
                left.pop()
                return fault
        return Fault()

    def asked(self, prefix: str) -> list[Request]:
        """List the requests for paths that begin with `prefix`."""
        return [request for request in self.requests if request.path.startswith(prefix)]


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Server]:
    """Serve the files below `root` on a free port of 127.0.0.1."""
    web = _Web(root)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web.server
    finally:
        web.stop()
        thread.join()


class _Web(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.server = Server(f"http://127.0.0.1:{self.server_port}")
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Take it that the client went away, as it does when it is killed or has had enough."""

    def stop(self) -> None:
        self.server.ending.set()
        self.shutdown()
        for connection in self._open.copy():  # clients may keep theirs for the next request
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Web

    def do_GET(self) -> None:
        server = self.server.server
        request = Request(self.path, self.headers.get("Range", ""), self.headers.get("User-Agent", ""))
        server.requests.append(request)
        for block in self._answer(server.next_fault(self.path)):
            request.sent += len(block)  # first: the client may have it all before the call returns
            self.wfile.write(block)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the standard library names it
        """Say nothing."""

    def _answer(self, fault: Fault) -> Iterator[bytes]:
        """Send the head, then give the blocks of the body to send."""
        if fault.raw is not None:
            self.close_connection = True
            yield fault.raw
            return
        whole = self._bytes(fault)
        status, start = self._status(fault, whole)
        body = whole[start:] if status in {200, 206} or fault.body is not None else b""
        self._head(status, start, len(whole), len(body), fault)
        if fault.drip is not None:
            yield from self._dripping(body, fault.drip)
            return
        until = min(limit for limit in (fault.cut_after, fault.hold_after, len(body)) if limit is not None)
        for position in range(0, until, _BLOCK):
            yield body[position : min(position + _BLOCK, until)]
        if fault.hold_after is not None:
            self.server.server.ending.wait()
        self.close_connection = self.close_connection or until < len(body)

    def _bytes(self, fault: Fault) -> bytes:
        file = self.server.root / unquote(self.path).lstrip("/")
        whole = file.read_bytes() if file.is_file() else b""
        if fault.flip is not None:
            whole = whole[: fault.flip] + bytes([whole[fault.flip] ^ 1]) + whole[fault.flip + 1 :]
        return whole if fault.body is None else fault.body

    def _status(self, fault: Fault, whole: bytes) -> tuple[int, int]:
        file = self.server.root / unquote(self.path).lstrip("/")
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if fault.status is not None:
            return fault.status, 0
        if fault.body is None and not file.is_file():
            return 404, 0
        if wanted is None or fault.ignore_range:
            return 200, 0
        start = int(wanted[1])
        return (206, start) if start < len(whole) else (416, 0)

    def _head(self, status: int, start: int, total: int, length: int, fault: Fault) -> None:
        headers: dict[str, str | None] = {
            "Content-Type": "application/json" if self.path.endswith(".json") else "application/octet-stream",
            "Content-Length": str(length),
        }
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        self.send_response(status)
        if fault.drip_head is not None:
            self.flush_headers()
            self._drip_head(fault.drip_head)
        for name, value in (headers | dict(fault.headers)).items():
            if value is not None:
                self.send_header(name, value)
        self.close_connection = self.close_connection or "Content-Length" in fault.headers
        self.end_headers()

    def _drip_head(self, pause: float) -> None:
        self.wfile.write(b"X-Slow: ")
        while not self.server.server.ending.wait(pause):
            self.wfile.write(b"z")

    def _dripping(self, body: bytes, pause: float) -> Iterator[bytes]:
        for position in range(len(body)):
            if self.server.server.ending.wait(pause):
                return
            yield body[position : position + 1]
