"""Where the signed metadata of a remote stands: which root, which timestamp, until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Timestamp

from devclient.trust import clock
from mirror import trust

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True)
class Standing:
    """What a verified timestamp says, and the root under which it says so.

    Attributes:
        root: version of the root.
        keys: ids of the keys that speak for timestamps by it.
        timestamp: version of the timestamp.
        expires: when that expires.
        issued: when it was issued, None if it does not say.
        poll_seconds: the least seconds that it wants between two polls.
        worries_from: from when on silence is not taken for "nothing new".
    """

    root: int
    keys: frozenset[str]
    timestamp: int
    expires: datetime
    issued: datetime | None
    poll_seconds: int
    worries_from: datetime

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "root": self.root,
            "keys": sorted(self.keys),
            "timestamp": self.timestamp,
            "expires": trust.time(self.expires),
            "issued": trust.time(self.issued) if self.issued else "",
            "poll_seconds": self.poll_seconds,
            "worries_from": trust.time(self.worries_from),
        }


def parse(fields: Any) -> Standing:
    """Read what `fields` gave.

    Raises:
        ValueError: it is something else.
    """
    try:
        return Standing(
            int(fields["root"]),
            frozenset(map(str, fields["keys"])),
            int(fields["timestamp"]),
            trust.moment(fields["expires"]),
            trust.moment(fields["issued"]) if fields["issued"] else None,
            int(fields["poll_seconds"]),
            trust.moment(fields["worries_from"]),
        )
    except (KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"not a standing: {error}") from error


def read(folder: Path) -> tuple[frozenset[str], Standing | None]:
    """Read from a folder in which tuf works which keys speak for timestamps, and what theirs says.

    The root is one that tuf has verified: nobody else writes the name. The timestamp may be one that tuf refused, so it
    is verified here; None if there is none that the root vouches for.
    """
    root = Metadata[Root].from_bytes((folder / "root.json").read_bytes()).signed
    keys = frozenset(map(str, root.roles[trust.TIMESTAMP].keyids))
    try:
        timestamp = Metadata[Timestamp].from_bytes((folder / "timestamp.json").read_bytes())
        root.verify_delegate(trust.TIMESTAMP, timestamp.signed_bytes, timestamp.signatures)
    except (OSError, RepositoryError):
        return keys, None
    return keys, _standing(root, keys, timestamp.signed) if timestamp.signed.type == trust.TIMESTAMP else None


def _standing(root: Root, keys: frozenset[str], timestamp: Timestamp) -> Standing:
    fields = timestamp.unrecognized_fields
    issued = trust.issued(fields, timestamp.expires)
    worries = clock.worries_from(issued, timestamp.expires, root.expires)
    return Standing(
        root.version, keys, timestamp.version, timestamp.expires, issued, trust.poll_seconds(fields), worries
    )
