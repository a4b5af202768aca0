"""Updates on a device whose clock is wrong, or jumps: nothing unsigned is believed, and the right clock mends it.

libfaketime lies to the real command about the time of day; the clock that measures waiting stays true.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror import layout
from tests.support import tools, updates
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from tests.support.httpd import Server
    from tests.support.updates import Scene

YEAR = timedelta(days=365)
NOW = datetime.now(UTC)
EPOCH = datetime(1970, 1, 2, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)

# what a device of today may do: time is never before the mirror was signed last, so only a clock far ahead matters
CLOCKS = {
    "1970": (EPOCH, 0, NEW),
    "a-year-back": (NOW - YEAR, 0, NEW),
    "a-year-ahead": (NOW + YEAR, 75, OLD),
    "2100": (FAR, 75, OLD),
}
SAMPLE = ("1970", "a-year-ahead")
EACH_CLOCK = pytest.mark.parametrize(
    "clock", [pytest.param(clock, marks=[] if clock in SAMPLE else [pytest.mark.long]) for clock in CLOCKS]
)


def update(scene: Scene, clock: datetime | Path) -> subprocess.CompletedProcess[str]:
    """Run the real command at a time, or at the one that a file says."""
    library = next(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"), None)
    if library is None:
        tools.missing("libfaketime is not installed")
    when = (
        {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
        if isinstance(clock, Path)
        else {"FAKETIME": _written(clock)}
    )
    environment = {**os.environ, **when, "LD_PRELOAD": str(library), "TZ": "UTC", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    scene.note("update")
    command = updates.command(scene, "update")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done


def _written(clock: datetime) -> str:
    return f"@{clock:%Y-%m-%d %H:%M:%S}"


@EACH_CLOCK
def test_a_wrong_clock_does_no_harm(scene: Scene, server: Server, clock: str) -> None:
    """One that is behind does not matter, one that is far ahead is told, and the right one mends it."""
    time, code, version = CLOCKS[clock]

    done = update(scene, time)

    assert (done.returncode, updates.check(scene)) == (code, version), done.stderr
    assert update(scene, datetime.now(UTC)).returncode == 0
    assert updates.check(scene) == NEW
    assert server.asked("/otafiles/")


@EACH_CLOCK
def test_no_clock_makes_a_forgery_pass(scene: Scene, server: Server, clock: str) -> None:
    """A list that nobody signed is refused, whatever the time, and stands in the way of no signed one."""
    for path in scene.tree.glob(layout.RELEASE_LISTS):
        path.write_bytes(path.read_bytes().replace(b'"published":"2026', b'"published":"2025'))

    time, code, _ = CLOCKS[clock]

    done = update(scene, time)

    assert (done.returncode, updates.check(scene)) == (code or 1, OLD), done.stderr
    assert server.asked("/otafiles/") == []
    updates.publish(scene)
    assert update(scene, datetime.now(UTC)).returncode == 0
    assert updates.check(scene) == NEW


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("1970", NOW),
        pytest.param("a-year-back", FAR, marks=pytest.mark.long),
        pytest.param("a-year-back", EPOCH, marks=pytest.mark.long),
    ],
)
def test_a_clock_that_jumps_in_the_middle_does_no_harm(
    scene: Scene, server: Server, tmp_path: Path, first: str, then: datetime
) -> None:
    """As when the time is set by the network while a hook runs: the update comes to its end."""
    clock = tmp_path / "clock"
    clock.write_text(f"{_written(CLOCKS[first][0])}\n")
    # more than a pipe holds, so that otadevice has to look at the hook, and at its time limit, after the jump
    updates.break_hook(scene, "app", "before_update", f"echo '{_written(then)}' > {clock}; head -c 1000000 /dev/zero")

    done = update(scene, clock)

    assert (done.returncode, updates.check(scene)) == (0, NEW), done.stderr
    results = (scene.home / "otadevice-work" / "results.json").read_text()
    assert f'"at": "{CLOCKS[first][0]:%Y}-' not in results, "the clock did not jump"
    assert update(scene, datetime.now(UTC)).returncode == 0
    assert server.asked("/otafiles/")
