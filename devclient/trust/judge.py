"""tuf's Updater, set to work: over our HTTP, by our clock, within our limits, and with errors of ours.

All rules about signatures, versions and delegations are tuf's; nothing here repeats one.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from tuf.api.exceptions import UnsignedMetadataError
from tuf.ngclient import Updater, UpdaterConfig

from devclient.trust import verdict
from devclient.trust_errors import DamagedMetadataError, ExpiredError, TrustError
from mirror import layout, names, trust

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from devclient.trust.tuf_fetcher import Delivery, TufFetcher
    from mirror.errors import OTAError

_LIMITS = UpdaterConfig(
    root_max_length=trust.MAX_BYTES[trust.ROOT],
    timestamp_max_length=trust.MAX_BYTES[trust.TIMESTAMP],
    snapshot_max_length=trust.MAX_BYTES[trust.SNAPSHOT],
    targets_max_length=trust.MAX_BYTES[trust.TARGETS],
)


class Target(NamedTuple):
    """A release list as metadata vouches for it."""

    sha256: str
    size: int


class Judge:
    """One Updater, in a folder where it may write what it likes.

    Attributes:
        folder: that folder.
        fetcher: brings what is not there.
        refused: the file that tuf did not accept when it raised an error last, if it was one that came.
    """

    def __init__(self, root: bytes, folder: Path, fetcher: TufFetcher, now: datetime) -> None:
        """Trust `root`, and judge what `fetcher` brings by the time `now`.

        Raises:
            TrustError: the root is none.
        """
        self.folder, self.fetcher = folder, fetcher
        fetcher.folder = folder
        self.refused: Delivery | None = None
        with self._translated():
            # the URL is the path on the mirror: which URL that is below is the fetcher's matter
            self._updater = Updater(
                str(folder), layout.METADATA, fetcher=fetcher, config=_limits(folder), bootstrap=root
            )
        set_time(self._updater, now)

    def refresh(self) -> None:
        """Bring the roles at the top up to date; once.

        Raises:
            TrustError: what came is not to be believed.
            DeviceError: it did not come.
        """
        with self._translated():
            self._updater.refresh()

    def target(self, path: str) -> Target | None:
        """Find what is vouched for at `path`; None if nobody vouches for anything.

        Raises:
            TrustError: as `refresh`.
            DeviceError: as `refresh`.
        """
        while True:
            try:
                return self._target(path)
            except TrustError as error:
                if not self.has_elsewhere(error):
                    raise

    def has_elsewhere(self, error: OTAError) -> bool:
        """Return whether the file that an error is about may be had from another URL, which is asked next time.

        What has expired is the right file, and the same everywhere.
        """
        refused = None if isinstance(error, ExpiredError) else self.refused
        return refused is not None and refused.is_named and self.fetcher.reject(refused, error)

    def _target(self, path: str) -> Target | None:
        with self._translated():
            found = self._updater.get_targetinfo(path)
        if found is None:
            return None
        sha256 = str(found.hashes.get("sha256"))
        if not names.is_sha256(sha256):
            raise DamagedMetadataError(self.fetcher.address(path), f"it is signed for with {sha256!r}, not a SHA-256")
        return Target(sha256, found.length)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        self.refused = None
        try:
            yield
        except (*verdict.ERRORS, *verdict.TRIPPED) as error:
            self.refused = refused = self._refused(error)
            found = verdict.of(error, self.fetcher.address(layout.TIMESTAMP), refused)
            if isinstance(found, ExpiredError):
                found = ExpiredError(found.url, found.problem, verdict.expiry(error, refused, self.folder))
            raise found from None

    def _refused(self, error: Exception) -> Delivery | None:
        """Return the file that came last if tuf has not accepted it: it writes what it accepts."""
        last = self.fetcher.last
        if last is None:
            return None
        # what is here already is asked for again only if it is not right, the timestamp aside
        if last.is_here and (last.is_named or isinstance(error, UnsignedMetadataError)):
            return last
        name = f"root_history/{last.version}.root.json" if last.role == trust.ROOT else f"{last.role}.json"
        with contextlib.suppress(OSError):
            if (self.folder / name).read_bytes() == last.data:
                return None
        return last


def _limits(folder: Path) -> UpdaterConfig:
    """Return the limits of one refresh; the roots that are here already are none of those that it may find."""
    here = len(list(folder.glob("root_history/*.root.json")))
    return replace(_LIMITS, max_root_rotations=_LIMITS.max_root_rotations + here)


def set_time(updater: Updater, now: datetime) -> None:
    """Have expiries judged by `now`; tuf has no public way to say it, so a test watches that this one works."""
    updater._trusted_set.reference_time = now  # noqa: SLF001 - as above
