"""A folder of the device's owner, copied with all in it, where its file system cannot rename the folder itself.

Everything is read and written by descriptor and nothing is followed, so nothing else is read or written whatever is
exchanged in it meanwhile. Files with several names become several files.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from devclient.errors import PlaceError
from devclient.install import attributes
from mirror import blobs, trees

if TYPE_CHECKING:
    from mirror.files import Files
    from mirror.folders import Folder

_DEEPEST = 100
"""Levels of folders; each is open while what is below it is copied."""


def copy(local: str, source: Folder, target: Folder, files: Files, depth: int = 0) -> None:
    """Copy what is in `source` into the empty folder `target`, with owners, modes, attributes and times; not synced.

    Args:
        local: the place as its owner calls it, for messages.
        source: the folder.
        target: where to.
        files: how to write.
        depth: how many folders are above it.

    Raises:
        PlaceError: there is something in it that cannot be copied.
    """
    if depth > _DEEPEST:
        raise PlaceError(local, f"is nested deeper than {_DEEPEST} folders: move it away")
    for name in source.names():
        found = source.look(name)
        if found is None:  # removed meanwhile
            continue
        if stat.S_ISLNK(found.st_mode):
            target.symlink(source.leads_to(name), name)
        elif stat.S_ISREG(found.st_mode):
            _copy_file(source, target, name, files)
        elif stat.S_ISDIR(found.st_mode):
            with source.child(name) as inner, target.make(name, 0o700) as made:
                copy(local, inner, made, files, depth + 1)
        else:
            raise PlaceError(local, f"holds {name!r}, which is neither a file nor a folder nor a link: move it away")
    attributes.of_opened(source.descriptor).give(target.descriptor, files)
    files.calls.futimens(target.descriptor, source.stat().st_mtime_ns)


def renew(local: str, source: Folder, target: Folder, files: Files) -> None:
    """Copy `source` anew into `target`, unless it has not changed since it was copied.

    Raises:
        PlaceError: as `copy`.
    """
    if _is_same(source, target):
        return
    for name in target.names():
        trees.remove(target, name)
    copy(local, source, target, files)


def _copy_file(source: Folder, target: Folder, name: str, files: Files) -> None:
    with source.read(name) as descriptor, target.create(name, 0o600) as writer:
        modified_ns = os.fstat(descriptor).st_mtime_ns  # what is written while it is read shows as a later time
        for chunk in blobs.chunks(descriptor):
            writer.write(chunk)
        attributes.of_opened(descriptor).give(writer.descriptor, files)
        writer.set_modified(modified_ns)


def _is_same(source: Folder, target: Folder) -> bool:
    names = source.names()
    return names == target.names() and all(_is_same_entry(source, target, name) for name in names)


def _is_same_entry(source: Folder, target: Folder, name: str) -> bool:
    facts, copied = source.look(name), target.look(name)
    if facts is None or copied is None or _looks(facts) != _looks(copied):
        return False
    if stat.S_ISLNK(facts.st_mode):
        return source.leads_to(name) == target.leads_to(name)
    if not stat.S_ISDIR(facts.st_mode):
        return True
    with source.child(name) as inner, target.child(name) as made:
        return _is_same(inner, made)


def _looks(facts: os.stat_result) -> tuple[int, ...]:
    """Return what a copy has like its original."""
    if stat.S_ISLNK(facts.st_mode):
        return (facts.st_mode,)
    size = facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return (facts.st_mode, facts.st_uid, facts.st_gid, size, facts.st_mtime_ns)
