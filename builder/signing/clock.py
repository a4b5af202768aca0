"""The signer's clock: when it may sign, by what was signed before (contract, section 4).

Devices keep the time of the newest timestamp as a floor under their own clock. A timestamp from a future that was none
would make them take everything for expired, so a clock that jumps signs nothing until a person says that it is right.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from builder.errors import ClockError
from mirror import trust

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLERANCE = timedelta(minutes=10)
"""How far a clock may be behind the last timestamp; what is further ahead of a clock lies in the future."""


class Issue(NamedTuple):
    """When a timestamp was issued, and until when it holds."""

    issued: datetime
    expires: datetime


def issue(signed: Mapping[str, Any]) -> Issue | None:
    """Read when a timestamp was issued; None if it does not say."""
    expires = trust.moment(signed["expires"])
    issued = trust.issued(signed, expires)
    return Issue(issued, expires) if issued else None


def time_to_issue(now: datetime, last: Issue | None) -> datetime:
    """Return the time that a timestamp which is signed now was issued at: never before the last one.

    Raises:
        ClockError: the clock is further behind than one is put right by, or the last one has expired.
    """
    if last is None:
        return now
    if is_future(last.issued, now):
        raise ClockError(
            f"this machine's clock says {trust.time(now)}, but the last timestamp was signed at "
            f"{trust.time(last.issued)}, so nothing is signed and nothing published. Set the clock if it is wrong now. "
            "If it was wrong then, devices take nothing more until `otamirror resign --clock-is-right` has signed with "
            "the time of now; those of an older otadevice need a new key after it: `otamirror keys rotate timestamp`"
        )
    if now > last.expires:
        raise ClockError(
            f"this machine's clock says {trust.time(now)}, but the last timestamp was signed at "
            f"{trust.time(last.issued)} and held until {trust.time(last.expires)}: either the clock is ahead, and "
            "devices that saw its time would take nothing signed before it, so nothing is signed and nothing "
            "published; set the clock. Or nothing was signed for so long: then say so once, with "
            "`otamirror resign --clock-is-right`, or with `recover --clock-is-right` where the catalogue was lost"
        )
    return max(now, last.issued)


def is_future(issued: datetime, now: datetime) -> bool:
    """Return whether a timestamp was issued later than a clock that is nearly right can say."""
    return issued > now + TOLERANCE
