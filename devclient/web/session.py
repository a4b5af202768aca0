"""Requests by HTTP: the only module of devices that knows requests.

Its rule: a server learns nothing of this device but what is asked and by which release of otadevice. No password of a
.netrc goes anywhere, no cookie is kept, and redirects are left to the caller. What goes wrong comes out as one of
`devclient.errors`.
"""

from __future__ import annotations

import functools
import http.client
import os
import ssl
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, should_bypass_proxies
from urllib3.connection import HTTPConnection

from devclient.errors import CertificatesError, NetworkError, SlowMirrorError
from devclient.web import happy_eyeballs
from devclient.web.pace import PacedResponse
from mirror import canonical, certificates

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from urllib3.connectionpool import HTTPConnectionPool

    from devclient.settings.config import Network
    from devclient.web.pace import Pace

DIRECT = "none"
"""As a setting: no proxy, whatever the environment says."""

_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError)


class Response:
    """The answer to one request: its head, and its body as it comes, neither decoded nor decompressed.

    Attributes:
        url: what was asked for.
        headers: by name, in any case of its letters.
    """

    def __init__(self, url: str, response: requests.Response) -> None:
        self.url = url
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def read(self, most: int) -> bytes:
        """Read what has arrived, b"" at the end: what waits to fill a block is lost when the connection breaks.

        Raises:
            NetworkError: the connection failed.
        """
        try:
            return self._response.raw.read1(most, decode_content=False) or b""
        except _FAILURES as error:
            raise _in_our_words(self.url, error) from error


class Session:
    """Connections that are used again; one request at a time."""

    def __init__(self, network: Network, user_agent: str, pace: Pace) -> None:
        """Begin a session.

        Args:
            network: how servers are reached, and how long they are waited for.
            user_agent: what they are told that this is.
            pace: at which responses are read.
        """
        self._network = network
        self._session = _Anonymous()
        self._session.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _PacedAdapter(pace, network.ca_file))

    def close(self) -> None:
        """Let go of all connections."""
        self._session.close()

    def get(self, url: str, fields: Mapping[str, str]) -> Response:
        """Ask for `url`, with further header fields; a redirect is an answer like any other.

        Raises:
            NetworkError: there is no answer.
            CertificatesError: nobody can be believed, because what names who is cannot be used.
        """
        timeout = (self._network.connect_timeout, self._network.read_timeout)
        try:
            proxies = self._proxies(url)
            return Response(url, self._session.get(url, headers=fields, timeout=timeout, proxies=proxies, stream=True))
        except _FAILURES as error:
            raise _in_our_words(url, error) from error

    def _proxies(self, url: str) -> dict[str, str]:
        proxy = self._network.proxy
        if proxy == DIRECT:
            return {}
        if not proxy:
            return get_environ_proxies(url)
        return {} if should_bypass_proxies(url, no_proxy=None) else {"http": proxy, "https": proxy}


class _Anonymous(requests.Session):
    """A session that takes nothing from its surroundings and leaves redirects alone.

    The way that requests has with redirects would read their bodies, whatever their size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # no .netrc; proxies and certificates are found here
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as requests names it
        return None


class _PacedAdapter(HTTPAdapter):
    """Connections to whichever address answers, whose responses are read at a pace."""

    def __init__(self, pace: Pace, ca_file: Path | None) -> None:
        self._paced = functools.cache(functools.partial(_paced, pace))
        self._ca_file = ca_file
        super().__init__()

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        try:
            return certificates.context(self._ca_file, os.environ, Path(DEFAULT_CA_BUNDLE_PATH))
        except ValueError as error:
            raise CertificatesError(str(error)) from error

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> HTTPConnectionPool:
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*arguments, **named))
        pool.ConnectionCls = self._paced(type(pool).ConnectionCls)
        if pool.scheme == "https":
            pool.conn_kw["ssl_context"] = self._context
        return pool

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        if proxy.lower().startswith("https:"):
            named["proxy_ssl_context"] = self._context
        return super().proxy_manager_for(proxy, **named)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave it to the context, to which requests would add authorities of its own."""


def _paced(pace: Pace, kind: type[HTTPConnection]) -> type[HTTPConnection]:
    fields: dict[str, object] = {"response_class": staticmethod(functools.partial(PacedResponse, pace=pace))}
    if kind._new_conn is HTTPConnection._new_conn:  # noqa: SLF001 - urllib3 has no other name; a SOCKS proxy has its own
        fields["_new_conn"] = _connected
    return type(kind.__name__, (kind,), fields)


def _connected(connection: Any) -> socket.socket:
    made = happy_eyeballs.connect(happy_eyeballs.resolve(connection.host, connection.port), connection.timeout)
    for option in connection.socket_options or ():
        made.setsockopt(*option)
    return made


def _in_our_words(url: str, error: BaseException) -> NetworkError:
    """Say what lies at the bottom of an error, below what the libraries wrapped around it."""
    way = "the proxy: " if isinstance(error, requests.exceptions.ProxyError) else ""
    while inner := error.__cause__ or error.__context__:
        error = inner
    if isinstance(error, TimeoutError):
        return SlowMirrorError(url, f"{way}the server is too slow")
    if isinstance(error, ssl.SSLCertVerificationError):
        return NetworkError(url, way + _not_believed(error))
    if isinstance(error, ssl.SSLError):
        return NetworkError(url, f"{way}no safe connection ({error.reason or error})")
    # what the libraries say may have the server's own words in it
    said = getattr(error, "strerror", None) or canonical.shown(str(error) or type(error).__name__)
    answered = isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.IncompleteRead)
    return NetworkError(url, f"{way}the {'answer is no HTTP' if answered else 'connection failed'} ({said})")


def _not_believed(error: ssl.SSLCertVerificationError) -> str:
    """Say why a certificate is not believed, and what to do."""
    said = error.verify_message
    if "expired" in said or "not yet valid" in said:
        return f"no safe connection: {said}, or this device's clock is wrong"
    if "issuer" in said or "self-signed" in said or "self signed" in said:
        return (
            f"no safe connection: this device does not trust who signed the certificate ({said}); if it is your own "
            "authority, name its certificate as ca_file under [network]"
        )
    return f"no safe connection ({said})"
