"""What time it is, for a device whose clock may stand at 1970 (contract, section 4).

Metadata expires, so a clock that is behind makes old metadata look fresh. The time that counts is the latest of three:
the system's clock, the time at which this program was built, and a floor, which is when the newest verified timestamp
was issued. A later one that says an earlier time puts right what a signer with a wrong clock has said; whether that is
taken is judged elsewhere. What a server says is never among the three.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

BUILT = datetime(2026, 11, 23, tzinfo=UTC)
"""No device that runs this program lives before this time; each release raises it."""

_DISAGREE = timedelta(days=1)
_USUAL_ERROR = timedelta(minutes=10)  # as much as signers forgive themselves
_USUAL, _LONGEST = timedelta(days=14), timedelta(days=365)  # lifetimes of timestamps


@dataclass(frozen=True)
class Floor:
    """A time that has been reached, as the newest timestamp said.

    Attributes:
        keys: ids of the keys that speak for timestamps by the root under which it was said.
        version: of that timestamp; None if it was not noted, as releases before did not.
    """

    reached: datetime
    keys: frozenset[str]
    version: int | None = None


def latest(system: datetime, floor: Floor | None) -> datetime:
    """Return the time, as far as a device can know."""
    return max(system, BUILT, floor.reached if floor else BUILT)


def follow(floor: Floor | None, issued: datetime | None, version: int, keys: frozenset[str]) -> Floor | None:
    """Return the floor once a timestamp is known and all that it leads to was believed."""
    if issued and (floor is None or issued >= floor.reached or puts_right(floor, issued, version)):
        return Floor(issued, keys, version)
    return replace(floor, keys=keys) if floor else None


def puts_right(floor: Floor | None, issued: datetime | None, version: int) -> bool:
    """Return whether a timestamp takes back the time that one before has said: the signer's clock was ahead."""
    if floor is None or floor.version is None or issued is None:
        return False
    return version > floor.version and issued < floor.reached


def is_ahead(floor: Floor | None, system: datetime) -> bool:
    """Return whether a device judges by the floor and not by its clock, by more than clocks differ anyway."""
    return floor is not None and floor.reached > max(system, BUILT) and floor.reached - system > _USUAL_ERROR


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
