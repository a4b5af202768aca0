"""Judging a submission by itself: is its content valid, and is the file the one that it names?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import HashMismatchError
from builder.submission import Release
from mirror import content

if TYPE_CHECKING:
    from builder.submission import Submission


def verify(submission: Submission) -> Release:
    """Return the release that a submission proves to be.

    Raises:
        ContentError: content.json breaks a rule; all that it breaks are named.
        HashMismatchError: the bytes are not those that content.json names.
    """
    parsed = content.parse(submission.content)
    blob = submission.blob
    if blob.sha256 != parsed.content.sha256:
        raise HashMismatchError(parsed.content.sha256, blob.sha256, blob.size)
    return Release(parsed.content, blob, parsed.warnings)
