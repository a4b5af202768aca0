"""Maintenance windows: when a device may be updated by itself.

A window begins at a time of day, on some days of the week, in a time zone, and may reach across midnight. It opens
once on each of its days: where the clocks go back, at the first of two equal times; where they go forward over its
beginning, as much later, and it lasts as long as ever. Which clock is right is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from time import tzset
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

DAYS = {name: number for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_DAY = timedelta(days=1)
# a window may have begun the day before, and its day may come once a week
_LOOK_BACK, _LOOK_AHEAD = 2, 9


@dataclass(frozen=True)
class Window:
    """One maintenance window, every week.

    Attributes:
        start: when it opens, by a clock on the wall.
        end: when it closes; on the next day if that is not later than `start`.
        days: on which days it opens, Monday being 0.
        zone: where that clock hangs; None for the device's own time zone.
    """

    start: time
    end: time
    days: frozenset[int]
    zone: ZoneInfo | None = None

    def spans(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield when it opens and closes around `now` and in the week after, in UTC, in order."""
        if self.zone is None:
            tzset()  # its owner may have set another one since
        today = now.astimezone(self.zone).date()
        for days in range(-_LOOK_BACK, _LOOK_AHEAD):
            day = today + timedelta(days=days)
            if day.weekday() in self.days:
                yield self._span(day)

    def _span(self, day: date) -> tuple[datetime, datetime]:
        opens = datetime.combine(day, self.start)
        closes = datetime.combine(day if self.end > self.start else day + _DAY, self.end)
        start, end = self._instant(opens), self._instant(closes)
        # the clocks went forward over its beginning
        return (start, end) if start < end else (start, start + (closes - opens))

    def _instant(self, wall: datetime) -> datetime:
        # a time without a zone is taken for one of this device's
        return (wall.replace(tzinfo=self.zone) if self.zone else wall).astimezone(UTC)


def open_until(windows: Iterable[Window], now: datetime) -> datetime | None:
    """Tell when the window that is open at `now` closes, the last one if several are; None if none is."""
    closing = [end for window in windows for start, end in window.spans(now) if start <= now < end]
    return max(closing, default=None)


def next_opening(windows: Sequence[Window], now: datetime) -> datetime | None:
    """Tell when a window opens after `now`; None if there are no windows."""
    opening = [start for window in windows for start, _ in window.spans(now) if start > now]
    return min(opening, default=None)
