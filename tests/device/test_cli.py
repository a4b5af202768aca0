"""The command `otadevice` as a whole: help, wrong usage, exit codes, one at a time, and what is shown of the work."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient import cli, lock
from devclient.settings import config
from mirror.files import Files
from tests.support import trees
from tests.support.rigs import release_both
from tests.support.trees import Release

if TYPE_CHECKING:
    from tests.support.devices import Rig

COMMANDS = tuple(cli.main.commands)


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


def test_whoever_started_it_may_ignore_children(rig: Rig, tree: Path) -> None:
    """A signal that is ignored is ignored by whatever is started then; how a hook ended is known all the same."""
    trees.write(tree, Release("1.0", b"one", content={"after_update": "exit 3"}))
    rig.add()

    done = subprocess.run(
        ["env", "--ignore-signal=CHLD", *rig.command("update")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "AfterUpdate of app 1.0 failed with exit code 3" in done.stderr


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


def test_help_lists_the_commands_as_they_are_met(rig: Rig) -> None:
    """From setting a device up to putting it right, each with a whole sentence."""
    told = rig.run("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]

    lines = [line.split(maxsplit=1) for line in told.splitlines()]
    assert [name for name, _ in lines] == [name for name, command in cli.main.commands.items() if not command.hidden]
    assert (COMMANDS[0], COMMANDS[-1]) == ("init", "clear-bad")
    assert [sentence for _, sentence in lines if not re.fullmatch(r"[A-Z][^.]*[^.]\.", sentence)] == []


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
        ("update", "--version", "1.0"),
        ("update", "app", "--allow-downgrade"),
        ("update", "app", "--version", "1 0"),
        ("adopt", "a/b"),
        ("adopt", "app", "--branch", "a/b"),
        ("pin",),
        ("pin", "app", "1 2"),
        ("remove",),
        ("clear-bad", "a/b"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(rig: Rig, words: tuple[str, ...]) -> None:
    """What is typed wrongly is said at once, and changes nothing."""
    before = rig.files()

    done = rig.run(*words)

    assert done.exit_code == 2
    assert rig.files() == before


CHANGING = [
    ("update",),
    ("add", "b", "--branch", "stable", "--local", "/opt/b"),
    ("adopt", "b", "--branch", "stable", "--local", "/opt/b"),
    ("pin", "b", "<2"),
    ("recover",),
    ("rollback",),
    ("remove", "b"),
    ("clear-bad",),
]


@pytest.mark.parametrize("words", CHANGING, ids=lambda words: words[0])
def test_one_at_a_time(rig: Rig, words: tuple[str, ...]) -> None:
    """Who comes second is told by whom, and to try later."""
    before = rig.files()

    with lock.hold(rig.folder / config.WORK / "lock", Files()):
        done = rig.run(*words)

    assert done.exit_code == 75
    assert f"process {os.getpid()} is at work on this device" in done.stderr
    assert rig.files() == before


@pytest.mark.parametrize("command", ["status", "check"])
def test_looking_waits_for_nobody(rig: Rig, tree: Path, command: str) -> None:
    """Also while another otadevice is at work."""
    trees.write(tree, Release("1.0"))
    rig.add()

    with lock.hold(rig.folder / config.WORK / "lock", Files()):
        assert rig.run(command).exit_code == 0


@pytest.mark.parametrize(
    ("command", "there", "found"),
    [
        ("update", {"here", "usual"}, "here"),
        ("update", {"usual"}, "usual"),
        ("update", set(), "here"),
        ("init", {"usual"}, "here"),
    ],
)
def test_settings_are_looked_for_where_they_usually_are(
    tmp_path: Path, command: str, there: set[str], found: str
) -> None:
    """First beside whoever types a command; a new device is made there whatever there is elsewhere."""
    for name in there:
        (tmp_path / name).touch()

    assert cli._settings(command, tmp_path / "here", tmp_path / "usual") == tmp_path / found


@pytest.mark.parametrize("words", [*CHANGING, ("check",), ("status",)], ids=lambda words: words[0])
def test_a_folder_without_a_device_is_told_the_next_step(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Whatever is tried in it."""
    program = [sys.executable, "-m", "devclient.cli"]
    done = subprocess.run([*program, *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    advice = "there is no such file: `otadevice init` makes one, --config names another"
    assert done.stderr == f"otadevice: {tmp_path}/otadevice.toml: {advice}\n"
    assert list(tmp_path.iterdir()) == []


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
        "the update to app 1.0 is committed",
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


def test_each_blob_has_its_bar(rig: Rig, tree: Path) -> None:
    """All that one update downloads is shown, each with its size, until the end."""
    release_both(rig, tree, "1.0")
    rig.add()

    shown = on_a_terminal(rig.command("update"))

    last = shown.rpartition("lib 1.0 ")[2]
    assert "app 1.0 " in last
    assert shown.count("7/7 bytes") >= 2
    assert last.splitlines()[-1] == "app (stable): installed 1.0"


def test_a_warning_stands_above_the_bars(rig: Rig, tree: Path) -> None:
    """On a line of its own, wherever the bars are."""
    trees.write(tree, Release("1.0", content={"after_update": "exit 3"}))
    rig.add()

    shown = on_a_terminal(rig.command("update"), code=1)

    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", plain).splitlines()
    assert "app 1.0 is rolled back: AfterUpdate of app 1.0 failed with exit code 3" in lines


def test_an_update_that_is_put_off_is_no_warning(rig: Rig, tree: Path) -> None:
    """A machine that must not be disturbed is told of once, by what came of it."""
    trees.write(tree, Release("1.0", content={"before_update": "exit 75"}))
    rig.add()

    shown = on_a_terminal(rig.command("update"), code=75)

    assert shown.count("says: not now") == 1
    assert "rolled back" not in shown


@pytest.mark.parametrize("words", [("update",), ("check",), ("status",)], ids=lambda words: words[0])
def test_where_nothing_is_downloaded_nothing_is_drawn(rig: Rig, tree: Path, words: tuple[str, ...]) -> None:
    """Only the answer is on the terminal, without a single control sequence."""
    trees.write(tree, Release("1.0"))
    rig.add()
    rig.run("update")

    shown = on_a_terminal(rig.command(*words))

    assert "app" in shown
    assert "\x1b" not in shown


def test_tables_fit_the_terminal(rig: Rig, tree: Path) -> None:
    """Where it is narrow, long notes take more lines; a hook's output stays as it is."""
    long = "word " * 40
    trees.write(tree, Release("1.0"), Release("2.0", entry={"yanked": {"reason": long.strip()}}))
    rig.add()

    shown = on_a_terminal(rig.command("check"), columns=80)

    assert max(len(line) for line in shown.splitlines()[3:]) <= 80
    assert shown.count("word") == 40


def on_a_terminal(command: list[str], code: int = 0, columns: int = 120) -> str:
    """Run a command whose output is a terminal, and read what is shown."""
    ours, theirs = pty.openpty()
    fcntl.fcntl(theirs, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    finally:
        os.close(ours)
    assert process.wait(timeout=30) == code
    return shown.decode()
