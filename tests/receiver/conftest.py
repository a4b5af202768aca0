"""Receivers for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.receiver import rig as rigs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.receiver.rig import Rig

IMPATIENT = "[receiver]\nheader_seconds = 0.3\nsilence_seconds = 0.3\nmin_bytes_per_second = 100000\n"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Run a receiver without tokens."""
    with rigs.running(tmp_path / "site") as running:
        yield running


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run a receiver for tests that do not mind each other: it has `app` 1.0, and takes up to 100,000 bytes."""
    with rigs.running(tmp_path_factory.mktemp("refusing"), "[limits]\npackage_bytes = 100000") as running:
        running.publish(package="app")
        yield running


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Rig]:
    """Run a receiver that waits for no client longer than a third of a second."""
    with rigs.running(tmp_path / "site", IMPATIENT) as running:
        yield running
