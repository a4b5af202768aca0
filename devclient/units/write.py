"""Writing units: what was changed by hand, or is somebody else's, is not written over unasked.

The first line of a unit of ours has the hash of the others. So it is known without any record elsewhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devclient.errors import ProvisionError
from mirror import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from devclient.units.services import Unit
    from mirror.files import Files

_MARK = "# Written by `otadevice install-units`; change it with `systemctl edit`. SHA-256 of the rest: "
_MARKED = re.compile(re.escape(_MARK.encode()) + rb"([0-9a-f]{64})\n(.*)", re.DOTALL)


def marked(unit: Unit) -> bytes:
    """Return the bytes of a unit's file."""
    body = unit.text.encode()
    return f"{_MARK}{canonical.digest(body)}\n".encode() + body


def write(units: Iterable[Unit], folder: Path, files: Files, *, force: bool = False) -> Mapping[Path, bool]:
    """Write the units that are not there yet, or differ; returns which, and whether there was one before.

    Raises:
        ProvisionError: `folder` is none, or may not be written to; without `force`: a unit that is there is not ours.
    """
    try:
        if not folder.is_dir():
            raise ProvisionError(f"{folder} is no folder; if systemd is here, say with --to where its units are")
        wanted = {folder / unit.name: marked(unit) for unit in units}
        before = {path: _read(path) for path in wanted}
        changed = [path for path in wanted if before[path] != wanted[path]]
        for path in changed:
            _check(path, before[path], force=force)
        for path in changed:
            files.replace(path, wanted[path])
    except PermissionError as error:
        raise ProvisionError(f"{folder} may not be written to; run this as root, or name another with --to") from error
    return {path: before[path] is not None for path in changed}


def _check(path: Path, data: bytes | None, *, force: bool) -> None:
    if data is None or force or _is_ours(data):
        return
    raise ProvisionError(
        f"{path} was changed by hand, or is not from otadevice; nothing was changed. `systemctl edit` keeps changes in "
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
