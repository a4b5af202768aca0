"""One request on one connection, byte for byte as given: no client library tidies it up."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Answer:
    """What a server answered; names of headers are in lower case, repeated ones joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(port: int, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
    """Send one request and read its answer to the end."""
    sent = {"Host": "mirror.test", "Connection": "close", **(headers or {})}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        body = response.read()
    received: dict[str, str] = {}
    for name, value in response.getheaders():
        received[name.lower()] = f"{received[name.lower()]}, {value}" if name.lower() in received else value
    return Answer(response.status, received, body)
