"""A mirror as plain files behind HTTP, taken at its word: nothing but the connection vouches for its lists.

Says where each file is and asks for it; what is in the files is judged by the stages.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, TypeVar

from devclient.errors import NetworkError, SettingsError
from mirror import content, layout, releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from devclient.config import Settings
    from devclient.fetcher import Body, Fetcher

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def mirror(url: str, settings: Settings, fetcher: Fetcher) -> PlainMirror:
    """Return the mirror at `url`, for "" the first one of the settings.

    Raises:
        SettingsError: the settings know no mirror there; a device goes only where its owner sent it.
    """
    remote = settings.remote(url)
    if remote is None:
        raise SettingsError(settings.file, f"no mirror is at {url}, which the state file names: add it to [remotes]")
    return PlainMirror(remote.urls, fetcher)


class PlainMirror:
    """One remote: the same tree under one or several URLs, tried in their order."""

    def __init__(self, urls: Sequence[str], fetcher: Fetcher) -> None:
        self._urls = urls
        self._fetcher = fetcher

    def release_list(self, package: str, branch: str) -> bytes:
        """Fetch the release list of a package on a branch."""
        path = layout.release_list(package, branch)
        return self._first(lambda url: self._fetcher.get(f"{url}/{path}", limit=releases.MAX_BYTES))

    def content(self, package: str, branch: str, version: str) -> bytes:
        """Fetch the content.json of one release."""
        path = layout.get_version(package, branch, version)
        return self._first(lambda url: self._fetcher.get(f"{url}/{path}", limit=content.MAX_BYTES))

    @contextlib.contextmanager
    def blob(self, sha256: str, offset: int) -> Iterator[Body]:
        """Open a blob from `offset` on, or from its start."""
        path = layout.blob(sha256)
        with contextlib.ExitStack() as stack:
            yield self._first(lambda url: stack.enter_context(self._fetcher.stream(f"{url}/{path}", offset)))

    def _first(self, ask: Callable[[str], _T]) -> _T:
        *others, last = self._urls
        for url in others:
            try:
                return ask(url)
            except NetworkError as error:
                _log.warning("%s; asking the next mirror", error)
        return ask(last)
