"""The archive of a folder, for a package that devices unpack: the same bytes on every machine.

Sorted by name; all belongs to root; one time for everything; mode 0755 for folders and what its owner may execute, 0644
for the rest. So neither umask, clock, user nor file system shows. What cannot go into it is refused or told.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builder import tar_writer
from mirror.archive.tar_headers import Kind, Member
from mirror.archive.tree import Tree
from mirror.blobs import CHUNK
from mirror.canonical import Problem, shown
from mirror.errors import InvalidArchiveError, PublisherError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mirror.files import Files

EARLIEST = 315_532_800
"""The time of everything if none is given, in seconds since 1970: 1980, before which zip archives know no times."""

_ANY = 2**63
_FOLDER_MODE, _PROGRAM_MODE, _FILE_MODE = 0o755, 0o755, 0o644
_LEFT_OUT = {stat.S_IFSOCK: "socket", stat.S_IFIFO: "FIFO"}
_SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_TOLD = {
    "left out": ("is no file, and is left out", ""),
    "special": ("is setuid, setgid or sticky; in the archive it is not", "have AfterUpdate set that"),
    "private": ("is kept from others; in the archive all may read it", "have AfterUpdate set the mode"),
    "attributes": ("has attributes or capabilities; in the archive it has none", "have AfterUpdate set them"),
}


class FolderArchiveError(PublisherError):
    """No archive can be made of this folder.

    Attributes:
        path: what is in the way.
    """

    code = "pack"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path


class _Found(NamedTuple):
    """A member of the archive that will be, and where it lies."""

    member: Member
    path: Path


class FolderContent:
    """What lies in a folder and will be in its archive.

    Attributes:
        size: bytes of all files.
        warnings: what its publisher should know.
    """

    def __init__(self, folder: Path, modified: int = EARLIEST) -> None:
        """Look through a folder; `modified` is the time of all of it, in seconds since 1970.

        Raises:
            FolderArchiveError: something in it cannot be packed, or no device would unpack it.
        """
        self._folder = folder
        self._modified_ns = modified * 10**9
        self._seen: dict[str, tuple[str, int]] = {}
        self._names: dict[tuple[int, int], str] = {}
        self._found = [_Found(self._member("./", Kind.FOLDER, _FOLDER_MODE), folder), *self._look_through(folder, "")]
        self.size = sum(found.member.size for found in self._found)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What its publisher should know, with the first example of each."""
        return tuple(_problem(kind, *seen) for kind, seen in self._seen.items())

    def write(
        self, target: Path, compression: str, files: Files, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Write the archive, whole or not at all, in the place of what is at `target`.

        Raises:
            FolderArchiveError: something has changed since it was looked at, or the archive cannot be written.
        """
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            files.remove(temporary)
            with files.create(temporary) as writer:
                for block in tar_writer.compressed(self._blocks(progress), compression):
                    writer.write(block)
                writer.sync()
                writer.close()
                files.rename(temporary, target)
        except OSError as error:
            raise FolderArchiveError(target, f"cannot be written: {error.strerror}") from error

    def _look_through(self, folder: Path, above: str) -> Iterator[_Found]:
        tree = Tree(_ANY, _ANY)  # how much devices take is told when the archive is judged
        waiting = [(folder, above)]
        while waiting:
            here, prefix = waiting.pop()
            deeper = []
            for entry in _entries(here):
                found = self._find(entry, f"{prefix}{_utf8(entry.name)}")
                if found is None:
                    continue
                _judge(tree, found)
                yield found
                if found.member.kind is Kind.FOLDER:
                    deeper.append((found.path, found.member.name))
            waiting += reversed(deeper)

    def _find(self, entry: os.DirEntry[str], name: str) -> _Found | None:
        path = Path(entry.path)
        try:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                leads_to = _utf8(os.readlink(path))  # noqa: PTH115 - as it is, not normalised
                return _Found(self._member(name, Kind.SYMLINK, 0o777, leads_to=leads_to), path)
            self._note(path, name, status)
        except OSError as error:
            raise FolderArchiveError(path, f"cannot be read: {error.strerror}") from error
        if stat.S_ISDIR(status.st_mode):
            return _Found(self._member(f"{name}/", Kind.FOLDER, _FOLDER_MODE), path)
        if stat.S_ISREG(status.st_mode):
            return _Found(self._file(name, status), path)
        if stat.S_IFMT(status.st_mode) in _LEFT_OUT:
            return None
        raise FolderArchiveError(path, "is a device, which no device unpacks: move it away")

    def _file(self, name: str, status: os.stat_result) -> Member:
        mode = _PROGRAM_MODE if status.st_mode & stat.S_IXUSR else _FILE_MODE
        first = self._names.setdefault((status.st_dev, status.st_ino), name) if status.st_nlink > 1 else name
        if first != name:
            return self._member(name, Kind.LINK, mode, leads_to=first)
        return self._member(name, Kind.FILE, mode, status.st_size)

    def _member(self, name: str, kind: Kind, mode: int, size: int = 0, leads_to: str = "") -> Member:
        return Member(name, kind, mode, size, self._modified_ns, leads_to)

    def _note(self, path: Path, name: str, status: os.stat_result) -> None:
        """Note what the archive will not have."""
        kinds = {
            "left out": stat.S_IFMT(status.st_mode) in _LEFT_OUT,
            "special": bool(status.st_mode & _SPECIAL),
            "private": stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IROTH,
            "attributes": stat.S_ISREG(status.st_mode) and _has_attributes(path),
        }
        for kind in (kind for kind, holds in kinds.items() if holds):
            first, count = self._seen.get(kind, (name, 0))
            self._seen[kind] = (first, count + 1)

    def _blocks(self, progress: Callable[[int], None]) -> Iterator[bytes]:
        for member, path in self._found:
            yield tar_writer.member_header(member)
            if member.kind is Kind.FILE:
                yield from _content(path, member.size, progress)
                yield tar_writer.padding(member.size)
        yield tar_writer.END


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise FolderArchiveError(folder, f"cannot be read: {error.strerror}") from error


def _judge(tree: Tree, found: _Found) -> None:
    try:
        tree.add(found.member)
    except InvalidArchiveError as error:
        raise FolderArchiveError(
            found.path, f"cannot be packed, as it cannot be unpacked on any device: {error}"
        ) from None


def _content(path: Path, size: int, progress: Callable[[int], None]) -> Iterator[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FolderArchiveError(path, f"cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        left = size
        while data := file.read(min(CHUNK, left + 1)):
            left -= len(data)
            if left < 0:
                break
            progress(len(data))
            yield data
    if left:
        raise FolderArchiveError(path, "was changed while it was packed: pack it again once it is finished")


def _has_attributes(path: Path) -> bool:
    try:
        return any(not name.startswith("security.selinux") for name in os.listxattr(path, follow_symlinks=False))
    except OSError:  # a file system without
        return False


def _problem(kind: str, first: str, count: int) -> Problem:
    more = f" (and {count - 1} more)" if count > 1 else ""
    says, hint = _TOLD[kind]
    return Problem("file", f"{shown(first)}{more} {says}", hint)


def _utf8(name: str) -> str:
    """Spell a name of the system by its bytes, as archives do."""
    return os.fsencode(name).decode(errors="surrogateescape")
