"""Fixtures that many tests ask for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a site with all defaults, its first metadata and an empty inbox."""
    return sites.make(tmp_path / "site")


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Give up root's rights for a while, if there are any: permissions count, and other users' files are others'."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)
