"""What a device knows of a remote: the last complete state, on which each attempt builds, and what is noted of it.

Roots are taken over at once; timestamp, snapshot and targets only together and complete. A newer root takes away what
its keys do not vouch for: the known timestamp, and with it the floor under the clock that it has set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devclient.trust import attempt, clock, standing
from devclient.trust.notes import Behind, Notes
from mirror import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devclient.trust.attempt import Attempt
    from devclient.trust.clock import Floor
    from devclient.trust.elapsed import Instant
    from devclient.trust.judge import Judge
    from devclient.trust.memory import Memory
    from devclient.trust.standing import Standing

_TIMESTAMP = "timestamp.json"


class KnownState:
    """The last complete state of one remote.

    Attributes:
        folder: its metadata, as tuf names it; nobody writes there but this class.
        notes: what is noted of it.
    """

    def __init__(self, memory: Memory, folder: Path) -> None:
        """Know what is in `memory`, a copy of which is made in the empty `folder`."""
        self._memory = memory
        self.folder = folder
        self.notes: Notes = memory.notes()
        memory.lay_out(folder)

    @property
    def timestamp(self) -> bytes:
        """The timestamp; nothing if there is none."""
        return attempt.read(self.folder / _TIMESTAMP)

    @property
    def standing(self) -> Standing | None:
        """What it says; None if it is not the one that was verified last."""
        return self.notes.standing if self.notes.sha256 == canonical.digest(self.timestamp) else None

    @property
    def floor(self) -> Floor | None:
        """The time that was reached."""
        return self.notes.floor

    def keep_roots(self, tried: Attempt) -> None:
        """Take over the roots that tuf has accepted in an attempt, whatever became of the rest."""
        self._memory.keep_roots(tried.folder)
        attempt.share_roots(tried.folder, self.folder)
        if self._is_void_under(tried):
            self.notes = replace(self.notes, sha256="", floor=None)
            self._memory.forget_timestamp(self.notes)
            (self.folder / _TIMESTAMP).unlink(missing_ok=True)

    def accept(self, judge: Judge) -> bool:
        """Take over a complete state; return whether it is another one than before."""
        before, self.folder = self.notes.sha256, judge.folder
        root = attempt.read(judge.folder / attempt.NEWEST_ROOT)
        found, keys = standing.read(root, self.timestamp), standing.keys_of(root)
        if found is None:
            raise RuntimeError("tuf has accepted a timestamp that the root does not vouch for")
        floor = clock.follow(self.floor, found.issued, found.timestamp, keys)
        self.notes = Notes(canonical.digest(self.timestamp), found, floor)
        self.keep(judge)
        return before != self.notes.sha256

    def keep(self, judge: Judge) -> None:
        """Make durable what was accepted in the folder of a complete state, delegated roles too."""
        self._memory.keep(judge.folder, self.notes)

    def count_behind(self, url: str, version: int | None, now: Instant) -> Behind:
        """Note once more that nobody shows what is known, but something older."""
        before = self.notes.behind
        behind = Behind(before.since if before else now, (before.polls if before else 0) + 1, url, version)
        self.notes = replace(self.notes, behind=behind)
        self._memory.note(self.notes)
        return behind

    def vouched_paths(self) -> Iterator[str]:
        """Yield for each delegated role that was verified before the path of one list that it speaks for."""
        for file in sorted(self.folder.glob("*.json")):
            yield from attempt.paths_in(file.read_bytes())[:1]

    def _is_void_under(self, tried: Attempt) -> bool:
        """Return whether the newest root does not vouch for the known timestamp, as roots before did."""
        root = tried.newest_root
        if self.timestamp and standing.read(root, self.timestamp):
            return False
        roots = sorted((self.folder / attempt.HISTORY).glob("*.root.json"))
        if self.timestamp and any(standing.read(file.read_bytes(), self.timestamp) for file in roots):
            return True
        # it is lost, or damaged: what is left of it is whose keys have set the floor
        return self.floor is not None and not self.floor.keys & standing.keys_of(root)
