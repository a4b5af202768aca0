"""What trust costs a device and a publish on a large site, counted: 10,000 release lists in 256 bins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder import build
from mirror import layout, trust
from mirror.files import Files
from tests.bench import polling
from tests.bench import sites as bench
from tests.bench.tally import Tally
from tests.support import sites

if TYPE_CHECKING:
    from pathlib import Path

    from builder.site import Site

LISTS = 10_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site of many packages with a release each, of which nothing has to be published again."""
    folder: Path = tmp_path_factory.mktemp("large")
    site = sites.make(folder / "site", "[trust]\nbins = 256\n")
    with build.opened(site) as builder:
        for start in range(0, LISTS, 2500):
            names = [bench.package(number) for number in range(start, start + 2500)]
            builder.publish([bench.release(name, "1.0", folder) for name in names])
    return site


def in_the_bin_of(package: str) -> str:
    """Name another package whose list is in the same bin."""
    bins = trust.bins(8, ["0"])
    wanted = bins.get_role_for_target(layout.release_list(package, bench.BRANCH))
    others = (bench.package(number) for number in range(1, LISTS))
    return next(name for name in others if bins.get_role_for_target(layout.release_list(name, bench.BRANCH)) == wanted)


@pytest.mark.long
@pytest.mark.parametrize("elsewhere", ["somewhere-else", in_the_bin_of(bench.package(0))])
def test_a_device_asks_for_little(elsewhere: str, large: Site, tmp_path: Path) -> None:
    """A quiet poll is one request; after a publish elsewhere, even in the same bin, there are at most four more."""
    row = polling.measure(large, LISTS, tmp_path, elsewhere)

    assert (row.quiet_requests, row.quiet_bytes <= 400) == (1, True)
    assert row.news_requests <= 4
    assert row.news_bytes <= 12_000


@pytest.mark.long
def test_a_publish_writes_little(large: Site, tmp_path: Path) -> None:
    """At most eleven files and 60 kB beside the blob."""
    tally = Tally()
    with build.opened(large, Files(tally)) as builder:
        builder.finish()
        release = bench.release("another-one", "1.0", tmp_path)
        os.sync()
        before = (tally.files, tally.bytes)
        builder.publish([release])

    assert tally.files - before[0] <= 11
    assert tally.bytes - before[1] <= 60_000
