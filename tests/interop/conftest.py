"""What clients that are not ours are shown: a mirror of two hundred packages that the real builder made."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from mirror import canonical, layout
from tests.interop import tufjs
from tests.signing.ground import Ground, claim, rotate
from tests.support import httpd, nginx, sites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = 200
CLAIMED = "package-007"


class Shown:
    """The mirror, and what a client must find there."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.tree = ground.mirror

    @property
    def lists(self) -> dict[str, str]:
        """Return path and SHA-256 of every release list."""
        files = {path.relative_to(self.tree).as_posix(): path for path in self.tree.glob(layout.RELEASE_LISTS)}
        pointers = {path for path in files if (name := layout.parse_release_list(path)) and not name.sha256}
        return {path: canonical.digest(files[path].read_bytes()) for path in pointers}

    def root(self, version: int) -> bytes:
        """Read a root."""
        return (self.tree / layout.metadata("root", version)).read_bytes()

    @property
    def roots(self) -> list[int]:
        """List the versions of all roots."""
        found = [layout.parse_metadata(path) for path in sites.paths(self.tree) if path.endswith(".root.json")]
        return sorted(parsed[1] for parsed in found if parsed)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """A mirror of two hundred packages in 256 bins, one of them claimed, whose keys have all changed since."""
    ground = Ground(tmp_path_factory.mktemp("interop"), bins=256)
    ground.clock.now = time.time() - 3600
    made = [sites.package("1.0", f"package-{number:03}") for number in range(PACKAGES)]
    with ground.opened() as builder:
        builder.publish([sites.release(each, ground.site.paths.spool / "made") for each in made])
    publisher = ground.new_key()
    ground.change(claim(CLAIMED, publisher), uris=[str(publisher)])
    ground.settle()
    for role in ("timestamp", "snapshot", "root", "unclaimed"):
        ground.change(rotate(role))
        ground.settle()
    ground.publish("1.1", package="package-000")
    return Shown(ground)


@pytest.fixture(params=["python", "nginx"])
def url(request: pytest.FixtureRequest, shown: Shown, tmp_path: Path) -> Iterator[str]:
    """Where the mirror is served: by a small server, and by nginx as `otamirror host nginx` configures it."""
    with contextlib.ExitStack() as stack:
        if request.param == "nginx":
            folder = tmp_path / "nginx"
            folder.mkdir()
            yield stack.enter_context(nginx.running(shown.tree, folder)).url
        else:
            yield stack.enter_context(httpd.serving(shown.tree)).url


@pytest.fixture
def tuf_js(tmp_path: Path) -> tufjs.Client:
    """The client, which trusts nothing yet."""
    return tufjs.Client(tufjs.install(), tmp_path / "client")
