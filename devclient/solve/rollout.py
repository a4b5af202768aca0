"""When a release that is rolled out comes to this device: the rule, without any I/O (contract, section 3).

Each device has a place of its own in each rollout, and may start when the share of the fleet has passed it. What is
not of the form that this version knows keeps a release away: a device is careful, not careless.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mirror.trust import moment, time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devclient.records.identity import Identity

NEED = "rollout"
"""The word in `needs` of a release that is rolled out."""

_FLEET = 1000
_TICK = timedelta(microseconds=1)
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Turn:
    """What decides whether it is this device's turn; by default it never is.

    Attributes:
        secret: the device's secret, empty if it is not known: then its turn comes with the whole fleet's.
        now: the time, in UTC.
    """

    secret: bytes = field(default=b"", repr=False)
    now: datetime = _BEFORE_ALL


@dataclass(frozen=True)
class Rollout:
    """How a release reaches the fleet.

    Attributes:
        points: times and thousandths of the fleet, in order.
        held: whether those that have not started must not.
    """

    points: tuple[tuple[datetime, int], ...]
    held: bool

    def share(self, now: datetime) -> Fraction:
        """Tell the share of the fleet that may have started at `now`, from 0 to 1; nobody before the first point."""
        for (earlier, low), (later, high) in pairwise(self.points):
            if earlier <= now < later:
                passed = Fraction((now - earlier) // _TICK, (later - earlier) // _TICK)
                return (low + (high - low) * passed) / _FLEET
        last, share = self.points[-1]
        return Fraction(share, _FLEET) if last <= now else Fraction(0)


def turn(identity: Identity | None, now: datetime) -> Turn:
    """Make the turn of a device, which may have no identity yet."""
    return Turn(bytes.fromhex(identity.secret) if identity else b"", now)


def parse(fields: Mapping[str, Any]) -> Rollout:
    """Read what a release list says of a rollout; keys that are not known do not matter.

    Raises:
        ValueError: it is not of the contract's form.
    """
    points, held = fields.get("points"), fields.get("held")
    if not isinstance(points, list) or not points:
        raise ValueError("points is not a list of them")
    if not isinstance(held, bool):
        raise ValueError("held is neither true nor false")  # noqa: TRY004 - one error for all
    read = tuple(_point(each) for each in points)
    if any(earlier > later for (earlier, _), (later, _) in pairwise(read)):
        raise ValueError("points are not in the order of their times")
    return Rollout(read, held)


def place(secret: bytes, content: str) -> Fraction:
    """Tell a device's place in the rollout of a release, from 0 to less than 1.

    Args:
        secret: the device's.
        content: the SHA-256 of the release's content.json, in hex.
    """
    digest = hashlib.sha256(secret + bytes.fromhex(content)).digest()
    return Fraction(int.from_bytes(digest[:8], "big"), 1 << 64)


def refusal(fields: Mapping[str, Any], content: str, turn: Turn) -> str:
    """Say why a release may not come yet; nothing if it may.

    Args:
        fields: its `rollout` in the release list.
        content: the SHA-256 of its content.json, in hex.
        turn: whose turn it is about.
    """
    try:
        rollout = parse(fields)
    except ValueError as error:
        return f"has a rollout that this version of otadevice does not understand: {error}"
    share, here = rollout.share(turn.now), place(turn.secret, content) if turn.secret else None
    if rollout.held:
        return f"is held at {_percent(math.floor(share * _FLEET))} of the fleet, {_place_in_words(here)}"
    if share == 1 or (here is not None and here < share):
        return ""
    first = rollout.points[0][0]
    if turn.now < first:
        return f"is rolled out from {time(first)} on, {_place_in_words(here)}"
    return f"is rolled out to {_percent(math.floor(share * _FLEET))} of the fleet so far, {_place_in_words(here)}"


def _point(value: object) -> tuple[datetime, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{value!r} is not a point, a time and thousandths of the fleet")
    at, share = moment(value[0]), value[1]
    if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= _FLEET:
        raise ValueError(f"{share!r} is not a number from 0 to {_FLEET}")
    return at, share


def _place_in_words(here: Fraction | None) -> str:
    if here is None:
        return "and this device's place is not known: its secret, which the first update makes, cannot be read"
    # rounded up, as shares are rounded down: so a place that was not reached does not look as if it was
    return f"this device comes at {_percent(math.ceil(here * _FLEET))}"


def _percent(thousandths: int) -> str:
    return f"{thousandths // 10}.{thousandths % 10} %"
