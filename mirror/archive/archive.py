"""A tar archive, member by member, and what unpacking it takes.

A device judges it twice, whole before anything is written and again while it is unpacked, by the same code;
nothing is ever written outside the new folder. What the archive has is what the folder gets: names, bytes, modes,
links, times. Who unpacks owns it all. Which folder that is, and when it is durable, is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.archive import compression, tar_stream
from mirror.archive.tree import Tree
from mirror.errors import NoArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mirror.archive.tar_headers import Member

_OVERHEAD = 4096  # bytes of an archive for each entry besides its content, headers with long names included


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to; one that claims more is refused before that is decompressed.

    Attributes:
        size: bytes on the disk.
        count: entries.
        stream: bytes without compression; 0 is what size and count allow.
        memory: bytes of memory for what decompresses it.
        names: bytes of memory for the names in it; 0 is what count allows.
    """

    size: int = 16 * 1024**3
    count: int = 200_000
    stream: int = 0
    memory: int = compression.MEMORY
    names: int = 0


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
    for member, _ in members(chunks, limits, go_on):
        tree.add(member)
    check_not_empty(tree)
    return Size(tree.size, tree.count)


def members(
    chunks: Iterator[bytes],
    limits: Limits,
    go_on: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[Member, Iterator[memoryview]]]:
    """Yield the members of an archive that may be compressed, each with its content; see `tar_stream.members`."""
    blocks = _tended(compression.plain(_tended(chunks, go_on), memory=limits.memory), go_on)
    return tar_stream.members(tar_stream.Source(blocks, limits.stream or limits.size + limits.count * _OVERHEAD), tell)


def _tended(blocks: Iterator[bytes], go_on: Callable[[], None]) -> Iterator[bytes]:
    for block in blocks:
        go_on()
        yield block


def check_not_empty(tree: Tree) -> None:
    """Raise NoArchiveError if an archive had no members."""
    if tree.is_empty:
        raise NoArchiveError(tar_stream.EMPTY)
