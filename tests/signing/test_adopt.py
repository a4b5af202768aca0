"""builder/signing/adopt.py: a catalogue that was lost, or is of yesterday, never makes a mirror that clients refuse."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from builder.errors import MirrorError
from mirror import layout, trust
from tests.signing.ground import Ground, claim, rotate, unclaim
from tests.support import sites
from tests.support.faults import KILLS, CountingCalls, FaultyCalls, Killed, spread
from tests.support.faults import Fault as Cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LISTS = {"releases/app/main.json", "releases/lib/main.json"}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A site with releases of two packages, known to a client."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    ground.publish("1.0", package="lib")
    ground.look()
    return ground


def releases(ground: Ground) -> list[str]:
    """Name the releases of app."""
    with ground.opened() as builder:
        return [row.version for row in builder.catalogue.releases("app")]


def claimed(ground: Ground) -> None:
    """Have app claimed."""
    publisher = ground.new_key()
    ground.change(claim("app", publisher), uris=[str(publisher)])


def rebinned(ground: Ground) -> None:
    """Have another number of bins."""
    ground.settings(bins=8)
    with ground.opened() as builder:
        builder.rebin()


def dropped(ground: Ground) -> None:
    """Have app claimed and given back."""
    claimed(ground)
    ground.settle()
    ground.change(unclaim("app"))


def rotated(ground: Ground) -> None:
    """Rotate every role's key."""
    for role in (*trust.TOP, trust.UNCLAIMED):
        ground.change(rotate(role))
        ground.settle()


SINCE: dict[str, Callable[[Ground], object]] = {
    "releases": lambda ground: ground.publish("1.1", "1.2"),
    "a full list": lambda ground: ground.publish(*(f"1.{number}" for number in range(1, 140))),
    "a timestamp's rotation under way": lambda ground: ground.change(rotate(trust.TIMESTAMP)),
    "rotations": rotated,
    "a claim": claimed,
    "a claim that is dropped": dropped,
    "other bins": rebinned,
    "a new package": lambda ground: ground.publish("1.0", package="new"),
    "everything anew": lambda ground: ground.pass_time(50 * 86_400),
}


@pytest.mark.parametrize("since", SINCE)
def test_a_catalogue_of_yesterday_takes_over_what_it_missed(since: str, ground: Ground) -> None:
    """Clients take everything that is published after it was put back, and no release of today is lost."""
    backup = ground.backup()
    SINCE[since](ground)
    lists, before, known = ground.look(), ground.versions(), releases(ground)

    ground.restore(backup)
    ground.publish("7.0", package="lib")

    after = ground.versions()
    assert {role: version for role, version in before.items() if after[role] < version} == {}
    assert releases(ground) == known
    assert {path: data for path, data in ground.look().items() if "lib" not in path} == {
        path: data for path, data in lists.items() if "lib" not in path
    }


@pytest.mark.parametrize("since", SINCE)
def test_a_lost_catalogue_comes_back_from_the_mirror(since: str, ground: Ground) -> None:
    """Roots, targets, claims and counters too; clients that come back take what is published then."""
    SINCE[since](ground)
    lists, before = ground.look(), ground.versions()
    for file in ground.site.paths.var.glob("catalogue.sqlite*"):
        file.unlink()

    with ground.opened() as builder:
        builder.recover()
    assert ground.look() == lists
    ground.publish("7.0", package="lib")

    after = ground.versions()
    assert {role: version for role, version in before.items() if after[role] < version} == {}
    ground.look()
    ground.settle()
    ground.look()


def test_an_empty_site_whose_catalogue_is_lost_goes_on(tmp_path: Path) -> None:
    """A mirror without releases keeps its root, and clients that are pinned to it their trust."""
    ground = Ground(tmp_path)
    ground.pass_time(0)
    ground.look()
    root = (ground.mirror / layout.metadata(trust.ROOT, 1)).read_bytes()
    ground.site.paths.catalogue.unlink()

    ground.publish("1.0")

    assert ground.look(root)
    assert (ground.mirror / layout.metadata(trust.ROOT, 1)).read_bytes() == root


def test_a_publish_that_was_cut_short_before_the_backup_came_back(ground: Ground) -> None:
    """What a publish wrote that nobody saw the end of is never signed again under the same number."""
    counting = CountingCalls()
    with ground.opened(counting) as builder:
        builder.publish([sites.release(sites.package("2.0", "lib"), ground.site.paths.spool / "made")])
    names = [call.paths[-1].name for call in counting.calls if call.name == "rename"]
    shown = [n for n, call in enumerate(counting.calls, 1) if call.name == "rename"][names.index("timestamp.json")]
    backup = ground.backup()

    with pytest.raises(Killed), ground.opened(FaultyCalls(Cut(shown, KILLS[0]))) as builder:
        builder.publish([sites.release(sites.package("2.1", "lib"), ground.site.paths.spool / "made")])
    assert len([*ground.mirror.glob("getVersion/lib/main/*.json")]) == 3
    ground.restore(backup)
    ground.publish("2.2", package="lib")

    with ground.opened() as builder:
        assert [row.version for row in builder.catalogue.releases("lib")] == ["2.2", "2.1", "2.0", "1.0"]
    ground.look()


def test_an_unsigned_mirror_is_signed_at_the_next_start(tmp_path: Path) -> None:
    """One that was made before there were signatures goes on, with every list in its bin."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    ground.publish("1.0", package="lib")
    shutil.rmtree(ground.mirror / layout.METADATA)
    with ground.opened() as builder, builder.catalogue.transaction():
        for statement in ("DELETE FROM outbox", "DELETE FROM role", "DELETE FROM root", "UPDATE branch SET role = ''"):
            builder.catalogue.connection.execute(statement)

    ground.publish("1.1")

    assert set(ground.look()) == LISTS


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (layout.metadata(trust.ROOT, 1), "1.root.json is missing"),
        (layout.metadata(trust.TARGETS, 1), "no targets that the root's keys have signed"),
        (layout.metadata(trust.UNCLAIMED, 1), "no `unclaimed` that the targets' keys have signed"),
    ],
)
def test_what_cannot_be_made_anew_has_to_be_there(path: str, reason: str, ground: Ground) -> None:
    """Without a root and what it vouches for there is nothing to go on from; the catalogue stays empty."""
    (ground.mirror / path).unlink()
    ground.site.paths.catalogue.unlink()

    with ground.opened() as builder:
        with pytest.raises(MirrorError, match=reason):
            builder.recover()
        assert builder.catalogue.is_empty()
        assert builder.signing.roles.all() == []


def test_a_strangers_timestamp_moves_no_counter(ground: Ground, tmp_path: Path) -> None:
    """Whoever can write to the mirror's folder, and has no key, cannot make the builder believe that it is behind."""
    before = ground.versions()
    stranger = Ground(tmp_path / "stranger")
    stranger.publish(*(f"1.{number}" for number in range(3)))
    for _ in range(9):
        stranger.publish("2.0", package=f"p{_}")
    shutil.copy(stranger.mirror / layout.TIMESTAMP, ground.mirror / layout.TIMESTAMP)

    ground.publish("1.1")

    assert ground.versions()[trust.TIMESTAMP] == before[trust.TIMESTAMP] + 1
    ground.look()


def restored(folder: Path) -> Ground:
    """Lay out a site whose catalogue of yesterday was just put back."""
    ground = Ground(folder)
    ground.publish("1.0")
    backup = ground.backup()
    ground.publish("1.1")
    claimed(ground)
    ground.look()
    ground.restore(backup)
    return ground


def test_catching_up_can_be_killed_anywhere(tmp_path: Path) -> None:
    """The next start goes on, and no client is ever refused."""
    counting = CountingCalls()
    with restored(tmp_path / "clean").opened(counting) as builder:
        builder.finish()
    assert len(counting.calls) > 20

    for mode in KILLS:
        for point in spread(len(counting.calls), 8):
            ground = restored(tmp_path / f"{mode.name}-{point}")
            with pytest.raises(Killed), ground.opened(FaultyCalls(Cut(point, mode))) as builder:
                builder.finish()
            ground.publish("7.0", package="lib")
            ground.look()
            assert releases(ground) == ["1.1", "1.0"]
