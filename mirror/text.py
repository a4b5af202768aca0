"""Text on its way to people: what a terminal would obey, and what cannot be seen, is escaped.

The escapes are those of JSON, so that escaped JSON has the same meaning as before.
"""

from __future__ import annotations

import unicodedata

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
