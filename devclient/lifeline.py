"""What ties work that takes long to whoever started it: that waits for signs of life, and may want it to stop.

This is the lifeline of a command: nobody waits, and whoever wants it to stop kills it. The daemon has one of its own.
"""

from __future__ import annotations

from devclient.held_errors import StoppedError

_HOUR = 3600.0


class Lifeline:
    """A lifeline that leads to nobody.

    Attributes:
        every: the seconds that may pass between two signs of life.
        stopping: whether the work shall stop as soon as that is safe.
        wakes: a descriptor that is readable once it shall; None if it never will.
    """

    every: float = _HOUR
    stopping: bool = False
    wakes: int | None = None

    def beat(self) -> None:
        """Give a sign of life; called often."""

    def ask_for(self, seconds: float) -> None:
        """Say that starting, or stopping, will take so many seconds more."""

    def go_on(self) -> None:
        """Give a sign of life where stopping is safe.

        Raises:
            StoppedError: it shall stop.
        """
        self.beat()
        if self.stopping:
            raise StoppedError
