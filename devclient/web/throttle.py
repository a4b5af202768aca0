"""How fast a device takes what a server would give faster: its link may have better things to do.

After each block the next one waits until the rate has made up for it. Nothing is saved up, so over any time the bytes
are at most what the rate allows for it, and one block. Blocks are small, so that no wait is long and no server takes
the silence for the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_WAIT = 0.25
"""How long one sleep lasts at most, in seconds; a block is what the rate allows in that time."""


class Throttle:
    """A limit to the bytes a second that one device takes, from whomever; all times in seconds."""

    def __init__(self, rate: int, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """Set the limit.

        Args:
            rate: bytes a second, 0 for no limit.
            clock: tells the time, only ever forward.
            sleep: waits.
        """
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._due = 0.0

    def read(self, source: Callable[[int], bytes], most: int) -> bytes:
        """Call `source` with how many bytes it may return, at most `most`, once the bytes before them are paid for."""
        if not self._rate:
            return source(most)
        while (wait := self._due - self._clock()) > 0:
            self._sleep(min(wait, _WAIT))
        block = source(min(most, max(1, int(self._rate * _WAIT))))
        self._due = self._clock() + len(block) / self._rate
        return block
