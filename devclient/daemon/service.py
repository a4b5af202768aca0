"""The daemon's lifeline: what whoever has started it wants of it, by signals, and is told, by notifications.

SIGTERM and SIGINT ask it to stop, SIGHUP to read its settings again. Signals do nothing but leave word: what happens
then, and when it is safe, is decided by whoever looks.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import TYPE_CHECKING, Any, Self

from devclient import orphans
from devclient.lifeline import Lifeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from devclient.daemon.notify import Manager

_LONGEST = 300.0
"""Seconds that the daemon sleeps at most: it looks whether anything has changed on this device."""


class Service(Lifeline):
    """The lifeline, while the context lasts.

    Attributes:
        reloading: whether the settings are to be read again.
    """

    def __init__(self, manager: Manager, clock: Callable[[], float]) -> None:
        self.manager = manager
        self.reloading = False
        # half of the time that the manager waits, as it advises
        self.every = min(_LONGEST, manager.watchdog / 2 or _LONGEST)
        self._clock = clock
        self._told = float("-inf")
        self._is_ready = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # two pipes: what was said to stop stays readable, so that whoever waits next finds it, too
        self.wakes, self._stop = os.pipe()
        self._woken, self._wake = os.pipe()
        for descriptor in (self._stop, self._wake, self._woken):
            os.set_blocking(descriptor, False)
        for number, handler in ((signal.SIGTERM, self._on_stop), (signal.SIGINT, self._on_stop)):
            self._handlers[number] = signal.signal(number, handler)
        self._handlers[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_reload)
        # as process 1 it wakes for children that it never started, and waits for them
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._on_child)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for descriptor in (self.wakes, self._stop, self._woken, self._wake):
            if descriptor is not None:
                os.close(descriptor)
        self.wakes = None

    def beat(self) -> None:
        """Give a sign of life, unless the last one is fresh."""
        now = self._clock()
        if self.manager.watchdog and now - self._told >= self.every / 2:
            self._told = now
            self.manager.alive()

    def ask_for(self, seconds: float) -> None:
        """Ask the manager for more time, as long as it waits for us to start or to stop."""
        if self.stopping or not self._is_ready:
            self.manager.extend(seconds)

    def is_ready(self, status: str) -> None:
        """Say that starting, or reading the settings again, is done."""
        self._is_ready = True
        self.manager.ready(status)

    def tell(self, status: str) -> None:
        """Say what goes on, for people."""
        self.manager.status(status)

    def wait(self, seconds: float) -> None:
        """Sleep at most so long, less if a signal comes, and never longer than a sign of life may take."""
        self.beat()
        orphans.reap()
        descriptors = [self._woken, *([] if self.wakes is None else [self.wakes])]
        select.select(descriptors, [], [], max(0.0, min(seconds, self.every / 2)))
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _on_stop(self, *_: object) -> None:
        self.stopping = True
        _leave_word(self._stop)

    def _on_reload(self, *_: object) -> None:
        self.reloading = True
        _leave_word(self._wake)

    def _on_child(self, *_: object) -> None:
        _leave_word(self._wake)


def _leave_word(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):  # it is full of words that nobody has read yet
        os.write(descriptor, b".")
