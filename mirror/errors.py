"""The one hierarchy of errors, split by who has to act.

Every error that a person may see says what is wrong and what to do; its facts stand in attributes.
A wrong call order is a `RuntimeError`, not one of these.
"""

from __future__ import annotations

from typing import ClassVar


class OTAError(Exception):
    """Base of all errors of otamirror.

    Attributes:
        code: a word for programs, the `error` of a refusal.
        exit_code: what a command ends with: 1 failed, 2 usage, 75 try later.
        status_hint: the HTTP status that a receiver answers with.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    status_hint: ClassVar[int] = 500

    def as_json(self) -> dict[str, object]:
        """Return what a refusal says to programs."""
        return {"error": self.code, "detail": str(self)}


class PublisherError(OTAError):
    """The publisher has to act: a submission is not acceptable as it is."""

    status_hint = 400


class InvalidArchiveError(PublisherError):
    """A folder's package is no tar archive, or not one that may be unpacked; the message says only what is wrong."""

    code = "archive"


class NoArchiveError(InvalidArchiveError):
    """A file is no tar archive at all."""


class UnreadableArchiveError(InvalidArchiveError):
    """An archive was not read to its end: it is larger than is taken here, or this machine cannot decompress it."""


class OperatorError(OTAError):
    """The operator of the mirror has to act: settings, disk, permissions."""


class DeviceError(OTAError):
    """The owner of the device has to act."""
