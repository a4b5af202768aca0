"""Whether time has passed, for a device whose clock may stand still, jump, or begin at 1970 with each boot.

Two clocks are asked: the system's, and the time since the boot. It is enough if one of them says so; a moment in the
future says nothing, so that whatever waits for it to pass waits no longer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from devclient.orphans import boot_id
from devclient.trust.clock import BUILT
from mirror import trust

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86_400


@dataclass(frozen=True)
class Instant:
    """A moment by both clocks.

    Attributes:
        clock: what the system's clock said.
        uptime: seconds since the boot, those asleep included.
        boot: the id of that boot.
    """

    clock: datetime
    uptime: float
    boot: str

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"clock": trust.time(self.clock), "uptime": int(self.uptime), "boot": self.boot}


def parse(fields: Any) -> Instant:
    """Read what `Instant.fields` gave.

    Raises:
        ValueError: it is something else.
    """
    try:
        return Instant(trust.moment(fields["clock"]), float(int(fields["uptime"])), str(fields["boot"]))
    except (KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"not a moment: {error}") from error


def system_clock() -> datetime:
    """Return what the system's clock says."""
    return datetime.now(UTC)


def instant(now: Callable[[], datetime] = system_clock) -> Instant:
    """Return this moment, by the clock that is given and the uptime."""
    return Instant(now(), time.clock_gettime(time.CLOCK_BOOTTIME), boot_id())


def passed(since: Instant, now: Instant, seconds: float) -> bool:
    """Return whether a clock has seen so many seconds pass."""
    by_clock = (now.clock - since.clock).total_seconds()
    by_uptime = now.uptime - since.uptime if now.boot == since.boot else 0
    return max(by_clock, by_uptime) >= seconds


def over(since: Instant | None, now: Instant, seconds: float) -> bool:
    """Return whether so many seconds may have passed: also if `since` is in the future, or nobody can know.

    Nobody can where the device was booted meanwhile and its clock shows a time before this program was built.
    """
    if since is None or now.clock < since.clock:
        return True
    return passed(since, now, seconds) or (now.boot != since.boot and now.clock < BUILT)
