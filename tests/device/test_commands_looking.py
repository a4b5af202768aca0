"""The commands that only look: `check`, `update --dry-run`, `status`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from devclient import assembly, poll
from devclient.settings import config
from tests.support import trees
from tests.support.rigs import TIME, answer, cut_off, notes, release_both, want
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig

READING = [("check",), ("check", "--json"), ("update", "--dry-run"), ("status",), ("status", "--json")]


def test_check_tells_what_is_offered_and_why_not_more(rig: Rig, tree: Path) -> None:
    """A table for people."""
    yank = {"yanked": {"reason": "breaks doors"}}
    trees.write(tree, Release("1.0"), Release("2.0", entry=yank))
    local = rig.add()

    done = rig.run("check")

    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert re.fullmatch(rf"mirror main: signed {TIME}, good until {TIME}", lines.pop(1))
    assert lines == [
        "device door-7",
        "",
        "PACKAGE  BRANCH  INSTALLED  OFFERED  NOTE",
        f"app      stable  -          1.0      20 bytes, goes to {local}",
        "                                     2.0 was taken back: breaks doors",
    ]


def test_check_tells_programs_the_same(rig: Rig, tree: Path) -> None:
    """JSON with all of it, and nothing else on stdout."""
    needs = {"needs": ("moon",)}
    trees.write(tree, Release("1.0"), Release("2.0", entry=needs))
    local = rig.add()

    told = json.loads(rig.run("check", "--json").stdout)
    trust = told.pop("trust")["main"]

    assert re.fullmatch(TIME, trust["issued"])
    assert re.fullmatch(TIME, trust["expires"])
    assert (trust["root"], trust["timestamp"], trust["error"]) == (1, 2, None)
    why = "needs moon, which this version of otadevice does not understand"
    assert told == {
        "device": "door-7",
        "pending": None,
        "packages": [
            {
                "package": "app",
                "branch": "stable",
                "installed": "",
                "offered": "1.0",
                "size": 20,
                "target": str(local),
                "with": [],
                "along": "",
                "why": "",
                "skipped": [{"version": "2.0", "why": why}],
                "yanked": None,
                "error": "",
            }
        ],
    }


@pytest.mark.parametrize("words", READING)
@pytest.mark.parametrize("cut", [False, True], ids=["at rest", "cut off"])
def test_reading_changes_nothing(rig: Rig, tree: Path, words: tuple[str, ...], *, cut: bool) -> None:
    """Neither the device's files nor the packages, also while an update is not at its end."""
    trees.write(tree, Release("1.0"))
    rig.add()
    if cut:
        cut_off(rig, tree)
    before = rig.files()

    assert rig.run(*words).exit_code == 0

    assert rig.files() == before


def test_a_dry_run_tells_what_a_check_tells(rig: Rig, tree: Path) -> None:
    """The same plan, as a table and as JSON."""
    trees.write(tree, Release("1.0"))
    rig.add()

    assert rig.run("update", "--dry-run").stdout == rig.run("check").stdout
    assert rig.run("update", "--dry-run", "--json").stdout == rig.run("check", "--json").stdout


def test_what_cannot_be_installed_is_told_by_check(rig: Rig, tree: Path) -> None:
    """It is an answer, so check is done; update fails for it."""
    trees.write(tree, Release("1.0"))
    local = rig.add()
    local.mkdir()

    check, update = rig.run("check"), rig.run("update")

    refusal = "is there already and is not an ordinary file: move it away"
    assert (check.exit_code, update.exit_code) == (0, 1)
    assert refusal in " ".join(check.stdout.split())
    assert refusal in update.stderr
    assert update.stdout == ""


def test_a_device_without_packages_is_told_the_next_step(rig: Rig) -> None:
    """Neither an error nor an empty table."""
    for command in ("status", "check"):
        assert "add one with `otadevice add`" in rig.run(command).stdout


def test_what_changes_together_is_told_once(rig: Rig, tree: Path) -> None:
    """Each package has its line, with the others of its update; it is the update of the one that comes first."""
    release_both(rig, tree, "1.0", "2.0")
    want(rig, "app", "lib")

    lines, told = notes(rig), answer(rig, "check")["packages"]

    assert lines == [
        f"app stable - 2.0 7 bytes, goes to {rig.opt}/app, with lib 2.0",
        f"lib stable - 2.0 7 bytes, goes to {rig.opt}/lib, with app 2.0",
    ]
    assert [(row["offered"], row["with"], row["along"]) for row in told] == [
        ("2.0", ["lib 2.0"], ""),
        ("2.0", ["app 2.0"], "app"),
    ]
    assert rig.run("update").stdout == "lib (stable): installed 2.0\napp (stable): installed 2.0\n"


def test_what_an_earlier_update_brings_is_not_told_again(rig: Rig, tree: Path) -> None:
    """A package that can go by itself does, and the one that needed it finds it in place."""
    release_both(rig, tree, "1.0", "2.0")
    want(rig, "lib", "app")

    assert notes(rig) == [
        f"lib stable - 2.0 7 bytes, goes to {rig.opt}/lib",
        f"app stable - 2.0 7 bytes, goes to {rig.opt}/app",
    ]
    assert [(row["with"], row["along"]) for row in answer(rig, "check")["packages"]] == [([], ""), ([], "")]


def test_what_cannot_be_done_leaves_the_others_their_own_updates(rig: Rig, tree: Path) -> None:
    """If the one that would bring it is in trouble, a package is updated by itself, and that is told."""
    release_both(rig, tree, "1.0", "2.0")
    want(rig, "app", "lib")
    (rig.opt / "app").mkdir()

    first, second = answer(rig, "check")["packages"]

    assert "is not an ordinary file" in first["error"]
    assert (second["offered"], second["with"], second["along"]) == ("2.0", [], "")


def test_what_waits_brings_nothing(rig: Rig, tree: Path) -> None:
    """While one update is left alone after interruptions, the packages that it would bring are taken by themselves."""
    release_both(rig, tree, "1.0", "2.0")
    want(rig, "app", "lib")
    with assembly.device(config.load(rig.config)) as (device, _):
        plan = poll.look(device)[0].plan
        assert plan is not None
        for attempt in range(1, 4):
            device.marks.count(plan.identity, attempt, datetime.now(UTC))

    first, second = answer(rig, "check")["packages"]

    assert "was cut off 3 times" in first["error"]
    assert (second["offered"], second["with"], second["along"]) == ("2.0", [], "")
    assert rig.run("update").stdout == "lib (stable): installed 2.0\n"


def test_check_tells_what_would_come_along(rig: Rig, tree: Path) -> None:
    """A dependency that the state file does not have stands beside the package that needs it."""
    release_both(rig, tree, "1.0")
    rig.add()

    assert notes(rig) == [f"app stable - 1.0 7 bytes, goes to {rig.opt}/app, with lib 1.0"]
    assert len(answer(rig, "check")["packages"]) == 1


def test_check_tells_of_conflicts_in_words(rig: Rig, tree: Path) -> None:
    """Which package is in the way, and why; so does an update."""
    needs = {"dependencies": {"lib": "<2"}}
    trees.write(tree, Release("1.0", b"tool", needs, needs), package="tool")
    release_both(rig, tree, "1.0")
    want(rig, "app", "tool")
    rig.run("update")
    release_both(rig, tree, "1.0", "2.0")

    why = "2.0 needs lib >=2.0, but tool 1.0, which is installed, needs lib <2"
    assert notes(rig)[0] == f"app stable 1.0 - nothing newer can be taken: {why}"
    assert f"app (stable): nothing newer can be taken: {why}" in rig.run("update").stdout


def test_check_tells_why_each_higher_release_is_passed_over(rig: Rig, tree: Path) -> None:
    """Below the one that is offered, or in its place if none is."""
    yank = {"yanked": {"reason": "breaks doors"}}
    trees.write(tree, Release("1.0"), Release("1.1"), Release("2.0", entry=yank), Release("3.0"))
    rig.add()
    rig.run("pin", "app", "<3")

    assert [notes(rig)[0].split()[3], *notes(rig)[1:]] == [
        "1.1",
        "3.0 is outside the pin <3",
        "2.0 was taken back: breaks doors",
    ]
    rig.run("update")
    assert notes(rig) == [
        "app stable 1.1 - nothing newer can be taken: 3.0 is outside the pin <3",
        "2.0 was taken back: breaks doors",
    ]


def test_a_dry_run_may_be_of_one_release(rig: Rig, tree: Path) -> None:
    """As an update of it would be; one that cannot be had is an answer, not a failure."""
    trees.write(tree, Release("1.0"), Release("2.0"))
    rig.add()
    rig.add("other")
    rig.run("update", "app")

    def offered(*words: str) -> Any:
        done = rig.run("update", "app", "--dry-run", "--json", *words)
        (row,) = json.loads(done.stdout)["packages"]
        return done.exit_code, row["offered"], row["why"]

    assert offered() == (0, "", "nothing newer than 2.0")
    assert offered("--version", "1.0")[:2] == (0, "")
    assert offered("--version", "1.0", "--allow-downgrade") == (0, "1.0", "")
    assert offered("--version", "3.0") == (0, "", "3.0 is not among the releases of app on stable")


def test_check_tells_of_an_update_that_is_not_at_its_end(rig: Rig, tree: Path) -> None:
    """Before anything new is begun, that is brought to its end."""
    trees.write(tree, Release("1.0"))
    rig.add()
    cut_off(rig, tree)

    told = "the update to app 9.0 is in PREPARED: if no otadevice is at work, it was cut off"
    assert told in rig.run("check").stdout
    assert answer(rig, "check")["pending"]["state"] == "PREPARED"
