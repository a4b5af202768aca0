"""Removing what the mirror no longer needs: blobs that no release names, lists and metadata long superseded.

What is superseded stays for a while: a device or a cache that has the metadata of before may still ask for it. Roots
stay for ever, so that a device that was off for years can walk from its own to the newest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder import render
from builder.shelf import Shelves
from builder.signing.roles import Roles
from mirror import blobs, layout, trust

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.catalogue import Catalogue
    from mirror.files import Files


def prune(mirror: Path, catalogue: Catalogue, files: Files, superseded_before: float) -> Iterator[str]:
    """Yield the paths that were removed; the caller holds the site's lock.

    Args:
        mirror: the mirror's folder.
        catalogue: what must stay.
        files: what removes.
        superseded_before: seconds since 1970; what was written later stays.
    """
    unused = blobs.prune(mirror / layout.BLOBS, lambda sha256: catalogue.blob_size(sha256) is not None, files)
    yield from (layout.blob(sha256) for sha256 in unused)
    current = {page.path for page in render.everything(Shelves(catalogue.connection), lambda _: None)}
    for path in sorted(mirror.glob(layout.RELEASE_LISTS)):
        name = layout.parse_release_list(path.relative_to(mirror).as_posix())
        if name is None or name.sha256 is None or path.lstat().st_mtime >= superseded_before:
            continue
        relative = layout.hashed_release_list(name.package, name.branch, name.sha256)
        if relative not in current:
            files.remove(path)
            yield relative
    yield from _metadata(mirror, catalogue, files, superseded_before)


def _metadata(mirror: Path, catalogue: Catalogue, files: Files, superseded_before: float) -> Iterator[str]:
    current = Roles(catalogue.connection).versions() | _snapshot(catalogue)
    for path in sorted((mirror / layout.METADATA).glob("*.json")):
        name = layout.parse_metadata(path.relative_to(mirror).as_posix())
        if name is None or name[0] == trust.ROOT or name[1] >= current.get(name[0], 0):
            continue
        if path.lstat().st_mtime < superseded_before:
            files.remove(path)
            yield layout.metadata(*name)


def _snapshot(catalogue: Catalogue) -> dict[str, int]:
    role = Roles(catalogue.connection).get(trust.SNAPSHOT)
    return {trust.SNAPSHOT: role.version} if role else {}
