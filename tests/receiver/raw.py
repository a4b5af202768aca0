"""A client that sends what it is told, and reads what the server says, down to a 100 or a closed connection."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h11

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE = 20  # seconds; nothing takes that long unless it hangs


@dataclass(frozen=True)
class Answer:
    """What a server answered; a `status` of 0 is a connection that was closed without."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """What its body says to programs."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The word for what was refused; empty if nothing was."""
        return str(self.json.get("error", "")) if self.body else ""


class Client:
    """One connection."""

    def __init__(self, connection: socket.socket, method: str) -> None:
        self.socket = connection
        self.continued = 0
        self._method = method
        self._state = h11.Connection(h11.CLIENT)
        self._ask()

    def send(self, data: bytes) -> None:
        """Send bytes; that the server has had enough is found when its answer is read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def next(self) -> None:
        """Expect one more answer on this connection."""
        self._state.start_next_cycle()
        self._ask()

    def _ask(self) -> None:
        """Tell the reader of answers that there was a request; what really was sent is not its business."""
        self._state.send(h11.Request(method=self._method, target="/", headers=[("Host", "localhost")]))
        self._state.send(h11.EndOfMessage())

    def event(self) -> Any:
        """Read the next thing that the server says."""
        while (event := self._state.next_event()) is h11.NEED_DATA:
            self._state.receive_data(self.socket.recv(65536))
        return event

    def answer(self) -> Answer:
        """Read an answer to its end, counting what came before it."""
        event = self.event()
        while isinstance(event, h11.InformationalResponse):
            self.continued += 1
            event = self.event()
        if isinstance(event, h11.ConnectionClosed):
            return Answer(0, {}, b"")
        body = b""
        headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        while isinstance(data := self.event(), h11.Data):
            body += data.data
        return Answer(event.status_code, headers, body)

    def is_closed(self) -> bool:
        """Tell, once there is nothing more to read, whether that is because the server closed the connection."""
        rest = self.socket.recv(65536)
        assert rest == b"", f"the server also said {rest!r}"
        return True


@contextlib.contextmanager
def connected(port: int, method: str = "PUT") -> Iterator[Client]:
    """Connect to a server."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        yield Client(connection, method)


def exchange(port: int, data: bytes, method: str = "PUT") -> Answer:
    """Send one request and read its answer."""
    with connected(port, method) as client:
        client.send(data)
        return client.answer()
