"""A blob onto this device: the second stage of an update.

Bytes go to `<sha256>.part`, which outlives cuts and restarts and is continued by a Range. It gets the name
`<sha256>` once its bytes are verified and durable, so whatever has that name is whole. It never grows beyond
the size that the release list tells, and memory stays constant.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Protocol

from devclient.errors import BrokenPromiseError, NetworkError
from mirror import blobs
from mirror.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from devclient.check import Offer
    from devclient.fetcher import Body
    from mirror.files import Files

_log = logging.getLogger(__name__)


class Blobs(Protocol):
    """Where blobs come from."""

    def blob(self, sha256: str, offset: int) -> AbstractContextManager[Body]:
        """Open a blob from `offset` on, or from its start."""


def download(offer: Offer, source: Blobs, folder: Path, files: Files, progress: Callable[[int], None]) -> Blob:
    """Bring the blob of `offer` into `folder`, from where an earlier try was cut off.

    Args:
        offer: what to download.
        source: where from.
        folder: where parts and whole blobs lie.
        files: how to write.
        progress: is told how many bytes are there.

    Raises:
        BrokenPromiseError: the bytes are not those of the offer; they are removed.
        NetworkError: the connection failed; what came is kept.
    """
    sha256 = offer.content.sha256
    whole = folder / sha256
    if whole.exists() and blobs.digest(whole)[0] == sha256:
        return Blob(sha256, offer.size, whole)
    files.remove(whole)
    files.make_folder(folder)
    part = _Part(folder / f"{sha256}.part", offer.size, files)
    progress(part.size)
    if part.size < offer.size:
        _log.info("downloading %s, %d of %d bytes are here", offer, part.size, offer.size)
        _receive(part, offer, source, progress)
    part.finish(offer, whole)
    _log.info("downloaded and verified %s", offer)
    return Blob(sha256, offer.size, whole)


def at_hand(sha256: str, folder: Path) -> int:
    """Tell how many bytes of a blob are in `folder`."""
    return sum(path.stat().st_size for path in folder.glob(f"{sha256}*"))


def discard(folder: Path, keep: Collection[str], files: Files) -> None:
    """Remove blobs, and parts of blobs, that are not among the hashes to `keep`."""
    for path in folder.glob("*"):
        if path.name.removesuffix(".part") not in keep:
            files.remove(path)


def _receive(part: _Part, offer: Offer, source: Blobs, progress: Callable[[int], None]) -> None:
    """Ask for what is missing of a blob, and keep what comes."""
    with source.blob(offer.content.sha256, part.size) as body:
        if body.total not in {None, offer.size}:
            problem = f"has {body.total} bytes on the mirror and {offer.size} by the release list"
            raise BrokenPromiseError(f"the blob of {offer}", problem)
        if body.start != part.size:
            part.clear()
        part.extend(body.blocks, progress)
    if part.size < offer.size:
        raise NetworkError(f"the blob of {offer}", f"ended after {part.size} of {offer.size} bytes")


class _Part:
    """The first bytes of a blob, at most `limit`, and their hash; what an earlier run left is hashed once."""

    def __init__(self, path: Path, limit: int, files: Files) -> None:
        self._path, self._limit, self._files = path, limit, files
        self.size, self._digest = 0, hashlib.sha256()
        if path.exists():
            self._read()

    def _read(self) -> None:
        if self._path.stat().st_size > self._limit:
            self.clear()
            return
        with self._path.open("rb", buffering=0) as file:
            for chunk in blobs.chunks(file.fileno()):
                self._digest.update(chunk)
                self.size += len(chunk)

    def clear(self) -> None:
        """Start over."""
        self._files.remove(self._path)
        self.size, self._digest = 0, hashlib.sha256()

    def extend(self, blocks: Iterable[bytes], progress: Callable[[int], None]) -> None:
        """Append blocks until the limit is reached."""
        with self._files.append(self._path) as writer:
            for block in blocks:
                fitting = block[: self._limit - self.size]
                writer.write(fitting)
                self._digest.update(fitting)
                self.size += len(fitting)
                progress(self.size)
                if self.size == self._limit:
                    return

    def finish(self, offer: Offer, whole: Path) -> None:
        """Verify the bytes, make them durable and give them the name `whole`."""
        expected, actual = offer.content.sha256, self._digest.hexdigest()
        if actual != expected:
            self.clear()
            raise BrokenPromiseError(f"the blob of {offer}", f"has the SHA-256 {actual}, not {expected}")
        with self._files.append(self._path) as writer:
            writer.sync()
        self._files.rename(self._path, whole)
        self._files.sync_folder(whole.parent)
