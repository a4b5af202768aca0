"""What keeps an update from being installed, and that nothing of it is begun as long as it does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

import pytest

from devclient import draft, gate, poll, update
from devclient.held_errors import InhibitedError, StoppedError
from devclient.lifeline import Lifeline
from devclient.settings.config import Daemon
from devclient.settings.windows import Window
from devclient.states import State
from mirror.files import Files
from tests.device.test_update import NEW, OLD, make_device, place
from tests.support.faults import CountingCalls

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.check import Offer
    from devclient.device import Device, Mirror
    from devclient.held_errors import HeldError

NIGHT = Daemon(windows=(Window(time(2), time(4), frozenset(range(7)), None),))
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def device(tmp_path: Path, tree: Path) -> Device:
    """A device that has 1.0 of app, and a mirror that has 2.0."""
    return make_device(tmp_path, tree, Files())


class Hold:
    """Holds updates back from the given question on."""

    def __init__(self, since: int = 1) -> None:
        self.asked, self._since = 0, since

    def __call__(self) -> HeldError | None:
        """Answer a question."""
        self.asked += 1
        return InhibitedError(NIGHT.inhibit) if self.asked >= self._since else None


class Stop(Lifeline):
    """Wants the work to stop from the beginning."""

    stopping = True


def test_the_inhibit_file_is_looked_for_each_time(tmp_path: Path) -> None:
    """It comes and goes as programs on the device like."""
    settings = Daemon(inhibit=tmp_path / "inhibit")

    assert gate.inhibited(settings) is None
    settings.inhibit.touch()
    assert "as long as" in str(gate.inhibited(settings))


def test_without_windows_it_is_never_outside_of_them() -> None:
    """Whoever sets none wants none."""
    assert gate.outside(Daemon(), NOON) is None
    assert gate.outside(NIGHT, NOON) is not None


def test_what_is_held_is_downloaded_and_no_more(device: Device) -> None:
    """Nothing lies beside its place, the journal is at rest, and the bytes are here for later."""
    (result,) = poll.run(replace(device, held=Hold()))

    assert (result.outcome, result.code, result.exit_code) == ("waits", "inhibited", 75)
    assert (result.version, result.offered, result.to) == ("1.0", "2.0", "")
    assert place(device).read_bytes() == OLD.data
    assert [path.name for path in place(device).parent.iterdir()] == ["app"]
    assert [path.name for path in device.parts.iterdir()] == [NEW.sha256]
    assert update.open_journal(device).record.state is State.IDLE


def test_what_is_here_and_held_is_not_begun(device: Device) -> None:
    """Each poll of a day spares the disk: only its results are written."""
    poll.run(replace(device, held=Hold()))
    counting = CountingCalls()

    poll.run(replace(device, held=Hold(), files=Files(counting)))

    assert counting.by_name["rename"] == 1
    assert counting.by_name["overwrite"] == 0


def test_what_came_to_be_held_meanwhile_is_given_up(device: Device) -> None:
    """A window may close while a large package is copied."""
    hold = Hold(since=2)

    (result,) = poll.run(replace(device, held=hold))

    assert (hold.asked, result.code) == (2, "inhibited")
    assert place(device).read_bytes() == OLD.data
    assert [path.name for path in place(device).parent.iterdir()] == ["app"]
    assert update.open_journal(device).record.state is State.IDLE
    poll.run(device)
    assert place(device).read_bytes() == NEW.data


def test_what_its_owner_takes_away_is_not_held(device: Device) -> None:
    """Undoing and removing is nobody else's business."""
    poll.run(device)
    held = replace(device, held=Hold())
    last = device.plans.last
    assert last is not None

    poll.settle(draft.rollback(last, poll.desk(held)), held)
    assert place(device).read_bytes() == OLD.data
    poll.remove("app", held)
    assert not place(device).exists()


def test_nothing_is_begun_once_otadevice_shall_stop(device: Device) -> None:
    """The mirror is not even asked."""
    asked: list[str] = []

    def ask(url: str) -> Mirror:
        asked.append(url)
        return device.mirror(url)

    assert poll.run(replace(device, lifeline=Stop(), mirror=ask)) == []
    assert asked == []
    assert place(device).read_bytes() == OLD.data


def test_a_download_ends_when_otadevice_shall_stop(device: Device) -> None:
    """What has come stays, and the next one goes on with it."""
    line = Lifeline()

    def stop(_offer: Offer, have: int) -> None:
        line.stopping = have > 0

    (result,) = poll.run(replace(device, lifeline=line, progress=stop))

    assert (result.outcome, result.code) == ("waits", StoppedError.code)
    assert update.open_journal(device).record.state is State.IDLE
    (part,) = device.parts.iterdir()
    assert (part.suffix, 0 < part.stat().st_size < len(NEW.data)) == (".part", True)
