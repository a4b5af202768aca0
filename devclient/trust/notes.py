"""What a device notes of a remote beside its metadata: how to ask next time, where it stands, what time it was.

Nothing bad comes of notes that are lost or damaged: more is asked for, and the floor under the clock grows anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devclient.trust import standing
from devclient.trust.clock import Floor
from devclient.web.headers import UNKNOWN, Validators
from mirror import trust

if TYPE_CHECKING:
    from devclient.trust.standing import Standing


@dataclass(frozen=True)
class Notes:
    """What is noted.

    Attributes:
        validators: what the mirror gave with the timestamp that is here.
        sha256: of that timestamp's bytes; with others the validators mean nothing.
        standing: what it says.
        floor: the time that was reached.
    """

    validators: Validators = UNKNOWN
    sha256: str = ""
    standing: Standing | None = None
    floor: Floor | None = None

    def encode(self) -> bytes:
        """Return the file."""
        floor = {"reached": trust.time(self.floor.reached), "keys": sorted(self.floor.keys)} if self.floor else None
        fields = {
            "etag": self.validators.etag,
            "modified": self.validators.modified,
            "sha256": self.sha256,
            "standing": self.standing.fields() if self.standing else None,
            "floor": floor,
        }
        return f"{json.dumps(fields, indent=2)}\n".encode()


def parse(raw: bytes) -> Notes:
    """Read the file; empty notes if it is damaged."""
    try:
        fields = json.loads(raw)
        return Notes(
            Validators(str(fields["etag"]), str(fields.get("modified", ""))),  # releases before knew the ETag only
            str(fields["sha256"]),
            standing.parse(fields["standing"]) if fields["standing"] else None,
            _floor(fields["floor"]) if fields["floor"] else None,
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return Notes()


def _floor(fields: Any) -> Floor:
    return Floor(trust.moment(fields["reached"]), frozenset(map(str, fields["keys"])))
