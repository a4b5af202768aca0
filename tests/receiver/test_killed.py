"""Receivers that are killed: what was acknowledged is there, what was not is there whole or not at all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from builder import check
from builder.catalogue import Catalogue
from tests.receiver import rig as rigs
from tests.receiver.one_thread import VERSIONS
from tests.support import clients, powercut, readers, sites
from tests.support.faults import spread
from tests.support.trace import kill_at, record

if TYPE_CHECKING:
    from pathlib import Path

    from builder.site import Site
    from tests.support.systemcalls import SystemCall

SAMPLE = 6
PARTS = 6


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> list[SystemCall]:
    """Record the system calls by which a receiver changes files, from its start to its end."""
    folder = tmp_path_factory.mktemp("recording") / "site"
    return record(command(sites.make(folder)), folder)


def command(site: Site) -> list[str]:
    """Give the command line of a receiver that ends when it has received all versions."""
    return [sys.executable, "-m", "tests.receiver.one_thread", str(site.file)]


def kill_and_restart(call: SystemCall, folder: Path) -> None:
    """Kill a receiver, look at what readers see, start another one, and check that it is whole."""
    site = sites.make(folder)
    acknowledged = kill_at(command(site), call, folder).stdout.split()

    seen = readers.look(site.paths.mirror)
    clients.look(site.paths.mirror, folder / "client")
    assert set(acknowledged) <= {version for _, _, version in seen.versions()}

    with rigs.receiving(site) as rig:
        rig.publish(version="9.0")
        readers.look(site.paths.mirror).keeps(seen)
        clients.look(site.paths.mirror, folder / "client")
        assert rig.spooled() == []
    with Catalogue.open(site.paths.catalogue) as catalogue:
        versions = {row.version for row in catalogue.releases()}
        assert list(check.check(site.paths.mirror, catalogue)) == []
    assert {*acknowledged, "9.0"} <= versions <= {*VERSIONS, "9.0"}


def test_there_are_many_calls_to_be_killed_at(recording: list[SystemCall]) -> None:
    """Receiving three packages changes files by at least sixty system calls, in one thread, SQLite's among them."""
    names = {path.name for call in recording for path in call.paths}

    assert len(recording) >= 60
    assert {call.tracee for call in recording} == {0}
    assert {"catalogue.sqlite-wal", "main.json"} <= names


@pytest.mark.parametrize("nth", range(SAMPLE))
def test_a_receiver_that_was_killed_loses_nothing_that_it_acknowledged(
    nth: int, recording: list[SystemCall], tmp_path: Path
) -> None:
    """Killed at calls from all over the run: what was acknowledged is there, and nothing is there by half."""
    kill_and_restart(recording[spread(len(recording), SAMPLE)[nth] - 1], tmp_path / "site")


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_a_receiver_that_was_killed_anywhere_loses_nothing_that_it_acknowledged(
    part: int, recording: list[SystemCall], tmp_path: Path
) -> None:
    """The same at every single call."""
    for point, call in enumerate(recording):
        if point % PARTS == part:
            kill_and_restart(call, tmp_path / f"{point}")


@pytest.mark.root
def test_a_power_cut_right_after_the_answer_takes_nothing_back(tmp_path: Path) -> None:
    """What is acknowledged is durable: a machine that loses its power the next moment comes up with it."""
    with powercut.disk() as machine, rigs.running(machine.folder / "site") as rig:
        rig.publish(version="1.0")
        machine.sync()
        rig.publish(version="2.0")
        with machine.cut():
            seen = readers.look(rig.site.paths.mirror)

    assert seen.versions() == [("tool", "main", "1.0"), ("tool", "main", "2.0")]
