"""Where a remote is found: the same tree under one or several URLs.

Each of them may be behind, damaged, emptied or another mirror's, so nothing that one of them does ends more than its
own turn. It is held against it, durably and for a day: then it is asked after the others, but it is asked. What the
mirror names comes from the URL that led to it, else from any other. What bytes are worth is judged elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from devclient.copy_errors import IncompleteCopyError
from devclient.errors import BrokenPromiseError, MirrorRefusesError, NetworkError, NotOnMirrorError
from devclient.trust.url_records import Blame, Pause, UrlRecord
from devclient.trust_errors import EndlessDataError, IncompleteMirrorError, TrustError, is_copy, worst
from devclient.web.headers import UNKNOWN
from mirror import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from devclient.trust.elapsed import Instant
    from devclient.web.answers import Answer, Body
    from devclient.web.headers import Validators
    from mirror.errors import OTAError

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Brings files: a `Fetcher` from the web, a `CopySource` from a copy."""

    def ask(
        self,
        url: str,
        *,
        limit: int,
        known: Validators = UNKNOWN,
        compressed: bool = True,
        around_caches: bool = False,
    ) -> Answer:
        """See `Fetcher.ask`."""

    def stream(self, url: str, offset: int = 0, *, around_caches: bool = False) -> AbstractContextManager[Body]:
        """See `Fetcher.stream`."""


class MirrorUrls:
    """The URLs of one remote."""

    def __init__(
        self,
        urls: Sequence[str],
        source: Source,
        now: Callable[[], Instant],
        records: Mapping[str, UrlRecord] | None = None,
        keep: Callable[[Mapping[str, UrlRecord]], None] = lambda _records: None,
    ) -> None:
        """Know the `urls`, the preferred one first.

        Args:
            urls: there is one at least.
            source: asks them.
            now: tells the time.
            records: what was kept of them.
            keep: makes what is kept of them durable.
        """
        self._urls, self._source, self._now, self._keep = tuple(dict.fromkeys(urls)), source, now, keep
        known, at = records or {}, now()
        self._records = {url: known.get(url, UrlRecord()).at(at) for url in self._urls}
        self._first = ""  # the URL that led to what is known

    @property
    def is_one(self) -> bool:
        """Whether there is no other."""
        return len(self._urls) == 1

    @property
    def wait(self) -> float:
        """The seconds for which no URL wants to be asked; 0 if one may be."""
        now = self._now()
        return min(pause.left(now) if (pause := record.pause) else 0 for record in self._records.values())

    @property
    def records(self) -> dict[str, UrlRecord]:
        """What holds now of what is kept of each URL."""
        now = self._now()
        return {url: record.at(now) for url, record in self._records.items()}

    def record(self, url: str) -> UrlRecord:
        """Return what is kept of a URL."""
        return self._records[url]

    def order(self) -> list[str]:
        """List the URLs to ask, in their turn: those against which least is held first.

        One that wants to be left alone is not among them, unless all do.
        """
        now = self._now()
        free = [url for url, record in self._records.items() if not record.pause or record.pause.left(now) <= 0]
        return sorted(free or self._urls, key=self._held)

    def address(self, path: str, url: str = "") -> str:
        """Return where a file is, under the preferred URL if none is given."""
        url = url or self._first or self._urls[0]
        # in a folder under its own name, on the web as URLs are spelled
        return f"{url}/{path if is_copy(url) else layout.url_path(path)}"

    def follow(self, url: str) -> None:
        """Ask a URL first for what the mirror names, as it has led there."""
        self._first = url
        if self.is_one:  # else it lasts a day, as the others come before it
            self.update(url, blame=None)

    def update(self, url: str, **changed: Any) -> None:
        """Change what is kept of a URL, durably."""
        before = self._records[url]
        after = replace(before, **changed)
        if after != before:
            self._records[url] = after
            self._keep(self._records)

    def blame(self, url: str, error: OTAError) -> None:
        """Hold an error against a URL."""
        before = self._records[url].blame
        lied = isinstance(error, BrokenPromiseError | TrustError) or bool(before and before.lied)
        number = 1 + max(record.blame.number if record.blame else 0 for record in self._records.values())
        self.update(url, blame=Blame(self._now(), number, error.code, str(error), lied))
        if url == self._first:
            self._first = ""

    def ask(
        self,
        url: str,
        path: str,
        *,
        limit: int,
        known: Validators = UNKNOWN,
        compressed: bool = True,
        around_caches: bool = False,
    ) -> Answer:
        """Ask one URL for a small file; see `Fetcher.ask`."""
        try:
            return self._source.ask(
                self.address(path, url), limit=limit, known=known, compressed=compressed, around_caches=around_caches
            )
        except NetworkError as error:
            self._heed(url, error)
            raise

    def search(self, path: str, *, limit: int, first: str = "") -> Search:
        """Begin to look for a small file that the mirror names, `first` where that was said."""
        return Search(self, self._ways(first), path, limit)

    @contextlib.contextmanager
    def stream(self, path: str, offset: int, *, around_caches: bool = False) -> Iterator[Body]:
        """Open a large file that the mirror names, from `offset` on, or from its start.

        What goes wrong while it is read is held against the URL that it comes from: the next stream begins elsewhere.

        Raises:
            IncompleteMirrorError: no URL has it.
            DeviceError: as `Fetcher.stream`.
        """
        url = ""
        try:
            # the stack inside: what breaks is put into our words when it is left
            with contextlib.ExitStack() as stack:
                url, body = self._opened(stack, path, offset, around_caches=around_caches)
                yield replace(body, others=len(self._urls) - 1)
        except (NetworkError, BrokenPromiseError) as error:
            if url:
                self._heed(url, error)
                self.blame(url, error)
            raise

    def _opened(self, stack: contextlib.ExitStack, path: str, offset: int, *, around_caches: bool) -> tuple[str, Body]:
        errors: list[OTAError] = []
        for url in self._ways():
            opening = self._source.stream(self.address(path, url), offset, around_caches=around_caches)
            try:
                return url, stack.enter_context(opening)
            except (NetworkError, MirrorRefusesError) as error:
                errors.append(self.missed(url, error))
        raise worst(errors)

    def missed(self, url: str, error: OTAError) -> OTAError:
        """Hold it against a URL that a file which the mirror names did not come from it; return what that means."""
        if isinstance(error, NotOnMirrorError):
            kind = IncompleteCopyError if is_copy(error.url) else IncompleteMirrorError
            error = kind(error.url, error.status)
        self._heed(url, error)
        self.blame(url, error)
        if not self.is_one:
            _log.warning("%s; asking the next mirror", error)
        return error

    def _ways(self, first: str = "") -> list[str]:
        """List the URLs to ask for what the mirror names."""
        first = first or self._first
        return sorted(self.order(), key=lambda url: url != first)

    def _held(self, url: str) -> tuple[bool, int]:
        """Return what puts a URL behind others: lies more than the rest, and what was later more than what was not."""
        blame = self._records[url].blame
        return (blame.lied, blame.number) if blame else (False, 0)

    def _heed(self, url: str, error: OTAError) -> None:
        """Leave a URL alone for as long as it wants."""
        now, before = self._now(), self._records[url].pause
        if isinstance(error, NetworkError) and error.retry_after > (before.left(now) if before else 0):
            self.update(url, pause=Pause(now, error.retry_after))


class Search:
    """The search for one file: at each URL, and once more around caches where wrong bytes came."""

    def __init__(self, urls: MirrorUrls, ways: Sequence[str], path: str, limit: int) -> None:
        self._urls, self._path, self._limit = urls, path, limit
        self._ways = deque((url, False) for url in ways)
        self._at = ("", False)
        self._errors: list[OTAError] = []

    def next(self) -> Answer:
        """Return the next file that comes.

        Raises:
            IncompleteMirrorError: no URL has it.
            DeviceError: the worst of what went wrong, if no other URL is left.
        """
        while self._ways:
            url, around_caches = self._at = self._ways.popleft()
            try:
                return self._urls.ask(url, self._path, limit=self._limit, around_caches=around_caches)
            except EndlessDataError as error:
                self.wrong(error)
            except (NetworkError, MirrorRefusesError) as error:
                self._errors.append(self._urls.missed(url, error))
        raise worst(self._errors)

    def wrong(self, error: OTAError) -> None:
        """Have the file that came last be wrong."""
        url, around_caches = self._at
        self._urls.blame(url, error)
        self._errors.append(error)
        if not around_caches:
            self._ways.appendleft((url, True))
        _log.warning("%s; asking for it again", error)
