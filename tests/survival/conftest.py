"""What the survival tests share: a device in the middle of its life, and its mirror's server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import httpd, updates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.httpd import Server
    from tests.support.updates import Scene


@pytest.fixture
def scene() -> Scene:
    """A device with the old set, and a mirror with the new one."""
    return updates.lay(updates.place())


@pytest.fixture
def server(scene: Scene) -> Iterator[Server]:
    """The mirror's server, which the device knows; all on it was signed just now."""
    updates.publish(scene)
    with httpd.serving(scene.tree) as running:
        updates.configure(scene, running.url)
        yield running
