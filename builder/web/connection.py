"""One HTTP connection of our servers: uvicorn's own, with an end to what slow and refused clients can hold.

A request's headers have a time limit, and so has a client that does not read its answer; above a number of connections
each further one is refused. Where an answer comes before the request has ended, the connection goes on
reading for a moment, so that the client finds the answer and not a reset; nothing that is read then counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from builder.web.allowance import Allowance

if TYPE_CHECKING:
    from collections.abc import Callable

_LINGER_SECONDS = 5.0
_READ_BYTES = 256 * 1024
_CHUNKED_BYTES = 8 * 1024  # of chunks of a byte, so many take a hundredth of a second, in which nobody else is served
_CHUNKED = b"transfer-encoding"
_LOOK_SECONDS = 1.0
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, for no time
_RETRY_SECONDS = 10
_UNREAD = frozenset({h11.SEND_BODY, h11.ERROR})
_UNANSWERED = frozenset({h11.IDLE, h11.SEND_RESPONSE})


@dataclass(frozen=True)
class ClientLimits:
    """What clients may hold of a server.

    Attributes:
        header_seconds: within which the headers of a request have to come.
        silence_seconds: for which a client may read nothing of its answer.
        min_bytes_per_second: which it has to read on average.
        connections: how many there may be at a time.
    """

    header_seconds: float = 10.0
    silence_seconds: float = 30.0
    min_bytes_per_second: int = 1024
    connections: int = 400


def limited(patience: ClientLimits) -> type[asyncio.Protocol]:
    """Make the connections of a server that has so much patience with its clients."""
    # one buffer for all: what comes into it is taken out at once
    made = functools.partial(Connection, patience=patience, buffer=memoryview(bytearray(_READ_BYTES)))
    return cast("type[asyncio.Protocol]", made)  # all that uvicorn does with it is to call it


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """A connection whose clients cannot take for ever, nor much at a time."""

    def __init__(self, *arguments: Any, patience: ClientLimits, buffer: memoryview, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._patience = patience
        self._buffer = buffer
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own does
        """Wait for the first request, unless there are too many to wait for already."""
        is_full = len(self.connections) >= self._patience.connections
        allowance = Allowance(self._patience.silence_seconds, self._patience.min_bytes_per_second)
        watched = _Watched(transport, self.loop, allowance, lambda: self.conn.their_state in _UNREAD)
        super().connection_made(cast("asyncio.Transport", watched))
        if is_full:
            text = f"the server has {self._patience.connections} connections, the most at a time; try again later"
            self._answer(503, {"error": "busy", "detail": text})
            transport.close()  # at once: to read on would be what there is no room for
        else:
            self._expect_headers()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as asyncio has it
        """Return where to put what comes next: little of what may be chunks, which may have a byte each."""
        is_plain = self.conn.their_state is h11.SEND_BODY and all(name != _CHUNKED for name, _ in self.headers or ())
        return self._buffer if is_plain else self._buffer[:_CHUNKED_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what came."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take in what came, unless the connection is only kept open to be read empty."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget_deadline()
        elif self._deadline is None:
            self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._forget_deadline()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP in the form of all refusals."""
        self._refuse(400, "not-http", f"{msg} Send one well-formed HTTP/1.1 request after the other.")

    def _expect_headers(self) -> None:
        self._deadline = self.loop.call_later(self._patience.header_seconds, self._headers_are_late)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _headers_are_late(self) -> None:
        if self.conn.trailing_data[0]:
            seconds = f"{self._patience.header_seconds:g}"
            text = f"the headers did not come within {seconds} seconds; try again on a better line"
            self._refuse(408, "too-slow", text)
        else:  # nobody asked anything, so there is nothing to answer
            self.transport.abort()

    def _refuse(self, status: int, error: str, detail: str) -> None:
        if self.cycle is not None:  # whoever waits for the rest of a body waits in vain
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in _UNANSWERED:
            self._answer(status, {"error": error, "detail": detail})
        cast("_Watched", self.transport).linger()

    def _answer(self, status: int, refusal: dict[str, str]) -> None:
        body = json.dumps(refusal).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        headers += [("Retry-After", str(_RETRY_SECONDS))] if status == 503 else []
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")


class _Watched:
    """A transport that is cut off where its client does not read, and can be read empty before it is closed.

    Everything else is as the transport does it.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        allowance: Allowance,
        has_unread: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._allowance = allowance
        self._has_unread = has_unread
        self._is_lingering = False
        self._is_watched = False
        self._unread = 0  # bytes that waited when that was last looked at, with those written since

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data; from now on the client has to read it."""
        self._transport.write(data)
        self._unread += len(data)
        if not self._is_watched:
            self._watch()

    def _watch(self) -> None:
        self._unread = self._transport.get_write_buffer_size()
        self._is_watched = self._unread > 0
        if self._is_watched:
            self._loop.call_later(min(_LOOK_SECONDS, self._allowance.seconds), self._look, self._loop.time())

    def _look(self, since: float) -> None:
        waits = self._transport.get_write_buffer_size()
        if waits:
            self._allowance.use(self._loop.time() - since, self._unread - waits)
        else:
            self._allowance.refill()
        if self._allowance.seconds > 0:
            self._watch()
            return
        # reset: else the kernel would keep what it has for a client that never reads, and for itself
        with contextlib.suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def is_closing(self) -> bool:
        """Tell whether nothing is to be done with it any more."""
        return self._is_lingering or self._transport.is_closing()

    def close(self) -> None:
        """Close it once everything was sent; if the client is still sending, not at once."""
        if self._has_unread():
            self.linger()
        else:
            self._transport.close()

    def linger(self) -> None:
        """Send no more and read on: closing a socket with unread bytes resets it, and the answer is lost."""
        if self.is_closing():
            return
        self._is_lingering = True
        with contextlib.suppress(OSError):  # the client may be gone
            self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(_LINGER_SECONDS, self._transport.abort)
