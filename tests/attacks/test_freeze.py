"""Freeze: the mirror is shown as it was, for ever, so that a device never learns of what came after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from devclient.errors import NetworkError
from devclient.trust_errors import ClockSuspectError, ExpiredError, RollbackError
from mirror import layout, trust
from tests.attacks.scene import ROLES
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from mirror.errors import DeviceError
    from tests.attacks.scene import Scene

DAY = timedelta(days=1)
returning = pytest.mark.parametrize("returning", [True], ids=["returning"])


@pytest.mark.parametrize(("role", "claimed"), [each for each in ROLES if each[0] != trust.ROOT])
def test_metadata_that_has_expired_is_refused(scene: Scene, role: str) -> None:
    """What is signed holds for its time, whatever role it plays."""
    with scene.refusing(ExpiredError):
        scene.says(role).expires = scene.simulator.now - timedelta(minutes=1)
        scene.simulator.publish()


def test_a_root_that_has_expired_is_refused(scene: Scene) -> None:
    """Nothing is believed under the newest root once that has expired, until people sign the next one."""
    simulator = scene.simulator
    simulator.root.version += 1
    simulator.root.expires = simulator.now - timedelta(minutes=1)
    simulator.write(trust.ROOT, simulator.root.version, simulator.sign(trust.ROOT, simulator.root))

    with scene.refusing(ExpiredError, recovery=simulator.new_root):
        simulator.publish()


def test_an_expired_root_on_the_way_does_no_harm(scene: Scene) -> None:
    """Only the newest root has to hold: a device that was away for years walks over expired ones."""
    simulator = scene.simulator
    now, simulator.now = simulator.now, simulator.now - 1000 * DAY
    simulator.new_root(trust.TIMESTAMP, publish=False)
    simulator.now = now
    simulator.new_root(trust.SNAPSHOT)

    scene.meets()


def test_the_whole_mirror_of_a_month_ago_is_refused(scene: Scene) -> None:
    """A copy of the mirror that nobody has signed since is refused as a whole."""
    with scene.refusing(ExpiredError):
        scene.simulator.now -= 30 * DAY
        scene.simulator.publish(everything=True)


@returning
def test_nothing_new_is_not_believed_for_ever(scene: Scene) -> None:
    """A server that answers "not modified" for ever is no longer believed some time before what is here expires."""
    scene.meets()
    fault = Fault(status=304)
    scene.server.misbehave(f"/{layout.TIMESTAMP}", fault)
    assert scene.updates()["outcome"] == "nothing newer"

    scene.clock = scene.simulator.now + 13 * DAY
    with scene.refusing(NetworkError):
        scene.server.misbehave(f"/{layout.TIMESTAMP}", fault)


@returning
def test_the_same_for_ever_is_not_believed(scene: Scene) -> None:
    """A server that always sends what it sent before is refused once that has expired."""
    scene.meets()
    scene.clock = scene.simulator.now + 15 * DAY
    scene.server.misbehave("/", Fault(headers={"Date": format_datetime(scene.clock)}))

    scene.refuses(ExpiredError)
    scene.refuses(ExpiredError)

    scene.simulator.now = scene.clock
    scene.publish("3.0")
    scene.meets()


@returning
def test_a_clock_that_was_put_back_does_not_bring_back_the_past(scene: Scene) -> None:
    """The time that a signed timestamp told is a floor: a mirror that had expired by then stays expired."""
    old = scene.file(trust.TIMESTAMP)
    scene.simulator.now += 60 * DAY
    scene.clock = scene.simulator.now
    scene.publish("3.0")
    scene.meets()
    scene.clock -= 60 * DAY

    with scene.refusing(RollbackError):
        scene.replace(trust.TIMESTAMP, old)


def test_a_device_without_a_clock_has_a_floor_from_the_start(scene: Scene) -> None:
    """A device whose clock stands at 1970 does not believe a mirror from before its own program was built."""
    scene.clock = datetime(1970, 1, 1, tzinfo=UTC)

    with scene.refusing(ExpiredError):
        scene.simulator.now = datetime(2026, 1, 1, tzinfo=UTC)
        scene.simulator.publish(everything=True)


def test_a_clock_far_ahead_is_told_apart(scene: Scene) -> None:
    """If the mirror has expired by the device's clock alone, that clock is suspected, and nothing is installed."""
    before = scene.installed()
    scene.clock = scene.simulator.now + 1000 * DAY

    scene.refuses(ClockSuspectError)

    assert scene.installed() == before
    scene.clock = None
    scene.meets()


@pytest.mark.parametrize(("days", "error"), [(0, ExpiredError), (-29, ClockSuspectError), (-10_000, ClockSuspectError)])
def test_a_server_does_not_turn_the_clock(scene: Scene, days: int, error: type[DeviceError]) -> None:
    """What a server says of the time makes nothing hold that has expired; at most it casts doubt on the clock."""
    before = scene.installed()
    scene.clock = scene.simulator.now + 30 * DAY
    scene.server.misbehave("/", Fault(headers={"Date": format_datetime(scene.clock + days * DAY)}))

    scene.refuses(error)
    scene.refuses(error)

    assert scene.installed() == before
    scene.clock = None
    scene.meets()
