"""What servers learn of a device, and how it reaches them: against real servers and proxies."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devclient.errors import CertificatesError, NetworkError
from devclient.settings.config import Network
from devclient.web.fetcher import Fetcher
from tests.support import authority, httpd
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.authority import Authority
    from tests.support.httpd import Server

JSON = b'{"package":1}\n'
_NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the machine's own environment says of networks."""
    for name in (*_NAMES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def files(tree: Path) -> None:
    """Two files to fetch."""
    (tree / "list.json").write_bytes(JSON)
    (tree / "other.json").write_bytes(JSON)


@contextlib.contextmanager
def fetching(**settings: Any) -> Iterator[Fetcher]:
    """Begin a session with these settings of the network."""
    with Fetcher(replace(Network(), **settings), "otadevice/test", time.monotonic) as made:
        yield made


def fetched(url: str, **settings: Any) -> bytes | None:
    """Fetch the file by a session of its own."""
    with fetching(**settings) as fetcher:
        return fetcher.ask(f"{url}/list.json", limit=100).data


# what servers learn


def test_no_password_of_a_netrc_goes_anywhere(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to the mirror nor to where it redirects, which may be any machine that the file names."""
    machines = "machine localhost login root password s3cret\nmachine 127.0.0.1 login root password s3cret\n"
    (tmp_path / ".netrc").write_text(f"{machines}default login root password s3cret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.misbehave("/list.json", Fault(status=302, headers={"Location": f"{elsewhere}/other.json"}), times=1)

    with fetching() as fetcher:
        fetcher.ask(f"{server.url}/list.json", limit=100)

    assert [request.path for request in server.requests] == ["/list.json", "/other.json"]
    assert [request.authorization for request in server.requests] == ["", ""]


def test_no_cookie_is_kept(server: Server) -> None:
    """Or a mirror could tell devices apart, that ask without a name; not along a redirect either."""
    cookie = {"Set-Cookie": "track=abc; Path=/"}
    server.misbehave("/", Fault(status=302, headers={**cookie, "Location": "/list.json"}), times=1)
    server.misbehave("/", Fault(headers=cookie))

    with fetching() as fetcher:
        for _ in range(2):
            fetcher.ask(f"{server.url}/list.json", limit=100)

    assert [request.cookie for request in server.requests] == ["", "", ""]


@pytest.mark.parametrize("offset", [0, 5])
@pytest.mark.parametrize("raw", [b"\x1b]0;pwned\x07hello (main): installed 9.9\r\n\r\n", b"HTTP/1.1 \x1b[2J 1\r\n\r\n"])
def test_what_a_server_says_is_shown_and_not_done(server: Server, raw: bytes, offset: int) -> None:
    """Nothing of it can move the cursor of a terminal or write a line of its own into a log."""
    server.misbehave("/", Fault(raw=raw))

    with (
        fetching() as fetcher,
        pytest.raises(NetworkError) as caught,
        fetcher.stream(f"{server.url}/list.json", offset),
    ):
        pass
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("location", ["file:///\x1b]0;pwned\x07", "http://a\x1b[2J/", "\x1b"])
def test_where_a_server_redirects_to_is_shown_and_not_done(server: Server, location: str) -> None:
    """Wherever that would be."""
    server.misbehave("/", Fault(status=302, headers={"Location": location}))

    with pytest.raises(NetworkError) as caught:
        fetched(server.url)
    assert str(caught.value).isprintable()


# proxies: one that hands on what it is asked for as a whole URL


@pytest.fixture
def proxy(tree: Path) -> Iterator[Server]:
    """A proxy that has the mirror's files itself."""
    (tree / "http:" / "mirror.invalid").mkdir(parents=True)
    (tree / "http:" / "mirror.invalid" / "list.json").write_bytes(JSON)
    with httpd.serving(tree) as running:
        yield running


def test_the_proxy_of_the_environment_is_used(proxy: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for the whole URL, of a host whose address it alone may know."""
    monkeypatch.setenv("http_proxy", proxy.url)

    assert fetched("http://mirror.invalid") == JSON
    assert [request.path for request in proxy.requests] == ["http://mirror.invalid/list.json"]


def test_the_proxy_of_the_settings_is_used(proxy: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than that of the environment."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert fetched("http://mirror.invalid", proxy=proxy.url) == JSON


def test_hosts_can_be_left_out(proxy: Server, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """By no_proxy, whoever names the proxy; and the settings can leave out all."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("http_proxy", proxy.url)
    assert fetched(server.url) == fetched(server.url, proxy=proxy.url) == JSON

    monkeypatch.delenv("no_proxy")
    assert fetched(server.url, proxy="none") == JSON
    assert proxy.requests == []


def test_a_password_of_a_proxy_goes_to_the_proxy(proxy: Server, server: Server) -> None:
    """And is in no message."""
    with_password = proxy.url.replace("//", "//user:s3cret@")
    assert fetched("http://mirror.invalid", proxy=with_password) == JSON
    assert proxy.requests[0].authorization == ""

    with pytest.raises(NetworkError, match="the proxy") as caught:
        fetched("https://mirror.invalid", proxy="http://user:s3cret@127.0.0.1:1")
    assert "s3cret" not in str(caught.value)


def test_a_proxy_that_wants_a_sign_in_is_the_networks(proxy: Server) -> None:
    """It passes by itself, or its owner has to act: the mirror's operator cannot."""
    proxy.misbehave("/", Fault(status=407))
    proxy.misbehave("http:", Fault(status=407))

    with pytest.raises(NetworkError, match="407"):
        fetched("http://mirror.invalid", proxy=proxy.url)


# authorities


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no system knows."""
    return authority.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def safe(tree: Path, ours: Authority) -> Iterator[Server]:
    """A server whose certificate it has signed."""
    with httpd.serving(tree, tls=ours.context) as running:
        yield running


def test_an_authority_of_ones_own_is_believed(safe: Server, ours: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a setting, or as the system is told of it."""
    assert fetched(safe.url, ca_file=ours.file) == JSON

    monkeypatch.setenv("SSL_CERT_FILE", str(ours.file))
    assert fetched(safe.url) == JSON


def test_whom_nobody_vouches_for_is_not_believed(safe: Server) -> None:
    """And the message says what to do if it is right."""
    with pytest.raises(NetworkError, match=r"does not trust who signed .* ca_file"):
        fetched(safe.url)


def test_a_certificate_of_another_host_is_not_believed(safe: Server, ours: Authority) -> None:
    """Whoever has signed it."""
    with pytest.raises(NetworkError, match="no safe connection"):
        fetched(re.sub("127.0.0.1", "localhost", safe.url), ca_file=ours.file)


def test_a_file_of_authorities_that_is_not_there_is_told(safe: Server, server: Server, tmp_path: Path) -> None:
    """Where it is needed, and nowhere else."""
    gone = tmp_path / "gone.pem"
    with pytest.raises(CertificatesError, match=f"{gone}, which cannot be read"):
        fetched(safe.url, ca_file=gone)

    assert fetched(server.url, ca_file=gone) == JSON


# addresses


def test_a_mirror_may_have_ipv6_only(tree: Path) -> None:
    """Its address stands in brackets in the URL."""
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no ::1")
    with httpd.serving(tree, host="::1") as running:
        assert running.url.startswith("http://[::1]:")
        assert fetched(running.url) == JSON
