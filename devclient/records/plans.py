"""The plan that is being carried out, and the last one that was committed: two files in the work folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient import plan
from mirror import canonical

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.plan import Plan
    from mirror.files import Files


class Plans:
    """The plans in one work folder."""

    def __init__(self, work: Path, files: Files) -> None:
        self._work = work
        self._current, self._last = work / "plan.json", work / "last.json"
        self._files = files

    def write(self, planned: Plan) -> str:
        """Write the plan that is about to be carried out, durably; returns its hash."""
        raw = planned.encode()
        self._files.make_folder(self._work)
        self._files.replace(self._current, raw, mode=0o600)
        return canonical.digest(raw)

    def load(self, sha256: str) -> Plan | None:
        """Return the plan with this hash; None if it is not here."""
        for path in (self._current, self._last):
            if path.is_file() and canonical.digest(raw := path.read_bytes()) == sha256:
                return plan.parse(raw)
        return None

    @property
    def last(self) -> Plan | None:
        """The last committed update, as long as it can be undone."""
        try:
            return plan.parse(self._last.read_bytes())
        except (OSError, ValueError):
            return None  # it is only there to be undone

    def commit(self) -> None:
        """Make the plan the last committed one; without effect if it is."""
        if self._current.exists():
            self._files.rename(self._current, self._last)
        # also if it was: whoever renamed it may have been killed before this
        self._files.sync_folder(self._work)

    def forget(self) -> None:
        """Forget the plan: it is over, and nothing has changed."""
        self._files.remove(self._current)

    def forget_last(self) -> None:
        """Forget the last committed update: it is undone, or cannot be undone any more."""
        self._files.remove(self._last)
