"""builder/prune.py: what nothing refers to goes, and nothing else."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from builder import build, check
from mirror import layout
from tests.support import clients, sites

if TYPE_CHECKING:
    from builder.site import Site

DAY = 86_400


def publish(site: Site, *versions: str) -> None:
    """Publish releases one by one, so that lists are superseded."""
    with build.opened(site) as builder:
        for version in versions:
            builder.publish([sites.release(sites.package(version), site.paths.var / "made")])


def test_a_blob_without_a_release_is_removed(site: Site) -> None:
    """Such a blob is what an upload leaves that died before its commit."""
    publish(site, "1.0")
    orphan = site.paths.mirror / layout.blob("ab" * 32)
    orphan.write_bytes(b"orphan")

    with build.opened(site) as builder:
        assert builder.prune(keep_days=30) == [layout.blob("ab" * 32)]

    assert not orphan.exists()


def test_superseded_lists_go_when_they_are_old(site: Site) -> None:
    """Lists that are in use stay, however old; young ones stay for devices that still hold older metadata."""
    publish(site, "1.0", "1.1", "1.2")
    hashed = [path for path in sites.paths(site.paths.mirror) if "/" in path and len(path.split("/")[-1]) > 70]
    lists = [path for path in hashed if layout.parse_release_list(path)]
    now = sites.Clock()
    for path in lists:
        os.utime(site.paths.mirror / path, (now() - 31 * DAY, now() - 31 * DAY))
    young = lists[0]
    os.utime(site.paths.mirror / young, (now() - 29 * DAY, now() - 29 * DAY))

    with build.opened(site, clock=now) as builder:
        removed = builder.prune(keep_days=30)
        assert list(check.check(site.paths.mirror, builder.catalogue)) == []

    gone = [path for path in removed if layout.parse_release_list(path)]
    assert len(lists) == 3
    assert young not in gone
    assert len(gone) in {1, 2}  # the young one may be the list in use
    assert set(gone) <= set(lists)


def test_superseded_metadata_goes_when_nobody_can_ask_for_it(site: Site) -> None:
    """What is in force stays, and every root; the rest is kept at least until a timestamp of then has expired."""
    publish(site, "1.0", "1.1", "1.2")
    now = sites.Clock(time.time())
    names = set(sites.paths(site.paths.mirror / layout.METADATA))

    with build.opened(site, clock=now) as builder:
        assert builder.prune(keep_days=0) == []
        now.now += 13 * DAY
        assert builder.prune(keep_days=0) == []
        now.now += 2 * DAY
        removed = {path.removeprefix(layout.METADATA) for path in builder.prune(keep_days=0)}

    kept = set(sites.paths(site.paths.mirror / layout.METADATA))
    assert {name for name in removed if "." in name and "/" not in name} == names - kept
    assert {"1.snapshot.json", "2.snapshot.json", "3.snapshot.json"} <= removed
    assert {"1.root.json", "1.targets.json", "1.unclaimed.json", "4.snapshot.json", "timestamp.json"} <= kept
    clients.verify(site.paths.mirror, site.file.parent / "client")


def test_a_pruned_mirror_renders_the_same(site: Site) -> None:
    """Nothing that is rendered was removed."""
    publish(site, *(f"1.{number}" for number in range(130)))

    with build.opened(site, clock=lambda: 4e9) as builder:
        builder.prune(keep_days=0)
        assert builder.render_all() == 0
