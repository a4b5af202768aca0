"""Maintenance windows: when they open and close, whatever the clocks on the wall do."""

from __future__ import annotations

import os
import subprocess
import sys
import time as system_time
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devclient.settings import windows
from devclient.settings.windows import DAYS, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

BERLIN = ZoneInfo("Europe/Berlin")
EVERY_DAY = frozenset(DAYS.values())
SATURDAY = frozenset({DAYS["sat"]})
NIGHT = Window(time(22), time(4), EVERY_DAY, BERLIN)

_wall = st.times().map(lambda at: at.replace(second=0, microsecond=0))
_zones = st.sampled_from([None, BERLIN, *map(ZoneInfo, ("Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"))])
_windows = st.builds(Window, _wall, _wall, st.frozensets(st.integers(0, 6), min_size=1), _zones)
_moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as asked


def berlin(text: str, fold: int = 0) -> datetime:
    """Read a time on a clock in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


@pytest.fixture
def home() -> Iterator[None]:
    """A device in New York."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    system_time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    system_time.tzset()


@pytest.mark.parametrize(
    ("now", "closes"),
    [
        ("2026-11-27T21:59:59", None),
        ("2026-11-27T22:00:00", "2026-11-28T04:00:00"),
        ("2026-11-28T00:00:00", "2026-11-28T04:00:00"),
        ("2026-11-28T03:59:59", "2026-11-28T04:00:00"),
        ("2026-11-28T04:00:00", None),
    ],
)
def test_a_window_reaches_across_midnight(now: str, closes: str | None) -> None:
    """It is open from its beginning on, and at its end no more."""
    assert windows.open_until([NIGHT], berlin(now)) == (berlin(closes) if closes else None)


def test_a_window_belongs_to_the_day_on_which_it_opens() -> None:
    """That of Saturday lasts into Sunday, and there is none from Friday into Saturday."""
    window = Window(time(22), time(4), SATURDAY, BERLIN)

    assert windows.open_until([window], berlin("2026-11-28T03:00:00")) is None
    assert windows.open_until([window], berlin("2026-11-29T03:00:00")) == berlin("2026-11-29T04:00:00")
    assert windows.next_opening([window], berlin("2026-11-29T03:00:00")) == berlin("2026-12-05T22:00:00")


def test_equal_times_make_a_whole_day() -> None:
    """From midnight to midnight is a day, not nothing."""
    window = Window(time(), time(), SATURDAY, BERLIN)

    assert windows.open_until([window], berlin("2026-11-28T23:59:59")) == berlin("2026-11-29T00:00:00")
    assert windows.open_until([window], berlin("2026-11-29T00:00:00")) is None


def test_of_several_open_windows_the_last_one_closes() -> None:
    """And of several to come the first one opens."""
    late = Window(time(3), time(5), EVERY_DAY, BERLIN)

    assert windows.open_until([NIGHT, late], berlin("2026-11-28T03:30:00")) == berlin("2026-11-28T05:00:00")
    assert windows.next_opening([NIGHT, late], berlin("2026-11-28T05:00:00")) == berlin("2026-11-28T22:00:00")


def test_without_windows_none_opens() -> None:
    """Whoever has none needs none."""
    assert windows.open_until([], berlin("2026-11-28T05:00:00")) is None
    assert windows.next_opening([], berlin("2026-11-28T05:00:00")) is None


@pytest.mark.parametrize(
    ("start", "end", "opens", "closes"),
    [
        # on 29 March 2026 the clocks of Berlin go from 2:00 to 3:00
        (time(2), time(2, 30), "2026-03-29T03:00:00", "2026-03-29T03:30:00"),
        (time(2, 30), time(3), "2026-03-29T03:30:00", "2026-03-29T04:00:00"),
        (time(1), time(4), "2026-03-29T01:00:00", "2026-03-29T04:00:00"),
    ],
)
def test_where_the_clocks_go_forward_a_window_opens_all_the_same(
    start: time, end: time, opens: str, closes: str
) -> None:
    """One in the hour that is left out comes later; none is missed."""
    window = Window(start, end, EVERY_DAY, BERLIN)

    assert windows.next_opening([window], berlin("2026-03-29T00:59:00")) == berlin(opens)
    assert windows.open_until([window], berlin(opens)) == berlin(closes)
    assert windows.open_until([window], berlin(closes)) is None


def test_where_the_clocks_go_back_a_window_opens_once() -> None:
    """On 25 October 2026 it is 2:30 twice in Berlin, and the second time is no new beginning."""
    window = Window(time(2, 15), time(2, 45), EVERY_DAY, BERLIN)

    assert windows.open_until([window], berlin("2026-10-25T02:30:00")) == berlin("2026-10-25T02:45:00")
    assert windows.open_until([window], berlin("2026-10-25T02:30:00", fold=1)) is None
    assert windows.next_opening([window], berlin("2026-10-25T02:30:00")) == berlin("2026-10-26T02:15:00")


def test_without_a_zone_it_is_the_devices_own(home: None) -> None:
    """In New York it is five hours earlier than in Greenwich, and in summer four."""
    window = Window(time(22), time(4), EVERY_DAY)

    assert windows.next_opening([window], datetime(2026, 11, 27, 12, tzinfo=UTC)) == datetime(
        2026, 11, 28, 3, tzinfo=UTC
    )
    assert windows.next_opening([window], datetime(2026, 7, 27, 12, tzinfo=UTC)) == datetime(2026, 7, 28, 2, tzinfo=UTC)


def test_zones_are_known_where_the_system_knows_none() -> None:
    """Small systems leave them out; the device's own packages bring them."""
    code = "from zoneinfo import ZoneInfo; print(ZoneInfo('Europe/Berlin'))"

    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONTZPATH": ""}, capture_output=True, text=True, check=True
    )

    assert done.stdout == "Europe/Berlin\n"


@given(window=_windows, now=_moments)
def test_a_window_opens_within_eight_days_and_then_is_open(window: Window, now: datetime) -> None:
    """Whatever its times, its days and its zone: each week it comes, and stays for more than nothing."""
    opens = windows.next_opening([window], now)

    assert opens is not None
    assert now < opens <= now + timedelta(days=8)
    closes = windows.open_until([window], opens)
    assert closes is not None
    assert opens < closes <= opens + timedelta(hours=26)
    assert windows.open_until([window], closes - timedelta(microseconds=1)) is not None
