"""Small servers for what real ones do not show: each is a function from a request to an answer.

    with own.serving(own.forwarding(host.url)) as tap:
        tap.cut("/otafiles/", after=1000)
        ...
    assert [each.status for each in tap.answered] == [304]

`folder` is a plain static server, `forwarding` stands before another one, and the others are made of these.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import threading
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"})
PAGE = b"<!DOCTYPE html><title>Welcome</title><p>Our application.\n"


@dataclass(frozen=True)
class Asked:
    """A request: its target as it was spelled, and its headers in small letters."""

    target: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Its path, still encoded."""
        return self.target.partition("?")[0]


@dataclass(frozen=True)
class Answered:
    """An answer; `sent` counts what was sent of its body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: Asked = Asked("")
    sent: int = 0


class Serving:
    """A running server.

    Attributes:
        answered: what was answered so far.
    """

    def __init__(self, url: str, answer: Callable[[Asked], Answered]) -> None:
        self.url = url
        self.answer = answer
        self.answered: list[Answered] = []
        self._cuts: list[tuple[str, int]] = []

    def cut(self, prefix: str, after: int) -> None:
        """Break the next answer below `prefix` off after so many bytes of its body."""
        self._cuts.append((prefix, after))

    def take_cut(self, path: str) -> int | None:
        """Return after how many bytes an answer is broken off."""
        for cut in self._cuts:
            if path.startswith(cut[0]):
                self._cuts.remove(cut)
                return cut[1]
        return None

    def sent(self, prefix: str) -> int:
        """Count the bytes of all bodies below `prefix`."""
        return sum(each.sent for each in self.answered if each.asked.path.startswith(prefix))


@contextlib.contextmanager
def serving(answer: Callable[[Asked], Answered]) -> Iterator[Serving]:
    """Answer on a port of its own until the context ends."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.running = Serving(f"http://127.0.0.1:{server.server_address[1]}", answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.running
        finally:
            server.shutdown()
            thread.join()


def folder(root: Path, decode: Callable[[str], str] = unquote, missing: int = 404) -> Callable[[Asked], Answered]:
    """Serve the files of a folder, with ETags, times and ranges."""

    def answer(asked: Asked) -> Answered:
        file = root / decode(asked.path).lstrip("/")
        if not file.is_file():
            return Answered(missing, b"<Error/>", {"Content-Type": "application/xml"})
        data = file.read_bytes()
        facts = {
            "ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"',
            "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True),
        }
        if asked.headers.get("if-none-match") == facts["ETag"]:
            return Answered(304, b"", facts)
        kind = "application/json" if file.suffix == ".json" else "application/octet-stream"
        return _part(data, asked, facts | {"Content-Type": kind})

    return answer


def plus_is_space(root: Path) -> Callable[[Asked], Answered]:
    """Serve a folder as large object stores do: a plain + is a space, and what is missing is forbidden."""
    return folder(root, unquote_plus, missing=403)


def page_for_all(root: Path) -> Callable[[Asked], Answered]:
    """Serve a folder as hosts of applications do: what is missing is their page, with status 200."""
    files = folder(root)

    def answer(asked: Asked) -> Answered:
        found = files(asked)
        return replace(found, status=200, body=PAGE, headers=_HTML) if found.status == 404 else found

    return answer


def portal(_asked: Asked) -> Answered:
    """Answer everything as a network that wants a sign-in."""
    return Answered(200, PAGE, _HTML)


def nothing(_asked: Asked) -> Answered:
    """Answer as a host that was emptied."""
    return Answered(404)


def taking_turns(*answers: Callable[[Asked], Answered]) -> Callable[[Asked], Answered]:
    """Answer one request after the other by another server, as a name does that stands for several."""
    turn = [0]

    def answer(asked: Asked) -> Answered:
        turn[0] += 1
        return answers[(turn[0] - 1) % len(answers)](asked)

    return answer


class Cache:
    """A cache that keeps every answer for good whatever it is told, 404 too, until it is emptied.

    A request that says `no-cache` goes past it, and is kept; so caches do that obey clients. Ranges are passed on.
    """

    def __init__(self, origin: Callable[[Asked], Answered], key: Callable[[Asked], str], *, obeys: bool = True) -> None:
        self.kept: dict[str, Answered] = {}
        self._origin = origin
        self._key = key
        self._obeys = obeys

    def __call__(self, asked: Asked) -> Answered:
        """Answer from the cache."""
        key = self._key(asked)
        if key not in self.kept or (self._obeys and "no-cache" in asked.headers.get("cache-control", "")):
            self.kept[key] = self._origin(Asked(asked.target))
        found = self.kept[key]
        if found.status != 200:
            return found
        if asked.headers.get("if-none-match") == found.headers.get("ETag"):
            return replace(found, status=304, body=b"")
        return _part(found.body, asked, found.headers)


def forwarding(url: str) -> Callable[[Asked], Answered]:
    """Ask another server the same, and answer what it does."""
    place = urlsplit(url)

    def answer(asked: Asked) -> Answered:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        with contextlib.closing(connection):
            connection.putrequest("GET", place.path + asked.target, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                if name not in _HOP and name != "host":
                    connection.putheader(name, value)
            connection.endheaders()
            found = connection.getresponse()
            headers = {name: value for name, value in found.getheaders() if name.lower() not in _HOP}
            return Answered(found.status, found.read(), headers)

    return answer


_HTML = {"Content-Type": "text/html; charset=utf-8"}


def _part(data: bytes, asked: Asked, headers: Mapping[str, str]) -> Answered:
    wanted = _RANGE.fullmatch(asked.headers.get("range", ""))
    if not wanted:
        return Answered(200, data, headers)
    start, end = int(wanted[1]), min(int(wanted[2] or len(data)) + 1, len(data))
    if start >= len(data):
        return Answered(416, b"", {"Content-Range": f"bytes */{len(data)}"})
    return Answered(206, data[start:end], {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    running: Serving


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 20

    def do_GET(self) -> None:
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
        running = self.server.running
        found = running.answer(asked)
        cut = running.take_cut(asked.path)
        body = found.body if cut is None else found.body[:cut]
        running.answered.append(replace(found, asked=asked, sent=len(body)))  # first: the client may be done before us
        self.send_response_only(found.status)
        self.send_header("Date", self.date_time_string())
        for name, value in found.headers.items():
            self.send_header(name, value)
        if found.status != 304:
            self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or cut is not None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the standard library names it
        """Say nothing."""
