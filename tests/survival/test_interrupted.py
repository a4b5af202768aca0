"""Updates that are cut off again and again: they wait longer each time, and everything ends the wait that should.

Where it is cut is chosen by who runs the hooks: it dies as the first one of a kind begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient import poll
from devclient.hooks import Runner
from tests.support import updates
from tests.support.faults import Killed
from tests.support.updates import NEW, OLD

if TYPE_CHECKING:
    from collections.abc import Callable

    from devclient.device import Device
    from devclient.hooks import Ending, Hook, Process
    from devclient.records.results import Result
    from tests.support.updates import Scene

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
BEFORE_UPDATE, AFTER_UPDATE = "", "updated"
"""What hooks of a kind are told as the result."""


@dataclass
class Mortal:
    """Runs hooks, and dies instead of running one of a kind."""

    runner: Runner
    deadly: str

    def run(self, hook: Hook, record: Callable[[Process], None]) -> Ending:
        """Run it, or die."""
        if hook.variables["OTA_RESULT"] == self.deadly:
            raise Killed
        return self.runner.run(hook, record)


def device(scene: Scene, now: datetime) -> Device:
    """Put the device together at a time of its clock's."""
    return replace(scene.device(), now=lambda: now)


def poll_at(scene: Scene, now: datetime) -> list[Result]:
    """Poll at a time."""
    scene.note("update")
    return poll.run(device(scene, now))


def cut_at(scene: Scene, now: datetime, kind: str = BEFORE_UPDATE) -> None:
    """Poll at a time, and be cut off as the first hook of a kind begins."""
    scene.note("update")
    mortal = device(scene, now)
    with pytest.raises(Killed):
        poll.run(replace(mortal, runner=Mortal(Runner(mortal.boot, grace=0.2), kind)))


def codes(results: list[Result]) -> set[tuple[str, int]]:
    """Tell how they failed."""
    return {(result.code, result.exit_code) for result in results}


WAITS = {("interrupted", 75)}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(BEFORE_UPDATE, id="prepared"), pytest.param(AFTER_UPDATE, id="installed", marks=pytest.mark.long)],
)
def test_the_fourth_try_waits_an_hour_then_two_then_four(scene: Scene, kind: str) -> None:
    """It counts from the recovery on, which is the first thing that the next poll does."""
    for minute in range(3):
        cut_at(scene, NOON + minute * MINUTE, kind)

    now = NOON + 3 * MINUTE  # here it is found for the third time
    for hours in (1, 2, 4):
        assert codes(poll_at(scene, now)) == WAITS
        assert codes(poll_at(scene, now + hours * HOUR - MINUTE)) == WAITS
        now += hours * HOUR
        cut_at(scene, now, kind)

    assert codes(poll_at(scene, now)) == WAITS
    assert updates.check(scene) == OLD
    (message,) = {result.message.split(": ")[1] for result in poll_at(scene, now)}
    assert message.startswith("this device was cut off 6 times while it was being installed, so it waits until 2026-11")


def test_what_waits_keeps_what_was_downloaded(scene: Scene) -> None:
    """Or each wait would end with downloading it all again."""
    for _ in range(3):
        cut_at(scene, NOON)
    assert codes(poll_at(scene, NOON)) == WAITS  # what was laid out when it was cut off has gone back
    parts = sorted(scene.device().parts.iterdir())

    assert codes(poll_at(scene, NOON)) == WAITS

    assert len(parts) == 3
    assert sorted(scene.device().parts.iterdir()) == parts


def test_the_owner_can_end_the_wait(scene: Scene) -> None:
    """What is cleared begins anew, and has all its tries again."""
    for _ in range(3):
        cut_at(scene, NOON)
    assert codes(poll_at(scene, NOON)) == WAITS

    device(scene, NOON).marks.clear()

    for _ in range(2):
        cut_at(scene, NOON)
    poll_at(scene, NOON)
    assert updates.check(scene) == NEW


def test_success_forgets_what_was_cut_off(scene: Scene) -> None:
    """Four cuts in all, but two and two: nothing has to wait on a device that is put back and remembers its marks."""
    kept, marks = updates.copy(scene), device(scene, NOON).work / "marks"
    for _ in range(2):
        cut_at(scene, NOON)
    poll_at(scene, NOON)
    assert updates.check(scene) == NEW
    remembered = marks.read_bytes()
    updates.put_back(kept, scene)
    marks.write_bytes(remembered)

    for _ in range(2):
        cut_at(scene, NOON)
    poll_at(scene, NOON)

    assert updates.check(scene) == NEW


def test_another_update_does_not_wait(scene: Scene) -> None:
    """What was cut off is this way from one set to another; a newer release is another way."""
    for _ in range(3):
        cut_at(scene, NOON)
    assert codes(poll_at(scene, NOON)) == WAITS

    updates.break_hook(scene, "app", "before_update", "true")
    poll_at(scene, NOON)

    assert updates.check(scene) == NEW


@pytest.mark.parametrize(("then", "now"), [(FAR, NOON), (FAR + HOUR, FAR), (datetime(1970, 1, 1, tzinfo=UTC), NOON)])
def test_a_clock_that_was_wrong_stretches_no_wait(scene: Scene, then: datetime, now: datetime) -> None:
    """A wait that began in another time has ended in this one."""
    for _ in range(3):
        cut_at(scene, then)
    assert codes(poll_at(scene, then)) == WAITS

    poll_at(scene, now)

    assert updates.check(scene) == NEW


def test_a_cut_before_anything_was_begun_does_not_count(scene: Scene) -> None:
    """Until PREPARED nothing can have gone wrong by what is installed."""
    for _ in range(5):
        here = device(scene, NOON)

        def dies(_offer: object, have: int) -> None:
            if have:
                raise Killed

        scene.note("update")
        with pytest.raises(Killed):
            poll.run(replace(here, progress=dies))
        for part in here.parts.iterdir():
            part.unlink()

    poll_at(scene, NOON)

    assert updates.check(scene) == NEW
