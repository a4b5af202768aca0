"""A mirror in a folder of this machine, which a web server hands out.

Bytes are written to the spool and made durable there before a rename shows them, so a reader sees a file whole
or not at all, after a power cut too. Each step costs one sync, however many files it has.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from builder import public
from builder.errors import MirrorError
from builder.stores import Written
from mirror import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from builder.pages import Page, Pages
    from builder.spool import Spool
    from mirror.blobs import Blob
    from mirror.files import Files

_SECOND = 1_000_000_000


class FolderStore:
    """A store that is a folder."""

    def __init__(self, root: Path, spool: Spool, files: Files, clock: Callable[[], float]) -> None:
        self._root = root
        self._spool = spool
        self._files = files
        self._clock = clock

    def add_blobs(self, blobs: Sequence[Blob]) -> Written:
        """Take blobs from the spool; durable on return."""
        new = {blob.sha256: blob for blob in blobs if not self._has_blob(blob)}
        if not new:
            return Written()
        public.make_folder(self._root / layout.BLOBS, self._files)
        for blob in new.values():
            public.show_file(blob.path, self._files)
        self._files.sync_all(self._root)
        for blob in new.values():
            self._files.rename(blob.path, self._root / layout.blob(blob.sha256))
        self._files.sync_all(self._root)
        return Written(len(new), sum(blob.size for blob in new.values()))

    def publish(self, pages: Pages, *, repair: bool = False, rewrite: bool = False) -> Written:
        """Write the immutable pages, then the pointers in their order; durable on return."""
        missing = self._missing_folders((*pages.immutable, *(page for page in pages.pointers if page.data)))
        immutable = [page for page in pages.immutable if self._is_new(page, missing, repair=repair) or rewrite]
        pointers = [page for page in pages.pointers if rewrite or (self._read(page, missing) or b"") != page.data]
        if not immutable and not pointers:
            return Written()
        with self._staging() as staged:
            for folder in missing:
                public.make_folder(self._root / folder, self._files)
            for page in (*immutable, *pointers):
                if page.data:
                    staged[page.path] = self._stage(page)
            self._files.sync_all(self._root)
            self._show(immutable, pointers, staged)
        return Written(len(immutable) + len(pointers), sum(len(page.data) for page in (*immutable, *pointers)))

    @contextlib.contextmanager
    def _staging(self) -> Iterator[dict[str, Path]]:
        """Keep where pages were staged, and remove what an error left there: they will be staged again."""
        staged: dict[str, Path] = {}
        try:
            yield staged
        except Exception:
            for path in staged.values():
                with contextlib.suppress(OSError):  # the first error is the one to tell
                    self._spool.discard(path)
            raise

    def _show(self, immutable: Sequence[Page], pointers: Sequence[Page], staged: Mapping[str, Path]) -> None:
        """Rename staged pages to where they belong, remove pointers that are no more; durable on return."""
        if immutable:
            for page in immutable:
                self._files.rename(staged[page.path], self._root / page.path)
            # what pointers lead to is there for good before they lead to it
            self._files.sync_all(self._root)
        for page in pointers:
            if page.data:
                self._replace_pointer(page, staged[page.path])
            else:
                self._files.remove(self._root / page.path)
        if pointers:
            self._files.sync_all(self._root)

    def sync(self) -> None:
        """Make what others wrote durable."""
        self._files.sync_all(self._root)

    def _has_blob(self, blob: Blob) -> bool:
        try:
            return os.lstat(self._root / layout.blob(blob.sha256)).st_size == blob.size
        except FileNotFoundError:
            return False

    def _missing_folders(self, pages: Iterable[Page]) -> Collection[str]:
        """Name the folders of pages that are not there yet, so that nothing is looked for in them."""
        folders = dict.fromkeys(_folder(page) for page in pages)
        return dict.fromkeys(folder for folder in folders if not (self._root / folder).is_dir())

    def _is_new(self, page: Page, missing: Collection[str], *, repair: bool) -> bool:
        present = self._read(page, missing)
        if present is None or present == page.data:
            return present is None
        if not repair:
            raise MirrorError(
                f"{self._root / page.path} must never change, but holds other bytes than the catalogue says: "
                "something else wrote to the mirror; `otamirror check` names all such files and "
                "`otamirror build --from-scratch` writes them again"
            )
        return True

    def _read(self, page: Page, missing: Collection[str]) -> bytes | None:
        if _folder(page) in missing:
            return None
        try:
            return (self._root / page.path).read_bytes()
        except FileNotFoundError:
            return None

    def _stage(self, page: Page) -> Path:
        path = self._spool.path()
        self._files.write(path, page.data)
        public.show_file(path, self._files)
        return path

    def _replace_pointer(self, page: Page, staged: Path) -> None:
        """Rename a pointer into place with a modification time that its predecessor never had.

        nginx makes ETags of whole seconds and the size: two states within a second would look the same.
        """
        target = self._root / page.path
        now, before = int(self._clock()), -1
        with contextlib.suppress(FileNotFoundError):
            before = os.lstat(target).st_mtime_ns // _SECOND
        self._files.set_modified(staged, max(now, before + 1) * _SECOND)
        if os.lstat(staged).st_mtime_ns // _SECOND == before:  # the last time that the file system can write down
            self._files.set_modified(staged, now * _SECOND)
        self._files.rename(staged, target)


def _folder(page: Page) -> str:
    return page.path.rpartition("/")[0]
