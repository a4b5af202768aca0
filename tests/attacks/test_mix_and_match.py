"""Mix and match: files that are all signed, but were never on the mirror at the same time."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from devclient.errors import BrokenPromiseError
from devclient.trust_errors import MixAndMatchError
from mirror import layout, trust
from tests.attacks.scene import BRANCH, PACKAGE, ROLES

if TYPE_CHECKING:
    from tests.attacks.scene import Scene


@pytest.mark.parametrize(("role", "claimed"), [each for each in ROLES if each[0] not in {trust.ROOT, trust.TIMESTAMP}])
def test_a_newer_file_under_an_older_name_is_refused(scene: Scene, role: str) -> None:
    """What a snapshot or timestamp names is that version and not a later one, even if that is signed."""
    newer = copy.deepcopy(scene.says(role))
    newer.version += 1

    with scene.refusing(MixAndMatchError):
        scene.replace(role, scene.simulator.sign(scene.name(role), newer))


def test_an_older_list_under_the_name_of_the_newest_is_refused(scene: Scene) -> None:
    """The list is the one that is signed now, not one that was signed once."""
    old = (scene.tree / scene.hashed_list).read_bytes()
    scene.publish("3.0")

    with scene.refusing(MixAndMatchError):
        scene.replace_file(scene.hashed_list, old)


def test_the_content_of_another_release_is_refused(scene: Scene) -> None:
    """What a list says of a release is not put together with another release's content.json."""
    old = (scene.tree / layout.get_version(PACKAGE, BRANCH, "1.0")).read_bytes()

    with scene.refusing(BrokenPromiseError):
        scene.replace_file(layout.get_version(PACKAGE, BRANCH, "2.0"), old)


def test_the_blob_of_another_release_is_refused(scene: Scene) -> None:
    """A new release's content.json is not put together with an old release's blob, even of the same size."""
    old, new = scene.releases
    assert len(old.data) == len(new.data)

    with scene.refusing(BrokenPromiseError):
        scene.replace_file(layout.blob(new.sha256), old.data)
