"""Fast-forward: whoever has stolen a key makes versions so high that what is right looks old for ever.

The way back is a new root that replaces the stolen keys: what they said is forgotten.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from devclient.trust_errors import ExpiredError, MixAndMatchError, RollbackError
from mirror import trust
from tests.attacks.scene import BIN, CLAIMED

if TYPE_CHECKING:
    from tests.attacks.scene import Scene

pytestmark = pytest.mark.parametrize("returning", [True], ids=["returning"])
FAR = 2**31
DAY = timedelta(days=1)


def refuses_and_recovers(scene: Scene, *stolen: str) -> None:
    """See that what is right is refused until a new root replaces the stolen keys, and then is taken at once."""
    before = scene.installed()
    scene.publish("3.0")
    scene.refuses(RollbackError)
    scene.refuses(RollbackError)
    assert scene.installed() == before

    scene.simulator.new_root(*stolen)

    scene.meets()
    scene.publish("4.0")
    scene.meets()


def test_of_the_timestamp(scene: Scene) -> None:
    """A timestamp far ahead makes what is right look old, until it is taken back with the timestamp's key."""
    right = scene.simulator.timestamp.version
    scene.simulator.timestamp.version = FAR
    scene.simulator.publish()
    scene.meets()
    scene.simulator.timestamp.version = right
    scene.publish("3.0")
    assert scene.updates()["message"] == "nothing newer than 2.0"

    scene.simulator.new_root(trust.TIMESTAMP)

    scene.meets()
    scene.publish("4.0")
    scene.meets()


def test_of_the_snapshot(scene: Scene) -> None:
    """A snapshot far ahead is taken back with the keys of snapshot and timestamp."""
    right = scene.simulator.snapshot.version
    scene.simulator.snapshot.version = FAR
    scene.simulator.publish()
    scene.meets()
    scene.simulator.snapshot.version = right

    refuses_and_recovers(scene, trust.SNAPSHOT, trust.TIMESTAMP)


@pytest.mark.parametrize(
    ("role", "claimed"), [(trust.TARGETS, False), (trust.UNCLAIMED, False), (BIN, False), (CLAIMED, True)]
)
def test_of_a_role_with_targets(scene: Scene, role: str) -> None:
    """A role that a snapshot put far ahead is taken back with the snapshot's key, whoever signs the role."""
    right = scene.says(role).version
    scene.says(role).version = FAR
    scene.simulator.publish()
    scene.meets()
    scene.says(role).version = right + 1
    scene.simulator.publish()

    refuses_and_recovers(scene, trust.SNAPSHOT)


def test_of_the_root_there_is_none(scene: Scene) -> None:
    """Roots are taken one by one, so not even the root's keys can put it far ahead."""
    right = scene.simulator.root.version
    scene.simulator.root.version = FAR
    far = scene.simulator.sign(trust.ROOT, scene.simulator.root)
    scene.simulator.root.version = right
    scene.simulator.write(trust.ROOT, FAR, far)

    with scene.refusing(MixAndMatchError):
        scene.simulator.write(trust.ROOT, right + 1, far)
        scene.simulator.publish()


def test_of_time_itself(scene: Scene) -> None:
    """The floor under the clock that a stolen timestamp key has raised goes with that key."""
    timestamp, right = scene.simulator.timestamp, scene.simulator.now
    timestamp.unrecognized_fields[trust.ISSUED] = trust.time(right + 1000 * DAY)
    timestamp.expires = right + 1001 * DAY
    version, timestamp.version = timestamp.version, FAR
    scene.simulator.publish()
    scene.meets()
    before = scene.installed()
    timestamp.unrecognized_fields[trust.ISSUED] = trust.time(right)
    timestamp.expires = right + 14 * DAY
    timestamp.version = version
    scene.publish("3.0")

    scene.refuses(ExpiredError)
    assert scene.installed() == before

    scene.simulator.new_root(trust.TIMESTAMP)
    scene.meets()


def test_of_time_beyond_its_own_end(scene: Scene) -> None:
    """A timestamp that says it was issued after it expires raises no floor."""
    fields = scene.simulator.timestamp.unrecognized_fields
    fields[trust.ISSUED] = trust.time(scene.simulator.now + 1000 * DAY)
    scene.simulator.publish()
    scene.meets()
    fields[trust.ISSUED] = trust.time(scene.simulator.now)

    scene.publish("3.0")

    scene.meets()
