"""How an upload is refused: the errors that only a receiver can make, and what any error is to a client.

The statuses are those of section 5 of the contract. A client is told of the machine behind only why it cannot sign at
the moment, so that somebody tells the operator; what else only the operator can mend stands in the log.
"""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

from builder.errors import TooLargeError
from mirror.errors import OperatorError, OTAError, PublisherError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class MethodError(PublisherError):
    """The method is not PUT."""

    code = "method"
    status_hint = 405


class FramingError(PublisherError):
    """Two headers disagree on where the body ends."""

    code = "framing"


class ForbiddenError(PublisherError):
    """Who asks may not publish this."""

    code = "forbidden"
    status_hint = 403


class ExpectationError(PublisherError):
    """The client expects what nobody knows."""

    code = "expectation"
    status_hint = 417


class MediaTypeError(PublisherError):
    """The body is not multipart/form-data as it is."""

    code = "media-type"
    status_hint = 415


class LengthError(PublisherError):
    """The request does not say where its body ends."""

    code = "length-required"
    status_hint = 411


class FormError(PublisherError):
    """The body is not well-formed, or has other parts than it must."""

    code = "form"


class SlowError(PublisherError):
    """The client sends too slowly."""

    code = "too-slow"
    status_hint = 408


class GoneError(PublisherError):
    """The client went away in the middle; nobody is there to be told."""

    code = "gone"


class DiskFullError(OperatorError):
    """There is no room left."""

    code = "disk-full"
    status_hint = 507

    def __init__(self) -> None:
        super().__init__("the mirror has no room for this package; nothing of it was kept. Tell its operator")


class UnavailableError(OperatorError):
    """The receiver is stopping."""

    code = "unavailable"
    status_hint = 503

    def __init__(self, problem: str = "the receiver is being stopped before this upload was published") -> None:
        super().__init__(f"{problem}; send it again in a moment")


class CrowdedError(UnavailableError):
    """There are more uploads at a time than there is memory for."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("too many uploads are on their way at this moment")


class CannotSignError(OperatorError):
    """Keys or clock of the mirror's machine are not usable."""

    code = "cannot-sign"
    status_hint = 503

    def __init__(self, reason: OperatorError) -> None:
        super().__init__(
            f"the mirror cannot sign, so nothing was published; send it again once its operator has mended it: {reason}"
        )


class FaultError(OperatorError):
    """What the client cannot be told more of."""

    code = "fault"

    def __init__(self) -> None:
        super().__init__(
            "the upload was not published, and it is not your fault: the mirror's operator finds the reason in the log"
        )


HEADERS: Mapping[int, Mapping[str, str]] = {
    405: {"Allow": "PUT"},
    503: {"Retry-After": "5"},
}
"""What goes with a status, as HTTP wants it."""


def too_large(most_bytes: int) -> TooLargeError:
    """Say that a file is larger than the site takes."""
    return TooLargeError(
        f"the file has more than {most_bytes} bytes, the most that this mirror takes: "
        "make it smaller, or ask its operator to raise `limits.package_bytes`"
    )


def too_long(part: str, most_bytes: int) -> TooLargeError:
    """Say that a part other than the file has more bytes than it ever needs."""
    return TooLargeError(f"the part {part} has more than {most_bytes} bytes, the most that it may have")


def of(error: BaseException) -> OTAError:
    """Return what a client is told of an error."""
    if isinstance(error, PublisherError | DiskFullError | UnavailableError):
        return error
    if isinstance(error, OperatorError) and error.status_hint == UnavailableError.status_hint:
        return CannotSignError(error)
    return DiskFullError() if is_full(error) else FaultError()


def is_full(error: BaseException) -> bool:
    """Tell whether it is the disk that has no room, for a file or for the catalogue."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL
