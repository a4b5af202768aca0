"""Files of mirrors by HTTP.

Its rule: no server can keep a device for ever, fill its memory, or lead it from https to http.
What goes wrong comes out as one of `devclient.errors`; what the bytes mean is not known here.
"""

from __future__ import annotations

import contextlib
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from devclient.errors import MirrorRefusesError, NetworkError, NotOnMirrorError, WebPageError
from devclient.trust_errors import EndlessDataError
from devclient.web import gzipped, headers, pages
from devclient.web.answers import BLOCK, Answer, Body
from devclient.web.headers import UNKNOWN, Validators
from devclient.web.pace import Pace
from devclient.web.session import Session
from devclient.web.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from devclient.settings.config import Network
    from devclient.web.session import Response

MAX_REDIRECTS = 5

_PAGE = (
    "what came is no file of a mirror, as from a network that wants a sign-in (if it stays, see what answers there; "
    "the mirror's operator should run `otamirror check`)"
)
_NO_SUCH_RANGE = frozenset({400, 416})  # not every server knows that there is a status for it
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
# what passes by itself: too slow, too early, too many requests, sign in to the proxy first; and "not modified" in
# answer to no condition, or a part, or no such part, of what was asked for as a whole, which something on the way mixes
# up
_PASSING = frozenset({206, 304, 407, 408, 416, 425, 429})
_AROUND = {"Cache-Control": "no-cache"}


class Fetcher:
    """One session with the mirrors of a device; one request at a time."""

    def __init__(
        self,
        network: Network,
        user_agent: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin a session.

        Args:
            network: how long servers are waited for.
            user_agent: what they are told that this is.
            clock: tells the time in seconds, only ever forward.
            sleep: waits.
            go_on: is called before each read, and may raise to leave.
        """
        self._network = network
        self._throttle = Throttle(network.bandwidth, clock, sleep)
        self._pace = Pace(network.patience, network.minimum_rate, network.read_timeout, clock, go_on)
        self._session = Session(network, user_agent, self._pace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def ask(
        self,
        url: str,
        *,
        limit: int,
        known: Validators = UNKNOWN,
        compressed: bool = True,
        around_caches: bool = False,
    ) -> Answer:
        """Fetch a JSON file of at most `limit` bytes, if it is not the one that the server knows by `known`.

        Args:
            url: of the file.
            limit: bytes, also of what is compressed.
            known: what this server gave with the bytes that are here; "not modified" is no answer to none.
            compressed: whether it may come compressed; not every server knows again what it compressed.
            around_caches: whether caches on the way have to ask the server itself.

        Raises:
            NetworkError: it did not come.
            WebPageError: something came that is no file of a mirror.
            NotOnMirrorError: the mirror has no such file.
            MirrorRefusesError: the mirror does not give it.
            EndlessDataError: more than `limit` bytes came, decompressed if they were compressed.
        """
        condition = known.condition()
        fields = condition | ({"Accept-Encoding": "gzip"} if compressed else {}) | (_AROUND if around_caches else {})
        with self._open(url, fields) as response:
            date = headers.date(response.headers.get("Date", ""))
            if response.status == HTTPStatus.NOT_MODIFIED and condition:
                return Answer(url, None, known, date)
            _expect(response, HTTPStatus.OK)
            return Answer(url, _small(response, url, limit), Validators.of(response.headers), date)

    @contextlib.contextmanager
    def stream(self, url: str, offset: int = 0, *, around_caches: bool = False) -> Iterator[Body]:
        """Open a file from `offset` on; from its start if the server cannot continue there.

        Raises:
            NetworkError: as `ask`, also while the blocks are read.
            NotOnMirrorError: as `ask`.
            MirrorRefusesError: as `ask`.
        """
        if offset:
            with self._open(url, {"Range": f"bytes={offset}-"} | (_AROUND if around_caches else {})) as response:
                if body := self._continued(response, offset):
                    self._pace.lift()
                    yield body
                    return
        with self._open(url, (_AROUND if around_caches else {})) as response:
            _expect(response, HTTPStatus.OK)
            self._pace.lift()
            yield self._whole(response)

    def _continued(self, response: Response, offset: int) -> Body | None:
        """Read the head of an answer to a Range; None if it does not continue at `offset`."""
        if response.status == HTTPStatus.OK:
            return self._whole(response)
        if response.status in _NO_SUCH_RANGE:
            return None
        _expect(response, HTTPStatus.PARTIAL_CONTENT)
        found = headers.content_range(response.headers.get("Content-Range", ""))
        if found is None or found[0] != offset:
            return None
        return self._body(response, offset, found[1])

    def _whole(self, response: Response) -> Body:
        return self._body(response, 0, headers.length(response.headers.get("Content-Length", "")))

    def _body(self, response: Response, start: int, total: int | None) -> Body:
        _refuse_coding(response)
        return Body(start, total, iter(lambda: self._throttle.read(response.read, BLOCK), b""), _is_html(response))

    @contextlib.contextmanager
    def _open(self, url: str, fields: Mapping[str, str]) -> Iterator[Response]:
        self._pace.begin(self._network.deadline)
        with self._follow(url, fields) as response:
            yield response

    def _follow(self, url: str, fields: Mapping[str, str]) -> Response:
        place = url
        for _ in range(MAX_REDIRECTS + 1):
            response = self._session.get(place, fields)
            if response.status not in _REDIRECTS:
                return response
            with response:
                place = headers.location(place, response.headers.get("Location", ""))
        raise NetworkError(url, f"redirected more than {MAX_REDIRECTS} times")


def _expect(response: Response, status: int) -> None:
    """Raise what any other status than `status` means."""
    got = response.status
    if got == status:
        return
    if got in _GONE:
        raise NotOnMirrorError(response.url, got)
    if got in _PASSING or got >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait = headers.retry_after(response.headers.get("Retry-After", ""), response.headers.get("Date", ""))
        raise NetworkError(response.url, f"the server answers {got}", wait)
    raise MirrorRefusesError(response.url, got)


def _small(response: Response, url: str, limit: int) -> bytes:
    """Read a small file, decompressed; never more of it than `limit` and a block."""
    body = bytearray()
    try:
        for block in _decoded(response, limit):
            body += block
            if len(body) > limit or pages.is_text(body):
                break
    except ValueError as error:
        raise NetworkError(url, str(error)) from error
    if _is_html(response) or pages.is_text(body) or (len(body) <= limit and pages.is_page(body)):
        raise WebPageError(url, _PAGE)
    if len(body) > limit:
        raise EndlessDataError(url, f"more than {limit} bytes came")
    return bytes(body)


def _decoded(response: Response, limit: int) -> Iterable[bytes]:
    if response.headers.get("Content-Encoding", "").lower() == "gzip":
        return gzipped.inflate(iter(lambda: response.read(BLOCK), b""), limit)
    return _blocks(response)


def _blocks(response: Response) -> Iterator[bytes]:
    _refuse_coding(response)
    return iter(lambda: response.read(BLOCK), b"")


def _refuse_coding(response: Response) -> None:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NetworkError(response.url, "something on the way encodes the bytes anew")


def _is_html(response: Response) -> bool:
    return "html" in response.headers.get("Content-Type", "").lower()
