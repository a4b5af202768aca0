"""What is ready to be sent, and the form that carries it (contract, section 5): a release, a statement, or both.

The file is hashed once before, because content.json names the hash, and again on the way: bytes that are not those
that were hashed are never sent whole. Memory stays constant, whatever the size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder import folder_package, pack
from builder.errors import HashMismatchError
from builder.verify import lines
from mirror import content
from mirror.errors import PublisherError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from builder.submission import Statement
    from mirror.canonical import Problem
    from mirror.content import Content

BLOCK = 64 * 1024
_JSON, _BYTES = "application/json", "application/octet-stream"
_LINE = b"\r\n"


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
    """A valid content, and the file of `size` bytes whose SHA-256 it names.

    Attributes:
        statement: what its publisher signed, for a claimed package.
    """

    content: Content
    file: Path
    size: int
    warnings: tuple[Problem, ...] = ()
    statement: Statement | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.content.package} {self.content.version} on {self.content.branch}"


def stated(file: Path, fields: Mapping[str, object], progress: Callable[[int], None] = lambda _: None) -> Parcel:
    """Make the parcel of a file and of what content.json says of it, which is all but the SHA-256.

    Raises:
        ContentError: `fields` break a rule; told before the file is hashed.
        PackError: the file cannot be read.
        UnusableArchiveError: it is to be a folder, and no device could unpack it.
    """
    described = pack.describe(file, fields, progress)
    return Parcel(described.content, file, described.size, described.warnings)


def written(file: Path, raw: bytes, progress: Callable[[int], None] = lambda _: None) -> Parcel:
    """Make the parcel of a file and its whole content.json.

    Raises:
        ContentError: a rule is broken; told before the file is hashed.
        PackError: the file cannot be read.
        HashMismatchError: the content.json is of another file.
        UnusableArchiveError: it is to be a folder, and no device could unpack it.
    """
    parsed, warnings = content.parse(raw)
    sha256, size = pack.digest(file, progress)
    if sha256 != parsed.sha256:
        raise HashMismatchError(parsed.sha256, sha256, size)
    return Parcel(parsed, file, size, (*warnings, *folder_package.judge(parsed, file)))


class Form:
    """A parcel, or a statement alone, as multipart/form-data of a known length.

    The file goes last: what is refused for the sake of the others is refused before it is sent.
    """

    def __init__(
        self, sent: Parcel | Statement, boundary: str, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        self._parcel = sent if isinstance(sent, Parcel) else None
        self._progress = progress
        self.content_type = f"multipart/form-data; boundary={boundary}"
        statement = sent.statement if isinstance(sent, Parcel) else sent
        pieces: list[bytes] = []
        if self._parcel:
            content = self._parcel.content
            pieces += [_headers(boundary, "content", "content.json", _JSON), content.canonical()]
        if statement:
            listed = lines(statement.newest, statement.segments.values())
            pieces += [_headers(boundary, "list", "list.json", _BYTES), listed]
            pieces += [_headers(boundary, "signed", "signed.json", _JSON), statement.signed]
        if self._parcel:
            # nobody needs the file's own name, and any quotes in it would have to be escaped
            pieces.append(_headers(boundary, "file", f"{content.package}-{content.version}", _BYTES))
        self._head = b"".join(pieces).removeprefix(_LINE)
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        return len(self._head) + (self._parcel.size if self._parcel else 0) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the form in pieces; of each piece of the file, its size is told once the next is asked for.

        Raises:
            ChangedError: the file is not what it was; the form is never whole then.
        """
        yield self._head
        if self._parcel:
            yield from self._file(self._parcel)
        yield self._tail

    def _file(self, parcel: Parcel) -> Iterator[bytes]:
        left, digest = parcel.size, hashlib.sha256()
        for block in _blocks(parcel.file):
            left -= len(block)
            if left < 0:
                raise ChangedError(parcel.file, "grew")
            digest.update(block)
            yield block
            self._progress(len(block))
        if left or digest.hexdigest() != parcel.content.sha256:
            raise ChangedError(parcel.file, "was cut short" if left else "was changed")


def _headers(boundary: str, name: str, filename: str, kind: str) -> bytes:
    """Begin a part; the line end before the boundary ends what comes before."""
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
    return f"\r\n--{boundary}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise ChangedError(path, f"could not be read ({error.strerror})") from error
