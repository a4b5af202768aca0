"""Uploading a release: the client of `PUT /update`, and the only module of the builder that knows requests.

Nothing but a receiver's 200 is a success. The token goes to the place that the publisher named and to no other: along
no redirect, and to this machine through no proxy. What may pass is tried again, because the same release twice is one.
"""

from __future__ import annotations

import importlib.metadata
import logging
import secrets
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from builder.client.answers import Answer, NotNowError, RefusedError
from builder.client.attentive import Attentive, AttentiveTLS
from builder.client.parcel import Form
from builder.progress import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3.connectionpool import HTTPConnectionPool

    from builder.client.parcel import Parcel
    from builder.client.target import Target
    from builder.progress import Advance, Progress

logger = logging.getLogger(__name__)

ATTEMPTS = 6
LONGEST_PAUSE = 300.0
"""Seconds; a server that wants to be left alone for longer is not waited for."""

_FIRST_PAUSE = 2.0
_CONNECT_SECONDS = 20.0
_ANSWER_SECONDS = 600.0  # after the last byte, a mirror makes gigabytes durable, and those of others before
_MAX_ANSWER = 64 * 1024
_NO_PROXIES = {"http": "", "https": ""}


@dataclass(frozen=True, slots=True)
class Patience:
    """What waiting between attempts needs: a pause in seconds, a random number below 1, seconds since 1970."""

    sleep: Callable[[float], None]
    random: Callable[[], float]
    now: Callable[[], float]

    def pause(self, attempt: int, answer: Answer | None) -> float:
        """Return how many seconds to wait after a failed attempt: longer each time, and not all clients at once."""
        asked = answer.retry_after(self.now()) if answer else 0.0
        grown = _FIRST_PAUSE * (1 << (attempt - 1))
        return max(asked, grown / 2) + self.random() * grown / 2


@dataclass(frozen=True, slots=True)
class Receipt:
    """A release that is on the mirror, by the receiver's word, after so many attempts."""

    answer: Answer
    attempts: int

    @property
    def is_new(self) -> bool:
        """Whether it was not there before."""
        return self.answer.fields.get("new") is True


def push(parcel: Parcel, target: Target, patience: Patience, progress: Progress = silent) -> Receipt:
    """Publish a parcel.

    Raises:
        RefusedError: the receiver does not take it.
        NotNowError: it may be taken later.
        ChangedError: the file changed while it was sent.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return Receipt(_deliver(parcel, target, progress), attempt)
        except NotNowError as error:
            answer = error.answer
            pause = patience.pause(attempt, answer)
            if attempt == ATTEMPTS or pause > LONGEST_PAUSE or (answer and not answer.may_pass):
                raise
            logger.warning("%s; trying again in %.0f seconds", error, pause)
            patience.sleep(pause)


def _deliver(parcel: Parcel, target: Target, progress: Progress) -> Answer:
    """Send a parcel once, and insist on its being taken."""
    try:
        with progress(f"sending {parcel.file.name}", parcel.size) as advance:
            answer = _send(parcel, target, advance)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _unanswered(target.url, error) from error
    if answer.accepts(parcel.content):
        return answer
    problem = f"{target.url} answers {answer.status}: {answer.meaning(with_token=bool(target.token))}"
    raise NotNowError(problem, answer) if answer.may_pass or answer.is_full else RefusedError(problem, answer)


def _send(parcel: Parcel, target: Target, advance: Advance) -> Answer:
    form = Form(parcel, secrets.token_hex(16), advance)
    headers = {
        "Accept-Encoding": "identity",
        "Content-Type": form.content_type,
        "Expect": "100-continue",
        "User-Agent": f"otamirror/{importlib.metadata.version('otamirror')}",
    }
    # a session for one request: a connection whose body was broken off is of no use for another
    with _Session() as session:
        response = session.put(
            target.url,
            data=form,
            headers=headers,
            auth=_Bearer(target.token),
            timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
            proxies=_NO_PROXIES if target.is_loopback else None,
            allow_redirects=False,
            stream=True,
        )
        body = response.raw.read(_MAX_ANSWER, decode_content=False)
    return Answer(response.status_code, response.headers, body)


def _unanswered(url: str, error: Exception) -> RefusedError | NotNowError:
    """Say what lies at the bottom of an error, below what the libraries wrapped around it."""
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RefusedError(f"{url}: its certificate is not trusted here ({cause.verify_message})")
    if isinstance(error, ValueError):  # as requests names addresses that it cannot use
        return RefusedError(f"{url}: {error}")
    if isinstance(cause, TimeoutError):
        return NotNowError(f"{url}: the server takes too long")
    return NotNowError(f"{url}: the connection failed ({getattr(cause, 'strerror', None) or cause})")


class _Session(requests.Session):
    """A session that listens while it sends, and leaves redirects alone."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as requests names it
        return None


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> HTTPConnectionPool:
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*arguments, **named))
        pool.ConnectionCls = AttentiveTLS if pool.scheme == "https" else Attentive
        return pool


class _Bearer(AuthBase):
    """The token, or none; what a .netrc says is for others."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request
