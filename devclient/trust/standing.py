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

UNREADABLE = (
    RepositoryError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What python-tuf raises about bytes that are no metadata, or of a form that it does not expect."""


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


def keys_of(root: bytes) -> frozenset[str]:
    """Return the ids of the keys that speak for timestamps by a root."""
    return frozenset(map(str, Metadata[Root].from_bytes(root).signed.roles[trust.TIMESTAMP].keyids))


def signing_keys(data: bytes) -> frozenset[str]:
    """Return the ids of the keys by which a file says to be signed; none if it cannot be read."""
    try:
        return frozenset(map(str, Metadata.from_bytes(data).signatures))
    except UNREADABLE:
        return frozenset()


def read(root: bytes, timestamp: bytes) -> Standing | None:
    """Read what a timestamp says; None if it is none that the root vouches for.

    The root is one that tuf has verified. The timestamp may be one that tuf refused, so it is verified here.
    """
    try:
        signed = Metadata[Root].from_bytes(root).signed
        found = Metadata[Timestamp].from_bytes(timestamp)
        if found.signed.type != trust.TIMESTAMP:
            return None
        signed.verify_delegate(trust.TIMESTAMP, found.signed_bytes, found.signatures)
        return _standing(signed, keys_of(root), found.signed)
    except UNREADABLE:
        return None


def _standing(root: Root, keys: frozenset[str], timestamp: Timestamp) -> Standing:
    fields = timestamp.unrecognized_fields
    issued = trust.issued(fields, timestamp.expires)
    worries = clock.worries_from(issued, timestamp.expires, root.expires)
    return Standing(
        root.version, keys, timestamp.version, timestamp.expires, issued, trust.poll_seconds(fields), worries
    )
