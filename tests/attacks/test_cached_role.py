"""Cached role: what was verified under one delegation is taken for verified under another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile, Targets

from devclient.trust_errors import SignatureError
from mirror import layout, trust
from tests.attacks.scene import BRANCH, CLAIMED, EVIL, LIST, PACKAGE, forged
from tests.support import trees
from tests.support.simulator import new_signer
from tests.support.trees import Release

if TYPE_CHECKING:
    from tests.attacks.scene import Scene

pytestmark = pytest.mark.parametrize("claimed", [True], ids=["claimed"])
DOOR = layout.release_list("door", BRANCH)


def delegate_door_to_apps_role(scene: Scene) -> None:
    """Have the thief of the online keys let a role of the name of app's own speak for door, with a key of his."""
    simulator, thief = scene.simulator, new_signer()
    data, key = scene.evil_list(), thief.public_key
    evil = TargetFile.from_data(LIST, data, ["sha256"])
    simulator.put(layout.hashed_release_list(PACKAGE, BRANCH, evil.hashes["sha256"]), data)
    door = simulator.speaker(DOOR).targets[DOOR]
    false = Targets(
        scene.says(CLAIMED).version, expires=simulator.expiry(trust.UNCLAIMED), targets={DOOR: door, LIST: evil}
    )
    role = DelegatedRole(CLAIMED, [key.keyid], 1, terminating=False, paths=["releases/door/*"])
    simulator.unclaimed.delegations = Delegations({key.keyid: key}, {CLAIMED: role})
    simulator.publish()
    scene.replace(CLAIMED, forged(false, thief))


def test_a_role_is_verified_for_each_who_delegates_to_it(scene: Scene) -> None:
    """What a role said for door, verified with one key, is not taken for what it says for app, whose key is another."""
    trees.write(scene.tree, Release("1.0", b"door 1.0\n"), package="door")
    scene.follows(("door", BRANCH), (PACKAGE, BRANCH))
    scene.updates("door")

    with scene.refusing(SignatureError):
        delegate_door_to_apps_role(scene)
        assert scene.updates("door")["outcome"] == "nothing newer"  # so the false role is there, and was believed


def test_a_role_that_was_verified_for_one_is_not_believed_for_another(scene: Scene) -> None:
    """Nor the other way round: that app's publisher signed it makes the role nothing that may speak for door."""
    trees.write(scene.tree, Release("1.0", b"door 1.0\n"), package="door")
    scene.meets()
    scene.follows((PACKAGE, BRANCH), ("door", BRANCH))
    honest = scene.file(CLAIMED)

    with scene.simulator.lying():
        delegate_door_to_apps_role(scene)
        scene.replace(CLAIMED, honest)
        result = scene.updates("door")
        assert (result["outcome"], result["code"]) == ("failed", SignatureError.code)

    assert scene.updates("door")["outcome"] == "updated"
    assert EVIL not in scene.installed().values()
