"""Where a remote is found: the same tree under one or several URLs, which are tried in their order.

A URL that cannot be reached, or not well enough, is followed by the next. Who answers is believed to be the mirror,
whatever it says: what that is worth is judged elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, TypeVar

from devclient.errors import NetworkError, NotOnMirrorError
from devclient.trust_errors import IncompleteMirrorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from devclient.fetcher import Answer, Body, Fetcher

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Origin:
    """One remote."""

    def __init__(self, urls: Sequence[str], fetcher: Fetcher) -> None:
        self._urls = urls
        self._fetcher = fetcher

    def address(self, path: str) -> str:
        """Return the preferred URL of a file."""
        return f"{self._urls[0]}/{path}"

    def ask(self, path: str, *, limit: int, etag: str = "") -> Answer:
        """Fetch a small file that may not be there; see `Fetcher.ask`."""
        return self._first(lambda url: self._fetcher.ask(f"{url}/{path}", limit=limit, etag=etag))

    def fetch(self, path: str, *, limit: int) -> Answer:
        """Fetch a small file that the mirror names.

        Raises:
            IncompleteMirrorError: it is not there.
            DeviceError: as `Fetcher.ask`.
        """
        with _named():
            return self.ask(path, limit=limit)

    @contextlib.contextmanager
    def stream(self, path: str, offset: int) -> Iterator[Body]:
        """Open a large file that the mirror names, from `offset` on, or from its start.

        Raises:
            IncompleteMirrorError: it is not there.
            DeviceError: as `Fetcher.stream`.
        """
        with contextlib.ExitStack() as stack:
            with _named():
                body = self._first(lambda url: stack.enter_context(self._fetcher.stream(f"{url}/{path}", offset)))
            yield body

    def _first(self, ask: Callable[[str], _T]) -> _T:
        *others, last = self._urls
        for url in others:
            try:
                return ask(url)
            except NetworkError as error:
                _log.warning("%s; asking the next mirror", error)
        return ask(last)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except NotOnMirrorError as error:
        raise IncompleteMirrorError(error.url, error.status) from error
