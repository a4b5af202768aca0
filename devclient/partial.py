"""The first bytes of a blob, in a file beside its place, and their hash.

Bytes are only lost where it is certain that they are wrong: a stream that begins at the start is compared with what is
here, and goes on after it.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING

from devclient.errors import BrokenPromiseError
from mirror import blobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from mirror.files import Files


class DifferentBytesError(Exception):
    """A stream is not one of the blob that the bytes here are from."""


class Part:
    """The first bytes of a blob, at most `limit`; what an earlier run left is hashed once.

    Attributes:
        size: how many there are.
        mixed: whether not all of them came by one answer.
    """

    def __init__(self, path: Path, limit: int, files: Files, progress: Callable[[int], None]) -> None:
        self._path, self._limit, self._files, self._progress = path, limit, files, progress
        self._empty()
        try:
            self._read()
        except OSError:  # a disk that does not give back what was written
            self.clear()

    @property
    def is_whole(self) -> bool:
        """Whether there are as many as there should be."""
        return self.size == self._limit

    def _empty(self) -> None:
        self.size, self.mixed, self._digest = 0, False, hashlib.sha256()

    def _read(self) -> None:
        if not is_file(self._path) or self._path.stat().st_size > self._limit:
            self.clear()
            return
        with self._path.open("rb", buffering=0) as file:
            for chunk in blobs.chunks(file.fileno()):
                self._digest.update(chunk)
                self.size += len(chunk)
                self._progress(self.size)
        self.mixed = self.size > 0

    def clear(self) -> None:
        """Start over."""
        remove(self._path, self._files)
        self._empty()

    def beginning(self, most: int) -> bytes:
        """Return the first bytes, at most so many."""
        with self._path.open("rb") as file:
            return file.read(most)

    def extend(self, blocks: Iterable[bytes]) -> None:
        """Append the blocks of an answer that continues here, until the limit is reached."""
        self.mixed = self.size > 0
        self._append(blocks)

    def overlay(self, blocks: Iterator[bytes], *, keep: bool) -> None:
        """Compare an answer that begins at the start with what is here, and append the blocks that go on after it.

        Where it differs, its bytes count from there on, because they are all of one answer; with `keep`, those here do.

        Raises:
            DifferentBytesError: it differs from what is kept.
        """
        rest = self._compare(blocks, keep=keep)
        if rest is not None:  # else it ended before what is here
            self.mixed = False
            self._append(rest)

    def _append(self, blocks: Iterable[bytes]) -> None:
        with self._files.append(self._path) as writer:
            for block in blocks:
                fitting = block[: self._limit - self.size]
                writer.write(fitting)
                self._digest.update(fitting)
                self.size += len(fitting)
                self._progress(self.size)
                if self.is_whole:
                    return

    def _compare(self, blocks: Iterator[bytes], *, keep: bool) -> Iterator[bytes] | None:
        """Return what follows of a stream after what is here, or after the last byte that is the same."""
        digest, same = hashlib.sha256(), 0
        with self._path.open("rb") as file:
            for block in blocks:
                ours = file.read(len(block))
                alike = _alike(ours, block)
                digest.update(block[:alike])
                same += alike
                if alike < len(ours) and keep:
                    raise DifferentBytesError
                if alike < len(block):
                    self._cut(same)
                    self._digest = digest
                    return itertools.chain([block[alike:]], blocks)
                self._progress(self.size)
        return None

    def _cut(self, size: int) -> None:
        if size < self.size:
            self._files.overwrite(self._path, b"", size=size)
            self.size = size

    def verify(self, sha256: str, what: str) -> None:
        """See that the bytes have the hash of `what` they should be.

        Raises:
            BrokenPromiseError: they have not.
        """
        if (actual := self._digest.hexdigest()) != sha256:
            raise BrokenPromiseError(what, f"has the SHA-256 {actual}, not {sha256}")

    def finish(self, whole: Path) -> None:
        """Make the bytes durable and give them the name `whole`."""
        with self._files.append(self._path) as writer:
            writer.sync()
        self._files.rename(self._path, whole)
        self._files.sync_folder(whole.parent)


def is_file(path: Path) -> bool:
    """Return whether a file is at `path`, and no link to one."""
    return path.is_file() and not path.is_symlink()


def remove(path: Path, files: Files) -> None:
    """Remove whatever is at `path`."""
    (files.remove_tree if path.is_dir() else files.remove)(path)


def _alike(ours: bytes, theirs: bytes) -> int:
    """Return how many bytes at the beginning are the same."""
    if theirs.startswith(ours):
        return len(ours)
    return next(at for at, (our, their) in enumerate(zip(ours, theirs, strict=False)) if our != their)
