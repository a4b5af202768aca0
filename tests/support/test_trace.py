"""The harness that watches and kills from outside: what it finds is what happened."""

from __future__ import annotations

import dataclasses
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.files import Calls, Files
from tests.support import systemcalls
from tests.support.faults import CountingCalls
from tests.support.trace import MissedError, announced, bypasses, fail_at, kill_at, of_sqlite, record

if TYPE_CHECKING:
    from tests.support.systemcalls import SystemCall


def publish(calls: Calls, folder: Path) -> None:
    """Write a group, sync it once, and replace a pointer."""
    files = Files(calls)
    files.make_folder(folder / "a")
    files.write(folder / "a" / "blob", b"x" * 1000)
    files.sync_all(folder)
    files.rename(folder / "a" / "blob", folder / "a" / "named")
    files.replace(folder / "list.json", b"{}")


THROUGH_FILES = f"""
    sys.path.append({os.fspath(Path(__file__).parents[2])!r})
    from mirror.files import Calls
    from tests.support.test_trace import publish
    publish(Calls(), folder)
"""
FOUR_STEPS = """
    os.mkdir(folder / "a"); os.mkdir(folder / "b"); os.rename(folder / "b", folder / "c"); os.rmdir(folder / "a")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the folder that is watched."""
    path = tmp_path / "watched"
    path.mkdir()
    return path


def program(folder: Path, text: str) -> list[str]:
    """Write a script beside `folder` that gets it as `folder`, and return the command that runs it."""
    script = folder.parent / "script.py"
    head = "import os, sqlite3, subprocess, sys, threading; from pathlib import Path; folder = Path(sys.argv[1])\n"
    script.write_text(head + textwrap.dedent(text))
    return [sys.executable, os.fspath(script), os.fspath(folder)]


def plain(calls: list[SystemCall]) -> list[str]:
    """Name the calls as every machine does: some know only `renameat`, `mkdirat`."""
    return [call.name.removesuffix("at") for call in calls]


def test_what_files_does_is_what_the_system_is_asked(folder: Path, tmp_path: Path) -> None:
    """The counts from inside are those from outside; one `syncfs` is one system call."""
    counting = CountingCalls()
    (tmp_path / "inside").mkdir()
    publish(counting, tmp_path / "inside")

    seen = record(program(folder, THROUGH_FILES), folder)

    inside = [call.name for call in counting.calls if call.name != "close"]
    inside.remove("unlink")  # of a temporary that is not there: asked, but nothing changed
    assert plain(seen) == inside
    assert [call.paths for call in seen if call.name == "syncfs"] == [(folder,)]


def test_only_what_changed_below_the_folder_is_listed(folder: Path) -> None:
    """Reading, failing and changing other folders is left out."""
    text = """
        (folder / "f").touch(); (folder / "f").read_text(); (folder.parent / "elsewhere").write_text("x")
        try: os.mkdir(folder / "f")
        except FileExistsError: pass
    """

    seen = record(program(folder, text), folder)

    assert [(call.name, call.paths[0]) for call in seen] == [("openat", folder / "f")]


def test_a_change_is_found_however_its_path_is_spelled(folder: Path) -> None:
    """Relative to a folder, a descriptor or a link, inside a child or a thread: it is seen."""
    (folder / "one").mkdir()
    (folder.parent / "link").symlink_to(folder)
    (folder / 'a "n<a>m,e" é').write_bytes(b"")
    text = """
        os.chdir(folder / "one"); os.mkdir("1"); os.mkdir("../2"); os.symlink("x", "3")
        os.mkdir("4", dir_fd=os.open("..", os.O_RDONLY)); os.mkdir(folder.parent / "link" / "5")
        thread = threading.Thread(target=os.mkdir, args=[folder / "6"]); thread.start(); thread.join()
        os.chdir("/"); subprocess.run(["mkdir", "7"], cwd=folder)
        os.truncate(folder / 'a "n<a>m,e" \\N{LATIN SMALL LETTER E WITH ACUTE}', 5)
        os.symlink(folder / "9", folder.parent / "9"); os.close(os.open(folder.parent / "9", os.O_CREAT | os.O_WRONLY))
        os.link(folder / "9", folder.parent / "ten"); descriptor = os.open(folder / "9", os.O_RDWR)
        os.unlink(folder / "9"); os.write(descriptor, b"gone")
    """

    seen = record(program(folder, text), folder)

    places = [next(path for path in reversed(call.paths) if path.is_relative_to(folder)) for call in seen]
    assert [os.fspath(place.relative_to(folder)) for place in places] == [
        "one/1", "2", "one/3", "4", "5", "6", "7", 'a "n<a>m,e" é', "9", "9", "9", "9", "9",
    ]  # fmt: skip
    assert plain(seen)[-5:] == ["open", "link", "open", "unlink", "write"]


def test_a_kill_comes_before_the_call(folder: Path) -> None:
    """Killed at any call, all before it was done and it was not."""
    command = program(folder, FOUR_STEPS)
    calls = record(command, folder)
    assert plain(calls) == ["mkdir", "mkdir", "rename", "rmdir"]

    for call, there in zip(calls, ([], ["a"], ["a", "b"], ["a", "c"]), strict=True):
        for left in folder.iterdir():
            left.rmdir()
        done = kill_at(command, call, folder)
        assert done.returncode == -9
        assert sorted(path.name for path in folder.iterdir()) == there


def test_a_failure_hits_one_call_and_the_program_goes_on(folder: Path) -> None:
    """The call reports the error and is not made; those before and after it are."""
    text = """
        for name in "abc":
            try: os.mkdir(folder / name)
            except OSError as error: print(error.strerror)
    """
    command = program(folder, text)
    calls = record(command, folder)
    for left in folder.iterdir():
        left.rmdir()

    done = fail_at(command, calls[1], "ENOSPC", folder)

    assert (done.returncode, done.stdout) == (0, "No space left on device\n")
    assert sorted(path.name for path in folder.iterdir()) == ["a", "c"]


def test_a_failure_that_missed_is_told(folder: Path, tmp_path: Path) -> None:
    """A program that does not reach the call, or reaches it elsewhere, does not count as failed."""
    command = program(folder, FOUR_STEPS)
    calls = record(command, folder)
    for wrong, below in ((dataclasses.replace(calls[0], nth=9), folder), (calls[0], tmp_path / "elsewhere")):
        for left in folder.iterdir():
            left.rmdir()
        with pytest.raises(MissedError, match=str(wrong)):
            fail_at(command, wrong, "EIO", below)


def test_a_kill_that_missed_is_told(folder: Path, tmp_path: Path) -> None:
    """A program that does not reach the call, or reaches it elsewhere, does not count as killed."""
    command = program(folder, FOUR_STEPS)
    calls = record(command, tmp_path)
    (folder / "c").rmdir()

    with pytest.raises(MissedError, match="mkdir-9"):
        kill_at(command, dataclasses.replace(calls[0], nth=9), folder)
    (folder / "c").rmdir()
    with pytest.raises(MissedError, match="mkdir-1"):
        kill_at(command, calls[0], tmp_path / "elsewhere")


def test_a_child_that_dies_in_place_of_its_parent_is_told(folder: Path) -> None:
    """Calls are counted in each process, so the first to reach the count dies, whoever it is."""
    text = """
        subprocess.run(["mkdir", folder / "of the child"])
        os.mkdir(folder / "of the parent")
    """
    command = program(folder, text)
    child, parent = record(command, folder)
    for made in folder.iterdir():
        made.rmdir()

    assert kill_at(command, child, folder).returncode == -9  # its parent reached the same count and died, too
    with pytest.raises(MissedError):
        kill_at(command, parent, folder)


def test_a_program_that_only_uses_files_bypasses_nothing(folder: Path) -> None:
    """Every change was announced by `mirror/files.py`."""
    seen = record(announced(program(folder, THROUGH_FILES)), folder)

    assert len(seen) == 10
    assert bypasses(seen) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('(folder / "f").write_text("x")', ["open", "write"]),
        ('os.rename(folder / "list.json", folder / "old")', ["rename"]),
        ('subprocess.run(["touch", folder / "list.json"])', ["open", "utimens"]),
        ('descriptor = Calls().open(folder / "f", os.O_CREAT | os.O_WRONLY); os.write(descriptor, b"x")', ["write"]),
        ('threading.Thread(target=os.unlink, args=[folder / "list.json"]).start()', ["unlink"]),
    ],
)
def test_whatever_bypasses_files_is_found(text: str, found: list[str], folder: Path) -> None:
    """A change that `mirror/files.py` did not announce is listed, among many that it did."""
    seen = record(announced(program(folder, textwrap.dedent(THROUGH_FILES) + text)), folder)

    assert plain(bypasses(seen)) == found


def test_sqlite_may_change_its_own_files(folder: Path) -> None:
    """A database is allowed by name, with the files that SQLite puts beside it; nothing else is."""
    text = """
        database = sqlite3.connect(folder / "c.sqlite")
        database.execute("pragma journal_mode = wal"); database.execute("create table t (a)"); database.close()
        (folder / "c.sqlite.bak").touch()
    """

    seen = record(announced(program(folder, text)), folder)

    assert {path.name for call in bypasses(seen) for path in call.paths} > {"c.sqlite", "c.sqlite-wal"}
    assert {call.paths[0].name for call in bypasses(seen, of_sqlite(folder / "c.sqlite"))} == {"c.sqlite.bak"}


def test_calls_of_threads_that_cross_are_told_apart() -> None:
    """A call that is listed in two parts is one call, in the place where it began."""
    listing = """\
7  openat(AT_FDCWD</>, "/d/a", O_WRONLY|O_CREAT, 0666 <unfinished ...>
8  write(4</d/b>, ""..., 9 <unfinished ...>
7  <... openat resumed>)       = 3</d/a>
8  <... write resumed>)        = 9
8  write(4</d/b>, ""..., 9 <unfinished ...>
7  fsync(3</d/a>)              = ?
7  +++ killed by SIGKILL +++
"""

    calls = systemcalls.read(listing.splitlines())

    assert [(str(call), call.tracee, os.fspath(call.paths[-1]), call.result) for call in calls] == [
        ("openat-1", 0, "/d/a", "3</d/a>"),
        ("write-1", 1, "/d/b", "9"),
        ("write-2", 1, "/d/b", "?"),
        ("fsync-1", 0, "/d/a", "?"),
    ]
