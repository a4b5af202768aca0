"""Hints that something happened in the inbox, so that a pass need not wait for the next scan.

Only hints: an event may be missed (the kernel's queue is bounded), come late or twice. The scan finds everything.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from watchdog.events import EVENT_TYPE_CLOSED_NO_WRITE, EVENT_TYPE_OPENED, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

_OURS = frozenset({EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE})
"""What reading causes: a pass over the inbox would wake the next one for ever."""


@contextlib.contextmanager
def watching(inbox: Path, ring: Callable[[], None], *, poll_seconds: float | None) -> Iterator[None]:
    """Call `ring`, from another thread, whenever something changes in the inbox itself.

    Args:
        inbox: the folder.
        ring: what to call.
        poll_seconds: list the folder so often instead of asking the kernel, as network mounts need it.
    """
    observer = Observer() if poll_seconds is None else PollingObserver(timeout=poll_seconds)
    observer.schedule(Ringer(ring), str(inbox))
    try:
        observer.start()
    except OSError as error:
        logger.warning("no events from %s, it is scanned only: %s", inbox, error.strerror)
        yield
        return
    try:
        yield
    finally:
        observer.stop()
        observer.join()


class Ringer(FileSystemEventHandler):
    """Calls `ring` for every event that a pass over the inbox does not cause itself."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Ring, unless somebody only read."""
        if event.event_type not in _OURS:
            self._ring()
