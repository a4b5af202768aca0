"""What time it is, for a device whose clock may stand at 1970.

Metadata expires, so a clock that is behind makes old metadata look fresh. The time that counts is the latest of three:
the system's clock, the time at which this program was built, and a floor, which only a verified timestamp raises.
What a server says is never among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

BUILT = datetime(2026, 11, 23, tzinfo=UTC)
"""No device that runs this program lives before this time; each release raises it."""

_DISAGREE = timedelta(days=1)
_USUAL, _LONGEST = timedelta(days=14), timedelta(days=365)  # lifetimes of timestamps


@dataclass(frozen=True)
class Floor:
    """A time that has been reached, as a timestamp said.

    Attributes:
        keys: ids of the keys that speak for timestamps by the root under which it was said.
    """

    reached: datetime
    keys: frozenset[str]


def latest(system: datetime, floor: Floor | None) -> datetime:
    """Tell the time, as far as a device can know."""
    return max(system, BUILT, floor.reached if floor else BUILT)


def raised(floor: Floor | None, issued: datetime | None, keys: frozenset[str]) -> Floor | None:
    """Raise the floor to when a timestamp was issued; other keys start it anew, whatever it was.

    Whoever steals a timestamp's key can put the floor into the future. A root with other keys takes that back.
    """
    kept = floor if floor and floor.keys == keys else None
    if issued is None or (kept and kept.reached >= issued):
        return kept
    return Floor(issued, keys)


def disagree(system: datetime, other: datetime) -> bool:
    """Tell whether the system's clock is so far ahead of another that one of them must be wrong."""
    return system - other > _DISAGREE


def worries_from(issued: datetime | None, expires: datetime, *others: datetime) -> datetime:
    """Tell from when on silence is not taken for "nothing new": a quarter of a timestamp's lifetime before an expiry.

    A mirror signs anew before two thirds of the lifetime have passed. If it is late, everything is asked for again.

    Args:
        issued: when the timestamp was issued; None counts as two weeks before it expires.
        expires: when it expires.
        others: when else something expires.
    """
    lifetime = min(expires - issued, _LONGEST) if issued else _USUAL
    return max(min(expires, *others), BUILT) - lifetime / 4
