"""builder/client/attentive.py: connections that listen while they send (over TLS in `test_push`)."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import TYPE_CHECKING

import pytest

from builder.client.attentive import Attentive
from tests.support import receiving
from tests.support.receiving import Play

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = random.Random(0).randbytes(1_000_000)
PIECE = 64 * 1024
NARROW: list[tuple[int, int, int | bytes]] = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)]


class Upload:
    """A request on a connection into which a piece does not fit at once, and how much of its body was taken."""

    def __init__(self, connection: Attentive) -> None:
        self.sent = 0
        self.connection = connection

    def send(self) -> None:
        """Send it."""
        headers = {"Content-Length": str(len(BODY)), "Expect": "100-continue"}
        self.connection.request("PUT", "/update", body=self._pieces(), headers=headers)

    def answer(self) -> tuple[int, bytes]:
        """Read status and body of its answer."""
        response = self.connection.getresponse()
        return response.status, response.data

    def _pieces(self) -> Iterator[bytes]:
        for start in range(0, len(BODY), PIECE):
            yield BODY[start : start + PIECE]
            self.sent += PIECE


@contextlib.contextmanager
def upload(server: receiving.Server) -> Iterator[Upload]:
    """Make a request to a server, not sent yet."""
    with contextlib.closing(Attentive("127.0.0.1", server.port, socket_options=NARROW)) as connection:
        yield Upload(connection)


def test_a_body_that_does_not_fit_at_once_arrives_as_it_is() -> None:
    """What the line did not take is sent next, nothing twice and nothing never."""
    with receiving.serving(Play(body=b"well")) as server, upload(server) as request:
        request.send()
        assert request.answer() == (200, b"well")

    assert server.requests[0].body == BODY


def test_an_answer_ends_the_sending() -> None:
    """The rest of the body is not sent, and the answer is read from its beginning."""
    refusal = Play(status=403, take=PIECE, late_leave=True, body=b"no")

    with receiving.serving(refusal) as server, upload(server) as request:
        with pytest.raises(BrokenPipeError):
            request.send()
        assert request.answer() == (403, b"no")

    assert request.sent < len(BODY) // 2


def test_no_leave_means_no_body() -> None:
    """An answer instead of leave comes before the first piece."""
    with receiving.serving(Play(status=401, take=0, leave=False)) as server, upload(server) as request:
        with pytest.raises(BrokenPipeError):
            request.send()
        assert request.answer() == (401, b"")

    assert request.sent == 0


def test_a_server_that_hangs_up_ends_the_sending() -> None:
    """Where no answer can come any more, the connection is given up at once, though the server keeps its side open."""
    silent = Play(hang_up=True, take=PIECE)

    with receiving.serving(silent) as server, upload(server) as request, pytest.raises(ConnectionResetError):
        request.send()

    assert request.sent < len(BODY)
