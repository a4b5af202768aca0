"""builder/client/edit.py: how a publisher changes a list, and that the mirror files it to the byte."""

from __future__ import annotations

import functools
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import render
from builder.catalogue import Catalogue
from builder.client import edit
from builder.client.edit import Edited, UnknownBranchError, UnknownVersionError
from builder.errors import VersionConflictError
from builder.pages import Pages
from builder.shelf import Shelves
from mirror import layout, releases
from mirror.canonical import digest
from mirror.releases import CUT, MOST, ReleaseList, Segment
from mirror.version import sort_key
from tests.support import sites
from tests.support.publishers import entry

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from builder.client.edit import Edit
    from mirror.releases import Entry
    from tests.support.sites import Package

EMPTY = ReleaseList("app", "main", ())
PACKAGES = sorted(
    (sites.package(f"{number // 10}.{number % 10}{end}") for number in range(120) for end in ("-rc1", "", "+b1", ".1")),
    key=lambda package: sort_key(package.content.version),
)
VERSIONS = [package.content.version for package in PACKAGES]


class Publisher:
    """A list as its publisher has it, and the segments that were ever made."""

    def __init__(self) -> None:
        self.newest = EMPTY
        self.made: dict[str, ReleaseList] = {}
        self.asked: list[Segment] = []

    def fetch(self, reference: Segment) -> ReleaseList:
        """Give a segment, held against what the list says of it."""
        self.asked.append(reference)
        return releases.parse_segment(self.made[reference.sha256].encode(), self.newest, reference)

    def edit(self, edited: Edited | None) -> Edited:
        """Take an edit over."""
        assert edited
        self.newest = releases.parse(edited.newest.encode())
        self.made |= {digest(part.encode()): part for part in edited.segments}
        self.asked.clear()
        return edited

    def add(self, *packages: Package) -> Edited:
        """Add releases."""
        for package in packages:
            edited = self.edit(edit.with_release(self.newest, self.fetch, entry(package)))
        return edited

    def parts(self) -> list[ReleaseList]:
        """Return the list and all its segments."""
        return [self.newest, *map(self.fetch, self.newest.older)]

    def entries(self) -> list[Entry]:
        """Return all releases, in the order in which they stand there."""
        return [each for part in self.parts() for each in part.releases]

    def versions(self) -> list[str]:
        """Return their versions."""
        return [each.version for each in self.entries()]


@functools.cache
def _begun(*numbers: int) -> Publisher:
    publisher = Publisher()
    for number in numbers:
        publisher.add(PACKAGES[number])
    return publisher


def begun(*numbers: int) -> Publisher:
    """Make a publisher with these packages."""
    publisher, made = Publisher(), _begun(*numbers)
    publisher.newest, publisher.made = made.newest, dict(made.made)
    return publisher


class Mirror:
    """A catalogue that takes lists, and all that it rendered."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.connection = catalogue.connection
        self.pages: dict[str, bytes] = {}

    def take(self, edited: Edited, *packages: Package) -> dict[str, bytes]:
        """File an edited list; returns what was rendered."""
        shelves = Shelves(self.connection)
        segments = {digest(part.encode()): part for part in edited.segments}
        contents = {package.content.version: package.content for package in packages}
        shelves.take(edited.newest, segments, contents)
        pages = Pages.of(render.changed(shelves, [package.content for package in packages]))
        rendered = {page.path: page.data for page in (*pages.immutable, *pages.pointers)}
        self.pages |= rendered
        return rendered

    def everything(self) -> dict[str, bytes]:
        """Render all pages again."""
        return {page.path: page.data for page in render.everything(Shelves(self.connection), lambda _: None)}


@contextmanager
def new_mirror() -> Iterator[Mirror]:
    """Open an empty catalogue."""
    with Catalogue.open(Path(":memory:")) as catalogue:
        yield Mirror(catalogue)


@settings(max_examples=15, deadline=None)
@given(order=st.randoms(use_true_random=False), before=st.sampled_from([0, 5, 127, 230]), steps=st.integers(1, 40))
def test_what_a_publisher_makes_is_what_the_mirror_renders(order: random.Random, before: int, steps: int) -> None:
    """Whatever is added, yanked and withdrawn, at any place: the mirror has the publisher's bytes, and only those."""
    publisher, listed = begun(*range(0, 2 * before, 2)), dict.fromkeys(VERSIONS[: 2 * before : 2], False)

    with new_mirror() as mirror:
        everything = Edited(publisher.newest, tuple(publisher.made.values()))
        mirror.take(everything, *PACKAGES[: 2 * before : 2])
        for _ in range(steps):
            package = order.choice(PACKAGES)
            chosen = package.content.version
            how: Edit | str = order.choice(["add", "yank", "withdraw"])
            if chosen not in listed:
                rendered = mirror.take(publisher.add(package), package)
                listed[chosen] = False
            elif how == "yank" and not listed[chosen]:
                yanked = edit.with_yank(publisher.newest, publisher.fetch, chosen, "it ticks")
                rendered = mirror.take(publisher.edit(yanked))
                listed[chosen] = True
            else:
                withdrawn = edit.without(publisher.newest, publisher.fetch, chosen)
                rendered = mirror.take(publisher.edit(withdrawn))
                del listed[chosen]

            assert mirror.pages[layout.release_list("app", "main")] == publisher.newest.encode()
            assert {path for path in rendered if path.startswith("releases/")} <= named(publisher)
        rendered = mirror.everything()

    assert publisher.versions() == sorted(listed, key=sort_key, reverse=True)
    assert {each.version: each.yanked is not None for each in publisher.entries()} == listed
    assert {path for path in rendered if path.startswith("releases/")} == named(publisher)
    assert rendered == {path: mirror.pages[path] for path in rendered}
    offered = [version for version in publisher.versions() if not listed[version]]
    highest = rendered.get(layout.max_version("app", "main"))
    assert highest == (PACKAGES[VERSIONS.index(offered[0])].content.canonical() if offered else b"")


def named(publisher: Publisher) -> set[str]:
    """Name the files of a list and its segments."""
    hashed = (layout.hashed_release_list("app", "main", digest(part.encode())) for part in publisher.parts())
    return {layout.release_list("app", "main"), *hashed}


def test_the_first_release_begins_a_list() -> None:
    """A branch that is not there yet has an empty list."""
    publisher = begun()
    assert publisher.add(PACKAGES[0]).newest.encode() == replace(EMPTY, releases=(entry(PACKAGES[0]),)).encode()


def test_the_129th_release_makes_a_segment_of_the_lowest_64() -> None:
    """As on a mirror that makes its lists itself; the segment goes with the list."""
    publisher = begun(*range(MOST))

    edited = publisher.add(PACKAGES[MOST])

    (segment,) = edited.segments
    assert [each.version for each in segment.releases] == VERSIONS[CUT - 1 :: -1]
    assert [each.version for each in edited.newest.releases] == VERSIONS[MOST : CUT - 1 : -1]


def test_a_high_release_asks_for_no_segment() -> None:
    """However many there are, only the list is needed."""
    publisher = begun(*range(280))

    edited = edit.with_release(publisher.newest, publisher.fetch, entry(PACKAGES[280]))

    assert edited
    assert edited.segments == ()
    assert publisher.asked == []


def test_a_backport_goes_into_its_segment() -> None:
    """The segment of its versions alone is asked for and goes with the list."""
    publisher = begun(*range(30), *range(31, 280))
    before = publisher.newest

    edited = edit.with_release(publisher.newest, publisher.fetch, entry(PACKAGES[30]))

    assert edited
    assert publisher.asked == [before.older[-1]]
    assert edited.newest.older[:-1] == before.older[:-1]
    assert edited.newest.releases == before.releases
    assert VERSIONS[30] in [each.version for each in edited.segments[0].releases]


def test_an_old_release_is_yanked_where_it_stands() -> None:
    """Its segment is made anew, and says why; those above and below stay."""
    publisher = begun(*range(280))
    before = publisher.newest.older

    edited = publisher.edit(edit.with_yank(publisher.newest, publisher.fetch, VERSIONS[100], "it ticks", VERSIONS[199]))

    (segment,) = edited.segments
    (yanked,) = [each for each in segment.releases if each.yanked is not None]
    assert (yanked.version, yanked.yanked) == (VERSIONS[100], {"reason": "it ticks", "replacement": VERSIONS[199]})
    assert len(before) == 3
    assert publisher.newest.older == (
        before[0],
        replace(before[1], sha256=digest(segment.encode()), size=len(segment.encode())),
        before[2],
    )


def test_a_yank_may_be_without_words() -> None:
    """The restriction stands all the same; said again it changes nothing, said otherwise it does."""
    publisher = begun()
    publisher.add(PACKAGES[0])

    publisher.edit(edit.with_yank(publisher.newest, publisher.fetch, VERSIONS[0]))

    assert publisher.newest.releases[0].yanked == {}
    assert edit.with_yank(publisher.newest, publisher.fetch, VERSIONS[0]) is None
    assert edit.with_yank(publisher.newest, publisher.fetch, VERSIONS[0], "it ticks")


def test_an_empty_segment_goes() -> None:
    """When its last release is withdrawn, the list does not name it any more."""
    publisher = begun(*range(MOST + 1))

    for version in VERSIONS[:CUT]:
        edited = publisher.edit(edit.without(publisher.newest, publisher.fetch, version))

    assert edited.newest.older == ()
    assert edited.segments == ()


def test_an_empty_list_takes_its_highest_segment_up() -> None:
    """A new device finds what is left where it looks first, with the words that it must know."""
    publisher = begun(*range(200))
    highest = publisher.fetch(publisher.newest.older[0])
    careful = replace(highest, needs=("signed",), extra={"zone": "a"})
    reference = replace(publisher.newest.older[0], sha256=digest(careful.encode()), size=len(careful.encode()))
    older = (reference, *publisher.newest.older[1:])
    publisher.edit(Edited(replace(publisher.newest, older=older, needs=("rollout",)), (careful,)))

    for version in [each.version for each in publisher.newest.releases]:
        edited = publisher.edit(edit.without(publisher.newest, publisher.fetch, version))

    assert edited.newest.releases == highest.releases
    assert edited.newest.older == older[1:]
    assert edited.newest.needs == ("rollout", "signed")
    assert edited.segments == ()


def test_the_last_release_leaves_an_empty_list() -> None:
    """Devices that have it keep it, and nobody is offered it."""
    publisher = begun()
    publisher.add(PACKAGES[0])

    assert publisher.edit(edit.without(publisher.newest, publisher.fetch, VERSIONS[0])).newest == EMPTY


def test_what_is_not_known_here_is_kept() -> None:
    """Keys of a newer otamirror stay where they are, in the list, its entries and its segments."""
    publisher = begun(*range(200))
    own = replace(publisher.newest.releases[1], extra={"color": "red"}, needs=("more",))
    strange = replace(
        publisher.newest,
        releases=(publisher.newest.releases[0], own, *publisher.newest.releases[2:]),
        older=tuple(replace(part, extra={"hint": 1}) for part in publisher.newest.older),
        extra={"zoo": 1},
        needs=("signed",),
    )
    publisher.edit(Edited(strange))

    publisher.add(PACKAGES[200])
    edited = publisher.edit(edit.with_yank(publisher.newest, publisher.fetch, VERSIONS[0]))

    assert edited.newest.releases[2] == own
    assert (edited.newest.extra, edited.newest.needs) == ({"zoo": 1}, ("signed",))
    assert [part.extra for part in edited.newest.older] == [{"hint": 1}] * len(strange.older)


def test_a_release_that_is_there_changes_nothing() -> None:
    """In the list or in a segment, yanked or not; with other bytes it is an error."""
    publisher = begun(*range(200))
    publisher.edit(edit.with_yank(publisher.newest, publisher.fetch, VERSIONS[0]))

    for package in (PACKAGES[0], PACKAGES[199]):
        assert edit.with_release(publisher.newest, publisher.fetch, entry(package)) is None
        with pytest.raises(VersionConflictError, match="publish it under a new version"):
            edit.with_release(publisher.newest, publisher.fetch, entry(package, size=1))


@pytest.mark.parametrize("number", [0, 79, 80, 81, 143, 144, 198, 199])
def test_a_version_in_another_spelling_is_not_signed(number: int) -> None:
    """Wherever its neighbours lie, in the list, in a segment or at the border between two."""
    publisher = begun(*range(200))
    version = PACKAGES[number].content.version
    # by its text the one comes before the version that is there, the other after it
    for other in (f"0{version}", f"v{version}"):
        with pytest.raises(VersionConflictError, match=f"the same version as {re.escape(version)},"):
            edit.with_release(publisher.newest, publisher.fetch, entry(sites.package(other)))


@pytest.mark.parametrize("version", ["99.0", "1.4-none", "0.0-a"])
def test_a_release_that_is_not_there_cannot_be_changed(version: str) -> None:
    """A slip of the keys is told, and signs nothing."""
    publisher = begun(*range(200))

    for change in (edit.with_yank, edit.without):
        with pytest.raises(UnknownVersionError, match=f"the list of app on main has no release {version}"):
            change(publisher.newest, publisher.fetch, version)


def test_a_list_that_is_not_there_cannot_be_signed_for_longer() -> None:
    """A branch that was misspelled does not come into being."""
    publisher = begun()
    with pytest.raises(UnknownBranchError, match="no release of app on main"):
        edit.renewed(EMPTY, publisher.fetch)

    publisher.add(PACKAGES[0])
    assert edit.renewed(publisher.newest, publisher.fetch) == Edited(publisher.newest)
