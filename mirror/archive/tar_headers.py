"""The headers of tar archives: how they spell a member, not what a member may be.

Pure. The first Unix', ustar's, GNU's and pax' forms are read, strictly: what readers of tar could take differently is
an error. Names are bytes: those that are not UTF-8 are kept by the error handler `surrogateescape`.
"""

from __future__ import annotations

import contextlib
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

PAX, SUN_PAX, SHARED_PAX, LONG_NAME, LONG_LINK, LABEL = b"x", b"X", b"g", b"L", b"K", b"V"
"""Headers that come before a member's own one and have a content: what does not fit into that one, or a label."""

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s16x155s12x")
_CHECKSUM = slice(148, 156)
_USTAR, _GNU, _OLD = b"ustar\0", b"ustar  \0", bytes(8)
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")
_OCTAL = re.compile(rb"[0-7]+")
_SIZE = re.compile(rb"-?[0-9]{1,40}")
_TIME = re.compile(rb"(-?)([0-9]{1,40})(?:\.([0-9]*))?")
_READ = frozenset({b"path", b"linkpath", b"size", b"mtime", b"uid", b"gid", b"uname", b"gname"})
_ATTRIBUTES = (b"SCHILY.xattr.", b"LIBARCHIVE.xattr.", b"SCHILY.acl.", b"RHT.security.selinux")
_OF_MACS = b".xattr.com.apple."  # means nothing to Linux
_SPARSE = (b"GNU.sparse.", b"SUN.holesdata", b"SCHILY.realsize")
_NOT_SPARSE = "which is not unpacked (make it without tar's --sparse)"
_REFUSED = {b"3": "a device", b"4": "a device", b"6": "a FIFO", b"S": f"a sparse file, {_NOT_SPARSE}"}

EARLIEST_NS, LATEST_NS = -(2**31) * 10**9, 2**33 * 10**9 - 1
"""Times before and after these, in nanoseconds since 1970, are read as these: file systems keep no others."""


class Kind(Enum):
    """What a member is."""

    FILE = "a file"
    FOLDER = "a folder"
    SYMLINK = "a symlink"
    LINK = "a hard link"


_LISTED_FOLDER = b"D"  # of GNU's incremental archives: its content lists what was in the folder
_FILES = frozenset({b"0", b"\0", b"7"})
_KINDS = {
    **dict.fromkeys(_FILES, Kind.FILE),
    b"1": Kind.LINK,
    b"2": Kind.SYMLINK,
    b"5": Kind.FOLDER,
    _LISTED_FOLDER: Kind.FOLDER,
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as the archive has it.

    Attributes:
        mode: with setuid, setgid and sticky bits.
        size: of its content, in bytes.
        modified_ns: in nanoseconds since 1970.
        leads_to: what a link leads to.
        owner: user and group as text, "" if both are root.
        attributes: the pax keys of its extended attributes and access control lists.
    """

    name: str
    kind: Kind
    mode: int
    size: int
    modified_ns: int
    leads_to: str
    owner: str = ""
    attributes: tuple[str, ...] = ()


class Header(NamedTuple):
    """The fields of one header, undecoded."""

    name: bytes
    mode: int
    user: bytes
    group: bytes
    size: int
    modified: int
    kind: bytes
    leads_to: bytes
    user_name: bytes
    group_name: bytes


def header(block: bytes) -> Header | None:
    """Read a header; None if these bytes are none."""
    fields = _HEADER.unpack(block)
    name, mode, user, group, size, modified, checksum, kind, leads_to, magic, user_name, group_name, prefix = fields
    if not _is_checksum(_octal(checksum), block):
        return None
    if not magic.startswith(_USTAR) and magic not in {_GNU, _OLD}:
        return None
    # GNU's form has other things where the prefix is
    names = [_text(prefix), _text(name)] if magic.startswith(_USTAR) and prefix[0] else [_text(name)]
    return Header(
        b"/".join(names),
        _number(mode),
        user,
        group,
        _number(size),
        _number(modified),
        kind,
        _text(leads_to),
        _text(user_name),
        _text(group_name),
    )


def extension(kind: bytes, data: bytes) -> dict[bytes, bytes]:
    """Read the content of a header that comes before a member's own one; returns the pax records that it stands for."""
    if kind == LONG_NAME:
        return {b"path": _text(data)}
    if kind == LONG_LINK:
        return {b"linkpath": _text(data)}
    if kind == LABEL:
        return {}
    records = dict(_records(data))
    if kind == SHARED_PAX and records.keys() & {b"path", b"linkpath", b"size"}:
        raise InvalidArchiveError("its archive gives all its members one name or one size")
    return records


def member(found: Header, records: Mapping[bytes, bytes]) -> Member:
    """Read a member from its own header and the pax records that apply to it; an empty one is as good as none."""
    name = _decoded(records.get(b"path") or found.name)
    kind = _kind(found, name)
    leads_to = records.get(b"linkpath") or found.leads_to if kind in {Kind.SYMLINK, Kind.LINK} else b""
    size = _size(name, records.get(b"size") or b"%d" % found.size)
    if size and kind is not Kind.FILE and found.kind != _LISTED_FOLDER:
        raise InvalidArchiveError(f"{shown(name)} is {kind.value} with a content of {size} bytes")
    modified_ns = _nanoseconds(name, records.get(b"mtime") or b"%d" % found.modified)
    attributes = tuple(_decoded(key) for key in records if key.startswith(_ATTRIBUTES))
    owner = _owner(found, records)
    return Member(name, kind, found.mode & 0o7777, size, modified_ns, _decoded(leads_to), owner, attributes)


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
            raise InvalidArchiveError(f"its archive has a sparse file, {_NOT_SPARSE}")
        if key in _READ:
            yield key, value
        elif key.startswith(_ATTRIBUTES) and _OF_MACS not in key:
            yield key, b""
        at = end


def _is_checksum(stated: int | None, block: bytes) -> bool:
    rest = block[: _CHECKSUM.start] + block[_CHECKSUM.stop :]
    unsigned = sum(rest) + 8 * ord(" ")
    # some early writers took bytes for signed numbers
    return stated == unsigned or (stated is not None and stated == unsigned - 256 * sum(byte > 127 for byte in rest))


def _kind(found: Header, name: str) -> Kind:
    letter, kind = found.kind, _KINDS.get(found.kind)
    if kind is None:
        raise InvalidArchiveError(
            f"{shown(name)} is {_REFUSED.get(letter, f'of a kind that is not unpacked ({letter!r})')}"
        )
    if letter in _FILES and name.endswith("/") and not found.size:  # the spelling of folders before they had a letter
        return Kind.FOLDER
    if kind is not Kind.FOLDER and name.endswith("/"):
        raise InvalidArchiveError(f"{shown(name)} is {kind.value} with the name of a folder")
    return kind


def _size(name: str, text: bytes) -> int:
    if not _SIZE.fullmatch(text):
        raise InvalidArchiveError(f"{shown(name)} has a size that is no number: {_quoted(text)}")
    size = int(text)
    if size < 0:
        raise InvalidArchiveError(f"{shown(name)} has {size} bytes")
    return size


def _owner(found: Header, records: Mapping[bytes, bytes]) -> str:
    user, group = records.get(b"uid") or _id(found.user), records.get(b"gid") or _id(found.group)
    if not user.strip(b"0") and not group.strip(b"0"):
        return ""
    names = records.get(b"uname") or found.user_name, records.get(b"gname") or found.group_name
    return f"{_decoded(names[0] or user)}:{_decoded(names[1] or group)}"


def _id(field: bytes) -> bytes:
    """Read the number of a user or group; what is none is no reason to refuse anything, as nobody is given it."""
    with contextlib.suppress(InvalidArchiveError):
        return b"%d" % _number(field)
    return b"0"


def _nanoseconds(name: str, text: bytes) -> int:
    found = _TIME.fullmatch(text)
    if not found:
        raise InvalidArchiveError(f"{shown(name)} has a time that is no number: {_quoted(text)}")
    sign, seconds, fraction = found.groups(b"")
    value = int(seconds) * 10**9 + int((fraction + b"000000000")[:9])
    return max(EARLIEST_NS, min(LATEST_NS, -value if sign else value))


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
    return text.decode(errors="surrogateescape")


def _quoted(text: bytes) -> str:
    return shown(text.decode(errors="backslashreplace"))
