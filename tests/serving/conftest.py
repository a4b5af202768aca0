"""Both web servers on one small mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.web import host, serve
from mirror.files import Files
from tests.serving import tree
from tests.serving.case import POINTER_MAX_AGE
from tests.support import nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def mirror_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the mirror; what is odd in its path is part of the test."""
    root = tmp_path_factory.mktemp("serving") / r"""it's "mein" \new\" {höchster} mirror; #1"""
    tree.make(root, Files())
    return root


@pytest.fixture(scope="session")
def nginx_port(mirror_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run nginx with the configuration that `otamirror host nginx` prints."""

    def configured(address: str) -> str:
        return host.nginx(root=mirror_root, listen=address, pointer_max_age=POINTER_MAX_AGE)

    with nginx.running(configured, tmp_path_factory.mktemp("nginx")) as server:
        yield server.port


@pytest.fixture(scope="session")
def embedded_port(mirror_root: Path) -> Iterator[int]:
    """Run the embedded server."""
    with serve.running(serve.app(mirror_root, POINTER_MAX_AGE)) as server:
        yield server.port


@pytest.fixture(scope="session", params=["nginx", "embedded"])
def port(request: pytest.FixtureRequest) -> int:
    """Return the port of the server under test, each in turn."""
    found: int = request.getfixturevalue(f"{request.param}_port")
    return found
