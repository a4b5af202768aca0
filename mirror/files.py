"""Durable writing: the only module that changes files, on both sides.

`Calls` is the operating system; everything else is built on it, so tests run the same code
under calls that stop, cut or fail. A file appears under its name whole or not at all, because bytes are
synced before the rename that names them; it is there for good once its folder is synced.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_libc = ctypes.CDLL(None, use_errno=True)
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Calls:
    """The operating system's calls that change files, one method each, nothing added."""

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        """Open `path` for writing."""
        return os.open(path, flags, mode)

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

    def rename(self, source: Path, target: Path) -> None:
        """Rename, replacing `target` if it is there."""
        os.rename(source, target)  # noqa: PTH104 - one call, one method

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; a link that is given one is not followed."""
        os.link(source, target, follow_symlinks=False)

    def symlink(self, leads_to: str, path: Path) -> None:
        """Make a symbolic link."""
        os.symlink(leads_to, path)  # noqa: PTH211 - one call, one method

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        os.unlink(path)  # noqa: PTH108 - as above

    def mkdir(self, path: Path, mode: int = 0o755) -> None:
        """Make one folder."""
        os.mkdir(path, mode)  # noqa: PTH102 - as above

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        os.rmdir(path)  # noqa: PTH106 - as above

    def utime(self, path: Path, modified_ns: int) -> None:
        """Set the times of a file, in nanoseconds since 1970."""
        os.utime(path, ns=(modified_ns, modified_ns))

    def chmod(self, path: Path, mode: int) -> None:
        """Set the permission bits of a file."""
        os.chmod(path, mode)  # noqa: PTH101 - as above

    def chown(self, path: Path, user: int, group: int) -> None:
        """Set the owner of a file."""
        os.chown(path, user, group)

    def setxattr(self, path: Path, name: str, value: bytes) -> None:
        """Set one extended attribute of a file."""
        os.setxattr(path, name, value)


class Files:
    """What the rest of the code does with files, in terms of `Calls`."""

    def __init__(self, calls: Calls | None = None) -> None:
        self.calls = calls or Calls()

    @contextlib.contextmanager
    def create(self, path: Path, mode: int = 0o644) -> Iterator[Writer]:
        """Open a new file for writing; on an error it is removed again.

        Raises:
            FileExistsError: `path` is there already.
        """
        writer = Writer(self.calls, self.calls.open(path, _NEW_FILE, mode), path)
        try:
            yield writer
            writer.close()
        except Exception:
            # Exception, not BaseException: a killed process cleans nothing up, and neither do we pretend to
            with contextlib.suppress(OSError):  # the first error is the one to tell
                writer.close()
            with contextlib.suppress(OSError):
                self.remove(path)
            raise

    @contextlib.contextmanager
    def append(self, path: Path, mode: int = 0o600) -> Iterator[Writer]:
        """Open a file for writing at its end, making it if need be; it stays on an error."""
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        writer = Writer(self.calls, self.calls.open(path, flags, mode), path)
        try:
            yield writer
        finally:
            writer.close()

    def write(self, path: Path, data: bytes, *, mode: int = 0o644) -> None:
        """Write a new file without syncing it: for a group that one `sync_all` makes durable."""
        with self.create(path, mode) as writer:
            writer.write(data)

    def replace(self, path: Path, data: bytes, *, mode: int = 0o644) -> None:
        """Give `path` new bytes, whole or not at all, durable on return."""
        temporary = path.with_name(f".{path.name}.tmp")
        self.remove(temporary)
        with self.create(temporary, mode) as writer:
            writer.write(data)
            writer.sync()
            writer.close()
            self.rename(temporary, path)  # within: if it fails, the temporary is removed
        self.sync_folder(path.parent)

    def overwrite(self, path: Path, data: bytes, offset: int = 0, *, size: int | None = None) -> None:
        """Write `data` over the bytes at `offset` of a file that is there, durably; with `size`, cut it down to that.

        Where the file's blocks are allocated and its file system writes in place, as ext4 and xfs do, that needs no
        free space. A power cut may leave some of the bytes written and others not.
        """
        descriptor = self.calls.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with _naming(path):
            try:
                rest = memoryview(data)
                while rest:
                    written = self.calls.overwrite(descriptor, rest, offset)
                    rest, offset = rest[written:], offset + written
                if size is not None:
                    self.calls.truncate(descriptor, size)
                self.calls.fsync(descriptor)
            finally:
                self.calls.close(descriptor)

    def link(self, source: Path, target: Path) -> None:
        """Give a file, or a symbolic link, a second name in the place of whatever had that name."""
        self.remove(target)
        self.calls.link(source, target)

    def symlink(self, leads_to: str, path: Path) -> None:
        """Make a symbolic link in the place of whatever had its name."""
        self.remove(path)
        self.calls.symlink(leads_to, path)

    def rename(self, source: Path, target: Path) -> None:
        """Rename within one file system, replacing `target`; durable once its folder is synced."""
        self.calls.rename(source, target)

    def set_modified(self, path: Path, modified_ns: int) -> None:
        """Set the modification time of `path`, in nanoseconds since 1970."""
        self.calls.utime(path, modified_ns)

    def remove(self, path: Path) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.calls.unlink(path)

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder with all in it, following no link; fine if it is gone already."""
        if folder.is_symlink():
            self.remove(folder)
        if not folder.exists():
            return
        for root, folders, files in os.walk(folder, topdown=False):
            for name in files:
                self.remove(Path(root, name))
            for name in folders:
                entry = Path(root, name)
                self.remove(entry) if entry.is_symlink() else self.calls.rmdir(entry)
        self.calls.rmdir(folder)

    def make_folder(self, folder: Path, mode: int = 0o755) -> None:
        """Make a folder and its parents if need be; durable once the file system is synced."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent, mode)
        try:
            self.calls.mkdir(folder, mode)
        except FileExistsError:
            if not folder.is_dir():  # a folder: another process was quicker, which is as good
                raise

    def sync_folder(self, folder: Path) -> None:
        """Make the names in `folder` durable."""
        self._sync(folder, self.calls.fsync)

    def sync_all(self, folder: Path) -> None:
        """Make everything on the file system of `folder` durable with one call.

        One call costs the same for one file as for a thousand; it is how a group of uploads shares its syncs.
        """
        self._sync(folder, self.calls.syncfs)

    def _sync(self, folder: Path, call: Callable[[int], None]) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _naming(folder):
                call(descriptor)
        finally:
            os.close(descriptor)


class Writer:
    """A file being written."""

    def __init__(self, calls: Calls, descriptor: int, path: Path) -> None:
        self._calls = calls
        self._path = path
        self._descriptor: int | None = descriptor

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`."""
        rest = memoryview(data)
        with _naming(self._path):
            while rest:
                rest = rest[self._calls.write(self._open(), rest) :]

    def sync(self) -> None:
        """Make the bytes written so far durable."""
        with _naming(self._path):
            self._calls.fsync(self._open())

    def close(self) -> None:
        """Close the file; a second time has no effect."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._calls.close(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            raise RuntimeError("the file is closed")
        return self._descriptor


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have an error of a call on a descriptor say which file it is about."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
