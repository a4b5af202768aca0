"""What time it is for a device, whatever its clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tuf.api.exceptions import ExpiredMetadataError

from devclient.trust import clock, judge
from devclient.trust.clock import BUILT, Floor
from devclient.trust_errors import ClockSuspectError, ExpiredByFloorError, ExpiredError, RollbackError
from mirror import trust
from tests.support import clients, trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig
    from tests.support.simulator import Simulator

DAY = timedelta(days=1)
ANCIENT, DISTANT = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
KEYS, OTHERS = frozenset({"a", "b"}), frozenset({"b", "c"})


def now() -> datetime:
    """Tell the time, as metadata would."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def simulator(rig: Rig) -> Simulator:
    """What signs a mirror with one release."""
    trees.write(rig.tree, Release("1.0"))
    return trees.simulator(rig.tree)


def refresh(rig: Rig, time: datetime) -> None:
    """Have the device fetch a list at a time of its clock's."""
    with rig.mirror(time) as mirror:
        mirror.release_list("app", "stable")


def sign_at(simulator: Simulator, time: datetime) -> None:
    """Have the mirror signed anew as if it were `time`."""
    simulator.now = time
    simulator.publish(everything=True)


def test_this_program_was_not_built_tomorrow() -> None:
    """A build time in the future would make devices refuse what is fresh."""
    assert now() >= BUILT


@pytest.mark.parametrize(
    ("system", "floor", "expected"),
    [
        (ANCIENT, None, BUILT),
        (ANCIENT, BUILT - DAY, BUILT),
        (ANCIENT, BUILT + DAY, BUILT + DAY),
        (BUILT + 2 * DAY, BUILT + DAY, BUILT + 2 * DAY),
        (DISTANT, None, DISTANT),
    ],
)
def test_the_latest_of_three_counts(system: datetime, floor: datetime | None, expected: datetime) -> None:
    """The system's clock, the time of building, and the floor."""
    assert clock.latest(system, Floor(floor, KEYS) if floor else None) == expected


@pytest.mark.parametrize(
    ("floor", "issued", "version", "expected"),
    [
        (None, None, 3, None),
        (None, BUILT, 3, Floor(BUILT, KEYS, 3)),
        (Floor(BUILT, KEYS, 3), None, 4, Floor(BUILT, KEYS, 3)),
        (Floor(BUILT, KEYS, 3), BUILT + DAY, 4, Floor(BUILT + DAY, KEYS, 4)),
        (Floor(BUILT, KEYS, 3), BUILT, 4, Floor(BUILT, KEYS, 4)),
        (Floor(BUILT, KEYS, 3), BUILT - DAY, 4, Floor(BUILT - DAY, KEYS, 4)),
        (Floor(BUILT, KEYS, 3), BUILT - DAY, 3, Floor(BUILT, KEYS, 3)),
        (Floor(BUILT, KEYS, 3), BUILT - DAY, 2, Floor(BUILT, KEYS, 3)),
        (Floor(BUILT, KEYS, None), BUILT - DAY, 9, Floor(BUILT, KEYS, None)),
        (Floor(BUILT, KEYS, None), BUILT, 9, Floor(BUILT, KEYS, 9)),
        (Floor(BUILT, OTHERS, 3), None, 4, Floor(BUILT, KEYS, 3)),
    ],
)
def test_the_floor_follows_the_newest_timestamp(
    floor: Floor | None, issued: datetime | None, version: int, expected: Floor | None
) -> None:
    """Down only with a higher version than its own, never without a version of its own; other keys change nothing."""
    assert clock.follow(floor, issued, version, KEYS) == expected


@pytest.mark.parametrize(
    ("issued", "expires", "other", "expected"),
    [
        (BUILT, BUILT + 8 * DAY, DISTANT, BUILT + 6 * DAY),
        (None, BUILT + 14 * DAY, DISTANT, BUILT + 10.5 * DAY),
        (BUILT, BUILT + 8 * DAY, BUILT + 4 * DAY, BUILT + 2 * DAY),
        (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC), ANCIENT, BUILT - 91.25 * DAY),
        (None, datetime(1, 1, 1, tzinfo=UTC), DISTANT, BUILT - 3.5 * DAY),
    ],
)
def test_worries_begin_a_quarter_of_a_lifetime_before_an_expiry(
    issued: datetime | None, expires: datetime, other: datetime, expected: datetime
) -> None:
    """Of the timestamp or of the root, whichever is first, and whatever strange times they state."""
    assert clock.worries_from(issued, expires, other) == expected


def test_tuf_judges_by_the_time_that_it_is_told(simulator: Simulator, tmp_path: Path) -> None:
    """The one private name of tuf's that is used is there and decides about expiries, in both directions."""
    folder = tmp_path / "tuf"
    in_time, too_late = (clients.updater(simulator.tree, folder / each) for each in ("in time", "too late"))
    assert isinstance(in_time._trusted_set.reference_time, datetime)

    judge.set_time(too_late, now() + 15 * DAY)
    with pytest.raises(ExpiredMetadataError):
        too_late.refresh()

    sign_at(simulator, now() - 15 * DAY)
    judge.set_time(in_time, now() - 10 * DAY)
    in_time.refresh()


def test_a_clock_that_stands_at_1970_does_no_harm(rig: Rig, simulator: Simulator) -> None:
    """Fresh metadata is taken."""
    refresh(rig, ANCIENT)


def test_what_expired_before_this_program_was_built_is_refused(rig: Rig, simulator: Simulator) -> None:
    """However early the clock says it is."""
    sign_at(simulator, BUILT - 15 * DAY)

    with pytest.raises(ExpiredError):
        refresh(rig, ANCIENT)


def test_time_does_not_go_back_once_a_timestamp_told_it(rig: Rig, simulator: Simulator) -> None:
    """What had expired when the last timestamp was issued is refused by a clock that stands at 1970."""
    sign_at(simulator, now() + 20 * DAY)
    refresh(rig, ANCIENT)
    simulator.snapshot.expires = now() + 19 * DAY
    simulator.publish()

    with pytest.raises(ExpiredByFloorError, match="own clock, which shows 1970-01-01T00:00:00Z"):
        refresh(rig, ANCIENT)


@pytest.mark.parametrize("value", [None, 7, "soon", "2100-01-01T00:00:00Z"])
def test_a_timestamp_that_tells_no_time_that_can_be_raises_no_floor(
    rig: Rig, simulator: Simulator, value: object
) -> None:
    """Not even one that says that it was issued after it expires."""
    simulator.timestamp.unrecognized_fields[trust.ISSUED] = value
    simulator.publish()
    refresh(rig, ANCIENT)

    sign_at(simulator, BUILT - 13 * DAY)
    refresh(rig, ANCIENT)


@pytest.mark.parametrize("ahead", [timedelta(days=365), DISTANT - now()], ids=["a year", "2100"])
def test_a_clock_far_ahead_is_suspected(rig: Rig, simulator: Simulator, ahead: timedelta) -> None:
    """What has expired by this clock alone, and not by the server's, is not called a freeze; later is tried again."""
    refresh(rig, now())
    trees.write(rig.tree, Release("1.0"), Release("2.0"))

    with pytest.raises(ClockSuspectError, match="Set this device's clock") as caught:
        refresh(rig, now() + ahead)

    assert caught.value.exit_code == 75
    assert caught.value.clock - caught.value.date > 300 * DAY
    refresh(rig, now())


def test_a_device_that_never_met_its_mirror_suspects_its_clock_too(rig: Rig, simulator: Simulator) -> None:
    """From the first day on."""
    with pytest.raises(ClockSuspectError):
        refresh(rig, DISTANT)


def test_what_a_suspect_clock_found_out_is_not_believed(rig: Rig, simulator: Simulator) -> None:
    """The server's time explains a refusal, and nothing else: no metadata is taken by it."""
    with pytest.raises(ClockSuspectError):
        refresh(rig, DISTANT)

    assert not (rig.trust / "timestamp.json").exists()


def test_what_expired_by_the_servers_clock_too_is_a_freeze(rig: Rig, simulator: Simulator) -> None:
    """Nobody is told to set a clock that is right."""
    sign_at(simulator, now() - 15 * DAY)

    with pytest.raises(ExpiredError, match="freeze"):
        refresh(rig, now())
    with pytest.raises(ExpiredError, match="freeze"):
        refresh(rig, now() + 365 * DAY)


def test_a_clock_that_differs_by_hours_is_not_suspected(rig: Rig, simulator: Simulator) -> None:
    """A day is what clocks may differ; what expired meanwhile has expired."""
    sign_at(simulator, now() - 14 * DAY + timedelta(hours=12))

    refresh(rig, now())
    with pytest.raises(ExpiredError):
        refresh(rig, now() + timedelta(hours=23))


def test_a_role_below_can_make_the_clock_suspect(rig: Rig, simulator: Simulator) -> None:
    """The roles of publishers and bins are judged by the same clock as those above them."""
    simulator.claim("app")
    simulator.publish()
    simulator.claimed[trust.package_role("app")].expires = now() + 2 * DAY
    simulator.publish()

    with pytest.raises(ClockSuspectError):
        refresh(rig, now() + 3 * DAY)
    refresh(rig, now())


def test_a_role_below_that_has_expired_is_a_freeze(rig: Rig, simulator: Simulator) -> None:
    """Its publisher has to renew it, and no clock is suspected."""
    simulator.claim("app")
    simulator.publish()
    simulator.claimed[trust.package_role("app")].expires = now() - DAY
    simulator.publish()

    for time in (now(), now() + 3 * DAY):
        with pytest.raises(ExpiredError, match="pkg-app is expired"):
            refresh(rig, time)


FAR = 2**31


def poison(simulator: Simulator, reached: datetime) -> None:
    """Sign a timestamp as who stole its key would, to lead devices into the future, with no version above."""
    right = simulator.timestamp.version
    simulator.timestamp.version = FAR
    simulator.timestamp.expires = reached + DAY
    simulator.timestamp.unrecognized_fields[trust.ISSUED] = trust.time(reached)
    simulator.publish()
    simulator.timestamp.version = right + 1


@pytest.mark.parametrize("ahead", [200 * DAY, 20_000 * DAY], ids=["within the root's life", "after it"])
def test_a_stolen_key_does_not_stop_time_for_ever(rig: Rig, simulator: Simulator, ahead: timedelta) -> None:
    """A floor in the future is void once a root has another key for timestamps, though versions start lower."""
    refresh(rig, now())
    poison(simulator, now() + ahead)
    refresh(rig, now())

    sign_at(simulator, now())
    with pytest.raises((ExpiredError, RollbackError)):
        refresh(rig, now())

    simulator.timestamp.version = 2
    simulator.new_root(trust.TIMESTAMP)
    refresh(rig, now())
    refresh(rig, now())
    with rig.mirror() as mirror:
        assert mirror.standing is not None
        assert (mirror.standing.root, mirror.standing.timestamp) == (2, 2)
        mirror.release_list("app", "stable")


def test_a_stolen_key_cannot_take_the_floor_away(rig: Rig, simulator: Simulator) -> None:
    """A root that changes other keys leaves the floor where it is."""
    refresh(rig, now())
    poison(simulator, now() + 200 * DAY)
    refresh(rig, now())

    sign_at(simulator, now())
    simulator.new_root(trust.SNAPSHOT)

    with pytest.raises((ExpiredError, RollbackError)):
        refresh(rig, now())
