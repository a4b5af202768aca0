"""A connection to whichever address of a host answers (RFC 8305).

A host may have addresses of both kinds, and the network of a device may lose all that is sent to one of them. So the
kinds take turns, and while one address has not answered yet, the next is tried beside it. None is given up before its
time is over: slow networks answer, too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from collections import deque
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEAD_START = 0.25
"""How many seconds an address is alone before the next one is tried."""

_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK})


class SocketAddress(NamedTuple):
    """Where to connect to."""

    family: int
    place: Any


def resolve(host: str, port: int) -> list[SocketAddress]:
    """Look up the addresses of a host, in the order that this system prefers.

    Raises:
        OSError: it has none.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(errno.EINVAL, f"{host!r} is not the name of a host") from None
    return [SocketAddress(family, place) for family, _, _, _, place in found]


def connect(
    addresses: Iterable[SocketAddress], timeout: float, clock: Callable[[], float] = time.monotonic
) -> socket.socket:
    """Connect to the first address that answers.

    Args:
        addresses: the preferred one first.
        timeout: how many seconds each has.
        clock: tells the time in seconds, only ever forward.

    Raises:
        OSError: none does; it says why the last one did not.
    """
    with _Race(deque(_taking_turns(addresses)), timeout, clock) as race:
        while (winner := race.step()) is None:
            pass
    winner.settimeout(timeout)
    return winner


def _taking_turns(addresses: Iterable[SocketAddress]) -> list[SocketAddress]:
    kinds: dict[int, list[SocketAddress]] = {}
    for address in addresses:
        kinds.setdefault(address.family, []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*kinds.values())) if address]


class _Race:
    """Sockets that connect beside each other."""

    def __init__(self, waiting: deque[SocketAddress], timeout: float, clock: Callable[[], float]) -> None:
        self._waiting, self._timeout, self._clock = waiting, timeout, clock
        self._running: dict[socket.socket, float] = {}  # and until when
        self._selector = selectors.DefaultSelector()
        self._next_start = clock()
        self._error: OSError = OSError(errno.EADDRNOTAVAIL, "the host has no address")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._running:
            each.close()
        self._selector.close()

    def step(self) -> socket.socket | None:
        """Go on until something happens; returns the socket that is connected.

        Raises:
            OSError: none will be.
        """
        if self._waiting and (not self._running or self._clock() >= self._next_start):
            self._start(self._waiting.popleft())
        if not self._running and not self._waiting:
            raise self._error
        until = min([*self._running.values(), *([self._next_start] if self._waiting else [])])
        for key, _ in self._selector.select(max(0.0, until - self._clock())):
            if winner := self._arrived(cast("socket.socket", key.fileobj)):
                return winner
        for each in [each for each, end in self._running.items() if self._clock() >= end]:
            self._lose(each, TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
        return None

    def _start(self, address: SocketAddress) -> None:
        self._next_start = self._clock() + HEAD_START
        try:
            started = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:  # this system does not know addresses of that kind
            self._error = error
            return
        started.setblocking(False)  # noqa: FBT003 - as the standard library has it
        self._running[started] = self._clock() + self._timeout
        self._selector.register(started, selectors.EVENT_WRITE)
        code = started.connect_ex(address.place)
        if code not in _UNDER_WAY:
            self._lose(started, OSError(code, os.strerror(code)))

    def _arrived(self, each: socket.socket) -> socket.socket | None:
        if code := each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lose(each, OSError(code, os.strerror(code)))
            return None
        self._selector.unregister(each)
        del self._running[each]
        return each

    def _lose(self, each: socket.socket, error: OSError) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(each)
        del self._running[each]
        each.close()
        self._error = error
        self._next_start = self._clock()
