"""When devices poll: one by one by the rules, and ten thousand of them beside each other."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devclient.daemon.schedule import Schedule
from devclient.settings.config import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUR, MINUTE = 3600.0, 60.0
USUAL = Daemon()
STEADY = Daemon(jitter=0)
FLEET = 10_000

_settings = st.builds(
    Daemon,
    interval=st.floats(1, 1e6),
    jitter=st.floats(0, 1),
    backoff=st.floats(1, 1e6),
)
_chance = st.floats(0, 1)


def schedule(chance: float = 0.5) -> Schedule:
    """Start a schedule in which chance is always the same."""
    return Schedule(lambda: chance)


def test_without_jitter_the_interval_is_the_interval() -> None:
    """And the first poll comes at once."""
    waits = schedule(chance=0.9)

    assert waits.first(STEADY) == 0
    assert [waits.after_success(STEADY, 0) for _ in range(3)] == [HOUR] * 3


@pytest.mark.parametrize(("chance", "wait"), [(0, 0.5 * HOUR), (0.5, HOUR), (1, 1.5 * HOUR)])
def test_jitter_makes_waits_longer_and_shorter(chance: float, wait: float) -> None:
    """By half of the interval at most, as often the one as the other."""
    assert schedule(chance).after_success(USUAL, 0) == wait


def test_waits_double_as_long_as_polls_fail() -> None:
    """From half of the interval on, up to the limit; after a success from the start."""
    waits = schedule()
    waits.after_success(USUAL, 0)

    assert [waits.after_failure(USUAL, 0) / HOUR for _ in range(6)] == [0.5, 1, 2, 4, 4, 4]
    assert waits.after_success(USUAL, 0) == HOUR
    assert waits.after_failure(USUAL, 0) == 0.5 * HOUR


def test_after_a_start_it_is_tried_again_soon() -> None:
    """The network may come up a little later than the device."""
    waits = schedule()

    assert [waits.after_failure(USUAL, 0) / MINUTE for _ in range(9)] == [1, 2, 4, 8, 16, 32, 64, 128, 240]


@given(settings=_settings, chance=_chance, failures=st.integers(0, 2000), least=st.floats(0, 86400))
def test_waits_keep_to_their_limits(settings: Daemon, chance: float, failures: int, least: float) -> None:
    """Never less than servers want, never more than the greatest of all limits allows, however often it fails."""
    waits = schedule(chance)
    for _ in range(failures):
        waits.after_failure(settings, 0)

    failed, came = waits.after_failure(settings, least), waits.after_success(settings, least)

    for wait, usual in ((failed, settings.backoff), (came, settings.interval)):
        assert least <= wait <= max(usual, least) * (1 + settings.jitter)
    assert 0 <= waits.first(settings) <= min(60, settings.interval)
    assert waits.soon(settings) > 0 or settings.jitter == 1


@given(settings=_settings, chance=_chance, seconds=st.floats(60, 1e6))
def test_a_window_is_used_from_its_first_quarter_on(settings: Daemon, chance: float, seconds: float) -> None:
    """So that there is time left, and not all devices come in its first second."""
    assert 0 <= schedule(chance).into(seconds, settings) <= seconds / 4


# a fleet


class Fleet:
    """Devices that poll a mirror by their schedules, in simulated time."""

    def __init__(self, settings: Daemon = USUAL) -> None:
        chance = random.Random(7)
        self._settings = settings
        self._schedules = [Schedule(chance.random) for _ in range(FLEET)]
        # they were switched on at any time
        self._queue = [(chance.uniform(0, settings.interval), number) for number in range(FLEET)]
        heapq.heapify(self._queue)
        self.polls = Counter[int]()

    def live(self, until: float, mirror: Callable[[float], float | None]) -> None:
        """Have them poll `until` a time; the mirror tells the seconds that it wants waited, None if it is away."""
        while self._queue[0][0] < until:
            now, number = heapq.heappop(self._queue)
            self.polls[int(now // MINUTE)] += 1
            least, waits = mirror(now), self._schedules[number]
            wait = (
                waits.after_failure(self._settings, 0) if least is None else waits.after_success(self._settings, least)
            )
            heapq.heappush(self._queue, (now + wait, number))

    def minutes(self, start: float, end: float) -> Iterator[int]:
        """Yield how many polls each minute of a time saw."""
        return (self.polls[minute] for minute in range(int(start // MINUTE), int(end // MINUTE)))


@pytest.mark.parametrize(
    "outage", [HOUR, *(pytest.param(outage, marks=pytest.mark.long) for outage in (60.0, 6 * HOUR))]
)
def test_after_an_outage_no_minute_sees_three_times_the_usual(outage: float) -> None:
    """Nor does one in it; all devices are back within the longest wait."""
    fleet, begins = Fleet(), 12 * HOUR
    ends = begins + outage

    fleet.live(36 * HOUR, lambda now: None if begins <= now < ends else 0)

    usual = FLEET * MINUTE / HOUR
    assert usual * 0.9 < sum(fleet.minutes(6 * HOUR, begins)) / (6 * 60) < usual * 1.1
    assert max(fleet.minutes(begins, 36 * HOUR)) < 3 * usual
    settled = sum(fleet.minutes(30 * HOUR, 36 * HOUR)) / (6 * 60)
    assert usual * 0.9 < settled < usual * 1.1


def test_a_fleet_that_was_switched_on_together_spreads_out() -> None:
    """After some hours no minute sees three times the usual any more."""
    fleet = Fleet()
    fleet._queue = [(number / FLEET, number) for number in range(FLEET)]

    fleet.live(12 * HOUR, lambda _now: 0)

    assert fleet.polls[0] == FLEET
    assert max(fleet.minutes(6 * HOUR, 12 * HOUR)) < 3 * FLEET * MINUTE / HOUR


def test_an_operator_can_brake_a_fleet() -> None:
    """With `x-poll` raised the rate falls within an interval, and settles at what was asked for."""
    fleet, raised = Fleet(), 12 * HOUR

    fleet.live(36 * HOUR, lambda now: 4 * HOUR if now >= raised else 0)

    usual = FLEET * MINUTE / HOUR
    after = [sum(fleet.minutes(raised + n * HOUR, raised + (n + 1) * HOUR)) / 60 for n in range(3)]
    assert after[0] < usual
    assert after[1] < usual / 4
    assert after[2] < usual / 4
    assert sum(fleet.minutes(24 * HOUR, 36 * HOUR)) / (12 * 60) < usual / 4


def test_a_braked_fleet_stays_spread() -> None:
    """What all are asked to wait for does not bring them together."""
    fleet = Fleet(replace(USUAL, interval=600.0))

    fleet.live(48 * HOUR, lambda _now: 2 * HOUR)

    assert max(fleet.minutes(24 * HOUR, 48 * HOUR)) < 3 * FLEET * MINUTE / (2 * HOUR)
