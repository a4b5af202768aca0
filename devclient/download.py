"""A blob onto this device: the second stage of an update.

Bytes go to `<sha256>.part`, which outlives cuts and restarts and is continued by a Range, from whichever URL of the
remote is next. It gets the name `<sha256>` once its bytes are verified and durable, so whatever has that name was
whole then. It never grows beyond the size that the release list tells, and memory stays constant.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
from typing import TYPE_CHECKING, Protocol

from devclient.errors import BrokenPromiseError, NetworkError, SlowMirrorError
from mirror import blobs
from mirror.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from devclient.check import Offer
    from devclient.web.answers import Body
    from mirror.files import Files

_ENOUGH = 64 * 1024
"""Bytes that are worth another request, whatever the size of the blob."""

_log = logging.getLogger(__name__)


class Blobs(Protocol):
    """Where blobs come from."""

    def blob(self, sha256: str, offset: int) -> AbstractContextManager[Body]:
        """Open a blob from `offset` on, or from its start; elsewhere than where it went wrong last, if it can."""


def download(offer: Offer, source: Blobs, folder: Path, files: Files, progress: Callable[[int], None]) -> Blob:
    """Bring the blob of `offer` into `folder`, from where an earlier try was cut off.

    Args:
        offer: what to download.
        source: where from.
        folder: where parts and whole blobs lie.
        files: how to write.
        progress: is told how many bytes are there, fewer than before if they were wrong.

    Raises:
        BrokenPromiseError: the bytes are not those of the offer, wherever they came from; they are removed.
        NetworkError: the connection failed, and nothing came by further requests; what came before is kept.
    """
    sha256 = offer.content.sha256
    whole = folder / sha256
    if _holds(whole, sha256, progress):
        return Blob(sha256, offer.size, whole)
    _remove(whole, files)
    files.make_folder(folder, 0o700)
    part = _Part(folder / f"{sha256}.part", offer.size, files, progress)
    progress(part.size)
    if not part.is_whole:
        _log.info("downloading %s, %d of %d bytes are here", offer, part.size, offer.size)
    _complete(part, offer, source, progress)
    part.finish(whole)
    _log.info("downloaded and verified %s", offer)
    return Blob(sha256, offer.size, whole)


def at_hand(sha256: str, folder: Path) -> int:
    """Tell how many bytes of a blob are in `folder`."""
    return sum(path.stat().st_size for path in folder.glob(f"{sha256}*"))


def discard(folder: Path, keep: Collection[str], files: Files) -> None:
    """Remove blobs, and parts of blobs, that are not among the hashes to `keep`."""
    for path in folder.glob("*"):
        if path.name.removesuffix(".part") not in keep:
            _remove(path, files)


def _complete(part: _Part, offer: Offer, source: Blobs, progress: Callable[[int], None]) -> None:
    """Ask for what is missing until the bytes are those of the offer, or asking does not help."""
    tries = _Tries(part.size, offer.size)
    while True:
        try:
            if not part.is_whole:
                _receive(part, offer, source, progress, tries)
            part.verify(offer)
        except (BrokenPromiseError, NetworkError) as error:
            if not _asking_helps(error, part, tries):
                raise
            _log.info("%s: asking again, %d of %d bytes are here (%s)", offer, part.size, offer.size, error)
            progress(part.size)
        else:
            return


def _asking_helps(error: BrokenPromiseError | NetworkError, part: _Part, tries: _Tries) -> bool:
    """Tell whether to ask again after an error; what was received and is wrong is dropped."""
    if isinstance(error, NetworkError):
        return tries.after_a_cut(part.size, slow=isinstance(error, SlowMirrorError))
    came, mixed = part.is_whole, part.mixed
    if came:
        part.clear()
    return tries.after_wrong_bytes(mixed=came and mixed)


def _receive(part: _Part, offer: Offer, source: Blobs, progress: Callable[[int], None], tries: _Tries) -> None:
    """Ask once for what is missing of a blob, and keep what comes."""
    what = f"the blob of {offer}"
    tries.others = None
    with source.blob(offer.content.sha256, part.size) as body:
        tries.others = body.others
        if body.total not in {None, offer.size}:
            if body.is_page:
                raise NetworkError(what, "a web page came instead, as from a network that wants a sign-in")
            problem = f"has {body.total} bytes on the mirror and {offer.size} by the release list"
            raise BrokenPromiseError(what, problem)
        if body.start != part.size:
            part.clear()
        part.extend(body.blocks, progress)
        if not part.is_whole:
            raise NetworkError(what, f"ended after {part.size} of {offer.size} bytes")
        if not part.mixed:  # within, so that the source learns who sent wrong bytes
            part.verify(offer)


class _Tries:
    """Whether a download goes on after what went wrong. It always comes to an end.

    Attributes:
        others: how many URLs there are besides the one that answered; None if none did.
    """

    def __init__(self, have: int, size: int) -> None:
        self.others: int | None = None
        self._best = have
        self._step = max(1, min(_ENOUGH, size // 100))
        self._vain = 0
        self._wrong = 0
        self._began_anew = False

    def after_a_cut(self, have: int, *, slow: bool) -> bool:
        """Go on as long as bytes come, and after that ask each URL once more."""
        # who was left for being slow has to have been fast before, or a blob of a few bytes takes hours
        if have >= self._best + (_ENOUGH if slow else self._step):
            self._best, self._vain = have, 0
            return True
        self._vain += 1
        # if nobody answered, each URL has just been asked
        return self.others is not None and self._vain <= self.others + 1

    def after_wrong_bytes(self, *, mixed: bool) -> bool:
        """Begin anew once if the bytes are of several answers, any of which may be the wrong one; else ask others."""
        self._best = self._vain = 0
        if mixed and not self._began_anew:
            self._began_anew = True
            return True
        self._wrong += 1
        return self._wrong <= (self.others or 0)


class _Part:
    """The first bytes of a blob, at most `limit`, and their hash; what an earlier run left is hashed once.

    Attributes:
        size: how many there are.
        mixed: whether not all of them came by one answer.
    """

    def __init__(self, path: Path, limit: int, files: Files, progress: Callable[[int], None]) -> None:
        self._path, self._limit, self._files = path, limit, files
        self._empty()
        try:
            self._read(progress)
        except OSError:  # a disk that does not give back what was written
            self.clear()

    @property
    def is_whole(self) -> bool:
        """Whether there are as many as there should be."""
        return self.size == self._limit

    def _empty(self) -> None:
        self.size, self.mixed, self._digest = 0, False, hashlib.sha256()

    def _read(self, progress: Callable[[int], None]) -> None:
        if not _is_file(self._path) or self._path.stat().st_size > self._limit:
            self.clear()
            return
        with self._path.open("rb", buffering=0) as file:
            for chunk in blobs.chunks(file.fileno()):
                self._digest.update(chunk)
                self.size += len(chunk)
                progress(self.size)
        self.mixed = self.size > 0

    def clear(self) -> None:
        """Start over."""
        _remove(self._path, self._files)
        self._empty()

    def extend(self, blocks: Iterable[bytes], progress: Callable[[int], None]) -> None:
        """Append the blocks of one answer until the limit is reached."""
        self.mixed = self.size > 0
        with self._files.append(self._path) as writer:
            for block in blocks:
                fitting = block[: self._limit - self.size]
                writer.write(fitting)
                self._digest.update(fitting)
                self.size += len(fitting)
                progress(self.size)
                if self.is_whole:
                    return

    def verify(self, offer: Offer) -> None:
        """See that the bytes are those of the offer.

        Raises:
            BrokenPromiseError: they are not.
        """
        expected, actual = offer.content.sha256, self._digest.hexdigest()
        if actual != expected:
            raise BrokenPromiseError(f"the blob of {offer}", f"has the SHA-256 {actual}, not {expected}")

    def finish(self, whole: Path) -> None:
        """Make the bytes durable and give them the name `whole`."""
        with self._files.append(self._path) as writer:
            writer.sync()
        self._files.rename(self._path, whole)
        self._files.sync_folder(whole.parent)


def _holds(whole: Path, sha256: str, progress: Callable[[int], None]) -> bool:
    """Tell whether a blob is there and still what it was when it got its name."""
    sizes = itertools.count(blobs.CHUNK, blobs.CHUNK)
    with contextlib.suppress(OSError):
        return _is_file(whole) and blobs.digest(whole, lambda _: progress(next(sizes)))[0] == sha256
    return False


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _remove(path: Path, files: Files) -> None:
    remove = files.remove_tree if path.is_dir() else files.remove
    remove(path)
