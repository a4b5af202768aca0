"""Clients that ask and do not read, and more clients than there is room for: hundreds of real connections."""

from __future__ import annotations

import contextlib
import select
import socket
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder.web import serve
from builder.web.allowance import Allowance
from builder.web.connection import ClientLimits
from mirror import layout
from tests.receiver import forms, process, raw
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.site import Site
    from tests.receiver.process import Running

CLIENTS = 300
ROOM = 40
ACCEPTED_AT_ONCE = 128
BLOB = layout.blob("ab" * 32)
ASK = f"GET /{BLOB} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
SETTINGS = f'[server]\nlisten = "127.0.0.1:0"\n[receiver]\nsilence_seconds = 0.5\nconnections = {ROOM}\n'
_PATIENCE = 60_000  # milliseconds; nothing takes that long unless it hangs


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with a package that fits into no buffer."""
    site = sites.make(tmp_path / "site", SETTINGS)
    blob = site.paths.mirror / BLOB
    blob.parent.mkdir(parents=True)
    with blob.open("wb") as file:
        file.truncate(64 * 2**20)
    return site


@contextlib.contextmanager
def connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connect clients that have little room for an answer."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.settimeout(_PATIENCE / 1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            clients.append(client)
        yield clients


def send(client: socket.socket, data: bytes) -> None:
    """Send a request, also to a server that has closed the connection."""
    with contextlib.suppress(OSError):
        client.sendall(data)


def status(client: socket.socket) -> int:
    """Read the status of an answer and no more; 0 if the server hung up without one."""
    try:
        head = client.recv(12)
    except ConnectionError:
        return 0
    return int(head[9:]) if head else 0


def wait_until_cut_off(clients: list[socket.socket]) -> int:
    """Wait until the server has ended all connections of clients that do not read; returns how many it has."""
    ended, poll = 0, select.poll()
    for client in clients:
        poll.register(client, select.POLLRDHUP)
    for _ in clients:
        found = poll.poll(_PATIENCE)
        for descriptor, _event in found:
            poll.unregister(descriptor)
        ended += len(found)
        if not found or ended == len(clients):
            break
    return ended


def open_files(running: Running) -> int:
    """Count the open files of a process."""
    return sum(1 for _ in Path(f"/proc/{running.process.pid}/fd").iterdir())


def test_hundreds_that_do_not_read_are_cut_off_and_hold_nobody_up(site: Site) -> None:
    """As many as there is room for are answered, each further one is refused; in the end none is left."""
    with process.running(site, "up") as running:
        asked = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert raw.exchange(running.port, asked, "GET").status in {200, 404}
        before = open_files(running)
        most = 0
        with connected(running.port, CLIENTS) as clients:
            for client in clients:
                send(client, ASK)
                most = max(most, open_files(running))
            statuses = [status(client) for client in clients]
            ended = wait_until_cut_off(clients)
        answer = raw.exchange(running.port, forms.request(forms.good(), Connection="close"))

        assert ended == CLIENTS
        assert statuses.count(200) >= 1
        assert statuses.count(503) >= 1
        assert set(statuses) <= {0, 200, 503}
        assert most <= before + 2 * ROOM + ACCEPTED_AT_ONCE + 16
        assert answer.status == 200
        assert open_files(running) <= before + 16


def test_there_is_room_again_once_somebody_goes(tmp_path: Path) -> None:
    """What is refused is told why and when to come back; a place that is given up is taken by the next."""
    asked = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serve.running(serve.app(tmp_path, 60), patience=ClientLimits(connections=2)) as server:
        with raw.connected(server.port, "GET") as first, raw.connected(server.port, "GET") as second:
            for client in (first, second):
                client.send(asked)
                assert client.answer().status == 404
            with raw.connected(server.port, "GET") as third:
                refused = third.answer()
                assert third.is_closed()
        statuses = [raw.exchange(server.port, asked, "GET").status for _ in range(5)]

    assert (refused.status, refused.error) == (503, "busy")
    assert refused.headers["retry-after"] == "10"
    assert refused.headers["connection"] == "close"
    assert statuses[-1] == 404


def test_answers_that_nobody_reads_do_not_outlive_keep_alive(tmp_path: Path) -> None:
    """Many small answers on one connection are cut off like a large one."""
    page = tmp_path / "index.html"
    page.write_bytes(b"x" * 60_000)
    asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500
    patience = ClientLimits(silence_seconds=0.5)
    with serve.running(serve.app(tmp_path, 60), patience=patience) as server, connected(server.port, 20) as clients:
        for client in clients:
            send(client, asked)

        assert wait_until_cut_off(clients) == len(clients)


def test_who_reads_gets_all_of_it(site: Site) -> None:
    """Beside clients that do not read, and with the same limits."""
    mirror, patience = serve.app(site.paths.mirror, 60), ClientLimits(silence_seconds=10)
    with serve.running(mirror, patience=patience) as server, connected(server.port, 10) as clients:
        for client in clients:
            send(client, ASK)
        with urllib.request.urlopen(f"{server.url}/{BLOB}", timeout=60) as answer:  # noqa: S310 - of this test
            size = sum(len(piece) for piece in iter(lambda: answer.read(2**20), b""))

    assert size == 64 * 2**20


@pytest.mark.parametrize(
    ("waits", "left"),
    [
        ([(29, 0)], 1),
        ([(30, 0)], 0),
        ([(29, 1024 * 29)], 30),
        ([(29, 1024 * 10)], 11),
        ([(29, 1024 * 10), (11, 0)], 0),
        ([(10, 10**9), (29, 0)], 1),
        ([(10, 512 * 10)] * 5, 5),
        ([(10, 1024 * 10)] * 500, 30),
    ],
)
def test_waiting_uses_the_allowance_up_and_bytes_fill_it(waits: list[tuple[float, int]], left: float) -> None:
    """Thirty seconds of silence, or less than the least rate for long; never more than thirty are saved."""
    allowance = Allowance(30, 1024)

    for waited, moved in waits:
        allowance.use(waited, moved)

    assert allowance.seconds == pytest.approx(left)


def test_without_a_least_rate_a_byte_is_enough() -> None:
    """Silence alone counts."""
    allowance = Allowance(30, 0)
    for _ in range(100):
        allowance.use(29, 1)
    assert allowance.seconds == 30
    allowance.use(29, 0)
    allowance.use(1, 0)
    assert allowance.seconds == 0
