"""A verified blob into its place: the third stage of an update, for packages that are one file.

The place is never empty: the new file is made complete beside it and takes the name by one rename.
The file before it stays as `.NAME.previous`. Temporaries have fixed names, so what a cut leaves behind
the next try replaces.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from devclient import attributes
from devclient.errors import BrokenPromiseError
from mirror import blobs

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.attributes import Attributes
    from mirror.blobs import Blob
    from mirror.files import Files

_log = logging.getLogger(__name__)


def holds(place: Path, sha256: str) -> bool:
    """Tell whether these bytes are installed at `place` already."""
    return place.exists() and blobs.digest(place)[0] == sha256


def previous(place: Path) -> Path:
    """Tell where the file before the one at `place` is kept."""
    return place.with_name(f".{place.name}.previous")


def install(blob: Blob, place: Path, files: Files) -> None:
    """Put a copy of `blob` at `place`, a resolved path, durably.

    Raises:
        BrokenPromiseError: the blob's bytes are no longer those that were verified; nothing was changed.
    """
    _make_folder(place.parent, files)
    looks = attributes.of(place)
    new = place.with_name(f".{place.name}.new")
    _copy(blob.path, new, looks, files, expected=blob.sha256)
    if place.exists():
        _keep(place, looks, files)
    files.rename(new, place)
    files.sync_folder(place.parent)
    _log.info("installed %s at %s", blob.sha256, place)


def _make_folder(folder: Path, files: Files) -> None:
    if not folder.exists():
        files.make_folder(folder)
        files.sync_all(folder)


def _keep(place: Path, looks: Attributes, files: Files) -> None:
    """Keep the file at `place`, durably before anything takes its name; a copy, so that its name stays."""
    kept = previous(place)
    temporary = kept.with_name(f"{kept.name}.new")
    _copy(place, temporary, looks, files)
    files.rename(temporary, kept)
    files.sync_folder(kept.parent)


def _copy(source: Path, target: Path, looks: Attributes, files: Files, expected: str = "") -> None:
    """Copy a file durably, hashing it on the way if a hash is `expected` of it."""
    digest = hashlib.sha256()
    files.remove(target)
    with source.open("rb", buffering=0) as reader, files.create(target, 0o600) as writer:
        for chunk in blobs.chunks(reader.fileno()):
            digest.update(chunk)
            writer.write(chunk)
        if expected and digest.hexdigest() != expected:
            raise BrokenPromiseError(str(source), f"no longer has the SHA-256 {expected}")
        looks.give(target, files)
        writer.sync()
