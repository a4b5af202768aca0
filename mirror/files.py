"""Durable writing: all that changes files goes through here, on both sides.

`Calls` is the operating system; everything else is built on it, so tests run the same code
under calls that stop, cut or fail. Paths are for folders that only we may write to; where others may, a `Folder` is
opened and all is done in it. A file appears under its name whole or not at all, because bytes are
synced before the rename that names them; it is there for good once its folder is synced.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from mirror import trees
from mirror.calls import NEW_FILE, Calls, Writer, naming, whole
from mirror.folders import Folder, set_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Calls", "Files", "Folder", "Writer"]

_ITSELF = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
        descriptor = self.calls.open(path, NEW_FILE, mode)
        with whole(Writer(self.calls, descriptor, path), lambda: self.remove(path)) as writer:
            yield writer

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

    def replace(
        self, path: Path, data: bytes, *, mode: int = 0o644, like: Path | None = None, exact: bool = False
    ) -> None:
        """Give `path` new bytes, whole or not at all, durable on return.

        With `like`, it gets the owner, group and mode of that file, if it is there. If `exact`, its mode is that which
        is given, whatever the umask.
        """
        temporary = path.with_name(f".{path.name}.tmp")
        self.remove(temporary)
        with self.create(temporary, mode) as writer:
            writer.write(data)
            if like and like.exists():
                writer.take_after(like.stat())
            elif exact:
                set_mode(writer.descriptor, mode, self.calls)
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
        with naming(path):
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
        self._on(path, lambda descriptor: self.calls.futimens(descriptor, modified_ns))

    def set_mode(self, path: Path, mode: int) -> None:
        """Give a file or folder of ours exactly this mode, whatever the umask; a link is not followed."""
        self._on(path, lambda descriptor: self.calls.fchmod(descriptor, mode))

    def remove(self, path: Path) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.calls.unlink(path)

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder with all in it, following no link; fine if it is gone already."""
        with contextlib.suppress(FileNotFoundError), Folder.trusted(folder.parent, self.calls) as parent:
            trees.remove(parent, folder.name)

    def open_folder(self, folder: Path, *, make: int | None = None) -> Folder:
        """Open a folder, to work in it by descriptor; see `Folder.open`."""
        return Folder.open(folder, self.calls, make=make)

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
        self._on(folder, call, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _on(self, path: Path, call: Callable[[int], None], flags: int = _ITSELF) -> None:
        descriptor = os.open(path, flags)
        try:
            with naming(path):
                call(descriptor)
        finally:
            os.close(descriptor)
