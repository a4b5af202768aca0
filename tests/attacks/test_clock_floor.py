"""The clock floor: whoever signs timestamps can tell devices what time it is, by mistake or with a stolen key.

Each is played with a device that has a clock, and with one whose clock stands at 1970.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient.trust.clock import BUILT
from devclient.trust_errors import ExpiredByFloorError, ExpiredError, RollbackError
from mirror import layout, trust
from tests.attacks.scene import BIN, CLAIMED, Scene
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from typing import Any

    from tests.support.devices import Rig

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
AHEAD = 400 * DAY
FAR = 2**31


@pytest.fixture(params=[False, True], ids=["clock", "1970"])
def scene(request: pytest.FixtureRequest, rig: Rig, *, claimed: bool) -> Scene:
    """A device that has met the mirror."""
    made = Scene(rig, returning=True, claimed=claimed)
    made.clock = EPOCH if request.param else made.simulator.now
    made.meets()
    return made


def signs_ahead(scene: Scene, ahead: timedelta = AHEAD) -> datetime:
    """Have the mirror sign with a clock that is ahead, and the device see it; returns the right time."""
    right = scene.simulator.now
    scene.simulator.now += ahead
    scene.publish("3.0")
    scene.meets()
    scene.simulator.now = right
    return right


def signs_right(scene: Scene, issued: datetime) -> None:
    """Have the mirror sign anew all that expires by the clock, which is right again."""
    scene.simulator.now = issued
    scene.simulator.publish(everything=True)


def notes(scene: Scene) -> Any:
    """Read what the device has noted."""
    return json.loads((scene.rig.trust / "kept" / "notes.json").read_bytes())


def floor(scene: Scene) -> str:
    """Return the floor."""
    return str(notes(scene)["floor"]["reached"])


def kept(scene: Scene) -> dict[str, bytes]:
    """Read all that the device has kept of the mirror, but for what is held against URLs."""
    files = [file for file in scene.rig.trust.rglob("*") if file.is_file() and file.name != "urls.json"]
    return {str(file): file.read_bytes() for file in files}


def test_a_signer_with_a_clock_that_is_ahead_is_put_right_by_itself(scene: Scene) -> None:
    """Its next timestamp takes back the time, and the device goes on at its next poll."""
    right = signs_ahead(scene)
    assert floor(scene) == trust.time(right + AHEAD)
    assert scene.updates()["code"] == "expired"  # the root, by then

    signs_right(scene, right)
    scene.publish("4.0")

    scene.meets()
    assert floor(scene) == trust.time(right)
    assert notes(scene)["floor"]["version"] == scene.simulator.timestamp.version
    scene.publish("5.0")
    scene.meets()


def test_a_device_that_judges_by_its_floor_says_so(scene: Scene) -> None:
    """With both times, and what to do; in `status` too."""
    right = signs_ahead(scene)

    message = scene.updates()["message"]

    assert scene.clock
    for words in (trust.time(right + AHEAD), trust.time(scene.clock), "set it", "`otamirror resign --clock-is-right`"):
        assert words in message
    assert scene.told()["clock"] == {"floor": trust.time(right + AHEAD), "system": trust.time(scene.clock)}
    assert f"expiries are judged by {trust.time(right + AHEAD)}" in scene.rig.run("status").stdout


def test_nothing_of_it_is_said_where_the_clock_decides(scene: Scene) -> None:
    """What has expired by the device's own clock has expired."""
    scene.clock = scene.simulator.now + 15 * DAY
    scene.server.misbehave("/", Fault(headers={"Date": None}))

    result = scene.updates()

    assert result["code"] == ExpiredError.code
    assert "own clock" not in result["message"]
    assert scene.told()["clock"] is None


@pytest.mark.parametrize("step", [0, -1])
def test_only_a_higher_version_lowers_the_floor(scene: Scene, step: int) -> None:
    """A timestamp of the same version, or a lower one, says nothing about the time, however rightly signed."""
    right = signs_ahead(scene)
    timestamp = scene.simulator.timestamp
    timestamp.version += step
    timestamp.expires = right + AHEAD + DAY
    timestamp.unrecognized_fields[trust.ISSUED] = trust.time(right)
    lie = scene.simulator.sign(trust.TIMESTAMP, timestamp)
    scene.server.misbehave(f"/{layout.TIMESTAMP}", Fault(body=lie))
    before = kept(scene)

    assert scene.updates()["code"] != ""

    assert floor(scene) == trust.time(right + AHEAD)
    assert {name: data for name, data in kept(scene).items() if "notes" not in name} == {
        name: data for name, data in before.items() if "notes" not in name
    }


def test_a_replay_does_not_lower_the_floor_where_the_timestamp_was_lost(scene: Scene) -> None:
    """The version that goes with the floor is enough to know a timestamp of before."""
    old = scene.file(trust.TIMESTAMP)
    right = signs_ahead(scene, 10 * DAY)
    (scene.rig.trust / "timestamp.json").unlink()
    scene.server.misbehave(f"/{layout.TIMESTAMP}", Fault(body=old))

    scene.updates()

    assert floor(scene) == trust.time(right + 10 * DAY)


def test_a_floor_without_a_version_is_never_lowered(scene: Scene) -> None:
    """As a release before has noted it; it follows the newest timestamp upwards, and then has one."""
    right = signs_ahead(scene, 10 * DAY)
    file = scene.rig.trust / "kept" / "notes.json"
    before = notes(scene)
    del before["floor"]["version"]
    file.write_text(json.dumps(before))
    scene.simulator.now = right
    scene.publish("4.0")
    scene.meets()
    assert floor(scene) == trust.time(right + 10 * DAY)
    assert notes(scene)["floor"]["version"] is None

    scene.simulator.now = right + 11 * DAY
    scene.publish("5.0")
    scene.meets()

    assert notes(scene)["floor"] == before["floor"] | {
        "reached": trust.time(right + 11 * DAY),
        "version": scene.simulator.timestamp.version,
    }


@pytest.mark.parametrize(
    ("role", "claimed"), [(trust.TARGETS, False), (trust.UNCLAIMED, False), (BIN, False), (CLAIMED, True)]
)
def test_all_is_judged_anew_by_the_earlier_time(scene: Scene, role: str) -> None:
    """Delegated roles too: if one has expired even by that, the floor stays, and nothing is kept."""
    right = signs_ahead(scene)
    signs_right(scene, right)
    scene.says(role).expires = BUILT - DAY
    scene.simulator.publish()
    before = kept(scene)

    assert scene.updates()["code"] == ExpiredError.code

    assert floor(scene) == trust.time(right + AHEAD)
    assert kept(scene) == before
    signs_right(scene, right)
    scene.meets()


def test_the_earlier_time_brings_no_version_back(scene: Scene) -> None:
    """Who has the timestamp's key alone cannot lead back to a snapshot of before by telling an earlier time."""
    right = signs_ahead(scene)
    older = scene.simulator.snapshot.version - 1
    simulator = scene.simulator
    simulator.snapshot.version = older
    simulator.snapshot.expires = right + 14 * DAY
    before = kept(scene)
    simulator.write(trust.SNAPSHOT, older, simulator.sign(trust.SNAPSHOT, simulator.snapshot))
    simulator.timestamp.snapshot_meta.version = older
    simulator.timestamp.version += 1
    simulator.timestamp.expires = right + 14 * DAY
    simulator.timestamp.unrecognized_fields[trust.ISSUED] = trust.time(right)
    simulator.write(trust.TIMESTAMP, 0, simulator.sign(trust.TIMESTAMP, simulator.timestamp))

    scene.refuses(RollbackError)

    assert kept(scene) == before


def test_an_earlier_time_than_this_program_is_not_believed(scene: Scene) -> None:
    """The build time is below every floor: what had expired by then stays expired."""
    signs_ahead(scene)
    signs_right(scene, BUILT - 60 * DAY)

    assert scene.updates()["code"] in {ExpiredError.code, "clock-suspect"}


def test_a_version_at_the_highest_is_mended_by_a_root_only(scene: Scene) -> None:
    """The stated limit; the root clears floor, timestamp and version together, and versions may start lower."""
    version = scene.simulator.timestamp.version
    scene.simulator.timestamp.version = FAR
    right = signs_ahead(scene)
    scene.simulator.timestamp.version = version
    signs_right(scene, right)
    assert scene.updates()["code"] in {ExpiredError.code, RollbackError.code}

    scene.simulator.new_root(trust.TIMESTAMP)

    scene.meets()
    assert floor(scene) == trust.time(right)
    assert notes(scene)["floor"]["version"] == scene.simulator.timestamp.version < FAR


@pytest.mark.parametrize("role", [trust.SNAPSHOT, trust.TARGETS])
def test_a_root_that_leaves_the_timestamps_key_clears_nothing(scene: Scene, role: str) -> None:
    """Exactly if the known timestamp does not verify under it any more."""
    right = signs_ahead(scene)
    before = notes(scene)["floor"]

    scene.simulator.new_root(role, publish=False)

    assert scene.updates()["code"] != "signature"
    assert notes(scene)["floor"] == before
    signs_right(scene, right)
    scene.meets()


def test_a_root_with_one_more_key_for_timestamps_clears_nothing(scene: Scene) -> None:
    """The known timestamp still verifies under it."""
    right = signs_ahead(scene)
    simulator = scene.simulator
    simulator.root.version += 1
    simulator.root.expires = simulator.expiry(trust.ROOT) + AHEAD
    simulator.root.add_key(simulator.signers[trust.SNAPSHOT][0].public_key, trust.TIMESTAMP)
    simulator.write(trust.ROOT, simulator.root.version, simulator.sign(trust.ROOT, simulator.root))

    scene.updates()

    assert floor(scene) == trust.time(right + AHEAD)


def test_what_a_new_root_does_not_vouch_for_is_not_in_force(scene: Scene) -> None:
    """Once a root has replaced the timestamp's key, the timestamp that it had signed counts no more, even alone."""
    scene.simulator.new_root(trust.TIMESTAMP, publish=False)
    scene.sets("root_interval", 0)

    assert scene.updates()["code"] == "behind"

    assert not (scene.rig.trust / "timestamp.json").exists()
    assert notes(scene)["floor"] is None
    scene.simulator.publish()
    scene.meets()


def test_the_floor_is_not_lowered_by_a_timestamp_that_expires_too_early(scene: Scene) -> None:
    """A newer timestamp of an earlier time has to hold by that time itself."""
    right = signs_ahead(scene)
    scene.simulator.now = right
    scene.simulator.timestamp.expires = BUILT - DAY
    scene.simulator.timestamp.unrecognized_fields[trust.ISSUED] = trust.time(BUILT - 2 * DAY)
    scene.simulator.publish()

    assert scene.updates()["code"] in {ExpiredByFloorError.code, "clock-suspect"}

    assert floor(scene) == trust.time(right + AHEAD)
