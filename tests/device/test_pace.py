"""How long a server may keep a device waiting."""

from __future__ import annotations

import pytest

from devclient.web.pace import Pace


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Line:
    """A connection on which `count` bytes come after `wait` seconds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.limits: list[float] = []
        self.pace = Pace(patience=60, rate=100, silence=30, clock=clock)

    def receive(self, wait: float, count: int, times: int = 1) -> None:
        """Let bytes come, so many times."""

        def source() -> int:
            self.clock.now += wait
            return count

        for _ in range(times):
            self.pace.read(source, self.limits.append)


@pytest.fixture
def clock() -> Clock:
    """The clock of a test."""
    return Clock()


@pytest.fixture
def line(clock: Clock) -> Line:
    """A connection with a patience of 60 s, 100 bytes a second, and 30 s of silence."""
    return Line(clock)


def test_one_read_may_last_as_long_as_silence_is_borne(line: Line) -> None:
    """The limit of a read is what the settings call silence, while there is more patience than that."""
    line.receive(1, 100)

    assert line.limits == [30]


def test_a_byte_a_second_uses_patience_up(line: Line) -> None:
    """A server that sends a byte a second is left once its waiting cost what patience there was."""
    with pytest.raises(TimeoutError):
        line.receive(1, 1, times=70)

    assert 60 <= len(line.limits) < 70


def test_who_keeps_the_rate_is_waited_for_without_end(line: Line, clock: Clock) -> None:
    """A slow server that sends as much as it should is never left."""
    line.receive(10, 1000, times=1000)

    assert clock.now == 100 + 10_000


def test_nobody_saves_up_patience(line: Line) -> None:
    """A server that was fast for long gets no more patience than any other."""
    line.receive(0, 1_000_000_000)

    with pytest.raises(TimeoutError):
        line.receive(20, 0, times=4)


def test_time_spent_elsewhere_is_free(line: Line, clock: Clock) -> None:
    """What a device does with the bytes, on a slow disk, is not the server's waiting."""
    line.receive(1, 1)
    clock.now += 10_000
    line.receive(1, 1)

    assert line.limits == [30, 30]


def test_the_last_patience_limits_the_read(line: Line) -> None:
    """A read gets no more time than patience is left."""
    line.receive(29, 0)
    line.receive(29, 0)
    line.receive(1, 0)

    assert line.limits == [30, 30, 2]


def test_a_deadline_holds_for_who_is_fast_too(line: Line) -> None:
    """Bytes without end do not get past the deadline."""
    line.pace.begin(deadline=5)

    with pytest.raises(TimeoutError):
        line.receive(1, 1_000_000, times=10)

    assert len(line.limits) == 5


def test_a_lifted_deadline_is_gone(line: Line) -> None:
    """Once lifted, only the pace counts."""
    line.pace.begin(deadline=5)
    line.pace.lift()

    line.receive(1, 1_000_000, times=10)

    assert line.limits == [30] * 10
