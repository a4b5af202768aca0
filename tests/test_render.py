"""Rendering: which pages there are of what is filed, and what stands in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import render
from builder.catalogue import Catalogue
from builder.pages import Page, Pages
from builder.shelf import Head, Shelf, Shelves
from mirror import canonical, layout, releases
from mirror.releases import Entry, ReleaseList, Segment
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = tuple(Entry(version, "a" * 64, "b" * 64, 7, "2026-11-23T07:00:00Z") for version in ("1.1", "1.0"))
SHELF = Shelf(1, "app", "main", {}, tuple(releases.fragment(entry) for entry in ENTRIES))
LISTED = ReleaseList("app", "main", ENTRIES)
OLDER = Segment("0.1", "0.9", 64, "c" * 64, 5)


@pytest.fixture
def shelves() -> Iterator[Shelves]:
    """File some releases in two packages."""
    with Catalogue.open(Path(":memory:")) as catalogue:
        shelves = Shelves(catalogue.connection)
        for name in ("lib", "app"):
            for number in range(130):
                package = sites.package(f"1.{number}", name).content
                shelves.add(package, Entry(package.version, package.digest, package.sha256, 9, "2026-11-23T07:00:00Z"))
        list(render.changed(shelves, ()))
        yield shelves


def test_a_content_is_served_as_it_is_catalogued() -> None:
    """Its bytes are those whose hash the release list names."""
    content = sites.package("1.0+b", description="für alle").content

    page = render.content("app", "main", "1.0+b", content.canonical().decode())

    assert page == Page("getVersion/app/main/1.0+b.json", content.canonical())
    assert canonical.digest(page.data) == content.digest


def test_the_list_is_served_under_both_names() -> None:
    """Devices fetch it by its hash, plain clients by the branch: the bytes are the same."""
    pages = render.pointers(Head(SHELF, "", None))

    data = LISTED.encode()
    assert pages == [
        Page(layout.hashed_release_list("app", "main", canonical.digest(data)), data),
        Page(layout.release_list("app", "main"), data),
        Page(layout.max_version("app", "main"), b""),
    ]


def test_the_highest_offered_content_is_a_pointer() -> None:
    """It stands beside the list if there is one."""
    *_, page = render.pointers(Head(SHELF, "", "{}\n"))

    assert page == Page("maxVersion/app/main.json", b"{}\n")


def test_the_list_names_its_older_segments() -> None:
    """What was kept of them is joined in as it is."""
    _, page, *_ = render.pointers(Head(SHELF, ",".join([releases.fragment(OLDER)] * 2), None))

    assert json.loads(page.data)["older"] == [OLDER.fields()] * 2


def test_keys_that_are_not_known_stay() -> None:
    """A newer builder's keys, and the words that a device must know, are in what an older one renders."""
    frame = {"zone": "x", "needs": ["signed"]}
    shelf = Shelf(1, "app", "main", frame, SHELF.entries)

    _, page, *_ = render.pointers(Head(shelf, "", None))
    segment, _ = render.segment(shelf)

    for data in (page.data, segment.data):
        assert releases.parse(data) == ReleaseList("app", "main", ENTRIES, (), ("signed",), {"zone": "x"})


def test_a_segment_is_a_list_without_older_ones() -> None:
    """The reference to it tells its ends, its length, its hash and its size."""
    page, reference = render.segment(SHELF)

    assert page.data == LISTED.encode()
    assert page.path == layout.hashed_release_list("app", "main", canonical.digest(page.data))
    assert reference == Segment("1.0", "1.1", 2, canonical.digest(page.data), len(page.data))


def test_everything_is_every_page_once(shelves: Shelves) -> None:
    """Contents, segments, lists and highest of every branch; progress counts the releases."""
    told: list[int] = []

    pages = list(render.everything(shelves, told.append))

    assert len({page.path for page in pages}) == len(pages) == 2 * (130 + 1 + 3)
    assert sum(told) == 260


def test_the_same_catalogue_gives_the_same_bytes(shelves: Shelves) -> None:
    """Rendering has no clock and no chance in it."""
    assert list(render.everything(shelves, print)) == list(render.everything(shelves, print))


def test_everything_comes_branch_by_branch(shelves: Shelves) -> None:
    """Memory holds one branch at a time, however many there are."""
    rendered = render.everything(shelves, lambda _: None)

    packages = [page.path.split("/")[1] for page in rendered]

    assert packages == ["app"] * 134 + ["lib"] * 134


def test_of_two_pages_for_a_path_the_last_counts() -> None:
    """Publishes that go together are coalesced; pointers keep the order in which they came."""
    first, second = Page("releases/app/main.json", b"1"), Page("maxVersion/app/main.json", b"1")
    newer = Page(first.path, b"2")
    immutable = Page("getVersion/app/main/1.json", b"1")

    assert Pages.of([first, second, immutable, newer]) == Pages((immutable,), (newer, second))
    assert not Pages.of([])
    assert Pages.of([first])
    assert Pages.of([immutable])
