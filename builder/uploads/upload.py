"""One upload: its parts, taken from the stream as they come (contract, section 5).

`feed` only parses; `write` and `finish` hash and write, and are for a thread. Memory stays constant, whatever is
sent: texts are bounded, the file goes to the spool, and what is in no part is counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from typing import TYPE_CHECKING

import multipart

from builder.submission import Parts, Submission
from builder.uploads.refusals import CrowdedError, FormError, too_large, too_long
from builder.verify import MAX_LISTED_BYTES, MAX_ROLE_BYTES
from mirror import content
from mirror.blobs import Blob
from mirror.content import ContentTooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.spool import Spool
    from mirror.files import Files, Writer

CONTENT, FILE, LIST, SIGNED = "content", "file", "list", "signed"
TEXTS: Mapping[str, int] = {CONTENT: content.MAX_BYTES, LIST: MAX_LISTED_BYTES, SIGNED: MAX_ROLE_BYTES}
"""The parts that are kept in memory, with the bytes that they may have."""

OVERHEAD = 64 * 1024
"""How many bytes of a body may be in none of its parts."""

_RELEASE, _STATEMENT = {CONTENT, FILE}, {LIST, SIGNED}

_MOST_TEXT = 128 * 1024 * 1024
_WORTH_WRITING = 2 * 1024 * 1024
_MANY_PIECES = 1024
_FEW_PIECES = 8
_PLAIN = frozenset({"7bit", "8bit", "binary"})


class MemoryBudget:
    """Room for the texts of all uploads together."""

    def __init__(self, most_bytes: int = _MOST_TEXT) -> None:
        self._left = most_bytes

    def take(self, size: int) -> None:
        """Use room.

        Raises:
            CrowdedError: there is not so much left.
        """
        if size > self._left:
            raise CrowdedError
        self._left -= size

    def give_back(self, size: int) -> None:
        """Have room that is not used any more."""
        self._left += size


class Upload:
    """An upload on its way in, its file in the spool; who does not pass it on calls `discard`."""

    def __init__(self, boundary: str, spool: Spool, files: Files, most_bytes: int, memory: MemoryBudget) -> None:
        # filenames come in any encoding, and nobody reads them
        self._parser = multipart.PushMultipartParser(boundary, header_charset="latin-1")
        self._spool = spool
        self._files = files
        self._most_bytes = most_bytes
        self._part = ""
        self._ended: set[str] = set()
        self._outside = 0
        self._memory = memory
        self._held = 0
        self._text = bytearray()
        self._texts: dict[str, bytes] = {}
        self._path = spool.path()
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._open = contextlib.ExitStack()
        self._writer: Writer | None = None
        self._at_disk = threading.Lock()  # a request that is cancelled leaves its thread behind, at work

    def text(self, part: str) -> bytes | None:
        """Return one of the texts, once it is whole."""
        return self._texts.get(part)

    def beginning(self, part: str, size: int) -> bytes | None:
        """Return one of the texts, once it is whole, or so many bytes of it are there."""
        if part == self._part and len(self._text) >= size:
            return bytes(self._text[:size])
        return self.text(part)

    @property
    def is_worth_writing(self) -> bool:
        """Whether so much of the file waits in memory that it should be written."""
        return self._waiting >= _WORTH_WRITING or len(self._pieces) >= _MANY_PIECES

    def feed(self, data: bytes) -> None:
        """Take in the next bytes of the body.

        Raises:
            FormError: they are not those of a form with the parts that there must be.
            ContentTooLarge: content.json is too large.
            TooLargeError: another part is.
            CrowdedError: there is no memory for it at the moment.
        """
        self._outside += len(data)
        try:
            for event in self._parser.parse(data):
                if isinstance(event, multipart.MultipartSegment):
                    self._begin(event)
                elif event is None:
                    self._end()
                else:
                    self._take(event)
        except multipart.MultipartError as error:
            raise FormError(f"the body is not well-formed multipart/form-data: {error}") from error
        if self._outside > OVERHEAD:
            raise FormError(f"more than {OVERHEAD} bytes of the body are in none of its parts; send a plain form")

    def write(self) -> None:
        """Hash and write what came of the file."""
        with self._at_disk:
            if self._writer is None:
                self._writer = self._open.enter_context(self._files.create(self._path))
            pieces = self._pieces if len(self._pieces) <= _FEW_PIECES else [b"".join(self._pieces)]
            for piece in pieces:
                self._sha256.update(piece)
                self._writer.write(piece)
            self._pieces, self._waiting = [], 0

    def finish(self, origin: str) -> Submission | Parts:
        """Return what was uploaded, now that the body has ended.

        Raises:
            FormError: it ended too early, or a part is missing.
        """
        try:
            self._parser.close()
        except multipart.MultipartError as error:
            raise FormError("the body ends before its last boundary; send all of it") from error
        self._check_whole()
        listed, signed = self.text(LIST), self.text(SIGNED)
        parts = Parts(listed, signed) if listed is not None and signed is not None else None
        if parts and FILE not in self._ended:
            return parts
        self.write()
        with self._at_disk:
            self._open.close()
        blob = Blob(self._sha256.hexdigest(), self._size, self._path)
        return Submission(self._texts[CONTENT], blob, origin, parts)

    def forget(self) -> None:
        """Give back the memory of the texts."""
        self._memory.give_back(self._held)
        self._held = 0

    def discard(self) -> None:
        """Leave nothing in the spool."""
        with self._at_disk:
            with contextlib.suppress(OSError):  # whatever closing it reports, it goes
                self._open.close()
            self._spool.discard(self._path)

    def _begin(self, segment: multipart.MultipartSegment) -> None:
        name = segment.name or ""
        if name not in _RELEASE | _STATEMENT:
            raise FormError(
                f"there is a part {name[:80]!r}; an upload has the parts content, file, list and signed only"
            )
        if name in self._ended:
            raise FormError(f"the part {name} comes twice")
        encoding = segment.header("Content-Transfer-Encoding", "binary")
        if encoding.lower() not in _PLAIN:
            raise FormError(
                f"the part {name} has a Content-Transfer-Encoding, which forms do not know; send it as it is"
            )
        self._part = name

    def _take(self, data: bytes) -> None:
        self._outside -= len(data)
        if self._part in TEXTS:
            self._take_text(data)
            return
        self._pieces.append(data)
        self._waiting += len(data)
        self._size += len(data)
        if 0 < self._most_bytes < self._size:
            raise too_large(self._most_bytes)

    def _take_text(self, data: bytes) -> None:
        self._memory.take(len(data))
        self._held += len(data)
        self._text += data
        most = TEXTS[self._part]
        if len(self._text) > most:
            raise ContentTooLarge(len(self._text)) if self._part == CONTENT else too_long(self._part, most)

    def _end(self) -> None:
        self._ended.add(self._part)
        if self._part in TEXTS:
            self._texts[self._part] = bytes(self._text)
            self._text = bytearray()

    def _check_whole(self) -> None:
        """See that the parts are those of a release, of a statement, or of both."""
        wanted = _RELEASE if not self._ended else set()
        for together in (_RELEASE, _STATEMENT):
            if self._ended & together:
                wanted = wanted | together
        if missing := sorted(wanted - self._ended):
            raise FormError(
                f"the part {' and the part '.join(missing)} is missing: an upload has content and file, for a claimed "
                "package list and signed too, or these two alone"
            )
