"""Older timestamps: a cache that is behind shows what was right before, and so does who replays it.

Nothing is taken from it, and the device goes on with what it knows; if it lasts, it is told as a possible roll-back.
Each is played with a device that has a clock, and with one whose clock stands at 1970.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient.trust.notes import MOST_POLLS
from devclient.trust_errors import RollbackError
from mirror import layout, trust
from tests.attacks.scene import Scene
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(params=[False, True], ids=["clock", "1970"])
def scene(request: pytest.FixtureRequest, rig: Rig) -> Scene:
    """A device that has met the mirror."""
    made = Scene(rig, returning=True)
    made.clock = EPOCH if request.param else made.simulator.now
    made.meets()
    return made


@pytest.fixture
def behind(scene: Scene, tmp_path: Path) -> Scene:
    """The same, for which a cache then has only what was before."""
    old = shutil.copytree(scene.tree, tmp_path / "old")
    scene.publish("3.0")
    scene.meets()
    scene.server.misbehave("/", Fault(folder=old))
    return scene


def known(scene: Scene) -> bytes:
    """Return the timestamp that the device knows."""
    return (scene.rig.trust / "timestamp.json").read_bytes()


def test_what_is_known_stays_in_force(behind: Scene) -> None:
    """An older timestamp takes nothing away and is no error; that it is behind is told."""
    before = behind.installed(), known(behind)

    result = behind.updates()

    assert (result["code"], result["message"]) == ("", "nothing newer than 3.0")
    assert (behind.installed(), known(behind)) == before
    told = behind.told()
    assert (told["behind"]["polls"], told["error"]) == (1, None)


def test_what_is_known_may_be_installed(scene: Scene, tmp_path: Path) -> None:
    """An update that was interrupted goes on, though the cache has nothing of what leads to it any more."""
    old = shutil.copytree(scene.tree, tmp_path / "old")
    scene.publish("3.0")
    blob = f"/{layout.blob(scene.releases[-1].sha256)}"
    scene.server.misbehave(blob, Fault(status=404))
    assert scene.updates()["code"] == "incomplete-mirror"
    scene.server.behave()
    scene.server.misbehave("/metadata/", Fault(folder=old))

    scene.meets()


@pytest.mark.parametrize("passes", ["polls", "time"])
def test_if_it_lasts_it_may_be_a_roll_back(behind: Scene, passes: str) -> None:
    """After a day, or as many polls, counted durably; what is known stays in force all the same."""
    assert behind.clock
    for _ in range(MOST_POLLS - 1 if passes == "polls" else 1):
        assert behind.updates()["code"] == ""
        assert behind.told()["error"] is None
    behind.clock += timedelta(days=1) if passes == "time" else timedelta(0)

    assert behind.updates()["message"] == "nothing newer than 3.0"

    error = behind.told()["error"]
    assert error["code"] == RollbackError.code
    assert "It looks like an attempt to bring back old releases" in error["message"]
    if passes == "polls":  # the command judges by the clock of now
        shown = behind.rig.run("status").stdout
        assert "not believed (rollback)" in shown
        assert "behind since " in shown


def test_one_url_that_shows_what_is_known_ends_it(behind: Scene) -> None:
    """Then it was a cache."""
    for _ in range(MOST_POLLS):
        behind.updates()
    assert behind.told()["error"]
    behind.server.behave()

    behind.meets()

    assert (behind.told()["behind"], behind.told()["error"]) == (None, None)


def test_what_is_known_still_expires(behind: Scene) -> None:
    """Nobody holds a device for ever with an older timestamp: what is known is judged by expiry as ever."""
    assert behind.clock
    behind.clock = behind.simulator.now + timedelta(days=15)
    simulator = behind.simulator
    with simulator.lying():
        simulator.timestamp.expires = simulator.now + timedelta(days=40)
        simulator.timestamp.version -= 1
        old = simulator.sign(trust.TIMESTAMP, simulator.timestamp)
    behind.server.behave()
    behind.server.misbehave(f"/{layout.TIMESTAMP}", Fault(body=old, headers={"Date": None}))

    assert behind.updates()["code"] == "expired"


def test_an_older_timestamp_that_has_expired_is_a_roll_back(behind: Scene) -> None:
    """No cache keeps anything for so long."""
    assert behind.clock
    simulator = behind.simulator
    behind.clock = simulator.now + timedelta(days=13)
    simulator.now = behind.clock
    behind.server.behave()
    old = simulator.read(trust.TIMESTAMP)
    behind.publish("4.0")
    behind.meets()
    behind.clock += timedelta(days=2)
    behind.server.misbehave(f"/{layout.TIMESTAMP}", Fault(body=old, headers={"Date": None}))

    behind.refuses(RollbackError)


def test_a_timestamp_signed_by_nobody_is_not_behind(behind: Scene) -> None:
    """Only what was rightly signed can be a cache's: anything else is what it looks like."""
    data = known(behind).replace(b'"version":', b'"version": 0, "x":')
    behind.server.behave()
    behind.server.misbehave(f"/{layout.TIMESTAMP}", Fault(body=data))

    assert behind.updates()["code"] in {"signature", "damaged-metadata"}
    assert behind.told()["behind"] is None
