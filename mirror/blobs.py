"""Blobs: bytes that are named by their SHA-256.

Bytes are hashed while they are copied: what was hashed is what was written, whoever still holds the source.
Memory stays constant: one chunk of `CHUNK` bytes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from mirror.files import Files

CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that were hashed while they were written to `path`."""

    sha256: str
    size: int
    path: Path


def put(chunks: Iterable[bytes], path: Path, files: Files) -> Blob:
    """Write `chunks` to the new file `path` and hash them on the way; not synced yet."""
    digest, size = hashlib.sha256(), 0
    with files.create(path) as writer:
        for chunk in chunks:
            digest.update(chunk)
            writer.write(chunk)
            size += len(chunk)
    return Blob(digest.hexdigest(), size, path)


def chunks(descriptor: int, progress: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """Yield the bytes of an open file from where it stands, telling `progress` the size of each chunk."""
    while chunk := os.read(descriptor, CHUNK):
        progress(len(chunk))
        yield chunk


def digest(path: Path, progress: Callable[[int], None] = lambda _: None) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of a file."""
    with path.open("rb", buffering=0) as file:
        return hashed(file.fileno(), progress)


def hashed(descriptor: int, progress: Callable[[int], None] = lambda _: None) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of what is left of an open file."""
    result, size = hashlib.sha256(), 0
    for chunk in chunks(descriptor, progress):
        result.update(chunk)
        size += len(chunk)
    return result.hexdigest(), size


def unwanted(folder: Path, keep: Callable[[str], bool]) -> list[str]:
    """Return the hashes of the blobs in `folder` that `keep` does not want."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if names.is_sha256(path.name) and not keep(path.name))


def prune(folder: Path, keep: Callable[[str], bool], files: Files) -> list[str]:
    """Remove the blobs in `folder` that `keep` does not want; returns their hashes."""
    gone = unwanted(folder, keep)
    for sha256 in gone:
        files.remove(folder / sha256)
    return gone
