"""A mirror in a folder: what is written, in which order, with how many syncs, and what an error leaves."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import spool
from builder.errors import MirrorError
from builder.pages import Page, Pages
from builder.stores import Written
from builder.stores.folder import FolderStore
from mirror import canonical, layout
from mirror.blobs import Blob
from mirror.files import Files
from tests.support import sites
from tests.support.faults import FULL_ONCE, CountingCalls, Fault, FaultyCalls, sweep
from tests.support.sites import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.files import Calls

SHA = "a" * 64
IMMUTABLE = Page(f"releases/app/{SHA}.main.json", b"the list, under its hash")
CONTENT = Page("getVersion/app/main/1.0.json", b"a content.json")
LIST = Page("releases/app/main.json", b"the list")
HIGHEST = Page("maxVersion/app/main.json", b"the highest")
PAGES = Pages.of([CONTENT, IMMUTABLE, LIST, HIGHEST])


class Place:
    """A store on a spool and a mirror of its own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.spool = folder / "mirror", folder / "spool"
        for path in (self.root, self.spool / "own"):
            path.mkdir(parents=True, exist_ok=True)
        self.clock = Clock()

    def store(self, calls: Calls | None = None) -> FolderStore:
        """Open the store on these calls; its part of the spool outlives errors, as that of a running service does."""
        files = Files(calls)
        return FolderStore(self.root, spool.Spool(self.spool / "own", files), files, self.clock)

    def blob(self, data: bytes, name: str = "blob") -> Blob:
        """Receive a blob into the spool."""
        path = self.spool / name
        path.write_bytes(data)
        return Blob(canonical.digest(data), len(data), path)

    def seconds(self, path: str) -> float:
        """Tell when a file of the mirror was modified, in seconds."""
        return (self.root / path).stat().st_mtime_ns / 10**9


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Make an empty mirror."""
    return Place(tmp_path)


def changes(calls: CountingCalls, place: Place) -> Iterator[str]:
    """List what a reader of the mirror or the disk would notice, in order: files of the mirror, and syncs."""
    for call in calls.calls:
        if call.name == "rename" and call.paths[-1].is_relative_to(place.root):
            yield call.paths[-1].relative_to(place.root).as_posix()
        elif call.name in ("syncfs", "fsync"):
            yield "sync"


def test_pages_are_written_where_they_belong(place: Place) -> None:
    """Every page is in the mirror with its bytes, nothing else is, and the spool is empty again."""
    written = place.store().publish(PAGES)

    pages = (*PAGES.immutable, *PAGES.pointers)
    assert sites.read(place.root) == {page.path: page.data for page in pages}
    assert sites.read(place.spool) == {}
    assert written == Written(4, sum(len(page.data) for page in pages))


def test_pointers_come_after_what_they_lead_to(place: Place) -> None:
    """Bytes are durable before they have a name, immutable files before a pointer changes; three syncs in all."""
    calls = CountingCalls()

    place.store(calls).publish(PAGES)

    assert list(changes(calls, place)) == [
        "sync",
        CONTENT.path,
        IMMUTABLE.path,
        "sync",
        LIST.path,
        HIGHEST.path,
        "sync",
    ]


def test_all_pages_are_staged_before_the_first_is_shown(place: Place) -> None:
    """A disk that is full stops a publish before a reader sees any of it."""
    calls = CountingCalls()

    place.store(calls).publish(PAGES)

    names = [call.name for call in calls.calls]
    assert max(index for index, name in enumerate(names) if name == "write") < names.index("rename")


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (Pages.of([CONTENT]), ["sync", CONTENT.path, "sync"]),
        (Pages.of([LIST]), ["sync", LIST.path, "sync"]),
        (Pages(), []),
    ],
)
def test_no_sync_is_made_for_nothing(pages: Pages, expected: list[str], place: Place) -> None:
    """A step without files costs nothing."""
    calls = CountingCalls()

    place.store(calls).publish(pages)

    assert list(changes(calls, place)) == expected


def test_syncs_do_not_grow_with_the_pages(place: Place) -> None:
    """A thousand pages share the syncs of one."""
    calls = CountingCalls()
    pages = [Page(layout.get_version("app", "main", str(number)), b"x") for number in range(100)]

    place.store(calls).publish(Pages.of([*pages, LIST]))

    assert calls.syncs == 3


def test_what_is_there_already_is_left_as_it_is(place: Place) -> None:
    """Publishing the same again makes no call that changes anything."""
    place.store().publish(PAGES)
    before = sites.stamps(place.root)
    calls = CountingCalls()

    written = place.store(calls).publish(PAGES)

    assert written == Written()
    assert calls.calls == []
    assert sites.stamps(place.root) == before


def test_only_what_is_missing_or_older_is_written(place: Place) -> None:
    """A publish that was cut off is brought to its end, no more."""
    place.store().publish(PAGES)
    (place.root / CONTENT.path).unlink()
    (place.root / LIST.path).write_bytes(b"older")
    before = sites.stamps(place.root)

    written = place.store().publish(PAGES)

    after = sites.stamps(place.root)
    assert written.files == 2
    assert {path for path in after if after[path] != before.get(path)} == {CONTENT.path, LIST.path}
    assert sites.read(place.root)[LIST.path] == LIST.data


def test_an_immutable_file_is_never_overwritten(place: Place) -> None:
    """Other bytes under its name are an error that names it, and nothing at all is written."""
    place.store().publish(Pages.of([CONTENT]))
    (place.root / CONTENT.path).write_bytes(b"tampered")
    before = sites.stamps(place.root)

    with pytest.raises(MirrorError, match=r"getVersion/app/main/1\.0\.json must never change"):
        place.store().publish(PAGES)

    assert sites.stamps(place.root) == before


def test_repairing_replaces_a_tampered_file(place: Place) -> None:
    """When told to, the store writes what the catalogue says, and only there where it differs."""
    place.store().publish(PAGES)
    (place.root / CONTENT.path).write_bytes(b"tampered")

    written = place.store().publish(PAGES, repair=True)

    assert written == Written(1, len(CONTENT.data))
    assert sites.read(place.root)[CONTENT.path] == CONTENT.data


@pytest.mark.parametrize("steps", [[0, 0, 0, 0], [0, -5000, -5000, 3], [0.4, 0.3, 0.3, 0.3], [0, 90_000, -1, 0]])
def test_a_changed_pointer_is_a_second_younger_than_the_one_before(steps: list[float], place: Place) -> None:
    """Whole seconds grow with every change, whatever the clock does: a stale ETag is never true again."""
    times = []
    for number, step in enumerate(steps):
        place.clock.now += step
        place.store().publish(Pages.of([Page(LIST.path, b"state %d" % number)]))
        times.append(place.seconds(LIST.path))

    assert all(time == int(time) for time in times)
    assert all(later >= earlier + 1 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("ahead", [3600, 1e9, 2**62])
def test_a_pointer_whose_time_lies_in_the_future_changes_its_etag_all_the_same(ahead: float, place: Place) -> None:
    """A clock was ahead, or the mirror was copied: two states never look the same, not even at the end of all time."""
    place.store().publish(Pages.of([LIST]))
    future = int(place.clock.now + ahead)
    os.utime(place.root / LIST.path, (future, future))
    before = place.seconds(LIST.path)

    place.store().publish(Pages.of([Page(LIST.path, b"x" * len(LIST.data))]))

    assert place.seconds(LIST.path) in {before + 1, int(place.clock.now)}


def test_a_pointer_has_the_time_of_its_publish(place: Place) -> None:
    """Last-Modified is the truth when the clock goes right."""
    place.clock.now = 1_900_000_000.75
    place.store().publish(Pages.of([LIST]))
    place.clock.now = 1_900_000_060.25
    place.store().publish(Pages.of([Page(LIST.path, b"new")]))

    assert place.seconds(LIST.path) == 1_900_000_060


def test_blobs_are_durable_before_they_have_a_name(place: Place) -> None:
    """A reader sees a blob whole or not at all; many share two syncs."""
    calls = CountingCalls()
    blobs = [place.blob(b"one", "1"), place.blob(b"two", "2")]

    written = place.store(calls).add_blobs(blobs)

    assert written == Written(2, 6)
    paths = [layout.blob(blob.sha256) for blob in blobs]
    assert list(changes(calls, place)) == ["sync", *paths, "sync"]
    assert sites.read(place.root) == dict(zip(paths, (b"one", b"two"), strict=True))
    assert calls.by_name["write"] == 0


def test_a_blob_that_is_there_stays(place: Place) -> None:
    """The same bytes again cost nothing, and a mirror's file is not replaced under its readers."""
    place.store().add_blobs([place.blob(b"one")])
    before = sites.stamps(place.root)
    calls = CountingCalls()

    written = place.store(calls).add_blobs([place.blob(b"one", "again")])

    assert written == Written()
    assert calls.calls == []
    assert sites.stamps(place.root) == before


def test_equal_blobs_of_one_publish_are_one(place: Place) -> None:
    """Two releases with the same bytes share a file."""
    written = place.store().add_blobs([place.blob(b"one", "1"), place.blob(b"one", "2")])

    assert written == Written(1, 3)
    assert sites.read(place.root) == {layout.blob(canonical.digest(b"one")): b"one"}


def test_a_truncated_blob_is_replaced(place: Place) -> None:
    """Dropping a package again heals a mirror whose copy of it was cut off."""
    blob = place.blob(b"whole")
    path = place.root / layout.blob(blob.sha256)
    path.parent.mkdir()
    path.write_bytes(b"who")

    place.store().add_blobs([blob])

    assert path.read_bytes() == b"whole"


def publish_over_an_older_state(calls: Calls, folder: Path) -> None:
    """Publish new and changed pages, and a blob."""
    place = Place(folder)
    place.store().publish(Pages.of([Page(LIST.path, b"older")]))
    store = place.store(calls)
    store.add_blobs([place.blob(b"one")])
    store.publish(PAGES)


def in_a_folder_of_its_own(calls: Calls) -> None:
    """Publish where the calls can be counted."""
    with tempfile.TemporaryDirectory() as folder:
        publish_over_an_older_state(calls, Path(folder))


@sweep(in_a_folder_of_its_own, (FULL_ONCE,), wanted=100)
def test_an_error_leaves_no_pages_in_the_spool(fault: Fault, tmp_path: Path) -> None:
    """A service that fails at every pass does not fill the disk, and the next publish brings everything."""
    with pytest.raises(OSError, match="No space left"):
        publish_over_an_older_state(FaultyCalls(fault), tmp_path)

    place = Place(tmp_path)
    assert sites.paths(place.spool / "own") == []
    place.store().add_blobs([place.blob(b"one", "again")])
    place.store().publish(PAGES)
    blob = {layout.blob(canonical.digest(b"one")): b"one"}
    assert sites.read(place.root) == blob | {page.path: page.data for page in (*PAGES.immutable, *PAGES.pointers)}


def test_a_pointer_without_data_is_removed(place: Place) -> None:
    """Durably, once, and only if it is there; what never was needs no folder either."""
    place.store().publish(PAGES)
    calls = CountingCalls()
    gone = Pages.of([Page(HIGHEST.path, b""), Page("maxVersion/lib/main.json", b"")])

    written = place.store(calls).publish(gone)

    assert [call.name for call in calls.calls][-2:] == ["unlink", "syncfs"]
    assert written == Written(1, 0)
    assert not (place.root / HIGHEST.path).exists()
    assert not (place.root / "maxVersion" / "lib").exists()
    assert place.store().publish(gone) == Written()
    assert place.store().publish(gone, rewrite=True).bytes == 0
    place.store().publish(PAGES)
    assert (place.root / HIGHEST.path).read_bytes() == HIGHEST.data
