"""One HTTP connection of our servers: uvicorn's own, with an end to what slow and refused clients can hold.

A request's headers have a time limit. Where an answer comes before the request has ended, the connection goes on
reading for a moment, so that the client finds the answer and not a reset; nothing that is read then counts.
"""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_LINGER_SECONDS = 5.0
_UNREAD = frozenset({h11.SEND_BODY, h11.ERROR})
_UNANSWERED = frozenset({h11.IDLE, h11.SEND_RESPONSE})


def limited(header_seconds: float) -> type[asyncio.Protocol]:
    """Make the connections of a server on which a request's headers may take `header_seconds`."""
    made = functools.partial(Connection, header_seconds=header_seconds)
    return cast("type[asyncio.Protocol]", made)  # all that uvicorn does with it is to call it


class Connection(H11Protocol):
    """A connection whose clients cannot take for ever."""

    def __init__(self, *arguments: Any, header_seconds: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._header_seconds = header_seconds
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own does
        """Wait for the first request."""
        lingering = _Lingering(transport, self.loop, lambda: self.conn.their_state in _UNREAD)
        super().connection_made(cast("asyncio.Transport", lingering))
        self._expect_headers()

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
        self._deadline = self.loop.call_later(self._header_seconds, self._headers_are_late)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _headers_are_late(self) -> None:
        if self.conn.trailing_data[0]:
            text = f"the headers did not come within {self._header_seconds:g} seconds; try again on a better line"
            self._refuse(408, "too-slow", text)
        else:  # nobody asked anything, so there is nothing to answer
            self.transport.abort()

    def _refuse(self, status: int, error: str, detail: str) -> None:
        if self.cycle is not None:  # whoever waits for the rest of a body waits in vain
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in _UNANSWERED:
            self._answer(status, {"error": error, "detail": detail})
        cast("_Lingering", self.transport).linger()

    def _answer(self, status: int, refusal: dict[str, str]) -> None:
        body = json.dumps(refusal).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")


class _Lingering:
    """A transport that can be read empty before it is closed; everything else is as the transport does it."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, has_unread: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._has_unread = has_unread
        self._is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

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
