"""The folder that an archive describes, member by member, and whether it may.

Pure: nothing is written here. Memory grows with the number of entries, by their names and little more. No member
and no link leads out of the folder, whatever order they come in: members never lie below a link, and a symlink
goes up through real folders only, before it goes down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mirror.archive.tar_headers import Kind
from mirror.canonical import shown
from mirror.errors import InvalidArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mirror.archive.tar_headers import Member

_ON_DISK = 4096  # bytes in a block of the file system
_LONGEST_NAME = 255
_LONGEST_PATH = 3072  # the system's 4096 are for the folder's own path, too
_DEEPEST = 100  # whoever walks through the folder, to remove it if need be, goes down by calling itself
_SPECIAL = {0o4000: "setuid", 0o2000: "setgid", 0o1000: "sticky"}


class Folder:
    """A folder of the archive; `named` tells whether it has an entry of its own."""

    __slots__ = ("entries", "mode", "modified_ns", "named")

    def __init__(self) -> None:
        self.entries: dict[str, Folder | Kind] = {}
        self.named = False
        self.mode = 0o755
        self.modified_ns: int | None = None


class Place(NamedTuple):
    """Where a member goes; paths are relative to the folder of the archive.

    Attributes:
        new_folders: folders to be made first, in this order; the member itself if it is a new folder.
        links_to: path of the file that a hard link is another name of.
    """

    path: str
    new_folders: Sequence[str]
    links_to: str = ""


class Tree:
    """The folder as the members so far describe it.

    Attributes:
        size: bytes that it takes on a disk.
        count: entries in it.
    """

    def __init__(self, most_bytes: int, most_entries: int) -> None:
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._root = Folder()
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
        if parts[-1] in parent.entries:
            raise _twice(member)
        links_to = self._check_link(member, parts)
        self._grow(0 if member.kind is Kind.LINK else member.size if member.kind is Kind.FILE else 1)
        parent.entries[parts[-1]] = Kind.SYMLINK if member.kind is Kind.SYMLINK else Kind.FILE
        return Place("/".join(parts), new_folders, links_to)

    def folders(self) -> Iterator[tuple[str, Folder]]:
        """Yield all folders with their paths, each after those in it, the folder of the archive itself last."""
        ways = [("", self._root, iter(self._root.entries.items()))]
        while ways:
            path, folder, entries = ways[-1]
            inner = next((entry for entry in entries if isinstance(entry[1], Folder)), None)
            if inner is None:
                ways.pop()
                yield path, folder
            elif isinstance(inner[1], Folder):
                ways.append((f"{path}{inner[0]}/", inner[1], iter(inner[1].entries.items())))

    def _add_folder(self, member: Member, parts: list[str]) -> Place:
        folder, new_folders = self._reach(parts, member)
        if folder.named:
            raise _twice(member)
        folder.named, folder.mode, folder.modified_ns = True, member.mode, member.modified_ns
        return Place("/".join(parts), new_folders)

    def _reach(self, parts: list[str], member: Member) -> tuple[Folder, list[str]]:
        """Go down to a folder, making those that are not there; returns it, and the paths of the new ones."""
        folder, new_folders = self._root, []
        for number, part in enumerate(parts, 1):
            found = folder.entries.get(part)
            if found is None:
                self._grow(1)
                found = folder.entries[part] = Folder()
                new_folders.append("/".join(parts[:number]))
            if not isinstance(found, Folder):
                above = shown("/".join(parts[:number]))
                raise InvalidArchiveError(
                    f"{shown(member.name)} needs a folder where the archive has {found.value}: {above}"
                )
            folder = found
        return folder, new_folders

    def _check_link(self, member: Member, parts: list[str]) -> str:
        """Judge where a link leads; returns the path of the file that a hard link is another name of."""
        if member.kind is Kind.SYMLINK:
            _check_symlink(member, len(parts) - 1)
        if member.kind is not Kind.LINK:
            return ""
        source = _parts(member.leads_to)
        folder: Folder | Kind | None = self._root
        for part in source:
            folder = folder.entries.get(part) if isinstance(folder, Folder) else None
        if folder is not Kind.FILE:
            raise InvalidArchiveError(
                f"{shown(member.name)} is a hard link to {shown(member.leads_to)}, no file that came before it"
            )
        return "/".join(source)

    def _grow(self, size: int) -> None:
        """Count one more entry with `size` bytes of its own."""
        self.count += 1
        self.size += -(-size // _ON_DISK) * _ON_DISK
        if self.count > self._most_entries:
            raise InvalidArchiveError(f"its archive has more than {self._most_entries} entries")
        if self.size > self._most_bytes:
            raise InvalidArchiveError(f"its archive unpacks to more than {self._most_bytes} bytes")


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
    if len(name.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise InvalidArchiveError(
            f"{shown(name)} is too long: {_LONGEST_NAME} bytes between slashes, {_LONGEST_PATH} in all"
        )
    if len(parts) > _DEEPEST:
        raise InvalidArchiveError(f"{shown(name)} is too deep: {_DEEPEST} names, one below the other")


def _check_symlink(member: Member, depth: int) -> None:
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


def _check_mode(member: Member) -> None:
    if special := [name for bit, name in _SPECIAL.items() if member.mode & bit]:
        raise InvalidArchiveError(f"{shown(member.name)} is {' and '.join(special)}, which no member may be")


def _twice(member: Member) -> InvalidArchiveError:
    return InvalidArchiveError(f"{shown(member.name)} is in the archive twice")
