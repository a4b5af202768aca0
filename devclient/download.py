"""A blob onto this device: the second stage of an update.

Bytes go to `<sha256>.part`, which outlives cuts and restarts and is continued by a Range, from whichever URL of the
remote is next. It gets the name `<sha256>` once its bytes are verified and durable, so whatever has that name was
whole then. It never grows beyond the size that the release list tells, and memory stays constant. A blob that is
shorter on the mirror than the list tells is still being copied there: what there is of it is kept.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import TYPE_CHECKING, Protocol

from devclient.errors import BrokenPromiseError, NetworkError, ShortBlobError, SlowMirrorError, WebPageError
from devclient.partial import DifferentBytesError, Part, is_file, remove
from devclient.web import pages
from mirror import blobs
from mirror.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
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

    def blob(self, sha256: str, offset: int, *, around_caches: bool = False) -> AbstractContextManager[Body]:
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
    remove(whole, files)
    files.make_folder(folder, 0o700)
    part = Part(folder / f"{sha256}.part", offer.size, files, progress)
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
            remove(path, files)


def _complete(part: Part, offer: Offer, source: Blobs, progress: Callable[[int], None]) -> None:
    """Ask for what is missing until the bytes are those of the offer, or asking does not help."""
    tries = _Tries(part.size, offer.size)
    while True:
        try:
            if not part.is_whole:
                _receive(part, offer, source, tries)
            part.verify(offer.content.sha256, f"the blob of {offer}")
        except (BrokenPromiseError, NetworkError) as error:
            if not _asking_helps(error, part, tries):
                raise
            _log.info("%s: asking again, %d of %d bytes are here (%s)", offer, part.size, offer.size, error)
            progress(part.size)
        else:
            return


def _asking_helps(error: BrokenPromiseError | NetworkError, part: Part, tries: _Tries) -> bool:
    """Tell whether to ask again after an error; what was received and is wrong is dropped."""
    if isinstance(error, BrokenPromiseError | ShortBlobError):
        tries.around_caches = True  # one may keep for a year what it has under a name that never changes
    if isinstance(error, NetworkError):
        return tries.after_a_cut(part.size, slow=isinstance(error, SlowMirrorError))
    came, mixed = part.is_whole, part.mixed
    if came:
        part.clear()
    return tries.after_wrong_bytes(mixed=came and mixed)


def _receive(part: Part, offer: Offer, source: Blobs, tries: _Tries) -> None:
    """Ask once for what is missing of a blob, and keep what comes."""
    what = f"the blob of {offer}"
    tries.others = None
    with source.blob(offer.content.sha256, part.size, around_caches=tries.around_caches) as body:
        tries.others = body.others
        if body.total not in {None, offer.size} and _is_page(body, offer.size):
            raise WebPageError(what, "a web page came instead, as from a network that wants a sign-in")
        size = offer.size if body.total is None else body.total
        problem = f"has {size} bytes on the mirror and {offer.size} by the release list"
        if size > offer.size:
            raise BrokenPromiseError(what, problem)
        _take(part, body, is_short=size < offer.size)
        if size < offer.size:
            raise ShortBlobError(what, f"{problem}, as while it is being copied")
        if not part.is_whole:
            raise NetworkError(what, f"ended after {part.size} of {offer.size} bytes")
        if not part.mixed:  # within, so that the source learns who sent wrong bytes
            part.verify(offer.content.sha256, what)


def _is_page(body: Body, size: int) -> bool:
    """Return whether an answer is what a network says that wants a sign-in, as far as its head and beginning tell."""
    is_longer = body.total is not None and size < body.total < _ENOUGH
    return body.is_page or (is_longer and pages.is_page(next(body.blocks, b"")))


def _take(part: Part, body: Body, *, is_short: bool) -> None:
    """Take what an answer has more than there is; one that `is_short` may be of something else, and changes nothing."""
    if body.start == part.size:
        part.extend(body.blocks)
    elif body.total is None or body.total > part.size:
        with contextlib.suppress(DifferentBytesError):
            part.overlay(body.blocks, keep=is_short)
    # a few words, of the network or not, cost nothing to have again, and would spoil the blob
    if not body.start and not part.is_whole and 0 < part.size < _ENOUGH and pages.is_page(part.beginning(_ENOUGH)):
        part.clear()


class _Tries:
    """Whether a download goes on after what went wrong. It always comes to an end.

    Attributes:
        others: how many URLs there are besides the one that answered; None if none did.
        around_caches: whether caches are left out from now on.
    """

    def __init__(self, have: int, size: int) -> None:
        self.others: int | None = None
        self.around_caches = False
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
        # and one of them once more, because caches were in between the first time
        return self._wrong <= (self.others or 0) + 1


def _holds(whole: Path, sha256: str, progress: Callable[[int], None]) -> bool:
    """Tell whether a blob is there and still what it was when it got its name."""
    sizes = itertools.count(blobs.CHUNK, blobs.CHUNK)
    with contextlib.suppress(OSError):
        return is_file(whole) and blobs.digest(whole, lambda _: progress(next(sizes)))[0] == sha256
    return False
