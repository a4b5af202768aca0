"""Text on its way to people: what a terminal would obey, and what cannot be seen, is escaped.

The escapes are those of JSON, so that escaped JSON has the same meaning as before.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BOM = b"\xef\xbb\xbf"
_MOST_BYTES = 1024 * 1024
_BLOCK = 64 * 1024  # a buffer for the most bytes would be made, however few there are
_LETTERS = "\u200c\u200d"  # joiners: scripts and emoji are written with them
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_LAYOUT = "\n\t"


def escaped(text: str) -> str:
    """Escape control characters, marks of writing direction and halves of surrogate pairs, but not line ends and tabs.

    An escape sequence of a terminal becomes text, and a line is read in the order in which it is stored.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in _LAYOUT or _is_plain(letter) else escape(letter) for letter in text)


def one_line(text: str) -> str:
    """Escape as `escaped` does, tabs too, and join lines: what others wrote cannot look like a line of ours."""
    if text.isprintable():
        return text
    joined = "; ".join(text.rstrip("\n").replace("\r\n", "\n").split("\n"))
    return "".join(letter if _is_plain(letter) else escape(letter) for letter in joined)


def indented(text: str) -> str:
    """Set lines after the first off, so that they are seen to belong to it."""
    return "\n  ".join(text.splitlines())


def read(file: Path, most_bytes: int = _MOST_BYTES) -> str:
    """Read a text that people edit: UTF-8, with a byte order mark or without.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such text, or too long; the message continues a sentence about the file.
    """
    raw = bytearray()
    with file.open("rb") as opened:
        while len(raw) <= most_bytes and (block := opened.read(_BLOCK)):
            raw += block
    if len(raw) > most_bytes:
        raise ValueError(f"has more than {most_bytes} bytes; is it the right file?")
    try:
        return without_mark(bytes(raw)).decode()
    except UnicodeDecodeError as error:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:2]:
            raise ValueError("is UTF-16 or UTF-32: save it as UTF-8") from None
        raise ValueError(f"is not UTF-8 at byte {error.start}: save it as UTF-8") from None


def without_mark(raw: bytes) -> bytes:
    """Return the bytes of a text without the byte order mark that some editors put before it."""
    return raw.removeprefix(_BOM)


def escape(letter: str) -> str:
    """Write one character as JSON does in ASCII."""
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(letter)
    code = ord(letter)
    if short or code <= 0xFFFF:
        return short or f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _is_plain(letter: str) -> bool:
    return letter in _LETTERS or unicodedata.category(letter) not in _ESCAPED
