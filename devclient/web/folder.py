"""A copy of a mirror in a folder: a stick, a mounted share, whatever a person carries to a device.

It answers as a `Fetcher` does, with the same errors. Its rule: nothing that lies there can keep a device for ever or
fill its memory, so only regular files are opened. Links are followed, wherever they lead: who made the folder could
have put the same bytes there, and what bytes are worth is judged elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING

from devclient.copy_errors import UnreadableCopyError
from devclient.errors import MirrorRefusesError, NetworkError, NotOnMirrorError
from devclient.trust_errors import EndlessDataError
from devclient.web.answers import BLOCK, Answer, Body
from mirror import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
# in case that something else is put there just then
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class CopySource:
    """One copy; its files are asked for by their whole path."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def is_mirror(self) -> bool:
        """Whether it looks like the copy of a mirror."""
        with contextlib.suppress(OSError):
            return stat.S_ISREG((self._root / layout.TIMESTAMP).stat().st_mode)
        return False

    def ask(self, url: str, *, limit: int, **_how: object) -> Answer:
        """Read a small file of at most `limit` bytes; how the web would be asked means nothing here.

        Raises:
            NetworkError: it cannot be read, or the whole copy is gone.
            NotOnMirrorError: there is no such file.
            UnreadableCopyError: this user may not read it.
            EndlessDataError: it has more than `limit` bytes.
        """
        data = bytearray()
        with self._open(url) as file, self._in_our_words(url):
            while len(data) <= limit and (block := file.read(min(BLOCK, limit + 1 - len(data)))):
                data += block
        if len(data) > limit:
            raise EndlessDataError(url, f"it has more than {limit} bytes")
        return Answer(url, bytes(data))

    @contextlib.contextmanager
    def stream(self, url: str, offset: int = 0, **_how: object) -> Iterator[Body]:
        """Open a file from `offset` on; from its start if it has no more bytes than that.

        Raises:
            NetworkError: as `ask`, also while the blocks are read.
            NotOnMirrorError: as `ask`.
            UnreadableCopyError: as `ask`.
        """
        with self._open(url) as file:
            with self._in_our_words(url):
                size = os.fstat(file.fileno()).st_size
                start = offset if offset < size else 0
                file.seek(start)
            # not within: who takes the blocks has errors of its own
            yield Body(start, size, self._blocks(file, url))

    def _blocks(self, file: IO[bytes], url: str) -> Iterator[bytes]:
        with self._in_our_words(url):
            while block := file.read(BLOCK):
                yield block

    def _open(self, url: str) -> IO[bytes]:
        with self._in_our_words(url):
            # before it is opened: that alone waits for a writer of a pipe, and changes the state of some devices
            if not stat.S_ISREG(Path(url).stat().st_mode):
                raise FileNotFoundError(errno.ENOENT, "not a regular file")
            return os.fdopen(os.open(url, _FLAGS), "rb", buffering=0)

    @contextlib.contextmanager
    def _in_our_words(self, url: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._meaning(url, error) from error

    def _meaning(self, url: str, error: OSError) -> NetworkError | MirrorRefusesError:
        if error.errno in _FORBIDDEN:
            return UnreadableCopyError(url, 403)
        if error.errno not in _ABSENT:
            return NetworkError(url, f"it cannot be read ({error.strerror})")
        if not self.is_mirror:
            return NetworkError(url, "the copy of the mirror is gone, as when a stick is pulled out")
        return NotOnMirrorError(url, 404)
