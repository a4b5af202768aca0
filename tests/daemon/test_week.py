"""A week of a device's life in simulated time, with the real loop and real updates.

In that week the clocks of Berlin go forward, on Sunday 29 March 2026, over the beginning of a window.
"""

from __future__ import annotations

import itertools
import logging
import random
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from devclient import gate, state
from devclient.daemon import loop, visit
from devclient.daemon.schedule import Schedule
from devclient.errors import NetworkError
from devclient.settings import windows
from devclient.settings.config import Daemon as DaemonSettings
from devclient.settings.windows import DAYS, Window
from mirror.files import Files
from tests.support import devices, trees
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devclient.daemon.visit import Visit
    from devclient.device import Device
    from devclient.settings.config import Settings
    from devclient.trust.standing import Standing
    from devclient.web.answers import Body

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = Window(time(2, 15), time(2, 45), frozenset(DAYS.values()), BERLIN)
WEDNESDAY = Window(time(22), time(4), frozenset({DAYS["wed"]}), BERLIN)
ONE_DAY = timedelta(days=1)


def berlin(text: str) -> datetime:
    """Read a time of that March on a clock in Berlin."""
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=BERLIN).astimezone(UTC)


MONDAY, END = berlin("23T00:00"), berlin("30T12:00")
RELEASED = {"1.1": berlin("24T10:00"), "1.2": berlin("26T12:00"), "1.3": berlin("28T15:00")}
OUTAGES = ((berlin("25T01:00"), berlin("25T02:20")), (berlin("26T11:00"), berlin("27T01:00")))


class AwayMirror(devices.FolderMirror):
    """A mirror that cannot be reached at some times."""

    def __init__(self, tree: Path, *, away: bool) -> None:
        super().__init__(tree)
        self._away = away

    def release_list(self, package: str, branch: str) -> bytes:
        """Read a release list, if the mirror is there."""
        self._see()
        return super().release_list(package, branch)

    @contextmanager
    def blob(self, sha256: str, offset: int, **how: object) -> Iterator[Body]:
        """Read a blob, if the mirror is there."""
        self._see()
        with super().blob(sha256, offset, **how) as body:
            yield body

    def _see(self) -> None:
        if self._away:
            raise NetworkError("http://mirror.example", "the connection failed")


class Mirrors:
    """What is known of it besides packages: nothing."""

    least_wait = 0.0
    received = 0

    def standings(self) -> dict[str, Standing | None]:
        """Tell of no remote."""
        return {}


@dataclass
class Life:
    """A week: time passes only while the daemon sleeps, and a little while it polls.

    Attributes:
        polls: when it polled.
        installed: when it installed which version.
        out: what is released.
    """

    folder: Path
    seed: int
    settings: DaemonSettings
    outages: tuple[tuple[datetime, datetime], ...] = OUTAGES
    now: datetime = MONDAY
    stopping: bool = False
    reloading: bool = False
    polls: list[datetime] = field(default_factory=list)
    installed: dict[str, datetime] = field(default_factory=dict)
    out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "opt").mkdir()
        entry = {"package": "app", "branch": "stable", "local": f"{self.folder}/opt/app"}
        devices.write_state(self.folder / "otadevice.json", entry)
        self._publish()

    def live(self) -> None:
        """Live through the week."""
        loop.Daemon(
            load=lambda: self._device().settings,
            work=self,
            service=self,
            schedule=Schedule(random.Random(self.seed).random),
            clock=self.seconds,
            now=lambda: self.now,
        ).run()

    def seconds(self) -> float:
        """Tell the time in seconds."""
        return self.now.timestamp()

    def wait(self, seconds: float) -> None:
        """Sleep, as short as the real service does."""
        self._pass(min(seconds, 150))

    def is_ready(self, status: str) -> None:
        """Take notice of nothing."""

    tell = is_ready

    def arrive(self, _settings: Settings) -> bool:
        """Be up."""
        return True

    def least_wait(self, _settings: Settings) -> float:
        """Have nobody want to be left alone."""
        return 0

    def is_away(self) -> bool:
        """Tell whether the mirror is away now."""
        return any(begins <= self.now < ends for begins, ends in self.outages)

    def _pass(self, seconds: float) -> None:
        self.now += timedelta(seconds=max(seconds, 0.001))
        self.stopping = self.now >= END
        self._publish()

    def _publish(self) -> None:
        out = ["1.0", *(version for version, at in RELEASED.items() if at <= self.now)]
        if out != self.out:
            self.out = out
            trees.write(self.folder / "mirror", *(Release(version, version.encode()) for version in out))

    def visit(self, _settings: Settings, itself: str | None) -> Visit:
        """Poll, as the real one does."""
        self.polls.append(self.now)
        device, before = self._device(), self._version()
        found = visit.of(device, Mirrors(), itself)
        if self._version() != before:
            self.installed[self._version()] = self.now
        self._pass(1)
        return found

    def _device(self) -> Device:
        made = devices.device(self.folder, self.folder / "mirror", Files())
        return replace(
            made,
            settings=replace(made.settings, daemon=self.settings),
            mirror=lambda _url: AwayMirror(self.folder / "mirror", away=self.is_away()),
            now=lambda: self.now,
            held=lambda: gate.inhibited(self.settings) or gate.outside(self.settings, self.now),
        )

    def _version(self) -> str:
        return state.load(self.folder / "otadevice.json").packages[0].version


SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 6))]


@pytest.fixture
def life(tmp_path: Path, request: pytest.FixtureRequest) -> Life:
    """A week of a device with two windows."""
    settings = DaemonSettings(inhibit=tmp_path / "inhibit", windows=(NIGHTLY, WEDNESDAY))
    return Life(tmp_path, request.param, settings)


@pytest.mark.parametrize("life", SEEDS, indirect=True)
def test_no_update_outside_of_a_window_and_none_missed(life: Life) -> None:
    """Each release is installed in the first window in which the mirror could be reached, whatever chance says."""
    life.live()

    assert list(life.installed) == ["1.0", "1.1", "1.2", "1.3"]
    assert all(windows.open_until(life.settings.windows, at) for at in life.installed.values())
    assert berlin("23T02:15") <= life.installed["1.0"] < berlin("23T02:45")
    # the mirror came back while the window of the night was open: there or in the evening
    assert berlin("25T02:20") <= life.installed["1.1"] < berlin("26T02:45")
    assert berlin("27T02:15") <= life.installed["1.2"] < berlin("28T02:45")
    # half an hour later than ever, since there was no 2:15
    assert berlin("29T03:15") <= life.installed["1.3"] < berlin("29T03:45")


@pytest.mark.parametrize("life", SEEDS, indirect=True)
def test_a_decision_is_a_line(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    """At most one for each poll, and the same one twice is said once."""
    caplog.set_level("INFO", "devclient.daemon")
    decisions = Decisions(life)

    with caplog.filtering(decisions):
        life.live()

    said = [record.getMessage() for record in caplog.records]
    assert 0 < len(said) <= len(life.polls) / 3
    assert all(one != two for one, two in itertools.pairwise(said))
    assert len(decisions.after) == len(set(decisions.after)), "a poll has come to two lines"


class Decisions(logging.Filter):
    """Lets through only what the daemon says, and notes after how many polls that was."""

    def __init__(self, life: Life) -> None:
        super().__init__("devclient.daemon")
        self._life = life
        self.after: list[int] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Note it."""
        if is_decision := bool(super().filter(record)):
            self.after.append(len(self._life.polls))
        return is_decision


@pytest.mark.parametrize("life", SEEDS, indirect=True)
def test_polls_are_as_often_as_was_set(life: Life) -> None:
    """About once an hour, and never again within a minute but at a window's beginning."""
    life.live()

    hours = (END - MONDAY) / timedelta(hours=1)
    assert hours * 0.7 < len(life.polls) < hours * 1.4
    gaps = [two - one for one, two in itertools.pairwise(life.polls)]
    openings = [opens for window in life.settings.windows for opens, _ in window.spans(berlin("24T12:00"))]
    close = [two for gap, two in zip(gaps, life.polls[1:], strict=True) if gap < timedelta(minutes=15)]
    assert [at for at in close if not any(opens <= at < opens + timedelta(minutes=20) for opens in openings)] == []


def test_without_windows_a_release_is_installed_within_the_longest_interval(tmp_path: Path) -> None:
    """Unless the mirror is away: then within what the back-off allows after that."""
    life = Life(tmp_path, 1, DaemonSettings(inhibit=tmp_path / "inhibit"))

    life.live()

    assert list(life.installed) == ["1.0", "1.1", "1.2", "1.3"]
    assert life.installed["1.1"] - RELEASED["1.1"] <= timedelta(hours=1.6)
    assert life.installed["1.2"] - OUTAGES[1][1] <= timedelta(hours=6.1)


def test_while_inhibited_nothing_is_installed_and_then_at_once(tmp_path: Path) -> None:
    """Whoever removes the file need not wait for the next poll."""
    life = Life(tmp_path, 1, DaemonSettings(inhibit=tmp_path / "inhibit"), outages=())
    life.settings.inhibit.touch()
    freed = berlin("24T17:03")
    passes = life._pass

    def free(seconds: float) -> None:
        passes(seconds)
        if life.now >= freed:
            life.settings.inhibit.unlink(missing_ok=True)

    life._pass = free  # type: ignore[method-assign]  # somebody removes it at that time
    life.live()

    assert list(life.installed) == ["1.1", "1.2", "1.3"]
    assert freed <= life.installed["1.1"] < freed + timedelta(minutes=5)
