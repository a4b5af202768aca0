"""The operating system's calls that change files, and a file that is being written by them.

`Calls` is the seam at which tests let a program be killed, cut or failed, or exchange names under it; nothing else in
either program changes files. Each call takes a path, or the name of something in an opened folder (`at`), by which
nobody can lead it elsewhere; owner, mode, times and attributes are set on descriptors only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW

_libc = ctypes.CDLL(None, use_errno=True)


class Calls:
    """The operating system's calls that change files, one method each, nothing added.

    `at` is the descriptor of the folder that a name lies in, `to` that of the second name; without it names are paths.
    """

    def open(self, path: Path, flags: int, mode: int = 0o644, *, at: int | None = None) -> int:
        """Open `path` for writing."""
        return os.open(path, flags, mode, dir_fd=at)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write what the system takes of `data`; returns how much that was."""
        return os.write(descriptor, data)

    def overwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """Write what the system takes of `data` over the bytes at `offset`; returns how much that was."""
        return os.pwrite(descriptor, data, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file down to `size` bytes."""
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def fsync(self, descriptor: int) -> None:
        """Make one file or folder durable."""
        os.fsync(descriptor)

    def syncfs(self, descriptor: int) -> None:
        """Make everything written so far to the file system of `descriptor` durable."""
        if not hasattr(_libc, "syncfs"):  # not Linux: the larger hammer
            os.sync()
        elif _libc.syncfs(descriptor) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def rename(self, source: Path, target: Path, *, at: int | None = None, to: int | None = None) -> None:
        """Rename, replacing `target` if it is there."""
        os.rename(source, target, src_dir_fd=at, dst_dir_fd=to)

    def link(self, source: Path, target: Path, *, at: int | None = None, to: int | None = None) -> None:
        """Give a file a second name; a link that is given one is not followed."""
        os.link(source, target, src_dir_fd=at, dst_dir_fd=to, follow_symlinks=False)

    def flink(self, descriptor: int, path: Path, *, at: int | None = None) -> None:
        """Give an open file that has no name one; nothing is replaced."""
        os.link(f"/proc/self/fd/{descriptor}", path, dst_dir_fd=at, follow_symlinks=True)

    def symlink(self, leads_to: str, path: Path, *, at: int | None = None) -> None:
        """Make a symbolic link."""
        os.symlink(leads_to, path, dir_fd=at)

    def unlink(self, path: Path, *, at: int | None = None) -> None:
        """Remove a file."""
        os.unlink(path, dir_fd=at)

    def mkdir(self, path: Path, mode: int = 0o755, *, at: int | None = None) -> None:
        """Make one folder."""
        os.mkdir(path, mode, dir_fd=at)

    def rmdir(self, path: Path, *, at: int | None = None) -> None:
        """Remove an empty folder."""
        os.rmdir(path, dir_fd=at)

    def futimens(self, descriptor: int, modified_ns: int) -> None:
        """Set the times of an open file, in nanoseconds since 1970."""
        os.utime(descriptor, ns=(modified_ns, modified_ns))

    def fchmod(self, descriptor: int, mode: int) -> None:
        """Set the permission bits of an open file or folder."""
        os.fchmod(descriptor, mode)

    def fchown(self, descriptor: int, user: int, group: int) -> None:
        """Set the owner of an open file or folder."""
        os.fchown(descriptor, user, group)

    def fsetxattr(self, descriptor: int, name: str, value: bytes) -> None:
        """Set one extended attribute of an open file."""
        os.setxattr(descriptor, name, value)


class Writer:
    """A file being written."""

    def __init__(self, calls: Calls, descriptor: int, path: Path) -> None:
        self._calls = calls
        self._path = path
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """The file's descriptor: the file itself, whatever its name has become."""
        if self._descriptor is None:
            raise RuntimeError("the file is closed")
        return self._descriptor

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`."""
        rest = memoryview(data)
        with naming(self._path):
            while rest:
                rest = rest[self._calls.write(self.descriptor, rest) :]

    def set_mode(self, mode: int) -> None:
        """Give the file exactly this mode, whatever the umask."""
        with naming(self._path):
            self._calls.fchmod(self.descriptor, mode)

    def take_after(self, other: os.stat_result) -> None:
        """Give the file the owner, group and mode of another, as far as this user may."""
        with naming(self._path):
            with contextlib.suppress(PermissionError):  # only root may give a file away
                self._calls.fchown(self.descriptor, other.st_uid, other.st_gid)
            self._calls.fchmod(self.descriptor, stat.S_IMODE(other.st_mode))

    def set_modified(self, modified_ns: int) -> None:
        """Set the modification time, in nanoseconds since 1970; writing after it sets another."""
        with naming(self._path):
            self._calls.futimens(self.descriptor, modified_ns)

    def sync(self) -> None:
        """Make the bytes written so far durable."""
        with naming(self._path):
            self._calls.fsync(self.descriptor)

    def close(self) -> None:
        """Close the file; a second time has no effect."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._calls.close(descriptor)


@contextlib.contextmanager
def whole(writer: Writer, remove: Callable[[], None]) -> Iterator[Writer]:
    """Close a new file in the end; on an error it is removed again."""
    try:
        yield writer
        writer.close()
    except Exception:
        # Exception, not BaseException: a killed process cleans nothing up, and neither do we pretend to
        with contextlib.suppress(OSError):  # the first error is the one to tell
            writer.close()
        with contextlib.suppress(OSError):
            remove()
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an error of a call say which file it is about, by its whole path."""
    try:
        yield
    except OSError as error:
        if not error.filename or not Path(os.fsdecode(error.filename)).is_absolute():
            error.filename = str(path)
        raise
