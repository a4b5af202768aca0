"""HTTP for devices: the only module that knows requests.

Its rule: no server can keep a device for ever, fill its memory, or lead it from https to http.
What goes wrong comes out as one of `devclient.errors`; what the bytes mean is not known here.
"""

from __future__ import annotations

import contextlib
import functools
import re
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from devclient.errors import MirrorRefusesError, NetworkError, NotOnMirrorError
from devclient.pace import Pace, PacedResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3.connectionpool import HTTPConnectionPool

    from devclient.config import Network

MAX_REDIRECTS = 5
BLOCK = 64 * 1024

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
# what passes by itself: too slow, too early, too many requests, sign in to the proxy first
_PASSING = frozenset({407, 408, 425, 429})
# no more digits than sizes have: thousands of them are an error of their own to int()
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)")


@dataclass(frozen=True)
class Body:
    """The bytes of a file as they come.

    Attributes:
        start: where in the file they begin.
        total: size of the whole file, None if the server does not tell.
        blocks: the bytes, at most `BLOCK` at a time.
    """

    start: int
    total: int | None
    blocks: Iterator[bytes]


class Fetcher:
    """One session with the mirrors of a device; one request at a time."""

    def __init__(self, network: Network, user_agent: str, clock: Callable[[], float]) -> None:
        self._network = network
        self._pace = Pace(network.patience, network.minimum_rate, network.read_timeout, clock)
        self._session = _Session()
        self._session.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _PacedAdapter(self._pace))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, url: str, *, limit: int) -> bytes:
        """Fetch a JSON file of at most `limit` bytes.

        Raises:
            NetworkError: it did not come, or something that is not the mirror answered.
            NotOnMirrorError: the mirror has no such file.
            MirrorRefusesError: the mirror does not give it.
        """
        with self._open(url, {}) as response:
            _expect(response, HTTPStatus.OK)
            body = bytearray()
            for block in _blocks(response):
                body += block
                if len(body) > limit:
                    raise NetworkError(url, f"more than {limit} bytes came, which is not a mirror's answer")
        if _is_page(response, body):
            raise NetworkError(url, "a web page came instead of JSON, as from a network that wants a sign-in")
        return bytes(body)

    @contextlib.contextmanager
    def stream(self, url: str, offset: int = 0) -> Iterator[Body]:
        """Open a file from `offset` on; from its start if the server cannot continue there.

        Raises:
            NetworkError: as `get`, also while the blocks are read.
            NotOnMirrorError: as `get`.
            MirrorRefusesError: as `get`.
        """
        if offset:
            with self._open(url, {"Range": f"bytes={offset}-"}) as response:
                if body := _continued(response, offset):
                    self._pace.lift()
                    yield body
                    return
        with self._open(url, {}) as response:
            _expect(response, HTTPStatus.OK)
            self._pace.lift()
            yield _whole(response)

    @contextlib.contextmanager
    def _open(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        self._pace.begin(self._network.deadline)
        try:
            with self._follow(url, headers) as response:
                yield response
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise NetworkError(url, _in_words(error)) from error

    def _follow(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        timeout = (self._network.connect_timeout, self._network.read_timeout)
        place = url
        for _ in range(MAX_REDIRECTS + 1):
            response = self._session.get(place, headers=headers, timeout=timeout, stream=True)
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            place = redirected(place, response.headers.get("Location", ""))
        raise NetworkError(url, f"redirected more than {MAX_REDIRECTS} times")


def redirected(url: str, location: str) -> str:
    """Tell where a redirect from `url` leads.

    Raises:
        NetworkError: nowhere, or from https to something less.
    """
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
    except ValueError:
        scheme = ""
    if not location or scheme not in {"http", "https"}:
        raise NetworkError(url, f"redirected to {location!r}, which is no place on the web")
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise NetworkError(url, f"redirected from https to {target}, where anybody could answer")
    return target


class _Session(requests.Session):
    """A session that leaves redirects alone; its own way would read their bodies, whatever their size."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as requests names it
        return None


class _PacedAdapter(HTTPAdapter):
    """Connections whose responses are read at a pace."""

    def __init__(self, pace: Pace) -> None:
        response = staticmethod(functools.partial(PacedResponse, pace=pace))
        self._paced = functools.cache(lambda kind: type(kind.__name__, (kind,), {"response_class": response}))
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> HTTPConnectionPool:
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*arguments, **named))
        pool.ConnectionCls = self._paced(type(pool).ConnectionCls)
        return pool


def _expect(response: requests.Response, status: int) -> None:
    """Raise what any other status than `status` means."""
    got = response.status_code
    if got == status:
        return
    if got in _GONE:
        raise NotOnMirrorError(response.url, got)
    if got in _PASSING or got >= HTTPStatus.INTERNAL_SERVER_ERROR:
        retry_after = response.headers.get("Retry-After", "")
        raise NetworkError(response.url, f"the server answers {got}", retry_after)
    raise MirrorRefusesError(response.url, got)


def _continued(response: requests.Response, offset: int) -> Body | None:
    """Read the head of an answer to a Range; None if it does not continue at `offset`."""
    if response.status_code == HTTPStatus.OK:
        return _whole(response)
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return None
    _expect(response, HTTPStatus.PARTIAL_CONTENT)
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != offset:
        return None
    total = None if match[2] == "*" else int(match[2])
    return Body(offset, total, _blocks(response))


def _whole(response: requests.Response) -> Body:
    length = response.headers.get("Content-Length", "")
    return Body(0, int(length) if _LENGTH.fullmatch(length) else None, _blocks(response))


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """Give bytes as they arrive: what waits to fill a block is lost when the connection breaks."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NetworkError(response.url, "something on the way encodes the bytes anew")
    return iter(lambda: response.raw.read1(BLOCK, decode_content=False) or b"", b"")


def _is_page(response: requests.Response, body: bytearray) -> bool:
    return "html" in response.headers.get("Content-Type", "").lower() or body.lstrip()[:1] == b"<"


def _in_words(error: BaseException) -> str:
    """Say what lies at the bottom of an error, below what the libraries wrapped around it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    if isinstance(error, TimeoutError):
        return "the server is too slow"
    if isinstance(error, ssl.SSLError):
        return f"no safe connection, or this device's clock is wrong ({error})"
    return f"the connection failed ({getattr(error, 'strerror', None) or error})"
