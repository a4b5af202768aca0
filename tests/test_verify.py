"""Judging a submission by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import HashMismatchError
from builder.submission import Submission
from builder.verify import verify
from mirror.blobs import Blob
from mirror.content import ContentError
from tests.support import sites

PACKAGE = sites.package("1.0", description="an example")
BLOB = Blob(PACKAGE.content.sha256, len(PACKAGE.data), Path("/spool/1"))


def test_a_submission_becomes_a_release() -> None:
    """Content and blob are those that came; the title says which release it is."""
    release = verify(Submission(PACKAGE.content.canonical(), BLOB, "app.bin"))

    assert release.content == PACKAGE.content
    assert release.blob is BLOB
    assert release.warnings == ()
    assert release.title == "app 1.0 on main"


def test_the_hash_may_be_stated_in_upper_case() -> None:
    """Some tools print it so."""
    raw = PACKAGE.content.canonical().replace(BLOB.sha256.encode(), BLOB.sha256.upper().encode())

    assert verify(Submission(raw, BLOB, "app.bin")).content.sha256 == BLOB.sha256


def test_warnings_come_along() -> None:
    """What the publisher should look at is not lost on the way."""
    raw = PACKAGE.content.canonical().replace(b'"restore"', b'"restroe"')

    (warning,) = verify(Submission(raw, BLOB, "app.bin")).warnings

    assert "restore" in str(warning)


def test_other_bytes_than_stated_are_refused() -> None:
    """The error names both hashes and the size that came."""
    blob = Blob("f" * 64, 3, Path("/spool/1"))

    with pytest.raises(HashMismatchError, match=r"\(3 bytes\)") as caught:
        verify(Submission(PACKAGE.content.canonical(), blob, "app.bin"))

    assert (caught.value.stated, caught.value.actual) == (BLOB.sha256, "f" * 64)
    assert caught.value.status_hint == 304
    assert caught.value.as_json()["error"] == "hash-mismatch"


def test_a_broken_content_is_refused_whatever_the_bytes_are() -> None:
    """All that is wrong is named, not only the first."""
    raw = b'{"package": "app", "version": "1 0", "branch": "a/b", "sha256": "x"}'

    with pytest.raises(ContentError) as caught:
        verify(Submission(raw, BLOB, "app.bin"))

    assert [problem.key for problem in caught.value.problems] == ["version", "branch", "sha256"]
