"""Where uploads go, and the token for it, which nobody else must read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from builder import values
from builder.values import is_loopback
from mirror.errors import PublisherError

PATH = "/update"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


class TargetError(PublisherError):
    """There is no such place, or the token must not go there."""

    code = "target"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver.

    Attributes:
        url: of its `/update`.
        token: what it wants to see; empty for none.
    """

    url: str
    token: str = field(default="", repr=False)

    @property
    def mirror(self) -> str:
        """The URL of the mirror itself."""
        return self.url.removesuffix(PATH)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")


def target(url: str, token: str = "", *, insecure_http: bool = False) -> Target:
    """Find the receiver of the mirror at `url`.

    Raises:
        TargetError: that is no URL, the token is none, or others could read it on its way.
    """
    try:
        base = values.url(url)
    except ValueError as error:
        raise TargetError(f"{url!r} is not {error}") from None
    if not base:
        raise TargetError("the URL is empty: it is that of the mirror, such as 'https://updates.example.org'")
    if token and not _TOKEN.fullmatch(token):
        raise TargetError(
            "the token has characters that no token has: it is one line, as `otamirror token add` printed it"
        )
    found = Target(base.removesuffix(PATH) + PATH, token)
    if token and urlsplit(base).scheme != "https" and not found.is_loopback and not insecure_http:
        raise TargetError(
            f"whoever is on the way to {base} could read the token: use https, or --insecure-http on a network that "
            "you trust"
        )
    return found
