"""A real nginx for a test: on a free port, with its files in a folder of the test's own.

    with nginx.running(mirror_root, tmp_path) as server:
        requests.get(f"{server.url}/maxVersion?package=app&branch=main")
    assert [request.status for request in server.requests()] == [200]

It has one worker, and ends with the context. It takes the socket that is opened here, so it has its port for
certain, and a connection waits until it is up: nothing polls and nothing sleeps.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from builder.web import host
from tests.support import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CONFIGURATION = """
{user}
daemon off;
pid {folder}/nginx.pid;
events {{ }}
http {{
    log_format requests escape=json
        '{{"method": "$request_method", "target": "$request_uri", "status": $status, '
        '"sent": $body_bytes_sent, "bytes": $bytes_sent, "range": "$http_range", "agent": "$http_user_agent"}}';
    access_log {folder}/requests.log requests;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""
_BARRIER = "/-barrier-"


class NginxError(Exception):
    """The nginx under test does not take its configuration."""


@dataclass(frozen=True)
class Logged:
    """One request as nginx saw it; `sent` counts the bytes of the body, `bytes` those of the whole answer."""

    method: str
    target: str
    status: int
    sent: int
    bytes: int
    range: str
    agent: str


class Nginx:
    """A running nginx."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "requests.log"

    def requests(self) -> list[Logged]:
        """Read all requests that were answered so far, in the order of their answers."""
        # a line is written after its answer was sent, but before the only worker turns to another request
        barrier = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(barrier):
            barrier.request("GET", _BARRIER)
            barrier.getresponse().read()
        keys = {field.name for field in fields(Logged)}
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [Logged(**{key: line[key] for key in keys}) for line in lines if line["target"] != _BARRIER]


@contextlib.contextmanager
def running(site: Path | Callable[[str], str], folder: Path) -> Iterator[Nginx]:
    """Run nginx with its files in `folder`.

    `site` is the root of a mirror, which is hosted as `otamirror host nginx` says, or makes what stands in
    `http { }` from the address to listen on.
    """
    program = tools.require("nginx")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        configuration = _write(site, f"127.0.0.1:{port}", folder)
        command = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)]
        check(command)
        # as an nginx that replaces a running one: it inherits the sockets of these descriptors
        environment = {**os.environ, "NGINX": f"{listener.fileno()};"}
        process = subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()])
    try:
        yield Nginx(port, folder)
    finally:
        process.terminate()
        process.wait(timeout=10)


def check(command: list[str]) -> None:
    """Have nginx check its configuration; a warning is an error too."""
    checked = subprocess.run([*command, "-t", "-q"], check=False, capture_output=True, text=True, timeout=10)
    log = Path(command[command.index("-e") + 1])
    said = checked.stderr + (log.read_text() if log.exists() else "")
    if checked.returncode != 0 or "[warn]" in said:
        raise NginxError(said)


def _write(site: Path | Callable[[str], str], address: str, folder: Path) -> Path:
    text = host.nginx(root=site, listen=address) if isinstance(site, Path) else site(address)
    folder.joinpath("site.conf").write_text(text, "utf-8")
    configuration = folder / "nginx.conf"
    # a worker of root would become somebody who cannot read the folders of tests
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(_CONFIGURATION.format(folder=folder, user=user))
    return configuration
