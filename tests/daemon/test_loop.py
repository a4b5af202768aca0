"""What the daemon decides, with a clock, a service and polls that are the test's."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient.daemon import loop
from devclient.daemon.schedule import Schedule
from devclient.daemon.visit import Visit
from devclient.errors import SettingsError
from devclient.settings.config import Daemon as DaemonSettings
from devclient.settings.config import Remote, Settings
from devclient.settings.windows import DAYS, Window
from tests.support import devices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MORNING = datetime(2026, 11, 27, 6, tzinfo=UTC)
HOUR = 3600.0
AWAY, NOTHING = Visit("away", 75, failed=True), Visit("nothing newer")
STEADY = DaemonSettings(jitter=0)
NIGHT = Window(time(22), time(23), frozenset(DAYS.values()), None)


@dataclass
class Script:
    """One life of a daemon, whose polls come to what the test says.

    Attributes:
        visits: what the polls come to, one after the other; the last one again and again.
        until: the seconds after which it shall stop.
        polls: when it polled, in seconds.
        statuses: what it has told its service.
        reads: what reading the settings comes to, from the second time on.
    """

    folder: Path
    visits: list[Visit]
    until: float
    daemon: DaemonSettings = STEADY
    itself: str = ""
    least: float = 0
    seconds: float = 0
    arrivals: int = 0
    stopping: bool = False
    reloading: bool = False
    polls: list[float] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    reads: list[Settings | SettingsError] = field(default_factory=list)
    events: dict[float, Callable[[], object]] = field(default_factory=dict)

    def live(self) -> Script:
        """Live it."""
        self.state(version="1", content="1" * 64)
        loop.Daemon(
            load=self._load,
            work=self,
            service=self,
            schedule=Schedule(lambda: 0.5),
            clock=lambda: self.seconds,
            now=lambda: MORNING + timedelta(seconds=self.seconds),
        ).run()
        return self

    @property
    def settings(self) -> Settings:
        """The settings that it begins with."""
        remote = Remote("main", ("http://mirror.example",), self.folder / "root.json")
        file, state = self.folder / "otadevice.toml", self.folder / "otadevice.json"
        return Settings(file, state, self.folder, (), (remote,), daemon=self.daemon, itself=self.itself)

    def state(self, *, version: str, content: str) -> None:
        """Have a release of otadevice be installed."""
        entry = {"package": "otadevice", "branch": "stable", "version": version, "otadevice": {"content": content}}
        devices.write_state(self.folder / "otadevice.json", entry)

    def wait(self, seconds: float) -> None:
        """Sleep, as short as the real service does."""
        self.seconds += min(max(seconds, 0.001), 150)
        for at in [at for at in self.events if at <= self.seconds]:
            self.events.pop(at)()
        self.stopping = self.stopping or self.seconds >= self.until

    def is_ready(self, status: str) -> None:
        """Note it."""
        self.statuses.append(f"ready: {status}")

    def tell(self, status: str) -> None:
        """Note it."""
        self.statuses.append(status)

    def reload(self) -> None:
        """Have it read its settings again."""
        self.reloading = True

    def _load(self) -> Settings:
        found = self.reads.pop(0) if self.reads else self.settings
        if isinstance(found, SettingsError):
            raise found
        return found

    def arrive(self, _settings: Settings) -> bool:
        """Be up, from the second try on."""
        self.arrivals += 1
        return self.arrivals > 1

    def least_wait(self, _settings: Settings) -> float:
        """Tell how long the mirror wants to be left alone."""
        return self.least

    def visit(self, _settings: Settings, _itself: str | None) -> Visit:
        """Poll."""
        self.polls.append(self.seconds)
        return self.visits.pop(0) if len(self.visits) > 1 else self.visits[0]


def test_it_polls_by_the_interval_and_says_when_next(tmp_path: Path) -> None:
    """At once, and then each hour."""
    life = Script(tmp_path, [NOTHING], until=2.5 * HOUR).live()

    assert life.polls == [0, HOUR, 2 * HOUR]
    assert life.statuses[0] == "ready: polls in 0 s"
    assert life.statuses[1:] == ["nothing newer; polls again in 60 min"] * 3
    assert life.arrivals == 2


def test_what_mirrors_wanted_before_a_restart_holds_after_it(tmp_path: Path) -> None:
    """Whatever ended the life before, the mirror is not asked sooner for it."""
    life = Script(tmp_path, [NOTHING], until=2 * HOUR, least=1800).live()

    assert life.polls == [1800, 1800 + HOUR]


def test_what_became_possible_here_is_no_reason_to_ask_sooner(tmp_path: Path) -> None:
    """The inhibit file goes, or the settings are read again: the mirror's word counts all the same."""
    held = Visit("inhibited", 75, held="inhibited", least=2 * HOUR)
    life = Script(tmp_path, [held], until=2.5 * HOUR, daemon=DaemonSettings(jitter=0, inhibit=tmp_path / "inhibit"))
    life.events = {600: life.reload}

    assert life.live().polls == [0, 2 * HOUR]


@pytest.mark.parametrize("then", [AWAY, Visit("busy", 75, busy=True)], ids=["away", "busy"])
def test_what_became_possible_and_failed_is_not_tried_without_a_pause(tmp_path: Path, then: Visit) -> None:
    """The file goes while the mirror is away, or another otadevice at work: that is asked once, and then as usual."""
    settings = DaemonSettings(jitter=0, inhibit=tmp_path / "inhibit")
    settings.inhibit.touch()
    life = Script(tmp_path, [Visit("inhibited", 75, held="inhibited"), then], until=1800, daemon=settings)
    life.events = {600: settings.inhibit.unlink}

    _, at, *others = life.live().polls

    assert 600 <= at < 800
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise([at, *others]))


def test_a_failure_in_a_window_is_not_its_end(tmp_path: Path) -> None:
    """What waited for it is tried again after a share of what is left of it, whatever the back-off says."""
    held = Visit("outside", 75, held="window")
    life = Script(tmp_path, [held, *[AWAY] * 3, NOTHING], until=17.5 * HOUR)
    life.daemon = DaemonSettings(interval=24 * HOUR, jitter=0, windows=(NIGHT,))
    opens = 16 * HOUR

    first, *inside = life.live().polls

    assert first == 0
    # a quarter of the hour, then of the three quarters that are left, and so on
    assert inside == [opens, opens + 900, opens + 900 + 675, pytest.approx(opens + 900 + 675 + 506.25)]


def test_while_another_is_at_work_it_comes_back_each_minute(tmp_path: Path) -> None:
    """Also if that one has replaced otadevice itself, and has yet to finish: it does not ask without a pause."""
    busy = Visit("busy", 75, busy=True)
    life = Script(tmp_path, [NOTHING, busy, busy, Visit("replaced", leaves=True)], until=5 * HOUR, itself="otadevice")
    life.events = {1000: lambda: life.state(version="2", content="2" * 64)}

    at, *then = life.live().polls[1:]

    assert 1000 <= at < 1200
    assert then == [at + 60, at + 120]


def test_it_makes_way_for_another_otadevice(tmp_path: Path) -> None:
    """As soon as that is in place, whoever has installed it; settings that are read again hide nothing."""
    life = Script(tmp_path, [NOTHING, Visit("replaced", leaves=True)], until=5 * HOUR, itself="otadevice")

    def replace() -> None:
        life.state(version="2", content="2" * 64)
        life.reload()

    life.events = {1000: replace}
    life.live()

    assert len(life.polls) == 2
    assert life.seconds < 1200


def test_a_state_file_that_cannot_be_read_is_no_other_otadevice(tmp_path: Path) -> None:
    """An owner may be writing it right now."""
    life = Script(tmp_path, [NOTHING], until=1.5 * HOUR, itself="otadevice")
    life.events = {
        1000: lambda: (tmp_path / "otadevice.json").write_text("{"),
        2000: lambda: life.state(version="1", content="1" * 64),
    }

    assert life.live().polls == [0, HOUR]


def test_settings_that_cannot_be_read_again_change_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said what is wrong; the next poll comes when it would have come."""
    life = Script(tmp_path, [NOTHING], until=1.5 * HOUR)
    life.reads = [life.settings, SettingsError(tmp_path / "otadevice.toml", "is not TOML")]
    life.events = {1000: life.reload}

    assert life.live().polls == [0, HOUR]
    assert "is not TOML; the settings that were read before stay in force" in caplog.text
    assert life.statuses[2].startswith("ready: polls in ")


def test_what_should_not_happen_is_told_once_with_all_that_helps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon lives on, and asks less often."""
    try:
        raise KeyError("what?")  # noqa: TRY301 - it needs a traceback
    except KeyError as error:
        bug = Visit("an unexpected KeyError", 1, failed=True, bug=error)
    life = Script(tmp_path, [bug], until=HOUR)

    assert len(life.live().polls) == 6  # one, two, four ... minutes apart
    assert caplog.text.count("Traceback") == 1
