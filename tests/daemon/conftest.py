"""What the tests of the daemon share: a device whose daemon runs under a stand-in for the service manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.device.conftest import server, tree
from tests.support import daemons
from tests.support.devices import Rig
from tests.support.manager import Manager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.httpd import Server

__all__ = ["server", "tree"]

IMPATIENT = {"WatchdogSec": 4.0}
"""So that a test sees signs of life soon."""


@pytest.fixture
def rig(tmp_path: Path, tree: Path, server: Server) -> Rig:
    """A device that was set up, whose daemon polls at once, and then again after an hour."""
    folder = tmp_path / "device"
    folder.mkdir()
    made = Rig(folder, tree, server).init()
    daemons.settle(made)
    return made


@pytest.fixture
def manager(rig: Rig, tmp_path: Path) -> Iterator[Manager]:
    """Who runs the unit of the daemon of that device."""
    with Manager(daemons.unit(rig), tmp_path, IMPATIENT) as made:
        yield made
