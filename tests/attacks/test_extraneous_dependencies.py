"""Extraneous dependencies: a device is told that it needs more than the publisher said, to bring something in."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from devclient.errors import BrokenPromiseError
from devclient.trust_errors import MixAndMatchError
from mirror import layout
from tests.attacks.scene import BRANCH, EVIL, PACKAGE
from tests.support import trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from tests.attacks.scene import Scene

WANTS = {"evil": "*"}


def offer_evil(scene: Scene) -> None:
    """Put a package onto the mirror, validly signed, that nobody asked for."""
    trees.write(scene.tree, Release("1.0", EVIL), package="evil")


def test_a_content_that_names_more_is_refused(scene: Scene) -> None:
    """Dependencies that were put into a content.json are not those that its publisher named."""
    path = layout.get_version(PACKAGE, BRANCH, "2.0")
    content = json.loads((scene.tree / path).read_bytes())
    offer_evil(scene)

    with scene.refusing(BrokenPromiseError):
        scene.replace_file(path, json.dumps(content | {"dependencies": WANTS}).encode())

    assert scene.server.asked("/releases/evil/") == []


def test_a_list_that_names_more_is_refused(scene: Scene) -> None:
    """Nor are those that were put into a release list, even if it keeps its size."""
    offer_evil(scene)
    more = b'"dependencies":{"evil":"*"},'
    trees.write(scene.tree, *scene.releases, extra={"padding": "x" * len(more)})
    honest = (scene.tree / scene.hashed_list).read_bytes()

    with scene.refusing(MixAndMatchError):
        evil = honest.replace(b'"published"', more + b'"published"', 1).replace(b"x" * len(more), b"")
        assert len(evil) == len(honest)
        scene.replace_file(scene.hashed_list, evil)

    assert scene.server.asked("/releases/evil/") == []


def test_a_signed_list_that_names_more_than_the_content_is_refused(scene: Scene) -> None:
    """Not even the key of a list makes a device take what the release's own content.json does not name."""
    offer_evil(scene)

    with scene.refusing(BrokenPromiseError):
        data = json.loads((scene.tree / scene.hashed_list).read_bytes())
        data["releases"][0]["dependencies"] = WANTS
        scene.simulator.list(PACKAGE, BRANCH, json.dumps(data).encode())
        scene.simulator.publish()

    assert scene.server.asked(f"/{layout.blob(hashlib.sha256(EVIL).hexdigest())}") == []
