"""Rollback: something old is shown as if it were new, to bring back a hole that was closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tuf.api.metadata import MetaFile

from devclient.trust_errors import MixAndMatchError, RollbackError
from mirror import trust
from tests.attacks.scene import BIN, CLAIMED, ROLES, forged
from tests.support import trees

if TYPE_CHECKING:
    from tests.attacks.scene import Scene

returning = pytest.mark.parametrize("returning", [True], ids=["returning"])
with_targets = pytest.mark.parametrize(
    ("role", "claimed"), [(trust.TARGETS, False), (trust.UNCLAIMED, False), (BIN, False), (CLAIMED, True)]
)


@returning
def test_a_timestamp_that_names_an_older_snapshot_is_refused(scene: Scene) -> None:
    """Not even the timestamp's own key can lead back to a snapshot that was left behind."""
    scene.meets()

    with scene.refusing(RollbackError):
        scene.simulator.timestamp.snapshot_meta = MetaFile(scene.simulator.snapshot.version - 1)
        scene.simulator.publish()


@returning
@with_targets
def test_a_snapshot_that_names_an_older_role_is_refused(scene: Scene, role: str) -> None:
    """Not even the keys of snapshot and timestamp together can lead back to an older version of any role."""
    scene.meets()

    with scene.refusing(RollbackError):
        scene.simulator.snapshot.meta[f"{scene.name(role)}.json"].version -= 1
        scene.simulator.publish()


@returning
@with_targets
def test_a_snapshot_that_drops_a_role_is_refused(scene: Scene, role: str) -> None:
    """Nobody makes a device forget how far a role was by naming it no more for a while."""
    scene.meets()

    with scene.refusing(RollbackError):
        del scene.simulator.snapshot.meta[f"{scene.name(role)}.json"]
        scene.simulator.publish()


@pytest.mark.parametrize(("role", "claimed"), [each for each in ROLES if each[0] not in {trust.ROOT, trust.TIMESTAMP}])
def test_an_older_file_under_a_newer_name_is_refused(scene: Scene, role: str) -> None:
    """A file of an earlier version, validly signed, does not become a later one by its name."""
    old = scene.file(role)
    scene.publish("3.0")
    scene.simulator.publish(everything=True)

    with scene.refusing(RollbackError):
        scene.replace(role, old)


def test_an_older_root_under_a_newer_name_is_refused(scene: Scene) -> None:
    """A root of yesterday, with keys that were revoked since, is not the next one."""
    old = scene.file(trust.ROOT)
    scene.simulator.new_root(trust.ROOT, trust.TIMESTAMP)

    with scene.refusing(RollbackError):
        scene.replace(trust.ROOT, old)


def test_a_root_is_not_skipped(scene: Scene) -> None:
    """Roots are taken one by one: the next but one, under the name of the next, is refused."""
    simulator = scene.simulator
    simulator.new_root()
    simulator.root.version += 1
    next_but_one = forged(simulator.root, *simulator.signers[trust.ROOT])
    simulator.root.version -= 1

    with scene.refusing(MixAndMatchError):
        scene.replace(trust.ROOT, next_but_one)


@returning
def test_a_signed_list_does_not_bring_back_an_old_release(scene: Scene) -> None:
    """A list that offers only what is older than the installed release offers nothing, whoever signed it."""
    scene.meets()
    before = scene.installed()
    trees.write(scene.tree, *scene.releases[:1])

    result = scene.updates()

    assert (result["outcome"], result["message"]) == ("nothing newer", "nothing newer than 2.0")
    assert scene.installed() == before
