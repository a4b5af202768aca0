"""Paths in the lines of a unit: what systemd would read into them is escaped.

Three readers are met: words are split and unquoted, then `%` begins a specifier, and in commands `$` a variable.
The last one is switched off by the `:` in front of a command, so that `$` stands for itself in all words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devclient.errors import ProvisionError

if TYPE_CHECKING:
    from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9_@/.+:=,-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_PROGRAM = re.compile(r"[\"'\\]")


def word(path: Path) -> str:
    """Write a path as one word of a line.

    Raises:
        ProvisionError: not all lines of a unit can name it.
    """
    text = str(path)
    if _CONTROL.search(text) or not _is_text(text):
        raise ProvisionError(
            f"{text!r} has control characters, or is not UTF-8; no unit of systemd can name it: rename it"
        )
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def program(path: Path) -> str:
    """Write the path of a program as the first word of a command.

    Raises:
        ProvisionError: systemd starts no program of such a path.
    """
    if _NO_PROGRAM.search(str(path)):
        raise ProvisionError(f"{path} has a quote or a backslash; systemd starts no such program: install it elsewhere")
    return word(path)


def _is_text(text: str) -> bool:
    # what is not UTF-8 comes as surrogates; systemd does not take what Unicode sets aside as no characters, either
    return not any(
        0xD800 <= ord(char) <= 0xDFFF or 0xFDD0 <= ord(char) <= 0xFDEF or ord(char) & 0xFFFE == 0xFFFE for char in text
    )
