"""The scenes that attacks are played in."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror import layout
from tests.attacks.scene import Scene
from tests.support import httpd, trees
from tests.support.devices import Rig
from tests.support.faults import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.httpd import Server


_HERE = Path(__file__).parent


def provision(rig: Rig, root: int = 1) -> Rig:
    """Set a device up that trusts this root of the mirror."""
    rig.opt.mkdir()
    file = rig.tree / layout.metadata("root", root)
    words = ("--device", "door-7", "--remote", rig.server.url, "--allow", str(rig.opt), "--root", str(file))
    assert rig.run("init", *words).exit_code == 0
    return rig


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Where the mirror's files are; it is signed, and offers nothing yet."""
    folder = tmp_path / "mirror"
    trees.simulator(folder)
    return folder


@pytest.fixture
def server(tree: Path) -> Iterator[Server]:
    """The mirror's server."""
    with httpd.serving(tree) as running:
        yield running


@pytest.fixture
def rig(tmp_path: Path, tree: Path, server: Server) -> Rig:
    """A device that was given the mirror's first root."""
    folder = tmp_path / "device"
    folder.mkdir()
    return provision(Rig(folder, tree, server))


@pytest.fixture(params=[False, True], ids=["new", "returning"])
def returning(request: pytest.FixtureRequest) -> bool:
    """Whether the device has met the mirror before."""
    return bool(request.param)


@pytest.fixture
def claimed() -> bool:
    """Whether the publisher of app has claimed it."""
    return False


@pytest.fixture
def scene(rig: Rig, *, returning: bool, claimed: bool) -> Scene:
    """A device and an honest mirror."""
    return Scene(rig, claimed=claimed, returning=returning)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have `make test` play a sample of each attack's variants, one at least; the others are for `make test-long`."""
    here = [item for item in items if item.path.is_relative_to(_HERE)]
    for _, variants in itertools.groupby(here, key=lambda item: (item.path, getattr(item, "originalname", item.name))):
        listed = list(variants)
        sample = set(spread(len(listed), max(1, len(listed) // 6)))
        for number, item in enumerate(listed, 1):
            if number not in sample:
                item.add_marker(pytest.mark.long)
