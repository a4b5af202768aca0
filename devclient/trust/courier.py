"""What tuf asks for, brought from a remote: our HTTP behind tuf's public FetcherInterface.

Its rule: silence is cheap. The timestamp is asked for first, with a condition. If it has not changed, the root is not
asked for either, and tuf gets the bytes that are here; it judges them as if they had come.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from devclient.errors import MirrorRefusesError, NotOnMirrorError
from devclient.trust_errors import MixAndMatchError, UndelegatedError, UnsignedMirrorError
from devclient.web.headers import UNKNOWN
from mirror import layout, trust

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from devclient.trust.origin import Origin
    from devclient.web.answers import Answer
    from devclient.web.headers import Validators

_NOT_FOUND = 404


@dataclass(frozen=True)
class Delivery:
    """A file that came from the remote.

    Attributes:
        version: the one in its name, None for the timestamp.
    """

    url: str
    role: str
    version: int | None
    data: bytes


class Courier(FetcherInterface):
    """Brings metadata for one refresh.

    Attributes:
        last: what it brought last, None if nothing had to come.
        timestamp: the newest answer about the timestamp.
    """

    def __init__(self, origin: Origin, timestamp: Answer | None = None, newest_root: int | None = None) -> None:
        """Bring things from `origin`.

        Args:
            origin: the remote.
            timestamp: what it has answered about the timestamp already.
            newest_root: the version of the root that is known to be the newest, None to ask for a newer one.
        """
        self._origin = origin
        self._newest_root = newest_root
        self.timestamp = timestamp
        self.last: Delivery | None = None

    @property
    def date(self) -> datetime | None:
        """What the remote takes for the time."""
        return self.timestamp.date if self.timestamp else None

    def _fetch(self, url: str) -> Iterator[bytes]:
        if url == layout.TIMESTAMP:
            return iter([self._timestamp()])
        named = layout.parse_metadata(url)
        if named is None:
            raise UndelegatedError(self._origin.address(url), "this is not the name of a role")
        role, version = named
        answer = self._root(url, version) if role == trust.ROOT else self._origin.fetch(url, limit=_limit(role))
        return iter([self._deliver(answer, role, version)])

    def _timestamp(self) -> bytes:
        if self.timestamp is None:
            self.timestamp = ask_timestamp(self._origin)
        return self._deliver(self.timestamp, trust.TIMESTAMP, None)

    def _root(self, url: str, version: int) -> Answer:
        if self._newest_root is not None and version > self._newest_root:
            raise DownloadHTTPError(f"{url} is not asked for: nothing has changed", _NOT_FOUND)
        try:
            answer = self._origin.ask(url, limit=_limit(trust.ROOT))
        except NotOnMirrorError as error:
            raise DownloadHTTPError(str(error), _NOT_FOUND) from error
        except MirrorRefusesError as error:
            # tuf takes 403 for "there is none", as object stores say it
            raise DownloadHTTPError(str(error), error.status) from error
        self.timestamp = None  # by a new root the timestamp is asked for after it, as the specification has it
        return answer

    def _deliver(self, answer: Answer, role: str, version: int | None) -> bytes:
        data = answer.data or b""
        self.last = Delivery(answer.url, role, version, data)
        if (said := _says(data)) not in {"", role}:
            # before tuf keeps it: by signature and version it would pass for this one, and stay
            raise MixAndMatchError(answer.url, f"it is the file of {said}, in the place of {role}")
        return data


def ask_timestamp(origin: Origin, known: Validators = UNKNOWN, data: bytes = b"") -> Answer:
    """Ask for the timestamp.

    Args:
        origin: whom to ask.
        known: what the remote gave with the one that is here; nothing to have it sent in any case.
        data: its bytes, which are answered if it has not changed.

    Raises:
        UnsignedMirrorError: there is none.
        DeviceError: as `Fetcher.ask`.
    """
    try:
        # uncompressed: servers that compress do not know their own ETag again, and it is small
        limit = trust.MAX_BYTES[trust.TIMESTAMP]
        answer = origin.ask(layout.TIMESTAMP, limit=limit, known=known, compressed=False)
    except NotOnMirrorError as error:
        raise UnsignedMirrorError(error.url, error.status) from error
    return answer if answer.data is not None else replace(answer, data=data)


def _says(data: bytes) -> str:
    """Read which role a file says to be; "" if it does not say, or cannot be read."""
    with contextlib.suppress(ValueError, TypeError, LookupError, RecursionError):
        return str(json.loads(data)["signed"][trust.ROLE])
    return ""


def _limit(role: str) -> int:
    return trust.MAX_BYTES.get(role, trust.MAX_BYTES[trust.TARGETS])
