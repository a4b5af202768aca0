"""Connections to hosts of several addresses, on this machine's own: IPv6 and IPv4, some of which never answer."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from typing import TYPE_CHECKING

import pytest

from devclient.web import happy_eyeballs
from devclient.web.happy_eyeballs import HEAD_START, SocketAddress
from tests.support.tools import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 60.0
"""Seconds that no test takes, unless it waits for an address that never answers."""


@contextlib.contextmanager
def listening(family: int, host: str) -> Iterator[SocketAddress]:
    """Have somebody answer at an address."""
    with contextlib.closing(_listener(family, host)) as listener:
        yield SocketAddress(family, listener.getsockname())


@contextlib.contextmanager
def silent(family: int, host: str) -> Iterator[SocketAddress]:
    """Have nobody answer at an address, as where all that is sent is lost: nobody takes what waits in a full queue."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_listener(family, host, backlog=0)))
        address = SocketAddress(family, listener.getsockname())
        for _ in range(8):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)  # noqa: FBT003 - as the standard library has it
            waiting.connect_ex(address.place)
        yield address


def _listener(family: int, host: str, backlog: int = 5) -> socket.socket:
    made = socket.socket(family)
    try:
        made.bind((host, 0))
    except OSError as error:
        made.close()
        missing(f"this machine has no {host}: {error}")
    made.listen(backlog)
    return made


@pytest.fixture(params=[(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")], ids=["IPv6", "IPv4"])
def answering(request: pytest.FixtureRequest) -> Iterator[SocketAddress]:
    """An address that answers."""
    with listening(*request.param) as address:
        yield address


def connected(*addresses: SocketAddress, timeout: float = LONG) -> SocketAddress:
    """Connect to one of several addresses; returns which."""
    with happy_eyeballs.connect(addresses, timeout) as made:
        assert made.gettimeout() == timeout
        return SocketAddress(made.family, made.getpeername())


def test_the_address_that_there_is_is_taken(answering: SocketAddress) -> None:
    """A network may have one kind only."""
    assert connected(answering) == answering


@pytest.mark.parametrize("dead", [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")], ids=["IPv6", "IPv4"])
def test_a_dead_address_does_not_hold_up_the_next(answering: SocketAddress, dead: tuple[int, str]) -> None:
    """All that is sent to it is lost, and it is not waited for."""
    with silent(*dead) as first:
        started = time.monotonic()
        assert connected(first, answering) == answering

    assert time.monotonic() - started < LONG / 2


def test_the_kinds_take_turns(answering: SocketAddress) -> None:
    """However many addresses of the first kind are dead, the other kind is second."""
    other = (socket.AF_INET, "127.0.0.1") if answering.family == socket.AF_INET6 else (socket.AF_INET6, "::1")
    with silent(*other) as dead:
        assert connected(*[dead] * 200, answering, timeout=LONG) == answering


def test_who_refuses_is_followed_at_once(answering: SocketAddress) -> None:
    """Nobody waits for a head start of what has failed."""
    with listening(answering.family, answering.place[0]) as gone:
        pass

    started = time.monotonic()
    assert connected(*[gone] * 100, answering) == answering
    assert time.monotonic() - started < 100 * HEAD_START / 2


def test_an_address_of_an_unknown_kind_is_passed_over(answering: SocketAddress) -> None:
    """As where the system was built without IPv6."""
    assert connected(SocketAddress(999, ("::1", 1)), answering) == answering


def test_a_slow_address_is_not_given_up_for_the_next() -> None:
    """It answers after its head start, when the next one has failed already."""
    with listening(socket.AF_INET, "127.0.0.1") as gone:
        pass
    with silent(socket.AF_INET, "127.0.0.1") as first, pytest.raises(TimeoutError):
        happy_eyeballs.connect([first, gone], HEAD_START * 2)


def test_nobody_is_waited_for_longer_than_told() -> None:
    """Then the last error is told."""
    with silent(socket.AF_INET, "127.0.0.1") as dead, pytest.raises(TimeoutError):
        happy_eyeballs.connect([dead, dead], 0.1)


def test_a_refusal_is_told() -> None:
    """In the system's words."""
    with listening(socket.AF_INET, "127.0.0.1") as gone:
        pass

    with pytest.raises(OSError, match="refused") as caught:
        happy_eyeballs.connect([gone], LONG)
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_host_without_addresses_is_told() -> None:
    """Rather than waited for."""
    with pytest.raises(OSError, match="no address"):
        happy_eyeballs.connect([], LONG)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]"])
def test_addresses_are_their_own_names(host: str) -> None:
    """Also in the brackets that URLs have for them."""
    assert host.strip("[]") in {address.place[0] for address in happy_eyeballs.resolve(host, 80)}


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "nothing.invalid"])
def test_what_is_no_host_has_no_address(host: str) -> None:
    """Whatever a server writes into a redirect."""
    with pytest.raises(OSError):  # noqa: PT011 - the words are the system's
        happy_eyeballs.resolve(host, 80)
