"""Standard output and standard error, in whatever state a program is given them: any encoding, closed, closed early.

The one place that prints. All that is printed passes through `mirror.text`, and no state of the two ends the work
that is under way: where a reader has closed its end (`| head`), the rest is dropped, and the exit code is that of the
work. What cannot be written to standard output for another reason, as on a full disk, is an error; of standard error
there is nowhere to tell.
"""

from __future__ import annotations

import codecs
import errno
import io
import logging
import os
import select
import stat
import sys
from typing import TYPE_CHECKING, TextIO

from mirror.text import escape, escaped, indented, one_line

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def prepare() -> None:
    """Make standard output and standard error fit for every text and every reader, once at the start of a program."""
    _fill_gaps()
    sys.stdout = _prepared(sys.stdout, 1)
    sys.stderr = _prepared(sys.stderr, 2)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text, escaped, to standard output or standard error.

    Raises:
        OSError: standard output cannot be written, and not because nobody reads any more.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(escaped(text) + "\n" * nl)
    stream.flush()


def echo_bytes(data: bytes) -> None:
    """Print the bytes of a file as they are; they are for a program."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class LineFormatter(logging.Formatter):
    """Makes one line of each record, so that no text of others can look like a record; a traceback is indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        text = super().format(record)
        return escaped(indented(text)) if record.exc_info or record.stack_info else one_line(text)


class StderrHandler(logging.Handler):
    """Writes to whatever standard error is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        sys.stderr.write(f"{self.format(record)}\n")
        sys.stderr.flush()


def _fill_gaps() -> None:
    """Open what was closed: the next file to be opened would become standard output otherwise."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            _point_nowhere(descriptor)


def _point_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _prepared(stream: TextIO | None, descriptor: int) -> TextIO:
    """Return a stream to the same place that fails for no text, and for no reader that is gone."""
    if stream is not None and type(stream) is not io.TextIOWrapper:  # a test's own
        return stream
    if stream is not None and _descriptor(stream) != descriptor:
        return stream
    encoding = stream.encoding if stream is not None else "utf-8"
    raw = io.BufferedWriter(_Raw(descriptor, "wb", closefd=False))
    return io.TextIOWrapper(raw, encoding=encoding, errors=_ERRORS, line_buffering=True)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


class _Raw(io.FileIO):
    """Bytes to a descriptor; once they cannot be written there, what follows goes nowhere."""

    def write(self, data: ReadableBuffer, /) -> int:
        while True:
            try:
                written = super().write(data)
            except OSError as error:
                is_told = self.fileno() == 1 and not self._is_gone(error)
                _point_nowhere(self.fileno())
                if not is_told:
                    return len(memoryview(data))
                raise OSError(error.errno, error.strerror, "standard output") from error
            if written is not None:
                return written
            select.select([], [self.fileno()], [])  # others share it, and have it not block

    def _is_gone(self, error: OSError) -> bool:
        """Return whether nobody reads any more: the other end of a pipe is closed, or of a terminal."""
        if error.errno == errno.EIO:
            return stat.S_ISCHR(os.fstat(self.fileno()).st_mode)  # isatty() is false once the other side is gone
        return error.errno == errno.EPIPE


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(escape, error.object[error.start : error.end])), error.end


_ERRORS = "otamirror.escape"
codecs.register_error(_ERRORS, _escape_unencodable)
