"""How slow a client may be, whether it sends or reads: one rule for both."""

from __future__ import annotations


class Allowance:
    """The time for which a client may still be waited for.

    It is `silence_seconds` at most. Waiting uses it up, and what the client takes or sends fills it again: so it may do
    nothing for that long, and may not stay below `min_bytes_per_second` for long; 0 is no least rate.

    Attributes:
        seconds: how much of it is left.
    """

    def __init__(self, silence_seconds: float, min_bytes_per_second: float) -> None:
        self._most = silence_seconds
        self._rate = min_bytes_per_second
        self.seconds = silence_seconds

    def use(self, waited: float, moved: int) -> None:
        """Count so many seconds of waiting, and the bytes that moved meanwhile."""
        self.seconds -= waited
        if moved:
            self.seconds = min(self._most, self.seconds + moved / self._rate) if self._rate else self._most

    def refill(self) -> None:
        """Begin anew: nothing is owed by the client."""
        self.seconds = self._most
