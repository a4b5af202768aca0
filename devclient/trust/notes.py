"""What a device notes of a remote beside its metadata: where it stands, what time it was, whether it is behind.

Nothing bad comes of notes that are lost or damaged: more is asked for, and the floor under the clock grows anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devclient.trust import elapsed, standing
from devclient.trust.clock import Floor
from devclient.trust.elapsed import DAY, Instant
from mirror import trust

if TYPE_CHECKING:
    from devclient.trust.standing import Standing

MOST_POLLS = 24
"""How often everybody may show something older before that is told as a possible roll-back; or for a day."""


@dataclass(frozen=True)
class Behind:
    """That no URL shows what is known, but something older.

    Attributes:
        since: when that was found first.
        polls: how often.
        url: where last.
        version: of the timestamp that is shown there; None if it is not even signed with the keys of today.
    """

    since: Instant
    polls: int
    url: str
    version: int | None

    def is_grave(self, now: Instant) -> bool:
        """Return whether that lasts too long to be a cache's doing."""
        return self.polls >= MOST_POLLS or elapsed.passed(self.since, now, DAY)

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"since": self.since.fields(), "polls": self.polls, "url": self.url, "version": self.version}


@dataclass(frozen=True)
class Notes:
    """What is noted.

    Attributes:
        sha256: of the bytes of the timestamp that is known; "" if none is.
        standing: what it says, or said.
        floor: the time that was reached.
        behind: that the remote is behind that, if it is.
    """

    sha256: str = ""
    standing: Standing | None = None
    floor: Floor | None = None
    behind: Behind | None = None

    def encode(self) -> bytes:
        """Return the file."""
        fields = {
            # releases before kept their one ETag here, and read that it is unknown
            "etag": "",
            "sha256": self.sha256,
            "standing": self.standing.fields() if self.standing else None,
            "floor": _of_floor(self.floor) if self.floor else None,
            "behind": self.behind.fields() if self.behind else None,
        }
        return f"{json.dumps(fields, indent=2)}\n".encode()


def parse(raw: bytes) -> Notes:
    """Read the file; empty notes if it is damaged."""
    try:
        fields = json.loads(raw)
        return Notes(
            str(fields["sha256"]),
            standing.parse(fields["standing"]) if fields["standing"] else None,
            _floor(fields["floor"]) if fields["floor"] else None,
            _behind(fields["behind"]) if fields.get("behind") else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Notes()


def _of_floor(floor: Floor) -> dict[str, Any]:
    return {"reached": trust.time(floor.reached), "keys": sorted(floor.keys), "version": floor.version}


def _floor(fields: Any) -> Floor:
    version = fields.get("version")
    return Floor(
        trust.moment(fields["reached"]),
        frozenset(map(str, fields["keys"])),
        None if version is None else int(version),
    )


def _behind(fields: Any) -> Behind:
    version = fields["version"]
    return Behind(
        elapsed.parse(fields["since"]),
        int(fields["polls"]),
        str(fields["url"]),
        None if version is None else int(version),
    )
