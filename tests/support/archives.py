"""Tar archives to unpack: honest ones, written by Python's tarfile, and others, written field by field.

What unpacking makes of them is compared by `look`, which sees all that an archive can say of a folder.
"""

from __future__ import annotations

import bz2
import errno
import functools
import gzip
import hashlib
import importlib
import io
import lzma
import os
import random
import stat
import struct
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devclient import unpack as stage
from mirror.archive.archive import Limits, Size
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mirror.files import Calls

BLOCK = 512
END = bytes(2 * BLOCK)
"""What every archive ends with."""

TIME = 1_700_000_000_123_456_789
"""A modification time, in nanoseconds since 1970."""

FILE, OLD_FILE, LINK, SYMLINK, FOLDER, PAX, SHARED_PAX, LONG_NAME, LONG_LINK = b"0", b"\0", b"1", b"2", b"5", *(
    b"x", b"g", b"L", b"K",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One entry of an honest archive."""

    name: str
    data: bytes = b""
    kind: bytes = FILE
    mode: int = 0o644
    leads_to: str = ""
    modified_ns: int = TIME


TREE = (
    Entry(".", kind=FOLDER, mode=0o751),
    Entry("bin", kind=FOLDER, mode=0o755),
    Entry("bin/app", b"#!/bin/sh\n" * 120_000, mode=0o755),
    Entry("bin/tool", kind=LINK, mode=0o755, leads_to="bin/app"),
    Entry("bin/current", kind=SYMLINK, mode=0o777, leads_to="../share/grüße/データ"),
    Entry("share/grüße/データ", "名".encode(), mode=0o400),
    Entry("share/grüße/up", kind=SYMLINK, mode=0o777, leads_to="../.."),
    Entry("share/empty", b"", mode=0o600, modified_ns=0),
    Entry("share/sealed", kind=FOLDER, mode=0o500),
    Entry("share/sealed/secret", b"secret", mode=0o400),
    Entry("/".join(["long" * 20] * 5), random.Random(0).randbytes(1_200_000)),
    Entry("last", kind=SYMLINK, mode=0o777, leads_to="/".join(["long" * 20] * 5)),
)
"""Something of everything that a folder may have."""

Seen = tuple[str, int, int, str | bytes]


def pack(entries: Iterable[Entry], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Make an honest archive; only pax' form keeps parts of a second."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.type, member.mode, member.linkname = entry.kind, entry.mode, entry.leads_to
            member.size, member.mtime = len(entry.data), entry.modified_ns // 10**9
            if form == tarfile.PAX_FORMAT:
                seconds, rest = divmod(abs(entry.modified_ns), 10**9)
                member.pax_headers = {"mtime": f"{'-' if entry.modified_ns < 0 else ''}{seconds}.{rest:09}"}
            archive.addfile(member, io.BytesIO(entry.data))
    return packed.getvalue()


def header(  # a table of fields has as many columns as it needs
    name: bytes | str,
    kind: bytes = FILE,
    *,
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    leads_to: bytes | str = b"",
    modified: int | bytes = 1_700_000_000,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
) -> bytes:
    """Write one header with a right checksum, whatever it says."""
    fields = [_bytes(name), _octal(mode, 8), _octal(0, 8), _octal(0, 8), _octal(size, 12), _octal(modified, 12)]
    block = struct.pack("100s8s8s8s12s12s8sc100s8s80x155s12x", *fields, b" " * 8, kind, _bytes(leads_to), magic, prefix)
    return sealed(block)


def sealed(block: bytes) -> bytes:
    """Give a header its right checksum."""
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def member(name: bytes | str, data: bytes = b"", kind: bytes = FILE, **fields: Any) -> bytes:
    """Write a header with its content, padded."""
    return header(name, kind, **{"size": len(data), **fields}) + data + bytes(-len(data) % BLOCK)


def record(key: str, value: str | bytes) -> bytes:
    """Write one record of a pax header."""
    rest = b" " + key.encode() + b"=" + _bytes(value) + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def pax(records: Mapping[str, str | bytes], kind: bytes = PAX) -> bytes:
    """Write a pax header for the member that follows."""
    return member("pax", b"".join(record(key, value) for key, value in records.items()), kind)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _octal(value: int | bytes, width: int) -> bytes:
    return value if isinstance(value, bytes) else b"%0*o\0" % (width - 1, value)


def zstd(name: str) -> Callable[[bytes], bytes]:
    """Return how the module `name` compresses.

    Raises:
        ImportError: there is no such module.
    """
    module = importlib.import_module(name)
    compress: Callable[[bytes], bytes] = module.compress
    return compress


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": functools.partial(gzip.compress, compresslevel=1),
    "xz": functools.partial(lzma.compress, preset=0),
    "bzip2": functools.partial(bz2.compress, compresslevel=1),
}


def gzip_of_nothing(size: int, before: bytes = b"") -> bytes:
    """Compress `before` and then `size` NULs by gzip, quickly: a whole number of MiB."""
    stream = zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS)
    head = stream.compress(before) + stream.flush(zlib.Z_FULL_FLUSH)
    one = stream.compress(bytes(2**20)) + stream.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(before)
    for _ in range(size // 2**20):
        checksum = zlib.crc32(bytes(2**20), checksum)
    return head + one * (size // 2**20) + b"\x03\0" + struct.pack("<II", checksum, (len(before) + size) & 0xFFFFFFFF)


def look(folder: Path) -> dict[str, Seen]:
    """See all that is in a folder, and itself as ".": kind, mode, time and bytes or target of each."""
    return {str(path.relative_to(folder)): _look_at(path) for path in [folder, *folder.rglob("*")]}


def _look_at(path: Path) -> Seen:
    found = path.lstat()
    if path.is_symlink():
        return "symlink", 0, 0, os.readlink(path)  # noqa: PTH115 - as it is, not normalised
    if path.is_dir():
        return "folder", stat.S_IMODE(found.st_mode), found.st_mtime_ns, b""
    return "file", stat.S_IMODE(found.st_mode), found.st_mtime_ns, path.read_bytes()


def wanted(entries: Sequence[Entry], step: int = 1) -> dict[str, Seen]:
    """Tell what `look` sees where these entries are unpacked, with times in steps of so many nanoseconds.

    Folders without an entry are left out.
    """
    data = {entry.name: entry.data for entry in entries}
    seen: dict[str, Seen] = {}
    for entry in entries:
        if entry.kind == SYMLINK:
            seen[entry.name] = ("symlink", 0, 0, entry.leads_to)
        elif entry.kind == FOLDER:
            mode = entry.mode | 0o755 if entry.name == "." else entry.mode  # others are to reach what is in it
            seen[entry.name] = ("folder", mode, entry.modified_ns // step * step, b"")
        else:
            seen[entry.name] = (
                "file",
                entry.mode,
                entry.modified_ns // step * step,
                data[entry.leads_to or entry.name],
            )
    return seen


def leads_out(folder: Path) -> list[str]:
    """Name what leads out of a folder when all links are followed, also to what is not there."""
    home = os.path.realpath(folder)
    return [str(path) for path in folder.rglob("*") if not _in_a_circle(path) and not _real(path).is_relative_to(home)]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _in_a_circle(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


@contextmanager
def untouched(folder: Path) -> Iterator[Path]:
    """Give a place to unpack into, `new`, beside things of which none may be different afterwards."""
    home = folder / "home"
    home.mkdir()
    (home / "canary").write_bytes(b"sings")
    (home / "canary").chmod(0o640)
    (home / "cage").mkdir(mode=0o711)
    before = look(home)
    yield home / "new"
    after = {path: seen for path, seen in look(home).items() if path.split("/")[0] != "new"}
    assert {**after, ".": None} == {**before, ".": None}, "what is beside the folder was touched"
    assert {path.name for path in folder.iterdir()} <= {"home", "blob"}


WHAT = "app 2.0"
"""The release that all these archives are of."""


def put(folder: Path, data: bytes) -> Path:
    """Make the blob of an archive."""
    file = folder / "blob"
    file.write_bytes(data)
    return file


def measure(file: Path, limits: Limits | None = None) -> Size:
    """Measure a blob."""
    return stage.measure(file, WHAT, limits or Limits())


def unpack(file: Path, folder: Path, limits: Limits | None = None, calls: Calls | None = None) -> None:
    """Unpack a blob that has the hash that it should have."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    stage.unpack(file, folder, WHAT, sha256, limits or Limits(), Files(calls))
