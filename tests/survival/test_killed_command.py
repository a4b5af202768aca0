"""The real command, killed from outside with kill -9 at a system call, against a real server.

Each point is a call by which a recorded `otadevice update` changes something on the device. `otadevice recover`, run as
at boot, then finds what is there.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import httpd, trace, updates
from tests.support.faults import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.systemcalls import SystemCall
    from tests.support.updates import Scene

POINTS = 160
SAMPLE = (13, 40, 67, 94, 121, 148)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve the mirror of the scene, which is laid out at the same place each time."""
    with httpd.serving(updates.lay(updates.place()).tree) as server:
        yield server.url


@pytest.fixture(scope="module")
def calls(url: str) -> list[SystemCall]:
    """Record the calls of otadevice itself, not those of its hooks."""
    scene = lay(url)
    made = trace.record(updates.command(scene, "update"), scene.home)
    return [call for call in made if call.tracee == made[0].tracee]


def lay(url: str) -> Scene:
    """Lay out the scene, with settings for the server."""
    scene = updates.lay(updates.place())
    updates.configure(scene, url)
    scene.note("update")
    return scene


@pytest.mark.parametrize(
    "nth", [pytest.param(nth, marks=[] if nth in SAMPLE else [pytest.mark.long]) for nth in range(POINTS)]
)
def test_a_killed_command_is_recovered(nth: int, url: str, calls: list[SystemCall]) -> None:
    """Old or new, whole, with its services on it and nothing left over; and the next try reaches the new set."""
    scene = lay(url)
    trace.kill_at(updates.command(scene, "update"), calls[spread(len(calls), POINTS)[nth] - 1], scene.home)

    scene.note("recover")
    subprocess.run(updates.command(scene, "recover"), check=True, capture_output=True, timeout=60)

    updates.check(scene)
    updates.settle(scene)
