"""The bytes of a file that may be compressed, in blocks: constant memory, whatever the file claims.

What compressed it is told by its first bytes, never by its name. Streams one after the other are one, as pbzip2
and pzstd write them, and NULs may pad them; anything else that follows a stream is an error. The modules bz2 and
lzma would not mind, so their decompressors are driven here. What the bytes mean is not known here.
"""

from __future__ import annotations

import bz2
import importlib
import itertools
import lzma
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from mirror.blobs import CHUNK
from mirror.errors import InvalidArchiveError, UnreadableArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_FEED = 64 * 1024  # what follows a stream is copied, so many small streams must not come in one large piece
MEMORY = 128 * 1024 * 1024
"""Bytes of memory for xz and zstd; `xz -9` and `zstd -19` need less."""

_TOO_MUCH_MEMORY = re.compile(r"[Mm]emory|[Ww]indow")  # as liblzma and libzstd say it
_KINDS = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),  # the second, because pzstd begins with it
}


class _Decompressor(Protocol):
    """One stream being decompressed, as the standard library has them."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


@dataclass(frozen=True)
class _Method:
    """How streams of one kind are begun, and what they raise when they are damaged."""

    begin: Callable[[], _Decompressor]
    error: type[Exception]


def plain(
    chunks: Iterator[bytes], importing: Callable[[str], Any] = importlib.import_module, memory: int = MEMORY
) -> Iterator[bytes]:
    """Return the bytes of a file, given in `chunks`, without their compression; no block of them is empty.

    Raises:
        UnreadableArchiveError: this Python cannot read that compression, or not in so much memory; or, from the blocks:
        InvalidArchiveError: it is damaged.
    """
    first = next(chunks, b"")
    chunks = itertools.chain([first] if first else [], chunks)
    compressed = kind(first)
    return _decompressed(chunks, compressed, _method(compressed, importing, memory)) if compressed else chunks


def kind(head: bytes) -> str:
    """Tell what compressed a file that begins with `head`, "" for nothing."""
    if head[257:262] == b"ustar":  # a tar archive, whatever the name of its first member looks like
        return ""
    return next((kind for kind, magic in _KINDS.items() if magic.match(head)), "")


def _method(kind: str, importing: Callable[[str], Any], memory: int) -> _Method:
    if kind == "gzip":
        return _Method(_Gzip, zlib.error)
    if kind == "xz":
        return _Method(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memory), lzma.LZMAError)
    if kind == "bzip2":
        return _Method(bz2.BZ2Decompressor, OSError)
    return _zstd(importing, memory)


def _zstd(importing: Callable[[str], Any], memory: int) -> _Method:
    for name in ("compression.zstd", "backports.zstd"):  # Python 3.14 and later; the same for earlier ones
        with suppress(ImportError):
            module = importing(name)
            options = {module.DecompressionParameter.window_log_max: memory.bit_length() - 1}
            return _Method(partial(module.ZstdDecompressor, options=options), module.ZstdError)
    with suppress(ImportError):
        module = importing("zstandard")
        return _Method(lambda: _Zstandard(module.ZstdDecompressor(max_window_size=memory)), module.ZstdError)
    raise UnreadableArchiveError(
        "its archive is compressed by zstd, which the Python here cannot read"
        " (3.14 can, and others that have the package zstandard or backports.zstd)"
    )


def _decompressed(chunks: Iterable[bytes], kind: str, method: _Method) -> Iterator[bytes]:
    stream, streams = method.begin(), 1
    for piece in _pieces(chunks):
        rest = piece
        while rest or not (stream.needs_input or stream.eof):
            if stream.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                stream, streams = method.begin(), streams + 1
            try:
                data = stream.decompress(rest, CHUNK)
            except (method.error, EOFError, ValueError) as error:
                raise _damage(kind, streams, error) from None
            rest = stream.unused_data if stream.eof else b""
            if data:
                yield data
    if not stream.eof:
        raise InvalidArchiveError(f"its archive is cut off: what {kind} compressed does not end")


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    return (chunk[start : start + _FEED] for chunk in chunks for start in range(0, len(chunk), _FEED))


def _damage(kind: str, streams: int, error: Exception) -> InvalidArchiveError:
    if _TOO_MUCH_MEMORY.search(str(error)):
        return UnreadableArchiveError(
            f"its archive takes more memory to decompress than there is for it: {kind} says {error}"
        )
    where = "" if streams == 1 else ", or something follows its end"
    return InvalidArchiveError(f"its archive is damaged{where}: {kind} says {error}")


class _Gzip:
    """zlib's decompressor for gzip, like the others of the standard library."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self.eof, self.needs_input, self.unused_data = False, True, b""

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """Decompress `data`, and what was left before it, to `max_length` bytes at most."""
        given = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self.eof, self.unused_data = self._stream.eof, self._stream.unused_data
        self.needs_input = not self._stream.unconsumed_tail
        return given


class _Zstandard:
    """The package zstandard's decompressor, likewise; it has no `max_length`, so it gets little at a time."""

    _LITTLE = 256  # bytes of zstd become 8 MiB at most

    def __init__(self, decompressor: Any) -> None:
        self._stream = decompressor.decompressobj()
        self._left = b""
        self.eof, self.needs_input, self.unused_data = False, True, b""

    def decompress(self, data: bytes, _: int = -1, /) -> bytes:
        """Decompress the next few bytes of what was left and of `data`."""
        todo = self._left + data
        given: bytes = self._stream.decompress(todo[: self._LITTLE])
        self._left = todo[self._LITTLE :]
        self.eof = self._stream.eof
        self.needs_input = not self._left
        if self.eof:
            self.unused_data = self._stream.unused_data + self._left
        return given
