"""What lies in the inbox: which names belong together, what is refused, and who is still writing."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder.errors import DropError
from builder.intake import drops
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable


def found(inbox: Path, *unfinished: str) -> dict[tuple[str, ...], str]:
    """Say of what lies in an inbox whether it is "ready" or why not; some files are still being written."""

    def waits(descriptor: int) -> str:
        return "is still being written" if Path(f"/proc/self/fd/{descriptor}").readlink().name in unfinished else ""

    with Files().open_folder(inbox) as folder:
        finds = list(drops.find(folder, waits))
    return {find.names: find.refusal or find.waiting or "ready" for find in finds}


def put(inbox: Path, *names: str) -> None:
    """Put files, or with a slash at the end folders, into an inbox."""
    for name in names:
        if name.endswith("/"):
            (inbox / name).mkdir()
        else:
            (inbox / name).write_bytes(b"x")


def test_a_pair_belongs_together(tmp_path: Path) -> None:
    """The content is named for the file, whatever the file is called."""
    put(tmp_path, "app", "app.json", "lib-1.0.tar.gz", "lib-1.0.tar.gz.json", "with space", "with space.json")

    assert found(tmp_path) == {
        ("lib-1.0.tar.gz.json", "lib-1.0.tar.gz"): "ready",
        ("with space.json", "with space"): "ready",
        ("app.json", "app"): "ready",
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["x", "x.json", "x.json.json"],
            {("x.json.json", "x.json"): "ready", ("x",): "its partner x.json is not there"},
        ),
        (
            ["x", "x.json", "x.json.json", "x.json.json.json"],
            {("x.json.json.json", "x.json.json"): "ready", ("x.json", "x"): "ready"},
        ),
        (["x.json", "x.json.json"], {("x.json.json", "x.json"): "ready"}),
        (["reason.json", "reason"], {("reason.json", "reason"): "ready"}),
        (["content.json", "content"], {("content.json", "content"): "ready"}),
        (["json"], {("json",): "its partner json.json is not there"}),
        (["x.json"], {("x.json",): "its partner x is not there"}),
        (
            ["x.JSON", "x"],
            {("x",): "its partner x.json is not there", ("x.JSON",): "its partner x.JSON.json is not there"},
        ),
        ([".json", ".x", ".x.json", ".claimed/"], {}),
    ],
)
def test_which_names_make_a_pair(names: list[str], expected: dict[tuple[str, ...], str], tmp_path: Path) -> None:
    """Each name is in one drop; the longest content decides; hidden names do not count."""
    put(tmp_path, *names)

    assert found(tmp_path) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["d/", "d/content.json", "d/app"], "ready"),
        (["d/", "d/content.json", "d/content.json.json"], "ready"),
        (["d/"], "it does not hold content.json and one file yet"),
        (["d/", "d/content.json"], "it does not hold content.json and one file yet"),
        (["d/", "d/app"], "it does not hold content.json and one file yet"),
        (
            ["d/", "d/content.json", "d/.app.part"],
            ".app.part in it is hidden, as files are that are still being copied",
        ),
        (["d/", "d/content.json", "d/app", "d/.app.part"], ".app.part in it is hidden"),
        (
            ["d/", "d/content.json", "d/a", "d/b"],
            "it holds 2 files beside content.json; one file is wanted, with its content.json",
        ),
        (["d/", "d/a", "d/b"], "it holds 2 files and no content.json; one file is wanted, with its content.json"),
        (["d/", "d/content.json", "d/in/"], "in is a folder"),
        (["d/", "d/content.json/", "d/app"], "content.json is a folder"),
        (["d/", "d/.in/"], ".in is a folder"),
        (["d.json/", "d.json/content.json", "d.json/app"], "ready"),
    ],
)
def test_a_folder_holds_content_and_one_file(names: list[str], expected: str, tmp_path: Path) -> None:
    """It waits until both are there, and is refused once it can never be a drop."""
    put(tmp_path, *names)

    ((folder, said),) = found(tmp_path).items()

    assert folder == (names[0].rstrip("/"),)
    assert said.startswith(expected)


def test_a_folder_is_no_half_of_a_pair(tmp_path: Path) -> None:
    """A folder with the name that a file should have is refused together with the content."""
    put(tmp_path, "app/", "app.json")

    ((names, said),) = found(tmp_path).items()

    assert names == ("app.json", "app")
    assert said == "app is a folder; only regular files are taken, and nothing is followed"


@pytest.mark.parametrize("unfinished", ["app", "app.json"])
def test_a_pair_waits_for_its_writer(unfinished: str, tmp_path: Path) -> None:
    """A drop is complete when both files are closed."""
    put(tmp_path, "app", "app.json", "d/", "d/content.json", "d/app")

    assert found(tmp_path, unfinished)["app.json", "app"] == f"{unfinished} is still being written"
    assert found(tmp_path, "content.json")["d",] == "content.json is still being written"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\x7f", r"a\x7f"),
        ("a\u202eb", r"a\u202eb"),
        (os.fsdecode(b"a\xff"), r"a\udcff"),
    ],
)
def test_a_name_that_cannot_be_printed_is_refused(name: str, shown: str, tmp_path: Path) -> None:
    """The reason can be shown in a terminal and written to a log without doing anything there."""
    put(tmp_path, name, f"{name}.json", f"d{name}/")

    with Files().open_folder(tmp_path) as folder:
        finds = list(drops.find(folder, lambda _: ""))
    for find in finds:
        assert "cannot be printed" in find.refusal
        assert shown in find.refusal
        assert find.refusal.isprintable()
        assert find.title.isprintable()


def test_printable_names_of_all_languages_are_fine(tmp_path: Path) -> None:
    """Only what cannot be seen is refused."""
    put(tmp_path, "Grüße", "Grüße.json", "数据", "数据.json")

    assert set(found(tmp_path).values()) == {"ready"}


def test_names_of_255_bytes_are_fine(tmp_path: Path) -> None:
    """The longest name that a file system takes is taken."""
    put(tmp_path, "x" * 250, f"{'x' * 250}.json", "y" * 255)

    assert found(tmp_path) == {
        (f"{'x' * 250}.json", "x" * 250): "ready",
        ("y" * 255,): f"its partner {'y' * 255}.json is not there",
    }


def test_what_goes_away_meanwhile_waits(tmp_path: Path) -> None:
    """A file that is taken back while it is looked at keeps no other from being found."""
    put(tmp_path, "a", "a.json", "b", "b.json")

    def waits(descriptor: int) -> str:
        (tmp_path / "a").unlink(missing_ok=True)
        return ""

    with Files().open_folder(tmp_path) as folder:
        finds = {find.title: find.waiting for find in drops.find(folder, waits)}

    assert finds == {"a": "it cannot be read: No such file or directory", "b": ""}


def test_a_regular_file_is_opened(tmp_path: Path) -> None:
    """The descriptor reads its bytes."""
    (tmp_path / "app").write_bytes(b"bytes")

    with Files().open_folder(tmp_path) as folder, drops.open_regular(folder, "app") as descriptor:
        assert os.read(descriptor, 10) == b"bytes"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("link", "no regular file"),
        ("dangling", "no regular file"),
        ("hard", "is a hard link"),
        ("fifo", "is a FIFO"),
        ("socket", "no regular file"),
        ("folder", "is a folder"),
        ("missing", "no regular file"),
    ],
)
def test_anything_else_is_refused_at_once(kind: str, problem: str, tmp_path: Path) -> None:
    """What became something else after it was looked at is not followed, and not waited for."""
    (tmp_path / "outside").write_bytes(b"secret")
    path = tmp_path / kind
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to("outside"),
        "dangling": lambda: path.symlink_to("nowhere"),
        "hard": lambda: path.hardlink_to(tmp_path / "outside"),
        "fifo": lambda: os.mkfifo(path),
        "socket": lambda: os.mknod(path, stat.S_IFSOCK | 0o600),
        "folder": path.mkdir,
        "missing": lambda: None,
    }
    make[kind]()

    with Files().open_folder(tmp_path) as folder, pytest.raises(DropError, match=problem):
        drops.open_regular(folder, kind).__enter__()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """A thousand refusals do not use up what the system has."""
    os.mkfifo(tmp_path / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))

    with Files().open_folder(tmp_path) as folder:
        with pytest.raises(DropError):
            drops.open_regular(folder, "fifo").__enter__()
        list(drops.find(folder, lambda _: ""))

    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("closed_to_us", ["a", "a.json", "d", "d/content.json"])
def test_what_may_not_be_read_waits(closed_to_us: str, request: pytest.FixtureRequest) -> None:
    """A drop that its owner did not open to the builder waits, with the reason, and keeps no other waiting."""
    made = tempfile.mkdtemp()  # others may enter the folders above, and it goes at the end
    inbox = Path(made)
    put(inbox, "a", "a.json", "d/", "d/content.json", "d/app", "e", "e.json")
    (inbox / closed_to_us).chmod(0)
    inbox.chmod(0o755)
    request.getfixturevalue("unprivileged")

    with Files().open_folder(inbox) as folder:
        finds = {find.title: find.waiting for find in drops.find(folder, lambda _: "")}

    assert finds.pop(closed_to_us[0]) == "it cannot be read: Permission denied"
    assert set(finds.values()) == {""}
    assert "e" in finds
