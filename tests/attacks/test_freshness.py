"""Freshness: silence, and a URL that says nothing new, are believed for a day at most; so roots are found.

Each is played with a device that has a clock, and with one whose clock starts at 1970 with each boot.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from devclient.trust.clock import BUILT
from devclient.trust.elapsed import DAY, Instant, over, passed
from mirror import layout, trust
from tests.attacks.scene import Scene
from tests.support import httpd
from tests.support.httpd import PORTAL, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.devices import Rig
    from tests.support.httpd import Server

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TIMESTAMP = f"/{layout.TIMESTAMP}"


@pytest.fixture
def second(tree: Path) -> Iterator[Server]:
    """Serve the mirror at another URL."""
    with httpd.serving(tree) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["clock", "1970"])
def scene(request: pytest.FixtureRequest, rig: Rig) -> Scene:
    """A device that has met the mirror just now, by its clock."""
    made = Scene(rig, returning=True)
    made.clock = EPOCH if request.param else made.simulator.now
    made.meets()
    rig.server.requests.clear()
    return made


def after(scene: Scene, time: timedelta) -> None:
    """Have the device poll when so much time has passed, and find nothing new to install."""
    assert scene.clock
    scene.clock += time
    scene.server.requests.clear()
    assert scene.updates()["message"] == f"nothing newer than {scene.releases[-1].version}"


def next_root(scene: Scene) -> str:
    """Return where the next root would be."""
    return f"/{layout.metadata(trust.ROOT, scene.simulator.root.version + 1)}"


def newest_root(scene: Scene) -> int:
    """Return the version of the newest root that the device has kept."""
    return max(int(file.name.split(".")[0]) for file in (scene.rig.trust / "root_history").iterdir())


def test_a_new_root_is_found_within_a_day(scene: Scene) -> None:
    """Though the timestamp has not changed, as when it cannot be signed any more."""
    scene.simulator.new_root(publish=False)
    after(scene, HOUR)
    assert [request.path for request in scene.server.requests] == [TIMESTAMP]

    after(scene, 23 * HOUR)

    assert newest_root(scene) == scene.simulator.root.version
    after(scene, HOUR)
    assert [request.path for request in scene.server.requests] == [TIMESTAMP]


def test_with_an_interval_of_zero_a_new_root_is_found_at_once(scene: Scene) -> None:
    """The owner may have it looked for at each poll, before the timestamp, as the specification has it."""
    scene.sets("root_interval", 0)
    scene.simulator.new_root(publish=False)

    after(scene, timedelta(0))
    assert newest_root(scene) == scene.simulator.root.version

    after(scene, timedelta(0))
    assert [request.path for request in scene.server.requests] == [next_root(scene), TIMESTAMP]


def test_a_new_root_is_looked_for_when_the_timestamp_has_changed(scene: Scene) -> None:
    """Without waiting for the day to be over."""
    scene.simulator.new_root()

    after(scene, HOUR)

    assert newest_root(scene) == scene.simulator.root.version


@pytest.mark.parametrize("status", [403, 404])
def test_a_look_counts_where_there_is_said_to_be_none(scene: Scene, status: int) -> None:
    """For a day nothing more is asked than the timestamp."""
    scene.server.misbehave(next_root(scene), Fault(status=status))
    after(scene, 24 * HOUR)
    assert scene.server.asked(next_root(scene))

    after(scene, 23 * HOUR)

    assert [request.path for request in scene.server.requests] == [TIMESTAMP]


NO_ROOT: dict[str, Fault | str] = {
    "a page": PORTAL,
    "text": Fault(status=200, body=b"nothing to see here"),
    "nothing": Fault(status=200, body=b""),
    "JSON": Fault(status=200, body=b'{"error": "no such file"}'),
    "half a root": "half",
    "another role": "other",
    "a key twice": "twice",
}


@pytest.mark.parametrize("kind", NO_ROOT)
def test_what_is_no_root_counts_as_none_and_as_no_look(scene: Scene, kind: str) -> None:
    """A host that answers unknown paths with a page stops nobody: it is asked around caches, and the next time."""
    made = NO_ROOT[kind]
    root = scene.file(trust.ROOT)
    bodies = {
        "half": root[:-30],
        "other": scene.file(trust.SNAPSHOT),
        "twice": root.replace(b'"signed":', b'"signed":{},"signed":', 1),
    }
    path = next_root(scene)
    scene.server.misbehave(path, Fault(status=200, body=bodies[made]) if isinstance(made, str) else made)

    after(scene, 24 * HOUR)
    assert [request.cache for request in scene.server.asked(path)] == ["", "no-cache"]
    scene.server.behave()
    scene.simulator.new_root(publish=False)

    after(scene, timedelta(0))
    assert newest_root(scene) == scene.simulator.root.version


def test_a_cache_that_keeps_a_page_in_the_place_of_a_root_is_gone_around(scene: Scene) -> None:
    """The second question is for the server itself."""
    scene.server.misbehave(next_root(scene), PORTAL, times=1)
    scene.simulator.new_root(publish=False)

    after(scene, 24 * HOUR)

    assert newest_root(scene) == scene.simulator.root.version


def test_a_page_for_a_root_does_not_make_a_wrong_timestamp_right(scene: Scene) -> None:
    """It counts as none only if the timestamp that follows verifies."""
    scene.server.misbehave("/metadata/", PORTAL)
    assert scene.clock
    scene.clock += 24 * HOUR

    assert scene.updates()["code"] == "network"


def test_a_network_error_is_no_look(scene: Scene) -> None:
    """It is made up for at the next poll."""
    scene.server.misbehave(next_root(scene), Fault(status=503))
    assert scene.clock
    scene.clock += 24 * HOUR
    assert scene.updates()["code"] == "network"
    scene.server.behave()
    scene.simulator.new_root(publish=False)

    after(scene, HOUR)

    assert newest_root(scene) == scene.simulator.root.version


def test_a_url_that_says_nothing_new_for_ever_is_not_the_only_one(scene: Scene, second: Server) -> None:
    """A first URL that is frozen keeps a device from what others have for a day at most."""
    scene.sets("urls", [scene.server.url, second.url])
    after(scene, HOUR)
    scene.server.misbehave(TIMESTAMP, Fault(status=304))
    frozen, scene.releases = scene.releases, [*scene.releases]
    scene.publish("3.0")
    newest, scene.releases = scene.releases, frozen
    after(scene, 23 * HOUR)

    scene.releases = newest
    assert scene.clock
    scene.clock += HOUR
    scene.meets()


def test_each_url_is_asked_for_everything_daily(scene: Scene, second: Server) -> None:
    """Also those that would not have had their turn."""
    scene.sets("urls", [scene.server.url, second.url])
    after(scene, HOUR)
    assert [request.path for request in second.requests] == [next_root(scene), TIMESTAMP]
    second.requests.clear()
    after(scene, 23 * HOUR)
    assert second.requests == []

    after(scene, HOUR)

    assert [request.path for request in second.requests] == [next_root(scene), TIMESTAMP]


def test_past_three_quarters_of_its_life_all_is_asked_anew(scene: Scene, second: Server) -> None:
    """Of every URL, without a condition, at each poll."""
    scene.sets("urls", [scene.server.url, second.url])
    scene.clock = scene.simulator.now + timedelta(days=11)

    for _ in range(2):
        second.requests.clear()
        after(scene, timedelta(0))
        for server in (scene.server, second):
            assert [request.path for request in server.requests] == [next_root(scene), TIMESTAMP]
            assert {request.etag for request in server.requests} == {""}


NOON = Instant(BUILT, 1000, "boot")


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (NOON, Instant(BUILT + timedelta(seconds=DAY - 1), 1000 + DAY - 1, "boot"), False),
        (NOON, Instant(BUILT + timedelta(seconds=DAY), 2000, "boot"), True),
        (NOON, Instant(BUILT, 1000 + DAY, "boot"), True),
        (NOON, Instant(BUILT - timedelta(seconds=1), 2000, "boot"), True),
        (NOON, Instant(BUILT + timedelta(hours=1), 1000 + 2 * DAY, "another"), False),
        (Instant(EPOCH, 5, "boot"), Instant(EPOCH + timedelta(hours=1), 3600, "boot"), False),
        (Instant(EPOCH, 5, "boot"), Instant(EPOCH + timedelta(hours=1), 5, "another"), True),
        (None, NOON, True),
    ],
    ids=["not yet", "clock", "uptime", "future", "rebooted", "no clock", "no clock and rebooted", "never"],
)
def test_a_day_is_over_by_either_clock(then: Instant | None, now: Instant, *, expected: bool) -> None:
    """Or if the noted time lies in the future, or nobody can know."""
    assert over(then, now, DAY) is expected
    if then:
        assert not passed(then, now, DAY) or expected


def test_what_a_new_root_revokes_is_taken_from_no_url(scene: Scene, tmp_path: Path) -> None:
    """One URL has what a stolen key signed, another the root that replaces the key, and nothing more: nothing comes."""
    scene.publish("3.0")
    stale = tmp_path / "stale"
    shutil.copytree(scene.tree, stale)
    scene.simulator.new_root(trust.TIMESTAMP)
    scene.server.misbehave(TIMESTAMP, Fault(status=404))
    scene.sets("root_interval", 0)
    before = scene.installed()

    with httpd.serving(stale) as other:
        scene.sets("urls", [other.url, scene.server.url])
        result = scene.updates()

    assert scene.installed() == before
    assert result["code"] != ""
    assert not (scene.rig.trust / "timestamp.json").exists()
    scene.server.behave()
    scene.meets()
