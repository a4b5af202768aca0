"""The folder that an archive describes, member by member, and whether it may.

Pure: nothing is written here. Memory grows with the number of entries, by their names and little more. No member
and no link leads out of the folder, whatever order they come in: members never lie below a link, and a symlink
goes up through real folders only, before it goes down. What comes twice is what came last, as with tar; only a folder
that has something in it stays a folder.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, NamedTuple

from mirror.archive.tar_headers import Kind
from mirror.canonical import shown
from mirror.errors import InvalidArchiveError, UnreadableArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mirror.archive.tar_headers import Member

_ON_DISK = 4096  # bytes in a block of the file system
_LONGEST_NAME = 255
_LONGEST_PATH = 3072  # the system's 4096 are for the folder's own path, too
_OF_A_NAME, _OF_A_FOLDER = 120, 500  # bytes of memory, besides the letters of names
_DEEPEST = 100  # the folders on the way to a member are held open while it is unpacked
_SPECIAL = {0o4000: "setuid", 0o2000: "setgid", 0o1000: "sticky"}


class ArchiveFolder:
    """A folder of the archive; `named` tells whether it has an entry of its own."""

    __slots__ = ("entries", "mode", "modified_ns", "named")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.named = False
        self.mode = 0o755
        self.modified_ns: int | None = None


class Symlink(NamedTuple):
    """A symlink that goes up by so many folders before it goes down."""

    ups: int


Entry = ArchiveFolder | Symlink | Literal[Kind.FILE]
_SYMLINKS = tuple(Symlink(ups) for ups in range(_DEEPEST + 1))  # so that each takes no memory of its own


class Place(NamedTuple):
    """Where a member goes; paths are relative to the folder of the archive.

    Attributes:
        new_folders: folders to be made first, in this order; the member itself if it is a new folder.
        links_to: path of the file or symlink that a hard link is another name of.
        replaces: the kind of what is there and has to go first, a folder only if it is empty.
    """

    path: str
    new_folders: Sequence[str]
    links_to: str = ""
    replaces: Kind | None = None


class Tree:
    """The folder as the members so far describe it.

    Attributes:
        size: bytes that it takes on a disk.
        count: entries in it; one that comes twice counts twice.
    """

    def __init__(self, most_bytes: int, most_entries: int, most_memory: int = 0) -> None:
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._most_memory = most_memory
        self._memory = 0
        self._root = ArchiveFolder()
        self.size = _ON_DISK
        self.count = 0

    @property
    def is_empty(self) -> bool:
        """Whether no member has come yet, not even the folder itself."""
        return not self.count and not self._root.named

    def add(self, member: Member) -> Place:
        """Judge the next member, and take it in.

        Raises:
            InvalidArchiveError: an archive must not have it.
        """
        parts = _parts(member.name)
        _check_mode(member)
        if member.kind is Kind.FOLDER:
            return self._add_folder(member, parts)
        if not parts:
            raise InvalidArchiveError(f"{shown(member.name)} is {member.kind.value} in the place of the folder itself")
        parent, new_folders = self._reach(parts[:-1], member)
        there = parent.entries.get(parts[-1])
        if isinstance(there, ArchiveFolder) and there.entries:
            raise InvalidArchiveError(f"{shown(member.name)} is {member.kind.value} where the archive has a folder")
        entry, links_to = self._entry(member, parts)
        self._grow(0 if member.kind is Kind.LINK else member.size if member.kind is Kind.FILE else 1)
        self._hold(_OF_A_NAME + sys.getsizeof(parts[-1]))
        parent.entries[parts[-1]] = entry
        path = "/".join(parts)
        return Place(path, new_folders, links_to, _kind(there) if there and path != links_to else None)

    def folders(self) -> Iterator[tuple[str, ArchiveFolder]]:
        """Yield all folders with their paths, each after those in it, the folder of the archive itself last."""
        ways = [("", self._root, iter(self._root.entries.items()))]
        while ways:
            path, folder, entries = ways[-1]
            inner = next((entry for entry in entries if isinstance(entry[1], ArchiveFolder)), None)
            if inner is None:
                ways.pop()
                yield path, folder
            elif isinstance(inner[1], ArchiveFolder):
                ways.append((f"{path}{inner[0]}/", inner[1], iter(inner[1].entries.items())))

    def _add_folder(self, member: Member, parts: list[str]) -> Place:
        above, new_folders = self._reach(parts[:-1], member)
        folder = above.entries.get(parts[-1]) if parts else self._root
        there = _kind(folder) if folder else None
        if isinstance(folder, ArchiveFolder):
            self._grow(0 if folder.named else -1)  # it was counted when it was made for what is in it
        else:
            folder = self._new_folder(above, parts, new_folders)
        folder.named, folder.mode, folder.modified_ns = True, member.mode, member.modified_ns
        return Place("/".join(parts), new_folders, replaces=None if there is Kind.FOLDER else there)

    def _new_folder(self, above: ArchiveFolder, parts: list[str], new_folders: list[str]) -> ArchiveFolder:
        self._grow(1)
        self._hold(_OF_A_FOLDER + sys.getsizeof(parts[-1]))
        folder = above.entries[parts[-1]] = ArchiveFolder()
        new_folders.append("/".join(parts))
        return folder

    def _reach(self, parts: list[str], member: Member) -> tuple[ArchiveFolder, list[str]]:
        """Go down to a folder, making those that are not there; returns it, and the paths of the new ones."""
        folder, new_folders = self._root, list[str]()
        for number, part in enumerate(parts, 1):
            found = folder.entries.get(part)
            if found is None:
                found = self._new_folder(folder, parts[:number], new_folders)
            if not isinstance(found, ArchiveFolder):
                above = shown("/".join(parts[:number]))
                raise InvalidArchiveError(
                    f"{shown(member.name)} needs a folder where the archive has {_kind(found).value}: {above}"
                )
            folder = found
        return folder, new_folders

    def _entry(self, member: Member, parts: list[str]) -> tuple[Entry, str]:
        """Judge where a link leads; returns what is to be kept, and the path that a hard link is another name of."""
        if member.kind is Kind.SYMLINK:
            return _symlink(member, len(parts) - 1), ""
        if member.kind is not Kind.LINK:
            return Kind.FILE, ""
        source = _parts(member.leads_to)
        found: Entry | None = self._root
        for part in source:
            found = found.entries.get(part) if isinstance(found, ArchiveFolder) else None
        says = f"{shown(member.name)} is a hard link to {shown(member.leads_to)}"
        if found is None or isinstance(found, ArchiveFolder):
            raise InvalidArchiveError(f"{says}, no file that came before it")
        if isinstance(found, Symlink) and found.ups >= len(parts):
            raise InvalidArchiveError(f"{says}, a symlink that from there leads out of the folder")
        return found, "/".join(source)

    def _grow(self, size: int) -> None:
        """Count one more entry with `size` bytes of its own, or with -1 none."""
        self.count += size >= 0
        self.size += -(-size // _ON_DISK) * _ON_DISK
        if self.count > self._most_entries:
            raise UnreadableArchiveError(f"its archive has more than {self._most_entries} entries")
        if self.size > self._most_bytes:
            raise UnreadableArchiveError(f"its archive unpacks to more than {self._most_bytes} bytes")

    def _hold(self, size: int) -> None:
        """Count the memory that is taken, roughly."""
        self._memory += size
        if 0 < self._most_memory < self._memory:
            raise UnreadableArchiveError("its archive has more names than are read here")


def _kind(entry: Entry) -> Kind:
    if isinstance(entry, ArchiveFolder):
        return Kind.FOLDER
    return Kind.SYMLINK if isinstance(entry, Symlink) else entry


def _parts(name: str) -> list[str]:
    """Split a name into the names of folders and its own; none of them leads anywhere else."""
    if not name or name.startswith("/"):
        raise InvalidArchiveError(f"{shown(name)} is not a path within the folder")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise InvalidArchiveError(f"{shown(name)} may lead out of the folder")
    if "\0" in name:
        raise InvalidArchiveError(f"{shown(name)} has a NUL in it")
    _check_length(name, parts)
    return parts


def _check_length(name: str, parts: list[str]) -> None:
    if _length(name) > _LONGEST_PATH or any(_length(part) > _LONGEST_NAME for part in parts):
        raise InvalidArchiveError(
            f"{shown(name)} is too long: {_LONGEST_NAME} bytes between slashes, {_LONGEST_PATH} in all"
        )
    if len(parts) > _DEEPEST:
        raise InvalidArchiveError(f"{shown(name)} is too deep: {_DEEPEST} names, one below the other")


def _length(name: str) -> int:
    return len(name.encode(errors="surrogateescape"))


def _symlink(member: Member, depth: int) -> Symlink:
    """Judge where a symlink leads that lies below `depth` folders.

    Up first: after a name, which may be that of a link, nobody knows yet where `..` is.
    """
    target = member.leads_to
    parts = [part for part in target.split("/") if part not in {"", "."}]
    ups = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    says = f"{shown(member.name)} is a symlink to {shown(target)}"
    if not target or "\0" in target:
        raise InvalidArchiveError(f"{says}, which is no path")
    if target.startswith("/") or ups > depth:
        raise InvalidArchiveError(f"{says}, out of the folder")
    if ".." in parts[ups:]:
        raise InvalidArchiveError(f"{says}, where .. stands after a name (make it go up first, then down)")
    _check_length(target, parts)
    return _SYMLINKS[ups]


def _check_mode(member: Member) -> None:
    if special := [name for bit, name in _SPECIAL.items() if member.mode & bit]:
        raise InvalidArchiveError(f"{shown(member.name)} is {' and '.join(special)}, which no member may be")
