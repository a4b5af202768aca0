"""Sets of unpacked folders: all folder packages of a device switch together, by the rename of one link.

    work/folders/12-app/            what was unpacked
    work/sets/12/app                -> ../../folders/12-app
    work/current                    -> sets/12
    /opt/app                        -> work/current/app, which never changes

A set has a link for each folder package that is installed, and is never changed once it was made.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from devclient import work_folder
from devclient.errors import PlaceError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from mirror.files import Files

_NEW, _OLD, _TRY = "current.new", "current.old", "current.try"
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})


class Sets:
    """The sets in one work folder."""

    def __init__(self, work: Path, files: Files) -> None:
        self._work = work
        self._files = files

    @property
    def current(self) -> str:
        """The name of the set that is in place, "" for none."""
        link = self._work / "current"
        return link.readlink().name if link.is_symlink() else ""

    def link(self, package: str) -> str:
        """Tell what the link at a package's place says."""
        return os.fspath(self._work / "current" / package)

    def folder(self, name: str) -> Path:
        """Tell where a folder is unpacked."""
        return self._work / "folders" / name

    def check_links(self, local: str) -> None:
        """See that there can be symbolic links in the work folder.

        Raises:
            PlaceError: there cannot, so no package can be the folder `local`.
        """
        try:
            self._files.symlink("sets", self._work / _TRY)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise PlaceError(
                local, f"cannot be a folder: {self._work} is on a file system without symbolic links, such as FAT"
            ) from None
        self._files.remove(self._work / _TRY)

    def content(self, name: str) -> dict[str, str]:
        """Tell which folder each package has in a set."""
        place = self._work / "sets" / name
        if not name or not place.is_dir():
            return {}
        return {link.name: link.readlink().name for link in sorted(place.iterdir())}

    @property
    def last_attempt(self) -> int:
        """The highest number in the name of a set or a folder, 0 for none."""
        names = [path.name.partition("-")[0] for part in ("sets", "folders") for path in (self._work / part).glob("*")]
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def make(self, name: str, folders: Mapping[str, str]) -> None:
        """Make a set, and the links that switch to it and back; to be synced by the caller."""
        place = self._work / "sets" / name
        self._files.make_folder(place, work_folder.PASSABLE)
        for package, folder in folders.items():
            self._files.symlink(f"../../folders/{folder}", place / package)
        self._files.symlink(f"sets/{name}", self._work / _NEW)
        if self.current:
            # made now, because undoing must not need space
            self._files.symlink(f"sets/{self.current}", self._work / _OLD)

    def switch(self) -> None:
        """Put the new set in place, durably; without effect if it is."""
        self._rename(_NEW)
        self._files.sync_folder(self._work)

    def switch_back(self, before: str) -> None:
        """Put the set `before` back in place, durably; without effect if it is."""
        if self.current != before:
            self._rename(_OLD) if before else self._files.remove(self._work / "current")
        # also if it was in place: whoever put it there may have been killed before this
        self._files.sync_folder(self._work)

    def tidy(self, keep: Collection[str]) -> None:
        """Remove the links that switch, the sets that are not to be kept, and the folders that are in none of those."""
        for name in (_NEW, _OLD, _TRY):
            self._files.remove(self._work / name)
        wanted = {folder for name in keep for folder in self.content(name).values()}
        self._remove("sets", keep)
        self._remove("folders", wanted)

    def _remove(self, part: str, keep: Collection[str]) -> None:
        for path in sorted((self._work / part).glob("*")):
            if path.name not in keep:
                self._files.remove_tree(path)

    def _rename(self, name: str) -> None:
        link = self._work / name
        if link.is_symlink():
            self._files.rename(link, self._work / "current")
