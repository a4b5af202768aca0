"""A small web server for a folder, which misbehaves as it is told.

    with httpd.serving(folder) as server:
        server.misbehave("/otafiles/", Fault(cut_after=1000), times=1)
        ...
    assert server.requests[-1].range == "bytes=1000-"

Every request is noted, with the bytes that were sent for it. As nginx does, it gives each file an ETag and a
Last-Modified, answers 304 to who has it already, and compresses JSON that is not tiny for clients that accept it.
As object stores do, it reads a + in a path as a space. Large files are read block by block.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import os
import re
import socket
import struct
import threading
import zlib
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_BLOCK = 64 * 1024
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")
_COMPRESSED_FROM = 512
"""The least bytes of JSON that are worth it."""
_SMALL = 1024 * 1024
"""The most bytes of a file that are read at once and hashed for its ETag, which else is made of time and size."""
_RESET = struct.pack("ii", 1, 0)
"""The SO_LINGER by which closing a connection resets it."""


@dataclass(frozen=True)
class Fault:
    """One way to misbehave; what is not set is done right.

    Attributes:
        status: answer this, with the file's bytes only if it is 200 or 206.
        folder: serve the files of this folder.
        body: send these bytes instead of the file's, never compressed, with the ETag of the file.
        headers: send these instead of the right ones; None leaves one out.
        encoding: name this content coding, and compress if it is gzip, whatever the client accepts.
        ignore_range: answer a Range with the whole file.
        flip: change the byte at this place of the file.
        keep: have the file end after so many bytes.
        extra: have these bytes follow the file's.
        cut_after: close the connection after so many bytes of the body.
        reset_after: reset it then.
        hold_after: send no more after so many bytes of the body, until the client or the test ends.
        drip: send the body a byte at a time, so many seconds apart.
        drip_head: send a head without end like that.
        raw: send these bytes, head and all, and close the connection.
        leave: listen no more after this answer, as `Server.refuse`.
    """

    status: int | None = None
    folder: Path | None = None
    body: bytes | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    encoding: str | None = None
    ignore_range: bool = False
    flip: int | None = None
    keep: int | None = None
    extra: bytes = b""
    cut_after: int | None = None
    reset_after: int | None = None
    hold_after: int | None = None
    drip: float | None = None
    drip_head: float | None = None
    raw: bytes | None = None
    leave: bool = False


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
        modified: its If-Modified-Since.
        cache: its Cache-Control.
        authorization: its Authorization.
        cookie: its Cookie.
        status: that of the answer; 0 if it has none, being no HTTP.
        head: how many bytes of its head were sent.
        sent: how many bytes of its body were sent.
    """

    path: str
    range: str
    agent: str
    etag: str = ""
    accepts: str = ""
    modified: str = ""
    cache: str = ""
    authorization: str = ""
    cookie: str = ""
    status: int = 0
    head: int = 0
    sent: int = 0


class Server:
    """A running server."""

    def __init__(self, url: str, listener: socket.socket) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.ending = threading.Event()
        self._listener = listener
        self._next: socket.socket | None = None  # what will listen, while nothing does
        self._faults: list[tuple[str, Fault, list[int]]] = []

    def misbehave(self, prefix: str, fault: Fault, times: int = 1_000_000) -> None:
        """Misbehave on the next requests for paths that begin with `prefix`; what is told first goes first."""
        self._faults.append((prefix, fault, [times]))

    @property
    def refusing(self) -> bool:
        """Whether nothing listens."""
        return self._next is not None

    def refuse(self) -> None:
        """Have nothing listen at this address until the server is told to behave."""
        address = self._listener.getsockname()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._next = socket.socket()
        self._next.settimeout(self._listener.gettimeout())
        self._next.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._next.bind(address)  # already now, so that nobody else gets the port

    def behave(self) -> None:
        """Do right from now on."""
        self._faults.clear()
        if self._next:
            self._next.listen()
            os.dup2(self._next.fileno(), self._listener.fileno())
            self.close()

    def close(self) -> None:
        """Keep the port no longer."""
        if self._next:
            self._next.close()
            self._next = None

    def next_fault(self, path: str) -> Fault:
        """Take the fault for a request."""
        for prefix, fault, left in self._faults:
            if path.startswith(prefix) and left[0]:
                left[0] -= 1
                return fault
        return Fault()

    def asked(self, prefix: str) -> list[Request]:
        """List the requests for paths that begin with `prefix`."""
        return [request for request in self.requests if request.path.startswith(prefix)]


@contextlib.contextmanager
def serving(
    root: Path, *, compress: bool = True, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """Serve the files below `root` on a free port of this machine, by https if there is a context for it."""
    web = (_WebOfIPv6 if ":" in host else _Web)(root, host, compress=compress, tls=tls)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web.server
    finally:
        web.stop()
        thread.join()


class _Web(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, root: Path, host: str, *, compress: bool, tls: ssl.SSLContext | None) -> None:
        super().__init__((host, 0), _Handler)
        self.root = root
        self.compress = compress
        host = f"[{host}]" if ":" in host else host
        self.server = Server(f"{'https' if tls else 'http'}://{host}:{self.server_port}", self.socket)
        self._tls = tls
        self.socket.settimeout(0.1)  # whoever was announced may be gone, and nobody waits for the next one
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        if self.server.refusing:
            self.server.ending.wait(0.001)  # what does not listen is always ready to say so
        connection, address = super().get_request()
        if self._tls:  # hands are shaken by the thread that serves the connection
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

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
        self.server.close()
        self.server_close()


class _WebOfIPv6(_Web):
    address_family = socket.AF_INET6


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
        request.modified, request.cache = get("If-Modified-Since", ""), get("Cache-Control", "")
        request.authorization, request.cookie = get("Authorization", ""), get("Cookie", "")
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
        if fault.leave:
            self.close_connection = True
            self.server.server.refuse()
        if fault.raw is not None:
            self.close_connection = True
            yield fault.raw
            return
        file = (fault.folder or self.server.root) / unquote_plus(self.path).lstrip("/")
        served = _Served(file if file.is_file() else None, fault)
        headers = self._plain_headers(served) | {name: None for name, value in fault.headers.items() if value is None}
        status, start = self._status(fault, served, headers)
        end = served.size if status in {200, 206} or fault.body is not None else start
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{end}"
        if coding := self._coding(status, end - start, fault):
            packed = b"".join(served.blocks(start, end))
            served, start = _Served(None, Fault(body=gzip.compress(packed, mtime=0) if coding == "gzip" else packed)), 0
            end = served.size
            headers |= {"Content-Encoding": coding, "ETag": f"W/{headers['ETag']}" if headers.get("ETag") else None}
        self._head(status, headers | {"Content-Length": str(end - start)}, fault)
        yield from self._body(served, start, end, fault)

    def _plain_headers(self, served: _Served) -> dict[str, str | None]:
        is_json = self.path.endswith(".json")
        headers: dict[str, str | None] = {"Content-Type": "application/json" if is_json else "application/octet-stream"}
        if is_json:
            headers["Vary"] = "Accept-Encoding"
        if served.etag is not None:
            headers |= {"ETag": served.etag, "Last-Modified": served.modified}
        return headers

    def _status(self, fault: Fault, served: _Served, headers: Mapping[str, str | None]) -> tuple[int, int]:
        """Tell the status of the answer, and where in the file its body begins."""
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if fault.status is not None:
            return fault.status, 0
        if fault.body is None and served.etag is None:
            return 404, 0
        if fault.body is None and self._is_known(headers):
            return 304, 0
        if wanted is None or fault.ignore_range:
            return 200, 0
        start = int(wanted[1])
        return (206, start) if start < served.size else (416, 0)

    def _is_known(self, headers: Mapping[str, str | None]) -> bool:
        """Return whether the client has the file, by its ETag, or by its date if it knows no ETag."""
        if names := self.headers.get("If-None-Match"):
            return headers.get("ETag") in re.findall(r'"[^"]*"', names)
        since = self.headers.get("If-Modified-Since")
        return since is not None and since == headers.get("Last-Modified")

    def _coding(self, status: int, size: int, fault: Fault) -> str | None:
        """Name the content coding to use."""
        if fault.encoding is not None or fault.body is not None:
            return fault.encoding
        worthy = self.path.endswith(".json") and status == 200 and size >= _COMPRESSED_FROM
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
            headers = {
                name: value for name, value in headers.items() if name in {"Server", "Date", "ETag", "Last-Modified"}
            }
        for name, value in (headers | dict(fault.headers)).items():
            if value is not None:
                self.send_header(name, value)
        self.close_connection = self.close_connection or "Content-Length" in fault.headers
        if fault.leave:
            self.send_header("Connection", "close")
        self.end_headers()

    def _body(self, served: _Served, start: int, end: int, fault: Fault) -> Iterator[bytes]:
        if fault.drip is not None:
            yield from self._dripping(served, start, end, fault.drip)
            return
        limits = (fault.cut_after, fault.reset_after, fault.hold_after, end - start)
        until = start + min(limit for limit in limits if limit is not None)
        yield from served.blocks(start, until)
        if fault.hold_after is not None:
            self.server.server.ending.wait()
        if fault.reset_after is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            os.close(self.connection.detach())
        self.close_connection = self.close_connection or until < end

    def _drip_head(self, pause: float) -> None:
        self.wfile.write(b"X-Slow: ")
        while not self.server.server.ending.wait(pause):
            self.wfile.write(b"z")

    def _dripping(self, served: _Served, start: int, end: int, pause: float) -> Iterator[bytes]:
        for position in range(start, end):
            if self.server.server.ending.wait(pause):
                return
            yield from served.blocks(position, position + 1)


class _Served:
    """The bytes that are served as a file, as a fault has them; nothing if it is not there.

    Attributes:
        size: how many there are.
        etag: that of the file as it should be served, None if it is not there.
        modified: when it was changed last, in the same way.
    """

    def __init__(self, file: Path | None, fault: Fault) -> None:
        self._fault = fault
        small = file is None or file.stat().st_size <= _SMALL
        # at once, because another process may put a new file in its place
        stored = file.read_bytes() if file and small else b""
        self.etag = _etag(file, stored) if file else None
        self.modified = formatdate(file.stat().st_mtime, usegmt=True) if file else None
        in_memory = stored if fault.body is None else fault.body
        self._open: Callable[[], IO[bytes]] = lambda: io.BytesIO(in_memory)
        if file and not small and fault.body is None:
            self._open = functools.partial(io.FileIO, file)
        with self._open() as reader:
            there_is = reader.seek(0, io.SEEK_END)
        self._own = there_is if fault.keep is None else min(there_is, fault.keep)
        self.size = self._own + len(fault.extra)

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """Give the bytes from `start` to `end`, block by block."""
        own = min(end, self._own)
        with self._open() as reader:
            reader.seek(start)
            for at in range(start, own, _BLOCK):
                yield self._lied(reader.read(min(_BLOCK, own - at)), at)
        if end > self._own:
            yield self._fault.extra[max(0, start - self._own) : end - self._own]

    def _lied(self, block: bytes, at: int) -> bytes:
        place = -1 if self._fault.flip is None else self._fault.flip - at
        return block[:place] + bytes([block[place] ^ 1]) + block[place + 1 :] if 0 <= place < len(block) else block


def _etag(file: Path, stored: bytes) -> str:
    if stored:
        return f'"{hashlib.sha256(stored).hexdigest()[:24]}"'
    found = file.stat()
    return f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
