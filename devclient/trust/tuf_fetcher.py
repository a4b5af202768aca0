"""What tuf asks for in one attempt, brought by our HTTP behind tuf's public FetcherInterface.

Roots and the timestamp come from the attempt's URL alone; what they name comes from any URL of the remote, that one
first. What tuf does not accept is looked for elsewhere, and nothing that came is asked for twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from devclient.errors import MirrorRefusesError, NotOnMirrorError, WebPageError
from devclient.trust import unambiguous
from devclient.trust_errors import (
    DamagedMetadataError,
    EndlessDataError,
    MixAndMatchError,
    SignatureError,
    UndelegatedError,
    UnsignedMirrorError,
)
from devclient.web.headers import UNKNOWN
from mirror import layout, trust

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from devclient.trust.mirror_urls import MirrorUrls, Search
    from devclient.web.answers import Answer
    from devclient.web.headers import Validators
    from mirror.errors import OTAError

_NONE_THERE = frozenset({403, 404})
"""What servers answer about a root that is not there; object stores say 403."""


@dataclass(frozen=True)
class Delivery:
    """A file that came from the remote.

    Attributes:
        version: the one in its name, None for the timestamp.
        is_here: whether it was in the folder already; what is named is not asked for if that is accepted.
    """

    url: str
    role: str
    version: int | None
    data: bytes
    is_here: bool = False

    @property
    def is_named(self) -> bool:
        """Whether other metadata names it, so that it may come from any URL."""
        return self.role not in {trust.ROOT, trust.TIMESTAMP}


@dataclass(frozen=True)
class KnownTimestamp:
    """The timestamp that is known, and how to ask a URL whether it has changed."""

    data: bytes = b""
    validators: Validators = UNKNOWN


NOTHING = KnownTimestamp()


class TufFetcher(FetcherInterface):
    """Brings metadata for one attempt.

    Attributes:
        url: that of the attempt.
        folder: where tuf keeps what it accepts.
        last: what was brought last, None if nothing had to come.
        brought: how many files were brought.
        timestamp: the newest answer about the timestamp.
        unchanged: whether that was that it has not changed.
        looked: whether the URL has answered that there is no newer root.
    """

    def __init__(self, urls: MirrorUrls, url: str, known: KnownTimestamp = NOTHING) -> None:
        self._urls, self.url, self._known = urls, url, known
        self.folder = Path()
        self._newest_root: int | None = None
        self._roots: dict[int, Answer | DownloadHTTPError] = {}
        self._named: dict[str, Answer] = {}
        self._searches: dict[str, Search] = {}
        self.last: Delivery | None = None
        self.brought = 0
        self.timestamp: Answer | None = None
        self.unchanged = False
        self.looked = False

    @property
    def date(self) -> datetime | None:
        """What the URL takes for the time."""
        return self.timestamp.date if self.timestamp else None

    def address(self, path: str) -> str:
        """Return where a file is at the URL of the attempt."""
        return self._urls.address(path, self.url)

    def stay_at(self, root: int) -> None:
        """Look for no root beyond that version: nothing has changed."""
        self._newest_root = root

    def ask_timestamp(self) -> bytes:
        """Ask for the timestamp, unless that was done; return what it is.

        Raises:
            UnsignedMirrorError: there is none.
            DeviceError: as `Fetcher.ask`.
        """
        if self.timestamp is None:
            # uncompressed: servers that compress do not know their own ETag again, and it is small
            limit, known = trust.MAX_BYTES[trust.TIMESTAMP], self._known.validators
            try:
                answer = self._urls.ask(self.url, layout.TIMESTAMP, limit=limit, known=known, compressed=False)
            except NotOnMirrorError as error:
                raise UnsignedMirrorError(error.url, error.status) from error
            self.unchanged = answer.data is None
            self.timestamp = replace(answer, data=self._known.data) if self.unchanged else answer
        return self.timestamp.data or b""

    def reject(self, delivery: Delivery, error: OTAError) -> bool:
        """Have a file that came be wrong; return whether it may be had elsewhere."""
        path = layout.metadata(delivery.role, delivery.version or 0)
        search = self._searches.get(path)
        if search is None:
            return False
        self._named.pop(path, None)
        search.wrong(error)
        return True

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.last = None  # what does not come is not refused
        if url == layout.TIMESTAMP:
            data = self.ask_timestamp()
            self._deliver(self.address(url), trust.TIMESTAMP, None, data)
            return iter([data])
        named = layout.parse_metadata(url)
        if named is None:
            raise UndelegatedError(self.address(url), "this is not the name of a role")
        role, version = named
        answer = self._root(url, version) if role == trust.ROOT else self._find(url, role)
        self._deliver(answer.url, role, version, answer.data or b"")
        return iter([answer.data or b""])

    def _find(self, path: str, role: str) -> Answer:
        if path not in self._named:
            limit = trust.MAX_BYTES.get(role, trust.MAX_BYTES[trust.TARGETS])
            search = self._searches.setdefault(path, self._urls.search(path, limit=limit, first=self.url))
            self._named[path] = search.next()
        return self._named[path]

    def _root(self, path: str, version: int) -> Answer:
        if self._newest_root is not None and version > self._newest_root:
            raise DownloadHTTPError(f"{path} is not asked for: nothing has changed", 404)
        if version not in self._roots:
            self._roots[version] = self._look(path)
        found = self._roots[version]
        if isinstance(found, DownloadHTTPError):
            raise found
        return found

    def _look(self, path: str) -> Answer | DownloadHTTPError:
        """Ask for a newer root; once more around caches if what comes is none."""
        for around_caches in (False, True):
            try:
                answer = self._urls.ask(self.url, path, limit=trust.MAX_BYTES[trust.ROOT], around_caches=around_caches)
            except MirrorRefusesError as error:
                if error.status not in _NONE_THERE and not isinstance(error, NotOnMirrorError):
                    raise
                self.looked = True
                return DownloadHTTPError(str(error), 404)
            except (WebPageError, EndlessDataError):
                continue
            if unambiguous.is_root(answer.data or b""):
                # the timestamp that came before may be signed with keys that this one revokes
                self.timestamp, self.unchanged, self._known = None, False, NOTHING
                return answer
        # who can send a page can send a 404: no more is lost by taking it for one. The timestamp has to verify
        return DownloadHTTPError(f"{path} is no root", 404)

    def _deliver(self, url: str, role: str, version: int | None, data: bytes) -> None:
        self.brought += 1
        self.last = Delivery(url, role, version, data, is_here=_holds(self.folder / f"{role}.json", data))
        try:
            said = unambiguous.role(data)
        except ValueError as error:
            raise DamagedMetadataError(url, str(error)) from None
        if said not in {"", role}:
            # before tuf keeps it: by signature and version it would pass for this one, and stay
            raise MixAndMatchError(url, f"it is the file of {said}, in the place of {role}")
        if twice := unambiguous.one_key_twice(data):
            raise SignatureError(url, twice)


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.read_bytes() == data
    except OSError:
        return False
