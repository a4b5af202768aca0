"""One row of the table: a request, byte for byte, and what every server answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror import layout
from tests.serving import tree

if TYPE_CHECKING:
    from collections.abc import Mapping

POINTER_MAX_AGE = 7
POINTER = f"public, max-age={POINTER_MAX_AGE}"
FOREVER = "public, max-age=31536000, immutable"
NEVER = "no-store"

_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "atom": "application/atom+xml",
    "xml": "application/xml",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Case:
    """One request and its answer; a header that is None is absent."""

    about: str
    target: str
    status: int
    body: bytes | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    method: str = "GET"
    sent: Mapping[str, str] = field(default_factory=dict)


def found(about: str, target: str, path: str, *, method: str = "GET", sent: Mapping[str, str] | None = None) -> Case:
    """Expect a whole file, with all that belongs to it."""
    headers = {
        "content-type": _TYPES.get(path.rpartition(".")[2], "application/octet-stream"),
        "content-length": str(len(tree.FILES[path])),
        "cache-control": _cached(path),
        "etag": tree.etag(path),
        "last-modified": tree.LAST_MODIFIED,
        "accept-ranges": "bytes" if path.startswith((f"{layout.BLOBS}/", f"{layout.TRANSFERS}/")) else None,
        "content-range": None,
    }
    return Case(about, target, 200, tree.FILES[path] if method == "GET" else b"", headers, method, sent or {})


def missing(about: str, target: str, cache: str = NEVER) -> Case:
    """Expect 404, with no page for people where programs ask."""
    return Case(about, target, 404, headers={"cache-control": cache, "etag": None})


def nowhere(about: str, target: str) -> Case:
    """Expect 404 that nobody keeps, with or without the page."""
    return Case(about, target, 404, headers={"cache-control": NEVER})


def lost(about: str, target: str, cache: str = NEVER) -> Case:
    """Expect 404 with the mirror's own page."""
    headers = {"cache-control": cache, "content-type": _TYPES["html"]}
    return Case(about, target, 404, tree.FILES[layout.NOT_FOUND_PAGE], headers)


def refused(about: str, target: str) -> Case:
    """Expect 400."""
    return Case(about, target, 400, headers={"cache-control": NEVER, "etag": None})


def no_method(method: str) -> Case:
    """Expect 400: methods are in capitals."""
    return Case(f"method {method}", "/", 400, method=method, sent={"Content-Length": "0"})


def not_allowed(method: str, target: str) -> Case:
    """Expect 405."""
    headers = {"allow": "GET, HEAD", "cache-control": NEVER}
    return Case(f"{method} {target}", target, 405, headers=headers, method=method, sent={"Content-Length": "0"})


def unchanged(about: str, path: str, **sent: str) -> Case:
    """Expect 304."""
    headers = {"cache-control": _cached(path), "etag": tree.etag(path), "content-type": None}
    return Case(about, f"/{path}", 304, b"", headers, sent=_names(sent))


def changed(about: str, path: str, **sent: str) -> Case:
    """Expect 412: the file is not the one that the client demands."""
    return Case(about, f"/{path}", 412, headers={"cache-control": NEVER}, sent=_names(sent))


def whole(about: str, path: str, **sent: str) -> Case:
    """Expect a whole file in spite of what is sent."""
    return found(about, f"/{path}", path, sent=_names(sent))


def part(about: str, start: int, end: int, *, method: str = "GET", **sent: str) -> Case:
    """Expect the bytes of the blob from `start` to before `end`."""
    path = layout.blob(tree.BLOB_SHA256)
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(end - start),
        "content-range": f"bytes {start}-{end - 1}/{len(tree.BLOB)}",
        "cache-control": FOREVER,
        "etag": tree.etag(path),
        "last-modified": tree.LAST_MODIFIED,
    }
    body = tree.BLOB[start:end] if method == "GET" else b""
    return Case(about, f"/{path}", 206, body, headers, method, _names(sent))


def outside(asked: str, path: str) -> Case:
    """Expect 416."""
    headers = {"content-range": f"bytes */{len(tree.FILES[path])}", "etag": None}
    return Case(f"range {asked}", f"/{path}", 416, headers=headers, sent={"Range": asked})


def _cached(path: str) -> str:
    return FOREVER if layout.kind(path) is layout.Kind.IMMUTABLE else POINTER


def _names(sent: Mapping[str, str]) -> dict[str, str]:
    """Make names of headers of names of arguments."""
    return {name.replace("_", "-"): value for name, value in sent.items()}
