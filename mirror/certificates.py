"""Which certificate authorities are believed when a server is asked by https.

Those of one file, where a person has named it; else those that the system trusts, as OpenSSL, curl and Go find them:
all that the environment names, by SSL_CERT_FILE and SSL_CERT_DIR say, or its store. It makes TLS contexts and opens no
connection.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BUNDLES = tuple(
    map(
        Path,
        (
            "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch, Gentoo
            "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "/etc/ssl/ca-bundle.pem",  # SUSE
            "/etc/ssl/cert.pem",  # Alpine
        ),
    )
)
"""Where systems keep all that they trust in one file; the first that is there counts."""

_FOLDER = "/etc/ssl/certs"
_FOLDERS = "SSL_CERT_DIR"
_NAMES = ("SSL_CERT_FILE", _FOLDERS, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def context(ca_file: Path | None, environ: Mapping[str, str], public: Path) -> ssl.SSLContext:
    """Make a TLS context for clients.

    Args:
        ca_file: the only file of certificates to believe; None for what the system trusts.
        environ: the variables of the environment.
        public: a list of public authorities, believed beside the system's store, which on old devices lacks new ones.

    Raises:
        ValueError: a file or folder that was named has no certificates; the message says which.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # as curl: who trusts an authority in the middle of a chain need not trust the one above it
    made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if ca_file:
        _believe_file(made, ca_file, "")
    else:
        _believe_the_system(made, environ, public)
    return made


def _believe_the_system(made: ssl.SSLContext, environ: Mapping[str, str], public: Path) -> None:
    named = [name for name in _NAMES if environ.get(name)]
    for name in named:
        for path in environ[name].split(os.pathsep) if name == _FOLDERS else [environ[name]]:
            _believe(made, Path(path), f"{name} names ")
    if _FOLDERS not in named:
        # looked into when a certificate is looked for; that it is not there is no error
        for place in {_FOLDER, ssl.get_default_verify_paths().openssl_capath}:
            made.load_verify_locations(capath=place)
    if not named:
        for file in (next(filter(Path.exists, BUNDLES), public), public):
            with contextlib.suppress(ValueError):
                _believe_file(made, file, "")


def _believe(made: ssl.SSLContext, path: Path, named: str) -> None:
    (_believe_folder if path.is_dir() else _believe_file)(made, path, named)


def _believe_file(made: ssl.SSLContext, path: Path, named: str) -> None:
    try:
        made.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{named}{path}, which holds no certificates in the PEM form") from None
    except OSError as error:
        raise ValueError(f"{named}{path}, which cannot be read: {error.strerror}") from error


def _believe_folder(made: ssl.SSLContext, path: Path, named: str) -> None:
    try:
        files = sorted(path.iterdir())
    except OSError as error:
        raise ValueError(f"{named}{path}, which cannot be read: {error.strerror}") from error
    made.load_verify_locations(capath=path)
    if any(_HASHED.fullmatch(file.name) for file in files):
        return
    # without the names that OpenSSL looks for, which `openssl rehash` makes
    found = list(_those_with_certificates(made, files))
    if not found:
        raise ValueError(f"{named}{path}, which holds no certificates in the PEM form")


def _those_with_certificates(made: ssl.SSLContext, files: list[Path]) -> Iterator[Path]:
    for file in files:
        if file.is_file():
            with contextlib.suppress(ValueError):
                _believe_file(made, file, "")
                yield file
