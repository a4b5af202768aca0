"""Units of systemd as files: paths in their lines, and writing them without losing what was changed by hand.

Three readers are met by a path in a line: words are split and unquoted, then `%` begins a specifier, and in commands
`$` a variable. The last one is switched off by the `:` in front of a command, so that `$` stands for itself there.

The first line of a unit of ours has the hash of the others. So it is known without any record elsewhere.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mirror import canonical
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mirror.files import Files

FOLDER = Path("/etc/systemd/system")

_PLAIN = re.compile(r"[A-Za-z0-9_@/.+:=,-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_PROGRAM = re.compile(r"[\"'\\]")
_MARKED = re.compile(rb"# Written by `\w+ install-units`;[^\n]* SHA-256 of the rest: ([0-9a-f]{64})\n(.*)", re.DOTALL)


class UnitError(OTAError):
    """A unit cannot be written: its folder is not there, it is somebody else's, or it cannot name a path."""

    code = "unit"


@dataclass(frozen=True)
class Unit:
    """One unit: the name of its file, and all that stands in it."""

    name: str
    text: str


def command(name: str, module: str, executable: Path, started: Path) -> tuple[Path, ...]:
    """Find what runs a program of ours, given its module, and the Python and the file that run now.

    Links stay as they are: what they lead to may be another release tomorrow.
    """
    beside = executable.parent / name
    if started.name.startswith(name) and os.access(started, os.X_OK):
        return (started,)
    return (beside,) if beside.is_file() else (executable, Path("-m"), Path(module))


def word(path: Path) -> str:
    """Write a path as one word of a line.

    Raises:
        UnitError: not all lines of a unit can name it.
    """
    text = str(path)
    if _CONTROL.search(text) or not _is_text(text):
        raise UnitError(f"{text!r} has control characters, or is not UTF-8; no unit of systemd can name it: rename it")
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def program(path: Path) -> str:
    """Write the path of a program as the first word of a command.

    Raises:
        UnitError: systemd starts no program of such a path.
    """
    if _NO_PROGRAM.search(str(path)):
        raise UnitError(f"{path} has a quote or a backslash; systemd starts no such program: install it elsewhere")
    return word(path)


def marked(unit: Unit, by: str) -> bytes:
    """Return the bytes of a unit's file that the program `by` writes."""
    body = unit.text.encode()
    how = f"Written by `{by} install-units`; change it with `systemctl edit`."
    return f"# {how} SHA-256 of the rest: {canonical.digest(body)}\n".encode() + body


def write(units: Iterable[Unit], folder: Path, files: Files, by: str, *, force: bool = False) -> Mapping[Path, bool]:
    """Write the units that are not there yet, or differ; returns which, and whether there was one before.

    Raises:
        UnitError: `folder` is none, or may not be written to; without `force`: a unit that is there is not ours.
    """
    try:
        if not folder.is_dir():
            raise UnitError(f"{folder} is no folder; if systemd is here, say with --to where its units are")
        wanted = {folder / unit.name: marked(unit, by) for unit in units}
        before = {path: _read(path) for path in wanted}
        changed = [path for path in wanted if before[path] != wanted[path]]
        for path in changed:
            _check(path, before[path], by, force=force)
        for path in changed:
            files.replace(path, wanted[path])
    except PermissionError as error:
        raise UnitError(f"{folder} may not be written to; run this as root, or name another with --to") from error
    return {path: before[path] is not None for path in changed}


def _check(path: Path, data: bytes | None, by: str, *, force: bool) -> None:
    if data is None or force or _is_ours(data):
        return
    raise UnitError(
        f"{path} was changed by hand, or is not from {by}; nothing was changed. `systemctl edit` keeps changes in "
        "a file of their own; --force replaces it"
    )


def _is_ours(data: bytes) -> bool:
    found = _MARKED.fullmatch(data)
    return found is not None and canonical.digest(found[2]) == found[1].decode()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        # a link that leads nowhere is somebody's too
        return b"" if path.is_symlink() else None


def _is_text(text: str) -> bool:
    # what is not UTF-8 comes as surrogates; systemd does not take what Unicode sets aside as no characters, either
    return not any(
        0xD800 <= ord(char) <= 0xDFFF or 0xFDD0 <= ord(char) <= 0xFDEF or ord(char) & 0xFFFE == 0xFFFE for char in text
    )
