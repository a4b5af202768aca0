"""The command `status`: what is installed, what came of updates, and why nothing more did."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from devclient import assembly, poll
from devclient.records import results
from devclient.records.results import Result
from devclient.settings import config
from mirror.files import Files
from tests.support import archives, trees
from tests.support.archives import Entry
from tests.support.rigs import TIME, answer, cut_off, release_both, remarks, row, story
from tests.support.trees import Release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.devices import Rig


def test_status_tells_what_is_installed_and_wanted(rig: Rig, tree: Path) -> None:
    """Without a network: a table, and what came of each package."""
    trees.write(tree, Release("1.0", b"one"))
    app = rig.add()
    rig.run("update")
    other = rig.add("other")
    asked = len(rig.server.requests)

    lines = rig.run("status").stdout.splitlines()

    assert len(rig.server.requests) == asked
    assert re.fullmatch(rf"mirror main: signed {TIME}, good until {TIME}", lines.pop(1))
    assert [re.sub(TIME, "TIME", re.sub(" +", " ", line)) for line in lines] == [
        "device door-7",
        "rollback would take app 1.0 to nothing",
        "",
        "PACKAGE BRANCH INSTALLED OFFERED LOCAL",
        f"app stable 1.0 - {app}",
        f"other stable - - {other}",
        "",
        "app: TIME installed 1.0",
        "other: no update yet",
    ]


def test_status_tells_programs_the_same(rig: Rig, tree: Path) -> None:
    """JSON, with the code of an error for programs."""
    trees.write(tree, Release("1.0", content={"after_update": "echo broken; false"}))
    local = rig.add()
    rig.run("update")

    told = json.loads(rig.run("status", "--json").stdout)

    (package,) = told["packages"]
    assert told["device"] == "door-7"
    assert (told["trust"]["main"]["timestamp"], told["trust"]["main"]["error"]) == (2, None)
    assert {key: package[key] for key in ("package", "branch", "installed", "local")} == {
        "package": "app",
        "branch": "stable",
        "installed": "",
        "local": str(local),
    }
    assert {key: package["last"][key] for key in ("outcome", "code", "exit_code")} == {
        "outcome": "rolled back",
        "code": "hook",
        "exit_code": 1,
    }
    assert package["last"]["output"] == "broken\n"


def test_status_tells_of_a_yank(rig: Rig, tree: Path) -> None:
    """Who has a release that was taken back learns it, with reason and replacement."""
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.run("update")
    yank = {"yanked": {"reason": "breaks doors", "replacement": "0.9"}}
    trees.write(tree, Release("1.0", entry=yank))

    assert "1.0 was taken back: breaks doors; take 0.9 instead" in rig.run("check").stdout
    rig.run("update")

    assert "1.0 was taken back: breaks doors; take 0.9 instead" in rig.run("status").stdout
    assert json.loads(rig.run("status", "--json").stdout)["packages"][0]["yanked"] == yank["yanked"]


def test_what_the_last_update_knew_is_told_without_a_network(rig: Rig, tree: Path) -> None:
    """What was offered and passed over stays known while the mirror cannot be asked."""
    busy = {"before_update": "exit 75"}
    trees.write(tree, Release("1.0"), Release("2.0", content=busy), Release("3.0"))
    rig.add()
    rig.run("pin", "app", "<3")
    rig.run("update")
    skipped = [{"version": "3.0", "why": "is outside the pin <3"}]
    assert (row(rig)["offered"], row(rig)["skipped"]) == ("2.0", skipped)
    assert story(rig) == [
        "app: TIME postponed: BeforeUpdate of app 2.0 says: not now",
        "  pinned to <3",
        "  3.0 is outside the pin <3",
    ]

    rig.server.refuse()
    assert rig.run("update").exit_code == 75

    assert (row(rig)["offered"], row(rig)["skipped"]) == ("2.0", skipped)
    assert row(rig)["last"]["code"] == "network"


def test_what_is_installed_is_not_offered(rig: Rig, tree: Path) -> None:
    """An update that came through leaves nothing to be offered."""
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.run("update")

    assert (row(rig)["installed"], row(rig)["offered"], row(rig)["last"]["offered"]) == ("1.0", "", "1.0")


def test_a_failed_hook_is_told_until_something_changes(rig: Rig, tree: Path) -> None:
    """With the last twenty lines of its output, all of it for programs; polls that change nothing do not end that."""
    failing = {"after_update": "seq 30; exit 3"}
    trees.write(tree, Release("1.0", b"one"))
    rig.add()
    rig.run("update")
    trees.write(tree, Release("1.0", b"one"), Release("2.0", b"two", failing))
    rig.run("update")
    output = [f"  | {number}" for number in range(11, 31)]
    why = "AfterUpdate of app 2.0 failed with exit code 3"
    bad = "  2.0 is not taken until `otadevice clear-bad app`"

    assert story(rig) == [f"app: TIME rolled back: {why}", *output, bad]
    assert row(rig)["last"]["output"].split() == [str(number) for number in range(1, 31)]
    assert row(rig)["rolled_back"] is None
    assert [(mark["version"], mark["reason"]) for mark in row(rig)["bad"]] == [("2.0", why)]

    rig.run("update")
    nothing = (
        f"nothing newer can be taken: 2.0 failed on this device: {why}; `otadevice clear-bad` lets it be tried again"
    )
    assert story(rig) == [f"app: TIME {nothing}", f"  TIME rolled back: {why}", *output, bad]
    assert row(rig)["rolled_back"]["output"].split()[-1] == "30"

    trees.write(tree, Release("1.0", b"one"), Release("2.0", b"two", failing), Release("2.1", b"three"))
    rig.run("update")
    assert story(rig) == ["app: TIME updated 1.0 to 2.1", f"{bad}: {why}"]
    assert row(rig)["rolled_back"] is None


def test_the_hook_of_what_came_along_is_told_by_the_others(rig: Rig, tree: Path) -> None:
    """Rolled back, it does not stand in the state file; who needed it has its output."""
    release_both(rig, tree, "1.0")
    failing = {"local": str(rig.opt / "lib"), "after_update": "echo it is lib; exit 1"}
    trees.write(tree, Release("1.0", b"lib", failing), package="lib")
    rig.add()

    rig.run("update")

    assert story(rig)[:2] == ["app: TIME rolled back: AfterUpdate of lib 1.0 failed with exit code 1", "  | it is lib"]


def test_what_went_wrong_besides_is_told(rig: Rig, tree: Path) -> None:
    """The old release does not start either: the outcome is the same, and both are known."""
    trees.write(tree, Release("1.0", b"one", {"after_update": '[ "$OTA_RESULT" = updated ]'}))
    rig.add()
    rig.run("update")
    trees.write(tree, Release("1.0", b"one"), Release("2.0", b"two", {"after_update": "exit 3"}))
    rig.run("update")

    assert story(rig)[:2] == [
        "app: TIME rolled back: AfterUpdate of app 2.0 failed with exit code 3",
        "  besides: AfterUpdate of app failed with exit code 1",
    ]
    assert len(row(rig)["last"]["complaints"]) == 1


def test_an_update_that_waits_for_a_reboot_is_told(rig: Rig, tree: Path) -> None:
    """Until the device was rebooted; nothing can be undone meanwhile."""
    rig.config.write_text(re.sub("reboot = .*", 'reboot = "true"', rig.config.read_text()))
    trees.write(tree, Release("1.0", content={"after_update": "exit 76"}))
    rig.add()

    done = rig.run("update")

    waits = "app 1.0 waits for this device to be rebooted, and goes on after that"
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (75, f"app (stable): {waits}")
    assert remarks(rig) == [f"the update to {waits}"]
    assert story(rig) == [f"app: TIME {waits}"]
    told = answer(rig, "status")["pending"]
    assert (told["state"], told["update"], told["reboot"]) == ("INSTALLED", "app 1.0", True)


def test_an_update_that_was_cut_off_is_told(rig: Rig, tree: Path) -> None:
    """With the state in which it is, and what brings it to its end; nothing else is promised until then."""
    trees.write(tree, Release("1.0", b"one"))
    rig.add()
    rig.run("update")
    cut_off(rig, tree)

    (remark,) = remarks(rig)
    told = answer(rig, "status")["pending"]

    assert remark == (
        "the update to app 9.0 is in PREPARED: if no otadevice is at work, it was cut off, and `otadevice recover` "
        "brings it to its end"
    )
    assert told == {"state": "PREPARED", "update": "app 9.0", "reboot": False, "message": remark}

    rig.run("recover")
    assert remarks(rig) == ["rollback would take app 1.0 to nothing"]
    assert answer(rig, "status")["pending"] is None
    assert story(rig) == ["app: TIME rolled back: this device was cut off in PREPARED"]


def test_a_wait_after_interruptions_is_told(rig: Rig, tree: Path) -> None:
    """Until when, and how to end it."""
    trees.write(tree, Release("1.0"))
    rig.add()
    with assembly.device(config.load(rig.config)) as (device, _):
        (prospect,) = poll.look(device)
        assert prospect.plan is not None
        for attempt in range(1, 4):
            device.marks.count(prospect.plan.identity, attempt, datetime.now(UTC))

    assert rig.run("update").exit_code == 75

    (line,) = story(rig)
    assert line == (
        "app: TIME app 1.0: this device was cut off 3 times while it was being installed, so it waits until TIME; "
        "`otadevice clear-bad` ends the wait"
    )
    assert (row(rig)["last"]["outcome"], row(rig)["last"]["code"]) == ("waits", "interrupted")
    rig.run("clear-bad")
    assert rig.run("update").exit_code == 0


def test_what_can_be_undone_is_told(rig: Rig, tree: Path) -> None:
    """The whole last update, from where to where; nothing if there is nothing to undo."""
    release_both(rig, tree, "1.0")
    rig.add()
    assert answer(rig, "status")["rollback"] == {
        "possible": False,
        "why": "there is none, or it was undone already",
        "steps": [],
    }
    assert remarks(rig) == []
    rig.run("update")
    release_both(rig, tree, "1.0", "2.0")
    rig.run("update")

    assert remarks(rig) == ["rollback would take lib 2.0 to 1.0, app 2.0 to 1.0"]
    told = answer(rig, "status")["rollback"]
    assert (told["possible"], told["why"]) == (True, "")
    assert told["steps"] == [{"package": name, "from": "2.0", "to": "1.0"} for name in ("lib", "app")]


def test_what_cannot_be_undone_is_told(rig: Rig, tree: Path) -> None:
    """Nothing is promised that `rollback` would refuse."""
    trees.write(tree, Release("1.0", archives.pack([Entry("index.html", b"new")])), package="site")
    (rig.opt / "site").mkdir()
    rig.run("add", "site", "--branch", "stable", "--local", f"{rig.opt}/site/", "--adopt")
    rig.run("update")

    why = f"{rig.opt}/site/ was a folder of yours, move {rig.opt}/.site.previous back by hand"
    assert remarks(rig) == [f"rollback would take site 1.0 to nothing, but that is not possible: {why}"]
    told = answer(rig, "status")["rollback"]
    assert (told["possible"], told["why"]) == (False, why)
    assert why in rig.run("rollback").stderr


def test_who_is_not_needed_any_more_is_told(rig: Rig, tree: Path) -> None:
    """What came along with others, of which none is left; not what others still need."""
    release_both(rig, tree, "1.0")
    rig.add()
    rig.run("update")
    assert (row(rig, "lib")["auto"], row(rig, "lib")["unneeded"]) == (True, False)

    rig.run("remove", "app")

    assert (row(rig, "lib")["auto"], row(rig, "lib")["unneeded"]) == (True, True)
    assert "`otadevice remove lib` removes it" in story(rig, "lib")[-1]


@pytest.mark.parametrize("words", [("status",), ("status", "--json")])
def test_status_works_with_a_damaged_journal(rig: Rig, tree: Path, words: tuple[str, ...]) -> None:
    """It says so, and what to do; everything else is told as ever, and what changes something refuses."""
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.run("update")
    journal = rig.folder / config.WORK / "journal"
    journal.write_bytes(b"x" * journal.stat().st_size)

    done = rig.run(*words)

    assert done.exit_code == 0
    assert f"{journal}: is damaged in both of its copies" in done.stdout
    assert "installed 1.0" in done.stdout or json.loads(done.stdout)["packages"][0]["installed"] == "1.0"
    assert rig.run("update").exit_code == 1
    assert rig.run("recover").exit_code == 1
    journal.unlink()
    assert rig.run("update").exit_code == 0


def test_results_that_cannot_be_read_are_none(rig: Rig, tree: Path) -> None:
    """They are a convenience; the next update writes them anew."""
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.run("update")
    kept = rig.folder / config.WORK / "results.json"
    for text in ("", "[]", '{"last": [{}], "rolled_back": []}', '{"last": 1}', "\0", "[" * 100_000):
        kept.write_text(text)

        assert story(rig) == ["app: no update yet"]

    rig.run("update")
    assert story(rig) == ["app: TIME nothing newer than 1.0"]


def test_what_was_removed_has_no_past(rig: Rig, tree: Path) -> None:
    """Added again, a package is not told to have failed; that it was removed is true."""
    trees.write(tree, Release("1.0", content={"after_update": "exit 1"}))
    rig.add()
    rig.run("update")
    rig.run("remove", "app")

    rig.add()

    assert row(rig)["rolled_back"] is None
    assert row(rig)["last"]["outcome"] == "removed"


def test_what_a_server_wrote_is_shown_and_not_obeyed(rig: Rig) -> None:
    """No escape sequence reaches the terminal, and no line of a stranger's looks like one of ours; JSON keeps all."""
    rig.add()
    evil = "it answers \x1b]0;pwned\x07\nhello (main): installed 9.9\u202e\x9b31m \udcff"
    result = Result("app", "stable", "failed", message=evil, code="network", at="2026-01-01T00:00:00Z")
    results.save({"app": result}, config.load(rig.config).work, Files())

    shown = rig.run("status").stdout
    (told,) = json.loads(rig.run("status", "--json").stdout)["packages"]

    assert "failed: it answers \\u001b]0;pwned\\u0007; hello (main): installed 9.9\\u202e\\u009b31m \\udcff" in shown
    assert not any(line.startswith("hello") for line in shown.splitlines())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert told["last"]["message"] == evil
