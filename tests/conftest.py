"""Fixtures that many tests ask for."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.site import Site


def pytest_configure(config: pytest.Config) -> None:
    """Have what killed processes leave in a folder of its own, which goes at the end."""
    os.environ.setdefault(
        "PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir()
    )  # pytest's own stay where a failed test is found
    leftovers = tempfile.TemporaryDirectory(prefix="otamirror-tests-", ignore_cleanup_errors=True)
    Path(leftovers.name).chmod(0o1777)  # as such folders are, for tests that give up root's rights
    os.environ["TMPDIR"] = tempfile.tempdir = leftovers.name
    config.add_cleanup(leftovers.cleanup)


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
