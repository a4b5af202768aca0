"""Publishing: releases never change, the order survives every cut, and one more release costs the same everywhere."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder import build
from builder.catalogue import Catalogue
from builder.errors import CaseCollisionError, CatalogueError, MirrorError, VersionConflictError
from builder.pages import Page, Pages
from builder.publish import Publisher
from builder.stores import Written
from mirror import canonical, layout, releases, trust
from mirror.files import Files
from tests.support import sites
from tests.support.faults import BROKEN_ONCE, KILL_BEFORE, Call, CountingCalls, Fault, FaultyCalls, Killed
from tests.support.sites import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.build import Builder
    from builder.site import Site
    from builder.submission import Publication, Verdict
    from mirror.blobs import Blob
    from tests.support.sites import Package


def bin_of(package: str, count: int) -> str:
    """Name the bin of the list of a package's branch main."""
    bits = count.bit_length() - 1
    return trust.bins(bits, ["0"]).get_role_for_target(layout.release_list(package, "main"))


@pytest.fixture
def builder(site: Site) -> Iterator[Builder]:
    """Open a site."""
    with build.opened(site, clock=Clock()) as opened:
        yield opened


def publish(builder: Builder, *packages: Package) -> Publication:
    """Publish packages together, as if they had just been received."""
    return builder.publish([sites.release(package, builder.site.paths.var / "made") for package in packages])


def errors(verdicts: Sequence[Verdict]) -> list[type | None]:
    """Tell of each verdict why it refuses."""
    return [type(verdict.error) if verdict.error else None for verdict in verdicts]


def test_a_release_is_on_the_mirror(builder: Builder) -> None:
    """Its blob, its content, the list under both names, the highest, and three signatures: nothing else."""
    package = sites.package("1.0", dependencies={"lib": ">=1"})

    publication = publish(builder, package)

    mirror = sites.pages(builder.site.paths.mirror)
    listed = releases.parse(mirror["releases/app/main.json"])
    assert mirror == {
        layout.blob(package.content.sha256): package.data,
        "getVersion/app/main/1.0.json": package.content.canonical(),
        "maxVersion/app/main.json": package.content.canonical(),
        "releases/app/main.json": listed.encode(),
        layout.hashed_release_list("app", "main", canonical.digest(listed.encode())): listed.encode(),
    }
    (entry,) = listed.releases
    assert (entry.version, entry.content, entry.sha256) == ("1.0", package.content.digest, package.content.sha256)
    assert (entry.size, entry.published) == (len(package.data), trust.time(builder.signing.now()))
    assert entry.dependencies == {"lib": ">=1"}
    signed = [builder.site.paths.mirror / path for path in ("metadata/2.snapshot.json", layout.TIMESTAMP)]
    signed += builder.site.paths.mirror.glob("metadata/2.bin1-?.json")
    sizes = [*map(len, mirror.values()), *(file.stat().st_size for file in signed)]
    assert publication.written == Written(5 + 3, sum(sizes))
    assert [(verdict.title, verdict.is_new) for verdict in publication.verdicts] == [("app 1.0 on main", True)]


def test_the_same_again_writes_nothing(site: Site) -> None:
    """A release that was published before is a success, and costs no change of any file or row."""
    calls = CountingCalls()
    with build.opened(site, Files(calls), Clock()) as builder:
        publish(builder, sites.package("1.0"), sites.package("2.0"))
        before = sites.stamps(site.paths.mirror)
        rows = builder.catalogue.connection.total_changes
        calls.calls.clear()

        publication = publish(builder, sites.package("1.0"))

        assert calls.calls == []
        assert builder.catalogue.connection.total_changes == rows
    assert publication.written == Written()
    assert errors(publication.verdicts) == [None]
    assert not publication.verdicts[0].is_new
    assert sites.stamps(site.paths.mirror) == before


@pytest.mark.parametrize(
    ("package", "error"),
    [
        (sites.package("1.0", data=b"other"), VersionConflictError),
        (sites.package("1.0", description="other"), VersionConflictError),
        (sites.package("1.1", "APP"), CaseCollisionError),
        (sites.package("1.1", branch="Main"), CaseCollisionError),
        (sites.package("1.0-RC1"), CaseCollisionError),
    ],
)
def test_what_was_published_never_changes(package: Package, error: type, builder: Builder) -> None:
    """A refusal changes no byte and no time of the mirror, not even a blob is added; the next release is published."""
    publish(builder, sites.package("1.0"), sites.package("1.0-rc1"))
    before = sites.stamps(builder.site.paths.mirror)

    publication = publish(builder, package)

    assert errors(publication.verdicts) == [error]
    assert publication.written == Written()
    assert sites.stamps(builder.site.paths.mirror) == before
    assert publish(builder, sites.package("2.0")).verdicts[0].is_new


def test_releases_that_come_together_are_judged_one_by_one(builder: Builder) -> None:
    """Of two that contradict each other the first is taken; the same twice is one; the others are published."""
    publication = publish(
        builder,
        sites.package("1.0"),
        sites.package("1.0", data=b"other"),
        sites.package("1.0"),
        sites.package("2.0", branch="MAIN"),
        sites.package("2.0", "App"),
        sites.package("3.0"),
    )

    wanted = [None, VersionConflictError, None, CaseCollisionError, CaseCollisionError, None]
    assert errors(publication.verdicts) == wanted
    assert [verdict.is_new for verdict in publication.verdicts] == [True, False, False, False, False, True]
    mirror = sites.read(builder.site.paths.mirror)
    assert layout.blob(canonical.digest(b"other")) not in mirror
    assert [entry.version for entry in releases.parse(mirror["releases/app/main.json"]).releases] == ["3.0", "1.0"]


def test_releases_that_come_together_share_pages_and_syncs(site: Site) -> None:
    """A hundred releases of one branch are one list and the syncs of one release."""
    calls = CountingCalls()
    with build.opened(site, Files(calls), Clock()) as builder:
        builder.finish()
        calls.calls.clear()
        publish(builder, sites.package("1.0"))
        alone = calls.syncs
        calls.calls.clear()

        publication = publish(builder, *(sites.package(f"2.{number}") for number in range(100)))

        assert calls.syncs == alone == 5
        assert publication.written.files == 100 + 100 + 3 + 3


def test_the_order_survives_a_cut_at_any_moment(site: Site) -> None:
    """Blobs, commit, immutable pages, pointers: each is durable before what leads to it, and trust before the rest."""
    package, calls = sites.package("1.0"), CountingCalls()
    with build.opened(site, Files(calls), Clock()) as builder:
        builder.finish()
        calls.calls.clear()
        tell_commits(builder, calls)
        publish(builder, package)

    mirror = sites.read(site.paths.mirror)
    hashed = layout.hashed_release_list("app", "main", canonical.digest(mirror["releases/app/main.json"]))
    assert steps(calls, site) == [
        "sync",
        layout.blob(package.content.sha256),
        "sync",
        "COMMIT",
        "sync",
        "getVersion/app/main/1.0.json",
        hashed,
        layout.metadata(bin_of("app", 2), 2),
        "metadata/2.snapshot.json",
        "sync",
        "metadata/timestamp.json",
        "releases/app/main.json",
        "maxVersion/app/main.json",
        "sync",
    ]


def tell_commits(builder: Builder, calls: CountingCalls) -> None:
    """Note the catalogue's commits among the calls."""

    def note(statement: str) -> None:
        if statement == "COMMIT":
            calls.calls.append(Call("COMMIT", ()))

    builder.catalogue.connection.set_trace_callback(note)


def steps(calls: CountingCalls, site: Site) -> list[str]:
    """List commits, syncs, and what got its name on the mirror, in their order."""
    found = []
    for call in calls.calls:
        if call.name == "rename" and call.paths[1].is_relative_to(site.paths.mirror):
            found.append(call.paths[1].relative_to(site.paths.mirror).as_posix())
        elif call.name in ("COMMIT", "fsync", "syncfs"):
            found.append(call.name if call.name == "COMMIT" else "sync")
    return found


def first_call_after_commit(site: Site, package: Package) -> int:
    """Count the calls of a publish in a fresh process up to its commit."""
    calls = CountingCalls()
    with build.opened(site, Files(calls), Clock()) as builder:
        tell_commits(builder, calls)
        publish(builder, package)
    return [call.name for call in calls.calls].index("COMMIT") + 1


def publish_and_fail(site: Site, package: Package, fault: Fault) -> None:
    """Publish in a process that ends badly."""
    with build.opened(site, Files(FaultyCalls(fault)), Clock()) as builder:
        publish(builder, package)


def test_what_another_process_committed_is_published_first(site: Site, tmp_path: Path) -> None:
    """A process that dies right after its commit has accepted the release: the next one publishes it, then its own."""
    point = first_call_after_commit(sites.make(tmp_path / "counted"), sites.package("1.0"))
    with pytest.raises(Killed):
        publish_and_fail(site, sites.package("1.0"), Fault(point, KILL_BEFORE))
    assert [*sites.pages(site.paths.mirror)] == [layout.blob(sites.package("1.0").content.sha256)]

    calls = CountingCalls()
    with build.opened(site, Files(calls), Clock()) as builder:
        tell_commits(builder, calls)
        publish(builder, sites.package("1.0", "lib"))

    done = steps(calls, site)
    mirror = sites.read(site.paths.mirror)
    assert done.index("maxVersion/app/main.json") < done.index("COMMIT") < done.index("maxVersion/lib/main.json")
    assert mirror["maxVersion/app/main.json"] == sites.package("1.0").content.canonical()


def test_two_processes_can_take_turns(site: Site) -> None:
    """Each sees what the other published; nothing is written twice, nothing gets lost."""
    with build.opened(site, clock=Clock()) as one, build.opened(site, clock=Clock()) as other:
        for number, builder in enumerate(itertools.islice(itertools.cycle([one, other]), 6)):
            assert publish(builder, sites.package(f"1.{number}")).written.files == 5 + 3
        assert not publish(one, sites.package("1.5")).verdicts[0].is_new

    listed = releases.parse(sites.read(site.paths.mirror)["releases/app/main.json"])
    assert [entry.version for entry in listed.releases] == [f"1.{number}" for number in reversed(range(6))]


def test_an_error_after_the_commit_is_made_good(site: Site, tmp_path: Path) -> None:
    """The release is accepted then, and the same process publishes it before anything else."""
    point = first_call_after_commit(sites.make(tmp_path / "counted"), sites.package("1.0"))
    calls = FaultyCalls(Fault(point, BROKEN_ONCE))
    with build.opened(site, Files(calls), Clock()) as builder:
        with pytest.raises(OSError, match="Input/output error"):
            publish(builder, sites.package("1.0"))

        again = publish(builder, sites.package("1.0"))

    assert not again.verdicts[0].is_new
    assert sites.read(site.paths.mirror)["maxVersion/app/main.json"] == sites.package("1.0").content.canonical()


def test_an_error_before_the_commit_accepts_nothing(site: Site, tmp_path: Path) -> None:
    """A disk that cannot keep the blob leaves neither a row nor a page, and the next try is the first."""
    point = first_call_after_commit(sites.make(tmp_path / "counted"), sites.package("1.0")) - 1
    with build.opened(site, Files(FaultyCalls(Fault(point, BROKEN_ONCE))), Clock()) as builder:
        with pytest.raises(OSError, match="Input/output error"):
            publish(builder, sites.package("1.0"))
        assert builder.catalogue.count() == 0
        assert [path for path in sites.pages(site.paths.mirror) if layout.kind(path) is layout.Kind.POINTER] == []

        assert publish(builder, sites.package("1.0")).verdicts[0].is_new


@pytest.mark.parametrize("path", ["getVersion/app/main/1.0.json", "getVersion/app/main/1.1.json"])
def test_a_tampered_mirror_is_told_and_can_be_repaired(path: str, site: Site) -> None:
    """Immutable files are not overwritten by publishing, only by rendering all again, whichever process does that."""
    with build.opened(site, clock=Clock()) as builder:
        publish(builder, sites.package("1.0"))
        publish(builder, sites.package("1.1"))
    (site.paths.mirror / path).write_bytes(b"tampered")

    with build.opened(site, clock=Clock()) as builder:
        assert builder.render_all() == 1
        assert builder.render_all() == 0
        assert publish(builder, sites.package("1.2")).verdicts[0].is_new
    assert b"tampered" not in sites.read(site.paths.mirror).values()


def test_an_immutable_name_that_is_taken_stops_publishing(builder: Builder) -> None:
    """Something else wrote where a release belongs: nothing goes on before that was looked at."""
    publish(builder, sites.package("1.0"))
    taken = builder.site.paths.mirror / "getVersion/app/main/1.1.json"
    taken.write_bytes(b"not ours")
    before = sites.read(builder.site.paths.mirror)

    for version in ("1.1", "1.2"):
        with pytest.raises(MirrorError, match=r"getVersion/app/main/1\.1\.json must never change"):
            publish(builder, sites.package(version))

    after = sites.read(builder.site.paths.mirror)
    assert {path: after[path] for path in before} == before
    builder.render_all()
    assert publish(builder, sites.package("1.2")).verdicts[0].is_new


def test_a_lost_catalogue_does_not_overwrite_its_mirror(site: Site) -> None:
    """An empty catalogue beside a mirror with releases is a loss, not a start."""
    with build.opened(site, clock=Clock()) as builder:
        publish(builder, sites.package("1.0"))
    for path in site.paths.var.glob("catalogue.sqlite*"):
        path.unlink()
    before = sites.stamps(site.paths.mirror)

    with pytest.raises(CatalogueError, match=r"is gone, but .*otamirror recover"), build.opened(site):
        pass
    assert not site.paths.catalogue.exists()
    with build.opened(site, clock=Clock(), recovers=True) as builder:
        for act in (lambda: publish(builder, sites.package("2.0")), builder.take_inbox, builder.render_all):
            with pytest.raises(CatalogueError, match="otamirror recover"):
                act()

    assert sites.stamps(site.paths.mirror) == before


@pytest.mark.parametrize("step", [0, -100, 0.5, 1])
def test_pointers_grow_older_by_whole_seconds(step: float, site: Site) -> None:
    """Whatever the clock does, no state of a pointer has the time of an earlier one."""
    clock, times = Clock(), []
    with build.opened(site, clock=clock) as builder:
        for number in range(5):
            clock.now += step
            publish(builder, sites.package(f"1.{number}"))
            pointers = [site.paths.mirror / path for path in ("releases/app/main.json", "maxVersion/app/main.json")]
            times.append([path.stat().st_mtime_ns for path in pointers])

    for earlier, later in itertools.pairwise(times):
        assert all(new // 10**9 > old // 10**9 for old, new in zip(earlier, later, strict=True))
    assert all(time % 10**9 == 0 for time in itertools.chain.from_iterable(times))


@dataclass
class RecordingStore:
    """A store that notes what is asked of it, and fails when told to."""

    asked: list[tuple[object, ...]] = field(default_factory=list)
    broken: bool = False

    def add_blobs(self, blobs: Sequence[Blob]) -> Written:
        """Note it."""
        self.asked.append(("blobs", *blobs))
        return Written(len(blobs), 10)

    def publish(self, pages: Pages, *, repair: bool = False, rewrite: bool = False) -> Written:
        """Note it, or fail."""
        if self.broken:
            raise OSError("broken")
        self.asked.append(("pages", pages, repair, rewrite))
        return Written(1, 1)

    def sync(self) -> None:
        """Note it."""
        self.asked.append(("sync",))


PAGES = Pages.of([Page("releases/app/main.json", b"{}")])


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    """Open a catalogue in memory."""
    with Catalogue.open(Path(":memory:")) as opened:
        yield opened


def test_the_outbox_is_published_once_by_each_process(catalogue: Catalogue) -> None:
    """Who finds an outbox that it did not publish itself publishes it, and does not look at it again."""
    one, other = RecordingStore(), RecordingStore()
    publisher = Publisher(catalogue, one)
    publisher.finish()
    one.asked.clear()

    assert publisher.prepare([], PAGES) == Written(0, 10)
    publisher.publish(PAGES)
    assert publisher.finish() == Written()
    second = Publisher(catalogue, other)
    assert second.finish(repair=True) == Written(1, 1)
    assert second.finish() == Written()

    assert one.asked == [("blobs",), ("pages", PAGES, False, False)]
    assert other.asked == [("pages", PAGES, True, False), ("sync",)]


def test_after_an_error_all_of_the_outbox_is_written_again(catalogue: Catalogue) -> None:
    """A system tells only once that it could not make bytes durable, so nothing that is there can be relied on."""
    store = RecordingStore()
    publisher = Publisher(catalogue, store)
    publisher.finish()
    publisher.prepare([], PAGES)
    store.broken = True
    with pytest.raises(OSError, match="broken"):
        publisher.publish(PAGES)
    with pytest.raises(OSError, match="broken"):
        publisher.finish()
    store.broken = False
    store.asked.clear()

    publisher.finish()
    publisher.prepare([], PAGES)
    publisher.publish(PAGES)

    rewritten, normal = (asked for asked in store.asked if asked[0] == "pages")
    assert rewritten == ("pages", PAGES, False, True)
    assert normal == ("pages", PAGES, False, False)


def test_nothing_new_leaves_the_outbox_alone(catalogue: Catalogue) -> None:
    """Publishing only known releases is not a publish."""
    publisher = Publisher(catalogue, RecordingStore())
    publisher.prepare([], PAGES)

    publisher.prepare([], Pages())

    assert catalogue.publish_number() == 1
    assert catalogue.outbox() == PAGES


# What one more release costs. The sites are built once; each is measured once, when it is built.


class Watch:
    """Notes which folders are listed and which files are opened below one folder, by the interpreter's own audit."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[tuple[str, str]] = []
        sys.addaudithook(self._note)  # for good: hooks cannot be taken away, so it does nothing unless asked to

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is not None and event in ("open", "os.listdir", "os.scandir"):
            path = str(arguments[0])
            if path.startswith(self.folder):
                self.seen.append((event, path))


@dataclass(frozen=True)
class Cost:
    """What publishing one more release took, beside its blob."""

    files: int
    bytes: int
    calls: Counter[str]
    syncs: int
    rows_written: int
    rows_read: int
    steps: int
    opened: int
    listed: list[str]


def cost(site: Site, package: Package, watch: Watch) -> Cost:
    """Publish a package with a process that has published before, and count."""
    calls, rows, steps = CountingCalls(), list[Any](), list[int]()

    def read(_cursor: object, row: Any) -> Any:
        rows.append(row)
        return row

    with build.opened(site, Files(calls), Clock()) as builder:
        publish(builder, sites.package(package.content.version, "warm"))
        made = sites.release(package, site.paths.var / "made")
        connection = builder.catalogue.connection
        connection.row_factory = read
        connection.set_progress_handler(lambda: steps.append(1), 1)
        before = connection.total_changes
        calls.calls.clear()
        watch.seen.clear()
        watch.folder = str(site.paths.mirror)
        publication = builder.publish([made])
        watch.folder = None
        (verdict,), written = publication.verdicts, publication.written
        return Cost(
            written.files - verdict.is_new,
            written.bytes - verdict.is_new * made.blob.size,
            calls.by_name,
            calls.syncs,
            connection.total_changes - before,
            len(rows),
            len(steps),
            sum(event == "open" for event, _ in watch.seen),
            [path for event, path in watch.seen if event != "open"],
        )


@pytest.fixture(scope="session")
def watch() -> Watch:
    """Watch what is read."""
    return Watch()


def filled(folder: Path, packages: Sequence[Package]) -> Site:
    """Build a site in so few large publishes that no version of metadata comes to two digits."""
    site = sites.make(folder, f"[trust]\nbins = {BINS}\n")
    with build.opened(site, clock=Clock()) as builder:
        for start in range(0, len(packages), 3000):
            publish(builder, *packages[start : start + 3000])
    return site


def branches(names: Sequence[str]) -> list[Package]:
    """Make packages of 20 releases each, with bytes of the same length."""
    return [sites.package(f"1.{version:02}", name) for name in names for version in range(20)]


def costs(folder: Path, packages: Sequence[Package], more: Sequence[Package], watch: Watch) -> list[Cost]:
    """Build a site, and count what each further package costs."""
    site = filled(folder, packages)
    return [cost(site, package, watch) for package in more]


BINS = 256
_NAMES = [f"pkg-{number:04}" for number in range(250)]
_SHARING = Counter(bin_of(name, BINS) for name in (*_NAMES, "warm"))
# in a large site the first has a bin to itself, and the last shares one with the most others
NAMES = sorted(_NAMES, key=lambda name: _SHARING[bin_of(name, BINS)])
MORE = [*(sites.package(version, NAMES[0]) for version in ("1.20", "1.19.5", "1.20")), sites.package("1.20", NAMES[-1])]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, watch: Watch) -> list[Cost]:
    """Count on a site of 100 releases: a higher release, a lower one, one that is there already, one elsewhere."""
    return costs(tmp_path_factory.mktemp("small"), branches([*NAMES[:4], NAMES[-1]]), MORE, watch)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory, watch: Watch) -> list[Cost]:
    """Count the same on a site of 5,000 releases."""
    return costs(tmp_path_factory.mktemp("large"), branches(NAMES), MORE, watch)


def test_one_more_release_costs_little(small: list[Cost]) -> None:
    """Seven files, less than 30 kB beside the blob, five syncs, and no folder of the mirror is listed."""
    higher, lower = small[:2]
    assert (higher.files, lower.files) == (7, 6)
    for each in (higher, lower):
        assert 0 < each.bytes < 30_000
        assert each.syncs == 5
        assert each.listed == []
        assert BINS < each.rows_read < BINS + 100  # a snapshot tells of every bin
        assert 0 < each.rows_written < 40


def test_one_more_release_costs_the_same_in_a_large_catalogue(small: list[Cost], large: list[Cost]) -> None:
    """Files, bytes, calls, syncs, rows, database work and reads are equal at 100 and at 5,000 releases.

    Of a list that shares its bin with others that is true as far as their number is: a bin names all lists in it.
    """
    assert large[:3] == small[:3]


def test_a_list_costs_little_for_others_in_its_bin(small: list[Cost], large: list[Cost]) -> None:
    """Each of the others is named once, with hash and size: a row and 160 bytes."""
    alone, shared = small[3], large[3]
    others = _SHARING[bin_of(NAMES[-1], BINS)] - 1

    assert others > 3
    assert replace(shared, bytes=alone.bytes, rows_read=alone.rows_read, steps=alone.steps) == alone
    assert shared.rows_read == alone.rows_read + others
    assert 0 < shared.bytes - alone.bytes <= others * 160


def test_nothing_new_costs_nothing(small: list[Cost], large: list[Cost]) -> None:
    """A release that is there already writes no file, no row, and makes no call."""
    for known in (small[2], large[2]):
        assert (known.files, known.bytes, known.calls, known.rows_written) == (0, 0, Counter(), 0)
        assert known.listed == []


def in_one_branch(count: int, folder: Path, watch: Watch) -> tuple[list[Cost], list[int]]:
    """Build a branch, and count what a higher release costs there and then one more; tell how long the lists are."""
    site = filled(folder, [sites.package(f"1.{number:04}") for number in range(count)])
    found, sizes = [], []
    for version in ("2.0000", "2.0001"):
        found.append(cost(site, sites.package(version), watch))
        sizes.append((site.paths.mirror / layout.release_list("app", "main")).stat().st_size)
    return found, sizes


def test_a_long_branch_costs_what_a_short_one_costs(tmp_path: Path, watch: Watch) -> None:
    """With lists of the same length only the bytes differ, by the references to older segments: 130 bytes each."""
    short, short_sizes = in_one_branch(100, tmp_path / "short", watch)
    long, long_sizes = in_one_branch(100 + 77 * releases.CUT, tmp_path / "long", watch)

    for one, other, size, other_size in zip(short, long, short_sizes, long_sizes, strict=True):
        assert replace(other, bytes=one.bytes) == one
        assert other.bytes - one.bytes == 2 * (other_size - size)  # the list has two names
        assert 0 < other_size - size < 77 * 150
