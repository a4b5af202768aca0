"""What the stages hand on: a submission, the release it proves to be, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.stores import Written
    from mirror.blobs import Blob
    from mirror.canonical import Problem
    from mirror.content import Content
    from mirror.errors import PublisherError


@dataclass(frozen=True, slots=True)
class Submission:
    """An unjudged upload: what came as content.json, and the file, copied and hashed.

    Attributes:
        origin: where it came from, for messages.
    """

    content: bytes
    blob: Blob
    origin: str


@dataclass(frozen=True, slots=True)
class Release:
    """A submission whose content is valid and whose bytes are those that it names."""

    content: Content
    blob: Blob
    warnings: tuple[Problem, ...] = ()

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.content.package} {self.content.version} on {self.content.branch}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one submission: new on the mirror, there already, or refused.

    Attributes:
        title: the release, or the drop that never became one.
        error: why it was refused.
    """

    title: str
    is_new: bool = False
    error: PublisherError | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publish did: a verdict for each release, in their order, and what the mirror's store wrote."""

    verdicts: tuple[Verdict, ...]
    written: Written
