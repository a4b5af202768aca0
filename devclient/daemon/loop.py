"""The daemon's life: wait, poll, say what came of it, until it shall stop or another otadevice takes over.

All that it decides is when. Times are seconds of a clock that also counts while the device sleeps; only maintenance
windows are about the time of day. Each decision is one line of the log, and the same one twice is said once.
"""

from __future__ import annotations

import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from devclient import gate
from devclient.daemon.visit import content
from devclient.errors import SettingsError
from devclient.held_errors import InhibitedError, WindowError
from devclient.settings import windows

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from devclient.daemon.schedule import Schedule
    from devclient.daemon.visit import Visit
    from devclient.settings.config import Settings

_log = logging.getLogger(__name__)


class Service(Protocol):
    """Whoever has started the daemon."""

    stopping: bool
    reloading: bool

    def wait(self, seconds: float) -> None:
        """Sleep for at most so long."""

    def is_ready(self, status: str) -> None:
        """Be told that starting, or reading the settings again, is done."""

    def tell(self, status: str) -> None:
        """Be told what goes on."""


class Work(Protocol):
    """What a daemon does when it does something."""

    def visit(self, settings: Settings, itself: str | None) -> Visit:
        """Poll once; `itself` is the content of the package that we are."""

    def arrive(self, settings: Settings) -> bool:
        """Say that we are up; tell whether that could be said."""

    def least_wait(self, settings: Settings) -> float:
        """Tell for how many seconds mirrors do not want to be polled yet."""


class Daemon:
    """One life of the daemon."""

    def __init__(
        self,
        load: Callable[[], Settings],
        work: Work,
        service: Service,
        schedule: Schedule,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """Prepare a life.

        Args:
            load: reads the settings.
            work: what there is to do.
            service: whoever has started us.
            schedule: decides how long to wait.
            clock: tells seconds, only ever forward.
            now: tells the time of day, in UTC.
        """
        self._load, self._work, self._service = load, work, service
        self._schedule, self._clock, self._now = schedule, clock, now
        self._settings = load()
        self._itself = content(self._settings)
        self._said = ""
        self._held = ""
        self._window_from: datetime | None = None
        self._due, self._not_before = 0.0, self._clock() + work.least_wait(self._settings)
        self._busy = self._has_arrived = False

    def run(self) -> None:
        """Live; the end is that of a stop or of making way, and both are as they should be."""
        wait = self._schedule.first(self._settings.daemon)
        self._due = self._clock() + wait
        self._service.is_ready(f"polls in {_span(self._left())}")
        _log.info("otadevice is up, and polls in %s", _span(self._left()))
        while self._sleep():
            found = self._work.visit(self._settings, self._itself)
            self._say(found)
            if found.leaves or self._service.stopping:
                return
            self._plan(found)

    def _sleep(self) -> bool:
        """Sleep until the next poll is due; tell whether to poll, and not to stop."""
        while not self._service.stopping:
            self._has_arrived = self._has_arrived or self._work.arrive(self._settings)
            if self._service.reloading:
                self._reload()
            left = self._left()
            if left <= 0:
                return True
            self._service.wait(left)
        return False

    def _left(self) -> float:
        """Tell for how many seconds there is nothing to do, as far as can be seen now."""
        now = self._clock()
        if not self._busy and self._is_replaced():
            return 0
        # what has become possible here is no reason to ask mirrors sooner than they want
        return max(self._not_before - now, min(self._due - now, self._until_possible()))

    def _is_replaced(self) -> bool:
        current = content(self._settings)
        if self._itself is None:  # it could not be told before
            self._itself = current
        return current is not None and current != self._itself

    def _until_possible(self) -> float:
        """Tell in how many seconds what is held may be installed, as far as that can be told."""
        settings = self._settings.daemon
        if self._held == InhibitedError.code and not gate.inhibited(settings):
            return 0
        if self._held != WindowError.code or self._window_from is None:
            return math.inf
        # by the time of day, however often that is set meanwhile
        now = self._now()
        until = (self._window_from - now).total_seconds()
        return until if until > 0 or windows.open_until(settings.windows, now) else math.inf

    def _plan(self, found: Visit) -> None:
        """Decide when to poll next."""
        settings = self._settings.daemon
        if found.busy:
            wait = self._schedule.soon(settings)
        elif found.failed:
            wait = max(found.least, min(self._schedule.after_failure(settings, found.least), self._share_of_window()))
        else:
            wait = self._schedule.after_success(settings, found.least)
        self._busy = found.busy
        self._held = self._still_held() if found.busy or found.failed else found.held
        self._window_from = self._next_window() if self._held == WindowError.code else None
        self._due, self._not_before = self._clock() + wait, self._clock() + found.least
        self._service.tell(f"{found.text}; polls again in {_span(self._left())}")

    def _still_held(self) -> str:
        """Tell what is held after a poll that found nothing out: what was possible already is tried when it is due."""
        is_free = self._held == InhibitedError.code and not gate.inhibited(self._settings.daemon)
        return "" if is_free else self._held

    def _share_of_window(self) -> float:
        """Tell how long to wait in an open window for which something has waited: so that a failure is not the end."""
        now, settings = self._now(), self._settings.daemon
        closes = windows.open_until(settings.windows, now) if self._held == WindowError.code else None
        return max((closes - now).total_seconds() / 4, self._schedule.soon(settings)) if closes else math.inf

    def _next_window(self) -> datetime | None:
        """Tell from when on to use the next maintenance window: devices that share it do not all come at once."""
        settings = self._settings.daemon
        opens = windows.next_opening(settings.windows, self._now())
        closes = windows.open_until(settings.windows, opens) if opens else None
        if opens is None or closes is None:
            return None
        return opens + timedelta(seconds=self._schedule.into((closes - opens).total_seconds(), settings))

    def _reload(self) -> None:
        """Read the settings again; those that are not usable change nothing."""
        self._service.reloading = False
        try:
            settings = self._load()
        except SettingsError as error:
            _log.error("%s; the settings that were read before stay in force", error)
        else:
            if settings.work != self._settings.work:
                _log.error("the work folder cannot be changed while otadevice runs: start it anew")
            else:
                if settings.itself != self._settings.itself:
                    self._itself = content(settings)
                self._settings = settings
                self._due = min(self._due, self._clock() + self._schedule.first(settings.daemon))
                _log.info("the settings were read again")
        self._service.is_ready(f"polls in {_span(self._left())}")

    def _say(self, found: Visit) -> None:
        if found.text != self._said:
            self._said = found.text
            level = logging.WARNING if found.exit_code not in {0, 75} else logging.INFO
            _log.log(level, "%s", found.text, exc_info=found.bug)


def _span(seconds: float) -> str:
    """Write a span of time for people."""
    return f"{max(seconds, 0):.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
