"""How releases are filed: which segment has which release, whatever order they came in, and what is refused."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import render
from builder.catalogue import Catalogue
from builder.errors import CaseCollisionError, StatementError, VersionConflictError
from builder.pages import Pages
from builder.shelf import Shelves
from mirror import canonical, content, layout, releases
from mirror.releases import CUT, MOST, Entry
from mirror.version import sort_key
from tests.support import sites

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from mirror.errors import PublisherError
    from mirror.releases import ReleaseList
    from tests.support.sites import Package

TIME = "2026-11-23T07:00:00Z"

# in version order, of all kinds: 1.0-rc1 < 1.0 < 1.0+b1 < 1.0.1 < 1.1-rc1 …
PACKAGES = sorted(
    (sites.package(f"{number // 10}.{number % 10}{end}") for number in range(100) for end in ("-rc1", "", "+b1", ".1")),
    key=lambda package: sort_key(package.content.version),
)


class Branch:
    """A branch of one package, and the pages that were ever rendered of it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.pages: dict[str, bytes] = {}

    def publish(self, *packages: Package, **fields: object) -> dict[str, bytes]:
        """File packages together and render what changed; `fields` are further ones of their entries."""
        with self.catalogue.transaction():
            shelves = Shelves(self.catalogue.connection)
            new = [package.content for package in packages if shelves.add(package.content, entry(package, **fields))]
            pages = Pages.of(render.changed(shelves, new))
        rendered = {page.path: page.data for page in (*pages.immutable, *pages.pointers)}
        self.pages |= rendered
        return rendered

    def everything(self) -> dict[str, bytes]:
        """Render all pages again."""
        rendered = render.everything(Shelves(self.catalogue.connection), lambda _: None)
        return {page.path: page.data for page in rendered}

    def newest(self) -> ReleaseList:
        """Read the release list."""
        return releases.parse(self.pages[layout.release_list("app", "main")])

    def segments(self) -> list[ReleaseList]:
        """Read the older segments as a device would, holding each against its reference."""
        return [self._segment(reference) for reference in self.newest().older]

    def _segment(self, reference: releases.Segment) -> ReleaseList:
        data = self.pages[layout.hashed_release_list("app", "main", reference.sha256)]
        segment = releases.parse(data)
        ends = segment.releases[-1].version, segment.releases[0].version
        stated = (reference.from_version, reference.to_version, reference.count, reference.sha256, reference.size)
        assert stated == (*ends, len(segment.releases), canonical.digest(data), len(data))
        assert (segment.package, segment.branch, segment.older) == ("app", "main", ())
        return segment


@contextmanager
def new_branch() -> Iterator[Branch]:
    """Open an empty catalogue in memory."""
    with Catalogue.open(Path(":memory:")) as catalogue:
        yield Branch(catalogue)


@pytest.fixture
def branch() -> Iterator[Branch]:
    """Open an empty catalogue in memory."""
    with new_branch() as opened:
        yield opened


def entry(package: Package, **fields: object) -> Entry:
    """Make the entry of a package."""
    made = Entry(package.content.version, package.content.digest, package.content.sha256, len(package.data), TIME)
    return Entry(**{**{name: getattr(made, name) for name in Entry.__slots__}, **fields})


def versions(part: ReleaseList) -> list[str]:
    """List the versions of a list, as they stand there."""
    return [release.version for release in part.releases]


def of(packages: Sequence[Package]) -> list[str]:
    """List the versions of packages, highest first."""
    return [package.content.version for package in reversed(packages)]


def test_128_releases_are_one_list(branch: Branch) -> None:
    """As long as a list has room there is nothing older."""
    branch.publish(*PACKAGES[:MOST])

    assert versions(branch.newest()) == of(PACKAGES[:MOST])
    assert branch.newest().older == ()


def test_the_129th_release_makes_a_segment_of_the_lowest_64(branch: Branch) -> None:
    """The list keeps the others, and names the segment."""
    branch.publish(*PACKAGES[:MOST])
    branch.publish(PACKAGES[MOST])

    (segment,) = branch.segments()
    assert versions(segment) == of(PACKAGES[:CUT])
    assert versions(branch.newest()) == of(PACKAGES[CUT : MOST + 1])


def test_a_high_release_leaves_older_segments_alone(branch: Branch) -> None:
    """Only the list and the new content are rendered."""
    branch.publish(*PACKAGES[:300])

    rendered = branch.publish(PACKAGES[300])

    assert len(branch.segments()) == 3
    assert sorted(rendered) == sorted(
        [
            layout.get_version("app", "main", PACKAGES[300].content.version),
            layout.hashed_release_list("app", "main", canonical.digest(branch.newest().encode())),
            layout.release_list("app", "main"),
            layout.max_version("app", "main"),
        ]
    )


def test_a_low_release_goes_into_its_segment(branch: Branch) -> None:
    """A release below the list belongs to the segment of its versions, and the list names that one anew."""
    late = PACKAGES[30]
    branch.publish(*PACKAGES[:30], *PACKAGES[31:300])
    before = branch.newest()

    rendered = branch.publish(late)

    after = branch.newest()
    assert after.releases == before.releases
    assert after.older[:-1] == before.older[:-1]
    assert after.older[-1].count == before.older[-1].count + 1
    assert late.content.version in versions(branch.segments()[-1])
    assert len(rendered) == 5  # content, segment, list under both names, highest


def test_a_segment_that_grows_too_long_is_cut_too(branch: Branch) -> None:
    """Older segments keep the bound, when all that is published is old."""
    branch.publish(*PACKAGES[200:400])
    branch.publish(*PACKAGES[:200])

    assert [len(segment.releases) for segment in branch.segments()] == [64, 72, 64, 64, 64]
    assert branch.everything().keys() <= branch.pages.keys()


@settings(max_examples=40, deadline=None)
@given(
    order=st.randoms(use_true_random=False),
    count=st.integers(1, len(PACKAGES)),
    how=st.sampled_from(["shuffled", "rising", "falling", "outwards"]),
    together=st.sampled_from([1, 5, 64, 129, 400]),
)
def test_segments_part_the_releases_in_any_order(order: random.Random, count: int, how: str, together: int) -> None:
    """Whatever comes when: every release is once in the list or a segment, in version order, within the bound."""
    chosen = sorted(order.sample(range(len(PACKAGES)), count))
    arriving = [PACKAGES[number] for number in arranged(chosen, how, order)]

    with new_branch() as branch:
        for start in range(0, count, together):
            branch.publish(*arriving[start : start + together])

        parts = [branch.newest(), *branch.segments()]
        again = branch.everything()
        with new_branch() as other:
            restore(branch, other)
            restored = other.everything()

    listed = list(itertools.chain.from_iterable(versions(part) for part in parts))
    assert listed == of([PACKAGES[number] for number in chosen])
    assert all(0 < len(part.releases) <= MOST for part in parts)
    assert all(part.encode() == branch.pages[path(part)] for part in parts)
    assert again == {name: branch.pages[name] for name in again}
    assert pointers(again) == pointers(branch.pages)
    assert len(again) == count + 3 + len(parts) - 1
    assert restored == again


def arranged(chosen: list[int], how: str, order: random.Random) -> list[int]:
    """Bring chosen numbers into the order in which they arrive."""
    if how == "shuffled":
        return order.sample(chosen, len(chosen))
    if how == "outwards":
        middle = chosen[len(chosen) // 2]
        return sorted(chosen, key=lambda number: abs(number - middle))
    return sorted(chosen, reverse=how == "falling")


def path(part: ReleaseList) -> str:
    """Name the immutable file of a list or segment."""
    return layout.hashed_release_list(part.package, part.branch, canonical.digest(part.encode()))


def pointers(pages: dict[str, bytes]) -> set[str]:
    """Name the pointers among pages."""
    return {name for name in pages if layout.kind(name) is layout.Kind.POINTER}


def restore(source: Branch, target: Branch) -> None:
    """File a branch again from its list and segments."""
    newest, segments = source.newest(), source.segments()
    contents = {
        release.version: read(source, release.version) for part in (newest, *segments) for release in part.releases
    }
    with target.catalogue.transaction():
        shelves = Shelves(target.catalogue.connection)
        shelves.take(newest, {canonical.digest(part.encode()): part for part in segments}, contents)


def read(branch: Branch, version: str) -> content.Content:
    """Read the content of a release back."""
    return content.parse(branch.pages[layout.get_version("app", "main", version)]).content


def test_publishing_goes_on_in_a_restored_branch(branch: Branch) -> None:
    """A branch that was restored from its lists takes the next release as the original does."""
    branch.publish(*PACKAGES[:20], *PACKAGES[21:399])
    with new_branch() as other:
        restore(branch, other)
        for package in (PACKAGES[399], PACKAGES[20]):
            assert other.publish(package) == branch.publish(package)


def test_the_same_release_again_changes_nothing(branch: Branch) -> None:
    """It is a success without effect."""
    branch.publish(*PACKAGES[:3])
    changes = branch.catalogue.connection.total_changes

    assert branch.publish(PACKAGES[1]) == {}
    assert branch.catalogue.connection.total_changes == changes


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (sites.package("1.0", data=b"other bytes"), VersionConflictError, "app 1.0 on main was published before"),
        (sites.package("1.0", description="other"), VersionConflictError, "publish it under a new version"),
        (sites.package("1.0", extra="key"), VersionConflictError, "another content.json"),
        (sites.package("1.0", "App"), CaseCollisionError, "the package 'App' differs from the existing 'app'"),
        (sites.package("2.0", "APP", "dev"), CaseCollisionError, "the package 'APP'"),
        (sites.package("2.0", "app", "Main"), CaseCollisionError, "the branch 'Main' differs from the existing 'main'"),
        (sites.package("1.0-rc1"), CaseCollisionError, "the version '1.0-rc1' differs from the existing '1.0-RC1'"),
    ],
)
def test_what_exists_cannot_be_published_otherwise(
    given: Package, error: type[PublisherError], says: str, branch: Branch
) -> None:
    """A release never changes, and names differ in more than case; a refusal files nothing."""
    branch.publish(sites.package("1.0"), sites.package("1.0-RC1"))
    changes = branch.catalogue.connection.total_changes

    with pytest.raises(error, match=says) as caught:
        branch.publish(given)

    assert caught.value.status_hint == (409 if error is VersionConflictError else 400)
    assert branch.catalogue.connection.total_changes == changes
    assert branch.catalogue.count() == 2


@pytest.mark.parametrize(
    ("published", "given"),
    [("1.2", "v1.2"), ("v1.2", "1.2"), ("1.2", "1.2.0"), ("1.2.0.0", "1.2"), ("1.2+5", "1.2.0+05"), ("1.2", "01.2-")],
)
@pytest.mark.parametrize("data", [b"its own bytes", None])
def test_a_version_in_another_spelling_is_a_conflict(
    published: str, given: str, data: bytes | None, branch: Branch
) -> None:
    """Versions that no range can tell apart are one, even with the same bytes; a refusal files nothing."""
    branch.publish(sites.package("1.1"), sites.package(published, data=data), sites.package("1.3"))
    changes = branch.catalogue.connection.total_changes

    with pytest.raises(VersionConflictError, match="is the same version as") as caught:
        branch.publish(sites.package(given, data=data))

    assert caught.value.existing == published
    assert branch.catalogue.connection.total_changes == changes
    assert branch.publish(sites.package(published, data=data)) == {}


@pytest.mark.parametrize("given", ["1.2-rc1", "1.2+0", "1.2+", "1.2a", "1.2.0.1", "1.20", "v1.2-rc1"])
def test_a_version_that_a_range_can_tell_apart_is_another(given: str, branch: Branch) -> None:
    """However alike they look; and each branch has versions of its own."""
    branch.publish(sites.package("1.2"), sites.package("1.2.0", branch="dev"))

    assert branch.publish(sites.package(given))


def test_a_withdrawn_version_stays_taken_in_every_spelling(branch: Branch) -> None:
    """Against all that was ever accepted, in a publisher's list too; a list with a pair of both is refused whole."""
    first, second = sites.package("1.2"), sites.package("1.2.0")
    branch.publish(first, sites.package("2.0"))
    others = tuple(each for each in branch.newest().releases if each.version != "1.2")
    for listed in (others, branch.newest().releases):
        with pytest.raises(VersionConflictError, match="is the same version as"):
            take(branch, replace(branch.newest(), releases=(*listed, entry(second))), second)
    take(branch, replace(branch.newest(), releases=others))

    with pytest.raises(VersionConflictError):
        branch.publish(second)
    assert branch.catalogue.count() == 2


def test_a_version_in_another_spelling_is_found_by_an_index(branch: Branch) -> None:
    """What one more release costs does not grow with the branch."""
    statements: list[str] = []
    branch.catalogue.connection.set_trace_callback(statements.append)
    branch.publish(sites.package("1.2"))
    branch.publish(sites.package("1.3"))
    branch.catalogue.connection.set_trace_callback(None)

    (asked, *_) = [each for each in statements if "order_key < " in each]
    plan = branch.catalogue.connection.execute(f"EXPLAIN QUERY PLAN {asked}").fetchall()
    assert any("release_order (branch=? AND order_key>? AND order_key<?)" in step[3] for step in plan)


def test_names_are_alike_only_in_their_own_place(branch: Branch) -> None:
    """Branches of other packages and versions of other branches may be spelled otherwise."""
    branch.publish(sites.package("1.0-RC1"))

    branch.publish(sites.package("1.0-rc1", "app", "dev"), sites.package("1.0", "lib", "Main"), sites.package("1.0.0"))

    assert branch.catalogue.count() == 4


@pytest.mark.parametrize("field", ["yanked", "rollout"])
def test_the_highest_offered_release_is_the_maximum(field: str, branch: Branch) -> None:
    """A release that is yanked, or only rolled out, is listed but not offered."""
    branch.publish(PACKAGES[1], **{field: {}})
    assert branch.pages[layout.max_version("app", "main")] == b""

    branch.publish(PACKAGES[0])
    branch.publish(PACKAGES[2], **{field: {}})

    assert branch.pages[layout.max_version("app", "main")] == PACKAGES[0].content.canonical()
    assert versions(branch.newest()) == of(PACKAGES[:3])


def test_a_batch_can_touch_many_branches(branch: Branch) -> None:
    """Every branch that changed is rendered once, and no other."""
    branch.publish(sites.package("1.0", "still"))
    packages = [sites.package(version, name) for name in ("b", "a") for version in ("1.0", "1.1", "1.2")]

    rendered = branch.publish(*packages)

    assert sum(name.startswith("releases/") for name in rendered) == 4
    assert sum(name.startswith("getVersion/") for name in rendered) == 6
    assert not any("still" in name for name in rendered)


def take(branch: Branch, newest: ReleaseList, *contents: Package, segments: Sequence[ReleaseList] = ()) -> None:
    """Have a branch take a list over, and render what changed."""
    with branch.catalogue.transaction():
        shelves = Shelves(branch.catalogue.connection)
        by_hash = {canonical.digest(part.encode()): part for part in segments}
        shelves.take(newest, by_hash, {package.content.version: package.content for package in contents})
        pages = Pages.of(render.changed(shelves, []))
    branch.pages |= {page.path: page.data for page in (*pages.immutable, *pages.pointers)}


def test_a_list_is_taken_with_all_that_is_new_in_it(branch: Branch) -> None:
    """A catalogue of yesterday takes over what its mirror got since, however much that is, segments too."""
    branch.publish(*PACKAGES[:100])
    with new_branch() as other:
        other.publish(*PACKAGES[:300:2])
        other.publish(*PACKAGES[1:300:2])

        take(branch, other.newest(), *PACKAGES[:300], segments=other.segments())

        assert branch.everything() == other.everything()
        assert branch.publish(PACKAGES[301]) == other.publish(PACKAGES[301])


def test_a_withdrawn_release_is_served_and_not_listed(branch: Branch) -> None:
    """Of a release that its publisher took out, content.json stays; the list and the highest do without it."""
    branch.publish(*PACKAGES[:3])
    newest = branch.newest()

    take(branch, replace(newest, releases=newest.releases[1:]))

    assert versions(branch.newest()) == of(PACKAGES[:2])
    assert branch.pages[layout.max_version("app", "main")] == PACKAGES[1].content.canonical()
    assert layout.get_version("app", "main", PACKAGES[2].content.version) in branch.everything()
    assert branch.catalogue.count() == 3


def test_a_withdrawn_release_comes_back_as_it_was(branch: Branch) -> None:
    """An upload of the same release lists it again, where it belongs; other bytes never get its version."""
    branch.publish(*PACKAGES[:300])
    before = branch.everything()
    lowest = branch.segments()[-1]
    (first, *others) = lowest.releases[::-1]
    without = replace(lowest, releases=tuple(others[::-1]))
    *higher, reference = branch.newest().older
    shorter = replace(
        reference,
        from_version=others[0].version,
        count=len(others),
        sha256=canonical.digest(without.encode()),
        size=len(without.encode()),
    )
    take(branch, replace(branch.newest(), older=(*higher, shorter)), segments=[without])
    assert first.version not in versions(branch.segments()[-1])

    with pytest.raises(VersionConflictError):
        branch.publish(sites.package(first.version, data=b"other"))
    branch.publish(PACKAGES[0])

    assert branch.everything() == before


def test_a_release_can_be_filed_as_withdrawn(branch: Branch) -> None:
    """What a mirror serves and no list names is known, and stays unlisted; what is listed stays listed."""
    branch.publish(PACKAGES[1])
    listed = branch.newest()
    with branch.catalogue.transaction():
        shelves = Shelves(branch.catalogue.connection)
        assert shelves.add_withdrawn(PACKAGES[2].content, entry(PACKAGES[2]))
        assert not shelves.add_withdrawn(PACKAGES[2].content, entry(PACKAGES[2]))
        assert not shelves.add_withdrawn(PACKAGES[1].content, entry(PACKAGES[1]))
        with pytest.raises(VersionConflictError):
            shelves.add_withdrawn(sites.package(PACKAGES[2].content.version, data=b"other").content, entry(PACKAGES[2]))

    assert branch.everything()[layout.release_list("app", "main")] == listed.encode()
    assert branch.everything()[layout.max_version("app", "main")] == PACKAGES[1].content.canonical()
    assert layout.get_version("app", "main", PACKAGES[2].content.version) in branch.everything()


def test_withdrawn_releases_cost_nothing(branch: Branch) -> None:
    """What is rendered is found by an index that does not even have them."""
    plan = branch.catalogue.connection.execute(
        "EXPLAIN QUERY PLAN SELECT entry FROM release WHERE segment = 1 AND NOT withdrawn ORDER BY order_key DESC"
    )
    (index,) = branch.catalogue.connection.execute("SELECT sql FROM sqlite_master WHERE name = 'release_segment'")

    assert [row[-1] for row in plan] == ["SEARCH release USING INDEX release_segment (segment=?)"]
    assert index[0].endswith("WHERE NOT withdrawn")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda entries: (entry(PACKAGES[9]), *entries), StatementError),
        (lambda entries: (replace(entry(PACKAGES[5]), content="0" * 64), *entries), StatementError),
        (lambda entries: (replace(entries[0], size=1), *entries[1:]), VersionConflictError),
        (lambda entries: (*entries[:-1], replace(entries[-1], version="0.0-RC1")), CaseCollisionError),
    ],
)
def test_a_list_that_cannot_be_taken_leaves_no_trace(
    branch: Branch, change: Callable[[tuple[Entry, ...]], tuple[Entry, ...]], error: type[PublisherError]
) -> None:
    """A trial that fails undoes what was filed, and others in the same publish go on."""
    branch.publish(*PACKAGES[:3])
    newest = replace(branch.newest(), releases=change(branch.newest().releases))
    before = list(branch.catalogue.connection.iterdump())

    with branch.catalogue.transaction():
        shelves = Shelves(branch.catalogue.connection)
        with pytest.raises(error), shelves.trial():
            shelves.take(newest, {}, {PACKAGES[5].content.version: PACKAGES[5].content})
        rendered = list(render.changed(shelves, []))

    assert rendered == []
    assert list(branch.catalogue.connection.iterdump()) == before


def test_a_trial_forgets_what_it_touched(branch: Branch) -> None:
    """A segment that was made in it and undone is not rendered."""
    branch.publish(*PACKAGES[:MOST])
    with new_branch() as other:
        other.publish(*PACKAGES[: MOST + 1])
        newest, segments = other.newest(), other.segments()

    with branch.catalogue.transaction():
        shelves = Shelves(branch.catalogue.connection)
        with pytest.raises(StatementError, match="is not on the mirror"), shelves.trial():
            shelves.take(newest, {canonical.digest(part.encode()): part for part in segments}, {})

        assert list(render.changed(shelves, [])) == []


def test_of_several_lists_in_one_publish_the_last_counts(branch: Branch) -> None:
    """A segment that the first made and the second does not name is not even rendered."""
    branch.publish(*PACKAGES[:MOST])
    with new_branch() as other:
        other.publish(*PACKAGES[: MOST + 1])
        first, between = other.newest(), other.segments()
        other.publish(PACKAGES[0], PACKAGES[MOST + 1])
        last = replace(other.newest(), older=())

    with branch.catalogue.transaction():
        shelves = Shelves(branch.catalogue.connection)
        contents = {package.content.version: package.content for package in PACKAGES[: MOST + 2]}
        shelves.take(first, {canonical.digest(part.encode()): part for part in between}, contents)
        shelves.take(last, {}, contents)
        rendered = {page.path for page in render.changed(shelves, [])}

    assert {path for path in rendered if path.startswith("releases/")} == {path_of(last), path_of(last, pointer=True)}
    assert branch.everything()[path_of(last)] == last.encode()


def path_of(part: ReleaseList, *, pointer: bool = False) -> str:
    """Name a file of a list."""
    return layout.release_list("app", "main") if pointer else path(part)
