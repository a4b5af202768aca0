"""An unmodified client of TUF, python-tuf's, that reads a mirror from its folder.

    clients.verify(mirror, folder)      # a client that keeps its metadata in `folder`, and may come back

Everything that the metadata names has to be there and to verify, for each branch of the mirror.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from mirror import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXPIRED = ExpiredMetadataError
_BASE = "folder:///"


class FolderFetcher(FetcherInterface):
    """Fetches from a folder; `cached` are files that a cache has instead, by path."""

    def __init__(self, mirror: Path, cached: Mapping[str, bytes]) -> None:
        self._mirror = mirror
        self._cached = cached

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix(_BASE)
        try:
            data = self._cached[path] if path in self._cached else (self._mirror / path).read_bytes()
        except FileNotFoundError:
            raise DownloadHTTPError(f"{url} is not there", 404) from None
        return iter([data])


def updater(
    mirror: Path,
    folder: Path,
    root: bytes | None = None,
    *,
    at: float | None = None,
    cached: Mapping[str, bytes] = MappingProxyType({}),
) -> Updater:
    """Return the client, pinned to `root`, else to the mirror's first; `at` is its time, in seconds since 1970."""
    targets = folder / "targets"
    targets.mkdir(parents=True, exist_ok=True)
    pinned = root or (mirror / layout.metadata("root", 1)).read_bytes()
    metadata = f"{_BASE}{layout.METADATA}"
    client = Updater(str(folder), metadata, str(targets), _BASE, FolderFetcher(mirror, cached), bootstrap=pinned)
    if at is not None:
        client._trusted_set.reference_time = datetime.fromtimestamp(at, UTC)
    return client


def look(mirror: Path, returning: Path) -> dict[str, bytes]:
    """Return all release lists as a new client has them, and one that comes back, with its metadata in `returning`.

    Raises:
        AssertionError: the two have different ones, or nobody vouches for one that the mirror has.
        RepositoryError: something does not verify.
        DownloadError: something is missing.
    """
    with tempfile.TemporaryDirectory() as new:
        found = verify(mirror, Path(new))
    assert verify(mirror, returning) == found
    if (mirror / layout.TIMESTAMP).exists():
        assert found.keys() == set(_lists(mirror))
    return found


def verify(
    mirror: Path,
    folder: Path,
    root: bytes | None = None,
    *,
    at: float | None = None,
    cached: Mapping[str, bytes] = MappingProxyType({}),
) -> dict[str, bytes]:
    """Refresh, and download every release list that the mirror has; those that nobody vouches for are left out.

    Raises:
        RepositoryError: something does not verify.
        DownloadError: something is missing.
    """
    if not (mirror / layout.TIMESTAMP).exists():
        return {}
    client = updater(mirror, folder, root, at=at, cached=cached)
    client.refresh()
    found = {}
    for path in _lists(mirror):
        if target := client.get_targetinfo(path):
            with open(client.download_target(target), "rb") as data:  # noqa: PTH123 - tuf gives a string
                found[path] = data.read()
    return found


def _lists(mirror: Path) -> list[str]:
    """Name the release lists that a mirror has for plain clients."""
    paths = sorted(file.relative_to(mirror).as_posix() for file in mirror.glob(layout.RELEASE_LISTS))
    return [path for path in paths if (name := layout.parse_release_list(path)) and name.sha256 is None]
