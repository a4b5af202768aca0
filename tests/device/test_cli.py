"""The command `otadevice`, against a real server."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient import config, lock
from mirror.files import Files
from tests.support import httpd, trees
from tests.support.devices import Rig
from tests.support.httpd import PORTAL, Fault
from tests.support.trees import Release

if TYPE_CHECKING:
    from tests.support.httpd import Server

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
COMMANDS = ("init", "add", "check", "update", "status")


def test_a_device_from_nothing_to_the_next_release(rig: Rig, tree: Path) -> None:
    """init, add, update, and after a release update again."""
    trees.write(tree, Release("1.0", b"one"))
    local = rig.add()

    first = rig.run("update")
    trees.write(tree, Release("1.0", b"one"), Release("1.1", b"two"))
    second = rig.run("update")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == "app (stable): installed 1.0\n"
    assert second.stdout == "app (stable): updated 1.0 to 1.1\n"
    assert local.read_bytes() == b"two"
    assert rig.state()["package"][0]["version"] == "1.1"


def test_the_installed_command_works(rig: Rig, tree: Path) -> None:
    """The same in a process of its own, as on a device."""
    trees.write(tree, Release("1.0", b"one"))
    local = rig.add()

    done = subprocess.run(rig.command("update"), capture_output=True, text=True, check=True)

    assert done.stdout == "app (stable): installed 1.0\n"
    assert local.read_bytes() == b"one"


def test_the_entry_point_is_there() -> None:
    """Installing the project installs `otadevice`."""
    command = Path(sys.executable).with_name("otadevice")

    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("otadevice, version ")


@pytest.mark.parametrize("words", [(), *((command,) for command in COMMANDS)], ids=str)
def test_help_shows_an_example(rig: Rig, words: tuple[str, ...]) -> None:
    """Each command's help has a line to be typed."""
    done = rig.run(*words, "--help")

    assert done.exit_code == 0
    assert "\n  Example:\n    otadevice " in done.stdout


def test_help_tells_the_exit_codes(rig: Rig) -> None:
    """All four of them."""
    told = rig.run("--help").stdout

    codes = [line.split()[0] for line in told.partition("Exit codes:")[2].splitlines() if line.strip()]
    assert codes == ["0", "1", "2", "75"]


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("init",),
        ("init", "--remote", "https://x"),
        ("init", "--remote", "ftp://x", "--root", "root.json"),
        ("init", "--remote", "https://user:secret@x", "--root", "root.json"),
        ("add", "app", "--local", "/opt/app"),
        ("add", "a/b", "--branch", "stable", "--local", "/opt/app"),
        ("add", "app", "--branch", "a/b", "--local", "/opt/app"),
        ("add", "app", "--branch", "stable", "--local", "opt/app"),
        ("update", "--json"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(rig: Rig, words: tuple[str, ...]) -> None:
    """What is typed wrongly is said at once, and changes nothing."""
    before = rig.files()

    done = rig.run(*words)

    assert done.exit_code == 2
    assert rig.files() == before


def test_init_writes_settings_and_state(rig: Rig) -> None:
    """Both can be read again, and have what was given; the root is copied beside them."""
    settings = config.load(rig.config)
    (remote,) = settings.remotes

    assert settings.allow == (rig.opt,)
    assert remote.urls == (rig.server.url,)
    assert (remote.root.parent, remote.root.read_bytes()) == (rig.folder, rig.root.read_bytes())
    assert rig.state() == {"device": "door-7", "description": "", "package": []}


def test_init_needs_no_network_and_makes_nothing_of_its_own(tmp_path: Path, rig: Rig) -> None:
    """Two devices that are set up alike are alike: one image serves a thousand of them."""
    made = []
    words = ("init", "--remote", "http://127.0.0.1:1", "--root", str(rig.root))
    for name in ("one", "two"):
        folder = tmp_path / name
        command = [sys.executable, "-m", "devclient.cli", "--config", str(folder / "otadevice.toml")]
        subprocess.run([*command, *words], check=True, capture_output=True)
        made.append({path.name: path.read_bytes() for path in folder.rglob("*")})

    assert made[0] == made[1]
    assert set(made[0]) == {"otadevice.toml", "otadevice.json", "otadevice-root.json"}
    assert json.loads(made[0]["otadevice.json"])["device"] == ""


def test_init_allows_the_usual_folders(tmp_path: Path, server: Server) -> None:
    """Without --allow, packages go where packages go."""
    rig = Rig(tmp_path / "new", tmp_path, server)
    trees.simulator(rig.tree)
    urls = ("--remote", "https://a.example/", "--remote", "https://b.example")

    assert rig.run("init", *urls, "--root", str(rig.root)).exit_code == 0

    settings = config.load(rig.config)
    assert settings.allow == config.ALLOWED
    assert settings.remotes[0].urls == ("https://a.example", "https://b.example")


def test_init_twice_changes_nothing(rig: Rig) -> None:
    """A device that was set up stays as it is."""
    before = rig.files()

    done = rig.run("init", "--remote", "https://other.example", "--root", str(rig.root))

    assert done.exit_code == 1
    assert "is there already, nothing was changed" in done.stderr
    assert rig.files() == before


def test_init_keeps_a_state_file(rig: Rig) -> None:
    """The owner's file is not written over, and one of another device is not taken for this one's."""
    rig.add()
    before = rig.state()
    rig.config.unlink()

    words = ("--remote", "https://a.example", "--root", str(rig.root))
    other = rig.run("init", "--device", "door-8", *words)
    same = rig.run("init", "--device", "door-7", *words)

    assert (other.exit_code, same.exit_code) == (1, 0)
    assert "is the state file of 'door-7', not of 'door-8'" in other.stderr
    assert rig.state() == before


def test_add_needs_no_network_when_the_place_is_given(rig: Rig) -> None:
    """Nothing is asked for, and the entry says no more than what was given."""
    local = rig.add()

    assert rig.state()["package"] == [{"package": "app", "branch": "stable", "local": str(local)}]
    assert rig.server.requests == []


def test_add_takes_the_place_that_is_proposed(rig: Rig, tree: Path) -> None:
    """Without --local, that of the release which would be installed."""
    proposed = {"local": str(rig.opt / "proposed")}
    trees.write(tree, Release("1.0"), Release("2.0", content=proposed))

    done = rig.run("add", "app", "--branch", "stable")

    assert done.exit_code == 0
    assert rig.state()["package"][0]["local"] == str(rig.opt / "proposed")


def test_add_without_any_place_is_told(rig: Rig, tree: Path) -> None:
    """When nobody proposes one, the owner has to; when nobody answers, later or the owner."""
    trees.write(tree, Release("1.0"))
    trees.write(tree, package="empty")

    nobody_proposes = rig.run("add", "app", "--branch", "stable")
    nothing_released = rig.run("add", "empty", "--branch", "stable")
    rig.server.misbehave("/", Fault(status=503))
    nobody_answers = rig.run("add", "app", "--branch", "stable")

    assert (nobody_proposes.exit_code, nothing_released.exit_code, nobody_answers.exit_code) == (1, 1, 75)
    assert "say with --local where it goes" in nobody_proposes.stderr
    assert "nothing is released" in nothing_released.stderr
    assert rig.state()["package"] == []


def test_add_refuses_what_cannot_be_installed(rig: Rig) -> None:
    """A place outside the allowed folders, another package's place, a folder of its owner's: said at once."""
    local = rig.add()
    before = rig.state()

    outside = rig.run("add", "b", "--branch", "stable", "--local", "/etc/passwd")
    taken = rig.run("add", "b", "--branch", "stable", "--local", str(local))
    (rig.opt / "b").mkdir()
    folder = rig.run("add", "b", "--branch", "stable", "--local", f"{rig.opt}/b/")

    assert [done.exit_code for done in (outside, taken, folder)] == [1, 1, 1]
    assert f"in none of the allowed folders ({rig.opt})" in outside.stderr
    assert "is where app goes" in taken.stderr
    assert "add --adopt" in folder.stderr
    assert rig.state() == before


def test_add_again_is_done_already(rig: Rig) -> None:
    """The same package in the same way has no effect; in another way it is refused."""
    local = rig.add()
    before = rig.state()

    assert rig.run("add", "app", "--branch", "stable", "--local", str(local)).exit_code == 0
    assert rig.run("add", "app", "--branch", "stable").exit_code == 0
    other = rig.run("add", "app", "--branch", "edge")

    assert other.exit_code == 1
    assert "edit it there" in other.stderr
    assert rig.state() == before


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
        "packages": [
            {
                "package": "app",
                "branch": "stable",
                "installed": "",
                "offered": "1.0",
                "size": 20,
                "with": [],
                "target": str(local),
                "why": "",
                "skipped": [{"version": "2.0", "why": why}],
                "yanked": None,
                "error": "",
            }
        ],
    }


@pytest.mark.parametrize("words", [("check",), ("check", "--json"), ("update", "--dry-run"), ("status",)])
def test_reading_changes_nothing(rig: Rig, tree: Path, words: tuple[str, ...]) -> None:
    """Neither the device's files nor the packages."""
    trees.write(tree, Release("1.0"))
    rig.add()
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


@pytest.mark.parametrize(
    ("path", "fault", "code"),
    [
        ("/metadata/timestamp.json", PORTAL, 75),
        ("/metadata/timestamp.json", Fault(status=503), 75),
        ("/metadata/timestamp.json", Fault(status=404), 1),
        ("/metadata/timestamp.json", Fault(status=403), 1),
        ("/releases/", PORTAL, 75),
        ("/releases/", Fault(status=503), 75),
        ("/releases/", Fault(status=404), 75),
        ("/releases/", Fault(status=403), 1),
    ],
)
def test_no_answer_is_a_failure(rig: Rig, tree: Path, path: str, fault: Fault, code: int) -> None:
    """Of check and of update: 75 where trying again may help, 1 where it will not."""
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.server.misbehave(path, fault)

    assert [rig.run("check").exit_code, rig.run("update").exit_code] == [code, code]


def test_what_failed_for_good_comes_before_what_may_pass(rig: Rig, tree: Path) -> None:
    """One exit code for several packages: 1 if any will not mend itself."""
    trees.write(tree, Release("1.0"))
    rig.add("app")
    rig.add("missing")
    rig.server.misbehave("/releases/app/", Fault(status=503))

    assert [rig.run("check").exit_code, rig.run("update").exit_code] == [1, 1]


def test_a_mirror_that_is_gone_means_try_later(rig: Rig, tree: Path) -> None:
    """Nothing is changed, and the exit code says so."""
    with httpd.serving(tree) as other:
        url = other.url
    rig.add()
    rig.config.write_text(rig.config.read_text().replace(rig.server.url, url))

    done = rig.run("update")

    assert done.exit_code == 75
    assert "Connection refused" in done.stderr


def test_a_cut_download_goes_on_with_the_next_update(rig: Rig, tree: Path) -> None:
    """The first ends with 75 once nothing more comes, the second asks for the rest alone."""
    data = random.Random(7).randbytes(256_000)
    trees.write(tree, Release("1.0", data))
    local = rig.add()
    rig.server.misbehave("/otafiles/", Fault(cut_after=200_000), times=1)
    rig.server.misbehave("/otafiles/", Fault(status=503), times=1)

    first, second = rig.run("update"), rig.run("update")

    assert (first.exit_code, second.exit_code) == (75, 0)
    assert [request.range for request in rig.server.asked("/otafiles/")] == ["", *["bytes=200000-"] * 2]
    assert rig.server.asked("/otafiles/")[2].sent == len(data) - 200_000
    assert local.read_bytes() == data


def test_a_changed_byte_is_never_installed(rig: Rig, tree: Path) -> None:
    """What was installed stays, and the state file says so."""
    trees.write(tree, Release("1.0", b"one"))
    local = rig.add()
    rig.run("update")
    trees.write(tree, Release("1.0", b"one"), Release("2.0", b"two"))
    rig.server.misbehave("/otafiles/", Fault(flip=1))

    done = rig.run("update")

    assert done.exit_code == 1
    assert "has the SHA-256" in done.stderr
    assert local.read_bytes() == b"one"
    assert rig.state()["package"][0]["version"] == "1.0"


def test_status_tells_what_is_installed_and_wanted(rig: Rig, tree: Path) -> None:
    """Without a network, from the state file and the last result."""
    trees.write(tree, Release("1.0", b"one"))
    app = rig.add()
    rig.run("update")
    other = rig.add("other")
    asked = len(rig.server.requests)

    lines = rig.run("status").stdout.splitlines()

    assert len(rig.server.requests) == asked
    assert lines[0] == "device door-7"
    assert re.fullmatch(rf"mirror main: signed {TIME}, good until {TIME}", lines[1])
    assert lines[2] == "rollback would take app 1.0 to nothing"
    assert lines[5].split()[:4] == ["app", "stable", "1.0", str(app)]
    assert lines[5].endswith(" installed 1.0")
    assert lines[6].split() == ["other", "stable", "(wanted)", str(other), "none", "yet"]


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


def test_a_device_without_packages_is_told_the_next_step(rig: Rig) -> None:
    """Neither an error nor an empty table."""
    for command in ("status", "check"):
        assert "add one with `otadevice add`" in rig.run(command).stdout


@pytest.mark.parametrize("words", [("update",), ("add", "b", "--branch", "stable", "--local", "/opt/b")])
def test_one_at_a_time(rig: Rig, words: tuple[str, ...]) -> None:
    """Who comes second is told by whom, and to try later."""
    before = rig.files()

    with lock.hold(rig.folder / config.WORK / "lock", Files()):
        done = rig.run(*words)

    assert done.exit_code == 75
    assert f"process {os.getpid()} is at work on this device" in done.stderr
    assert rig.files() == before


def test_one_at_a_time_between_processes(rig: Rig) -> None:
    """The lock holds against other processes, the installed command among them."""
    with lock.hold(rig.folder / config.WORK / "lock", Files()):
        done = subprocess.run(rig.command("update"), capture_output=True, text=True, check=False)

    assert done.returncode == 75
    assert f"process {os.getpid()} " in done.stderr


def test_settings_that_are_wrong_are_told(rig: Rig) -> None:
    """One line, with file and key, and the exit code of a failure."""
    rig.config.write_text(rig.config.read_text().replace("patience", "patients"))

    done = rig.run("status")

    assert done.exit_code == 1
    wanted = f"otadevice: {rig.config}: network.patients: there is no such key; the nearest is network.patience\n"
    assert done.stderr == wanted


def test_an_error_of_the_system_is_told(rig: Rig) -> None:
    """A work folder that cannot be made is one line, not a traceback."""
    (rig.folder / config.WORK).write_text("in the way")

    done = rig.run("update")

    assert done.exit_code == 1
    assert done.stderr.startswith("otadevice: [Errno ")


def test_where_nobody_watches_lines_tell_what_is_done(rig: Rig, tree: Path) -> None:
    """Each durable act is a line on stderr, without a bar."""
    trees.write(tree, Release("1.0", b"one"))
    local = rig.add()

    lines = rig.run("update").stderr.splitlines()

    assert lines == [
        "update to app 1.0 begins",
        "downloading app 1.0, 0 of 3 bytes are here",
        "downloaded and verified app 1.0",
        f"app 1.0 is ready to go to {local}",
        "app 1.0 is installed",
    ]


def test_where_a_person_watches_there_is_a_bar(rig: Rig, tree: Path) -> None:
    """On a terminal the download is shown, and the lines are not."""
    trees.write(tree, Release("1.0", b"one" * 1000))
    rig.add()

    shown = on_a_terminal(rig.command("update"))

    assert "━" in shown
    assert "app 1.0" in shown
    assert "downloaded and verified" not in shown
    assert "app (stable): installed 1.0" in shown


def on_a_terminal(command: list[str]) -> str:
    """Run a command whose output is a terminal, and read what is shown."""
    ours, theirs = pty.openpty()
    fcntl.fcntl(theirs, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    finally:
        os.close(ours)
    assert process.wait(timeout=30) == 0
    return shown.decode()
