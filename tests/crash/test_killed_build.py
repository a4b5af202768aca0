"""Builds that are killed: the next one finishes what they began, and no reader sees anything of it.

In process, death comes before each call of `mirror.files.Calls`, and halfway through each write. From outside, kill -9
comes at system calls that change files, SQLite's among them, from all over a run of the real command.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

import pytest

from mirror import layout
from tests.support import crashes
from tests.support.faults import (
    KILL_BEFORE,
    KILL_HALFWAY,
    KILLS,
    SYNCS,
    CountingCalls,
    Fault,
    FaultyCalls,
    Killed,
    spread,
    sweep,
)
from tests.support.trace import kill_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.crashes import Recording, Scene
    from tests.support.faults import Call

SAMPLE = 4
PARTS = 6
POINTS = 130


def kill_and_settle(recording: Recording, point: int, folder: Path) -> None:
    """Kill the command at a call of the recording, and let the next build finish."""
    scene = recording.lay(folder)
    kill_at(scene.command, recording.calls[point - 1], folder)
    crashes.settle(scene)


def test_there_are_many_calls_to_be_killed_at(recording: Recording) -> None:
    """A build of two packages changes files by at least sixty system calls, SQLite's and ours."""
    paths = {path.name for call in recording.calls for path in call.paths}

    assert len(recording.calls) >= 60
    assert {"catalogue.sqlite", "catalogue.sqlite-wal", "main.json", "index.html", "claimed"} <= paths


@pytest.mark.parametrize("nth", range(SAMPLE))
def test_a_build_that_was_killed_is_finished_by_the_next(nth: int, recording: Recording, tmp_path: Path) -> None:
    """Killed at calls from all over the run: all is published once, and no reader notices."""
    kill_and_settle(recording, spread(len(recording.calls), SAMPLE)[nth], tmp_path / "site")


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_a_build_that_was_killed_anywhere_is_finished_by_the_next(
    part: int, recording: Recording, tmp_path: Path
) -> None:
    """The same at many calls."""
    for point in spread(len(recording.calls), POINTS, seed=1)[part::PARTS]:
        try:
            kill_and_settle(recording, point, tmp_path / f"{point}")
        except Exception as error:
            error.add_note(f"killed at call {point}, {recording.calls[point - 1]}")
            raise


def die_and_settle(scene: Scene, fault: Fault) -> None:
    """Die in this process, and let the next build finish."""
    with pytest.raises(Killed):
        crashes.run(scene.site, FaultyCalls(fault))
    assert crashes.held_open(scene.site) == []
    crashes.settle(scene)


@sweep(lambda calls: crashes.clean_run("empty", calls), KILLS, wanted=6)
def test_a_first_build_that_died_is_finished_by_the_next(fault: Fault, tmp_path: Path) -> None:
    """Dead before or in the middle of any call, with no mirror there before."""
    die_and_settle(crashes.lay("empty", tmp_path / "site"), fault)


@sweep(lambda calls: crashes.clean_run("grown", calls), KILLS, wanted=6)
def test_a_build_that_died_is_finished_by_the_next(fault: Fault, tmp_path: Path) -> None:
    """Dead before or in the middle of any call, with pointers to be replaced and a segment to be cut off."""
    die_and_settle(crashes.lay("grown", tmp_path / "site"), fault)


@pytest.mark.parametrize("name", crashes.SCENES)
def test_a_reader_never_sees_a_broken_mirror(name: str, tmp_path: Path) -> None:
    """Before each call of a build that nothing happens to, all that can be seen is whole and nothing has gone."""
    scene = crashes.lay(name, tmp_path / "site")
    calls = crashes.WatchedCalls(scene)

    crashes.run(scene.site, calls)

    assert len(calls.calls) > 60
    calls.look()
    assert len(calls.seen.versions()) == len(scene.packages)


@pytest.mark.parametrize("name", crashes.SCENES)
def test_a_builder_that_dies_again_and_again_comes_through(name: str, tmp_path: Path) -> None:
    """Each build dies one call later than the one before it, until one comes through: all is published once."""
    scene, deaths = crashes.lay(name, tmp_path / "site"), 0

    for point in itertools.count(1):
        try:
            crashes.run(scene.site, FaultyCalls(Fault(point, KILL_BEFORE)))
        except Killed:
            crashes.look(scene)
            deaths += 1
        else:
            break

    assert deaths >= 10
    crashes.check_settled(scene.site, scene.packages)
    crashes.publish_next(scene)


def test_what_a_dead_builder_did_not_commit_is_not_there(tmp_path: Path) -> None:
    """Dead within the transaction that accepts releases, it leaves no release in the catalogue and nothing open."""
    scene = crashes.lay("empty", tmp_path / "site")
    named, *_ = crashes.points("empty", lambda call: call.paths[-1].parent.name == layout.BLOBS)

    with pytest.raises(Killed):
        crashes.run(scene.site, FaultyCalls(Fault(named, KILL_HALFWAY)))

    assert crashes.held_open(scene.site) == []
    assert list(crashes.look(scene).files) != []
    assert crashes.catalogued(scene.site) == []


def test_what_was_published_before_the_kill_is_not_published_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed between the publish and the removal of the drops, the releases are known to the next build."""
    scene = crashes.lay("empty", tmp_path / "site")
    removed, *_ = crashes.points("empty", lambda call: call.name == "rename" and call.paths[0].parent.name == "claimed")
    with pytest.raises(Killed):
        crashes.run(scene.site, FaultyCalls(Fault(removed, KILL_BEFORE)))
    published = crashes.look(scene)

    with caplog.at_level(logging.INFO):
        result = crashes.run(scene.site)

    assert [verdict.is_new for verdict in result.verdicts] == [False, False]
    assert "was published before" in caplog.text
    assert crashes.look(scene).releases == published.releases


def act(call: Call) -> str:
    """Name what a call does to the mirror; nothing if that is of no account."""
    if call.name == "rename" and "mirror" in call.paths[1].parts:
        path = call.paths[1].as_posix().partition("/mirror/")[2]
        return "name blobs" if path.startswith(layout.BLOBS) else f"name {layout.kind(path).value}s"
    if call.name == "open" and "spool" in call.paths[0].parts:
        return "write"
    return "sync" if call.name in SYNCS else ""


def test_bytes_are_synced_before_they_are_named_and_names_before_what_leads_to_them() -> None:
    """Not every power cut shows a sync that is missing, so the order of the contract is checked for itself."""
    counting = CountingCalls()
    crashes.clean_run("grown", counting)

    acts = [name for name, _ in itertools.groupby(filter(None, map(act, counting.calls)))]

    rounds = "write, sync, name blobs, sync, write, sync, name immutables, sync, name pointers, sync"
    assert rounds in ", ".join(acts)
    for named in [place for place, name in enumerate(acts) if name.startswith("name")]:
        assert (acts[named - 1], acts[named + 1]) == ("sync", "sync")
