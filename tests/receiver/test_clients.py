"""The clients that publishers have: each publishes a package as its users would."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.responses import HTMLResponse

from builder import cli
from builder.uploads.tokens import Tokens
from builder.values import Address
from builder.web import host, serve
from mirror import layout
from mirror.files import Files
from tests.receiver import forms, raw
from tests.receiver.forms import DATA, content
from tests.support import nginx, tools

if TYPE_CHECKING:
    from starlette.requests import Request

    from builder.site import Site
    from tests.receiver.rig import Rig

PAGE = """<!DOCTYPE html><title>publish</title><p id="answer">waiting</p><script>
const form = new FormData();
form.append("content", JSON.stringify(CONTENT));
form.append("file", new File(["DATA"], "a \\"strange\\" name.bin"));
fetch("/update", {method: "PUT", body: form})
  .then((response) => { document.getElementById("answer").textContent = "answered " + response.status; });
</script>"""
CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=30000")


def url(rig: Rig) -> str:
    """Give the address of uploads."""
    return f"http://127.0.0.1:{rig.port}/update"


def curl(target: str, folder: Path, *options: str, **changes: Any) -> str:
    """Upload with curl, as the documentation shows; returns status and reason."""
    folder.joinpath("content.json").write_bytes(content(**changes))
    folder.joinpath("package.bin").write_bytes(DATA)
    command = [tools.require("curl"), "-sS", "-X", "PUT", "-o", str(folder / "answer"), "--max-time", "20"]
    command += ["-w", "%{http_code} %header{x-ota-error}", "-F", f"content=@{folder}/content.json"]
    command += ["-F", f"file=@{folder}/package.bin", *options, target]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def assert_published(rig: Rig) -> None:
    """Check that the package can be downloaded."""
    assert (rig.site.paths.mirror / layout.blob(forms.STATED["sha256"])).read_bytes() == DATA


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_curl_publishes(rig: Rig, tmp_path: Path, expect: str) -> None:
    """Curl's -F with -X PUT is a publisher, whether it asks first or not."""
    assert curl(url(rig), tmp_path, "-H", expect) == "200 "
    assert_published(rig)


def test_curl_publishes_in_chunks(rig: Rig, tmp_path: Path) -> None:
    """Curl's chunked uploads are taken too."""
    assert curl(url(rig), tmp_path, "-H", "Transfer-Encoding: chunked") == "200 "
    assert_published(rig)


def test_curl_shows_why_the_bytes_are_wrong(rig: Rig, tmp_path: Path) -> None:
    """A 304 has no body, but its reason can be seen."""
    shown = curl(url(rig), tmp_path, sha256="0" * 64)

    assert shown.startswith(f"304 the file's SHA-256 is {forms.STATED['sha256']}")


def test_requests_publishes(rig: Rig) -> None:
    """The form of requests is taken, and so is its connection, again."""
    with requests.Session() as session:
        for again in (True, False):
            answer = session.put(url(rig), files={"content": ("", content()), "file": ("a.bin", DATA)}, timeout=20)
            assert (answer.status_code, answer.json()["new"]) == (200, again)
    assert_published(rig)


def test_httpx_publishes(rig: Rig) -> None:
    """The form of httpx is taken."""
    answer = httpx.put(url(rig), files={"content": content(), "file": ("a.bin", DATA)}, timeout=20)

    assert answer.status_code == 200
    assert_published(rig)


def test_a_browser_publishes(rig: Rig, tmp_path: Path) -> None:
    """A page of the same origin publishes with FormData and fetch."""
    page = PAGE.replace("CONTENT", content().decode()).replace("DATA", DATA.decode().replace("\r\n", "\\r\\n"))

    def show(_request: Request) -> HTMLResponse:
        return HTMLResponse(page)

    application = Starlette()
    application.add_route("/", show)
    rig.receiver.add_to(application)
    with serve.running(application) as server:
        command = [tools.require("chromium"), *CHROMIUM, f"--user-data-dir={tmp_path}", "--dump-dom", f"{server.url}/"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert re.findall(r'<p id="answer">(.*)</p>', shown) == ["answered 200"]
    assert_published(rig)


def test_uploads_come_through_nginx(rig: Rig, tmp_path: Path) -> None:
    """With the printed configuration, nginx passes uploads on and hands the package out, to clients with a token."""
    secret = rig.tokens.add("ci", ("*",), ("*",), None)
    token = ("-H", f"Authorization: Bearer {secret}")

    def configured(address: str) -> str:
        return host.nginx(root=rig.site.paths.mirror, listen=address, receiver=Address("127.0.0.1", rig.port))

    with nginx.running(configured, tmp_path) as server:
        target = f"{server.url}/update"
        shown = [
            curl(target, tmp_path, *token, version="1.0"),
            curl(target, tmp_path, *token, "-H", "Transfer-Encoding: chunked", version="2.0"),
            curl(target, tmp_path, *token, sha256="0" * 64),
            curl(target, tmp_path),
        ]
        refused = raw.exchange(server.port, forms.request(method="GET"), "GET")
        other = raw.exchange(server.port, forms.request(target="/maxVersion"))
        blob = httpx.get(f"{server.url}/otafiles/{forms.STATED['sha256']}")

    assert [each.split()[0] for each in shown] == ["200", "200", "304", "401"]
    assert "SHA-256" in shown[2]
    assert (refused.status, refused.error, refused.headers["allow"]) == (405, "method", "PUT")
    assert (refused.headers["cache-control"], refused.headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert (other.status, other.headers["allow"]) == (405, "GET, HEAD")
    assert blob.content == DATA


def test_nginx_sees_a_large_body_only_as_it_passes(rig: Rig, tmp_path: Path) -> None:
    """Neither end of nginx waits for the other: what is refused early comes back while the client still sends."""
    rig.tokens.add("ci", ("*",), ("*",), None)

    def configured(address: str) -> str:
        return host.nginx(root=rig.site.paths.mirror, listen=address, receiver=Address("127.0.0.1", rig.port))

    with nginx.running(configured, tmp_path) as server, raw.connected(server.port) as client:
        client.send(forms.request(Content_Length=str(2**40)))
        answer = client.answer()

    assert (answer.status, answer.error) == (401, "unauthorized")


def test_nginx_is_not_told_of_uploads_before_there_is_a_token(site: Site) -> None:
    """Through a proxy every client looks local, so without a token the configuration has no place for uploads."""
    run = CliRunner().invoke
    command = ["--site", str(site.file), "host", "nginx"]
    before = run(cli.main, command).output
    Tokens(site.paths.tokens, Files(), lambda: 0).add("ci", ("*",), ("*",), None)
    after = run(cli.main, command).output
    Tokens(site.paths.tokens, Files(), lambda: 0).revoke("ci")

    assert "/update" not in before
    assert run(cli.main, command).output == after
    assert "proxy_pass http://127.0.0.1:8080;" in after


def test_nginx_cannot_be_told_of_a_port_that_is_not_known() -> None:
    """Port 0 leads nowhere: the operator is told what to set."""
    with pytest.raises(host.HostError, match=r"receiver\.listen"):
        host.nginx(root=Path("/srv/mirror"), receiver=Address("127.0.0.1", 0))
