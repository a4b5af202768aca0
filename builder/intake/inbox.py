"""The inbox: a folder into which publishers drop packages.

A drop is a pair `NAME.json` + `NAME`, or a folder with `content.json` and one file, complete when both are there
and closed. It is claimed by rename into the hidden folder `.claimed`, so that a new drop of the same name cannot be
mixed up with it; a claim that a dead process left is taken up again. Nothing is followed out of the inbox.

The name of a claim tells how far it came: digits alone until it is judged, hidden once it was published, beginning
with a time once it was refused.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builder.errors import DropError, PlacementError, TooLargeError
from builder.intake import drops
from builder.progress import silent
from builder.submission import Submission
from mirror import blobs, content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from builder.intake.drops import Find
    from builder.progress import Progress
    from builder.spool import Spool
    from mirror.errors import PublisherError
    from mirror.files import Files

_CLAIMED = ".claimed"
_REASON = "reason.json"
_NAME_BYTES = 8
_CLAIM = re.compile(rf"[0-9a-f]{{{2 * _NAME_BYTES}}}")
_LONGEST_NAME = 255  # bytes, on every common file system


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
    """The inbox and the folder for what is refused; one process at a time may claim from it."""

    def __init__(
        self,
        folder: Path,
        rejected: Path,
        files: Files,
        *,
        settle_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        if folder.stat().st_dev != rejected.stat().st_dev:
            raise PlacementError("paths.rejected", rejected, folder)
        self._folder = folder
        self._claimed = folder / _CLAIMED
        self._rejected = rejected
        self._files = files
        self._clock = clock
        self._is_closed = lambda path: drops.closed(path, settle_seconds, clock)

    def scan(self) -> list[Find]:
        """List what lies in the inbox, complete or not."""
        return list(drops.find(self._folder, self._is_closed))

    def claim(self, find: Find) -> Drop | Find:
        """Take a complete drop out of everybody's reach; if that cannot be done, tell why it waits."""
        self._own_claims()
        claim = self._claimed / secrets.token_hex(_NAME_BYTES)
        self._files.make_folder(claim, 0o700)
        try:
            for name in find.names:
                self._files.rename(self._folder / name, claim / name)
        except OSError as error:  # gone, or a folder that only its owner may move
            self._give_back(claim)
            return replace(find, waiting=f"it cannot be moved: {error.strerror}")
        return Drop(find, claim)

    def resume(self) -> list[Drop]:
        """Take up the claims that a dead process left; what is not whole goes back into the inbox."""
        if not self._own_claims():
            return []
        resumed = []
        for claim in sorted(self._claimed.iterdir()):
            if claim.name.startswith("."):  # published; its removal was cut short
                self._clear(Drop(drops.Find((claim.name,)), claim))
                continue
            found = list(drops.find(claim, lambda _: True)) if _is_usable(claim) else []
            if found and not _CLAIM.fullmatch(claim.name):  # refused; its removal was cut short
                self._put_away(claim)
            elif len(found) == 1 and not found[0].waiting:
                resumed.append(Drop(found[0], claim))
            else:
                self._give_back(claim)
        return resumed

    def receive(self, drop: Drop, spool: Spool, most_bytes: int = 0, progress: Progress = silent) -> Submission:
        """Copy a drop into the spool, hashing it on the way: whoever still holds the file cannot change the copy.

        Raises:
            DropError: what was dropped is not two regular files.
            TooLargeError: the file has more than `most_bytes` bytes; 0 is no limit.
        """
        if drop.found.refusal:
            raise DropError(drop.found.refusal)
        content_path, file = _members(drop)
        descriptor = drops.open_regular(content_path)
        try:
            raw = os.read(descriptor, content.MAX_BYTES + 1)
        finally:
            os.close(descriptor)
        descriptor = drops.open_regular(file)
        try:
            size = os.fstat(descriptor).st_size
            _check_size(size, most_bytes)  # before the disk is filled with it
            with progress(f"reading {drop.title}", size) as advance:
                chunks = _limited(blobs.chunks(descriptor, advance), most_bytes)
                blob = blobs.put(chunks, spool.path(), self._files)
        finally:
            os.close(descriptor)
        return Submission(raw, blob, drop.title)

    def remove(self, drop: Drop) -> None:
        """Forget a drop that was published."""
        # hidden first: a claim of which half is left would go back into the inbox and wait there for ever
        done = drop.folder.with_name(f".{drop.folder.name}")
        self._files.rename(drop.folder, done)
        self._clear(Drop(drop.found, done))

    def reject(self, drop: Drop, error: PublisherError) -> Path:
        """Move a refused drop, whole, to the folder for it, with the reason beside; returns where it is now."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        reason = {**error.as_json(), "refused": now.isoformat(timespec="seconds")}
        data = json.dumps(reason, ensure_ascii=False, indent=2).encode() + b"\n"
        # hidden as long as this is a claim: one that is taken up again must look as it was
        self._files.replace(drop.folder / f".{_REASON}", data)
        plain = re.sub(r"[^A-Za-z0-9._+~-]", "_", drop.title)[:100]
        refused = _free(self._claimed, f"{now:%Y%m%dT%H%M%SZ}-{plain}")
        self._files.rename(drop.folder, refused)
        return self._put_away(refused)

    def _put_away(self, refused: Path) -> Path:
        """Move what has its reason in it to the folder for what is refused; returns where it is now."""
        if (refused / f".{_REASON}").exists():
            self._files.rename(refused / f".{_REASON}", _free(refused, _REASON))
        target = _free(self._rejected, refused.name)
        self._files.rename(refused, target)
        self._files.sync_folder(target)
        self._files.sync_folder(self._rejected)
        return target

    def _clear(self, done: Drop) -> None:
        try:
            self._files.remove_tree(done.folder)
        except PermissionError as error:  # a folder that only its owner may empty
            self.reject(done, DropError(f"it was published, but what was dropped cannot be removed: {error.strerror}"))

    def _own_claims(self) -> bool:
        """Make sure that `.claimed` is a real folder; tells whether it was there."""
        try:
            self._files.calls.mkdir(self._claimed, 0o700)
        except FileExistsError:
            if _is_usable(self._claimed):
                return True
            # somebody dropped it: under a name that counts it is judged like every other drop
            self._files.rename(self._claimed, _free(self._folder, _CLAIMED))
            return self._own_claims()
        return False

    def _give_back(self, claim: Path) -> None:
        """Put what is not a whole claim back into the inbox; a newer drop of the same name stays as it is."""
        if not _is_usable(claim):  # not of our making
            self._files.rename(claim, _free(self._folder, claim.name))
            return
        for path in [path for path in claim.iterdir() if not path.name.startswith(".")]:
            self._files.rename(path, _free(self._folder, path.name))
        self._files.remove_tree(claim)


def _members(drop: Drop) -> tuple[Path, Path]:
    """Return the content.json and the file of a claimed drop."""
    if len(drop.found.names) == 2:
        content_name, file_name = drop.found.names
        return drop.folder / content_name, drop.folder / file_name
    folder = drop.folder / drop.found.names[0]
    if not _is_usable(folder):  # what was claimed need not be what was found
        raise DropError(f"{drop.title} is not a folder that can be read any more")
    others = [path for path in folder.iterdir() if path.name != drops.CONTENT]
    if len(others) != 1:
        raise DropError(f"{drop.title} does not hold {drops.CONTENT} and one file")
    return folder / drops.CONTENT, others[0]


def _limited(chunks: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        _check_size(size, most_bytes)
        yield chunk


def _check_size(size: int, most_bytes: int) -> None:
    if 0 < most_bytes < size:
        raise TooLargeError(
            f"the file has more than {most_bytes} bytes, the most that this site takes: "
            "make it smaller, or have the operator raise `limits.package_bytes`"
        )


def _is_usable(folder: Path) -> bool:
    """Tell whether it is a folder, not a link to one, and ours to change."""
    is_folder = stat.S_ISDIR(folder.lstat().st_mode)
    return is_folder and os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)


def _free(folder: Path, name: str) -> Path:
    """Return a path in `folder` that nothing has yet."""
    path, number = folder / name, 1
    while os.path.lexists(path):
        number += 1
        path = folder / os.fsdecode(os.fsencode(f"{number}-{name}")[:_LONGEST_NAME])
    return path
