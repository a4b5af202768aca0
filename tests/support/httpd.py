"""A small web server for a folder, which misbehaves as it is told.

    with httpd.serving(folder) as server:
        server.misbehave("/otafiles/", Fault(cut_after=1000), times=1)
        ...
    assert server.requests[-1].range == "bytes=1000-"

Every request is noted, with the bytes that were sent for it. As nginx does, it gives each file an ETag, answers 304 to
who has it already, and compresses JSON that is not tiny for clients that accept it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import socket
import threading
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BLOCK = 64 * 1024
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")
_COMPRESSED_FROM = 512
"""The least bytes of JSON that are worth it."""


@dataclass(frozen=True)
class Fault:
    """One way to misbehave; what is not set is done right.

    Attributes:
        status: answer this, with the file's bytes only if it is 200 or 206.
        body: send these bytes instead of the file's, never compressed, with the ETag of the file.
        headers: send these instead of the right ones; None leaves one out.
        encoding: name this content coding, and compress if it is gzip, whatever the client accepts.
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
    encoding: str | None = None
    ignore_range: bool = False
    flip: int | None = None
    cut_after: int | None = None
    hold_after: int | None = None
    drip: float | None = None
    drip_head: float | None = None
    raw: bytes | None = None


PORTAL = Fault(status=200, body=b"<!DOCTYPE html><title>Sign in</title>", headers={"Content-Type": "text/html"})
"""What a network says that wants people to sign in first."""


def bomb(size: int) -> Fault:
    """Make the fault of a small answer that becomes `size` zero bytes when it is unpacked."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    body = b"".join(packer.compress(bytes(min(_BLOCK, size - at))) for at in range(0, size, _BLOCK)) + packer.flush()
    return Fault(status=200, body=body, headers={"Content-Encoding": "gzip"})


@dataclass
class Request:
    """One request, and what was answered so far.

    Attributes:
        etag: the If-None-Match of the client.
        accepts: its Accept-Encoding.
        status: that of the answer; 0 if it has none, being no HTTP.
        head: how many bytes of its head were sent.
        sent: how many bytes of its body were sent.
    """

    path: str
    range: str
    agent: str
    etag: str = ""
    accepts: str = ""
    status: int = 0
    head: int = 0
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

    def behave(self) -> None:
        """Do right from now on."""
        self._faults.clear()

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
def serving(root: Path, *, compress: bool = True) -> Iterator[Server]:
    """Serve the files below `root` on a free port of 127.0.0.1."""
    web = _Web(root, compress=compress)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web.server
    finally:
        web.stop()
        thread.join()


class _Web(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, root: Path, *, compress: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.compress = compress
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
    disable_nagle_algorithm = True  # head and body are written apart
    server: _Web
    noted = Request("", "", "")

    def do_GET(self) -> None:
        server = self.server.server
        get = self.headers.get
        request = Request(self.path, get("Range", ""), get("User-Agent", ""))
        request.etag, request.accepts = get("If-None-Match", ""), get("Accept-Encoding", "")
        self.noted = request
        server.requests.append(request)
        for block in self._answer(server.next_fault(self.path)):
            request.sent += len(block)  # first: the client may have it all before the call returns
            self.wfile.write(block)

    def flush_headers(self) -> None:
        self.noted.head += len(b"".join(vars(self)["_headers_buffer"]))
        super().flush_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the standard library names it
        """Say nothing."""

    def _answer(self, fault: Fault) -> Iterator[bytes]:
        """Send the head, then give the blocks of the body to send."""
        if fault.raw is not None:
            self.close_connection = True
            yield fault.raw
            return
        file = self.server.root / unquote(self.path).lstrip("/")
        stored = file.read_bytes() if file.is_file() else None
        headers = self._plain_headers(stored)
        whole = _lied(stored or b"", fault)
        status, start = self._status(fault, whole, headers.get("ETag"))
        body = whole[start:] if status in {200, 206} or fault.body is not None else b""
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        if coding := self._coding(status, body, fault):
            body = gzip.compress(body, mtime=0) if coding == "gzip" else body
            headers |= {"Content-Encoding": coding, "ETag": f"W/{headers.get('ETag')}"}
        self._head(status, headers | {"Content-Length": str(len(body))}, fault)
        yield from self._body(body, fault)

    def _plain_headers(self, stored: bytes | None) -> dict[str, str | None]:
        is_json = self.path.endswith(".json")
        headers: dict[str, str | None] = {"Content-Type": "application/json" if is_json else "application/octet-stream"}
        if is_json:
            headers["Vary"] = "Accept-Encoding"
        if stored is not None:
            headers["ETag"] = f'"{hashlib.sha256(stored).hexdigest()[:24]}"'
        return headers

    def _status(self, fault: Fault, whole: bytes, etag: str | None) -> tuple[int, int]:
        """Tell the status of the answer, and where in the file its body begins."""
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if fault.status is not None:
            return fault.status, 0
        if fault.body is None and etag is None:
            return 404, 0
        if fault.body is None and etag in re.findall(r'"[^"]*"', self.headers.get("If-None-Match", "")):
            return 304, 0
        if wanted is None or fault.ignore_range:
            return 200, 0
        start = int(wanted[1])
        return (206, start) if start < len(whole) else (416, 0)

    def _coding(self, status: int, body: bytes, fault: Fault) -> str | None:
        """Name the content coding to use."""
        if fault.encoding is not None or fault.body is not None:
            return fault.encoding
        worthy = self.path.endswith(".json") and status == 200 and len(body) >= _COMPRESSED_FROM
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        return "gzip" if self.server.compress and worthy and accepted else None

    def _head(self, status: int, headers: Mapping[str, str | None], fault: Fault) -> None:
        self.noted.status = status
        self.send_response_only(status)
        headers = {"Server": self.version_string(), "Date": self.date_time_string(), **headers}
        if fault.drip_head is not None:
            self.flush_headers()
            self._drip_head(fault.drip_head)
        if status == 304:
            headers = {name: value for name, value in headers.items() if name in {"Server", "Date", "ETag"}}
        for name, value in (headers | dict(fault.headers)).items():
            if value is not None:
                self.send_header(name, value)
        self.close_connection = self.close_connection or "Content-Length" in fault.headers
        self.end_headers()

    def _body(self, body: bytes, fault: Fault) -> Iterator[bytes]:
        if fault.drip is not None:
            yield from self._dripping(body, fault.drip)
            return
        until = min(limit for limit in (fault.cut_after, fault.hold_after, len(body)) if limit is not None)
        for position in range(0, until, _BLOCK):
            yield body[position : min(position + _BLOCK, until)]
        if fault.hold_after is not None:
            self.server.server.ending.wait()
        self.close_connection = self.close_connection or until < len(body)

    def _drip_head(self, pause: float) -> None:
        self.wfile.write(b"X-Slow: ")
        while not self.server.server.ending.wait(pause):
            self.wfile.write(b"z")

    def _dripping(self, body: bytes, pause: float) -> Iterator[bytes]:
        for position in range(len(body)):
            if self.server.server.ending.wait(pause):
                return
            yield body[position : position + 1]


def _lied(whole: bytes, fault: Fault) -> bytes:
    """Return what is served as the file."""
    if fault.flip is not None:
        whole = whole[: fault.flip] + bytes([whole[fault.flip] ^ 1]) + whole[fault.flip + 1 :]
    return whole if fault.body is None else fault.body
