"""Host configurations: what may stand in them, and that nginx takes them as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.web import host
from mirror import layout
from mirror.files import Files
from tests.serving.wire import exchange
from tests.support import nginx


def test_the_same_site_gives_the_same_configuration() -> None:
    """A configuration that is made again can be compared with the one in use."""
    assert host.nginx(root=Path("/srv/mirror")) == host.nginx(root=Path("/srv/mirror"))


def test_settings_of_the_site_stand_in_the_configuration() -> None:
    """Address, server name, folder and cache time are those that were given."""
    text = host.nginx(
        root=Path("/srv/m"), listen="[::]:8080", server_name="ota.example *.ota.example", pointer_max_age=9
    )

    for line in (
        "listen [::]:8080;",
        "server_name ota.example *.ota.example;",
        'root "/srv/m";',
        '"public, max-age=9"',
    ):
        assert line in text


@pytest.mark.parametrize("root", ["mirror", "/srv/$uri", "/srv/a\nb", "/srv/a\x7f", "/srv/\udcff"])
def test_a_folder_that_nginx_would_misread_is_refused(root: str) -> None:
    """A path that cannot be quoted, or that nginx would resolve elsewhere, is an error that says so."""
    with pytest.raises(host.HostError):
        host.nginx(root=Path(root))


@pytest.mark.parametrize("listen", ["", "80; root /", "80 }", "$port", "80\n", "80 #", '"80"', " 80"])
def test_a_listen_address_cannot_carry_directives(listen: str) -> None:
    """What follows `listen` is addresses and words, and no other directive."""
    with pytest.raises(host.HostError):
        host.nginx(root=Path("/srv/mirror"), listen=listen)


@pytest.mark.parametrize("server_name", ["", "a;b", "a b;", "~^a", "$host", "a\n", "a}", '"a"'])
def test_a_server_name_cannot_carry_directives(server_name: str) -> None:
    """What follows `server_name` is names, and no other directive."""
    with pytest.raises(host.HostError):
        host.nginx(root=Path("/srv/mirror"), server_name=server_name)


def test_a_negative_cache_time_is_refused() -> None:
    """Caches are never told a time before now."""
    with pytest.raises(host.HostError):
        host.nginx(root=Path("/srv/mirror"), pointer_max_age=-1)


def test_two_mirrors_share_an_nginx(tmp_path: Path) -> None:
    """Two generated files stand side by side, each mirror with its own files and cache time."""
    roots = [tmp_path / "one", tmp_path / "other"]
    for root in roots:
        Files().make_folder(root)
        Files().write(root / layout.INDEX_PAGE, root.name.encode())

    def both(address: str) -> str:
        one = host.nginx(root=roots[0], listen=address, server_name="one.test", pointer_max_age=1)
        return one + host.nginx(root=roots[1], listen=address, server_name="other.test", pointer_max_age=2)

    with nginx.running(both, tmp_path) as server:
        answers = [exchange(server.port, "/", headers={"Host": f"{root.name}.test"}) for root in roots]

    assert [answer.body for answer in answers] == [b"one", b"other"]
    assert [answer.headers["cache-control"] for answer in answers] == ["public, max-age=1", "public, max-age=2"]
