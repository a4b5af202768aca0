"""Copies of mirrors, for devices without a network: one stands in for the URLs of a remote, for one update.

Only the way changes. What is believed and what is remembered is the remote's, so a copy can neither bring back what is
past nor add anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from devclient.copy_errors import NotACopyError
from devclient.errors import SettingsError
from devclient.settings import values
from devclient.trust.mirror_urls import MirrorUrls
from devclient.trust_errors import is_copy
from devclient.web.folder import CopySource

if TYPE_CHECKING:
    from collections.abc import Callable

    from devclient.settings.config import Settings
    from devclient.state import Package
    from devclient.trust.elapsed import Instant
    from devclient.trust.mirror_urls import Source


@dataclass(frozen=True)
class Copy:
    """A copy of the mirror of one remote.

    Attributes:
        place: its URL, or the absolute path of its folder.
        remote: the name of the remote.
    """

    place: str
    remote: str

    def urls(self, web: Source, now: Callable[[], Instant]) -> MirrorUrls:
        """Return the way to it, by `web` if it is not in a folder; nothing is kept of it."""
        return MirrorUrls([self.place], CopySource(Path(self.place)) if is_copy(self.place) else web, now)

    def serves(self, settings: Settings) -> Callable[[Package], bool]:
        """Make the test whether a package comes from the remote for which it stands in."""
        return lambda package: settings.remote_name(package.remote) == self.remote


def place(text: str) -> str:
    """Read where a copy is: a path, also as a `file` URL, or an http(s) URL.

    Raises:
        ValueError: it is neither.
    """
    if not is_copy(text):
        return values.url("", text)
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or "\0" in unquote(parts.path):
            raise ValueError(f"{text!r} is neither a folder nor an http(s) URL, such as https://updates.example.org")
        text = unquote(parts.path)
    return str(Path(text).absolute())


def stand_in(where: str, settings: Settings, package: Package | None) -> Copy:
    """Have the copy at a `place` stand in for the remote of a package, or for the first one.

    Raises:
        NotACopyError: there is none.
        SettingsError: the settings do not know the remote of the package.
    """
    url = package.remote if package else ""
    remote = settings.remote(url)
    if remote is None:
        raise SettingsError(settings.file, f"no mirror is at {url}, which the state file names: add it to [remotes]")
    if is_copy(where) and not CopySource(Path(where)).is_mirror:
        raise NotACopyError(where, 404)
    return Copy(where, remote.name)
