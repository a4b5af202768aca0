"""Delegations: a role speaks for the paths that it was given, and for no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, MetaFile, TargetFile, Targets

from devclient.errors import NotOnMirrorError
from devclient.trust_errors import UndelegatedError
from mirror import layout, trust
from tests.attacks.scene import BIN, BRANCH, CLAIMED, EVIL, LIST, PACKAGE, forged
from tests.support import trees
from tests.support.simulator import new_signer
from tests.support.trees import Release

if TYPE_CHECKING:
    from tests.attacks.scene import Scene

claimed = pytest.mark.parametrize("claimed", [True], ids=["claimed"])
fresh = pytest.mark.parametrize("returning", [False], ids=["new"])


def evil_target(scene: Scene, path: str = LIST) -> TargetFile:
    """Put a list of the attacker's onto the mirror under its hash; returns what a role may say of it."""
    data = scene.evil_list()
    target = TargetFile.from_data(path, data, ["sha256"])
    scene.simulator.put(layout.hashed_release_list(PACKAGE, BRANCH, target.hashes["sha256"]), data)
    return target


def another_bin(scene: Scene) -> str:
    """Name a bin that app is not in."""
    return next(name for name in scene.simulator.bins if name != scene.name(BIN))


def test_a_bin_does_not_speak_for_another(scene: Scene) -> None:
    """What a bin says of a list that belongs into another bin is not heard."""
    scene.simulator.bins[another_bin(scene)].targets[LIST] = evil_target(scene)
    scene.simulator.publish()

    scene.meets()


def test_a_bin_does_not_stand_in_for_another(scene: Scene) -> None:
    """Nor is it heard if the right bin says nothing."""
    with scene.refusing(NotOnMirrorError):
        scene.simulator.bins[another_bin(scene)].targets[LIST] = evil_target(scene)
        del scene.says(BIN).targets[LIST]
        scene.simulator.publish()


@claimed
@pytest.mark.parametrize("role", [trust.UNCLAIMED, BIN])
def test_the_mirror_does_not_speak_for_a_claimed_package(scene: Scene, role: str) -> None:
    """What the online keys say of a package that its publisher has claimed is not heard."""
    scene.says(role).targets[LIST] = evil_target(scene)
    scene.simulator.publish()

    scene.meets()


@claimed
@pytest.mark.parametrize("role", [trust.UNCLAIMED, BIN])
def test_the_mirror_adds_no_branch_to_a_claimed_package(scene: Scene, role: str) -> None:
    """Nor is it heard of a branch of which the publisher says nothing: the claim is the whole package."""
    beta = layout.release_list(PACKAGE, "beta")
    data = trees.prepare(scene.tree, Release("6.6", EVIL), branch="beta")
    target = TargetFile.from_data(beta, data, ["sha256"])
    scene.simulator.put(layout.hashed_release_list(PACKAGE, "beta", target.hashes["sha256"]), data)
    wanted = scene.simulator.succinct.get_role_for_target(beta) if role == BIN else role
    scene.simulator.of(wanted).targets[beta] = target
    scene.simulator.publish()
    scene.meets()

    scene.follows((PACKAGE, "beta"))

    scene.refuses(NotOnMirrorError)


@pytest.mark.parametrize("claims", [False, True], ids=["targets", "delegates"])
def test_a_publisher_does_not_speak_for_others(scene: Scene, *, claims: bool) -> None:
    """What a publisher says of somebody else's package is not heard, nor are those whom he lets say it."""
    simulator, thief = scene.simulator, new_signer()
    simulator.claim("other", thief)
    other = simulator.claimed[trust.package_role("other")]
    other.targets[LIST] = evil_target(scene)
    if claims:
        key = thief.public_key
        role = DelegatedRole("friend", [key.keyid], 1, terminating=True, paths=["releases/*/*"])
        other.delegations = Delegations({key.keyid: key}, {"friend": role})
    simulator.publish()

    scene.meets()


@claimed
def test_a_publisher_alone_speaks_for_his_package(scene: Scene) -> None:
    """What a publisher says no more of is not on the mirror, though the online keys still say it."""
    with scene.refusing(NotOnMirrorError):
        simulator = scene.simulator
        simulator.bins[scene.name(BIN)].targets[LIST] = simulator.claimed[CLAIMED].targets.pop(LIST)
        simulator.publish()


@fresh
@pytest.mark.parametrize(("role", "claimed"), [(trust.UNCLAIMED, False), (BIN, False), (CLAIMED, True)])
def test_a_role_that_no_snapshot_names_is_refused(scene: Scene, role: str) -> None:
    """A role to which somebody delegates, and which is in no snapshot, is not looked for."""
    with scene.refusing(UndelegatedError):
        del scene.simulator.snapshot.meta[f"{scene.name(role)}.json"]
        scene.simulator.publish()


def test_a_role_that_nobody_delegates_to_is_not_asked_for(scene: Scene) -> None:
    """A snapshot that names a role does not delegate to it."""
    made_up = Targets(targets={LIST: evil_target(scene)})
    scene.simulator.write(CLAIMED, 1, forged(made_up, new_signer()))
    scene.simulator.snapshot.meta[f"{CLAIMED}.json"] = MetaFile(1)
    scene.simulator.publish()

    scene.meets()

    assert scene.server.asked(f"/{layout.metadata(CLAIMED, 1)}") == []
