"""The headers of tar archives: how they spell a member, not what a member may be.

Pure. Ustar, GNU's and pax' forms are read, strictly: what readers of tar could take differently is an error.
Owners and extended attributes are not read.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from mirror.canonical import shown
from mirror.errors import InvalidArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BLOCK = 512
"""Bytes of a header; contents are padded to a multiple of it."""

PAX, SHARED_PAX, LONG_NAME, LONG_LINK = b"x", b"g", b"L", b"K"
"""Headers that come before a member's own one and have a content: what does not fit into that one."""

_HEADER = struct.Struct("100s8s16x12s12s8sc100s8s80x155s12x")
_USTAR, _GNU, _OLD = b"ustar\0", b"ustar  \0", bytes(8)
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")
_OCTAL = re.compile(rb"[0-7]+")
_SIZE = re.compile(rb"-?[0-9]{1,40}")
_TIME = re.compile(rb"(-?)([0-9]{1,40})(?:\.([0-9]*))?")
_READ = frozenset({b"path", b"linkpath", b"size", b"mtime"})
_SPARSE = (b"GNU.sparse.", b"SUN.holesdata", b"SCHILY.realsize")
_REFUSED = {b"3": "a device", b"4": "a device", b"6": "a FIFO", b"S": "a sparse file"}
_TIMES = range(-(2**31), 2**33)  # seconds, until 2242: file systems keep no more


class Kind(Enum):
    """What a member is."""

    FILE = "a file"
    FOLDER = "a folder"
    SYMLINK = "a symlink"
    LINK = "a hard link"


_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"1": Kind.LINK, b"2": Kind.SYMLINK, b"5": Kind.FOLDER}


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as the archive has it.

    Attributes:
        mode: with setuid, setgid and sticky bits.
        size: of its content, in bytes.
        modified_ns: in nanoseconds since 1970.
        leads_to: what a link leads to.
    """

    name: str
    kind: Kind
    mode: int
    size: int
    modified_ns: int
    leads_to: str


class Header(NamedTuple):
    """The fields of one header, undecoded."""

    name: bytes
    mode: int
    size: int
    modified: int
    kind: bytes
    leads_to: bytes


def header(block: bytes) -> Header | None:
    """Read a header; None if these bytes are none."""
    name, mode, size, modified, checksum, kind, leads_to, magic, prefix = _HEADER.unpack(block)
    if _octal(checksum) != sum(block) - sum(checksum) + 8 * ord(" "):
        return None
    if not magic.startswith(_USTAR) and magic not in {_GNU, _OLD}:
        return None
    # GNU's form has other things where the prefix is
    names = [_text(prefix), _text(name)] if magic.startswith(_USTAR) and prefix[0] else [_text(name)]
    return Header(b"/".join(names), _number(mode), _number(size), _number(modified), kind, _text(leads_to))


def extension(kind: bytes, data: bytes) -> dict[bytes, bytes]:
    """Read the content of a header that comes before a member's own one; returns the pax records that it stands for."""
    if kind == LONG_NAME:
        return {b"path": _text(data)}
    if kind == LONG_LINK:
        return {b"linkpath": _text(data)}
    records = dict(_records(data))
    if kind == SHARED_PAX and records.keys() - {b"mtime"}:
        raise InvalidArchiveError("its archive gives all its members one name or one size")
    return records


def member(found: Header, records: Mapping[bytes, bytes]) -> Member:
    """Read a member from its own header and the pax records that apply to it; an empty one is as good as none."""
    name = _decoded(records.get(b"path") or found.name)
    kind = _kind(found.kind, name)
    leads_to = records.get(b"linkpath") or found.leads_to if kind in {Kind.SYMLINK, Kind.LINK} else b""
    size = _size(name, kind, records.get(b"size") or b"%d" % found.size)
    modified_ns = _nanoseconds(name, records.get(b"mtime") or b"%d" % found.modified)
    return Member(name, kind, found.mode & 0o7777, size, modified_ns, _decoded(leads_to))


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    r"""Yield the records of a pax header that are read here; LENGTH counts all of "LENGTH KEY=VALUE" and a newline."""
    at = 0
    while at < len(data):
        length = _RECORD.match(data, at)
        end = at + int(length[1]) if length else at
        record = data[length.end() if length else at : end]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or not record.endswith(b"\n") or end > len(data):
            raise InvalidArchiveError(f"its archive has a damaged pax header: {_quoted(data[at : at + 60])}")
        if key.startswith(_SPARSE):
            raise InvalidArchiveError(
                "its archive has a sparse file, which is not unpacked (make it without tar's --sparse)"
            )
        if key in _READ:
            yield key, value
        at = end


def _kind(letter: bytes, name: str) -> Kind:
    kind = _KINDS.get(letter)
    if kind is None:
        raise InvalidArchiveError(
            f"{shown(name)} is {_REFUSED.get(letter, f'of a kind that is not unpacked ({letter!r})')}"
        )
    if letter == b"\0" and name.endswith("/"):  # the spelling of folders before they had a letter
        return Kind.FOLDER
    if kind is not Kind.FOLDER and name.endswith("/"):
        raise InvalidArchiveError(f"{shown(name)} is {kind.value} with the name of a folder")
    return kind


def _size(name: str, kind: Kind, text: bytes) -> int:
    if not _SIZE.fullmatch(text):
        raise InvalidArchiveError(f"{shown(name)} has a size that is no number: {_quoted(text)}")
    size = int(text)
    if size < 0:
        raise InvalidArchiveError(f"{shown(name)} has {size} bytes")
    if size and kind is not Kind.FILE:
        raise InvalidArchiveError(f"{shown(name)} is {kind.value} with a content of {size} bytes")
    return size


def _nanoseconds(name: str, text: bytes) -> int:
    found = _TIME.fullmatch(text)
    if not found:
        raise InvalidArchiveError(f"{shown(name)} has a time that is no number: {_quoted(text)}")
    sign, seconds, fraction = found.groups(b"")
    value = int(seconds) * 10**9 + int((fraction + b"000000000")[:9])
    value = -value if sign else value
    if value // 10**9 not in _TIMES:
        raise InvalidArchiveError(
            f"{shown(name)} has a time that no device can keep: {_quoted(text)} seconds after 1970"
        )
    return value


def _number(field: bytes) -> int:
    """Read a number: octal digits or, after a mark, binary."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:
        return int.from_bytes(field, "big", signed=True)
    if (number := _octal(field)) is None:
        raise InvalidArchiveError(f"its archive has a damaged header: {_quoted(field)} is no number")
    return number


def _octal(field: bytes) -> int | None:
    digits = _text(field).strip(b" ") or b"0"
    return int(digits, 8) if _OCTAL.fullmatch(digits) else None


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise InvalidArchiveError(f"{_quoted(text)} is not UTF-8, as names have to be") from None


def _quoted(text: bytes) -> str:
    return shown(text.decode(errors="backslashreplace"))
