"""The embedded server as a program: its address, its end, its memory, its company."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import PlainTextResponse

from builder.web import serve
from mirror import layout
from tests.serving import tree
from tests.serving.wire import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

ROOT = Path(__file__).parents[2]
GIGABYTE = 2**30


@pytest.fixture
def server(mirror_root: Path) -> Iterator[serve.Server]:
    """Run an embedded server for one test."""
    with serve.running(serve.app(mirror_root, pointer_max_age=60)) as running:
        yield running


def test_a_free_port_is_found_and_told(server: serve.Server) -> None:
    """Port 0 is any free port, and the server knows which."""
    assert server.port != 0
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert exchange(server.port, "/").status == 200


def test_an_ipv6_address_has_brackets_in_its_url(mirror_root: Path) -> None:
    """The URL of a server is one that clients take."""
    try:
        server = serve.Server(serve.app(mirror_root, pointer_max_age=60), host="::1")
    except serve.ListenError:
        pytest.skip("this machine has no IPv6")
    server.stop()
    server.run()

    assert server.url == f"http://[::1]:{server.port}"


def test_an_address_in_use_is_an_error_that_names_it(server: serve.Server, mirror_root: Path) -> None:
    """The operator is told which address is taken, before anything is served."""
    with pytest.raises(serve.ListenError, match=f"127.0.0.1 port {server.port}"):
        serve.Server(serve.app(mirror_root, pointer_max_age=60), port=server.port)


def test_a_stopped_server_gives_its_address_back(mirror_root: Path) -> None:
    """After the end nobody listens, and the port can be had again at once."""
    application = serve.app(mirror_root, pointer_max_age=60)
    with serve.running(application) as first:
        exchange(first.port, "/")

    with pytest.raises(ConnectionRefusedError):
        exchange(first.port, "/")
    with serve.running(application, port=first.port) as second:
        assert exchange(second.port, "/").status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_but_not_the_program(mirror_root: Path, number: signal.Signals) -> None:
    """A program that serves goes on after SIGTERM or SIGINT, to stop whatever else it runs."""
    program = (
        "import pathlib, sys; from builder.web import serve\n"
        "server = serve.Server(serve.app(pathlib.Path(sys.argv[1]), 60)); print(server.port, flush=True)\n"
        "server.run(); print('and after')"
    )
    command = [sys.executable, "-c", program, str(mirror_root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        exchange(int(process.stdout.readline()), "/")
        process.send_signal(number)
        said, complained = process.communicate(timeout=20)

    assert (process.returncode, said, complained) == (0, "and after\n", "")


def test_a_large_package_is_sent_in_small_pieces(tmp_path: Path) -> None:
    """A package of any size is served in constant memory."""
    blob = _sparse(tmp_path)

    pieces = _pieces(serve.app(tmp_path, pointer_max_age=60), "GET", f"/{blob}", {"range": f"bytes=-{2**26}"})

    assert sum(pieces) == 2**26
    assert max(pieces) <= 2**20


def test_nothing_is_read_for_who_asks_with_head(tmp_path: Path) -> None:
    """HEAD for a package costs the same whatever its size."""
    blob = _sparse(tmp_path)

    pieces = _pieces(serve.app(tmp_path, pointer_max_age=60), "HEAD", f"/{blob}", {})

    assert sum(pieces) == 0


def test_a_file_that_cannot_be_read_is_not_reported_missing(tmp_path: Path) -> None:
    """Trouble with the disk is 500: a 404 would tell devices and caches that there is no such file."""
    (tmp_path / layout.INDEX_PAGE).symlink_to(layout.INDEX_PAGE)

    with serve.running(serve.app(tmp_path, pointer_max_age=60)) as server:
        assert exchange(server.port, "/").status == 500


def test_routes_that_are_added_come_first(mirror_root: Path) -> None:
    """The receiver shares the address of the mirror, and the mirror answers all else."""

    def update(request: Request) -> PlainTextResponse:
        return PlainTextResponse("received")

    application = serve.app(mirror_root, pointer_max_age=60)
    application.add_route("/update", update, methods=["PUT"])
    with serve.running(application) as server:
        answers = [exchange(server.port, "/update", "PUT", {"Content-Length": "0"}), exchange(server.port, "/")]

    assert [answer.body for answer in answers] == [b"received", tree.FILES[layout.INDEX_PAGE]]


def test_a_client_cannot_say_who_it_is(mirror_root: Path) -> None:
    """The address of a client is that of its connection, whatever its headers claim: the receiver relies on it."""

    def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.client.host if request.client else "")

    application = serve.app(mirror_root, pointer_max_age=60)
    application.add_route("/who", who)
    with serve.running(application) as server:
        answer = exchange(server.port, "/who", headers={"X-Forwarded-For": "192.0.2.1"})

    assert answer.body == b"127.0.0.1"


def test_a_broken_off_download_leaves_no_file_open(tmp_path: Path) -> None:
    """A client that goes away in the middle costs nothing from then on."""
    blob = _sparse(tmp_path)
    with (
        serve.running(serve.app(tmp_path, pointer_max_age=60)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection,
    ):
        connection.sendall(f"GET /{blob} HTTP/1.1\r\nHost: mirror.test\r\n\r\n".encode())
        assert connection.recv(1)

    still_open = {entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
    assert tmp_path / blob not in still_open


def test_a_stalled_download_does_not_hold_up_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server stops although a client has not taken all of a package, and makes no noise about it."""
    blob = _sparse(tmp_path)
    request = f"GET /{blob} HTTP/1.1\r\nHost: mirror.test\r\n\r\n".encode()
    with (
        socket.socket() as connection,
        serve.running(serve.app(tmp_path, pointer_max_age=60), grace=0) as server,
    ):
        connection.settimeout(10)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(request)
        assert connection.recv(1)

    assert caplog.messages == []


def test_small_answers_do_not_wait_for_acknowledgements(server: serve.Server) -> None:
    """An answer's head and body leave at once, also on a connection that is kept."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: mirror.test\r\n\r\n")
        assert connection.recv(1)
        (accepted,) = server._server.server_state.connections
        kept = accepted.transport.get_extra_info("socket")

        assert kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def _sparse(root: Path) -> str:
    """Write a blob of a gigabyte that takes no space, and name it."""
    name = layout.blob(tree.UNKNOWN_SHA256)
    (root / name).parent.mkdir()
    with (root / name).open("wb") as file:
        file.truncate(GIGABYTE)
    return name


def _pieces(application: Any, method: str, target: str, headers: dict[str, str]) -> list[int]:
    """Ask an application without a server, and measure each piece of the body."""
    pieces: list[int] = []

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        pieces.append(len(message.get("body", b"")))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": method,
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(application(scope, receive, send))
    return pieces
