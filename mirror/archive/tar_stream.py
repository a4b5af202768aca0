"""A tar archive as a stream of members, each with its content, in constant memory.

Not by tarfile: that takes a damaged header for the end of the archive, holds headers of any size in memory, and
differs from one Python to the next. Here what is cut off or damaged is an error. Where an archive ends is what other
readers agree on: at a block of NULs, or where the file does; what follows is read over, and told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.archive import tar_headers
from mirror.blobs import CHUNK
from mirror.canonical import shown
from mirror.errors import InvalidArchiveError, NoArchiveError, UnreadableArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mirror.archive.tar_headers import Header, Member

EMPTY = "its archive is empty"
"""What is wrong with an archive that has no members."""

_NONE = "it is no tar archive, nor one that gzip, xz, bzip2 or zstd has compressed"
_CUT_OFF = "its archive is cut off"
_EXTENSIONS = {
    tar_headers.PAX: "pax header",
    tar_headers.SUN_PAX: "pax header",
    tar_headers.SHARED_PAX: "pax header for all members",
    tar_headers.LONG_NAME: "long name",
    tar_headers.LONG_LINK: "long link",
    tar_headers.LABEL: "label",
}
_OF_NO_MEMBER = frozenset({tar_headers.SHARED_PAX, tar_headers.LABEL})
_MOST_OF_NO_MEMBER = 100  # archives that were joined bring one each
_LARGEST_EXTENSION = 1024 * 1024


class Source:
    """The bytes of an archive, taken one after the other, `limit` of them at most.

    Attributes:
        at: how many were taken.
        is_over: whether fewer were left than were last to be read.
    """

    def __init__(self, blocks: Iterator[bytes], limit: int) -> None:
        self._blocks = blocks
        self._limit = limit
        self._rest = memoryview(b"")
        self.at = 0
        self.is_over = False

    def take(self, most: int) -> memoryview:
        """Take some bytes, `most` at most; none if there are no more."""
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        taken, self._rest = self._rest[:most], self._rest[most:]
        self.at += len(taken)
        if self.at > self._limit:
            raise UnreadableArchiveError(f"its archive unpacks to more than {self._limit} bytes")
        return taken

    def read(self, size: int) -> bytes:
        """Take `size` bytes, fewer only if there are no more."""
        parts = bytearray()
        while len(parts) < size and (taken := self.take(size - len(parts))):
            parts += taken
        self.is_over = len(parts) < size
        return bytes(parts)


def members(
    source: Source, tell: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Member, Iterator[memoryview]]]:
    """Yield each member with its content, which is gone once the next member is asked for.

    `tell` is called with what is odd about the archive's end.

    Raises:
        NoArchiveError: it is no tar archive.
        InvalidArchiveError: it is not a sound one; the members before that have been yielded.
    """
    shared: dict[bytes, bytes] = {}
    while found := _next_member(source, shared):
        header, own = found
        member = tar_headers.member(header, {**shared, **own})
        content = _content(source, member)
        yield member, content
        for _ in content:
            pass
        _skip_padding(source, member.size)
    _read_over_rest(source, tell)


def _next_member(source: Source, shared: dict[bytes, bytes]) -> tuple[Header, dict[bytes, bytes]] | None:
    """Read a member's own header, and the records before it that are about it alone; None at the archive's end."""
    own: dict[bytes, bytes] = {}
    seen: list[str] = []
    while header := _next_header(source):
        kind = _EXTENSIONS.get(header.kind)
        if kind is None:
            return header, own
        is_shared = header.kind in _OF_NO_MEMBER
        if seen.count(kind) >= (_MOST_OF_NO_MEMBER if is_shared else 1):  # so that their number is bounded, too
            raise InvalidArchiveError(
                f"its archive has a {kind} {'too often' if is_shared else 'twice'} for one member"
            )
        seen.append(kind)
        (shared if is_shared else own).update(_records(source, header, kind))
        if len(shared) > _MOST_OF_NO_MEMBER:
            raise InvalidArchiveError(f"its archive says more than {_MOST_OF_NO_MEMBER} things of all its members")
    if set(seen) - {_EXTENSIONS[each] for each in _OF_NO_MEMBER}:
        raise InvalidArchiveError(f"its archive is cut off after a {seen[-1]}")
    return None


def _next_header(source: Source) -> Header | None:
    """Read a header; None at the end of the archive."""
    start, block = source.at, source.read(tar_headers.BLOCK)
    if not any(block):  # a block of NULs, or no whole one, or the end of the file
        return None
    header = tar_headers.header(block) if len(block) == tar_headers.BLOCK else None
    if header:
        return header
    if not start:
        raise NoArchiveError(_NONE)
    raise InvalidArchiveError(
        f"its archive has a damaged header at byte {start}" if len(block) == tar_headers.BLOCK else _CUT_OFF
    )


def _records(source: Source, header: Header, kind: str) -> dict[bytes, bytes]:
    if not 0 <= header.size <= _LARGEST_EXTENSION:
        raise InvalidArchiveError(f"its archive has a {kind} of {header.size} bytes")
    data = source.read(header.size)
    if len(data) < header.size:
        raise InvalidArchiveError(f"{_CUT_OFF} in a {kind}")
    _skip_padding(source, header.size)
    return tar_headers.extension(header.kind, data)


def _content(source: Source, member: Member) -> Iterator[memoryview]:
    left = member.size
    while left:
        data = source.take(min(left, CHUNK))
        if not data:
            raise InvalidArchiveError(f"{_CUT_OFF} in {shown(member.name)}")
        left -= len(data)
        yield data


def _skip_padding(source: Source, size: int) -> None:
    source.read(-size % tar_headers.BLOCK)  # where the file ends in it, nothing of the member is missing


def _read_over_rest(source: Source, tell: Callable[[str], None]) -> None:
    """Read what follows the end, NULs as a rule, so that all of the file has been decompressed."""
    is_told = False
    if source.is_over:
        tell("its archive has no end of its own: if it was cut off there, make it again")
    while data := source.take(CHUNK):
        if not is_told and (rest := bytes(data).lstrip(b"\0")):
            is_told = True
            start = source.at - len(rest)
            tell(f"something follows the end of its archive at byte {start}, which is not unpacked")
