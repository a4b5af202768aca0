"""How requests begin and end: what is said before a body, slow clients, clients that go, and what follows."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import TYPE_CHECKING

import pytest

from builder.web import serve
from builder.web.connection import ClientLimits
from tests.receiver import forms, raw
from tests.receiver import rig as rigs
from tests.receiver.forms import good, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.receiver.raw import Client
    from tests.receiver.rig import Rig

MUCH = 8 * 2**20


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Rig]:
    """Run a receiver that knows a token, which nobody here has."""
    with rigs.running(tmp_path / "site") as running:
        running.tokens.add("ci", ("*",), ("*",), None)
        yield running


def test_a_client_that_expects_it_is_told_to_continue(rig: Rig) -> None:
    """Who asks before sending a body is told to go on, and sends it then."""
    asked = request(good(), Expect="100-continue")
    body = len(good())
    with raw.connected(rig.port) as client:
        client.send(asked[:-body])
        assert client.event().status_code == 100
        client.send(asked[-body:])

        assert client.answer().status == 200


def test_what_is_refused_anyway_is_not_continued(guarded: Rig) -> None:
    """A client without a good token learns it before it has sent a gigabyte: 401, and no 100 before."""
    asked = request(Expect="100-continue", Content_Length=str(2**30), Authorization="Bearer ota_wrong")
    with raw.connected(guarded.port) as client:
        client.send(asked)
        answer = client.answer()
        assert client.is_closed()

    assert (answer.status, answer.error, client.continued) == (401, "unauthorized", 0)


def test_a_client_that_is_still_sending_finds_the_answer(guarded: Rig) -> None:
    """An early refusal is not lost in a reset: the client may send on, and reads the answer when it looks."""
    with raw.connected(guarded.port) as client:
        client.socket.sendall(request(bytes(MUCH)))  # fails if the server resets the connection
        answer = client.answer()

    assert (answer.status, answer.error) == (401, "unauthorized")
    assert answer.headers["connection"] == "close"


def test_what_follows_an_early_refusal_is_not_done(rig: Rig) -> None:
    """Bytes that were sent behind a refused upload may be the rest of it, and are no request."""
    refused = request(good(package="../tool"), Content_Type="text/plain")
    with raw.connected(rig.port) as client:
        client.send(refused + request(good()))
        assert client.answer().status == 415
        assert client.is_closed()

    assert rig.pages() == {}


def test_bytes_behind_the_stated_length_are_no_upload(rig: Rig) -> None:
    """A Content-Length that is too small ends the upload there; what is left over is not HTTP."""
    body = good()
    with raw.connected(rig.port) as client:
        client.send(request(body, Content_Length=str(len(body) - 20)))
        statuses = [client.answer().status]
        client.next()
        statuses.append(client.answer().status)
        assert client.is_closed()

    assert statuses == [400, 400]
    assert rig.pages() == {}


@pytest.mark.parametrize("sent", [0, 1, 150, 400, 5000, 3 * 2**20])
def test_a_client_that_goes_leaves_nothing(rig: Rig, sent: int) -> None:
    """When a client goes in the middle, what it sent is removed at once."""
    body = forms.form(forms.part("content", forms.content()), forms.part("file", bytes(4 * 2**20)))
    with raw.connected(rig.port) as client:
        client.send(request(body)[: -len(body)] + body[:sent])
        if sent > 2**20:
            rig.wait_for_spooled(1)

    rig.publish()  # others are not concerned
    rig.wait_for_spooled(0)


def test_what_is_not_http_any_more_leaves_nothing(rig: Rig) -> None:
    """When the framing of a body breaks, what came of it is removed at once, not when the client has gone."""
    whole = forms.chunked(forms.form(forms.part("file", bytes(3 * 2**20))), 2**16)
    with raw.connected(rig.port) as client:
        client.send(whole[: 2**21 + 2**20 - 100])
        rig.wait_for_spooled(1)
        client.send(b"x" * 2**17)

        assert client.answer().error == "not-http"
        rig.wait_for_spooled(0, seconds=4)  # less than the server would wait for the client to go


@pytest.mark.parametrize("sent", [b"P", b"PUT /update HTTP/1.1\r\n", b"PUT /update HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_headers_that_do_not_come_are_not_waited_for(impatient: Rig, sent: bytes) -> None:
    """A request that does not get as far as its body is ended, with a 408."""
    with raw.connected(impatient.port) as client:
        client.send(sent)
        answer = client.answer()
        assert client.is_closed()

    assert (answer.status, answer.error) == (408, "too-slow")


def test_a_connection_without_a_request_is_closed(impatient: Rig) -> None:
    """Who connects and asks nothing is not answered."""
    with raw.connected(impatient.port) as client:
        assert client.is_closed()


def test_headers_that_drip_are_not_waited_for(impatient: Rig) -> None:
    """A byte now and then does not keep a request alive: all headers have one time limit."""
    dripping = itertools.chain(b"PUT /update HTTP/1.1\r\nHost: localhost\r\nX: ", itertools.repeat(ord("x")))

    assert dripped(impatient, b"", dripping).status == 408


def test_the_mirror_has_the_same_patience(tmp_path: Path) -> None:
    """The embedded web server does not wait for headers either."""
    with (
        serve.running(serve.app(tmp_path, 60), patience=ClientLimits(0.3)) as server,
        raw.connected(server.port) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\n")

        assert client.answer().status == 408


def test_the_receiver_has_a_most_of_connections(tmp_path: Path) -> None:
    """Who comes above them is told to come again; those that are there are not concerned."""
    with contextlib.ExitStack() as stack:
        rig = stack.enter_context(rigs.running(tmp_path / "site", "[receiver]\nconnections = 3\n"))
        clients = [stack.enter_context(raw.connected(rig.port)) for _ in range(3)]
        for client in clients:
            client.send(request(good())[:-5])
        rig.wait_for_spooled(0)

        refused = stack.enter_context(raw.connected(rig.port)).answer()
        clients[0].send(request(good())[-5:])

        assert (refused.status, refused.error) == (503, "busy")
        assert clients[0].answer().status == 200


@pytest.mark.parametrize("whole", [request(good()), forms.chunked(good(), 100)], ids=["length", "chunked"])
def test_a_silent_client_is_not_waited_for(impatient: Rig, whole: bytes) -> None:
    """An upload that stops coming is ended, with a 408, and leaves nothing."""
    with raw.connected(impatient.port) as client:
        client.send(whole[:-50])
        answer = client.answer()
        assert client.is_closed()

    assert (answer.status, answer.error) == (408, "too-slow")
    assert impatient.spooled() == []
    assert impatient.pages() == {}


def test_a_body_that_drips_is_not_waited_for(impatient: Rig) -> None:
    """Less than the minimum rate is too slow, though something comes all the time."""
    head = request(Content_Length="1000000")

    assert dripped(impatient, head, itertools.repeat(ord("x"))).status == 408


def test_an_answered_client_that_stops_speaking_http_is_hung_up_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When a body that nobody reads breaks after its answer, the connection ends without a word."""
    with serve.running(serve.app(tmp_path, 60)) as server, raw.connected(server.port, "GET") as client:
        client.send(request(method="GET", target="/x", Transfer_Encoding="chunked", Content_Length=None))
        assert client.answer().status == 404
        client.send(b"no chunk\r\n")
        assert client.is_closed()

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_slow_clients_hold_nobody_up(rig: Rig) -> None:
    """While many clients send nothing, another one publishes."""
    with contextlib.ExitStack() as stack:
        for whole in [request(good())[:50], request(good())[:-5]] * 20:
            stack.enter_context(raw.connected(rig.port)).send(whole)

        rig.publish()


def dripped(rig: Rig, head: bytes, drops: Iterator[int]) -> raw.Answer:
    """Send a byte at a time, for as long as the server listens; returns its answer."""
    answered = threading.Event()

    def drip(client: Client) -> None:
        for drop in drops:
            client.send(bytes([drop]))
            if answered.wait(0.01):
                return

    with raw.connected(rig.port) as client:
        client.send(head)
        thread = threading.Thread(target=drip, args=[client])
        thread.start()
        try:
            return client.answer()
        finally:
            answered.set()
            thread.join()


@pytest.mark.parametrize(
    ("target", "status"),
    [("/update/", 404), ("//update", 404), ("/Update", 404), ("/%75pdate", 404), ("/update/x", 404), ("*", 404)],
)
def test_the_address_has_one_spelling(rig: Rig, target: str, status: int) -> None:
    """Only /update takes uploads: no redirect, no second spelling that a rule of a proxy would miss."""
    assert rig.put(request(good(), target=target, Connection="close")).status == status
    assert rig.pages() == {}


def test_a_whole_url_is_an_address_too(rig: Rig) -> None:
    """Clients that take the receiver for a proxy send the whole URL."""
    assert rig.put(request(good(), target="http://localhost/update?x=y")).status == 200


def test_the_mirror_answers_beside_the_receiver(rig: Rig) -> None:
    """On the shared address every other request is the mirror's, also one that looks like an upload."""
    application = serve.app(rig.site.paths.mirror, 60)
    rig.receiver.add_to(application)
    with serve.running(application) as server:
        published = raw.exchange(server.port, request(good()))
        asked = request(method="GET", target="/maxVersion?package=tool&branch=main")
        answers = [raw.exchange(server.port, request(good(), target=target)) for target in ("/update/", "//update")]
        shown = raw.exchange(server.port, asked, "GET")

    assert (published.status, shown.status) == (200, 200)
    assert [answer.status for answer in answers] == [405, 405]
    assert shown.body.startswith(b'{"package":"tool"')
