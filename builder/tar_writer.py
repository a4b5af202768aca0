"""Tar archives of the same bytes on every machine: headers of ustar and pax, by nothing but what they describe.

Not by tarfile, whose bytes change from one Python to the next. Everything belongs to root. What an archive may hold is
not judged here.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from typing import TYPE_CHECKING, Protocol

from mirror.archive.tar_headers import BLOCK, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mirror.archive.tar_headers import Member

END = bytes(2 * BLOCK)
"""What every archive ends with."""

_LETTERS = {Kind.FILE: b"0", Kind.LINK: b"1", Kind.SYMLINK: b"2", Kind.FOLDER: b"5"}
_PAX = b"x"
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_LARGEST = 8**11  # bytes of a member, from which on ustar has no room for their number
_LONGEST = 100  # bytes of a name, likewise
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"  # without name and time, of an unknown system


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def member_header(member: Member) -> bytes:
    """Return the header of a member, with a pax header before it where ustar cannot say all."""
    name, leads_to = _encoded(member.name), _encoded(member.leads_to)
    records = {b"path": name, b"linkpath": leads_to}
    records = {key: value for key, value in records.items() if len(value) > _LONGEST or _is_foreign(value)}
    size = member.size
    if size >= _LARGEST:
        records[b"size"], size = b"%d" % size, 0
    seconds = member.modified_ns // 10**9
    own = _header(name, _LETTERS[member.kind], member.mode, size, seconds, leads_to)
    if not records:
        return own
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    return _header(b"././@PaxHeader", _PAX, 0o644, len(data), seconds, b"") + data + padding(len(data)) + own


def padding(size: int) -> bytes:
    """Return what fills a content of `size` bytes up to whole blocks."""
    return bytes(-size % BLOCK)


def compressed(blocks: Iterable[bytes], compression: str) -> Iterator[bytes]:
    """Yield an archive compressed by one of `COMPRESSIONS`, in one thread: several would cut it up differently."""
    if compression == "none":
        yield from blocks
        return
    compressor, checksum, size = COMPRESSIONS[compression](), 0, 0
    if compression == "gzip":
        yield _GZIP_HEAD
    for block in blocks:
        checksum, size = zlib.crc32(block, checksum), size + len(block)
        if data := compressor.compress(block):
            yield data
    yield compressor.flush()
    if compression == "gzip":
        yield struct.pack("<II", checksum, size & 0xFFFFFFFF)


COMPRESSIONS: Mapping[str, Callable[[], _Compressor]] = {
    "gzip": lambda: zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS),
    "xz": lambda: lzma.LZMACompressor(lzma.FORMAT_XZ, preset=6),
    "bzip2": lambda: bz2.BZ2Compressor(9),
}
"""How archives may be compressed, besides "none"; devices with little memory read them all."""

SUFFIXES: Mapping[str, str] = {"gzip": ".tar.gz", "xz": ".tar.xz", "bzip2": ".tar.bz2", "none": ".tar"}


def _header(name: bytes, kind: bytes, mode: int, size: int, seconds: int, leads_to: bytes) -> bytes:
    numbers = [
        b"%0*o\0" % (width - 1, number) for number, width in ((mode, 8), (0, 8), (0, 8), (size, 12), (seconds, 12))
    ]
    rest = (kind, leads_to[:_LONGEST], b"ustar\0", b"00", b"root", b"root", b"", b"", b"")
    block = _HEADER.pack(name[:_LONGEST], *numbers, b" " * 8, *rest)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def _encoded(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _is_foreign(name: bytes) -> bool:
    """Tell whether readers could take a name in a header for one in another encoding than UTF-8."""
    try:
        return not name.decode().isascii()
    except UnicodeDecodeError:  # it is in none that is known; as bytes it is the same everywhere
        return False
