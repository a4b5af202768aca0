"""What the headers of an answer say, read carefully: whoever answers may write into them what it likes."""

from __future__ import annotations

import email.utils
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from devclient.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Mapping

# no more digits than sizes have: thousands of them are an error of their own to int()
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)")
_SECOND = timedelta(seconds=1)
_DAY = 24 * 60 * 60.0
# as RFC 9110 has it, and no longer than it needs to be, because it is kept
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')


_MODIFIED = re.compile(r"[A-Za-z0-9,:+ -]{1,64}")


@dataclass(frozen=True)
class Validators:
    """What a server calls the bytes that it gave, to ask it whether they have changed (RFC 9110, section 8.8).

    Attributes:
        etag: its ETag, "" if it gave none.
        modified: its Last-Modified, letter by letter, "" if it gave none.
    """

    etag: str = ""
    modified: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Validators:
        """Read them from the headers of an answer.

        A Last-Modified counts if a change after the answer cannot have the same (RFC 9110, section 8.8.2.2).
        """
        since, now = date(headers.get("Last-Modified", "")), date(headers.get("Date", ""))
        is_past = since is not None and now is not None and now - since >= _SECOND
        return cls(etag(headers.get("ETag", "")), modified(headers.get("Last-Modified", "")) if is_past else "")

    def condition(self) -> dict[str, str]:
        """Return the headers of a conditional request; none if nothing is known, or what was kept is damaged."""
        fields = {"If-None-Match": etag(self.etag), "If-Modified-Since": modified(self.modified)}
        return {name: value for name, value in fields.items() if value}


UNKNOWN = Validators()


def length(text: str) -> int | None:
    """Read a Content-Length; None if it is none."""
    return int(text) if _LENGTH.fullmatch(text) else None


def content_range(text: str) -> tuple[int, int | None] | None:
    """Read where a Content-Range begins, and the size of the whole file, None if it is not told; None if it is none."""
    match = _CONTENT_RANGE.fullmatch(text)
    return (int(match[1]), None if match[2] == "*" else int(match[2])) if match else None


def etag(text: str) -> str:
    """Read an ETag; "" if it is none."""
    return text if _ETAG.fullmatch(text) else ""


def modified(text: str) -> str:
    """Read a Last-Modified; "" if it is none."""
    return text if _MODIFIED.fullmatch(text) and date(text) else ""


def date(text: str) -> datetime | None:
    """Read a Date; None if it is none."""
    try:
        found = email.utils.parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def retry_after(text: str, now: str) -> float:
    """Read how many seconds a server wants waited, from its Retry-After and its Date; a day at most, 0 for no wish.

    It may name a time instead, by its own clock, which need not be ours (RFC 9110, section 10.2.3).
    """
    if _LENGTH.fullmatch(text):
        return min(float(text), _DAY)
    until, since = date(text), date(now)
    return min(max((until - since).total_seconds(), 0), _DAY) if until and since else 0


def location(url: str, text: str) -> str:
    """Tell where a redirect from `url` leads.

    Raises:
        NetworkError: nowhere, or from https to something less.
    """
    try:
        target = urljoin(url, text)
        scheme = urlsplit(target).scheme
    except ValueError:
        scheme = ""
    if not text or scheme not in {"http", "https"}:
        raise NetworkError(url, f"redirected to {text!r}, which is no place on the web")
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise NetworkError(url, f"redirected from https to {target}, where anybody could answer")
    return target
