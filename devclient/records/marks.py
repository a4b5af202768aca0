"""What a device remembers against releases: those that failed here, and plans that were cut off too often.

Kept in slots, so that a failure can be marked on a full disk. The oldest marks make room for new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from devclient.errors import JournalError
from devclient.records.slots import DamagedError, Slots
from mirror.trust import moment, time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mirror.files import Files

PATIENCE = 3
"""How many interruptions a plan may have before it waits."""
_FIRST_WAIT = timedelta(hours=1)
_LONGEST_WAIT = timedelta(days=1)
_SLOT = 64 * 1024
# so few and so short that they fit whatever the texts are: in JSON one character may take six bytes
_MOST = 50
_MOST_TEXT = 120


@dataclass(frozen=True)
class Wait:
    """A plan that is left alone for a while.

    Attributes:
        times: how often it was interrupted.
    """

    times: int
    until: datetime


class Marks:
    """The marks of one device."""

    def __init__(self, path: Path, files: Files) -> None:
        """Read the marks at `path`; what is damaged is forgotten.

        Raises:
            JournalError: a later version of otadevice wrote them.
        """
        self._slots = Slots(path, _SLOT, files)
        self._fields = _load(self._slots, path)

    @property
    def bad(self) -> Mapping[str, str]:
        """Why contents, by their hash, are not to be taken again."""
        return {content: mark["reason"] for content, mark in self._fields["bad"].items()}

    def listed(self) -> list[dict[str, str]]:
        """Tell all bad releases: content, package, version, reason, and when."""
        return [{"content": content, **mark} for content, mark in self._fields["bad"].items()]

    def wait(self, plan: str, now: datetime) -> Wait | None:
        """Tell whether a plan, named by its identity, has to wait; None if not."""
        mark = self._fields["interrupted"].get(plan)
        if mark is None or mark["times"] < PATIENCE:
            return None
        last = moment(mark["at"])
        # at most a day is left to wait, or the clock was set back and the wait means nothing
        until = last + min(_FIRST_WAIT * 2 ** min(mark["times"] - PATIENCE, 10), _LONGEST_WAIT)
        return Wait(mark["times"], until) if last <= now < until else None

    def prepare(self) -> None:
        """Allocate what marks need, as long as there is space."""
        if not self._slots.path.exists():
            self._write()

    def add_bad(self, content: str, package: str, version: str, reason: str, now: datetime) -> None:
        """Mark a content; again without effect."""
        if content not in self._fields["bad"]:
            mark = {"package": package, "version": version, "reason": reason[:_MOST_TEXT], "at": time(now)}
            self._fields["bad"] = _newest({**self._fields["bad"], content: mark})
            self._write()

    def count(self, plan: str, attempt: int, now: datetime) -> None:
        """Count an interruption of a plan; the same attempt again without effect."""
        mark = self._fields["interrupted"].get(plan, {"times": 0, "attempt": None})
        if mark["attempt"] != attempt:
            others = {name: other for name, other in self._fields["interrupted"].items() if name != plan}
            counted = {"times": mark["times"] + 1, "attempt": attempt, "at": time(now)}
            self._fields["interrupted"] = _newest({**others, plan: counted})
            self._write()

    def forget(self, plan: str) -> None:
        """Forget the interruptions of a plan that has come through."""
        if self._fields["interrupted"].pop(plan, None):
            self._write()

    def clear(self, package: str | None = None) -> list[dict[str, str]]:
        """Forget the bad releases of a package, or of all, and every interruption; returns what was forgotten."""
        gone = [mark for mark in self.listed() if package in (None, mark["package"])]
        kept = {name: mark for name, mark in self._fields["bad"].items() if package not in (None, mark["package"])}
        if gone or self._fields["interrupted"]:
            self._fields |= {"bad": kept, "interrupted": {}}
            self._write()
        return gone

    def _write(self) -> None:
        fields = {**self._fields, "sequence": self._fields["sequence"] + 1}
        self._slots.save(fields)
        self._fields = fields


def _load(slots: Slots, path: Path) -> dict[str, Any]:
    fields: dict[str, Any] = {"format": 1, "sequence": 0, "bad": {}, "interrupted": {}}
    try:
        fields |= slots.load() or {}
    except DamagedError:
        # it is only memory: at worst a release is tried once more
        return fields
    if fields["format"] > 1:
        raise JournalError(path, "was written by a later version of otadevice: use that one")
    return fields


def _newest(marks: dict[str, Any]) -> dict[str, Any]:
    return dict(list(marks.items())[-_MOST:])
