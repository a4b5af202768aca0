"""What errors of tuf's mean."""

from __future__ import annotations

import inspect
import json

import pytest
from tuf.api import exceptions, serialization

from devclient import trust_errors
from devclient.errors import NetworkError
from devclient.trust import verdict
from devclient.trust.tuf_fetcher import Delivery
from devclient.trust_errors import (
    DamagedMetadataError,
    EndlessDataError,
    ExpiredError,
    MixAndMatchError,
    RollbackError,
    SignatureError,
    TrustError,
    UndelegatedError,
)
from mirror import trust
from mirror.errors import OTAError

URL = "http://mirror.example/metadata/timestamp.json"


def delivery(role: str, named: int | None, **signed: object) -> Delivery:
    """Make a file that was refused."""
    return Delivery(f"http://mirror.example/{role}", role, named, json.dumps({"signed": signed}).encode())


def kinds() -> list[type[Exception]]:
    """Find every error that tuf may raise about a repository or a download."""
    found = [*vars(exceptions).values(), *vars(serialization).values()]
    return [kind for kind in found if inspect.isclass(kind) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_error_of_tufs_is_translated(kind: type[Exception]) -> None:
    """None falls through to a translation of something more general, and a new one of tuf's is noticed."""
    assert kind in verdict.TABLE
    assert issubclass(kind, verdict.ERRORS)
    error = kind("why", 500) if kind is exceptions.DownloadHTTPError else kind("why")
    assert isinstance(verdict.of(error, URL, None), TrustError | NetworkError)


@pytest.mark.parametrize(
    ("error", "refused", "ours"),
    [
        (exceptions.UnsignedMetadataError, delivery("snapshot", 3), SignatureError),
        (exceptions.ExpiredMetadataError, delivery("timestamp", None), ExpiredError),
        (exceptions.LengthOrHashMismatchError, delivery("snapshot", 3), MixAndMatchError),
        (serialization.DeserializationError, delivery("snapshot", 3), DamagedMetadataError),
        (exceptions.DownloadLengthMismatchError, delivery("snapshot", 3), EndlessDataError),
        (exceptions.DownloadError, None, NetworkError),
        (exceptions.BadVersionNumberError, delivery("timestamp", None, version=9), RollbackError),
        (exceptions.BadVersionNumberError, delivery("snapshot", 3, version=2), RollbackError),
        (exceptions.BadVersionNumberError, delivery("snapshot", 3, version=3), RollbackError),
        (exceptions.BadVersionNumberError, delivery("snapshot", 3, version=4), MixAndMatchError),
        (exceptions.BadVersionNumberError, delivery("snapshot", 3, version="4"), RollbackError),
        (exceptions.BadVersionNumberError, Delivery(URL, "snapshot", 3, b"[" * 100_000), RollbackError),
        (exceptions.RepositoryError, None, UndelegatedError),
        (exceptions.RepositoryError, delivery("snapshot", 3, _type="snapshot"), RollbackError),
        (exceptions.RepositoryError, delivery("snapshot", 3, _type="targets"), DamagedMetadataError),
        (exceptions.RepositoryError, delivery("bin8-00", 3, _type="snapshot"), DamagedMetadataError),
        (exceptions.RepositoryError, delivery("bin8-00", 3, _type="targets"), MixAndMatchError),
    ],
)
def test_what_it_looks_like_depends_on_what_was_refused(
    error: type[Exception], refused: Delivery | None, ours: type[OTAError]
) -> None:
    """Each attack has its own error; the file that was refused tells apart what tuf does not."""
    found = verdict.of(error("why"), URL, refused)

    assert type(found) is ours
    assert getattr(found, "url", None) == (refused.url if refused else URL)
    assert "why" in str(found)


def test_an_error_of_ours_comes_out_as_it_went_in() -> None:
    """However deep tuf has wrapped it."""
    own = NetworkError(URL, "the server is too slow")
    inner = exceptions.DownloadError("wrapped")
    inner.__cause__ = own
    outer = exceptions.DownloadError("and again")
    outer.__cause__ = inner

    assert verdict.of(outer, "elsewhere", None) is own


def all_errors() -> list[type[OTAError]]:
    """Find every error of trust that has a word of its own."""
    found = [kind for kind in vars(trust_errors).values() if inspect.isclass(kind) and issubclass(kind, OTAError)]
    own = [kind for kind in found if kind.__module__ == trust_errors.__name__ and "code" in vars(kind)]
    return [kind for kind in own if kind is not TrustError]


def test_each_error_has_a_word_of_its_own() -> None:
    """Programs can tell them apart, and know that they are about trust."""
    words = [kind.code for kind in all_errors()]

    assert len(set(words)) == len(words)
    assert set(words) == trust_errors.CODES


@pytest.mark.parametrize(
    "kind", [kind for kind in all_errors() if issubclass(kind, TrustError)], ids=lambda kind: kind.code
)
def test_each_error_says_what_it_looks_like_and_what_to_do(kind: type[TrustError]) -> None:
    """In one message, with the address that lied."""
    error = kind(URL, "something is wrong")

    assert str(error).startswith(f"{URL}: something is wrong. It looks like ")
    assert "nothing of it was used. The mirror's operator should " in str(error)
    assert (error.url, error.exit_code) == (URL, 1)
    assert kind.looks_like
    assert kind.advice


def test_roles_at_the_top_are_of_their_own_kind() -> None:
    """What delegated roles are is the same for all of them."""
    assert verdict._kind(trust.SNAPSHOT) == "snapshot"
    assert verdict._kind("pkg-app") == verdict._kind("bin8-00") == verdict._kind(trust.TARGETS) == "targets"
