"""One attempt: a refresh at one URL, from what is known, to everything that root to targets say (contract, section 4).

Each try has a folder of its own, a copy of what it begins with, so nothing half-finished is ever in force. What tuf
makes of what came is understood here as far as it takes more than one file to tell.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, Root, Targets

from devclient.trust import standing, unambiguous
from devclient.trust.judge import Judge
from devclient.trust_errors import (
    BehindError,
    MixAndMatchError,
    SignatureError,
    TrustError,
    WrongRootError,
    is_copy,
)
from mirror import layout, trust
from mirror.errors import OTAError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from devclient.trust.mirror_urls import MirrorUrls
    from devclient.trust.standing import Standing
    from devclient.trust.tuf_fetcher import Delivery, TufFetcher

HISTORY = "root_history"
NEWEST_ROOT, _TIMESTAMP = "root.json", "timestamp.json"


class Attempt:
    """A refresh at one URL.

    Attributes:
        fetcher: brings what it asks for.
        folder: where it worked last.
    """

    def __init__(self, root: bytes, urls: MirrorUrls, fetcher: TufFetcher, scratch: Path) -> None:
        """Begin with the pinned `root`, in new folders below `scratch`."""
        self._root, self._urls, self.fetcher, self._scratch = root, urls, fetcher, scratch
        self.folder = scratch

    @property
    def newest_root(self) -> bytes:
        """The newest root that tuf has accepted."""
        return read(self.folder / NEWEST_ROOT) or self._root

    def refresh(self, state: Path, now: datetime, *, roots_alone: bool = False) -> Judge:
        """Bring everything up to date from a complete state, or its roots alone, by the time `now`.

        Raises:
            BehindError: the URL shows something older.
            TrustError: what came is not to be believed.
            DeviceError: it did not come.
        """
        while True:
            self.folder = copy(state, self._scratch, roots_alone=roots_alone)
            judge = Judge(self._root, self.folder, self.fetcher, now)
            try:
                judge.refresh()
            except TrustError as error:
                if not judge.has_elsewhere(error):
                    raise self._understood(error, judge.refused, state, now) from error
            else:
                self._refuse_a_twin()
                return judge

    def _refuse_a_twin(self) -> None:
        """Raise MixAndMatchError if the timestamp has the version of the known one, which tuf kept, and other bytes."""
        came, kept = self.fetcher.timestamp, read(self.folder / _TIMESTAMP)
        if came and came.data != kept:
            version = Metadata.from_bytes(kept).signed.version
            raise MixAndMatchError(came.url, f"it has version {version}, as the known timestamp, and other bytes")

    def _understood(self, error: TrustError, refused: Delivery | None, state: Path, now: datetime) -> OTAError:
        """Tell what an error means if it is looked at together with what is known."""
        if refused is None or refused.is_named:
            return error
        # who was given an old copy is told at once: nothing will make it newer
        may_be_older = refused.role == trust.TIMESTAMP and not is_copy(error.url)
        if may_be_older and (older := self._older(refused.data, state, now)):
            return BehindError(error.url, older[0], older[1], error)
        return self._other_root(error) if isinstance(error, SignatureError) else error

    def _older(self, timestamp: bytes, state: Path, now: datetime) -> tuple[str, int | None] | None:
        """Tell in what a timestamp that was refused is an older one, rightly signed then, and not expired."""
        newest = self.newest_root
        if (found := standing.read(newest, timestamp)) and found.expires > now:
            known = standing.read(newest, read(state / _TIMESTAMP))
            if known and found.timestamp < known.timestamp:
                return f"version {found.timestamp} is older than {known.timestamp}, which is known", found.timestamp
        elif (before := self._under_the_root_before(newest, timestamp)) and before.expires > now:
            return f"it is signed with the keys of root {before.root}, which a newer root has replaced", None
        return None

    def _under_the_root_before(self, newest: bytes, timestamp: bytes) -> Standing | None:
        """Read a timestamp under the last root with other keys for timestamps, if no key of the newest one signed it.

        One that a part of the newest keys signed is not old, but lacks signatures.
        """
        version, keys = Metadata[Root].from_bytes(newest).signed.version, standing.keys_of(newest)
        if keys & standing.signing_keys(timestamp):
            return None
        for each in range(version - 1, 0, -1):
            root = read(self.folder / HISTORY / f"{each}.root.json")
            if not root or standing.keys_of(root) != keys:
                return standing.read(root, timestamp)
        return None

    def _other_root(self, error: SignatureError) -> SignatureError:
        """Tell whether the mirror begins with another root than the pinned one, as the likeliest cause."""
        pinned = Metadata[Root].from_bytes(self._root).signed
        for version in dict.fromkeys((pinned.version, 1)):
            served = self._served_root(version)
            if served is None:
                continue
            ours, theirs = (root.roles[trust.ROOT].keyids for root in (pinned, served))
            return error if set(ours) & set(theirs) else WrongRootError(error.url, error.problem, ours, theirs)
        return error

    def _served_root(self, version: int) -> Root | None:
        try:
            path, limit = layout.metadata(trust.ROOT, version), trust.MAX_BYTES[trust.ROOT]
            data = self._urls.ask(self.fetcher.url, path, limit=limit).data or b""
        except OTAError:
            return None
        return Metadata[Root].from_bytes(data).signed if unambiguous.is_root(data) else None


def read(file: Path) -> bytes:
    """Read a file; nothing if it is not there."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def copy(state: Path, scratch: Path, *, roots_alone: bool = False) -> Path:
    """Make a folder that has the metadata of another one, and returns it; files are shared, as tuf replaces them."""
    number = len(list(scratch.iterdir()))
    folder = scratch / f"attempt-{number}"
    (folder / HISTORY).mkdir(parents=True)
    for file in (state / HISTORY).glob("*"):
        _share(file, folder / HISTORY / file.name)
    for file in () if roots_alone else state.glob("*.json"):
        if file.name != NEWEST_ROOT:
            _share(file, folder / file.name)
    return folder


def paths_in(role: bytes) -> list[str]:
    """List the paths of the lists that a role speaks for; none if it cannot be read."""
    try:
        return [*Metadata[Targets].from_bytes(role).signed.targets]
    except standing.UNREADABLE:
        return []


def share_roots(folder: Path, state: Path) -> None:
    """Put the roots of one folder into another."""
    for file in (folder / HISTORY).glob("*.root.json"):
        (state / HISTORY / file.name).unlink(missing_ok=True)
        _share(file, state / HISTORY / file.name)


def _share(file: Path, place: Path) -> None:
    try:
        os.link(file, place)
    except OSError:  # not all file systems have hard links
        shutil.copyfile(file, place)
