"""Which authorities are believed, with servers whose certificates an authority of the test's has signed."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror import certificates
from tests.support import authority
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.authority import Authority

NOTHING = Path("/nonexistent")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no system knows."""
    return authority.make(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another one."""
    return authority.make(tmp_path_factory.mktemp("other"), "other")


def believes(context: ssl.SSLContext, server: Authority) -> bool:
    """Shake hands with a server; returns whether it is believed."""
    here, there = socket.socketpair()

    def serve() -> None:
        with contextlib.suppress(OSError):
            server.context.wrap_socket(there, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        context.wrap_socket(here, server_hostname="127.0.0.1").close()
    except ssl.SSLCertVerificationError:
        return False
    else:
        return True
    finally:
        here.close()
        thread.join()
        there.close()


def test_a_stranger_is_not_believed(ours: Authority) -> None:
    """What the system trusts are those that are in its store."""
    assert not believes(certificates.context(None, {}, NOTHING), ours)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_names_a_file(ours: Authority, name: str) -> None:
    """As for OpenSSL, curl, Go and requests."""
    assert believes(certificates.context(None, {name: str(ours.file)}, NOTHING), ours)


def test_all_that_is_named_counts(ours: Authority, other: Authority) -> None:
    """Whoever sets one variable need not know which others are set already."""
    environ = {"REQUESTS_CA_BUNDLE": str(other.file), "SSL_CERT_FILE": str(ours.file)}
    context = certificates.context(None, environ, NOTHING)

    assert believes(context, ours)
    assert believes(context, other)


@pytest.mark.parametrize("rehashed", [True, False])
def test_the_environment_names_folders(ours: Authority, other: Authority, tmp_path: Path, *, rehashed: bool) -> None:
    """Several, with the names that OpenSSL wants or with any."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, each in zip(folders, (ours, other), strict=True):
        folder.mkdir()
        shutil.copy(each.file, folder / "company.pem")
        (folder / "README").write_text("no certificate")
        if rehashed:
            subprocess.run([require("openssl"), "rehash", folder], check=True, capture_output=True)
    context = certificates.context(None, {"SSL_CERT_DIR": ":".join(map(str, folders))}, NOTHING)

    assert believes(context, ours)
    assert believes(context, other)


def test_the_setting_is_believed_alone(ours: Authority, other: Authority) -> None:
    """Who names an authority wants no others: not those of the environment either."""
    context = certificates.context(ours.file, {"SSL_CERT_FILE": str(other.file)}, other.file)

    assert believes(context, ours)
    assert not believes(context, other)
    assert context.cert_store_stats()["x509"] == 1


def test_a_list_of_public_authorities_comes_last(ours: Authority, other: Authority) -> None:
    """A device whose system has no store, or an old one, finds its mirror all the same; not where others are named."""
    assert believes(certificates.context(None, {}, ours.file), ours)
    assert not believes(certificates.context(None, {"SSL_CERT_FILE": str(other.file)}, ours.file), ours)


@pytest.mark.parametrize("name", ["ca_file", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_what_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    """With what names it: nobody looks for a certificate that was never read."""
    gone = tmp_path / "gone"
    environ: Mapping[str, str] = {} if name == "ca_file" else {name: str(gone)}

    with pytest.raises(ValueError, match=f"{gone}, which cannot be read: No such file") as caught:
        certificates.context(gone if name == "ca_file" else None, environ, NOTHING)
    assert name == "ca_file" or str(caught.value).startswith(f"{name} names ")


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_holds_no_certificates_is_told(tmp_path: Path, content: bytes) -> None:
    """Whatever it is instead."""
    (tmp_path / "ca.pem").write_bytes(content)

    with pytest.raises(ValueError, match="no certificates in the PEM form"):
        certificates.context(tmp_path / "ca.pem", {}, NOTHING)
    with pytest.raises(ValueError, match="no certificates in the PEM form"):
        certificates.context(None, {"SSL_CERT_DIR": str(tmp_path)}, NOTHING)
