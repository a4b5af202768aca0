"""The package of a folder, as a device takes it: measured, and unpacked into a new folder.

Which archives may be unpacked, and into what, is judged in `mirror/archive/`, as where they are published. Here what
is wrong is said of the release, and bytes that are not the release's are not blamed on its publisher.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from devclient.errors import ArchiveError, BrokenPromiseError
from mirror import blobs
from mirror.archive import archive
from mirror.archive.extract import extract
from mirror.errors import InvalidArchiveError
from mirror.files import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mirror.archive.archive import Limits, Size
    from mirror.files import Files


def measure(file: Path, what: str, limits: Limits, go_on: Callable[[], None] = lambda: None) -> Size:
    """Read the archive of release `what` through once, judge every member, and count what unpacking takes.

    `go_on` is called before each block, and may raise to leave.

    Raises:
        ArchiveError: it must not be unpacked, or cannot be.
    """
    try:
        with file.open("rb", buffering=0) as packed:
            return archive.measure(blobs.chunks(packed.fileno()), limits, go_on)
    except InvalidArchiveError as error:
        raise ArchiveError(what, str(error)) from None


def unpack(file: Path, folder: Path, what: str, sha256: str, limits: Limits, files: Files) -> None:
    """Unpack the archive of release `what` into the new `folder`; not synced yet, and on an error left as it is.

    Raises:
        BrokenPromiseError: the file does not have `sha256`.
        ArchiveError: it must not be unpacked, or cannot be.
        FileExistsError: `folder` is there already.
    """
    digest, problem = hashlib.sha256(), ""
    with file.open("rb", buffering=0) as packed:
        chunks = _hashed(blobs.chunks(packed.fileno()), digest)
        try:
            with Folder.trusted(folder.parent, files.calls) as parent:
                extract(chunks, parent, folder.name, limits, files.calls)
        except InvalidArchiveError as error:
            problem = str(error)
        for _ in chunks:  # to the end: of bytes that are not the release's, its publisher is not to be told
            pass
    if digest.hexdigest() != sha256:
        raise BrokenPromiseError(str(file), f"no longer has the SHA-256 {sha256}")
    if problem:
        raise ArchiveError(what, problem)


def _hashed(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
