"""Folders that are held open: all that is done in one is done in this very folder, whatever its path has become.

A folder is opened segment by segment and follows no link; what is in it is made, opened, renamed, removed and looked
at by name, relative to its descriptor. So whoever may rename or exchange things in it, or above it, leads nothing that
is done here to any other place. Names are single ones, without a slash.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.calls import NEW_FILE, Writer, naming, whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from mirror.calls import Calls

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ON_THE_WAY = getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # it need not be readable
_ITSELF = getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC
_UNNAMED = getattr(os, "O_TMPFILE", os.O_DIRECTORY) | os.O_WRONLY | os.O_CLOEXEC
# of a file system without them: overlay says the first, kernels that do not know the flag the second
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Folder:
    """A folder that is open until it is closed.

    Attributes:
        descriptor: the folder itself.
        path: where it was opened, for messages.
    """

    def __init__(self, descriptor: int, path: Path, calls: Calls) -> None:
        self.descriptor = descriptor
        self.path = path
        self._calls = calls

    @classmethod
    def open(cls, path: Path, calls: Calls, *, make: int | None = None) -> Self:
        """Open the folder at a path without following any link; with the mode `make`, make what is missing.

        Raises:
            NotADirectoryError: something on the way is a link, or no folder.
            FileNotFoundError: something on the way is not there.
        """
        if ".." in path.parts:  # after a link it would lead elsewhere
            raise ValueError(f"{path} has .. in it")
        way = Path(path.anchor)
        here = os.open(way, _ON_THE_WAY)
        try:
            for part in path.parts[1:] if path.anchor else path.parts:
                way /= part
                with naming(way):
                    above, here = here, _step(here, part, calls, make)
                os.close(above)
            with naming(path):
                return cls(os.open(".", _FOLDER, dir_fd=here), path, calls)
        finally:
            os.close(here)

    @classmethod
    def trusted(cls, path: Path, calls: Calls) -> Self:
        """Open a folder by a path that only we can change; links in it are followed, and it need not be readable."""
        return cls(os.open(path, _ON_THE_WAY & ~os.O_NOFOLLOW), path, calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder; a second time has no effect."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)

    # looking

    def stat(self) -> os.stat_result:
        """Return owner, mode and identity of the folder itself."""
        return os.fstat(self.descriptor)

    @property
    def identity(self) -> tuple[int, int]:
        """What makes it this folder, as long as it is open: its file system and its inode."""
        found = self.stat()
        return found.st_dev, found.st_ino

    def look(self, name: str) -> os.stat_result | None:
        """Return what has a name, following no link; None if nothing has."""
        with self._naming(name), contextlib.suppress(FileNotFoundError):
            return os.lstat(_single(name), dir_fd=self.descriptor)
        return None

    def names(self) -> list[str]:
        """List the names in the folder."""
        with naming(self.path):
            return sorted(os.listdir(self.descriptor))  # noqa: PTH208 - of a descriptor

    def leads_to(self, name: str) -> str:
        """Return what a symbolic link says."""
        with self._naming(name):
            return os.readlink(_single(name), dir_fd=self.descriptor)

    def child(self, name: str) -> Self:
        """Open a folder in this one, following no link.

        Raises:
            NotADirectoryError: it is a link, or no folder.
            FileNotFoundError: nothing has the name.
        """
        with self._naming(name):
            descriptor = os.open(_single(name), _FOLDER, dir_fd=self.descriptor)
        return type(self)(descriptor, self.path / name, self._calls)

    def above(self, identity: tuple[int, int]) -> Self:
        """Open the folder above, if it is the one with this identity.

        Raises:
            OSError: this one was moved to another (ESTALE).
        """
        opened = type(self)(os.open("..", _ON_THE_WAY, dir_fd=self.descriptor), self.path.parent, self._calls)
        if opened.identity != identity:
            opened.close()
            raise OSError(errno.ESTALE, "was moved meanwhile", str(self.path))
        return opened

    @contextlib.contextmanager
    def read(self, name: str) -> Iterator[int]:
        """Open an ordinary file for reading, following no link and waiting for no pipe; yields its descriptor.

        Raises:
            OSError: it is a link (ELOOP) or no ordinary file (EINVAL).
        """
        with self._naming(name):
            descriptor = os.open(_single(name), _READ, dir_fd=self.descriptor)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "is no ordinary file", str(self.path / name))
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def identify(self, name: str) -> Iterator[int]:
        """Hold on to whatever has a name, following no link; yields a descriptor that only tells what it is.

        Raises:
            FileNotFoundError: nothing has the name.
        """
        with self._naming(name):
            descriptor = os.open(_single(name), _ITSELF, dir_fd=self.descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    # changing

    @contextlib.contextmanager
    def appear(self, name: str, mode: int = 0o600) -> Iterator[Writer]:
        """Write a new file that gets its name in the end, so that nobody can open it or exchange it before.

        Where the file system has no files without a name, it has its name from the start.

        Raises:
            FileExistsError: something has the name.
        """
        try:
            with self._naming(name):
                descriptor = self._calls.open(Path(), _UNNAMED, mode, at=self.descriptor)
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            with self.create(name, mode) as writer:
                yield writer
            return
        writer = Writer(self._calls, descriptor, self.path / name)
        try:
            yield writer
            with self._naming(name):
                self._calls.flink(descriptor, _single(name), at=self.descriptor)
        finally:
            writer.close()

    @contextlib.contextmanager
    def create(self, name: str, mode: int = 0o644) -> Iterator[Writer]:
        """Open a new file for writing; on an error it is removed again.

        Raises:
            FileExistsError: something has the name.
        """
        with self._naming(name):
            descriptor = self._calls.open(_single(name), NEW_FILE, mode, at=self.descriptor)
        with whole(Writer(self._calls, descriptor, self.path / name), lambda: self.remove(name)) as writer:
            yield writer

    def make(self, name: str, mode: int = 0o755) -> Self:
        """Make a folder of exactly this mode, whatever the umask, and open it.

        Raises:
            FileExistsError: something has the name.
        """
        with self._naming(name):
            self._calls.mkdir(_single(name), mode, at=self.descriptor)
        made = self.child(name)
        try:
            set_mode(made.descriptor, mode, self._calls)
        except OSError:
            made.close()
            raise
        return made

    def rename(self, name: str, to: Folder, new: str) -> None:
        """Rename into a folder on the same file system, replacing what has the name there."""
        with self._naming(name):
            self._calls.rename(_single(name), _single(new), at=self.descriptor, to=to.descriptor)

    def link(self, name: str, to: Folder, new: str) -> None:
        """Give a file, or a symbolic link, a second name, in the place of whatever had that name."""
        to.remove(new)
        with self._naming(name):
            self._calls.link(_single(name), _single(new), at=self.descriptor, to=to.descriptor)

    def symlink(self, leads_to: str, name: str) -> None:
        """Make a symbolic link in the place of whatever had its name."""
        self.remove(name)
        with self._naming(name):
            self._calls.symlink(leads_to, _single(name), at=self.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, or a link itself, if it is there."""
        with self._naming(name), contextlib.suppress(FileNotFoundError):
            self._calls.unlink(_single(name), at=self.descriptor)

    def rmdir(self, name: str) -> None:
        """Remove an empty folder."""
        with self._naming(name):
            self._calls.rmdir(_single(name), at=self.descriptor)

    def sync(self) -> None:
        """Make the names in the folder durable."""
        with naming(self.path):
            self._calls.fsync(self.descriptor)

    def sync_all(self) -> None:
        """Make everything on the folder's file system durable with one call."""
        with naming(self.path):
            self._calls.syncfs(self.descriptor)

    def _naming(self, name: str) -> contextlib.AbstractContextManager[None]:
        return naming(self.path / name)


def set_mode(descriptor: int, mode: int, calls: Calls) -> None:
    """Give an open file or folder these permissions if an umask has taken some away; its special bits stay."""
    found = os.fstat(descriptor).st_mode
    if found & 0o777 != mode & 0o777:
        calls.fchmod(descriptor, mode & 0o777 | stat.S_IMODE(found) & ~0o777)


def _single(name: str) -> Path:
    """See that a name is one in a folder, not a way out of it."""
    if name in {"", ".", ".."} or "/" in name:
        raise ValueError(f"{name!r} is no single name")
    return Path(name)


def _step(here: int, name: str, calls: Calls, make: int | None) -> int:
    """Go one segment down, making it if it is missing and should be made."""
    try:
        return os.open(name, _ON_THE_WAY, dir_fd=here)
    except FileNotFoundError:
        if make is None:
            raise
    with contextlib.suppress(FileExistsError):  # another process was quicker: what it made is judged below
        calls.mkdir(Path(name), make, at=here)
    made = os.open(name, _FOLDER, dir_fd=here)
    try:
        set_mode(made, make, calls)
    finally:
        os.close(made)
    return os.open(name, _ON_THE_WAY, dir_fd=here)
