"""What a publisher's token allows: packages and branches by pattern, up to a time.

Pure rules; tokens themselves and their file are `builder.uploads.tokens`'s.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from mirror import names

_DAY = 86_400
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_PATTERN = re.compile(r"[A-Za-z0-9._*?-]{1,128}")
_DAYS = re.compile(r"([1-9][0-9]{0,4})d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows, under the token's name; a ValueError if that makes no sense.

    Attributes:
        packages: patterns, of which a package's name has to match one.
        branches: the same for branches.
        created: a time such as 2026-11-23T08:00:00Z.
        expires: from when on the token is refused, None for never.
    """

    name: str
    packages: tuple[str, ...]
    branches: tuple[str, ...]
    created: str
    expires: str | None = None

    def __post_init__(self) -> None:
        name(self.name)
        if not self.packages or not self.branches:
            raise ValueError("a token needs a pattern for packages and one for branches")
        for text in (*self.packages, *self.branches):
            pattern(text)
        _seconds(self.created)
        if self.expires is not None:
            _seconds(self.expires)

    def allows(self, package: str, branch: str) -> bool:
        """Tell whether this package may be uploaded to this branch."""
        return _matches(package, self.packages) and _matches(branch, self.branches)

    def is_expired(self, now: float) -> bool:
        """Tell whether the token's time is over."""
        return self.expires is not None and _seconds(self.expires) <= now


def name(text: str) -> str:
    """Return the name of a token if it is one.

    Raises:
        ValueError: with what is wrong.
    """
    if not names.is_name(text):
        rule = "a letter or digit, then up to 127 letters, digits or any of . _ -, not ending in a dot"
        raise ValueError(f"{text!r} is not a name: {rule}")
    return text


def pattern(text: str) -> str:
    """Return a pattern if it is one: `*` stands for any characters or none, `?` for one, and case counts.

    Raises:
        ValueError: with what is wrong.
    """
    if not _PATTERN.fullmatch(text):
        raise ValueError(f"{text!r} is not a pattern: up to 128 letters, digits or any of . _ -, and * and ?")
    return text


def time(seconds: float) -> str:
    """Write a time, given in seconds since 1970, as grants have it."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def expiry(text: str, now: float) -> str | None:
    """Read when a token ends: in so many days, 90d; where a day begins in UTC, 2027-01-31; or never.

    Raises:
        ValueError: with what is wrong.
    """
    if text == "never":
        return None
    days = _DAYS.fullmatch(text)
    try:
        end = now + int(days[1]) * _DAY if days else _seconds(f"{text}T00:00:00Z")
    except ValueError:
        raise ValueError(f"{text!r} is none of: days such as 90d, a day such as 2027-01-31, never") from None
    if end <= now:
        raise ValueError(f"{text} has begun already")
    return time(end)


def _matches(word: str, patterns: tuple[str, ...]) -> bool:
    # of fnmatch's signs, patterns can hold these two alone
    return any(fnmatch.fnmatchcase(word, each) for each in patterns)


def _seconds(text: str) -> float:
    seconds = datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()
    if time(seconds) != text:
        raise ValueError(f"{text!r} is not a time such as 2026-11-23T08:00:00Z")
    return seconds
