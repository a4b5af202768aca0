"""Whether what came in the place of a mirror's JSON file is not one at all: what a network says that wants a sign-in.

Such an answer has the status of a right one, and comes as HTML, as text, as JSON of another kind, or empty. It is told
from a file of the mirror that is damaged: of that most is there, or bytes that nobody writes.
"""

from __future__ import annotations

import codecs

_START = 64  # bytes that tell what the others are
# each JSON file of a mirror has one of them
_WORDS = (b'"signed"', b'"signatures"', b'"package"')
_OF_PROGRAMS = ("{", "#!")  # JSON is judged as a whole, and a script is a package
_SPACE = "\t\n\r\f"


def is_text(body: bytes | bytearray) -> bool:
    """Return whether the beginning of a file is written for people."""
    try:
        start = codecs.getincrementaldecoder("utf-8")().decode(bytes(body[:_START]))
    except ValueError:
        return False
    has_controls = any(letter < " " and letter not in _SPACE for letter in start)
    return bool(start.strip()) and not has_controls and not start.lstrip().startswith(_OF_PROGRAMS)


def is_page(body: bytes | bytearray) -> bool:
    """Return whether a whole file is written for people, empty, or JSON that no mirror has."""
    if not body.strip() or is_text(body):
        return True
    return body.lstrip().startswith(b"{") and not any(word in body for word in _WORDS)
