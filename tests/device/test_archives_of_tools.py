"""Archives as real tools write them: what GNU tar unpacks, and does no harm, is unpacked to the same tree."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devclient.errors import ArchiveError
from tests.support import archives
from tests.support.archives import (
    COMPRESSIONS,
    END,
    FOLDER,
    LINK,
    LONG_NAME,
    SHARED_PAX,
    SYMLINK,
    header,
    leads_out,
    look,
    measure,
    member,
    pax,
    put,
    unpack,
)
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

A = member("a", b"bytes of a")
B = member("b", b"bytes of b")
OLD, NEW = member("x", b"old", mode=0o600), member("x", b"new", mode=0o755)

Brief = dict[str, tuple[str, int, str | bytes]]

HARMLESS: dict[str, tuple[bytes, Brief]] = {
    # ends
    "no-end": (A, {"a": ("file", 0o644, b"bytes of a")}),
    "half-an-end": (A + bytes(512), {"a": ("file", 0o644, b"bytes of a")}),
    "short-last-block": (A + bytes(100), {"a": ("file", 0o644, b"bytes of a")}),
    "padding-cut-off": (A[: 512 + 10], {"a": ("file", 0o644, b"bytes of a")}),
    "much-padding": (A + bytes(1024 * 1024), {"a": ("file", 0o644, b"bytes of a")}),
    "much-compressed-padding": (gzip.compress(A + bytes(17 * 2**20)), {"a": ("file", 0o644, b"bytes of a")}),
    "garbage-after-the-end": (A + END + b"garbage", {"a": ("file", 0o644, b"bytes of a")}),
    "another-archive-after-the-end": (A + END + B + END, {"a": ("file", 0o644, b"bytes of a")}),
    "a-lone-block-of-nuls": (A + bytes(512) + B + END, {"a": ("file", 0o644, b"bytes of a")}),
    "compressed-in-two-parts": (
        gzip.compress(A) + gzip.compress(B + END),
        {"a": ("file", 0o644, b"bytes of a"), "b": ("file", 0o644, b"bytes of b")},
    ),
    "shared-header-at-the-end": (A + pax({"comment": "x"}, SHARED_PAX) + END, {"a": ("file", 0o644, b"bytes of a")}),
    # twice
    "file-twice": (OLD + NEW + END, {"x": ("file", 0o755, b"new")}),
    "file-twice-spelled-otherwise": (OLD + member(".//x", b"new") + END, {"x": ("file", 0o644, b"new")}),
    "folder-twice": (member("d", kind=FOLDER, mode=0o700) + member("d/", kind=FOLDER, mode=0o755) + END, {
        "d": ("folder", 0o755, b""),
    }),
    "folder-twice-with-files-between": (
        member("d", kind=FOLDER, mode=0o500) + member("d/a") + member("d", kind=FOLDER, mode=0o750) + member("d/b"),
        {"d": ("folder", 0o750, b""), "d/a": ("file", 0o644, b""), "d/b": ("file", 0o644, b"")},
    ),
    "top-twice": (member("./", kind=FOLDER, mode=0o700) * 2 + A, {"a": ("file", 0o644, b"bytes of a")}),
    "link-then-file": (header("x", SYMLINK, leads_to="a") + A + NEW + END, {
        "a": ("file", 0o644, b"bytes of a"), "x": ("file", 0o755, b"new"),
    }),
    "file-then-link": (A + OLD + header("x", SYMLINK, leads_to="a") + END, {
        "a": ("file", 0o644, b"bytes of a"), "x": ("symlink", 0, "a"),
    }),
    "link-then-folder": (header("x", SYMLINK, leads_to=".") + member("x", kind=FOLDER, mode=0o711) + member("x/a"), {
        "x": ("folder", 0o711, b""), "x/a": ("file", 0o644, b""),
    }),
    "file-then-folder": (OLD + member("x/", kind=FOLDER, mode=0o755), {"x": ("folder", 0o755, b"")}),
    "empty-folder-then-file": (member("x", kind=FOLDER) + NEW, {"x": ("file", 0o755, b"new")}),
    "empty-folder-then-link": (A + member("x", kind=FOLDER) + header("x", LINK, leads_to="a"), {
        "a": ("file", 0o644, b"bytes of a"), "x": ("file", 0o644, b"bytes of a"),
    }),
    # hard links
    "second-name-of-a-symlink": (A + header("l", SYMLINK, leads_to="a") + header("h", LINK, leads_to="./l"), {
        "a": ("file", 0o644, b"bytes of a"), "l": ("symlink", 0, "a"), "h": ("symlink", 0, "a"),
    }),
    "second-name-further-down": (header("d/l", SYMLINK, leads_to="../a") + header("e/h", LINK, leads_to="d/l"), {
        "d": ("folder", 0o755, b""), "d/l": ("symlink", 0, "../a"),
        "e": ("folder", 0o755, b""), "e/h": ("symlink", 0, "../a"),
    }),
    "hard-link-with-dots": (member("./d/a", b"1") + header("./d/h", LINK, leads_to="./d/./a"), {
        "d": ("folder", 0o755, b""), "d/a": ("file", 0o644, b"1"), "d/h": ("file", 0o644, b"1"),
    }),
    "hard-link-to-itself-again": (A + header("a", LINK, leads_to="./a"), {"a": ("file", 0o644, b"bytes of a")}),
    "hard-link-twice": (A + header("h", LINK, leads_to="a") * 2, {
        "a": ("file", 0o644, b"bytes of a"), "h": ("file", 0o644, b"bytes of a"),
    }),
    "name-replaced-after-a-hard-link": (
        member("a", b"old") + header("h", LINK, leads_to="a") + member("a", b"new") + header("i", LINK, leads_to="a"),
        {"a": ("file", 0o644, b"new"), "h": ("file", 0o644, b"old"), "i": ("file", 0o644, b"new")},
    ),
    # kinds and headers
    "label": (member("the label", kind=b"V") + A, {"a": ("file", 0o644, b"bytes of a")}),
    "contiguous-file": (member("a", b"1", kind=b"7"), {"a": ("file", 0o644, b"1")}),
    "listed-folder": (member("d/", b"Ya\0Yb\0\0", kind=b"D", mode=0o755) + member("d/a"), {
        "d": ("folder", 0o755, b""), "d/a": ("file", 0o644, b""),
    }),
    "folder-by-its-slash": (member("d/", mode=0o755), {"d": ("folder", 0o755, b"")}),
    "suns-pax-header": (pax({"path": "b"}, b"X") + A, {"b": ("file", 0o644, b"bytes of a")}),
    "shared-headers": (pax({"comment": "1"}, SHARED_PAX) * 3 + A, {"a": ("file", 0o644, b"bytes of a")}),
    "shared-owner": (pax({"uname": "root", "uid": "1000"}, SHARED_PAX) + A, {"a": ("file", 0o644, b"bytes of a")}),
    "attributes": (pax({"SCHILY.xattr.user.a": b"\xff\n", "LIBARCHIVE.creationtime": "1"}) + A, {
        "a": ("file", 0o644, b"bytes of a"),
    }),
    # names
    "not-utf-8": (member(b"gr\xfc\xdfe", b"1"), {"gr\udcfc\udcdfe": ("file", 0o644, b"1")}),
    "not-utf-8-by-pax": (pax({"path": b"\xed\xa0\x80", "hdrcharset": "BINARY"}) + A, {
        "\udced\udca0\udc80": ("file", 0o644, b"bytes of a"),
    }),
    "link-not-utf-8": (member(b"\xff") + header("l", SYMLINK, leads_to=b"\xff"), {
        "\udcff": ("file", 0o644, b""), "l": ("symlink", 0, "\udcff"),
    }),
    "long-name-not-utf-8": (member("L", b"\xe9" * 150 + b"\0", LONG_NAME) + member("x"), {
        "\udce9" * 150: ("file", 0o644, b""),
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_odd_and_harmless_is_unpacked(tmp_path: Path, name: str) -> None:
    """What other readers of tar agree on is no reason to leave a device without an update."""
    data, wanted = HARMLESS[name]
    file = put(tmp_path, data)

    measure(file)
    unpack(file, tmp_path / "new")

    assert brief(tmp_path / "new") == {".": ("folder", 0o755, b""), **wanted}


@pytest.mark.parametrize("name", sorted(HARMLESS.keys() - {"padding-cut-off"}))
def test_what_is_odd_is_understood_as_tar_does(tmp_path: Path, name: str) -> None:
    """GNU tar makes the same tree of it, and sees no error."""
    file, theirs = put(tmp_path, HARMLESS[name][0]), tmp_path / "theirs"
    theirs.mkdir(mode=0o755)

    run("tar", "-xp", "-C", theirs, "-f", file)
    theirs.chmod(0o755)

    assert brief(theirs) == {".": ("folder", 0o755, b""), **HARMLESS[name][1]}


TIMES = {
    "before-1970": (member("a", modified=b"\xff" * 11 + b"\xfe"), -2),
    "in-the-future": (member("a", modified=2**32), 2**32),
    "too-late": (pax({"mtime": "8589934592"}) + member("a"), 2**33 - 1),
    "far-too-late": (pax({"mtime": "9" * 39}) + member("a"), 2**33 - 1),
    "too-early": (member("a", modified=b"\xff" + bytes(11)), -(2**31)),
}


@pytest.mark.parametrize("name", TIMES)
def test_any_time_is_unpacked(tmp_path: Path, name: str) -> None:
    """A time that no file system keeps becomes the nearest one that is kept."""
    data, seconds = TIMES[name]

    unpack(put(tmp_path, data + END), tmp_path / "new")

    assert (tmp_path / "new" / "a").stat().st_mtime_ns // 10**9 == seconds


# real tools


def brief(folder: Path) -> Brief:
    """See a folder as `look` does, but for times."""
    return {path: (seen[0], seen[1], seen[3]) for path, seen in look(folder).items()}


def without_times_of_folders(folder: Path) -> Mapping[str, archives.Seen]:
    """See a folder as `look` does, but for what tar itself forgets when something comes into a folder later."""
    return {path: (*seen[:2], 0, b"") if seen[0] == "folder" else seen for path, seen in look(folder).items()}


def run(*command: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> bytes:
    """Run a tool; returns its output."""
    words = [str(part) for part in command]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, env=env, cwd=cwd).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a folder of all that tools have trouble with, without what is refused."""
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/app").write_bytes(b"#!/bin/sh\n" * 10_000)
    (tree / "bin/app").chmod(0o755)
    (tree / "bin/app-1").hardlink_to(tree / "bin/app")
    (tree / "bin/current").symlink_to("../lib/grüße")
    os.link(tree / "bin/current", tree / "bin/second-name", follow_symlinks=False)
    (tree / "lib").mkdir()
    (tree / "lib/grüße").write_bytes("名".encode())
    (tree / "lib/grüße").chmod(0o400)
    (tree / "lib" / ("long" * 30)).mkdir()
    (tree / "lib" / ("long" * 30) / ("name" * 40)).write_bytes(b"1")
    (tree / "lib/old").write_bytes(b"")
    os.utime(tree / "lib/old", ns=(0, -(10**9)))
    (tree / "lib/new").write_bytes(b"")
    os.utime(tree / "lib/new", ns=(0, 4_000_000_000 * 10**9))
    (tree / "empty").mkdir(mode=0o700)
    tree.chmod(0o755)
    return tree


def python_tar(tree: Path) -> bytes:
    """Pack by Python's tarfile."""
    with tarfile.open(tree.with_name("python.tar"), "w") as packed:
        packed.add(tree, arcname=".")
    return tree.with_name("python.tar").read_bytes()


WRITERS: dict[str, Callable[[Path], bytes]] = {
    "gnu": lambda tree: run("tar", "-c", "-C", tree, "--format=gnu", "."),
    "pax": lambda tree: run("tar", "-c", "-C", tree, "--format=pax", "."),
    "pax-with-attributes": lambda tree: run(
        "tar", "-c", "-C", tree, "--format=pax", "--xattrs", "--acls", "--selinux", "."
    ),
    "pax-without-times": lambda tree: run(
        "tar", "-c", "-C", tree, "--format=pax", "--pax-option=delete=atime,delete=ctime", "."
    ),
    "names-without-dots": lambda tree: run("tar", "-c", "-C", tree, "bin", "lib", "empty"),
    "label": lambda tree: run("tar", "-c", "-C", tree, "-V", "a label", "."),
    "incremental": lambda tree: run("tar", "-c", "-C", tree, "--format=gnu", "--incremental", "."),
    "large-records": lambda tree: run("tar", "-c", "-C", tree, "-b", "512", "."),
    "gzip": lambda tree: run("tar", "-cz", "-C", tree, "."),
    "bsdtar": lambda tree: run("bsdtar", "-c", "-f", "-", "-C", tree, "."),
    "bsdtar-pax": lambda tree: run("bsdtar", "-c", "-f", "-", "--format=pax", "-C", tree, "."),
    "bsdtar-gnu": lambda tree: run("bsdtar", "-c", "-f", "-", "--format=gnutar", "-C", tree, "."),
    "bsdtar-xz": lambda tree: run("bsdtar", "-cJ", "-f", "-", "-C", tree, "."),
    "python": python_tar,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_tool_packs_is_unpacked_as_tar_does(tmp_path: Path, tree: Path, writer: str) -> None:
    """Names, bytes, modes, links and times of files are those that GNU tar gives."""
    if writer.startswith("bsdtar"):
        require("bsdtar")
    file, theirs = put(tmp_path, WRITERS[writer](tree)), tmp_path / "theirs"
    theirs.mkdir(mode=0o755)

    run("tar", "-xp", "-C", theirs, "-f", file)
    unpack(file, tmp_path / "new")

    assert without_times_of_folders(tmp_path / "new") == without_times_of_folders(theirs)
    assert (tmp_path / "new/bin/app").samefile(tmp_path / "new/bin/app-1")
    assert leads_out(tmp_path / "new") == []


def test_what_was_added_later_is_unpacked_as_tar_does(tmp_path: Path, tree: Path) -> None:
    """`tar -r` and `tar -A` make archives in which files and folders stand several times."""
    file, other = tmp_path / "blob", tmp_path / "other.tar"
    run("tar", "-cf", file, "-C", tree, ".")
    (tree / "bin/app").write_bytes(b"new")
    (tree / "lib").chmod(0o711)
    run("tar", "-rf", file, "-C", tree, "./bin/app", "./lib")
    run("tar", "-cf", other, "-C", tree, "./bin", "./empty")
    run("tar", "-Af", file, other)
    (tmp_path / "theirs").mkdir(mode=0o755)

    run("tar", "-xp", "-C", tmp_path / "theirs", "-f", file)
    unpack(file, tmp_path / "new")

    assert without_times_of_folders(tmp_path / "new") == without_times_of_folders(tmp_path / "theirs")


def test_what_git_archives_is_unpacked(tmp_path: Path, tree: Path) -> None:
    """The header for all members that `git archive` writes says nothing that counts."""
    require("git")
    shutil.rmtree(tree / "lib" / ("long" * 30))
    git = ("git", "-C", tree, "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.quotepath=off")
    run(*git, "init", "-q")
    run(*git, "add", "--all")
    run(*git, "commit", "-q", "-m", "x")

    unpack(put(tmp_path, run(*git, "archive", "--prefix=app/", "HEAD")), tmp_path / "new")

    assert (tmp_path / "new/app/bin/app").read_bytes() == (tree / "bin/app").read_bytes()
    assert os.readlink(tmp_path / "new/app/bin/current") == "../lib/grüße"  # noqa: PTH115 - as it is


def test_copies_by_hard_links_are_unpacked(tmp_path: Path, tree: Path) -> None:
    """`cp -al`, rsync --link-dest and uv make folders whose files and symlinks have many names."""
    run("cp", "-al", tree, tree.with_name("copy"))
    packed = run("tar", "-cz", "-C", tmp_path, "tree", "copy")

    unpack(put(tmp_path, packed), tmp_path / "new")

    assert brief(tmp_path / "new/copy") == brief(tree)
    assert (tmp_path / "new/copy/bin/app").samefile(tmp_path / "new/tree/bin/app")


def test_a_layered_build_is_unpacked(tmp_path: Path) -> None:
    """Layers that were joined bring folders again, replace files, and have whiteouts, which are files like others."""
    first = archives.pack([
        archives.Entry("etc", kind=FOLDER, mode=0o755),
        archives.Entry("etc/passwd", b"1"),
        archives.Entry("lib", kind=SYMLINK, leads_to="usr/lib"),
        archives.Entry("usr/lib", kind=FOLDER, mode=0o755),
    ])  # fmt: skip
    second = archives.pack([
        archives.Entry("etc/", kind=FOLDER, mode=0o755),
        archives.Entry("etc/passwd", b"2", mode=0o600),
        archives.Entry("etc/.wh.shadow"),
        archives.Entry("lib", kind=SYMLINK, leads_to="usr/lib"),
    ])  # fmt: skip

    unpack(put(tmp_path, first.rstrip(b"\0") + bytes(-len(first.rstrip(b"\0")) % 512) + second), tmp_path / "new")

    assert (tmp_path / "new/etc/passwd").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "new/etc/passwd").stat().st_mode) == 0o600
    assert (tmp_path / "new/etc/.wh.shadow").read_bytes() == b""
    assert (tmp_path / "new/lib").readlink().name == "lib"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_archive_without_end_is_unpacked_whole(tmp_path: Path, compression: str) -> None:
    """Whether its writer was closed or not, however it is compressed."""
    packed = archives.pack(archives.TREE).rstrip(b"\0")
    packed += bytes(-len(packed) % 512)

    unpack(put(tmp_path, COMPRESSIONS[compression](packed)), tmp_path / "new")

    assert look(tmp_path / "new").keys() >= archives.wanted(archives.TREE).keys()


def test_nobody_needs_to_be_root_to_have_the_folder_entered(tmp_path: Path) -> None:
    """What was packed from a private folder is for all, whatever the umask."""
    packed = member("./", kind=FOLDER, mode=0o700) + member("./app", b"x", mode=0o755) + END
    before = os.umask(0o077)
    try:
        unpack(put(tmp_path, packed), tmp_path / "new")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o755


def test_a_name_is_these_bytes_in_any_locale(tmp_path: Path) -> None:
    """A device whose locale is not UTF-8 gets the names that are in the archive."""
    put(tmp_path, member("grüße", b"1") + member(b"\xff", b"2") + header("l", SYMLINK, leads_to="grüße") + END)
    code = (
        "import sys; from pathlib import Path; from tests.support import archives; "
        f"assert sys.getfilesystemencoding() != 'utf-8'; home = Path({str(tmp_path)!r}); "
        "archives.unpack(home / 'blob', home / 'new')"
    )
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    run(sys.executable, "-c", code, env=plain, cwd=Path(__file__).parents[2])

    assert sorted(os.listdir(os.fsencode(tmp_path / "new"))) == ["grüße".encode(), b"l", b"\xff"]  # noqa: PTH208 - bytes


NAMES = st.sampled_from(["a", "b", "c", "a/b", "a/c", "b/a", "./a", "a/b/c", "d/a", "."])
# of two symlinks with one name that go up, tar keeps the first, against its own rule
TARGETS = st.sampled_from(["a", "b", "a/b", ".", "c"])
MODES = st.sampled_from([0o644, 0o755])
FILES = st.builds(lambda name, data, mode: member(name, data, mode=mode), NAMES, st.binary(max_size=2), MODES)
OTHERS = (
    st.builds(lambda name: member(name, kind=FOLDER, mode=0o755), NAMES),
    st.builds(lambda name, leads_to: header(name, SYMLINK, leads_to=leads_to), NAMES, TARGETS),
    st.builds(lambda name, leads_to: header(name, LINK, leads_to=leads_to), NAMES, NAMES),
)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.one_of(FILES, *OTHERS), min_size=1, max_size=8), end=st.sampled_from([b"", bytes(512), END]))
def test_whatever_is_unpacked_is_understood_as_tar_does(parts: list[bytes], end: bytes) -> None:
    """Files, folders and links in any order, under the same names again: what is not refused is the tree of GNU tar."""
    with TemporaryDirectory() as scratch:
        home = Path(scratch)
        file = put(home, b"".join(parts) + end)
        (home / "theirs").mkdir(mode=0o755)
        try:
            unpack(file, home / "new")
        except ArchiveError:
            return

        run("tar", "-xp", "-C", home / "theirs", "-f", file)

        assert brief(home / "new") | {".": None} == brief(home / "theirs") | {".": None}
        assert leads_out(home / "new") == []
