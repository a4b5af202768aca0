"""Unpacking an archive into a new folder, by descriptors of the folders in it.

What the archive has is what the folder gets: names, bytes, modes, links, times. Who unpacks owns it all. Only what the
archive itself has brought is replaced, and nothing is followed. When it is durable is not decided here.
"""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

from mirror.archive import archive
from mirror.archive.tar_headers import Kind
from mirror.archive.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mirror.archive.archive import Limits
    from mirror.archive.tar_headers import Member
    from mirror.archive.tree import Place
    from mirror.calls import Calls
    from mirror.folders import Folder

_NOT_YET = 0o700  # mode of folders while they are being filled
_TOP = 0o755  # what the folder itself always has: others than who unpacks are to use what is in it
_LATEST_32_BIT = 2**31 * 10**9 - 1  # in nanoseconds since 1970


def extract(chunks: Iterator[bytes], parent: Folder, name: str, limits: Limits, calls: Calls) -> None:
    """Unpack an archive into the new folder `name` in `parent`; not synced yet, and on an error left as it is.

    Raises:
        InvalidArchiveError: it must not be unpacked, or cannot be; the members before that are unpacked.
        FileExistsError: something has the name already.
    """
    tree = Tree(limits.size, limits.count)
    with contextlib.closing(_Way(parent.make(name, _NOT_YET))) as way:
        for member, content in archive.members(chunks, limits):
            _make(member, content, tree.add(member), way)
        archive.check_not_empty(tree)
        for path, found in tree.folders():
            folder = way.to(_parts(path))
            if found.modified_ns is not None:
                _set_modified(found.modified_ns, functools.partial(calls.futimens, folder.descriptor))
            calls.fchmod(folder.descriptor, found.mode if path else found.mode | _TOP)


class _Way:
    """The folders from the top down to where members are being made, which come one after the other mostly."""

    def __init__(self, top: Folder) -> None:
        self._names: list[str] = []
        self._folders = [top]

    def to(self, parts: Sequence[str]) -> Folder:
        """Go to a folder; it stays open until another one is gone to that does not lie below it."""
        while self._names != list(parts[: len(self._names)]):
            self._names.pop()
            self._folders.pop().close()
        for part in parts[len(self._names) :]:
            self._folders.append(self._folders[-1].child(part))
            self._names.append(part)
        return self._folders[-1]

    @contextlib.contextmanager
    def beside(self, parts: Sequence[str]) -> Iterator[Folder]:
        """Open another folder, without leaving the one that was gone to."""
        with contextlib.ExitStack() as opened:
            folder = self._folders[0]
            for part in parts:
                folder = opened.enter_context(folder.child(part))
            yield folder

    def close(self) -> None:
        """Close them all."""
        while self._folders:
            self._folders.pop().close()


def _make(member: Member, content: Iterator[memoryview], place: Place, way: _Way) -> None:
    """Make one member, and the folders above it that have no entry of their own."""
    *above, name = _parts(place.path) or [""]
    if place.replaces:
        folder = way.to(above)
        folder.rmdir(name) if place.replaces is Kind.FOLDER else folder.remove(name)
    for path in place.new_folders:
        *over, new = _parts(path)
        way.to(over).make(new, _NOT_YET).close()
    match member.kind:
        case Kind.FILE:
            _write(member, content, way.to(above), name)
        case Kind.SYMLINK:
            way.to(above).symlink(_of_system(member.leads_to), name)  # its own time is not kept: no call sets it
        case Kind.LINK:
            _link(place, way)
        case Kind.FOLDER:
            pass  # made with the new folders, its mode and time when all is in it


def _write(member: Member, content: Iterator[memoryview], folder: Folder, name: str) -> None:
    with folder.create(name, 0o600) as writer:  # for nobody until it has its mode
        for block in content:
            writer.write(block)
        writer.set_mode(member.mode)
        _set_modified(member.modified_ns, writer.set_modified)


def _link(place: Place, way: _Way) -> None:
    if place.links_to == place.path:  # to itself: it is so already
        return
    *source, old = _parts(place.links_to)
    *above, new = _parts(place.path)
    with way.beside(source) as there:
        there.link(old, way.to(above), new)


def _set_modified(modified_ns: int, call: Callable[[int], None]) -> None:
    try:
        call(modified_ns)
    except OverflowError:  # a 32-bit system, from 2038 on
        call(_LATEST_32_BIT)


def _parts(path: str) -> list[str]:
    return [part for part in _of_system(path).split("/") if part]


def _of_system(name: str) -> str:
    """Spell a name so that its bytes are those of the archive, whatever the system's encoding is."""
    return os.fsdecode(name.encode(errors="surrogateescape"))
