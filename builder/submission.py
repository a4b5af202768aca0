"""What the stages hand on: a submission, the release it proves to be, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuf.api.metadata import Metadata, Targets

    from builder.stores import Written
    from mirror.blobs import Blob
    from mirror.canonical import Problem
    from mirror.content import Content
    from mirror.errors import PublisherError
    from mirror.releases import ReleaseList


@dataclass(frozen=True, slots=True)
class Parts:
    """An unjudged statement: what came as the release list, with segments that go with it, and as the signed role."""

    listed: bytes
    signed: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """An unjudged upload: what came as content.json, and the file, copied and hashed.

    Attributes:
        origin: where it came from, for messages.
        parts: what a publisher sends with it who signs.
    """

    content: bytes
    blob: Blob
    origin: str
    parts: Parts | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """What a publisher says of one branch of a claimed package: its list, and the role that signs it.

    Whether the role counts is not judged yet.

    Attributes:
        listed: the exact bytes of the list.
        segments: by hash, older segments of it that may be new.
        signed: the exact bytes of the role's file.
        role: what they say.
    """

    newest: ReleaseList
    listed: bytes
    segments: Mapping[str, ReleaseList]
    signed: bytes
    role: Metadata[Targets]

    @property
    def package(self) -> str:
        """The package that it speaks for."""
        return self.newest.package

    @property
    def branch(self) -> str:
        """The branch whose list it brings."""
        return self.newest.branch

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.package} on {self.branch}, signed as version {self.role.signed.version}"


@dataclass(frozen=True, slots=True)
class Release:
    """A submission whose content is valid and whose bytes are those that it names.

    Attributes:
        statement: what its publisher signed with it, for a claimed package.
    """

    content: Content
    blob: Blob
    warnings: tuple[Problem, ...] = ()
    statement: Statement | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.content.package} {self.content.version} on {self.content.branch}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one submission: new on the mirror, there already, or refused.

    Attributes:
        title: the release or statement, or the drop that never became one.
        error: why it was refused.
    """

    title: str
    is_new: bool = False
    error: PublisherError | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publish did: a verdict for each that was given, in their order, and what the mirror's store wrote."""

    verdicts: tuple[Verdict, ...]
    written: Written
