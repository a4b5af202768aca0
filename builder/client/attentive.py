"""Connections that listen while they send: a server that refuses is heard before gigabytes are sent for nothing.

A request that says `Expect: 100-continue` waits for the server's leave; a server that stays silent does not know of
such things, so the body is sent all the same. While it is sent, the connection looks for an answer: web servers in
between give the leave at once, and the refusal comes later.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import socket
import ssl
from functools import partial
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LEAVE_SECONDS = 1.0
_STALL_SECONDS = 120.0
_RECORD = 64 * 1024

# TLS sends tickets after its handshake: a line may have something to read that is no answer
_LOOKS = 4
_INTERIM = b"HTTP/1.1 1"
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Attentive(HTTPConnection):
    """A connection for one request, with a body and `Expect: 100-continue`."""

    _is_attentive = False
    _has_leave = False
    _heard = b""

    def endheaders(self, *arguments: Any, **named: Any) -> None:
        """End the headers, and wait for the server's leave to send the body."""
        super().endheaders(*arguments, **named)
        self._is_attentive = isinstance(self.sock, socket.socket)  # TLS through a proxy's TLS is another thing
        if self._is_attentive:
            self.sock.settimeout(0)
            self._await_leave()

    def send(self, data: Any) -> None:
        """Send headers, or a piece of the body.

        Raises:
            BrokenPipeError: the answer is there already; urllib3 goes on with reading it.
            TimeoutError: the server takes nothing more.
        """
        if not self._is_attentive:
            super().send(data)
            return
        rest = memoryview(data)
        while rest:
            if not self._is_ready(select.POLLIN | select.POLLOUT, _STALL_SECONDS):
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            if self._has_answer():
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            rest = rest[self._send_some(rest) :]

    def getresponse(self) -> Any:
        """Read the answer, of which the beginning may have been heard."""
        heard, self._heard, self._is_attentive = self._heard, b"", False
        self.response_class = cast("type[HTTPResponse]", partial(_answer, heard))  # all that is done is to call it
        return super().getresponse()

    def _await_leave(self) -> None:
        for _ in range(_LOOKS):
            if not self._is_ready(select.POLLIN, _LEAVE_SECONDS) or self._has_answer() or self._has_leave:
                return

    def _is_ready(self, events: int, seconds: float) -> bool:
        line = select.poll()
        line.register(self.sock, events)
        return bool(line.poll(seconds * 1000))

    def _send_some(self, data: memoryview) -> int:
        try:
            return self.sock.send(data)
        except _NOT_YET:
            return 0

    def _has_answer(self) -> bool:
        """Tell whether the final answer has begun, passing over interim ones."""
        with contextlib.suppress(*_NOT_YET):
            said = self.sock.recv(_RECORD)
            if not said and not self._heard:
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            self._heard += said
        while self._heard.startswith(_INTERIM) and b"\r\n\r\n" in self._heard:
            self._has_leave = True
            self._heard = self._heard.partition(b"\r\n\r\n")[2]
        return not _INTERIM.startswith(self._heard[: len(_INTERIM)])


class AttentiveTLS(Attentive, HTTPSConnection):
    """The same over TLS."""


def _answer(heard: bytes, sock: socket.socket, **named: Any) -> HTTPResponse:
    return HTTPResponse(cast("socket.socket", _Resumed(heard, sock)), **named)


class _Resumed(io.RawIOBase):
    """What HTTPResponse takes for the socket: its bytes begin with those that were heard before."""

    def __init__(self, heard: bytes, sock: socket.socket) -> None:
        self._heard = heard
        self._rest = sock.makefile("rb", buffering=0)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if not self._heard:
            return self._rest.readinto(buffer)
        view = memoryview(buffer)
        count = min(len(view), len(self._heard))
        view[:count], self._heard = self._heard[:count], self._heard[count:]
        return count

    def close(self) -> None:
        self._rest.close()
        super().close()
