"""Copying a dropped file while it is hashed, within the size that the site takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import TooLargeError
from mirror import blobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mirror.blobs import Blob
    from mirror.files import Files


def copy(descriptor: int, path: Path, most_bytes: int, advance: Callable[[int], None], files: Files) -> Blob:
    """Copy an open file to the new file `path`; not synced yet.

    Raises:
        TooLargeError: more than `most_bytes` bytes came; 0 is no limit.
    """
    return blobs.put(_limited(blobs.chunks(descriptor, advance), most_bytes), path, files)


def check_size(size: int, most_bytes: int) -> None:
    """See that a file is not larger than the site takes.

    Raises:
        TooLargeError: it is.
    """
    if 0 < most_bytes < size:
        raise TooLargeError(
            f"the file has more than {most_bytes} bytes, the most that this site takes: "
            "make it smaller, or have the operator raise `limits.package_bytes`"
        )


def _limited(chunks: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        check_size(size, most_bytes)
        yield chunk
