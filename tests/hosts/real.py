"""Real web servers and an object store, each as its users would set it up for a folder of files.

What they listen on is a free port of 127.0.0.1; they end by their process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import string
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder.web import serve
from mirror import layout
from tests.support import nginx, sites, tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

_PATIENCE = 20.0
_TYPES = {".json": "application/json", ".html": "text/html"}


@dataclass(frozen=True)
class Host:
    """A way to host a mirror, and what it cannot do.

    Attributes:
        start: runs it on a folder, with files of its own in another; gives its URL.
        ranges: whether it serves a part of a file.
        etags: whether it gives files an ETag.
        conditions: whether it answers 304 to who has a file.
        caching: whether it says for how long a file may be kept.
        seed: whether it maps the seed addresses to files.
        types: whether it says that JSON is JSON.
        copy: brings the folder to where it is served, if that is elsewhere.
    """

    start: Callable[[Path, Path], AbstractContextManager[str]]
    ranges: bool = True
    etags: bool = True
    conditions: bool = True
    caching: bool = False
    seed: bool = False
    types: bool = True
    copy: Callable[[Path, str], None] | None = None


@contextlib.contextmanager
def _process(command: Sequence[str], port: int, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server until the context ends; it is up when it takes a connection."""
    with folder.joinpath("output").open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, env={**os.environ, **(more or {})}
        )
    try:
        _await(process, port, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _await(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not come up: {folder.joinpath('output').read_text()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _written(name: str, root: Path, folder: Path, port: int, more: str = "") -> Path:
    """Write a configuration from the one beside this module."""
    text = Path(__file__).with_name(name).read_text()
    file = folder / name
    file.write_text(string.Template(text).substitute(root=root, folder=folder, port=port, more=more))
    return file


@contextlib.contextmanager
def _generated(root: Path, folder: Path) -> Iterator[str]:
    with nginx.running(root, folder) as server:
        yield server.url


@contextlib.contextmanager
def _plain_nginx(root: Path, folder: Path) -> Iterator[str]:
    def configured(address: str) -> str:
        port = int(address.rpartition(":")[2])
        return _written("nginx.conf", root, folder, port).read_text()

    with nginx.running(configured, folder) as server:
        yield server.url


@contextlib.contextmanager
def _embedded(root: Path, _folder: Path) -> Iterator[str]:
    with serve.running(serve.app(root, pointer_max_age=60)) as server:
        yield server.url


def _caddy(root: Path, folder: Path) -> AbstractContextManager[str]:
    program, port = tools.require("caddy"), _free_port()
    file = _written("caddy.conf", root, folder, port)
    return _process(
        [program, "run", "--config", str(file), "--adapter", "caddyfile"],
        port,
        folder,
        {"XDG_CONFIG_HOME": str(folder)},
    )


def _apache(more: str = "") -> Callable[[Path, Path], AbstractContextManager[str]]:
    def start(root: Path, folder: Path) -> AbstractContextManager[str]:
        program, port = tools.require("apache2"), _free_port()
        return _process(
            [program, "-DFOREGROUND", "-f", str(_written("apache.conf", root, folder, port, more))],
            port,
            folder,
        )

    return start


def _lighttpd(root: Path, folder: Path) -> AbstractContextManager[str]:
    program, port = tools.require("lighttpd"), _free_port()
    return _process([program, "-D", "-f", str(_written("lighttpd.conf", root, folder, port))], port, folder)


def _python(root: Path, folder: Path) -> AbstractContextManager[str]:
    port = _free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root)]
    return _process(command, port, folder)


def _busybox(root: Path, folder: Path) -> AbstractContextManager[str]:
    program, port = tools.require("busybox"), _free_port()
    return _process([program, "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", str(root)], port, folder)


@contextlib.contextmanager
def _store(root: Path, folder: Path) -> Iterator[str]:
    """Run an emulator of S3, and copy the mirror into a bucket as any tool does."""
    program, port = Path(sys.executable).with_name("ministack"), _free_port()
    if not program.exists():
        tools.missing("ministack is not installed: make .venv/.dev")
    settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "s3", "TMPDIR": str(folder)}
    with _process([str(program)], port, folder, settings) as url:
        _put(f"{url}/mirror")
        upload(root, f"{url}/mirror")
        yield f"{url}/mirror"


def upload(root: Path, url: str) -> None:
    """Copy a mirror into a bucket, what leads to the others last."""
    for path in sorted(sites.paths(root), key=lambda path: (layout.kind(path) is layout.Kind.POINTER, path)):
        _put(f"{url}/{layout.url_path(path)}", (root / path).read_bytes(), _TYPES.get(Path(path).suffix))


def _put(url: str, data: bytes = b"", kind: str | None = None) -> None:
    request = urllib.request.Request(url, data, {"Content-Type": kind or "application/octet-stream"}, method="PUT")  # noqa: S310 - our own server
    urllib.request.urlopen(request, timeout=20).close()  # noqa: S310 - likewise


HOSTS: Mapping[str, Host] = {
    "nginx, generated": Host(_generated, caching=True, seed=True),
    "embedded": Host(_embedded, caching=True, seed=True),
    "nginx, plain": Host(_plain_nginx),
    "caddy": Host(_caddy),
    "apache": Host(_apache()),
    "apache that compresses JSON": Host(_apache("AddOutputFilterByType DEFLATE application/json")),
    "lighttpd": Host(_lighttpd),
    "python": Host(_python, ranges=False, etags=False),
    "busybox": Host(_busybox, types=False),
    "object store": Host(_store, copy=upload),
}
