"""The folders in which the packages of a plan lie: opened once, and kept open until the update has ended.

All is done relative to them, so whoever may rename or link in them, or above them, leads nothing to anywhere else.
After a cut they are opened anew, following no link, and compared with what was recorded before the first hook ran:
where the folder, or what was laid out in it, is something else, nothing is touched, and the package is lost.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from devclient.errors import LostError, PlaceError
from devclient.install import place
from devclient.plan import Found, Laid, Parent, Surroundings
from mirror import blobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from devclient.plan import Step
    from mirror.files import Files
    from mirror.folders import Folder

_log = logging.getLogger(__name__)

_WITHOUT_LASTING_INODES = frozenset({"vfat", "msdos", "exfat", "ntfs3", "fuseblk"})
_NO_WAY = frozenset({errno.ENOTDIR, errno.ELOOP, errno.ENOENT})
_FOR_OTHERS = 0o755


class Parents:
    """The opened folders of one plan.

    Attributes:
        recorded: what belongs to each package, by its name; empty for a plan of before that was recorded.
        lost: the packages whose folders, or what was laid out in them, were exchanged, and how.
        files: how they are opened.
    """

    def __init__(self, recorded: Mapping[str, Surroundings], files: Files) -> None:
        self.recorded = dict(recorded)
        self.lost: dict[str, LostError] = {}
        self.files = files
        self._open: dict[Path, Folder] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder in self._open.values():
            folder.close()
        self._open.clear()

    def make(self, step: Step) -> Folder:
        """Open the folder of a step, which is made if it is missing, for others to use; and record it.

        Raises:
            PlaceError: a link, or no folder, has come to lie on the way.
        """
        path = step.path.parent
        if path not in self._open:
            try:
                self._open[path] = self._made(path)
            except NotADirectoryError as error:
                raise PlaceError(step.local, f"{error.filename} is no folder any more: nothing was changed") from error
        folder = self._open[path]
        self.recorded[step.package] = Surroundings(_parent(folder))
        return folder

    def record(self, step: Step, sha256: str = "") -> None:
        """Record what is laid out beside the place of a step; `sha256` is that of the new file, if it is known."""
        folder = self.of(step)
        # a folder of its owner's is given its other name only when all is switched
        old_name = place.old(step.path).name
        if step.found is Found.FOLDER:
            copy = place.copy(step.path).name
            old_name = copy if folder.look(copy) else step.path.name
        new, old = _laid(folder, place.new(step.path).name, sha256), _laid(folder, old_name)
        self.recorded[step.package] = replace(self.recorded[step.package], new=new, old=old, laid_out=True)

    def _made(self, path: Path) -> Folder:
        try:
            return self.files.open_folder(path)
        except FileNotFoundError:
            folder = self.files.open_folder(path, make=_FOR_OTHERS)
            folder.sync_all()
            return folder

    def of(self, step: Step) -> Folder:
        """Return the folder of a step.

        Raises:
            LostError: it is not the one that was recorded, or was found to be lost before.
        """
        if known := self.lost.get(step.package):
            raise known
        path = step.path.parent
        if path not in self._open:
            try:
                self._open[path] = self.files.open_folder(path)
            except OSError as error:
                if error.errno not in _NO_WAY:
                    raise
                raise LostError(step.local, f"{error.filename} is not the folder that it was") from error
        folder, recorded = self._open[path], self.recorded.get(step.package)
        if recorded and not _is_same(folder, recorded.parent):
            raise LostError(step.local, f"{path} is not the folder that it was")
        return folder

    def check(self, step: Step, name: str) -> None:
        """See that what lies under a name of ours, if anything does, is what was laid out there.

        Raises:
            LostError: it is something else.
        """
        folder, recorded = self.of(step), self.recorded.get(step.package)
        if recorded is None or not recorded.laid_out or folder.look(name) is None:
            return
        laid = recorded.new if name == place.new(step.path).name else recorded.old
        if laid is None or not is_laid(folder, name, laid):
            raise LostError(step.local, f"{folder.path / name} is not what was laid out")

    def needs_new(self, step: Step) -> bool:
        """Return whether something was laid out that is to take the place of a step."""
        recorded = self.recorded.get(step.package)
        return recorded is not None and recorded.new is not None

    def has_new(self, step: Step) -> bool:
        """Return whether what was laid out is in its place now."""
        recorded, facts = self.recorded.get(step.package), self.of(step).look(step.path.name)
        return bool(facts and recorded and recorded.new and facts.st_ino == recorded.new.inode)

    def check_restored(self, step: Step) -> None:
        """See that the old has not gone with the new still in its place.

        Raises:
            LostError: somebody has removed it.
        """
        folder, recorded = self.of(step), self.recorded.get(step.package)
        if recorded is None or recorded.old is None or recorded.new is None:
            return
        name, facts = step.path.name, folder.look(step.path.name)
        # by its bytes too: once the new one was removed, its inode may be that of anything
        is_new = facts is not None and facts.st_ino == recorded.new.inode != recorded.old.inode
        if facts and is_new and _digest(folder, name, facts) == recorded.new.sha256:
            raise LostError(step.local, f"{place.old(step.path)} is not there any more")

    @contextlib.contextmanager
    def sparing(self, step: Step) -> Iterator[None]:
        """Leave a step whose package is lost alone, and remember that it is."""
        try:
            yield
        except LostError as error:
            if step.package not in self.lost:
                _log.error("%s is lost: %s", step, error)
                self.lost[step.package] = error

    def sync(self, steps: Iterable[Step]) -> None:
        """Make the names in the folders of steps durable, but for those of packages that are lost."""
        for step in {step.path.parent: step for step in steps if step.package not in self.lost}.values():
            with self.sparing(step):
                self.of(step).sync()


def is_laid(folder: Folder, name: str, laid: Laid) -> bool:
    """Return whether a name is that of what was laid out: the very file, or one with the same bytes.

    Copies of a disk, and file systems without lasting inodes, have the bytes under other numbers.
    """
    facts = folder.look(name)
    if facts is None:
        return False
    return facts.st_ino == laid.inode or (bool(laid.sha256) and _digest(folder, name, facts) == laid.sha256)


def _laid(folder: Folder, name: str, sha256: str = "") -> Laid | None:
    facts = folder.look(name)
    return None if facts is None else Laid(facts.st_ino, sha256 or _digest(folder, name, facts))


def _digest(folder: Folder, name: str, facts: os.stat_result) -> str:
    if stat.S_ISLNK(facts.st_mode):
        return hashlib.sha256(os.fsencode(folder.leads_to(name))).hexdigest()
    if not stat.S_ISREG(facts.st_mode):
        return ""
    with folder.read(name) as descriptor:
        return blobs.hashed(descriptor)[0]


def _parent(folder: Folder) -> Parent:
    facts = folder.stat()
    inode = 0 if _file_system(facts.st_dev) in _WITHOUT_LASTING_INODES else facts.st_ino
    return Parent(inode, facts.st_uid, stat.S_IMODE(facts.st_mode))


def _is_same(folder: Folder, recorded: Parent) -> bool:
    facts = folder.stat()
    is_same_inode = recorded.inode in {0, facts.st_ino}
    return is_same_inode and (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (recorded.user, recorded.mode)


def _file_system(device: int) -> str:
    """Return the kind of a file system, "" where the system does not tell."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
            words = line.split()
            if words[2] == wanted:
                return words[words.index("-") + 1]
    return ""
