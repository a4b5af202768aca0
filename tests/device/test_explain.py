"""The command `explain`: every release of a package, and why it is or is not the one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from devclient import assembly, check, poll
from devclient.settings import config
from devclient.settings.windows import DAYS
from devclient.telling.explain import explain
from mirror import layout
from mirror.files import Files
from mirror.trust import time
from tests.support import daemons, devices, trees
from tests.support.rigs import TIME, answer, cut_off, entry, release_both, spare, want
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig

YANKED = {"yanked": {"reason": "breaks doors"}}
DAY = timedelta(days=1)
BACK = "and a device does not go back by itself"


def told(rig: Rig, package: str = "app") -> Any:
    """Read what programs are told of a package."""
    (found,) = answer(rig, "explain", package)["packages"]
    return found


def reasons(rig: Rig, package: str = "app") -> dict[str, tuple[str, str]]:
    """Read what each release is, and why."""
    return {each["version"]: (each["verdict"], each["why"]) for each in told(rig, package)["releases"]}


def lines(rig: Rig, package: str = "app") -> list[str]:
    """Read what people are told below the state of the mirrors, without what aligns it."""
    shown = rig.run("explain", package).stdout.splitlines()
    return [" ".join(line.split()) for line in shown[shown.index("") + 1 :]]


def rolled(share: int, *, held: bool = False) -> dict[str, Any]:
    """Make the further fields of a release that a share of the fleet may have."""
    points = [[time(datetime.now(UTC) - DAY), share]]
    return {"needs": ("rollout",), "rollout": {"points": points, "held": held}}


def installed(rig: Rig, tree: Path, *releases: Release, version: str = "") -> None:
    """Install a release of app, the highest unless `version` says another."""
    trees.write(tree, *releases)
    rig.add()
    done = rig.run("update", "app", *(("--version", version) if version else ()))
    assert done.exit_code == 0, done.stderr


def test_every_release_is_told_with_its_reason(rig: Rig, tree: Path) -> None:
    """As a table for people, the highest first; the text of it is checked here, the reasons one by one below."""
    installed(rig, tree, Release("1.0"))
    trees.write(tree, Release("0.9"), Release("1.0"), Release("1.1"), Release("1.2"), Release("2.0", entry=YANKED))

    done = rig.run("explain", "app")

    assert done.exit_code == 0
    shown = done.stdout.splitlines()
    assert re.fullmatch(rf"mirror main: signed {TIME}, good until {TIME}", shown.pop(1))
    assert shown == [
        "device door-7",
        "",
        "app (stable): 1.0 is installed; 1.2 is offered",
        "",
        "RELEASE  PUBLISHED             WHY",
        "2.0      2026-01-01T00:00:00Z  was taken back: breaks doors",
        "1.2      2026-01-01T00:00:00Z  is to be installed",
        "1.1      2026-01-01T00:00:00Z  was not tried, because 1.2 is higher and can be taken",
        "1.0      2026-01-01T00:00:00Z  is installed",
        f"0.9      2026-01-01T00:00:00Z  is below 1.0, which is installed, {BACK}",
    ]


def test_of_versions_that_are_one_neither_is_called_the_higher(rig: Rig, tree: Path) -> None:
    """A mirror from before may have a version in two spellings; the reason is not a wrong one."""
    trees.write(tree, Release("1.2"), Release("v1.2"))
    rig.add()

    assert reasons(rig)["1.2"] == (
        "passed over",
        "is the same version as v1.2, which can be taken and comes first by its spelling alone",
    )


def test_a_try_that_failed_is_remembered(rig: Rig, tree: Path) -> None:
    """What is to be installed was tried before: the reason is told again, until something else has come of it."""
    trees.write(tree, Release("1.4", data=b"no archive"))
    done = rig.run("add", "app", "--branch", "stable", "--local", f"{rig.opt}/app/")
    assert done.exit_code == 0, done.stderr
    before = reasons(rig)["1.4"]

    assert rig.run("update").exit_code == 1
    verdict, why = reasons(rig)["1.4"]

    assert before == ("offered", "is to be installed")
    assert verdict == "offered"
    assert re.match("is to be installed; the last try ended so, failed: .*archive", why)


def test_programs_are_told_the_same(rig: Rig, tree: Path) -> None:
    """JSON with all of it, and nothing else on stdout."""
    trees.write(tree, Release("1.0"), Release("2.0", entry=YANKED))
    rig.add()

    found = json.loads(rig.run("explain", "app", "--json").stdout)

    assert set(found.pop("trust")) == {"main"}
    published = "2026-01-01T00:00:00Z"
    assert found == {
        "device": "door-7",
        "pending": None,
        "packages": [
            {
                "package": "app",
                "branch": "stable",
                "installed": "",
                "offered": "1.0",
                "with": [],
                "why": "",
                "obstacles": [],
                "releases": [
                    {
                        "version": "2.0",
                        "published": published,
                        "verdict": "passed over",
                        "why": "was taken back: breaks doors",
                    },
                    {"version": "1.0", "published": published, "verdict": "offered", "why": "is to be installed"},
                ],
                "error": "",
            }
        ],
    }


# each reason


def test_lists_may_say_what_keeps_a_release_away(rig: Rig, tree: Path) -> None:
    """Words that are not understood, rollouts and yanks; wherever the release stands, and not only above the offer."""
    careful = {"needs": ("moon",)}
    low = {"yanked": {"reason": "breaks doors", "replacement": "1.0"}}
    installed(rig, tree, Release("1.0"))
    trees.write(
        tree,
        Release("0.8", entry=low),
        Release("1.0"),
        Release("1.1", entry=careful),
        Release("1.1.1", entry=rolled(0)),
        Release("1.1.2", entry=rolled(1000)),
        Release("1.2"),
        Release("2.0", entry=careful),
        Release("2.1", entry=rolled(0)),
        Release("2.2", entry=rolled(1000, held=True)),
        Release("2.3", entry={"rollout": {"points": [[7, 7]], "held": False}}),
    )

    found = reasons(rig)

    moon = "needs moon, which this version of otadevice does not understand"
    place = r"this device comes at \d+\.\d %"
    verdicts = {version: verdict for version, (verdict, _) in found.items() if verdict != "passed over"}
    assert verdicts == {"1.2": "offered", "1.0": "installed"}
    assert found["2.3"][1].startswith("has a rollout that this version of otadevice does not understand: 7 is not a")
    assert re.fullmatch(f"is held at 100.0 % of the fleet, {place}", found["2.2"][1])
    assert re.fullmatch(f"is rolled out to 0.0 % of the fleet so far, {place}", found["2.1"][1])
    assert (found["2.0"][1], found["1.1"][1]) == (moon, moon)
    assert found["1.1.2"][1] == "was not tried, because 1.2 is higher and can be taken"
    assert re.fullmatch(f"is rolled out to 0.0 % of the fleet so far, {place}", found["1.1.1"][1])
    low_too = f"is below 1.0, which is installed, {BACK}; besides, it was taken back: breaks doors; take 1.0 instead"
    assert found["0.8"][1] == low_too


def test_a_device_may_know_what_keeps_a_release_away(rig: Rig, tree: Path) -> None:
    """What failed here, and what its owner has pinned; below the offer too."""
    broken = Release("1.2", content={"after_update": "exit 1"})
    installed(rig, tree, Release("1.0"))
    trees.write(tree, Release("1.0"), broken)
    rig.run("update")
    trees.write(tree, Release("1.0"), Release("1.1"), broken, Release("1.3"), Release("2.0"))
    rig.run("pin", "app", "<2,!=1.1")

    found = reasons(rig)

    assert found["2.0"] == ("passed over", "is outside the pin <2,!=1.1")
    assert found["1.3"] == ("offered", "is to be installed")
    assert found["1.2"][1].startswith(
        "failed on this device: AfterUpdate of app 1.2 failed with exit code 1; `otadevice"
    )
    assert found["1.1"] == ("passed over", "is outside the pin <2,!=1.1")


def test_what_does_not_go_with_the_others_is_told_as_check_tells_it(rig: Rig, tree: Path) -> None:
    """Which dependency, and which range of which installed package."""
    needs = {"dependencies": {"lib": "<2"}}
    trees.write(tree, Release("1.0", b"tool", needs, needs), package="tool")
    release_both(rig, tree, "1.0")
    want(rig, "app", "tool")
    rig.run("update")
    missing = {"dependencies": {"door": "*"}}
    release_both(rig, tree, "1.0", "2.0")
    listed = [
        Release(version, f"app {version}".encode(), needs, needs)
        for version, needs in (("1.0", {"dependencies": {"lib": ">=1.0"}}), ("2.0", {"dependencies": {"lib": ">=2.0"}}))
    ]
    trees.write(tree, *listed, Release("3.0", b"app", missing, missing))

    found, lib = reasons(rig), reasons(rig, "lib")

    assert found["3.0"][1] == "needs door *, which this mirror does not have on stable"
    assert found["2.0"][1] == "needs lib >=2.0, but tool 1.0, which is installed, needs lib <2"
    assert lib["2.0"][1] == "does not go with tool 1.0, which is installed and needs lib <2"
    passed = answer(rig, "check")["packages"][0]["skipped"]
    assert [(each["version"], each["why"]) for each in passed] == [(v, found[v][1]) for v in ("3.0", "2.0")]


def test_what_comes_along_is_told_with_the_offer(rig: Rig, tree: Path) -> None:
    """One update of several packages."""
    release_both(rig, tree, "1.0")
    rig.add()

    assert told(rig)["with"] == ["lib 1.0"]
    assert reasons(rig) == {"1.0": ("offered", "is to be installed, with lib 1.0")}


def test_the_installed_release_may_be_taken_back(rig: Rig, tree: Path) -> None:
    """That is said of it; and of the lower one that replaces it, why the device goes back."""
    installed(rig, tree, Release("1.5"), Release("1.6"), Release("2.0"))
    back = {"yanked": {"reason": "breaks doors", "replacement": "1.5"}}
    trees.write(tree, Release("1.5"), Release("1.6"), Release("2.0", entry=back))

    assert reasons(rig) == {
        "2.0": ("installed", "is installed, but was taken back: breaks doors; take 1.5 instead"),
        "1.6": ("passed over", f"is below 2.0, which is installed, {BACK}"),
        "1.5": ("offered", "is to be installed: it is what the mirror names to replace 2.0"),
    }


def test_releases_beyond_the_limit_are_not_said_to_be_impossible(rig: Rig, tree: Path) -> None:
    """So many are tried with what is installed; below them only what is known without trying is told."""
    needs = {"dependencies": {"door": "*"}}
    tried = [Release(f"9.{number}", b"app", needs, needs) for number in range(check.MOST_TRIED)]
    installed(rig, tree, Release("1.0"))
    low = [Release("1.0"), Release("1.1"), Release("1.2", entry=YANKED), Release("1.3"), Release("1.4")]
    trees.write(tree, *low, *tried)

    found = reasons(rig)

    assert {why for version, (_, why) in found.items() if version.startswith("9.")} == {
        "needs door *, which this mirror does not have on stable"
    }
    limit = f"{check.MOST_TRIED} above it do not go with what is installed"
    assert found["1.4"] == ("passed over", f"was not tried, nor what is lower: {limit}")
    assert found["1.3"] == ("passed over", f"was not tried: {limit}")
    assert found["1.2"] == ("passed over", "was taken back: breaks doors")
    assert found["1.1"] == ("passed over", f"was not tried: {limit}")
    assert found["1.0"] == ("installed", "is installed")
    assert told(rig)["why"].startswith("nothing newer can be taken: 9.31 needs door *")


def test_older_segments_are_told_too(rig: Rig, tree: Path) -> None:
    """Though an update would not look into them."""
    new, old = [Release("3.0"), Release("3.1")], [Release("1.0"), Release("1.1", entry={"needs": ("moon",)})]
    trees.write(tree, *new, older=[[Release("2.0"), Release("2.1")], old])
    rig.add()
    rig.run("pin", "app", ">=2,<2.1")

    found = reasons(rig)

    assert list(found) == ["3.1", "3.0", "2.1", "2.0", "1.1", "1.0"]
    assert found["2.0"] == ("offered", "is to be installed")
    outside = ("passed over", "is outside the pin >=2,<2.1")
    assert [found[version] for version in ("3.1", "3.0", "2.1", "1.0")] == [outside] * 4
    assert found["1.1"][1] == "needs moon, which this version of otadevice does not understand"

    rig.run("update")
    assert reasons(rig)["2.0"] == ("installed", "is installed")
    assert reasons(rig)["1.0"][1].startswith(
        f"is below 2.0, which is installed, {BACK}; besides, it is outside the pin"
    )


def test_an_installed_release_that_is_not_listed_any_more_is_told_above_the_table(rig: Rig, tree: Path) -> None:
    """The table has what the mirror has."""
    installed(rig, tree, Release("1.0"))
    trees.write(tree, Release("0.9"))

    assert lines(rig)[0] == "app (stable): 1.0 is installed; nothing newer than 1.0"
    assert list(reasons(rig)) == ["0.9"]


def test_a_list_that_is_not_understood_tells_nothing_of_its_releases(rig: Rig, tree: Path) -> None:
    """What they mean is not known then."""
    trees.write(tree, Release("1.0"), needs=("moon",))
    rig.add()

    why = "needs moon, which this version of otadevice does not understand"
    assert lines(rig) == [f"app (stable): nothing is installed; {why}"]
    assert told(rig)["releases"] == []


# what keeps the offered release from being installed now


def test_a_lack_of_space_is_told(rig: Rig, tree: Path) -> None:
    """On which file system, how much there should be, and how much there is."""
    trees.write(tree, Release("1.0", entry={"size": 1 << 50}))
    rig.add()

    (obstacle,) = told(rig)["obstacles"]

    needed = 2 * (1 << 50) + 16 * 1024 * 1024  # the blob and its copy are on one file system here
    assert re.fullmatch(rf"{rig.folder}\S*: {needed} bytes must be free for the update and \d+ are; .*", obstacle)
    assert lines(rig)[1].startswith(f"not now: {rig.folder}")


def test_what_is_in_the_place_of_a_package_is_told(rig: Rig, tree: Path) -> None:
    """The release can be had, and has nowhere to go."""
    trees.write(tree, Release("1.0"))
    local = rig.add()
    local.mkdir()

    found = told(rig)

    assert found["offered"] == "1.0"
    assert found["obstacles"] == [f"{local}: is there already and is not an ordinary file: move it away"]


def test_a_wait_after_interruptions_is_told(rig: Rig, tree: Path) -> None:
    """Until when, and what ends it."""
    trees.write(tree, Release("1.0"))
    rig.add()
    with assembly.device(config.load(rig.config)) as (device, _):
        plan = poll.look(device)[0].plan
        assert plan is not None
        for attempt in range(1, 4):
            device.marks.count(plan.identity, attempt, datetime.now(UTC))

    (obstacle,) = told(rig)["obstacles"]

    assert re.search(f"was cut off 3 times .* waits until {TIME}; `otadevice clear-bad` ends the wait", obstacle)


def test_an_update_that_waits_for_a_reboot_is_told(rig: Rig, tree: Path) -> None:
    """Nothing else is begun before, of whichever package it is."""
    trees.write(tree, Release("1.0", b"one", content={"after_update": "exit 76"}), package="first")
    trees.write(tree, Release("1.0"))
    devices.write_state(rig.state_file, entry(rig, "first"), entry(rig, "app"))
    rig.config.write_text(re.sub("reboot = .*", 'reboot = "true"', rig.config.read_text()))
    assert rig.run("update").exit_code == 75

    found = answer(rig, "explain", "app")

    assert found["pending"]["reboot"] is True
    waits = "first 1.0 waits for this device to be rebooted, and nothing else is begun before"
    assert found["packages"][0]["obstacles"] == [waits]
    assert lines(rig)[1] == f"not now: {waits}"


def test_an_update_that_was_cut_off_is_in_no_ones_way(rig: Rig, tree: Path) -> None:
    """The next one brings it to its end first; it is told above, as `check` does."""
    trees.write(tree, Release("1.0"))
    rig.add()
    cut_off(rig, tree)
    spare(rig)

    assert answer(rig, "explain", "app")["pending"]["state"] == "PREPARED"
    assert told(rig)["obstacles"] == []
    assert "the update to app 9.0 is in PREPARED: if no otadevice is at work" in rig.run("explain", "app").stdout


def test_a_journal_that_cannot_be_read_is_in_the_way(rig: Rig, tree: Path) -> None:
    """Nothing is changed until somebody has looked."""
    installed(rig, tree, Release("1.0"))
    trees.write(tree, Release("1.0"), Release("2.0"))
    journal = rig.folder / config.WORK / "journal"
    journal.write_bytes(b"\xff" * journal.stat().st_size)

    (obstacle,) = told(rig)["obstacles"]

    assert str(journal) in obstacle


def test_the_inhibit_file_and_windows_are_told(rig: Rig, tree: Path) -> None:
    """The one holds everybody, the other the daemon; both may."""
    trees.write(tree, Release("1.0"))
    rig.add()
    day = datetime.now(UTC) + timedelta(days=3)
    name = next(name for name, number in DAYS.items() if number == day.weekday())
    daemons.settle(rig, f'[[daemon.windows]]\ndays = ["{name}"]\nfrom = "02:00"\nto = "04:00"\nzone = "UTC"\n')
    (rig.folder / "inhibit").touch()

    found = answer(rig, "explain", "app")["packages"][0]

    opens = f"{day:%Y-%m-%d}T02:00:00Z"
    assert found["offered"] == "1.0"
    assert found["obstacles"] == [
        f"`otadevice run` waits: outside of maintenance windows, of which the next one opens at {opens}",
        f"nothing is installed as long as {rig.folder}/inhibit is there",
    ]


def test_obstacles_from_outside_come_first(tmp_path: Path, tree: Path) -> None:
    """Whoever asks may know more, such as that no window is open; of what is not offered, nothing is said."""
    (tmp_path / "opt").mkdir()
    made = devices.device(tmp_path, tree, Files(), free=0)
    devices.write_state(made.settings.state, {"package": "app", "branch": "stable", "local": f"{tmp_path}/opt/app"})
    trees.write(tree, Release("1.0"))

    first, second = explain("app", made, ["no window is open"]).obstacles

    assert first == "no window is open"
    assert "bytes must be free" in second
    trees.write(tree, Release("1.0", entry=YANKED))
    assert explain("app", made, ["no window is open"]).obstacles == ()


# answers that are none


def test_a_package_that_is_not_wanted_is_a_failure(rig: Rig) -> None:
    """It says how to want it."""
    done = rig.run("explain", "app")

    assert (done.exit_code, done.stdout) == (1, "")
    assert "`otadevice add` adds it" in done.stderr


def test_a_package_that_the_mirror_does_not_have_is_a_failure(rig: Rig) -> None:
    """With the exit code that `check` has."""
    rig.add()

    done, found = rig.run("explain", "app"), told(rig)

    assert (done.exit_code, rig.run("check").exit_code) == (1, 1)
    assert "the mirror has nothing there" in done.stdout
    assert found["releases"] == []
    assert "the mirror has nothing there" in found["error"]


def test_a_network_that_is_away_may_come_back(rig: Rig, tree: Path) -> None:
    """Exit code 75, as `check`."""
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.server.refuse()

    assert (rig.run("explain", "app").exit_code, rig.run("check").exit_code) == (75, 75)


def test_a_segment_that_is_lost_is_a_failure(rig: Rig, tree: Path) -> None:
    """An update does not need it; who wants to know of every release does."""
    trees.write(tree, Release("3.0"), older=[[Release("1.0")]])
    rig.add()
    (segment,) = _segments(tree)
    segment.unlink()

    found = told(rig)

    assert rig.run("explain", "app").exit_code == 75
    assert rig.run("check").exit_code == 0
    assert (found["offered"], found["releases"]) == ("3.0", [])
    assert "as while it is being copied; try again later" in found["error"]


def _segments(tree: Path) -> list[Path]:
    """Find the older segments of app."""
    folder = (tree / layout.release_list("app", "stable")).parent
    return [file for file in folder.glob("*.stable.json") if b'"older"' not in file.read_bytes()]


@pytest.mark.parametrize("words", [("explain", "app"), ("explain", "app", "--json")])
def test_explaining_changes_nothing(rig: Rig, tree: Path, words: tuple[str, ...]) -> None:
    """Neither the device's files nor the packages, also before the first update."""
    trees.write(tree, Release("1.0"), Release("2.0", entry=rolled(500)))
    rig.add()
    before = rig.files()

    assert rig.run(*words).exit_code == 0

    assert rig.files() == before
