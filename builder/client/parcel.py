"""A release that is ready to be sent: its content.json, its file, and the form that carries both (contract, section 5).

The file is hashed once before, because content.json names the hash, and again on the way: bytes that are not those
that were hashed are never sent whole. Memory stays constant, whatever the size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder import pack
from builder.errors import HashMismatchError
from mirror import content
from mirror.errors import PublisherError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mirror.canonical import Problem
    from mirror.content import Content

BLOCK = 64 * 1024


class ChangedError(PublisherError):
    """The file is not any more what it was when it was hashed.

    Attributes:
        file: the package.
    """

    code = "file-changed"

    def __init__(self, file: Path, problem: str) -> None:
        super().__init__(
            f"{file} {problem} while it was sent; nothing was published. Push it again once it is finished"
        )
        self.file = file


@dataclass(frozen=True, slots=True)
class Parcel:
    """A valid content, and the file of `size` bytes whose SHA-256 it names."""

    content: Content
    file: Path
    size: int
    warnings: tuple[Problem, ...] = ()

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.content.package} {self.content.version} on {self.content.branch}"


def stated(file: Path, fields: Mapping[str, object], progress: Callable[[int], None] = lambda _: None) -> Parcel:
    """Make the parcel of a file and of what content.json says of it, which is all but the SHA-256.

    Raises:
        ContentError: `fields` break a rule; told before the file is hashed.
        PackError: the file cannot be read.
    """
    described = pack.describe(file, fields, progress)
    return Parcel(described.content, file, described.size, described.warnings)


def written(file: Path, raw: bytes, progress: Callable[[int], None] = lambda _: None) -> Parcel:
    """Make the parcel of a file and its whole content.json.

    Raises:
        ContentError: a rule is broken; told before the file is hashed.
        PackError: the file cannot be read.
        HashMismatchError: the content.json is of another file.
    """
    parsed, warnings = content.parse(raw)
    sha256, size = pack.digest(file, progress)
    if sha256 != parsed.sha256:
        raise HashMismatchError(parsed.sha256, sha256, size)
    return Parcel(parsed, file, size, warnings)


class Form:
    """A parcel as multipart/form-data of a known length.

    The content goes first: what is refused for its sake is refused before the file is sent.
    """

    def __init__(self, parcel: Parcel, boundary: str, progress: Callable[[int], None] = lambda _: None) -> None:
        self._parcel = parcel
        self._progress = progress
        self.content_type = f"multipart/form-data; boundary={boundary}"
        # nobody needs the file's own name, and any quotes in it would have to be escaped
        name = f"{parcel.content.package}-{parcel.content.version}"
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="content.json"\r\n'
            "Content-Type: application/json\r\n\r\n"
        ).encode()
        self._head += parcel.content.canonical()
        self._head += (
            f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        return len(self._head) + self._parcel.size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the form in pieces; of each piece of the file, its size is told once the next is asked for.

        Raises:
            ChangedError: the file is not what it was; the form is never whole then.
        """
        yield self._head
        left, digest = self._parcel.size, hashlib.sha256()
        for block in self._blocks():
            left -= len(block)
            if left < 0:
                raise ChangedError(self._parcel.file, "grew")
            digest.update(block)
            yield block
            self._progress(len(block))
        if left or digest.hexdigest() != self._parcel.content.sha256:
            raise ChangedError(self._parcel.file, "was cut short" if left else "was changed")
        yield self._tail

    def _blocks(self) -> Iterator[bytes]:
        try:
            with self._parcel.file.open("rb", buffering=0) as file:
                while block := file.read(BLOCK):
                    yield block
        except OSError as error:
            raise ChangedError(self._parcel.file, f"could not be read ({error.strerror})") from error
