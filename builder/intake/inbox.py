"""The inbox: a folder into which publishers drop packages.

A drop is a pair `NAME.json` + `NAME`, or a folder with `content.json` and one file, complete when both are there
and closed. It is claimed by rename into a folder that only the service can enter, so that a new drop of the same name
cannot be mixed up with it, and nobody can exchange it; a claim that a dead process left is taken up again. All folders
are held open while something is done in them, and nothing is followed out of them. Of what was claimed only the names
that were read are removed.

The name of a claim tells how far it came: digits alone until it is judged, hidden once it was published, beginning
with a time once it was refused.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import secrets
import stat
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builder import private
from builder.errors import DropError, PlacementError
from builder.intake import copying, drops
from builder.intake.settling import Settling
from builder.progress import silent
from builder.submission import Submission
from mirror import content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from builder.intake.drops import Find
    from builder.progress import Progress
    from builder.spool import Spool
    from mirror.errors import PublisherError
    from mirror.files import Files, Folder

logger = logging.getLogger(__name__)

_REASON = "reason.json"
_NAME_BYTES = 8
_CLAIM = re.compile(rf"[0-9a-f]{{{2 * _NAME_BYTES}}}")
_PUBLISHED = re.compile(rf"\.{_CLAIM.pattern}")
_REFUSED = re.compile(r"([0-9]+-)?[0-9]{8}T[0-9]{6}Z-.+", re.DOTALL)
_LONGEST_NAME = 255  # bytes, on every common file system
_NOT_OURS_TO_REMOVE = {errno.ENOTEMPTY, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR}


@dataclass(frozen=True, slots=True)
class Drop:
    """A claimed drop, in a folder of its own.

    Attributes:
        found: what was found in the inbox.
        folder: where it lies now.
    """

    found: Find
    folder: Path

    @property
    def title(self) -> str:
        """What people call it."""
        return self.found.title


class Inbox:
    """The inbox, the folder for claims, and the one for what is refused; one process at a time may claim."""

    def __init__(
        self,
        folder: Path,
        claimed: Path,
        rejected: Path,
        files: Files,
        *,
        settle_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        for key, other in (("paths.claimed", claimed), ("paths.rejected", rejected)):
            if folder.stat().st_dev != other.stat().st_dev:
                raise PlacementError(key, other, folder)
        self._folder = folder
        self._claimed = claimed
        self._rejected = rejected
        self._files = files
        self._clock = clock
        self._settling = Settling(settle_seconds, clock)
        self._read: dict[str, tuple[str, ...]] = {}  # by claim, the names in a dropped folder

    @property
    def is_watching(self) -> bool:
        """Whether something waits only because a file's times say nothing: a later scan takes it."""
        return self._settling.is_watching

    def scan(self) -> list[Find]:
        """List what lies in the inbox, complete or not."""
        self._settling.begin_pass()
        with self._open(self._folder) as inbox:
            return list(drops.find(inbox, self._settling.waits))

    def claim(self, find: Find) -> Drop | Find:
        """Take a complete drop out of everybody's reach; if that cannot be done, tell why it waits."""
        name = secrets.token_hex(_NAME_BYTES)
        with self._claims() as claims, self._open(self._folder) as inbox:
            with claims.make(name, private.MODE) as claim:
                try:
                    for entry in find.names:
                        inbox.rename(entry, claim, entry)
                    return Drop(find, self._claimed / name)
                except OSError as error:  # gone, or a folder that only its owner may move
                    problem = error.strerror
            self._give_back(claims, name)
        return replace(find, waiting=f"it cannot be moved: {problem}")

    def resume(self) -> list[Drop]:
        """Take up the claims that a dead process left; what is not whole goes back into the inbox."""
        resumed = []
        with self._claims() as claims:
            for name in claims.names():
                if _PUBLISHED.fullmatch(name):  # its removal was cut short
                    self._clear(claims, name, drops.Find((name,)))
                elif _REFUSED.fullmatch(name):  # the same
                    self._put_away(claims, name)
                elif _CLAIM.fullmatch(name):
                    with claims.child(name) as claim:
                        found = list(drops.find(claim, lambda _: ""))
                    if len(found) == 1 and not found[0].waiting:
                        resumed.append(Drop(found[0], self._claimed / name))
                    else:
                        self._give_back(claims, name)
        return resumed

    def receive(self, drop: Drop, spool: Spool, most_bytes: int = 0, progress: Progress = silent) -> Submission:
        """Copy a drop into the spool, hashing it on the way: whoever still holds the file cannot change the copy.

        Raises:
            DropError: what was dropped is not two regular files.
            TooLargeError: the file has more than `most_bytes` bytes; 0 is no limit.
        """
        if drop.found.refusal:
            raise DropError(drop.found.refusal)
        with self._claims() as claims, claims.child(drop.folder.name) as claim, _opened(claim, drop) as folder:
            content_name, file_name = _members(folder, drop)
            self._read[drop.folder.name] = (content_name, file_name)
            with drops.open_regular(folder, content_name) as descriptor:
                raw = os.read(descriptor, content.MAX_BYTES + 1)
            with drops.open_regular(folder, file_name) as descriptor:
                size = os.fstat(descriptor).st_size
                copying.check_size(size, most_bytes)  # before the disk is filled with it
                with progress(f"reading {drop.title}", size) as advance:
                    blob = copying.copy(descriptor, spool.path(), most_bytes, advance, self._files)
        return Submission(raw, blob, drop.title)

    def remove(self, drop: Drop) -> None:
        """Forget a drop that was published."""
        name = drop.folder.name
        with self._claims() as claims:
            # hidden first: a claim of which half is left would go back into the inbox and wait there for ever
            claims.rename(name, claims, f".{name}")
            self._clear(claims, f".{name}", drop.found, self._read.pop(name, ()))

    def reject(self, drop: Drop, error: PublisherError) -> Path:
        """Move a refused drop, whole, to the folder for it, with the reason beside; returns where it is now."""
        self._read.pop(drop.folder.name, None)
        with self._claims() as claims:
            return self._reject(claims, drop.folder.name, drop.title, error)

    def _reject(self, claims: Folder, name: str, title: str, error: PublisherError) -> Path:
        now = datetime.fromtimestamp(self._clock(), UTC)
        reason = {**error.as_json(), "refused": now.isoformat(timespec="seconds")}
        data = json.dumps(reason, ensure_ascii=False, indent=2).encode() + b"\n"
        with claims.child(name) as claim:
            # hidden as long as this is a claim: one that is taken up again must look as it was
            claim.remove(f".{_REASON}")
            with claim.create(f".{_REASON}") as writer:
                writer.write(data)
                writer.sync()
        plain = re.sub(r"[^A-Za-z0-9._+~-]", "_", title)[:100]
        refused = _free(claims, f"{now:%Y%m%dT%H%M%SZ}-{plain}")
        claims.rename(name, claims, refused)
        return self._put_away(claims, refused)

    def _put_away(self, claims: Folder, refused: str) -> Path:
        """Move what has its reason in it to the folder for what is refused; returns where it is now."""
        with claims.child(refused) as claim, self._open(self._rejected) as rejected:
            if claim.look(f".{_REASON}"):
                claim.rename(f".{_REASON}", claim, _free(claim, _REASON))
            target = _free(rejected, refused)
            claims.rename(refused, rejected, target)
            claim.sync()
            rejected.sync()
        return self._rejected / target

    def _clear(self, claims: Folder, name: str, found: Find, read: tuple[str, ...] = ()) -> None:
        """Remove a claim that was published: the names that were read, or that a drop has if nobody knows them now."""
        try:
            with claims.child(name) as claim:
                for entry in claim.names():
                    _remove_read(claim, entry, read)
            claims.rmdir(name)
        except OSError as error:
            if error.errno not in _NOT_OURS_TO_REMOVE:
                raise
            problem = f"it was published, but what was dropped cannot be removed: {error.strerror}"
            target = self._reject(claims, name, found.title, DropError(problem))
            logger.warning("%s: %s (moved to %s)", found.title, problem, target)

    def _give_back(self, claims: Folder, name: str) -> None:
        """Put what is not a whole claim back into the inbox; a newer drop of the same name stays as it is."""
        with claims.child(name) as claim, self._open(self._folder) as inbox:
            for entry in claim.names():
                if not entry.startswith("."):
                    claim.rename(entry, inbox, _free(inbox, entry))
            claim.remove(f".{_REASON}")
        claims.rmdir(name)

    def _claims(self) -> contextlib.AbstractContextManager[Folder]:
        return private.opened(self._claimed, self._files)

    def _open(self, folder: Path) -> Folder:
        # the way to it is the operator's, who may have made it of links; what lies in it is not
        return self._files.open_folder(folder.resolve())


@contextlib.contextmanager
def _opened(claim: Folder, drop: Drop) -> Iterator[Folder]:
    """Open the folder that has the two files of a claimed drop."""
    if len(drop.found.names) == 2:
        yield claim
        return
    try:
        folder = claim.child(drop.found.names[0])
    except OSError as error:  # what was claimed need not be what was found
        raise DropError(f"{drop.title} is not a folder that can be read any more") from error
    with folder:
        yield folder


def _members(folder: Folder, drop: Drop) -> tuple[str, str]:
    """Return the names of a drop's content.json and file."""
    if len(drop.found.names) == 2:
        content_name, file_name = drop.found.names
        return content_name, file_name
    names = folder.names()
    others = [name for name in names if name != drops.CONTENT]
    if len(others) != 1 or drops.CONTENT not in names:
        raise DropError(f"{drop.title} does not hold {drops.CONTENT} and one file")
    return drops.CONTENT, others[0]


def _remove_read(claim: Folder, entry: str, read: tuple[str, ...]) -> None:
    """Remove a dropped file, or a dropped folder with the files in it that were read and nothing else."""
    found = claim.look(entry)
    if found is None or not stat.S_ISDIR(found.st_mode):
        claim.remove(entry)
        return
    with claim.child(entry) as folder:
        for name in read or _as_dropped(folder.names()):
            folder.remove(name)
    claim.rmdir(entry)


def _as_dropped(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that are in a folder if they are all that a drop has: content.json and one file, or one left."""
    names = tuple(names)
    others = [name for name in names if name != drops.CONTENT]
    return names if len(others) <= 1 and not any(name.startswith(".") for name in names) else ()


def _free(folder: Folder, name: str) -> str:
    """Return a name in `folder` that nothing has yet."""
    free, number = name, 1
    while folder.look(free):
        number += 1
        free = os.fsdecode(os.fsencode(f"{number}-{name}")[:_LONGEST_NAME])
    return free
