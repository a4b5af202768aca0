"""How long a server may keep a device waiting.

A time limit for each read is not enough: a server that sends a byte now and then meets it for ever.
So a request has a stock of patience. Waiting uses it up, bytes that arrive restore it, and never above
what it was at the start, so that nobody saves up for later. Time spent elsewhere, on slow disks say, is free.
"""

from __future__ import annotations

import http.client
import io
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed import WriteableBuffer


class Pace:
    """The patience with one request at a time; all times in seconds."""

    def __init__(
        self,
        patience: float,
        rate: float,
        silence: float,
        clock: Callable[[], float],
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """Set the limits.

        Args:
            patience: how much waiting the request may cost in all, beyond what `rate` explains.
            rate: bytes that restore one second of it.
            silence: how long a server may send nothing.
            clock: tells the time, only ever forward.
            go_on: is called before each read, and may raise to leave.
        """
        self._patience = patience
        self._rate = rate
        self._silence = silence
        self._clock = clock
        self._go_on = go_on
        self.begin()

    def begin(self, deadline: float = math.inf) -> None:
        """Start anew, for a request that may take `deadline` seconds in all until it is lifted."""
        self._left = self._patience
        self._end = self._clock() + deadline

    def lift(self) -> None:
        """Let the request take as long as it likes, if it only keeps the pace."""
        self._end = math.inf

    def read(self, source: Callable[[], int | None], limit: Callable[[float], None]) -> int | None:
        """Call `source`, which returns how many bytes came, after giving `limit` the seconds it may take.

        Raises:
            TimeoutError: patience or deadline had been used up before.
        """
        self._go_on()
        before = self._clock()
        allowed = min(self._silence, self._left, self._end - before)
        if allowed <= 0:
            raise TimeoutError("the server is too slow")
        limit(allowed)
        count = source()
        waited = self._clock() - before
        self._left = min(self._patience, self._left - waited + (count or 0) / self._rate)
        return count


class PacedResponse(http.client.HTTPResponse):
    """An HTTP response, head and body, that is read at a pace."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
        *,
        pace: Pace,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self.fp = io.BufferedReader(_PacedSocket(sock, pace))


class _PacedSocket(io.RawIOBase):
    """The bytes that arrive on a socket, each read within what its pace allows."""

    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        return self._pace.read(lambda: self._raw.readinto(buffer), self._socket.settimeout)

    def close(self) -> None:
        self._raw.close()
        super().close()
