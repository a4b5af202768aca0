"""Bytes that came compressed, without believing that they are few when they are many."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_GZIP = 16 + zlib.MAX_WBITS
_OVERHEAD = 64 * 1024  # what cannot be compressed grows a little, and gzip has a head and a tail


def inflate(blocks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Decompress one gzip stream; gives one byte more than `limit` at most, and then ends.

    Raises:
        ValueError: it is not one gzip stream from its head to its end.
    """
    stream, came, given = zlib.decompressobj(_GZIP), 0, 0
    for block in blocks:
        came += len(block)
        if came > limit + _OVERHEAD:
            raise ValueError("more bytes came than the compressed file has")
        data = _decompress(stream, block, limit + 1 - given)
        given += len(data)
        yield data
        if given > limit:
            return
        if stream.unused_data:
            raise ValueError("more bytes came than the compressed file has")
    if not stream.eof:
        raise ValueError("the compressed file was cut off")


def _decompress(stream: zlib._Decompress, block: bytes, most: int) -> bytes:
    try:
        return stream.decompress(block, most)
    except zlib.error as error:
        raise ValueError(f"the compressed file is damaged ({error})") from None
