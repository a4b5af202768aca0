"""How an update ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devclient.plan import Plan
    from devclient.records.journal import Cause


class Outcome(enum.StrEnum):
    """How an update ended."""

    UPDATED = "updated"
    POSTPONED = "postponed"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Done:
    """An update that has ended.

    Attributes:
        cause: why it was rolled back, if it was.
        output: the last output of the hook that failed.
        complaints: what went wrong besides, without changing the outcome.
    """

    plan: Plan
    cause: Cause | None
    output: str
    complaints: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        if self.cause is None:
            return Outcome.UPDATED
        return Outcome.POSTPONED if self.cause.code == "postponed" else Outcome.ROLLED_BACK
