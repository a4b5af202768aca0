"""How a publisher's machine asks a host: by the proxies and the authorities that it has for all programs.

Nothing else is taken from its surroundings: no password of a .netrc goes anywhere, no cookie is kept, and redirects are
left to the caller.
"""

from __future__ import annotations

import os
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies

from builder.client.answers import RefusedError
from builder.values import is_loopback
from mirror import certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from urllib3.connectionpool import HTTPConnectionPool


class PushSession(requests.Session):
    """A session with the host of one URL."""

    def __init__(self, url: str, adapter: Callable[[ssl.SSLContext | None], HTTPAdapter]) -> None:
        """Begin a session with the host of `url`; this machine itself is asked through no proxy.

        Raises:
            RefusedError: the environment names authorities that are not there.
        """
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        parts = urlsplit(url)
        if not is_loopback(parts.hostname or ""):
            self.proxies.update(get_environ_proxies(url))
        try:
            public = Path(DEFAULT_CA_BUNDLE_PATH)
            context = certificates.context(None, os.environ, public) if parts.scheme == "https" else None
        except ValueError as error:
            raise RefusedError(f"{url} cannot be asked: {error}") from error
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter(context))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as requests names it
        """Return that there is none."""
        return None


class Trusting(HTTPAdapter):
    """Believes what this machine's system believes."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> HTTPConnectionPool:
        """Return where connections come from."""
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*arguments, **named))
        if pool.scheme == "https":
            pool.conn_kw["ssl_context"] = self._context
        return pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave it to the context, to which requests would add authorities of its own."""
