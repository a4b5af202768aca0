"""Each host, with a mirror of its own on it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts import scene
from tests.hosts.real import HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.real import Host
    from tests.hosts.scene import Mirror
    from tests.support.sites import Package


@dataclass(frozen=True)
class Hosted:
    """A mirror on a host."""

    host: Host
    mirror: Mirror
    url: str

    def publish(self, package: Package) -> None:
        """Publish a release, and bring it to where it is served."""
        self.mirror.publish(package)
        if self.host.copy:
            self.host.copy(self.mirror.root, self.url)


@pytest.fixture(scope="module", params=HOSTS)
def hosted(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """Run each host in turn."""
    host = HOSTS[request.param]
    with (
        tempfile.TemporaryDirectory() as folder,
        scene.mirror() as mirror,
        host.start(mirror.root, Path(folder)) as url,
    ):
        yield Hosted(host, mirror, url)


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    """Make a mirror that nobody hosts yet."""
    with scene.mirror() as made:
        yield made
