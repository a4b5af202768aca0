"""When a device polls next; all times in seconds.

Waits are spread by chance, so that a fleet that was set up, switched on or cut off together does not ask together.
After failures they double. What servers ask for is the least, and spread above it. No clock is read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from devclient.settings.config import Daemon

_SPREAD_AT_START = 60.0
_FIRST_RETRY = 60.0
"""How soon to ask again as long as no poll has succeeded since the start: the network may not be up yet."""
_SOON = 60.0
_MOST_DOUBLINGS = 30


class Schedule:
    """The waits of one daemon, one after the other."""

    def __init__(self, chance: Callable[[], float]) -> None:
        """Start a schedule; `chance` gives a number from 0 to 1, another one each time."""
        self._chance = chance
        self._failures = 0
        self._has_succeeded = False

    def first(self, settings: Daemon) -> float:
        """Return the wait before the first poll: short, because somebody has just started this device."""
        return self._chance() * min(_SPREAD_AT_START, settings.interval * settings.jitter)

    def after_success(self, settings: Daemon, least: float) -> float:
        """Return the wait after a poll that came through; servers want it to be at `least` so long."""
        self._failures, self._has_succeeded = 0, True
        return self._spread(settings.interval, least, settings.jitter)

    def after_failure(self, settings: Daemon, least: float) -> float:
        """Return the wait after a poll that did not reach its mirror."""
        half = settings.interval / 2
        first = half if self._has_succeeded else min(half, _FIRST_RETRY)
        wait = min(first * 2 ** min(self._failures, _MOST_DOUBLINGS), settings.backoff)
        self._failures += 1
        return self._spread(wait, least, settings.jitter)

    def soon(self, settings: Daemon) -> float:
        """Return the wait before trying again what something on this device has kept from being tried."""
        return self._spread(min(_SOON, settings.interval), 0, settings.jitter)

    def into(self, seconds: float, settings: Daemon) -> float:
        """Return how long after its beginning to use a time that lasts so many seconds: in its first quarter."""
        return self._chance() * min(seconds / 4, settings.interval) * settings.jitter

    def _spread(self, wait: float, least: float, jitter: float) -> float:
        low = max(wait * (1 - jitter), least)
        high = max(wait * (1 + jitter), least * (1 + jitter))
        return low + (high - low) * self._chance()
