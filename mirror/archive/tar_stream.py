"""A tar archive as a stream of members, each with its content, in constant memory.

Not by tarfile: that takes a damaged header for the end of the archive, holds headers of any size in memory, and
differs from one Python to the next. Here what is cut off, damaged or followed by something is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.archive import tar_headers
from mirror.blobs import CHUNK
from mirror.canonical import shown
from mirror.errors import InvalidArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.archive.tar_headers import Header, Member

EMPTY = "its archive is empty"
"""What is wrong with an archive that has no members."""

PADDING = 16 * 1024 * 1024
"""Bytes of NULs that may follow the end; tar rounds up, normally to 10 KiB."""

_NONE = "it is no tar archive, nor one that gzip, xz, bzip2 or zstd has compressed"
_CUT_OFF = "its archive is cut off"
_EXTENSIONS = {
    tar_headers.PAX: "pax header",
    tar_headers.SHARED_PAX: "pax header for all members",
    tar_headers.LONG_NAME: "long name",
    tar_headers.LONG_LINK: "long link",
}
_LARGEST_EXTENSION = 1024 * 1024


class Source:
    """The bytes of an archive, taken one after the other, `limit` of them at most."""

    def __init__(self, blocks: Iterator[bytes], limit: int) -> None:
        self._blocks = blocks
        self._limit = limit
        self._rest = memoryview(b"")
        self.at = 0

    def take(self, most: int) -> memoryview:
        """Take some bytes, `most` at most; none if there are no more."""
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        taken, self._rest = self._rest[:most], self._rest[most:]
        self.at += len(taken)
        if self.at > self._limit:
            raise InvalidArchiveError(f"its archive unpacks to more than {self._limit} bytes")
        return taken

    def read(self, size: int) -> bytes:
        """Take `size` bytes, fewer only if there are no more."""
        parts = bytearray()
        while len(parts) < size and (taken := self.take(size - len(parts))):
            parts += taken
        return bytes(parts)


def members(source: Source) -> Iterator[tuple[Member, Iterator[memoryview]]]:
    """Yield each member with its content, which is gone once the next member is asked for.

    Raises:
        InvalidArchiveError: it is no tar archive, or not a sound one; the members before that have been yielded.
    """
    shared: dict[bytes, bytes] = {}
    while header := _next_header(source):
        header, own = _with_extensions(source, header, shared)
        member = tar_headers.member(header, {**shared, **own})
        content = _content(source, member)
        yield member, content
        for _ in content:
            pass
        _skip_padding(source, member.size)
    _check_end(source)


def _next_header(source: Source) -> Header | None:
    """Read a header; None at the end of the archive, two blocks of NULs."""
    block = _read_block(source)
    if any(block):
        return _header(block, source.at - len(block))
    if any(_read_block(source)):
        raise InvalidArchiveError(f"its archive ends and goes on at byte {source.at - len(block)}")
    return None


def _read_block(source: Source) -> bytes:
    start, block = source.at, source.read(tar_headers.BLOCK)
    if len(block) < tar_headers.BLOCK:
        raise InvalidArchiveError(_CUT_OFF if start else _NONE if block else EMPTY)
    return block


def _header(block: bytes, at: int) -> Header:
    header = tar_headers.header(block)
    if not header:
        raise InvalidArchiveError(f"its archive has a damaged header at byte {at}" if at else _NONE)
    return header


def _with_extensions(source: Source, header: Header, shared: dict[bytes, bytes]) -> tuple[Header, dict[bytes, bytes]]:
    """Read on to a member's own header; returns it, and the records before it that are about this member alone."""
    own: dict[bytes, bytes] = {}
    seen: set[bytes] = set()
    while kind := _EXTENSIONS.get(header.kind):
        if header.kind in seen:  # so that their number is bounded, too
            raise InvalidArchiveError(f"its archive has a {kind} twice for one member")
        seen.add(header.kind)
        if not 0 <= header.size <= _LARGEST_EXTENSION:
            raise InvalidArchiveError(f"its archive has a {kind} of {header.size} bytes")
        records = tar_headers.extension(header.kind, source.read(header.size))
        (shared if header.kind == tar_headers.SHARED_PAX else own).update(records)
        _skip_padding(source, header.size)
        header = _header(_read_block(source), source.at - tar_headers.BLOCK)
    return header, own


def _content(source: Source, member: Member) -> Iterator[memoryview]:
    left = member.size
    while left:
        data = source.take(min(left, CHUNK))
        if not data:
            raise InvalidArchiveError(f"{_CUT_OFF} in {shown(member.name)}")
        left -= len(data)
        yield data


def _skip_padding(source: Source, size: int) -> None:
    source.read(-size % tar_headers.BLOCK)  # if it is cut off here, so is the next header


def _check_end(source: Source) -> None:
    end = source.at
    while data := source.take(CHUNK):
        if bytes(data).strip(b"\0"):
            raise InvalidArchiveError(f"something follows the end of its archive at byte {end}")
        if source.at - end > PADDING:
            raise InvalidArchiveError(f"more than {PADDING} bytes of nothing follow the end of its archive")
