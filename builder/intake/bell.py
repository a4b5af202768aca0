"""A bell that wakes the watch: rung from other threads and from signal handlers."""

from __future__ import annotations

import queue


class Bell:
    """Waits for a ring or for time to pass; once it was stopped, it waits no more."""

    def __init__(self) -> None:
        # put() of a SimpleQueue may interrupt itself, which a signal handler does; an Event's set() may not
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False

    def ring(self) -> None:
        """Wake who waits; rings that nobody waits for are kept as one."""
        self._rings.put(None)

    def stop(self) -> None:
        """Wake who waits, for good."""
        self._stopped = True
        self.ring()

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, for at most `seconds`; tells whether it is time to stop."""
        try:
            if not self._stopped:
                self._rings.get(timeout=seconds)
            while True:
                self._rings.get_nowait()
        except queue.Empty:
            return self._stopped
