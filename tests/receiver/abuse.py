"""Uploads that are refused, each with the status and the word that its client gets.

One package is on the mirror, `app` 1.0 on main; the site takes packages of at most 100,000 bytes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirror.content import MAX_BYTES
from tests.receiver.forms import BOUNDARY, DATA, STATED, chunked, content, form, good, part, request

if TYPE_CHECKING:
    from collections.abc import Iterator

_GOOD = good()
_CONTENT, _FILE = part("content", content()), part("file", DATA)
_LONG = "a" * 129


@dataclass(frozen=True)
class Case:
    """One request, and what is answered; `closes` if the connection has to end with it."""

    name: str
    request: bytes
    status: int
    error: str
    closes: bool = False
    method: str = "PUT"


def cases() -> Iterator[Case]:
    """List all of them."""
    yield from _framing()
    yield from _headers()
    for name, body, status, error in _FORMS:
        yield Case(name, request(body), status, error)
    for name, raw, status in _CONTENTS:
        error = "content-too-large" if status == 413 else "content-invalid"
        yield Case(f"content: {name}", request(form(part("content", raw), _FILE)), status, error)
    for name, changes in _KEYS:
        yield Case(f"key: {name}", request(good(**changes)), 400, "content-invalid")
    for name, changes, status, error in _AGAINST_THE_MIRROR:
        yield Case(name, request(good(**changes)), status, error)


def _framing() -> Iterator[Case]:
    """What is wrong with where the body ends; whatever follows cannot be trusted, so the connection ends."""
    plain = request(_GOOD)
    yield Case("no length and not chunked", request(Content_Length=None), 411, "length-required", closes=True)
    for name, value in {"negative": "-1", "no number": "ten", "empty": "", "with a sign": "+5", "hex": "0x10"}.items():
        yield Case(f"length is {name}", request(_GOOD, Content_Length=value), 400, "not-http", closes=True)
    twice = plain.replace(b"\r\nContent-Length:", b"\r\nContent-Length: 1\r\nContent-Length:")
    yield Case("two lengths that differ", twice, 400, "not-http", closes=True)
    both = chunked(_GOOD).replace(b"\r\nTransfer", b"\r\nContent-Length: 5\r\nTransfer")
    yield Case("length and chunked", both, 400, "framing", closes=True)
    yield Case("unknown transfer coding", request(_GOOD, Transfer_Encoding="gzip"), 400, "not-http", closes=True)
    yield Case("bad chunk", chunked(_GOOD, 100).replace(b"64\r\n", b"xyz\r\n"), 400, "not-http", closes=True)
    yield Case("declared too large", request(Content_Length="999999999"), 413, "too-large", closes=True)
    too_long = request(Content_Length="99999999999999999999")
    yield Case("declared much too large", too_long, 413, "too-large", closes=True)
    huge = form(_CONTENT, part("file", bytes(100_001)))
    yield Case("file too large", request(huge), 413, "too-large")
    yield Case("chunked and too large", chunked(form(_CONTENT, part("file", bytes(400_000)))), 413, "too-large")
    yield Case("1 MiB before the form", chunked(bytes(2**20) + b"\r\n" + _GOOD), 400, "form")
    yield Case("1 MiB after the form", chunked(_GOOD + bytes(2**20)), 400, "form")
    yield Case("header line too long", request(_GOOD, X_Long="a" * 2**20), 400, "not-http", closes=True)
    yield Case("not HTTP", b"HELO update\r\n\r\n", 400, "not-http", closes=True)


def _headers() -> Iterator[Case]:
    for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"):
        yield Case(f"method {method}", request(_GOOD, method), 405, "method", closes=True, method=method)
    kinds = ("", "application/json", "multipart/mixed; boundary=b", "application/x-www-form-urlencoded")
    for kind in (None, *kinds):
        yield Case(f"type {kind}", request(_GOOD, Content_Type=kind), 415, "media-type", closes=True)
    for boundary in ("", "boundary=", 'boundary=""', f"boundary={'b' * 71}", 'boundary="a\u00e9"', 'boundary="a "'):
        kind = f"multipart/form-data; {boundary}"
        yield Case(f"boundary {boundary[:20]}", request(_GOOD, Content_Type=kind), 400, "form", closes=True)
    other = "multipart/form-data; boundary=other"
    yield Case("boundary of another form", request(_GOOD, Content_Type=other), 400, "form")
    for coding in ("gzip", "br", "identity, gzip"):
        yield Case(f"coding {coding}", request(_GOOD, Content_Encoding=coding), 415, "media-type", closes=True)
    for expected in ("200-ok", "100-continue, more"):
        yield Case(f"expects {expected}", request(_GOOD, Expect=expected), 417, "expectation", closes=True)


_DISPOSITION = "Content-Disposition: form-data; "
_FORMS: tuple[tuple[str, bytes, int, str], ...] = (
    ("no content", form(_FILE), 400, "form"),
    ("no file", form(_CONTENT), 400, "form"),
    ("no part at all", form(), 400, "form"),
    ("empty body", b"", 400, "form"),
    ("no form", b"hello", 400, "form"),
    ("unknown part", form(_CONTENT, _FILE, part("notes", b"x")), 400, "form"),
    ("unknown part first", form(part("notes", b"x"), _CONTENT, _FILE), 400, "form"),
    ("content twice", form(_CONTENT, _CONTENT, _FILE), 400, "form"),
    ("file twice", form(_CONTENT, _FILE, _FILE), 400, "form"),
    ("name in another case", form(part("Content", content()), _FILE), 400, "form"),
    ("part without a name", form(part("", content(), "Content-Disposition: form-data"), _FILE), 400, "form"),
    ("part with an empty name", form(part("", content(), f'{_DISPOSITION}name=""'), _FILE), 400, "form"),
    ("part with name*", form(part("", content(), f"{_DISPOSITION}name*=utf-8''content"), _FILE), 400, "form"),
    ("part without disposition", form(part("", content(), "Content-Type: text/plain"), _FILE), 400, "form"),
    ("part that is an attachment", form(part("", content(), "Content-Disposition: attachment"), _FILE), 400, "form"),
    ("part without headers", form(b"\r\n" + content(), _FILE), 400, "form"),
    ("part header without colon", form(part("", content(), "hello"), _FILE), 400, "form"),
    ("part header of 64 KiB", form(part("", b"", f'{_DISPOSITION}name="content"; x="{"a" * 65_536}"')), 400, "form"),
    ("part with 100 headers", form(part("", content(), *["X-A: b"] * 100), _FILE), 400, "form"),
    (
        "part shorter than it says",
        form(part("", b"x", f'{_DISPOSITION}name="content"', "Content-Length: 9")),
        400,
        "form",
    ),
    ("1,001 parts", form(*[_FILE] * 1001), 400, "form"),
    ("cut off in the file", _GOOD[:-60], 400, "form"),
    ("cut off in the last boundary", _GOOD[:-6], 400, "form"),
    ("cut off in a header", _GOOD[:30], 400, "form"),
    ("line feeds only", _GOOD.replace(b"\r\n", b"\n"), 400, "form"),
    (
        "base64",
        form(
            _CONTENT,
            part("", base64.b64encode(DATA), f'{_DISPOSITION}name="file"', "Content-Transfer-Encoding: base64"),
        ),
        400,
        "form",
    ),
    (
        "content of 64 KiB and a byte",
        form(part("content", content() + b" " * MAX_BYTES), _FILE),
        413,
        "content-too-large",
    ),
    ("content without end", form(part("content", bytes(99_000)), _FILE), 413, "content-too-large"),
    ("other bytes than stated", form(_CONTENT, part("file", DATA + b"x")), 304, ""),
    ("no bytes where some are stated", form(_CONTENT, part("file", b"")), 304, ""),
    ("file first, and other bytes", form(part("file", b"x"), _CONTENT), 304, ""),
)

_OPEN = content()[:-1]
_CONTENTS: tuple[tuple[str, bytes, int], ...] = (
    ("empty", b"", 400),
    ("no JSON", b"hello", 400),
    ("cut off", _OPEN, 400),
    ("array", b"[" + content() + b"]", 400),
    ("string", b'"content"', 400),
    ("null", b"null", 400),
    ("two objects", content() * 2, 400),
    ("key twice", _OPEN + b', "package": "tool"}', 400),
    ("key twice, deep inside", _OPEN + b', "x": {"y": 1, "y": 1}}', 400),
    ("NaN", _OPEN + b', "x": NaN}', 400),
    ("Infinity", _OPEN + b', "x": -Infinity}', 400),
    ("1e999", _OPEN + b', "x": 1e999}', 400),
    ("fraction", _OPEN + b', "x": 1.5}', 400),
    ("beyond 2^53", _OPEN + b', "x": 9007199254740993}', 400),
    ("5,000 digits", _OPEN + b', "x": ' + b"9" * 5000 + b"}", 400),
    ("depth 33", _OPEN + b', "x": ' + b"[" * 32 + b"]" * 32 + b"}", 400),
    ("depth 20,000", _OPEN + b', "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400),
    ("not UTF-8", _OPEN + b', "x": "\xff"}', 400),
    ("UTF-16", content().decode().encode("utf-16"), 400),
    ("byte order mark", b"\xef\xbb\xbf" + content(), 400),
    ("half a surrogate pair", _OPEN + b', "x": "\\ud800"}', 400),
    ("NUL", _OPEN + b', "x": "\\u0000"}', 400),
    ("bell", _OPEN + b', "description": "\\u0007"}', 400),
    ("newline in local", _OPEN + b', "local": "/a\\nb"}', 400),
    ("number for a name", b'{"package": 1, "version": "1", "branch": "b", "sha256": ""}', 400),
    ("too large in its canonical form", _OPEN + b', "x": "' + b"\\u007f" * 10 + b"a" * 65_300 + b'"}', 400),
)

_NO_STRINGS: tuple[Any, ...] = (1, True, [], {}, ["a"])
_BAD_NAMES = ("../x", "/x", "a/b", ".", "..", "", _LONG, "a.", "a%2Fb", "\u0430pp", "a b", "a\n", "-a", "\u2024a")
_KEYS: tuple[tuple[str, dict[str, Any]], ...] = (
    *((f"no {key}", {key: None}) for key in STATED),
    *((f"{key} is {value!r}", {key: value}) for key in STATED for value in _NO_STRINGS),
    *((f"package {name!r}", {"package": name}) for name in _BAD_NAMES),
    *((f"branch {name!r}", {"branch": name}) for name in (*_BAD_NAMES, f"{'a' * 64}.x")),
    *((f"version {name!r}", {"version": name}) for name in (*(_BAD_NAMES[:7]), "1 0", "1/0", "1%2B", "\u0661")),
    *((f"sha256 {value[:9]!r}", {"sha256": value}) for value in ("", "a" * 63, "g" * 64, "a" * 65)),
    ("relative local", {"local": "opt/app"}),
    ("local with ..", {"local": "/opt/../etc/passwd"}),
    ("remote is no URL", {"remote": "ftp://example.org"}),
    ("dependencies is a list", {"dependencies": ["lib"]}),
    ("dependency with a bad name", {"dependencies": {"../lib": "*"}}),
    ("dependency on itself", {"dependencies": {"tool": "*"}}),
    ("dependency with no range", {"dependencies": {"lib": ">>1"}}),
    ("dependency with a number for a range", {"dependencies": {"lib": 1}}),
)

_AGAINST_THE_MIRROR: tuple[tuple[str, dict[str, Any], int, str], ...] = (
    ("other content of a version", {"package": "app", "description": "changed"}, 409, "version-conflict"),
    ("package in another case", {"package": "App"}, 400, "case-collision"),
    ("branch in another case", {"package": "app", "branch": "Main"}, 400, "case-collision"),
)

BOUNDARIES = ("B", "a'()+_,-./:=?z", "x" * 70, "a b", BOUNDARY)
"""Boundaries that are as good as any."""
