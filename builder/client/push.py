"""Uploading, and reading what a mirror has: the client of `PUT /update`.

Nothing but a receiver's 200 is a success. The token goes to the place that the publisher named and to no other: along
no redirect, and to this machine through no proxy; no password of a .netrc goes anywhere, and no cookie is kept. What
may pass is tried again, because the same release twice is one.
"""

from __future__ import annotations

import importlib.metadata
import logging
import secrets
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import requests
import urllib3
from requests.auth import AuthBase

from builder.client.answers import Answer, NotNowError, RefusedError
from builder.client.attentive import Attentive, AttentiveTLS
from builder.client.parcel import Form, Parcel
from builder.client.session import PushSession, Trusting
from builder.progress import silent
from mirror import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3.connectionpool import HTTPConnectionPool

    from builder.client.target import Target
    from builder.progress import Advance, Progress
    from builder.submission import Statement

logger = logging.getLogger(__name__)

ATTEMPTS = 6
LONGEST_PAUSE = 300.0
"""Seconds; a server that wants to be left alone for longer is not waited for."""

_FIRST_PAUSE = 2.0
_CONNECT_SECONDS = 20.0
_ANSWER_SECONDS = 600.0  # after the last byte, a mirror makes gigabytes durable, and those of others before
_READ_SECONDS = 60.0
_MAX_ANSWER = 64 * 1024
_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError)
_Result = TypeVar("_Result")


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
    """What is on the mirror, by the receiver's word, after so many attempts."""

    answer: Answer
    attempts: int

    @property
    def is_new(self) -> bool:
        """Whether it was not there before."""
        return self.answer.fields.get("new") is True


def push(sent: Parcel | Statement, target: Target, patience: Patience, progress: Progress = silent) -> Receipt:
    """Publish a parcel, or a statement alone.

    Raises:
        RefusedError: the receiver does not take it.
        NotNowError: it may be taken later.
        ChangedError: the file changed while it was sent.
    """
    answer, attempts = _patiently(lambda: _deliver(sent, target, progress), patience)
    return Receipt(answer, attempts)


def get(url: str, most_bytes: int, patience: Patience) -> bytes | None:
    """Return a file of a mirror; None if it is not there.

    Raises:
        RefusedError: the mirror does not hand it out, or it has more bytes.
        NotNowError: it may do so later.
    """
    return _patiently(lambda: _fetch(url, most_bytes), patience)[0]


def _patiently(call: Callable[[], _Result], patience: Patience) -> tuple[_Result, int]:
    """Call until it succeeds; returns the number of attempts too."""
    attempt = 0
    while True:
        attempt += 1
        try:
            return call(), attempt
        except NotNowError as error:
            answer = error.answer
            pause = patience.pause(attempt, answer)
            if attempt == ATTEMPTS or pause > LONGEST_PAUSE or (answer and not answer.may_pass):
                raise
            logger.warning("%s; trying again in %.0f seconds", error, pause)
            patience.sleep(pause)


def _deliver(sent: Parcel | Statement, target: Target, progress: Progress) -> Answer:
    """Send once, and insist on its being taken."""
    name, size = (sent.file.name, sent.size) if isinstance(sent, Parcel) else (sent.title, 0)
    try:
        with progress(f"sending {name}", size) as advance:
            answer = _send(sent, target, advance)
    except _FAILURES as error:
        raise _unanswered(target.url, error) from error
    if answer.accepts(_stated(sent)):
        return answer
    problem = f"{target.url} answers {answer.status}: {answer.sentence(with_token=bool(target.token))}"
    raise NotNowError(problem, answer) if answer.may_pass or answer.is_full else RefusedError(problem, answer)


def _stated(sent: Parcel | Statement) -> dict[str, object]:
    """Return what the receiver's answer has to say."""
    stated: dict[str, object] = {}
    if isinstance(sent, Parcel):
        stated = {key: getattr(sent.content, key) for key in ("package", "branch", "version", "sha256")}
    statement = sent.statement if isinstance(sent, Parcel) else sent
    if statement:
        stated |= {"package": statement.package, "branch": statement.branch, "signed": statement.role.signed.version}
    return stated


def _send(sent: Parcel | Statement, target: Target, advance: Advance) -> Answer:
    form = Form(sent, secrets.token_hex(16), advance)
    headers = {"Content-Type": form.content_type, "Expect": "100-continue", **_headers()}
    # a session for one request: a connection whose body was broken off is of no use for another
    with PushSession(target.url, _Listening) as session:
        response = session.put(
            target.url,
            data=form,
            headers=headers,
            auth=_Bearer(target.token),
            timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
            allow_redirects=False,
            stream=True,
        )
        body = response.raw.read(_MAX_ANSWER, decode_content=False)
    return Answer(response.status_code, response.headers, body)


def _fetch(url: str, most_bytes: int) -> bytes | None:
    """Ask for a file once."""
    try:
        with PushSession(url, Trusting) as session:
            response = session.get(
                url,
                headers=_headers(),
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                stream=True,
            )
            body = cast("bytes", response.raw.read(most_bytes + 1, decode_content=False))
            missing = getattr(response.raw, "length_remaining", None) or 0
    except _FAILURES as error:
        raise _unanswered(url, error) from error
    answer = Answer(response.status_code, response.headers)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise (NotNowError if answer.may_pass else RefusedError)(f"{url} answers {answer.status}", answer)
    if len(body) > most_bytes:
        raise RefusedError(f"{url} has more than {most_bytes} bytes, the most that it may have")
    if missing:
        raise NotNowError(f"{url}: the connection failed before its end")
    return body


def _headers() -> dict[str, str]:
    return {
        "Accept-Encoding": "identity",
        "User-Agent": f"otamirror/{importlib.metadata.version('otamirror')}",
    }


def _unanswered(url: str, error: Exception) -> RefusedError | NotNowError:
    """Say what lies at the bottom of an error, below what the libraries wrapped around it."""
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        advice = "if its authority is your own, name that by SSL_CERT_FILE"
        return RefusedError(f"{url}: its certificate is not trusted here ({cause.verify_message}); {advice}")
    if isinstance(error, ValueError):  # as requests names addresses that it cannot use
        return RefusedError(f"{url}: {error}")
    if isinstance(cause, TimeoutError):
        return NotNowError(f"{url}: the server takes too long")
    # what the libraries say may have the server's own words in it
    said = getattr(cause, "strerror", None) or canonical.shown(str(cause))
    return NotNowError(f"{url}: the connection failed ({said})")


class _Listening(Trusting):
    """Listens while it sends."""

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(*arguments, **named)
        pool.ConnectionCls = AttentiveTLS if pool.scheme == "https" else Attentive
        return pool


class _Bearer(AuthBase):
    """The token, or none."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request
