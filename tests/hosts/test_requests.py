"""What each host answers to the requests that devices, browsers and other clients make."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from mirror import layout
from tests.hosts import own
from tests.hosts.scene import BIG, ODD, get
from tests.support import sites

if TYPE_CHECKING:
    from tests.hosts.conftest import Hosted
    from tests.hosts.scene import Mirror

POINTER, FOREVER = "public, max-age=60", "public, max-age=31536000, immutable"
CONTENT = layout.get_version("app", "main", ODD.content.version)
UNKNOWN = {
    layout.blob("0" * 64): "no-store",
    layout.get_version("app", "main", "9+9"): "no-store",
    layout.metadata("root", 9): "no-store",
    layout.hashed_release_list("app", "main", "0" * 64): "no-store",
    f"{layout.TRANSFERS}/{'0' * 64}": "no-store",
    layout.max_version("app9", "main"): POINTER,
    layout.package_page("app9"): POINTER,
    "wp-login.php": "no-store",
}


def spelled(path: str) -> str:
    """Spell a path as devices do."""
    return f"/{layout.url_path(path)}"


def test_every_class_of_file_is_served_whole(hosted: Hosted) -> None:
    """Each file of the mirror has one address and its own bytes; hosts that we set up say how long they may be kept."""
    for path in sites.paths(hosted.mirror.root):
        found = get(hosted.url, spelled(path), Accept_Encoding="identity")

        assert (found.status, found.body) == (200, (hosted.mirror.root / path).read_bytes()), path
        assert not hosted.host.types or not path.endswith(".json") or "json" in found.headers["content-type"], path
        if hosted.host.caching:
            expected = FOREVER if layout.kind(path) is layout.Kind.IMMUTABLE else POINTER
            assert found.headers["cache-control"] == expected, path


def test_a_plus_is_served_in_both_spellings(hosted: Hosted) -> None:
    """Devices encode it; other clients may not, and most hosts take both for the same."""
    expected = (hosted.mirror.root / CONTENT).read_bytes()

    found = [get(hosted.url, target).body for target in (f"/{CONTENT}", spelled(CONTENT))]

    assert "%2B" in spelled(CONTENT)
    assert found == [expected] * 2


def test_a_part_of_a_package_is_served(hosted: Hosted) -> None:
    """A download that was cut goes on; a host without ranges sends all of it again, and says so by its status."""
    path = spelled(layout.blob(BIG.content.sha256))

    found = get(hosted.url, path, Range="bytes=500000-")

    if hosted.host.ranges:
        assert (found.status, found.body) == (206, BIG.data[500_000:])
        assert found.headers["content-range"] == f"bytes 500000-{len(BIG.data) - 1}/{len(BIG.data)}"
    else:
        assert (found.status, found.body) == (200, BIG.data)


def test_who_has_a_file_is_told_so(hosted: Hosted) -> None:
    """By its ETag or by its time, as the host gave them, a poll is answered 304 without a body."""
    first = get(hosted.url, f"/{layout.TIMESTAMP}", Accept_Encoding="identity")
    has = {"If_Modified_Since": first.headers["last-modified"]}
    if hosted.host.etags:
        has["If_None_Match"] = first.headers["etag"]

    second = get(hosted.url, f"/{layout.TIMESTAMP}", Accept_Encoding="identity", **has)

    assert (second.status, second.body) == (304, b"")


def test_compressed_or_not_it_is_the_same(hosted: Hosted) -> None:
    """Who accepts gzip gets the same bytes, packed or not."""
    path = layout.metadata("targets", 1)

    found = get(hosted.url, f"/{path}", Accept_Encoding="gzip")

    body = gzip.decompress(found.body) if found.headers.get("content-encoding") == "gzip" else found.body
    assert body == (hosted.mirror.root / path).read_bytes()


@pytest.mark.parametrize("path", UNKNOWN)
def test_what_is_not_there_is_a_404(path: str, hosted: Hosted) -> None:
    """Hosts that we set up let nobody keep it, unless it is of a file that comes and goes."""
    found = get(hosted.url, spelled(path))

    assert found.status == 404
    if hosted.host.caching:
        assert found.headers["cache-control"] == UNKNOWN[path]
        assert (b"There is nothing under this address" in found.body) == (
            path in {"wp-login.php", "packages/app9/index.html"}
        )


@pytest.mark.parametrize(
    "target", ["/maxVersion?package=app&branch=main", "/getVersion?package=app&branch=main&version=1.0"]
)
def test_seed_addresses_are_answered_where_queries_are_mapped(target: str, hosted: Hosted) -> None:
    """Elsewhere the answer is no content.json at all; the file form is there on every host."""
    expected = (hosted.mirror.root / layout.get_version("app", "main", "1.0")).read_bytes()
    highest = (hosted.mirror.root / layout.max_version("app", "main")).read_bytes()

    found = get(hosted.url, target)

    is_content = found.body in {expected, highest} and found.status == 200
    assert is_content == hosted.host.seed
    assert get(hosted.url, f"/{layout.max_version('app', 'main')}").body == highest


def test_an_object_store_takes_a_plus_for_a_space(mirror: Mirror) -> None:
    """So the encoded one is the only one that every host understands, and what is missing is forbidden there."""
    with own.serving(own.plus_is_space(mirror.root)) as server:
        assert get(server.url, f"/{CONTENT}").status == 403
        assert get(server.url, spelled(CONTENT)).body == (mirror.root / CONTENT).read_bytes()
        assert get(server.url, spelled(layout.metadata("root", 9))).status == 403


def test_a_host_of_applications_has_a_page_for_everything(mirror: Mirror) -> None:
    """It answers 200 to what is not there, so that nobody can tell from the status."""
    with own.serving(own.page_for_all(mirror.root)) as server:
        assert (get(server.url, "/metadata/9.root.json").status, get(server.url, f"/{CONTENT}").status) == (200, 200)


def test_a_cache_without_the_query_in_its_key_mixes_packages_up(mirror: Mirror) -> None:
    """Why docs/serving.md asks for it: the second package is answered with the content.json of the first."""

    def mapped(asked: own.Asked) -> own.Answered:
        package = asked.target.partition("package=")[2].partition("&")[0]
        return own.folder(mirror.root)(own.Asked(f"/{layout.max_version(package, 'main')}"))

    with own.serving(own.Cache(mapped, lambda asked: asked.path)) as server:
        found = [get(server.url, f"/maxVersion?package={name}&branch=main").body for name in ("app", "big")]

    assert found == [(mirror.root / layout.max_version("app", "main")).read_bytes()] * 2
