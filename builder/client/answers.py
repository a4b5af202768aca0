"""What a receiver's answer means to a publisher (contract, section 5): done, refused, or not now.

Only 200 means done. Pure: the requests are made in `builder.client.push`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from mirror.canonical import Problem
from mirror.errors import PublisherError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_SHOWN = 8000
_UNSHOWN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
# what passes by itself: too slow, too early, too often
_PASSING = frozenset({408, 425, 429})
_FULL = 507

_ASK_FOR_ONE = (
    "a token is needed: ask the mirror's operator for one (`otamirror token add`), then set OTAMIRROR_TOKEN to it or "
    "name its file with --token-file"
)
_NO_RECEIVER = "that is no receiver: look whether --to is right, and whether the network wants a sign-in first"
_MEANINGS = {
    200: _NO_RECEIVER,
    304: "what arrived is not what was sent, so something on the way changes it: push again, or past the proxies",
    400: "it cannot be published as it is: mend what is named, then push again",
    401: "the token is not taken: ask the mirror's operator for a new one",
    403: "you may not publish this: ask the mirror's operator for a token that covers the package and the branch",
    404: _NO_RECEIVER,
    405: _NO_RECEIVER,
    407: "a proxy wants a sign-in: put it into the proxy's URL, or go past the proxy with no_proxy",
    409: "the mirror has something else under this name, and a release never changes: publish under another one",
    411: "something on the way drops the length of the upload: push past the proxies",
    413: "it is larger than what is taken: the limit is `limits.package_bytes` in the mirror's site.toml, and in an "
    "nginx before it client_max_body_size",
    415: "the form is not understood, so something on the way changes it: push past the proxies",
    417: "something on the way does not know `Expect: 100-continue`: push past the proxies",
    _FULL: "the mirror has no room: tell its operator, then push again",
}


_SIGNED = {
    "claimed": "the package is claimed, so its publisher signs each release: push with --key",
    "not-claimed": "nobody has claimed the package: push without --key, or ask the mirror's operator to claim it",
    "signature": "the package was claimed with other keys: push with one of them, or have the mirror's operator change "
    "the claim",
    "stale-role": "somebody else signs for the package at the same time: push again",
    "statement": "what was signed cannot be taken as it is: mend what is named, then push again",
}
"""What refusals of claimed packages mean, by their `error`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to an upload.

    Attributes:
        headers: by name, in any case of its letters.
        body: as much of it as was worth reading.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object in the body; empty if there is none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def detail(self) -> str:
        """The receiver's own words, fit to be shown."""
        return _shown(self.headers.get("X-OTA-Error", "") if self.status == 304 else self.fields.get("detail", ""))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What the publisher should look at although the release was taken."""
        listed = self.fields.get("warnings")
        found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        return tuple(Problem(*(_shown(each.get(key, "")) for key in Problem._fields)) for each in found)

    @property
    def may_pass(self) -> bool:
        """Whether the same upload may be taken in a moment."""
        return self.status in _PASSING or (self.status >= 500 and not self.is_full)

    @property
    def is_full(self) -> bool:
        """Whether the same upload may be taken when somebody has made room."""
        return self.status == _FULL

    @property
    def error(self) -> str:
        """The receiver's word for programs; empty if it has none."""
        return str(self.fields.get("error", ""))

    @property
    def current_role(self) -> int | None:
        """The version of the package's role, if another than the next one was sent."""
        version = self.fields.get("version")
        # JSON's true is an int too
        is_version = isinstance(version, int) and not isinstance(version, bool) and version > 0
        return version if self.error == "stale-role" and is_version else None

    def accepts(self, sent: Mapping[str, object]) -> bool:
        """Tell whether a receiver says that just this is on its mirror."""
        return self.status == 200 and all(self.fields.get(key) == value for key, value in sent.items())

    def retry_after(self, now: float) -> float:
        """Return how many seconds the server wants to be left alone; `now` is in seconds since 1970."""
        text = self.headers.get("Retry-After", "").strip()
        if re.fullmatch("[0-9]{1,9}", text):
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, OverflowError):
            return 0.0

    def sentence(self, *, with_token: bool) -> str:
        """Say what happened once: in the receiver's own words where they say what to do, else as `meaning`."""
        is_about_tokens = self.status == 401 or (self.status == 403 and not with_token)
        if self.error and self.detail and not is_about_tokens:
            return self.detail
        return self.meaning(with_token=with_token)

    def meaning(self, *, with_token: bool) -> str:
        """Say what happened and what to do; `with_token` tells whether a token was sent."""
        if 300 <= self.status < 400 and self.status != 304:
            place = _shown(self.headers.get("Location", "")) or "another place"
            return f"it sends uploads to {place}; nothing was sent there: if you trust it, push --to it"
        if self.error in _SIGNED:
            return _SIGNED[self.error]
        if self.status in {401, 403} and not with_token:
            return _ASK_FOR_ONE
        return _MEANINGS.get(self.status, "try again later" if self.may_pass else _NO_RECEIVER)


def _shown(text: object) -> str:
    return _UNSHOWN.sub(" ", str(text)[:_MAX_SHOWN]).strip()


class _AnsweredError(PublisherError):
    """A release was not published.

    Attributes:
        answer: the last answer, None if there was none.
    """

    def __init__(self, problem: str, answer: Answer | None = None) -> None:
        detail = f"\n{answer.detail}" if answer and answer.detail and answer.detail not in problem else ""
        super().__init__(f"{problem}{detail}")
        self.answer = answer

    def as_json(self) -> dict[str, object]:
        """Return what happened, for programs, with the receiver's own answer."""
        answer = self.answer
        return {**super().as_json(), "status": answer and answer.status, "answer": answer.fields if answer else {}}


class RefusedError(_AnsweredError):
    """Sending the same again would end the same."""

    code = "refused"


class NotNowError(_AnsweredError):
    """It is worth pushing again later; what was published already is published once."""

    code = "not-now"
    exit_code = 75
