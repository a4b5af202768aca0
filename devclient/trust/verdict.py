"""What an error of tuf's means: each of them is translated here, once, into one of ours.

tuf tells what is wrong, not what it looks like. That depends on the file that was refused, too: of two versions that do
not match, a lower one is a rollback.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from tuf.api import exceptions
from tuf.api.serialization import DeserializationError, SerializationError

from devclient.errors import NetworkError
from devclient.trust_errors import (
    DamagedMetadataError,
    EndlessDataError,
    ExpiredError,
    MixAndMatchError,
    RollbackError,
    SignatureError,
    UndelegatedError,
)
from mirror import trust
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from devclient.trust.tuf_fetcher import Delivery

ERRORS = (exceptions.RepositoryError, exceptions.DownloadError, exceptions.StorageError)
"""All that tuf raises about a remote."""
TRIPPED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What it trips over where a signed value is none of those that it expects; no publisher may stop a device by that."""


def of(error: Exception, url: str, refused: Delivery | None) -> OTAError:
    """Translate an error of tuf's.

    Args:
        error: the error; one of ours below it comes out as it is.
        url: what it is about if nothing was refused.
        refused: the file that tuf did not accept, if there is one.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OTAError):
            return cause
        cause = cause.__cause__
    if isinstance(error, TRIPPED):
        return DamagedMetadataError(refused.url if refused else url, f"what is signed makes no sense ({error})")
    kind = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    return kind(refused)(refused.url if refused else url, str(error))


def expiry(error: Exception, refused: Delivery | None, accepted: Path) -> str:
    """Tell when that expired which an error of tuf's says to have expired, as UTC text; "" if that cannot be told.

    Args:
        error: the error.
        refused: the file that tuf did not accept, if there is one; its signatures were good.
        accepted: the folder of those that it did.
    """
    if refused and refused.role in str(error):
        return str(_signed(refused.data).get("expires", ""))
    for role in trust.TOP:  # of those alone an accepted one is looked at again
        with contextlib.suppress(OSError):
            if f"{role}.json" in str(error):
                return str(_signed((accepted / f"{role}.json").read_bytes()).get("expires", ""))
    return ""


def _of_version(refused: Delivery | None) -> type[OTAError]:
    """Tell what a version is that does not match."""
    if refused is None or refused.version is None:
        return RollbackError
    stated = _signed(refused.data).get("version")
    return MixAndMatchError if isinstance(stated, int) and stated > refused.version else RollbackError


def _of_contents(refused: Delivery | None) -> type[OTAError]:
    """Tell what is wrong where tuf has no error of its own."""
    if refused is None:
        return UndelegatedError  # all that came was accepted, so something that is delegated to is named nowhere
    if _signed(refused.data).get("_type") != _kind(refused.role):
        return DamagedMetadataError
    # the only rule that is left: a role that a snapshot named once is named for ever
    return RollbackError if refused.role == trust.SNAPSHOT else MixAndMatchError


def _signed(data: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        whole = json.loads(data)
        if isinstance(whole, dict) and isinstance(whole.get("signed"), dict):
            return dict(whole["signed"])
    return {}


def _kind(role: str) -> str:
    return role if role in trust.TOP else trust.TARGETS


def _always(kind: type[OTAError]) -> Callable[[Delivery | None], type[OTAError]]:
    return lambda _refused: kind


TABLE: Mapping[type[Exception], Callable[[Delivery | None], type[OTAError]]] = {
    exceptions.UnsignedMetadataError: _always(SignatureError),
    exceptions.BadVersionNumberError: _of_version,
    exceptions.EqualVersionNumberError: _always(RollbackError),
    exceptions.ExpiredMetadataError: _always(ExpiredError),
    exceptions.LengthOrHashMismatchError: _always(MixAndMatchError),
    DeserializationError: _always(DamagedMetadataError),
    SerializationError: _always(DamagedMetadataError),
    exceptions.RepositoryError: _of_contents,
    exceptions.DownloadLengthMismatchError: _always(EndlessDataError),
    exceptions.SlowRetrievalError: _always(NetworkError),
    exceptions.DownloadHTTPError: _always(NetworkError),
    exceptions.DownloadError: _always(NetworkError),
    exceptions.StorageError: _always(DamagedMetadataError),
}
"""For each error of tuf's what it means of the file that was refused."""
