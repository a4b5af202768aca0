"""The plan that is being carried out, what belongs to its places, and the last plan that was committed.

Three files in the work folder. What belongs to the places is known only once all is laid out, so it is no part of the
plan, which the journal names by its hash and which never changes; nor would releases before this one understand it.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from devclient import plan
from devclient.plan import Laid, Parent, Surroundings
from mirror import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devclient.plan import Plan
    from mirror.files import Files


class Plans:
    """The plans in one work folder, which `files` writes."""

    def __init__(self, work: Path, files: Files) -> None:
        self._work = work
        self._current, self._last = work / "plan.json", work / "last.json"
        self._places = work / "places.json"
        self.files = files

    def write(self, planned: Plan) -> str:
        """Write the plan that is about to be carried out, durably; returns its hash."""
        raw = planned.encode()
        self.files.make_folder(self._work)
        self.files.replace(self._current, raw, mode=0o600)
        return canonical.digest(raw)

    def load(self, sha256: str) -> Plan | None:
        """Return the plan with this hash; None if it is not here."""
        for path in (self._current, self._last):
            if path.is_file() and canonical.digest(raw := path.read_bytes()) == sha256:
                return plan.parse(raw)
        return None

    def note(self, planned: Plan, places: Mapping[str, Surroundings]) -> None:
        """Write down, durably, what belongs to the places of the plan that is being carried out."""
        fields = {
            "plan": canonical.digest(planned.encode()),
            "places": {package: dataclasses.asdict(each) for package, each in places.items()},
        }
        self.files.replace(self._places, (json.dumps(fields, indent=2) + "\n").encode(), mode=0o600)

    def places(self, planned: Plan) -> dict[str, Surroundings]:
        """Return what was noted of a plan, by package; nothing if nothing was, as by the releases before this one."""
        try:
            fields = json.loads(self._places.read_bytes())
            if fields["plan"] != canonical.digest(planned.encode()):
                return {}
            return {package: _surroundings(each) for package, each in fields["places"].items()}
        except (OSError, KeyError, RecursionError, TypeError, ValueError):
            return {}  # spoilt by the disk: the update has to come to its end all the same

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
            self.files.rename(self._current, self._last)
        # also if it was: whoever renamed it may have been killed before this
        self.files.sync_folder(self._work)

    def forget(self) -> None:
        """Forget the plan, if it is not the last committed one, and what belongs to its places: it is over."""
        self.files.remove(self._current)
        self.files.remove(self._places)

    def forget_last(self) -> None:
        """Forget the last committed update: it is undone, or cannot be undone any more."""
        self.files.remove(self._last)


def _surroundings(fields: Mapping[str, Any]) -> Surroundings:
    new, old = (fields[side] and Laid(**fields[side]) for side in ("new", "old"))
    return Surroundings(Parent(**fields["parent"]), new, old, fields["laid_out"])
