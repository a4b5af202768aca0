"""What the device's tests share: a mirror with its server, and a device that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import httpd
from tests.support.devices import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.httpd import Server


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Where the mirror's files are."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    return folder


@pytest.fixture
def server(tree: Path) -> Iterator[Server]:
    """The mirror's server."""
    with httpd.serving(tree) as running:
        yield running


@pytest.fixture
def rig(tmp_path: Path, tree: Path, server: Server) -> Rig:
    """A device that was set up."""
    folder = tmp_path / "device"
    folder.mkdir()
    return Rig(folder, tree, server).init()
