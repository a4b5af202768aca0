"""Readers that poll a real nginx as fast as they can, while releases are published: they never see a broken mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder import build
from mirror import canonical, layout, releases
from tests.support import nginx, poller, sites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.build import Builder
    from builder.site import Site
    from tests.support.poller import Report
    from tests.support.sites import Package

READERS = 4
BEFORE = 110
"""Releases that the longest branch has from before; it is filled up soon."""

BRANCHES = [("app", "main"), ("app", "dev"), ("lib", "main"), ("tool", "main")]
CHECKS = (
    "requests", "rounds", "304", "304 proven", "200 to a poll", "lists changed", "maxVersion changed",
    "blobs", "documents", "segments", "seen before",
)  # fmt: skip


@pytest.fixture
def builder(site: Site) -> Iterator[Builder]:
    """Open a site with a long branch, and short ones."""
    with build.opened(site) as opened:
        put(opened, [sites.package(f"1.{number + 1000}") for number in range(BEFORE)])
        put(opened, [sites.package("1.1000", *branch) for branch in BRANCHES[1:]])
        opened.refresh_pages()
        yield opened


def put(builder: Builder, packages: list[Package]) -> None:
    """Publish packages together."""
    folder = builder.site.file.parent / "uploads"
    publication = builder.publish([sites.release(package, folder) for package in packages])
    assert all(verdict.is_new for verdict in publication.verdicts)


def packages(number: int) -> list[Package]:
    """Choose what the publish of this number brings: half of them go to the longest branch.

    All versions have the same length, so that pointers change without changing their size. Every seventh publish
    brings an old version, every tenth three packages together.
    """
    branch = BRANCHES[0] if number % 2 else BRANCHES[1 + number // 2 % 3]
    chosen = [sites.package(f"{1 if number % 7 else 0}.{2000 + number}", *branch)]
    if number % 10 == 0:
        chosen += [sites.package(f"1.{2000 + number}", *other) for other in BRANCHES if other != branch][:2]
    return chosen


def publish_and_poll(builder: Builder, publishes: int, folder: Path) -> list[Report]:
    """Publish while four readers poll, and return what they say."""
    folder.mkdir()
    with (
        nginx.running(builder.site.paths.mirror, folder) as server,
        poller.polling(server.port, BRANCHES, READERS) as readers,
    ):
        for number in range(publishes):
            put(builder, packages(number))
            if number % 10 == 0:
                builder.refresh_pages()
        return [reader.report() for reader in readers]


def check_reports(reports: list[Report], mirror: Path) -> None:
    """Check that every reader looked at everything, and knows the mirror as it is."""
    for report in reports:
        assert [check for check in CHECKS if not report.counts.get(check)] == []
        assert report.copies == {target: canonical.digest((mirror / path).read_bytes()) for target, path in pointers()}
    newest = releases.parse((mirror / layout.release_list(*BRANCHES[0])).read_bytes())
    assert newest.older


def pointers() -> Iterator[tuple[str, str]]:
    """Yield what readers poll, and the file that it is."""
    for package, branch in BRANCHES:
        yield f"maxVersion?package={package}&branch={branch}", layout.max_version(package, branch)
        yield layout.release_list(package, branch), layout.release_list(package, branch)
        yield layout.package_page(package), layout.package_page(package)
    yield layout.INDEX_PAGE, layout.INDEX_PAGE


def test_readers_never_see_a_broken_mirror(builder: Builder, tmp_path: Path) -> None:
    """During sixty publishes nothing is missing, broken, stale or taken back."""
    reports = publish_and_poll(builder, 60, tmp_path / "nginx")

    check_reports(reports, builder.site.paths.mirror)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_readers_never_see_a_broken_mirror_in_the_long_run(builder: Builder, tmp_path: Path) -> None:
    """During five hundred publishes nothing is missing, broken, stale or taken back."""
    reports = publish_and_poll(builder, 500, tmp_path / "nginx")

    check_reports(reports, builder.site.paths.mirror)
