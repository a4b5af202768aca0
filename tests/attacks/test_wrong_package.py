"""Wrong package: something that is signed for one package, branch or release is shown as that of another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devclient.errors import BrokenPromiseError
from devclient.trust_errors import MixAndMatchError
from mirror import layout, trust
from tests.attacks.scene import BIN, BRANCH, CLAIMED, EVIL, LIST, PACKAGE
from tests.support import trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from tests.attacks.scene import Scene


@pytest.mark.parametrize(("package", "branch"), [("other", BRANCH), (PACKAGE, "edge")])
def test_a_list_of_another_branch_is_refused(scene: Scene, package: str, branch: str) -> None:
    """A list says itself whose it is, and speaks for nobody else, even if it is signed for under a wrong path."""
    other = trees.prepare(scene.tree, Release("6.6", EVIL), package=package, branch=branch)

    with scene.refusing(BrokenPromiseError):
        scene.simulator.list(PACKAGE, BRANCH, other)
        scene.simulator.publish()


@pytest.mark.parametrize(("package", "branch"), [("other", BRANCH), (PACKAGE, "edge")])
def test_a_list_in_the_place_of_another_is_refused(scene: Scene, package: str, branch: str) -> None:
    """A list that is signed for under its own path is not found under that of another branch."""
    trees.write(scene.tree, Release("6.6", EVIL), package=package, branch=branch)

    with scene.refusing(MixAndMatchError):
        data = (scene.tree / layout.release_list(package, branch)).read_bytes()
        size = (scene.tree / scene.hashed_list).stat().st_size
        scene.replace_file(scene.hashed_list, data.ljust(size)[:size])


@pytest.mark.parametrize(
    "change",
    [{"package": "other"}, {"branch": "edge"}, {"version": "6.6"}, {"sha256": "ab" * 32}],
    ids=["package", "branch", "version", "blob"],
)
def test_a_content_of_another_release_is_refused(scene: Scene, change: dict[str, Any]) -> None:
    """A content.json says itself whose it is, and a list that names another's is not obeyed, signed or not."""
    honest = scene.releases[-1].content_on(PACKAGE, BRANCH)
    other = replace(honest, **change)

    with scene.refusing(BrokenPromiseError):
        scene.replace_file(layout.get_version(PACKAGE, BRANCH, "2.0"), other.canonical())
        data = (scene.tree / scene.hashed_list).read_bytes()
        scene.simulator.list(PACKAGE, BRANCH, data.replace(honest.digest.encode(), other.digest.encode()))
        scene.simulator.publish()


@pytest.mark.parametrize("stand_in", [trust.UNCLAIMED, BIN])
def test_a_role_in_the_place_of_another_is_refused(scene: Scene, stand_in: str) -> None:
    """By key and version one bin passes for another, and would hide that one's lists for as long as it is kept.

    So each says which it is.
    """
    simulator = scene.simulator
    role = next(name for name in simulator.bins if name != scene.name(BIN)) if stand_in == BIN else stand_in
    simulator.of(scene.name(BIN)).version = simulator.of(role).version = 100
    simulator.publish()
    assert LIST not in simulator.of(role).targets

    with scene.refusing(MixAndMatchError):
        scene.replace(BIN, simulator.read(role))


def test_a_bin_in_the_place_of_all_of_them_is_refused_likewise(scene: Scene) -> None:
    """Nor does a bin that passes for the role above the bins stay there."""
    simulator = scene.simulator
    simulator.of(scene.name(BIN)).version = simulator.unclaimed.version = 100
    simulator.publish()
    other = next(name for name in simulator.bins if name != scene.name(BIN))
    simulator.of(other).version = 100
    simulator.publish()

    with scene.refusing(MixAndMatchError):
        scene.replace(trust.UNCLAIMED, simulator.read(other))


@pytest.mark.parametrize("claimed", [True], ids=["claimed"])
def test_a_publishers_role_in_the_place_of_another_of_his_is_refused(scene: Scene) -> None:
    """Nor does a publisher's role for one package pass for that of another which he has claimed with the same key."""
    simulator, (key,) = scene.simulator, scene.simulator.signers[CLAIMED]
    simulator.claim("other", key)
    other = trust.package_role("other")
    simulator.claimed[other].version = scene.says(CLAIMED).version = 100
    simulator.publish()

    with scene.refusing(MixAndMatchError):
        scene.replace(CLAIMED, simulator.read(other))
