"""Web servers answer alike: nginx with the generated configuration, and the embedded server."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror import layout
from mirror.files import Files
from tests.serving import tree
from tests.serving.case import POINTER
from tests.serving.table import CASES
from tests.serving.wire import exchange

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving.case import Case

_WORDS = [
    "package=", "branch=", "version=", "package", "app", "main", "1.0", "1+0", "2.0~rc1+b.1-x_y", "&", "=", "?",
    "/", "//", "+", "~", "-", ".", "..", "_", "%2B", "%2b", "%2E", "%7e", "%2F", "%41", "%00", "%", "%2",
    "#", ";", "\\", ":", "*", "maxVersion", "getVersion", "otafiles", "metadata", "releases", "packages",
    "index.html", ".json", tree.BLOB_SHA256,
]  # fmt: skip
_PARAMETERS = [
    "package=app", "package=App", "package=my-app_2.x", "package=my%2dapp_2%2Ex", "package=", "package", "Package=app",
    "branch=main", "branch=main2", "branch=..", "branch", "version=1.0", "version=1%2e0", "version=1+0",
    "version=1%2B0", "version=%41", "version=1~0", "x=y", "",
]  # fmt: skip
TARGETS = st.one_of(
    st.tuples(
        st.sampled_from(["/"] * 5 + ["", "?", "http://mirror.test/", "http://mirror.test:80/", "http:/", "//"]),
        st.lists(st.sampled_from(_WORDS), max_size=10).map("".join),
    ).map("".join),
    st.tuples(
        st.sampled_from(["/maxVersion?", "/getVersion?"]),
        st.lists(st.sampled_from(_PARAMETERS), max_size=6).map("&".join),
    ).map("".join),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20),
).filter(bool)
RANGES = st.lists(st.sampled_from(["0", "9", "1023", "1024", "-", "-", ",", " ", "x"]), max_size=7).map("".join)

_fuzzed = settings(
    max_examples=300,
    deadline=None,  # no test depends on speed
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_every_server_answers_as_the_table_says(port: int, case: Case) -> None:
    """A request has one answer, whichever server hosts the mirror."""
    answer = exchange(port, case.target, case.method, case.sent)

    assert answer.status == case.status
    assert {name: answer.headers.get(name) for name in case.headers} == case.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert case.body is None or answer.body == case.body
    assert tree.SECRET not in answer.body


def test_the_table_has_each_case_once() -> None:
    """No row of the table has the name of another, so a failure names its row."""
    abouts = [case.about for case in CASES]

    assert sorted(abouts) == sorted(set(abouts))


@given(target=TARGETS)
@_fuzzed
def test_servers_agree_on_any_target(nginx_port: int, embedded_port: int, target: str) -> None:
    """Whatever is asked for, the embedded server answers as nginx does."""
    one, other = (exchange(port, target) for port in (nginx_port, embedded_port))

    assert one.status == other.status
    for header in ("cache-control", "etag", "last-modified"):
        assert one.headers.get(header) == other.headers.get(header)
    assert one.status != 200 or one.body == other.body
    assert tree.SECRET not in one.body + other.body


@given(ranges=RANGES)
@_fuzzed
def test_servers_agree_on_any_range(nginx_port: int, embedded_port: int, ranges: str) -> None:
    """Whatever range is asked for, the embedded server hands out the bytes that nginx does."""
    path, sent = f"/{layout.blob(tree.BLOB_SHA256)}", {"Range": f"bytes={ranges}"}

    one, other = (exchange(port, path, headers=sent) for port in (nginx_port, embedded_port))

    assert one.status == other.status
    assert one.headers.get("content-range") == other.headers.get("content-range")
    assert one.status == 416 or one.body == other.body


def test_an_unsatisfiable_range_is_not_cached(port: int) -> None:
    """A cache that kept a 416 would refuse the file itself to whoever asks next."""
    answer = exchange(port, f"/{layout.blob(tree.BLOB_SHA256)}", headers={"Range": "bytes=5000-"})

    assert "no-store" in answer.headers["cache-control"].split(", ")


@pytest.mark.parametrize("target", ["/\xe9", "/maxVersion?package=\xe9&branch=main", "/otafiles/\x7f", "/\x01"])
def test_bytes_that_no_url_holds_are_refused(port: int, target: str) -> None:
    """A target of other than visible ASCII characters is 400."""
    assert exchange(port, target).status == 400


def test_a_replaced_pointer_is_served_at_once(port: int, mirror_root: Path) -> None:
    """Whoever asks after a publish gets what was published, however lately the file was asked for before."""
    name = layout.max_version("app", f"replaced-{port}")
    Files().write(mirror_root / name, b"one\n")
    before = exchange(port, f"/{name}")
    Files().replace(mirror_root / name, b"other\n")

    after = exchange(port, f"/{name}", headers={"If-None-Match": before.headers["etag"]})

    assert (before.body, after.body) == (b"one\n", b"other\n")


def test_an_answer_of_404_ends_with_the_first_publish(port: int, mirror_root: Path) -> None:
    """A file that was missing a moment ago is served once it is there."""
    name = layout.max_version("app", f"new-{port}")
    before = exchange(port, f"/maxVersion?package=app&branch=new-{port}")
    Files().write(mirror_root / name, b"new\n")

    after = exchange(port, f"/maxVersion?package=app&branch=new-{port}")

    assert (before.status, before.headers["cache-control"]) == (404, POINTER)
    assert (after.status, after.body) == (200, b"new\n")


def test_packages_are_never_compressed(port: int) -> None:
    """A package arrives as it is, so that its ranges count the same bytes everywhere."""
    answer = exchange(port, f"/{layout.blob(tree.BLOB_SHA256)}", headers={"Accept-Encoding": "gzip"})

    assert "content-encoding" not in answer.headers
    assert answer.body == tree.BLOB


def test_nginx_compresses_lists_for_who_asks(nginx_port: int) -> None:
    """A list is sent compressed to a client that takes gzip, and caches are told that it depends on that."""
    path = layout.release_list("app", "main")
    answer = exchange(nginx_port, f"/{path}", headers={"Accept-Encoding": "gzip", "Via": "1.1 cdn"})

    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(answer.body) == tree.FILES[path]


def test_the_etag_of_a_compressed_list_is_known(nginx_port: int) -> None:
    """A client that got a compressed list is answered 304 until the list changes."""
    path = f"/{layout.release_list('app', 'main')}"
    compressed = exchange(nginx_port, path, headers={"Accept-Encoding": "gzip"})

    again = exchange(nginx_port, path, headers={"If-None-Match": compressed.headers["etag"]})

    assert (compressed.status, again.status) == (200, 304)


def test_nginx_does_not_tell_its_version(nginx_port: int) -> None:
    """What could be attacked is not advertised."""
    assert exchange(nginx_port, "/").headers["server"] == "nginx"
