"""A tar archive, measured, and unpacked into a new folder.

A device judges it twice, whole before anything is written and again while it is unpacked, by the same code;
nothing is ever written outside the new folder. What the archive has is what the folder gets: names, bytes, modes,
links, times. Who unpacks owns it all. Which folder that is, and when it is durable, is not decided here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.archive import compression, tar_stream
from mirror.archive.tar_headers import Kind
from mirror.archive.tree import Tree
from mirror.errors import InvalidArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mirror.archive.tar_headers import Member
    from mirror.archive.tree import Place
    from mirror.files import Files

_NOT_YET = 0o700  # mode of folders while they are being filled
_OVERHEAD = 4096  # bytes of an archive for each entry besides its content, headers with long names included


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to; one that claims more is refused before that is decompressed.

    Attributes:
        size: bytes on the disk.
        count: entries.
    """

    size: int = 16 * 1024**3
    count: int = 200_000


@dataclass(frozen=True)
class Size:
    """What unpacking an archive takes.

    Attributes:
        on_disk: bytes on the disk, in whole blocks.
        count: entries, each of which takes an inode.
    """

    on_disk: int
    count: int


def measure(chunks: Iterator[bytes], limits: Limits, go_on: Callable[[], None] = lambda: None) -> Size:
    """Read an archive through once, judge every member, and count what unpacking takes.

    `go_on` is called before each block, and may raise to leave.

    Raises:
        InvalidArchiveError: it must not be unpacked, or cannot be.
    """
    tree = Tree(limits.size, limits.count)
    for member, _ in _members(chunks, limits, go_on):
        tree.add(member)
    _check_not_empty(tree)
    return Size(tree.size, tree.count)


def unpack(chunks: Iterator[bytes], folder: Path, limits: Limits, files: Files) -> None:
    """Unpack an archive into the new `folder`; not synced yet, and on an error left as it is.

    Raises:
        InvalidArchiveError: it must not be unpacked, or cannot be; the members before that are unpacked.
        FileExistsError: `folder` is there already.
    """
    tree = Tree(limits.size, limits.count)
    files.calls.mkdir(folder, _NOT_YET)
    for member, content in _members(chunks, limits):
        place = tree.add(member)
        for path in place.new_folders:
            files.calls.mkdir(folder / path, _NOT_YET)
        _make(member, content, folder, place, files)
    _check_not_empty(tree)
    for path, found in tree.folders():
        if found.modified_ns is not None:
            _set_modified(path, found.modified_ns, functools.partial(files.set_modified, folder / path))
        files.set_mode(folder / path, found.mode)  # last: it may forbid to open the folder


def _members(
    chunks: Iterator[bytes], limits: Limits, go_on: Callable[[], None] = lambda: None
) -> Iterator[tuple[Member, Iterator[memoryview]]]:
    blocks = _tended(compression.plain(chunks), go_on)
    return tar_stream.members(tar_stream.Source(blocks, limits.size + limits.count * _OVERHEAD + tar_stream.PADDING))


def _tended(blocks: Iterator[bytes], go_on: Callable[[], None]) -> Iterator[bytes]:
    for block in blocks:
        go_on()
        yield block


def _check_not_empty(tree: Tree) -> None:
    if tree.is_empty:
        raise InvalidArchiveError(tar_stream.EMPTY)


def _make(member: Member, content: Iterator[memoryview], folder: Path, place: Place, files: Files) -> None:
    """Make what is no folder; nothing that is there already is replaced or followed."""
    path = folder / place.path
    match member.kind:
        case Kind.FILE:
            _write(member, content, path, files)
        case Kind.SYMLINK:
            files.calls.symlink(member.leads_to, path)  # its own time is not kept: no call sets it
        case Kind.LINK:
            files.calls.link(folder / place.links_to, path)
        case Kind.FOLDER:
            pass  # made with the new folders, its mode and time when all is in it


def _write(member: Member, content: Iterator[memoryview], path: Path, files: Files) -> None:
    with files.create(path, 0o600) as writer:  # for nobody until it has its mode
        for block in content:
            writer.write(block)
        writer.set_mode(member.mode)
        _set_modified(path.name, member.modified_ns, writer.set_modified)


def _set_modified(name: str, modified_ns: int, call: Callable[[int], None]) -> None:
    try:
        call(modified_ns)
    except OverflowError:  # a 32-bit system, from 2038 on
        raise InvalidArchiveError(f"this device cannot keep the time of {name}, {modified_ns // 10**9}") from None
