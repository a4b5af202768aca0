"""Where a remote is found: the same tree under one or several URLs.

They are tried in their order, but those that failed lately come after the others, and those that sent wrong bytes last.
A URL that lacks a file which the mirror names has failed, too: it may be behind the others. Otherwise, who answers is
believed to be the mirror, whatever it says: what that is worth is judged elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from devclient.copy_errors import IncompleteCopyError
from devclient.errors import BrokenPromiseError, MirrorRefusesError, NetworkError, NotOnMirrorError
from devclient.trust_errors import IncompleteMirrorError, is_copy
from devclient.web.headers import UNKNOWN
from mirror import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from devclient.web.answers import Answer, Body
    from devclient.web.headers import Validators

REST = 30
"""For how many requests a URL that failed comes after the others."""

_NO_ANSWER = (NetworkError,)
_NO_FILE = (NetworkError, MirrorRefusesError)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class _Failure(NamedTuple):
    """The last failure of a URL; the greater, the later its turn.

    Attributes:
        lied: whether wrong bytes came, then or in a failure shortly before.
        at: the number of the request.
    """

    lied: bool
    at: int


class Source(Protocol):
    """Brings files: a `Fetcher` from the web, a `Folder` from a copy."""

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


class Origin:
    """One remote."""

    def __init__(self, urls: Sequence[str], fetcher: Source) -> None:
        self._urls = urls
        self._fetcher = fetcher
        self._asked = 0
        self._failures: dict[str, _Failure] = {}
        self._turn: Sequence[str] = ()  # the URL that was asked last, and those that would have been next

    def address(self, path: str) -> str:
        """Return the preferred URL of a file."""
        return _address(self._urls[0], path)

    def ask(
        self,
        path: str,
        *,
        limit: int,
        known: Validators = UNKNOWN,
        compressed: bool = True,
        around_caches: bool = False,
    ) -> Answer:
        """Fetch a small file that may not be there; see `Fetcher.ask`."""
        ask = functools.partial(self._fetcher.ask, limit=limit, known=known, compressed=compressed)
        return self._first(lambda url: ask(_address(url, path), around_caches=around_caches))

    def fetch(self, path: str, *, limit: int) -> Answer:
        """Fetch a small file that the mirror names.

        Raises:
            IncompleteMirrorError: no URL has it.
            DeviceError: as `Fetcher.ask`.
        """
        with _named():
            try:
                return self.ask(path, limit=limit)
            except MirrorRefusesError as error:
                return self._elsewhere(lambda url: self._fetcher.ask(_address(url, path), limit=limit), error)

    @contextlib.contextmanager
    def stream(self, path: str, offset: int) -> Iterator[Body]:
        """Open a large file that the mirror names, from `offset` on, or from its start.

        What goes wrong while it is read is held against the URL that it comes from: the next stream begins elsewhere.

        Raises:
            IncompleteMirrorError: no URL has it.
            DeviceError: as `Fetcher.stream`.
        """
        with contextlib.ExitStack() as stack:

            def begin(url: str) -> Body:
                return stack.enter_context(self._stream(url, path, offset))

            with _named():
                try:
                    body = self._first(begin)
                except MirrorRefusesError as error:
                    body = self._elsewhere(begin, error)
            yield body

    @contextlib.contextmanager
    def _stream(self, url: str, path: str, offset: int) -> Iterator[Body]:
        try:
            with self._fetcher.stream(_address(url, path), offset) as body:
                yield replace(body, others=len(self._urls) - 1)
        except (NetworkError, BrokenPromiseError) as error:
            self._blame(url, lied=isinstance(error, BrokenPromiseError))
            raise

    def _first(self, ask: Callable[[str], _T]) -> _T:
        """Return the first answer, even if it is that there is nothing."""
        return self._in_turn(sorted(self._urls, key=self._failure), ask, _NO_ANSWER)

    def _elsewhere(self, ask: Callable[[str], _T], refusal: MirrorRefusesError) -> _T:
        """Return an answer of those that come after the URL which has just refused a file that should be there."""
        refusing, *others = self._turn
        self._blame(refusing)
        if not others:
            raise refusal
        _log.warning("%s; asking the next mirror", refusal)
        return self._in_turn(others, ask, _NO_FILE)

    def _in_turn(self, urls: Sequence[str], ask: Callable[[str], _T], failures: tuple[type[Exception], ...]) -> _T:
        self._turn, self._asked = urls, self._asked + 1
        url, *others = urls
        try:
            return ask(url)
        except failures as error:
            self._blame(url)
            if not others:
                raise
            _log.warning("%s; asking the next mirror", error)
        return self._in_turn(others, ask, failures)

    def _failure(self, url: str) -> _Failure:
        """Tell what is held against a URL; less than anything if that is long ago."""
        never = _Failure(lied=False, at=0)
        found = self._failures.get(url, never)
        return found if self._asked - found.at < REST else never

    def _blame(self, url: str, *, lied: bool = False) -> None:
        self._failures[url] = _Failure(lied or self._failure(url).lied, self._asked)


def _address(url: str, path: str) -> str:
    """Return where a file is: in a folder under its own name, on the web as URLs are spelled."""
    return f"{url}/{path if is_copy(url) else layout.url_path(path)}"


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except NotOnMirrorError as error:
        kind = IncompleteCopyError if is_copy(error.url) else IncompleteMirrorError
        raise kind(error.url, error.status) from error
