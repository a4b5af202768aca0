"""How fast a device takes what a server would give faster."""

from __future__ import annotations

import random

import pytest

from devclient.web.throttle import Throttle

BLOCK = 64 * 1024


class Time:
    """A time that passes when somebody sleeps, a little longer than wanted, or works."""

    def __init__(self, late: float = 0) -> None:
        self.now = 1000.0
        self.late = late
        self.slept: list[float] = []

    def clock(self) -> float:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds + self.late


class Line:
    """A server that is as fast as a test wants, read through a throttle.

    Attributes:
        taken: when how many bytes were taken.
    """

    def __init__(self, rate: int, time: Time) -> None:
        self.throttle = Throttle(rate, time.clock, time.sleep)
        self.taken: list[tuple[float, int]] = []
        self._time = time

    def take(self, takes: float = 0, there_is: int = BLOCK) -> None:
        """Take a block."""

        def source(most: int) -> bytes:
            self._time.now += takes
            return b"x" * min(most, there_is)

        block = self.throttle.read(source, BLOCK)
        self.taken.append((self._time.now, len(block)))


def most_above(line: Line, rate: int) -> float:
    """Tell by how many bytes any stretch of time had more than the rate allows for it."""
    worst = 0.0
    for first, (start, _) in enumerate(line.taken):
        total = 0
        for now, count in line.taken[first:]:
            total += count
            worst = max(worst, total - rate * (now - start))
    return worst


@pytest.mark.parametrize("rate", [1, 1000, 20_000, 512 * 1024, 10_000_000])
@pytest.mark.parametrize("late", [0, 0.003])
@pytest.mark.parametrize("seed", range(4))
def test_over_no_time_more_comes_than_the_rate_and_a_block(rate: int, late: float, seed: int) -> None:
    """However fast and unsteady the server is, and however late a sleeper wakes."""
    chance, time = random.Random(seed), Time(late)
    line = Line(rate, time)
    for _ in range(200):
        line.take(takes=chance.choice([0, 0, 0, 0.01, chance.expovariate(1)]), there_is=chance.randrange(1, BLOCK))
        time.now += chance.choice([0, 0, 0.1, 5])  # what is done with the block

    assert most_above(line, rate) <= max(count for _, count in line.taken) + 1e-3 * rate


@pytest.mark.parametrize("rate", [1000, 512 * 1024])
def test_the_rate_is_used(rate: int) -> None:
    """From a server that is fast enough, as much comes as is allowed."""
    time = Time()
    line = Line(rate, time)
    while time.now < 1100:
        line.take()

    assert sum(count for _, count in line.taken) == pytest.approx(100 * rate, rel=0.01)


@pytest.mark.parametrize("rate", [4, 1000, 512 * 1024, 10_000_000])
def test_no_wait_is_long(rate: int) -> None:
    """Whoever shows how far a download is has something to show all the time, and the server, too, sees it go on."""
    time = Time()
    line = Line(rate, time)
    for _ in range(50):
        line.take()

    steps = [later - sooner for (sooner, _), (later, _) in zip(line.taken, line.taken[1:], strict=False)]
    assert max(steps) < 0.26
    assert max(time.slept) < 0.26


def test_no_sleep_is_long_either() -> None:
    """At a byte a second the wait is a second, but nobody sleeps that long."""
    time = Time()
    line = Line(1, time)
    for _ in range(3):
        line.take()

    assert (time.now, len(time.slept)) == (1002, 8)


def test_nothing_is_saved_up() -> None:
    """After an hour without a download the next one is no faster."""
    time = Time()
    line = Line(1000, time)
    line.take()
    time.now += 3600
    before = time.now
    for _ in range(5):
        line.take()

    assert time.now - before == pytest.approx(1)


def test_without_a_limit_nothing_waits() -> None:
    """Zero is no limit: blocks come as large as they are wanted."""
    time = Time()
    line = Line(0, time)
    for _ in range(20):
        line.take()

    assert (time.now, time.slept, {count for _, count in line.taken}) == (1000, [], {BLOCK})
