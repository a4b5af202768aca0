"""A mirror as plain files, under one or several URLs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient import plain
from devclient.config import Network, Remote, Settings
from devclient.errors import NetworkError, NotOnMirrorError, SettingsError
from devclient.fetcher import Fetcher
from devclient.plain import PlainMirror
from tests.support import trees
from tests.support.httpd import PORTAL, Fault
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.httpd import Server

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """A fetcher."""
    with Fetcher(Network(), "otadevice/test", time.monotonic) as made:
        yield made


def test_each_file_has_its_place(fetcher: Fetcher, tree: Path, server: Server) -> None:
    """Lists, contents and blobs are asked for where the contract puts them."""
    release = Release("1.0+build~1", b"12345")
    trees.write(tree, release)
    mirror = PlainMirror([server.url], fetcher)

    assert b'"1.0+build~1"' in mirror.release_list("app", "stable")
    content = release.content_on("app", "stable").canonical()
    assert mirror.content("app", "stable", "1.0+build~1") == content
    with mirror.blob(release.sha256, 2) as body:
        assert b"".join(body.blocks) == b"345"


def test_a_mirror_that_is_away_is_replaced_by_the_next(fetcher: Fetcher, tree: Path, server: Server) -> None:
    """URLs are tried in their order until one answers."""
    trees.write(tree, Release("1.0"))
    mirror = PlainMirror([NOBODY, server.url], fetcher)

    assert mirror.release_list("app", "stable")
    with mirror.blob(Release("1.0").sha256, 0) as body:
        assert b"".join(body.blocks) == Release("1.0").data


def test_an_answer_is_an_answer(fetcher: Fetcher, server: Server) -> None:
    """Who says that there is nothing is believed; the next mirror is not asked."""
    mirror = PlainMirror([server.url, server.url], fetcher)

    with pytest.raises(NotOnMirrorError):
        mirror.release_list("app", "stable")

    assert len(server.requests) == 1


def test_when_all_are_away_the_last_is_named(fetcher: Fetcher, server: Server) -> None:
    """The network's fault is told when no URL is left."""
    server.misbehave("/", PORTAL)

    with pytest.raises(NetworkError, match=NOBODY):
        PlainMirror([server.url, NOBODY], fetcher).release_list("app", "stable")


def test_a_content_has_the_size_of_one(fetcher: Fetcher, server: Server) -> None:
    """More than 64 KiB are not read for a content.json."""
    server.misbehave("/getVersion/", Fault(body=b"{" + b" " * 65536))

    with pytest.raises(NetworkError, match="more than 65536 bytes"):
        PlainMirror([server.url], fetcher).content("app", "stable", "1.0")


def test_a_device_goes_only_where_its_owner_sent_it(fetcher: Fetcher) -> None:
    """A URL that is not in the settings is no mirror."""
    folder = Path("/nowhere")
    settings = Settings(folder / "otadevice.toml", folder, folder, (), (Remote("main", (NOBODY,)),))

    assert isinstance(plain.mirror("", settings, fetcher), PlainMirror)
    assert isinstance(plain.mirror(NOBODY, settings, fetcher), PlainMirror)
    with pytest.raises(SettingsError, match=r"no mirror is at http://other\.example"):
        plain.mirror("http://other.example", settings, fetcher)
