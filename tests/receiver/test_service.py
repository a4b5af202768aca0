"""The receiver as a service: its end, its memory, and what it tells those who watch it."""

from __future__ import annotations

import hashlib
import signal
import socket
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from builder import build
from builder.lock import Lock
from builder.uploads import metrics
from builder.uploads.metrics import Metrics
from builder.web import serve
from mirror import layout
from tests.receiver import forms, process, raw
from tests.receiver import rig as rigs
from tests.receiver.forms import content, good, request
from tests.support import sites

if TYPE_CHECKING:
    from pathlib import Path

    from tests.receiver.raw import Client
    from tests.receiver.rig import Rig

MIB = 2**20
ANYWHERE = '[receiver]\nlisten = "127.0.0.1:0"\n'


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def begin(client: Client, whole: bytes) -> bytes:
    """Send an upload up to the point where the server has begun to read its body; returns the rest."""
    body = whole.index(b"\r\n\r\n") + 4
    client.send(whole[:body])
    assert client.event().status_code == 100
    client.send(whole[body:-20])
    return whole[-20:]


def test_what_is_under_way_ends_or_is_refused(tmp_path: Path) -> None:
    """At SIGTERM an upload that still comes is finished, one that does not is refused, and nothing is left."""
    site = sites.make(tmp_path / "site", ANYWHERE)
    with process.running(site) as service:
        with raw.connected(service.port) as one, raw.connected(service.port) as other:
            rest = begin(one, request(good(version="1.0"), Expect="100-continue"))
            begin(other, request(good(version="2.0"), Expect="100-continue"))

            service.process.send_signal(signal.SIGTERM)
            one.send(rest)
            answers = [one.answer(), other.answer()]
        _, complained = service.process.communicate(timeout=20)

    assert [(answer.status, answer.error) for answer in answers] == [(200, ""), (503, "unavailable")]
    assert answers[1].headers["retry-after"]
    assert service.process.returncode == 0
    assert "Traceback" not in complained
    assert sites.paths(site.paths.spool) == []
    found = [path for path in sites.paths(site.paths.mirror) if path.startswith("getVersion")]
    assert found == [layout.get_version("tool", "main", "1.0")]


def test_up_takes_uploads_on_the_address_of_the_mirror(tmp_path: Path) -> None:
    """One address for all: what was uploaded can be asked for at once, and is soon on the pages for people."""
    site = sites.make(tmp_path / "site", '[server]\nlisten = "127.0.0.1:0"\n')
    with process.running(site, "up") as service:
        assert raw.exchange(service.port, request(good())).status == 200
        mirror = f"http://127.0.0.1:{service.port}"
        asked = httpx.get(f"{mirror}/maxVersion?package=tool&branch=main")
        while httpx.get(f"{mirror}/packages/tool/").status_code != 200:
            pass  # pages for people come a moment later
        service.process.send_signal(signal.SIGTERM)
        service.process.communicate(timeout=20)

    assert asked.json()["version"] == "1.0"
    assert service.process.returncode == 0


def test_up_receives_on_an_address_of_its_own(tmp_path: Path) -> None:
    """Uploads can have another address than the mirror, which then takes none."""
    port = free_port()
    site = sites.make(tmp_path / "site", f'{ANYWHERE.replace(":0", f":{port}")}[server]\nlisten = "127.0.0.1:0"\n')
    with process.running(site, "up") as service:
        answers = [raw.exchange(each, request(good())).status for each in (port, service.port)]

    assert answers == [200, 405]


def test_a_publish_that_is_stuck_stops_nobody_from_stopping(rig: Rig) -> None:
    """An upload that cannot be published while the receiver stops is refused in time, not left without an answer."""
    with raw.connected(rig.port) as client, Lock(rig.site.paths.spool).held():
        client.send(request(good()))
        rig.wait_for_spooled(1)
        rig.receiver.stop(0.1)
        answers = [client.answer(), rig.put(request(good()))]

    assert [(answer.status, answer.error) for answer in answers] == [(503, "unavailable")] * 2


@pytest.mark.parametrize("size", [64 * MIB, pytest.param(2048 * MIB, marks=pytest.mark.long)])
def test_a_large_package_takes_little_memory(tmp_path: Path, size: int) -> None:
    """Whatever the size of a package, it is received in memory that does not grow with it."""
    site = sites.make(tmp_path / "site", ANYWHERE)
    piece = bytes(range(256)) * 4 * 1024
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(piece)
    stated = forms.part("content", content(version="2.0", sha256=digest.hexdigest()))
    opening, closing = forms.form(stated, forms.part("file", b"|")).split(b"|")
    head = request(Content_Length=str(len(opening) + size + len(closing)))

    with process.running(site) as service, raw.connected(service.port) as client:
        assert raw.exchange(service.port, request(good())).status == 200
        before = service.most_memory()
        client.send(head + opening)
        for _ in range(size // MIB):
            client.send(piece)
        client.send(closing)
        answer = client.answer()
        grown = service.most_memory() - before

    assert answer.status == 200
    assert (site.paths.mirror / layout.blob(digest.hexdigest())).stat().st_size == size
    assert grown <= 64 * MIB


@pytest.mark.parametrize("days", [-30, 30])
def test_uploads_are_put_off_while_the_clock_cannot_be_right(days: int, tmp_path: Path) -> None:
    """The answer is 503 with the reason, nothing is kept, and the same upload is taken once somebody vouched for it."""
    site = sites.make(tmp_path / "site", signed=False)
    with build.opened(site, clock=lambda: time.time() + days * 86_400) as builder:
        builder.finish()
    with rigs.receiving(site) as rig:
        before = rig.mirror()
        answer = rig.put(request(good()))

        assert (answer.status, answer.error) == (503, "cannot-sign")
        assert "this machine's clock says" in str(answer.json["detail"])
        assert (rig.mirror(), rig.spooled()) == (before, [])
        with build.opened(site) as builder:
            builder.resign(clock_is_right=True)
        assert rig.put(request(good())).status == 200


def test_uploads_are_put_off_while_a_key_is_away(rig: Rig) -> None:
    """The answer is 503 with the reason, and the same upload is taken when it is back."""
    key = rig.site.paths.keys / "timestamp.pem"
    key.rename(key.with_suffix(".away"))

    answer = rig.put(request(good()))

    assert (answer.status, answer.error) == (503, "cannot-sign")
    key.with_suffix(".away").rename(key)
    rig.publish()


def test_figures_and_health_have_an_address_of_their_own(tmp_path: Path) -> None:
    """Prometheus reads how uploads ended and how they shared publishes, a probe whether all is well."""
    port = free_port()
    with rigs.running(tmp_path / "site", f'[metrics]\nlisten = "127.0.0.1:{port}"') as rig:
        rig.publish()
        rig.publish()
        rig.put(request(good(sha256="0" * 64)))
        figures = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
        health = httpx.get(f"http://127.0.0.1:{port}/healthz")
        elsewhere = [rig.put(request(method="GET", target=f"/{name}"), "GET").status for name in ("metrics", "healthz")]

    assert {
        'otamirror_uploads_total{result="new"} 1.0',
        'otamirror_uploads_total{result="known"} 1.0',
        'otamirror_uploads_total{result="hash-mismatch"} 1.0',
        "otamirror_uploads_active 0.0",
        "otamirror_publish_uploads_sum 2.0",
    } <= set(figures)
    assert (health.status_code, health.json()) == (200, {"status": "ok", "detail": ""})
    assert elsewhere == [404, 404]


def test_health_tells_what_is_wrong() -> None:
    """As long as uploads cannot be published, the probe fails, and says why."""
    with serve.running(metrics.app(Metrics(), lambda: "the disk is full")) as server:
        health = httpx.get(f"{server.url}/healthz")

    assert (health.status_code, health.json()["detail"]) == (503, "the disk is full")
