"""Uploads byte for byte as given: good ones, and a place to make each thing wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mirror import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUNDARY = "bOUNDARY"
DATA = b"the bytes of a package\r\n--but not its boundary\r\n"
STATED: Mapping[str, Any] = {
    "package": "tool",
    "version": "1.0",
    "branch": "main",
    "sha256": canonical.digest(DATA),
}


def content(**changes: Any) -> bytes:
    """Write a content.json of `DATA` with some keys changed; None leaves a key out."""
    fields = {**STATED, **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()


def part(name: str, data: bytes, *lines: str) -> bytes:
    """Write a part; `lines` stand for all its headers."""
    headers = lines or (f'Content-Disposition: form-data; name="{name}"; filename="{name}"',)
    return b"".join(f"{line}\r\n".encode() for line in headers) + b"\r\n" + data


def form(*parts: bytes, boundary: str = BOUNDARY) -> bytes:
    """Put parts together."""
    opened = b"".join(f"--{boundary}\r\n".encode() + each + b"\r\n" for each in parts)
    return opened + f"--{boundary}--\r\n".encode()


def good(**changes: Any) -> bytes:
    """Write the body of a good upload, or one with a changed content.json."""
    return form(part("content", content(**changes)), part("file", DATA))


def request(body: bytes = b"", method: str = "PUT", target: str = "/update", **headers: str | None) -> bytes:
    """Write a request; in the names of headers `_` stands for `-`, and None leaves one out."""
    sent: dict[str, str | None] = {
        "Host": "localhost",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(body: bytes, size: int = 1000) -> bytes:
    """Write a request whose body comes in chunks."""
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
    return request(Transfer_Encoding="chunked", Content_Length=None) + framed
