"""builder/recover.py: a lost catalogue comes back from the mirror, as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import build, recover, render
from builder.catalogue import Catalogue
from builder.errors import CatalogueError, MirrorError, VersionConflictError
from builder.pages import Pages
from builder.shelf import Shelves
from mirror import canonical, layout, releases, trust
from mirror.files import Files
from tests.support import sites
from tests.support.publishers import entry

if TYPE_CHECKING:
    from builder.site import Site

VERSIONS = [f"1.{number}" for number in range(200)]


@pytest.fixture
def published(site: Site) -> Site:
    """A site with a long branch, cut into segments, and two more packages."""
    packages = [sites.package(version) for version in VERSIONS]
    packages += [sites.package("2.0", "other"), sites.package("1.0", "other", "next", dependencies={"app": ">=1"})]
    with build.opened(site) as builder:
        for start in range(0, len(packages), 50):
            group = [sites.release(package, site.paths.var / "made") for package in packages[start : start + 50]]
            builder.publish(group)
    return site


def lose_catalogue(site: Site) -> None:
    """Remove the catalogue."""
    site.paths.catalogue.unlink()


def tables(site: Site) -> dict[str, list[tuple[object, ...]]]:
    """Read what the catalogue holds, without row numbers."""
    queries = {
        "ota": "SELECT name, branch, version, content FROM ota ORDER BY 1, 2, 3",
        "release": "SELECT folded, order_key, offered, blob, size, published, entry FROM release ORDER BY entry",
        "branch": "SELECT package, name, folded, older FROM branch ORDER BY 1, 2",
        "segment": "SELECT highest, reference, frame FROM segment ORDER BY 1, 2",
        "package": "SELECT folded, name FROM package ORDER BY 1",
    }
    connection = sqlite3.connect(site.paths.catalogue)
    try:
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}
    finally:
        connection.close()


def test_a_recovered_catalogue_is_the_lost_one(published: Site) -> None:
    """Every table has the same rows, and rendering from it changes no byte of the mirror."""
    before, mirror = tables(published), sites.pages(published.paths.mirror)
    lose_catalogue(published)

    with build.opened(published, recovers=True) as builder:
        assert builder.recover() == len(VERSIONS) + 2
        assert builder.render_all() == 0

    assert tables(published) == before
    assert sites.pages(published.paths.mirror) == mirror


def test_publishing_goes_on_after_recovery(published: Site) -> None:
    """New releases are filed where they belong, and known ones stay immutable."""
    lose_catalogue(published)
    with build.opened(published, recovers=True) as builder:
        builder.recover()
        made = published.paths.var / "made"
        old = sites.release(sites.package("1.0.5"), made)
        conflict = sites.release(sites.package("1.7", data=b"others"), made)

        accepted, refused = builder.publish([old, conflict]).verdicts

    assert accepted.is_new
    assert isinstance(refused.error, VersionConflictError)


def test_versions_that_are_one_stay_if_they_were_accepted_before(site: Site) -> None:
    """A mirror from before may have both; its catalogue is made again with both, and takes no third."""
    packages = [sites.package("1.2"), sites.package("v1.2")]
    with Catalogue.open(Path(":memory:")) as before:
        shelves = Shelves(before.connection, is_rebuilding=True)
        for package in packages:
            shelves.add(package.content, entry(package))
            Files().make_folder(site.paths.mirror / "otafiles")
            (site.paths.mirror / layout.blob(package.content.sha256)).write_bytes(package.data)
        pages = Pages.of(render.changed(shelves, [package.content for package in packages]))
    for page in (*pages.immutable, *pages.pointers):
        path = site.paths.mirror / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page.data)

    with build.opened(site, recovers=True) as builder:
        assert builder.recover() == 2
        (verdict,) = builder.publish([sites.release(sites.package("1.2.0"), site.paths.var)]).verdicts

    assert isinstance(verdict.error, VersionConflictError)


@pytest.mark.parametrize("future", [1e9, 4e9, 2**40])
def test_a_release_that_no_list_names_yet_is_taken(future: float, published: Site) -> None:
    """It was accepted when the machine died between immutable files and pointers; it was never published tomorrow."""
    package = sites.package("3.0")
    sites.release(package, published.paths.mirror / "otafiles")  # writes the blob
    blob = published.paths.mirror / "otafiles" / package.content.digest
    blob.rename(published.paths.mirror / layout.blob(package.content.sha256))
    path = published.paths.mirror / layout.get_version("app", "main", "3.0")
    path.write_bytes(package.content.canonical())
    lose_catalogue(published)

    os.utime(path, (future, future))

    with build.opened(published, recovers=True) as builder:
        builder.recover()
        builder.render_all()
        found = builder.catalogue.find("app", "main", "3.0")

    assert found
    assert trust.moment(found.published) <= datetime.now(UTC)
    assert (published.paths.mirror / layout.max_version("app", "main")).read_bytes() == package.content.canonical()


def test_what_readers_do_not_know_is_kept(published: Site) -> None:
    """Keys and needs of newer builders stand in the lists after recovery, as before; here of one that did not sign."""
    shutil.rmtree(published.paths.mirror / layout.METADATA)
    pointer = published.paths.mirror / layout.release_list("other", "main")
    text = pointer.read_text().replace('"releases":', '"needs":["rollout"],"releases":')
    text = text.replace('"size":', '"shiny":{"b":1},"size":').replace("]}\n", '],"zebra":true}\n')
    pointer.write_text(text)
    lose_catalogue(published)

    with build.opened(published, recovers=True) as builder:
        builder.recover()
        builder.render_all()

    assert pointer.read_text() == text
    assert releases.parse(text.encode()).extra == {"zebra": True}


@pytest.mark.parametrize("lost", ["content", "segment", "list"])
def test_a_damaged_mirror_is_refused_whole(published: Site, lost: str) -> None:
    """What is missing is named, and the catalogue stays empty."""
    mirror = published.paths.mirror
    newest = releases.parse((mirror / layout.release_list("app", "main")).read_bytes())
    current = canonical.digest((mirror / layout.release_list("app", "main")).read_bytes())
    path = {
        "content": layout.get_version("app", "main", "1.3"),
        "segment": layout.hashed_release_list("app", "main", newest.older[0].sha256),
        "list": layout.hashed_release_list("app", "main", current),
    }[lost]
    (mirror / path).write_bytes(b"{}") if lost == "list" else (mirror / path).unlink()
    lose_catalogue(published)

    with build.opened(published, recovers=True) as builder:
        with pytest.raises(MirrorError, match="app on main"):
            builder.recover()
        assert builder.catalogue.count() == 0


def test_a_catalogue_that_is_there_is_not_overwritten(published: Site) -> None:
    """Recovery is for a lost catalogue only."""
    with build.opened(published) as builder, pytest.raises(CatalogueError, match="nothing was lost"):
        builder.recover()


def test_a_site_whose_catalogue_was_lost_publishes_nothing(published: Site) -> None:
    """Going on from nothing would drop releases from lists and let versions be used again."""
    mirror = sites.stamps(published.paths.mirror)
    lose_catalogue(published)
    sites.drop(published.paths.inbox, sites.package("9.9"))

    with build.opened(published, recovers=True) as builder:
        with pytest.raises(CatalogueError, match="recover"):
            builder.take_inbox()
        with pytest.raises(CatalogueError, match="recover"):
            builder.prune(keep_days=0)

    assert sites.stamps(published.paths.mirror) == mirror


def test_an_unreadable_catalogue_is_set_aside(tmp_path: Path) -> None:
    """It and SQLite's own files are kept under another name; a sound one is left alone."""
    path = tmp_path / "catalogue.sqlite"
    path.write_bytes(b"not a database" * 100)
    wal = tmp_path / "catalogue.sqlite-wal"
    wal.write_bytes(b"?")

    assert recover.set_aside(path, Files())
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "catalogue.sqlite-wal.damaged",
        "catalogue.sqlite.damaged",
    ]


def test_a_sound_catalogue_is_not_set_aside(published: Site) -> None:
    """Only what cannot be read is moved."""
    assert not recover.set_aside(published.paths.catalogue, Files())
    assert published.paths.catalogue.exists()
