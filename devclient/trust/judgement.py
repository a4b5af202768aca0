"""By which time an attempt is judged, and what follows from that (contract, section 4, "The clock floor").

A device without a clock lives by the floor, so whoever signs timestamps can lead it into the future. Two things lead it
back: a root that replaces their keys, and they themselves, by a newer timestamp that says an earlier time. Then all is
judged anew by that time, from nothing, and nothing is kept unless all of it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient.trust import clock, standing
from devclient.trust.clock import Floor
from devclient.trust_errors import ClockSuspectError, ExpiredByFloorError, ExpiredError
from mirror import trust
from mirror.errors import OTAError

if TYPE_CHECKING:
    from datetime import datetime

    from devclient.trust.attempt import Attempt
    from devclient.trust.judge import Judge
    from devclient.trust.known_state import KnownState
    from devclient.trust.standing import Standing


def judged(attempt: Attempt, known: KnownState, system: datetime) -> Judge:
    """Refresh from what is known, by the time that counts; what is accepted is not yet taken over, but for roots.

    Args:
        attempt: at which URL.
        known: what it builds on.
        system: what the system's clock shows.

    Raises:
        ClockSuspectError: it has expired, if this device's clock is right.
        ExpiredByFloorError: it has expired, and this device's clock is not asked about that.
        DeviceError: as `Attempt.refresh`.
    """
    try:
        return _judged(attempt, known, system)
    except ExpiredError as error:
        raise explained(error, attempt, known, system) from error


def explained(error: ExpiredError, attempt: Attempt, known: KnownState, system: datetime, path: str = "") -> OTAError:
    """Return what it means that something has expired, the list at `path` if there is one."""
    date, floor = attempt.fetcher.date, known.floor
    # what the server takes for the time serves no other purpose
    if date and clock.disagree(system, date) and _would_hold(attempt, known, clock.latest(date, floor), path):
        return ClockSuspectError(error.url, system, date)
    if floor and clock.is_ahead(floor, system) and not _has_expired_by(error, clock.latest(system, None)):
        return ExpiredByFloorError(error, trust.time(floor.reached), trust.time(system))
    return error


def _judged(attempt: Attempt, known: KnownState, system: datetime) -> Judge:
    floor, judge, refusal = known.floor, None, None
    try:
        judge = attempt.refresh(known.folder, clock.latest(system, floor))
    except OTAError as error:
        refusal = error
    known.keep_roots(attempt)
    if said := _puts_right(attempt, known):
        return _anew(attempt, known, clock.latest(system, said))
    if judge:
        return judge
    if isinstance(refusal, ExpiredError) and floor and known.floor is None:
        # the root has other keys for timestamps now: what the old ones said of the time is void
        return attempt.refresh(known.folder, clock.latest(system, None))
    raise refusal or RuntimeError("neither judged nor refused")


def _puts_right(attempt: Attempt, known: KnownState) -> Floor | None:
    """Return the floor by a newer timestamp that says an earlier time, if such a one came."""
    came = attempt.fetcher.timestamp
    found: Standing | None = standing.read(attempt.newest_root, came.data or b"") if came else None
    if found and found.issued and clock.puts_right(known.floor, found.issued, found.timestamp):
        return Floor(found.issued, found.keys, found.timestamp)
    return None


def _anew(attempt: Attempt, known: KnownState, now: datetime) -> Judge:
    """Judge all anew, by an earlier time than before."""
    attempt.refresh(known.folder, now)  # no version falls, whatever time it is
    judge = attempt.refresh(known.folder, now, roots_alone=True)
    for path in known.vouched_paths():
        judge.target(path)
    return judge


def _would_hold(attempt: Attempt, known: KnownState, now: datetime, path: str) -> bool:
    """Try what would be if it were `now`, as a device that knows nothing but roots; and forget it again."""
    try:
        judge = attempt.refresh(known.folder, now, roots_alone=True)
        return not path or judge.target(path) is not None
    except OTAError:
        return False


def _has_expired_by(error: ExpiredError, now: datetime) -> bool:
    try:
        return trust.moment(error.since) < now
    except ValueError:
        return False
