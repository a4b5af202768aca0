"""The catalogue: the contract's table, transactions, the outbox, and files that are no catalogue."""

from __future__ import annotations

import itertools
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from builder import schema
from builder.catalogue import Catalogue, Row
from builder.errors import CatalogueError, NotACatalogueError
from builder.pages import Page, Pages
from builder.shelf import Shelves
from mirror.releases import Entry
from mirror.version import sort_key
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sites import Package

TIME = "2026-11-23T07:00:00Z"
TABLES = {"ota", "package", "branch", "segment", "release", "outbox", "publish", "root", "role", "superseded"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a catalogue that is not there yet."""
    return tmp_path / "catalogue.sqlite"


@pytest.fixture
def catalogue(path: Path) -> Iterator[Catalogue]:
    """Open a new catalogue."""
    with Catalogue.open(path) as opened:
        yield opened


def add(catalogue: Catalogue, *packages: Package, published: str = TIME) -> None:
    """File packages, in one transaction."""
    with catalogue.transaction():
        # of versions that are one but for their spelling some tests have both, as catalogues from before may
        shelves = Shelves(catalogue.connection, is_rebuilding=True)
        for package in packages:
            content = package.content
            size = len(package.data)
            shelves.add(content, Entry(content.version, content.digest, content.sha256, size, published))


def row(package: Package, published: str = TIME) -> Row:
    """Say what the catalogue has of a package."""
    content = package.content
    text = content.canonical().decode()
    names = (content.package, content.branch, content.version)
    return Row(*names, text, content.sha256, len(package.data), published)


def test_the_table_ota_is_the_contracts(catalogue: Catalogue) -> None:
    """Other tools read this table: these columns, in this order, and no others."""
    columns = catalogue.connection.execute("PRAGMA table_info(ota)").fetchall()

    assert [(name, kind, key) for _, name, kind, _, _, key in columns] == [
        ("id", "INTEGER", 1),
        ("name", "TEXT", 0),
        ("version", "TEXT", 0),
        ("branch", "TEXT", 0),
        ("content", "TEXT", 0),
    ]


def test_a_release_stands_in_the_table_ota(catalogue: Catalogue) -> None:
    """Its content is the canonical content.json, as the mirror serves it."""
    package = sites.package("1.0", "app", "main", description="für alle")

    add(catalogue, package)

    rows = catalogue.connection.execute("SELECT name, version, branch, content FROM ota").fetchall()
    assert rows == [("app", "1.0", "main", package.content.canonical().decode())]


def test_commits_are_durable(catalogue: Catalogue) -> None:
    """A commit that returned survives a power cut: write-ahead log, synced at every commit."""
    assert catalogue.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert catalogue.connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_releases_come_in_the_order_of_versions(catalogue: Catalogue) -> None:
    """SQL sorts by the key of the version order, however the releases came in."""
    parts = itertools.product(["", "v"], ["0", "1", "1.0", "1.9", "1.10", "2024.02.27"], ["", "-rc1", "a", "+b5", "~x"])
    versions = ["".join(version) for version in parts]
    random.Random(7).shuffle(versions)
    add(catalogue, *(sites.package(version) for version in versions))

    highest_first = sorted(versions, key=sort_key, reverse=True)
    assert [found.version for found in catalogue.releases()] == highest_first
    assert [found.version for found in catalogue.newest("app", "main", 7)] == highest_first[:7]


def test_what_is_asked_of_releases_is_answered(catalogue: Catalogue) -> None:
    """Listing, counting and finding see the same releases."""
    one, two = sites.package("1.0"), sites.package("2.0", data=sites.package("1.0").data)
    dev, lib = sites.package("1.0", branch="dev"), sites.package("1.0", "lib")
    add(catalogue, lib, two)
    add(catalogue, one, dev, published="2026-11-24T07:00:00Z")
    later = [row(package, "2026-11-24T07:00:00Z") for package in (dev, one)]

    assert list(catalogue.releases()) == [later[0], row(two), later[1], row(lib)]
    assert list(catalogue.releases("app")) == [later[0], row(two), later[1]]
    assert list(catalogue.releases("app", "main")) == [row(two), later[1]]
    assert list(catalogue.releases("lib", "dev")) == []
    assert catalogue.count() == 4
    assert not catalogue.is_empty()
    assert catalogue.packages() == [("app", 3, "2026-11-24T07:00:00Z"), ("lib", 1, TIME)]
    assert catalogue.branches("app") == [("dev", 1), ("main", 2)]
    assert list(catalogue.all_branches()) == [
        ("app", "dev", 1, "2026-11-24T07:00:00Z", "1.0"),
        ("app", "main", 2, "2026-11-24T07:00:00Z", "2.0"),
        ("lib", "main", 1, TIME, "1.0"),
    ]
    assert catalogue.find("app", "main", "2.0") == row(two)
    assert catalogue.find("app", "main", "3.0") is None
    assert catalogue.find("APP", "main", "2.0") is None
    assert catalogue.blob_size(one.content.sha256) == len(one.data)
    assert catalogue.blob_size("f" * 64) is None
    assert list(catalogue.blobs()) == sorted((package.content.sha256, len(package.data)) for package in (one, dev, lib))


def test_finding_a_release_spells_it_exactly(catalogue: Catalogue) -> None:
    """A version that differs in case is another one."""
    add(catalogue, sites.package("1.0-RC1"))

    assert catalogue.find("app", "main", "1.0-RC1") is not None
    assert catalogue.find("app", "main", "1.0-rc1") is None


def test_a_transaction_that_fails_leaves_nothing(catalogue: Catalogue, path: Path) -> None:
    """Neither the releases nor the outbox of a failed transaction are there, and the next one works."""
    add(catalogue, sites.package("1.0"))

    def fail() -> None:
        with catalogue.transaction():
            add_unfinished(catalogue)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    add(catalogue, sites.package("2.0"))

    with Catalogue.open(path) as again:
        assert [found.version for found in again.releases()] == ["2.0", "1.0"]
        assert not again.outbox()
        assert again.publish_number() == 0


def add_unfinished(catalogue: Catalogue) -> None:
    """File a release and an outbox, without committing."""
    package = sites.package("9.0")
    content = package.content
    Shelves(catalogue.connection).add(content, Entry("9.0", content.digest, content.sha256, 1, TIME))
    catalogue.set_outbox(Pages.of([Page("releases/app/main.json", b"{}")]))


def test_others_do_not_see_what_is_not_committed(catalogue: Catalogue, path: Path) -> None:
    """A reader sees the catalogue before or after a transaction, never within."""
    with Catalogue.open(path) as reader:
        with catalogue.transaction():
            add_unfinished(catalogue)
            assert reader.count() == 0
        assert reader.count() == 1


def test_the_outbox_is_the_last_publish(catalogue: Catalogue, path: Path) -> None:
    """Each publish replaces it and has the next number; the order of its pages is kept."""
    pages = [Page(f"releases/app/{name}.json", name.encode()) for name in ("z", "a", "m")]
    immutable = Page(f"otafiles/{'a' * 64}", b"\x00\xff")
    with catalogue.transaction():
        assert catalogue.set_outbox(Pages.of([pages[0]])) == 1
    with catalogue.transaction():
        assert catalogue.set_outbox(Pages.of([*pages, immutable])) == 2

    with Catalogue.open(path) as again:
        assert again.outbox() == Pages((immutable,), tuple(pages))
        assert again.publish_number() == 2


def test_packages_are_stale_until_their_pages_are_made(catalogue: Catalogue) -> None:
    """Pages for people are rendered for what changed, and only once."""
    add(catalogue, sites.package("1.0", "B"), sites.package("1.0", "a"))
    assert catalogue.stale_packages() == ["B", "a"]

    catalogue.mark_fresh(["B"], number=1)
    assert catalogue.stale_packages() == ["a"]
    add(catalogue, sites.package("2.0", "B"))
    assert catalogue.stale_packages() == ["B", "a"]


def test_a_package_that_changed_meanwhile_stays_stale(catalogue: Catalogue) -> None:
    """A publish beside the rendering of pages is not taken for shown."""
    with catalogue.transaction():
        catalogue.set_outbox(Pages())
    add(catalogue, sites.package("1.0", "a"))

    catalogue.mark_fresh(["a"], number=1)
    assert catalogue.stale_packages() == ["a"]
    catalogue.mark_fresh(["a"], number=2)
    assert catalogue.stale_packages() == []


def test_a_new_catalogue_has_the_current_schema(catalogue: Catalogue) -> None:
    """The number of the schema stands where SQLite keeps it."""
    assert catalogue.connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    assert tables(catalogue.connection) == TABLES
    assert catalogue.is_empty()


def tables(connection: sqlite3.Connection) -> set[str]:
    """List the tables of a database."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_opening_again_changes_nothing(path: Path) -> None:
    """Migrations run once; what is in the catalogue stays."""
    with Catalogue.open(path) as catalogue:
        add(catalogue, sites.package("1.0"))
        catalogue.set_outbox(Pages.of([Page("index.html", b"x")]))
    with closing(sqlite3.connect(path)) as raw:
        before = list(raw.iterdump())

    with Catalogue.open(path):
        pass

    with closing(sqlite3.connect(path)) as raw:
        assert list(raw.iterdump()) == before


class Overtaken(sqlite3.Connection):
    """A connection of a process that another one overtakes: the catalogue is made just before it starts to."""

    path: Path

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement."""
        if statement == "BEGIN IMMEDIATE":
            with Catalogue.open(self.path) as other:
                add(other, sites.package("1.0"))
        return super().execute(statement, *values)


def test_two_processes_may_make_it_at_once(path: Path) -> None:
    """Who comes second finds it made, and does not make it again."""
    Overtaken.path = path

    with Catalogue.open(path, Overtaken) as catalogue:
        assert catalogue.count() == 1


def test_a_failed_migration_leaves_nothing(path: Path) -> None:
    """A step is whole or not there: the next try starts from the old schema."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_INSERT else sqlite3.SQLITE_OK
        )
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            schema.migrate(connection)
        connection.set_authorizer(None)
        assert tables(connection) == set()
        schema.migrate(connection)
        assert tables(connection) == TABLES


def test_a_newer_catalogue_is_refused(path: Path) -> None:
    """An older release of otamirror does not touch what it does not understand; the error says what to do."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 99")
    before = path.read_bytes()

    with (
        pytest.raises(CatalogueError, match=r"catalogue\.sqlite: .*99.*use the release that wrote it"),
        Catalogue.open(path),
    ):
        pass

    assert path.read_bytes() == before


def test_another_programs_database_is_refused(path: Path) -> None:
    """Our tables are not put among somebody else's."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE photos (id INTEGER PRIMARY KEY)")

    with pytest.raises(NotACatalogueError, match="another program"), Catalogue.open(path):
        pass

    with closing(sqlite3.connect(path)) as raw:
        assert tables(raw) == {"photos"}


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """A wrong setting does not destroy a file."""
    path.write_bytes(b"dear diary, " * 1000)

    with pytest.raises(NotACatalogueError, match=r"catalogue\.sqlite is not a catalogue"), Catalogue.open(path):
        pass

    assert path.read_bytes() == b"dear diary, " * 1000


def test_a_damaged_catalogue_is_told_from_one_that_cannot_be_read_now(path: Path) -> None:
    """What another process has locked is a catalogue still; what SQLite does not know is none."""
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as holder,
        closing(sqlite3.connect(path, timeout=0)) as us,
    ):
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("CREATE TABLE unfinished (id INTEGER)")
        with pytest.raises(CatalogueError, match="locked") as caught:
            schema.migrate(us)
        assert not isinstance(caught.value, NotACatalogueError)

    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 10_000)
    with pytest.raises(NotACatalogueError, match=r"catalogue\.sqlite is not a catalogue"), Catalogue.open(path):
        pass


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """A folder, or a place that is not there, is the operator's matter."""
    for path in (tmp_path, tmp_path / "missing" / "catalogue.sqlite"):
        with pytest.raises(CatalogueError, match="cannot be opened"), Catalogue.open(path):
            pass


def test_another_process_takes_no_log_away_from_one_that_has_it_open_twice(path: Path) -> None:
    """What a service with two connections commits is there for everybody, whoever opened and closed it meanwhile.

    SQLite removes the log when the last connection closes, and knows by locks of the file which is the last. Those of a
    process are gone once it closes the file, however it opened it.
    """
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(*c.execute(sys.argv[2])); c.close()"
    count = [sys.executable, "-c", script, str(path), "SELECT count(*) FROM release"]
    with Catalogue.open(path) as made:
        add(made, sites.package("1.0"))
    with Catalogue.open(path) as first, Catalogue.open(path):
        subprocess.run(count, check=True)

        add(first, sites.package("1.1"))

        assert subprocess.run(count, check=True, capture_output=True, text=True).stdout == "(2,)\n"
