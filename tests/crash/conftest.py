"""The real command, recorded on each scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import crashes

if TYPE_CHECKING:
    from tests.support.crashes import Recording


@pytest.fixture(scope="session", params=crashes.SCENES)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Record the command on each scene in turn."""
    return crashes.record(request.param, tmp_path_factory.mktemp("recording") / "site")
