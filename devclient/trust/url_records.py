"""What a device keeps of each URL of a remote: how to ask it, since when, and what is held against it.

Nothing bad comes of records that are lost or damaged: more is asked for, in the order of the settings.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from devclient.trust import elapsed
from devclient.trust.elapsed import DAY, Instant
from devclient.web.headers import UNKNOWN, Validators

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Blame:
    """What went wrong last at a URL.

    Attributes:
        at: when that was.
        number: the greater, the later it was.
        code: the word for it.
        message: what it was, in words.
        lied: whether wrong bytes came, then or shortly before.
    """

    at: Instant
    number: int
    code: str
    message: str
    lied: bool


@dataclass(frozen=True)
class Pause:
    """How long a server wants to be left alone, as it said in Retry-After."""

    since: Instant
    seconds: float

    def left(self, now: Instant) -> float:
        """Return how many seconds are left of it."""
        if elapsed.over(self.since, now, self.seconds):
            return 0
        return self.seconds - (now.clock - self.since.clock).total_seconds()


@dataclass(frozen=True)
class UrlRecord:
    """What is kept of one URL.

    Attributes:
        validators: what it gave with a timestamp.
        sha256: of that timestamp's bytes; with others the validators mean nothing.
        looked: when it was asked for timestamp and newer root, and answered; None if it never was.
        blame: what is held against it.
        pause: for how long it wants to be left alone.
    """

    validators: Validators = UNKNOWN
    sha256: str = ""
    looked: Instant | None = None
    blame: Blame | None = None
    pause: Pause | None = None

    def at(self, now: Instant) -> UrlRecord:
        """Return what still holds of it; blame lasts a day."""
        blame = None if self.blame and elapsed.over(self.blame.at, now, DAY) else self.blame
        pause = None if self.pause and self.pause.left(now) <= 0 else self.pause
        return replace(self, blame=blame, pause=pause)

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "etag": self.validators.etag,
            "modified": self.validators.modified,
            "sha256": self.sha256,
            "looked": self.looked.fields() if self.looked else None,
            "blame": vars(self.blame) | {"at": self.blame.at.fields()} if self.blame else None,
            "pause": {"since": self.pause.since.fields(), "seconds": self.pause.seconds} if self.pause else None,
        }


def encode(records: Mapping[str, UrlRecord]) -> bytes:
    """Return the file of the records, by URL."""
    return f"{json.dumps({url: record.fields() for url, record in records.items()}, indent=2)}\n".encode()


def parse(raw: bytes) -> dict[str, UrlRecord]:
    """Read the file; no records if it is damaged."""
    try:
        return {str(url): _record(fields) for url, fields in json.loads(raw).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def _record(fields: Any) -> UrlRecord:
    return UrlRecord(
        Validators(str(fields["etag"]), str(fields["modified"])),
        str(fields["sha256"]),
        elapsed.parse(fields["looked"]) if fields["looked"] else None,
        _blame(fields["blame"]) if fields["blame"] else None,
        _pause(fields["pause"]) if fields["pause"] else None,
    )


def _blame(fields: Any) -> Blame:
    return Blame(
        elapsed.parse(fields["at"]),
        int(fields["number"]),
        str(fields["code"]),
        str(fields["message"]),
        bool(fields["lied"]),
    )


def _pause(fields: Any) -> Pause:
    return Pause(elapsed.parse(fields["since"]), float(fields["seconds"]))
