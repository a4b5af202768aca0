"""A mirror whose lists somebody vouches for: what the stages of an update ask (contract, section 3).

The chain is metadata, release list, content.json, blob. Each link names the next by its hash, so whatever was verified
once and is still named is not asked for again.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from devclient.copy_errors import NotInCopyError
from devclient.errors import NotOnMirrorError, SettingsError
from devclient.trust import elapsed, pinned, remote_status
from devclient.trust.memory import Memory
from devclient.trust.mirror_urls import MirrorUrls
from devclient.trust.refresh import Trust
from devclient.trust.remote_status import RemoteStatus
from devclient.trust_errors import MixAndMatchError, is_copy
from mirror import canonical, content, layout, releases
from mirror.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from devclient.settings.config import Remote, Settings
    from devclient.trust.copies import Copy
    from devclient.trust.judge import Target
    from devclient.trust.notes import Notes
    from devclient.trust.standing import Standing
    from devclient.web.answers import Body
    from devclient.web.fetcher import Fetcher
    from mirror.files import Files


class Mirrors:
    """The mirrors of a device, one for each remote, while the context lasts."""

    def __init__(
        self,
        settings: Settings,
        fetcher: Fetcher,
        files: Files,
        now: Callable[[], datetime],
        *,
        lasting: bool,
        copy: Copy | None = None,
    ) -> None:
        """Know the mirrors of `settings`.

        Args:
            settings: those of the device.
            fetcher: asks their URLs.
            files: how to write.
            now: tells what the system's clock says.
            lasting: whether to remember what is learned.
            copy: what to ask instead of the URLs of one remote.
        """
        self._settings, self._fetcher, self._files = settings, fetcher, files
        self._now = functools.partial(elapsed.instant, now)
        self._lasting, self._copy = lasting, copy
        self._mirrors: dict[str, SignedMirror] = {}
        self._scratch = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    def __call__(self, url: str) -> SignedMirror:
        """Return the mirror at `url`, for "" the first one of the settings.

        Raises:
            SettingsError: the settings know no mirror there, because a device goes only where its owner sent it; or
                its root is not usable.
        """
        remote = self._settings.remote(url)
        if remote is None:
            problem = f"no mirror is at {url}, which the state file names: add it to [remotes]"
            raise SettingsError(self._settings.file, problem)
        if remote.name not in self._mirrors:
            self._mirrors[remote.name] = self._open(remote)
        return self._mirrors[remote.name]

    @property
    def received(self) -> int:
        """How many bytes of blobs have come."""
        return sum(mirror.received for mirror in self._mirrors.values())

    @property
    def least_wait(self) -> float:
        """The least seconds until the next poll that those which were asked want, as they have signed or answered."""
        return max((mirror.least_wait for mirror in self._mirrors.values()), default=0)

    def standings(self) -> dict[str, Standing | None]:
        """Tell where each remote stands, by its name; those that were not asked, where they stood."""
        asked = {name: mirror.standing for name, mirror in self._mirrors.items()}
        return {**standings(self._settings), **asked}

    def statuses(self) -> dict[str, RemoteStatus]:
        """Tell what is known of each remote, by its name; of those that were not asked, what was."""
        return {**remote_status.statuses(self._settings), **{name: each.status for name, each in self._mirrors.items()}}

    def _open(self, remote: Remote) -> SignedMirror:
        try:
            root = pinned.read(remote.root)
        except ValueError as error:
            raise SettingsError(self._settings.file, f"remotes.{remote.name}.root: {remote.root} {error}") from error
        scratch = Path(self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="otadevice-")))
        memory = Memory(self._settings.trust(remote), self._files, lasting=self._lasting)
        urls = self._urls(remote, memory)
        trust = Trust(root, urls, memory, self._now, scratch, self._settings.root_interval)
        return SignedMirror(trust, urls, memory)

    def _urls(self, remote: Remote, memory: Memory) -> MirrorUrls:
        if self._copy and self._copy.remote == remote.name:
            return self._copy.urls(self._fetcher, self._now)
        return MirrorUrls(remote.urls, self._fetcher, self._now, memory.urls(), memory.keep_urls)


class SignedMirror:
    """One remote.

    Attributes:
        received: how many bytes of blobs have come from it.
    """

    def __init__(self, trust: Trust, urls: MirrorUrls, memory: Memory) -> None:
        self._trust, self._urls, self._memory = trust, urls, memory
        self._current: set[str] = set()
        self.received = 0

    @property
    def notes(self) -> Notes:
        """What is noted of it."""
        return self._trust.notes

    @property
    def status(self) -> RemoteStatus:
        """What is known of it."""
        return RemoteStatus(self.notes, self._urls.records, elapsed.instant())

    @property
    def standing(self) -> Standing | None:
        """Where its metadata stands; None if none was ever verified."""
        return self.notes.standing

    @property
    def issued(self) -> datetime | None:
        """When what it says was signed last; None if nothing was verified yet."""
        return self.standing.issued if self.standing else None

    @property
    def poll_seconds(self) -> int:
        """The least seconds that its operator wants between two polls, 0 for as a device likes."""
        return self.standing.poll_seconds if self.standing else 0

    @property
    def least_wait(self) -> float:
        """The least seconds until the next poll: what its operator wants, and until one of its URLs may be asked."""
        return max(self.poll_seconds, self._urls.wait)

    def release_list(self, package: str, branch: str) -> bytes:
        """Fetch the release list of a package on a branch, as it is vouched for.

        Raises:
            NotOnMirrorError: nobody vouches for any.
            DeviceError: as `Trust.refresh`.
        """
        path = layout.release_list(package, branch)
        target = self._trust.target(path)
        if target is None:
            address = self._urls.address(path)
            raise NotInCopyError(address, 404) if is_copy(address) else NotOnMirrorError(address, 404)
        hashed = layout.hashed_release_list(package, branch, target.sha256)
        data = self._named(hashed, target.sha256, min(target.size, releases.MAX_BYTES))
        if found := _mismatch(data, target):
            raise MixAndMatchError(self._urls.address(hashed), found)
        return data

    def segment(self, package: str, branch: str, sha256: str, size: int) -> bytes:
        """Fetch an older segment of a list; whether it is the one that the list names is for others to judge."""
        hashed = layout.hashed_release_list(package, branch, sha256)
        return self._named(hashed, sha256, min(size, releases.MAX_BYTES))

    def content(self, package: str, branch: str, version: str, sha256: str) -> bytes:
        """Fetch the content.json of one release; whether it is the one that the list names is for others to judge."""
        return self._named(layout.get_version(package, branch, version), sha256, content.MAX_BYTES)

    @contextlib.contextmanager
    def blob(self, sha256: str, offset: int, *, around_caches: bool = False) -> Iterator[Body]:
        """Open a blob from `offset` on, or from its start."""
        with self._urls.stream(layout.blob(sha256), offset, around_caches=around_caches) as body:
            yield replace(body, blocks=self._counted(body.blocks))

    def tidy(self) -> None:
        """Forget the lists and contents that were not asked for since this mirror was opened."""
        self._memory.forget_files(self._current)

    def _counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.received += len(block)
            yield block

    def _named(self, path: str, sha256: str, limit: int) -> bytes:
        """Return the file that should have this hash, from here if it was fetched before."""
        self._current.add(sha256)
        if (kept := self._memory.file(sha256)) is not None:
            return kept
        search, wrong = self._urls.search(path, limit=limit), b""
        while True:
            try:
                answer = search.next()
            except DeviceError:
                if wrong:  # what is wrong with it is told by who knows what it should be
                    return wrong
                raise
            data = answer.data or b""
            if canonical.digest(data) == sha256:
                self._memory.keep_file(data)
                return data
            wrong = data
            search.wrong(MixAndMatchError(answer.url, f"it has another SHA-256 than {sha256}, which is signed for"))


def _mismatch(data: bytes, target: Target) -> str:
    """Say in what a release list is not the one that is signed for; nothing if it is."""
    if len(data) != target.size:
        return f"has {len(data)} bytes, not {target.size} as is signed"
    if (found := canonical.digest(data)) != target.sha256:
        return f"has the SHA-256 {found}, not {target.sha256} as is signed"
    return ""


def standings(settings: Settings) -> dict[str, Standing | None]:
    """Tell where each remote stood when it was asked last, by its name; None if none of its metadata was verified."""
    return {name: status.standing for name, status in remote_status.statuses(settings).items()}
