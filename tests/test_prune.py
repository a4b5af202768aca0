"""builder/prune.py: what nothing refers to goes, and nothing else."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from builder import build, check, cli, render
from builder.shelf import Shelves
from builder.site import Cache
from mirror import layout, trust
from tests.signing.ground import AGE, DAY, Ground, rotate
from tests.support import clients, sites

if TYPE_CHECKING:
    from pathlib import Path

    from builder.site import Site


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


def test_a_damaged_list_keeps_all_blobs(site: Site) -> None:
    """Nobody can tell what it named, which devices may be on their way to."""
    publish(site, "1.0")
    (superseded,) = site.paths.mirror.glob("releases/*/*.main.json")
    publish(site, "1.1")
    orphan = site.paths.mirror / layout.blob("ab" * 32)
    orphan.write_bytes(b"orphan")
    superseded.write_bytes(b"{")

    with build.opened(site) as builder:
        assert builder.prune(keep_days=30) == []

    assert orphan.exists()


def test_what_would_be_removed_can_be_seen_first(site: Site) -> None:
    """A dry run names the same files as the run after it, and removes none; both say how many there are."""
    publish(site, "1.0")
    orphan = site.paths.mirror / layout.blob("ab" * 32)
    orphan.write_bytes(b"orphan")
    dry = CliRunner().invoke(cli.main, ["--site", str(site.file), "prune", "--dry-run"])
    assert orphan.exists()

    wet, again = (CliRunner().invoke(cli.main, ["--site", str(site.file), "prune"]) for _ in range(2))

    assert dry.stdout == wet.stdout == f"{layout.blob('ab' * 32)}\n"
    assert "1 file would be removed\n" in dry.stderr
    assert "1 file removed\n" in wet.stderr
    assert (again.stdout, again.stderr.endswith("0 files removed\n")) == ("", True)
    assert not orphan.exists()


def hashed(ground: Ground) -> list[str]:
    """List the release lists under their own hash."""
    found = {path: layout.parse_release_list(path) for path in sites.paths(ground.mirror)}
    return [path for path, name in found.items() if name and name.sha256]


def prune(ground: Ground, keep_days: int = 0) -> list[str]:
    """Remove what is not needed; the mirror is sound after it."""
    with ground.opened() as builder:
        removed = builder.prune(keep_days)
        assert list(check.check(ground.mirror, builder.catalogue)) == []
    return removed


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A site with a release that is two months old, and looked after since."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    ground.pass_time(60 * DAY)
    return ground


def test_nothing_goes_that_a_living_timestamp_led_to(ground: Ground) -> None:
    """However old a file is, a device that polled before it was superseded finds it until its timestamp expires."""
    known = clients.verify(ground.mirror, ground.folder / "before", at=ground.clock())
    cached = {layout.TIMESTAMP: (ground.mirror / layout.TIMESTAMP).read_bytes()}
    ground.publish("1.1")
    removed: list[str] = []
    for _ in range(7):
        removed += prune(ground)
        assert clients.verify(ground.mirror, ground.folder / "behind", at=ground.clock(), cached=cached) == known
        shutil.rmtree(ground.folder / "behind")
        ground.pass_time(DAY)

    assert [path for path in removed if path.endswith(".snapshot.json")], "nothing was old enough"


@pytest.mark.parametrize("age", [AGE, 5 * AGE])
def test_what_is_superseded_goes_once_no_timestamp_leads_to_it(age: int, ground: Ground) -> None:
    """That is when the last one has expired and no cache can have it any more, to the second."""
    ground.site = dataclasses.replace(ground.site, cache=Cache(longest_age=age))
    issued = ground.clock()
    ground.publish("1.1")
    ground.clock.now += DAY
    ground.publish("1.2")
    (led_to,) = [path for path in set(hashed(ground)) - current(ground) if b"1.1" in read(ground, path)]

    ground.pass_time(12 * DAY)
    ground.pass_time(issued + 14 * DAY + age - 1 - ground.clock())
    early = prune(ground)
    ground.pass_time(1)
    late = prune(ground)

    assert [led_to in paths for paths in (early, late)] == [False, True]
    assert set(hashed(ground)) == current(ground)
    ground.look()


def read(ground: Ground, path: str) -> bytes:
    """Read a file of the mirror."""
    return (ground.mirror / path).read_bytes()


def current(ground: Ground) -> set[str]:
    """Name the release lists in force."""
    with ground.opened() as builder:
        everything = list(render.everything(Shelves(builder.catalogue.connection), lambda _: None))
    return {page.path for page in everything if (name := layout.parse_release_list(page.path)) and name.sha256}


def test_the_operator_may_keep_it_for_longer(ground: Ground) -> None:
    """`--keep-days` counts from when a file was superseded."""
    ground.publish("1.1")
    ground.pass_time(29 * DAY)
    assert not [path for path in prune(ground, 30) if layout.parse_release_list(path)]

    ground.pass_time(2 * DAY)
    assert len([path for path in prune(ground, 30) if layout.parse_release_list(path)]) == 1


def test_a_shorter_life_of_timestamps_ends_none_that_is_out(ground: Ground) -> None:
    """A timestamp that was signed for longer leads to its files for as long as it says itself."""
    ground.settings(timestamp_days=1)
    ground.publish("1.1")
    ground.clock.now += DAY // 2
    ground.publish("1.2")
    for _ in range(10):
        ground.pass_time(DAY)
        assert not [path for path in prune(ground) if layout.parse_release_list(path)]

    for _ in range(5):
        ground.pass_time(DAY)
    assert len([path for path in prune(ground) if layout.parse_release_list(path)]) == 2


def test_a_rotation_keeps_files_for_the_greatest_age_since_it_began(ground: Ground) -> None:
    """A setting that is lowered on the way does not end what caches may still lead to."""
    caches = [dataclasses.replace(ground.site, cache=Cache(longest_age=age)) for age in (20 * DAY, AGE)]
    ground.publish("1.1")
    ground.site = caches[0]
    ground.change(rotate(trust.TIMESTAMP))
    ground.site = caches[1]

    ground.pass_time(19 * DAY)
    assert not [path for path in prune(ground) if layout.parse_release_list(path)]
    ground.pass_time(30 * DAY)
    ground.pass_time(DAY)
    assert [path for path in prune(ground) if layout.parse_release_list(path)]


def test_older_segments_count_from_when_they_are_superseded(tmp_path: Path) -> None:
    """A segment is kept as a list is, and no longer."""
    ground = Ground(tmp_path)
    ground.publish(*(f"2.{number}" for number in range(129)))
    ground.pass_time(30 * DAY)
    ground.publish("1.0")  # lower than all: it goes into the older segment
    before = set(hashed(ground)) - current(ground)
    assert len(before) >= 2

    ground.pass_time(16 * DAY)
    assert before <= set(prune(ground))
    ground.look()


def test_what_nobody_noted_counts_from_when_it_is_found(ground: Ground) -> None:
    """Such files are of a catalogue that was rebuilt, or of an older otamirror."""
    ground.publish("1.1")
    for file in ground.site.paths.var.glob("catalogue.sqlite*"):
        file.unlink()
    with ground.opened() as builder:
        builder.recover()
    old = set(hashed(ground)) - current(ground)
    assert old

    assert not old & set(prune(ground))
    ground.pass_time(13 * DAY)
    assert not old & set(prune(ground))
    ground.pass_time(2 * DAY)
    assert old <= set(prune(ground))


def test_a_blob_that_a_list_still_names_stays(ground: Ground) -> None:
    """The catalogue may not know its release; a device that has the list asks for the blob."""
    other = sites.package("9.0", "other")
    lost = Ground(ground.folder / "other")
    with lost.opened() as builder:
        builder.publish([sites.release(other, lost.site.paths.spool / "made")])
    (path,) = hashed(lost)
    sites.write(ground.mirror, {path: read(lost, path), layout.blob(other.content.sha256): other.data})
    with ground.opened() as builder:
        builder.prune(0)
        assert (ground.mirror / layout.blob(other.content.sha256)).exists()
        ground.clock.now += 13 * DAY
        builder.resign()
        ground.clock.now += 2 * DAY
        builder.prune(0)
        assert not (ground.mirror / path).exists()
        assert not (ground.mirror / layout.blob(other.content.sha256)).exists()


def test_roots_and_what_is_in_force_stay(ground: Ground) -> None:
    """The rest of the metadata is gone in the end."""
    ground.publish("1.1")
    ground.pass_time(40 * DAY)
    prune(ground)

    ground.look()
    names = set(sites.paths(ground.mirror / layout.METADATA))
    assert {"1.root.json", "1.targets.json", "timestamp.json"} <= names
    assert len([name for name in names if name.endswith(".snapshot.json")]) <= 3


def test_a_pruned_mirror_renders_the_same(tmp_path: Path) -> None:
    """Nothing that is rendered was removed."""
    ground = Ground(tmp_path)
    ground.publish(*(f"1.{number}" for number in range(130)))
    ground.pass_time(40 * DAY)

    prune(ground)

    with ground.opened() as builder:
        assert builder.render_all() == 0
