"""What is refused before any of a body is read: by method, headers, token and client (contract, section 5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import multipart

from builder.uploads.refusals import (
    DiskFullError,
    ExpectationError,
    ForbiddenError,
    FormError,
    FramingError,
    LengthError,
    MediaTypeError,
    MethodError,
    too_large,
)
from builder.uploads.upload import OVERHEAD, TEXTS
from builder.values import is_loopback
from builder.web import addresses

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.datastructures import Headers
    from starlette.requests import Request

    from builder.uploads.grants import Grant
    from builder.uploads.tokens import Tokens

_FORM = "multipart/form-data"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, section 5.1.1
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(?::[0-9]*)?")
_BESIDE = sum(TEXTS.values()) + OVERHEAD  # bytes that a body may have beside the file
# what proxies and CDNs say of the client whose request they pass on
_OF_PROXIES = frozenset(
    {"cdn-loop", "client-ip", "fastly-client-ip", "forwarded", "forwarded-for", "true-client-ip", "via", "x-client-ip"}
    | {"x-cluster-client-ip", "x-forwarded", "x-host", "x-proxyuser-ip", "x-real-ip", "x-remote-addr", "x-remote-ip"}
)
_PREFIXES_OF_PROXIES = ("cf-", "x-arr-", "x-azure-", "x-envoy-", "x-forwarded-", "x-original-", "x-real-")
_OF_OWN_SITE = frozenset({"none", "same-origin"})
_HOW = "make one with `otamirror token add`, and every upload needs it"


@dataclass(frozen=True, slots=True)
class Admission:
    """A request whose body may come.

    Attributes:
        boundary: of the parts of its body.
        grant: what its token allows; None on a mirror without tokens.
    """

    boundary: str
    grant: Grant | None

    def check(self, package: str, branch: str) -> None:
        """Refuse what the token does not allow.

        Raises:
            ForbiddenError: naming the package.
        """
        if self.grant is not None and not self.grant.allows(package, branch):
            raise ForbiddenError(
                f"the token {self.grant.name} does not allow to publish {package} on {branch}; "
                "ask the mirror's operator for one that does"
            )


def admit(request: Request, tokens: Tokens, most_bytes: int, free_bytes: Callable[[], int]) -> Admission:
    """Judge everything but the body of a request.

    Raises:
        PublisherError: why it is refused.
        DiskFullError: what it announces has no room.
    """
    headers = request.headers
    if request.method != "PUT":
        raise MethodError(f"{request.method} does nothing here; upload with PUT")
    if "content-length" in headers and "transfer-encoding" in headers:
        raise FramingError("the request has both Content-Length and Transfer-Encoding; send one of them")
    grant = _grant(request, tokens)
    if any(expected.lower() != "100-continue" for expected in _listed(headers, "expect")):
        raise ExpectationError("the only Expect that is understood is 100-continue")
    if any(encoding.lower() != "identity" for encoding in _listed(headers, "content-encoding")):
        raise MediaTypeError("a body with a Content-Encoding is not taken; send it as it is")
    boundary = _boundary(headers)
    _check_length(headers, most_bytes, free_bytes)
    return Admission(boundary, grant)


def _grant(request: Request, tokens: Tokens) -> Grant | None:
    if tokens.are_needed():
        given = request.headers.getlist("authorization")
        return tokens.check(", ".join(given) if given else None)
    if reason := _elsewhere(request):
        raise ForbiddenError(f"this mirror has no tokens, so {reason}. Operator: {_HOW}")
    return None


def _elsewhere(request: Request) -> str:
    """Return why a request may not be one of this machine's own programs; "" if all speaks for that."""
    headers = request.headers
    if request.client is None or not is_loopback(request.client.host):
        return "only its own machine may upload"
    if any(name in _OF_PROXIES or name.startswith(_PREFIXES_OF_PROXIES) for name in headers):
        return "nothing may come through a proxy"
    hosts = headers.getlist("host")
    # a target that is a whole URL has one more, which counts instead (RFC 9112, section 3.2.2)
    named = addresses.host(request.scope.get("raw_path", b"").decode("latin-1"))
    if len(hosts) != 1 or not all(map(_is_local, [*hosts, named or hosts[0]])):
        return "uploads go to localhost only"
    # browsers say on whose behalf they ask, which may be any page that somebody on this machine looks at
    origins = {f"{scheme}://{hosts[0]}".lower() for scheme in ("http", "https")}
    if any(origin.lower() not in origins for origin in headers.getlist("origin")):
        return "no page of another site may upload"
    if any(site.lower() not in _OF_OWN_SITE for site in headers.getlist("sec-fetch-site")):
        return "no page of another site may upload"
    return ""


def _is_local(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and is_loopback(match["host"].strip("[]"))


def _boundary(headers: Headers) -> str:
    given = headers.getlist("content-type")
    kind, options = multipart.parse_options_header(given[0]) if len(given) == 1 else ("", {})
    if kind != _FORM:
        raise MediaTypeError(f"the body has to be {_FORM}, with the parts content and file")
    boundary = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise FormError("the Content-Type has no valid boundary: 1 to 70 characters that RFC 2046 allows")
    return str(boundary)


def _check_length(headers: Headers, most_bytes: int, free_bytes: Callable[[], int]) -> None:
    if "transfer-encoding" in headers:
        return
    if "content-length" not in headers:
        raise LengthError("the request has neither Content-Length nor Transfer-Encoding: chunked; send one of them")
    length = int(headers["content-length"])
    if 0 < most_bytes < length - _BESIDE:
        raise too_large(most_bytes)
    if length > free_bytes():
        raise DiskFullError


def _listed(headers: Headers, name: str) -> list[str]:
    """Return what a header lists, however often it is there."""
    return [member.strip() for value in headers.getlist(name) for member in value.split(",")]
