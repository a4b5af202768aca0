"""Packages of folders: what honest archives become, and what a fault or other bytes make of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devclient import unpack as stage
from devclient.errors import BrokenPromiseError
from mirror.archive.archive import Limits
from mirror.files import Calls, Files
from tests.support import archives
from tests.support.archives import (
    COMPRESSIONS,
    END,
    FILE,
    FOLDER,
    LINK,
    LONG_LINK,
    LONG_NAME,
    OLD_FILE,
    SHARED_PAX,
    SYMLINK,
    TREE,
    WHAT,
    Entry,
    header,
    leads_out,
    look,
    measure,
    member,
    pax,
    put,
    unpack,
)
from tests.support.faults import ERRORS, KILLS, CountingCalls, Fault, FaultyCalls, Killed, sweep

FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_was_packed_is_what_the_folder_gets(tmp_path: Path, compression: str, form: str) -> None:
    """Names, bytes, modes, links and times, in each form of tar and however it is compressed."""
    short = [entry for entry in TREE if len(entry.name + entry.leads_to) < 100]
    entries = short if form == "ustar" else TREE
    file = put(tmp_path, COMPRESSIONS[compression](archives.pack(entries, FORMS[form])))

    measure(file)
    unpack(file, tmp_path / "new")

    seen, wanted = look(tmp_path / "new"), archives.wanted(entries, 1 if form == "pax" else 10**9)
    assert {path: seen[path] for path in wanted} == wanted
    assert (tmp_path / "new/bin/tool").samefile(tmp_path / "new/bin/app")
    assert {seen[path][:2] for path in seen.keys() - wanted.keys()} == {("folder", 0o755)}


@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "oldgnu", "posix"])
def test_what_gnu_tar_packs_is_unpacked(tmp_path: Path, form: str) -> None:
    """Folders, links and times of a real folder; long names and others than ASCII, where its form has them."""
    source = tmp_path / "source"
    names = ["a", "b c", "x" * 60 + "/" + "y" * 30]
    names += [] if form in {"v7", "ustar"} else ["grüße/データ", "/".join(["l" * 200] * 4)]
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(name.encode() * 1000)
        (source / "links" / name.replace("/", "-")[:90]).parent.mkdir(exist_ok=True)
        (source / "links" / name.replace("/", "-")[:90]).symlink_to(f"../{name}")
    (source / "hard").hardlink_to(source / "a")
    packed = subprocess.run(
        ["tar", "-c", f"--format={form}", "--sort=name", "-C", source, "."], capture_output=True, check=True
    )

    unpack(put(tmp_path, packed.stdout), tmp_path / "new")

    def rough(seen: dict[str, archives.Seen]) -> dict[str, archives.Seen]:
        whole = 1 if form == "posix" else 10**9
        return {path: (kind, mode, time // whole, data) for path, (kind, mode, time, data) in seen.items()}

    assert rough(look(tmp_path / "new")) == rough(look(source))
    assert (tmp_path / "new/hard").samefile(tmp_path / "new/a")


def test_the_measure_is_what_the_disk_gives(tmp_path: Path) -> None:
    """Whole blocks for each file, one for each folder and symlink, also those that have no entry of their own."""
    file = put(tmp_path, archives.pack(TREE))

    size = measure(file)
    unpack(file, tmp_path / "new")

    paths = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    files = {path.stat().st_ino: path.stat().st_size for path in paths if path.is_file() and not path.is_symlink()}
    others = [path for path in paths if path.is_dir() or path.is_symlink()]
    assert size.count == len(paths) - 1
    assert size.on_disk == sum(-(-size // 4096) for size in files.values()) * 4096 + len(others) * 4096


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_whoever_waits_is_told_at_each_block_that_is_measured(tmp_path: Path, compression: str) -> None:
    """What is small when it is packed may take long: each decompressed block counts, and it can be left there."""
    packed = put(tmp_path, COMPRESSIONS[compression](archives.pack([Entry("zeros", bytes(40_000_000))])))
    blocks = 0

    def go_on() -> None:
        nonlocal blocks
        blocks += 1
        if blocks == 10:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        stage.measure(packed, WHAT, Limits(1 << 40, 1000), go_on)


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    """The archive says who may do what, not who unpacks."""
    file = put(tmp_path, member("a/b", b"b", mode=0o666) + member("c", kind=FOLDER, mode=0o777) + END)
    before = os.umask(0o077)
    try:
        unpack(file, tmp_path / "new")
    finally:
        os.umask(before)

    modes = {path: mode for path, (_, mode, *_) in look(tmp_path / "new").items()}
    assert modes == {".": 0o755, "a": 0o755, "a/b": 0o666, "c": 0o777}


def test_nobody_looks_in_while_it_is_unpacked(tmp_path: Path) -> None:
    """Files and folders are their owner's alone until they are complete."""
    modes: set[int] = set()

    class Watching(Calls):
        def open(self, path: Path, flags: int, mode: int = 0o644, *, at: int | None = None) -> int:
            modes.add(mode)
            return super().open(path, flags, mode, at=at)

        def mkdir(self, path: Path, mode: int = 0o755, *, at: int | None = None) -> None:
            modes.add(mode)
            super().mkdir(path, mode, at=at)

    unpack(put(tmp_path, archives.pack(TREE)), tmp_path / "new", calls=Watching())

    assert modes == {0o600, 0o700}


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """Only a new folder is unpacked into."""
    (tmp_path / "new").mkdir()

    with pytest.raises(FileExistsError):
        unpack(put(tmp_path, archives.pack(TREE)), tmp_path / "new")

    assert list((tmp_path / "new").iterdir()) == []


def test_unpacking_syncs_nothing(tmp_path: Path) -> None:
    """One sync of the file system is for whoever unpacks several."""
    calls = CountingCalls()

    unpack(put(tmp_path, archives.pack(TREE)), tmp_path / "new", calls=calls)

    assert calls.syncs == 0


def test_names_are_plain_once_unpacked(tmp_path: Path) -> None:
    """Dots and slashes too many mean nothing, folders may come after what is in them, cases are different names."""
    packed = (
        member("./a//b/./c", b"1")
        + member("a/", kind=FOLDER, mode=0o700)
        + member("A/", kind=OLD_FILE)
        + member("./", kind=FOLDER, mode=0o711)
        + member("a/b/l", kind=SYMLINK, leads_to=".//./../b//c")
        + END
    )

    unpack(put(tmp_path, packed), tmp_path / "new")

    seen = look(tmp_path / "new")
    assert {path: seen[path][:2] for path in seen} == {
        ".": ("folder", 0o755),
        "A": ("folder", 0o644),
        "a": ("folder", 0o700),
        "a/b": ("folder", 0o755),
        "a/b/c": ("file", 0o644),
        "a/b/l": ("symlink", 0),
    }
    assert (tmp_path / "new/a/b/l").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        (
            pax({"path": "new", "size": "3", "mtime": "-1.5", "comment": "x", "SCHILY.xattr.user.a": "b"}),
            -1_500_000_000,
        ),
        (pax({"mtime": "5.25"}, SHARED_PAX) + pax({"path": "new", "mtime": "", "size": "3"}), 7_000_000_000),
        (pax({"mtime": "5.25"}, SHARED_PAX) + pax({"path": "new", "size": "3"}), 5_250_000_000),
        (pax({"path": "new", "size": "3", "mtime": "8589934591.9999999999"}), 8_589_934_591_999_999_999),
    ],
)
def test_pax_headers_say_more_than_the_header(tmp_path: Path, before: bytes, wanted: int) -> None:
    """Name, size and time as they say; of all members what only a shared one says; what else they say is not read."""
    packed = before + header("old", size=0, modified=7) + b"abc" + bytes(509) + member("next", modified=1) + END

    measure(put(tmp_path, packed))
    unpack(put(tmp_path, packed), tmp_path / "folder")

    new = tmp_path / "folder" / "new"
    assert (new.read_bytes(), (tmp_path / "folder" / "next").read_bytes()) == (b"abc", b"")
    assert new.stat().st_mtime_ns == wanted


def test_gnus_spelling_of_long_names_and_large_numbers_is_read(tmp_path: Path) -> None:
    """Names and targets in headers of their own, numbers in binary; where its form has other things than a prefix."""
    packed = (
        member("././@LongLink", b"n" * 200 + b"\0", LONG_NAME)
        + member("././@LongLink", b"t" * 200 + b"\0", LONG_LINK)
        + header("short", SYMLINK, leads_to="short", magic=b"ustar  \0", modified=b"\xff" * 12)
        + member("a", b"a", size=b"\x80" + bytes(10) + b"\x01", magic=b"ustar  \0", prefix=b"14000000000\0")
        + member("b", b"b", magic=bytes(8), prefix=b"none of it")
        + member("d", b"d", prefix=b"c")
        + END
    )

    unpack(put(tmp_path, packed), tmp_path / "new")

    assert (tmp_path / "new" / ("n" * 200)).readlink() == Path("t" * 200)
    assert sorted(look(tmp_path / "new")) == [".", "a", "b", "c", "c/d", "n" * 200]


def test_bytes_that_are_not_the_releases_are_told_apart(tmp_path: Path) -> None:
    """Whether they are a sound archive or not: the mirror's promise is broken, and the publisher did nothing."""
    for number, data in enumerate([archives.pack(TREE), member("../a") + END, archives.pack(TREE)[:5000], b""]):
        with pytest.raises(BrokenPromiseError, match="no longer has the SHA-256"):
            stage.unpack(put(tmp_path, data), tmp_path / str(number), WHAT, "0" * 64, Limits(), Files())


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_byte_of_the_file_is_hashed(tmp_path: Path, compression: str) -> None:
    """Those after the archive's end too, which mean nothing."""
    data = COMPRESSIONS[compression](archives.pack(TREE)) + bytes(4_000_000)
    file = put(tmp_path, data)
    unpack(file, tmp_path / "one")
    sha256 = hashlib.sha256(data[:-1]).hexdigest()

    with pytest.raises(BrokenPromiseError):
        stage.unpack(file, tmp_path / "two", WHAT, sha256, Limits(), Files())


def test_a_time_that_this_device_cannot_keep_is_the_latest_that_it_can(tmp_path: Path) -> None:
    """Systems of 32 bits end in 2038; nobody is without an update for the sake of a time."""

    class Small(Calls):
        def futimens(self, descriptor: int, modified_ns: int) -> None:
            super().futimens(descriptor, modified_ns if modified_ns < 2**31 * 10**9 else modified_ns << 64)

    packed = member("a", b"a", modified=2**31) + member("d", kind=FOLDER, modified=2**33) + END
    unpack(put(tmp_path, packed), tmp_path / "new", calls=Small())

    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "new").iterdir()} == {
        "a": 2**31 * 10**9 - 1,
        "d": 2**31 * 10**9 - 1,
    }


# faults


def test_every_change_goes_through_files(tmp_path: Path) -> None:
    """What the harness stops is stopped: there is no other way to the disk."""
    with pytest.raises(Killed):
        unpack(put(tmp_path, archives.pack(TREE)), tmp_path / "new", calls=FaultyCalls(Fault(1, KILLS[0])))

    assert not (tmp_path / "new").exists()


SMALL = [
    Entry("a/b", b"bytes of b"),
    Entry("a/c", kind=LINK, leads_to="a/b"),
    Entry("d", kind=SYMLINK, leads_to="a"),
    Entry("a", kind=FOLDER, mode=0o700),
    Entry("e", kind=FOLDER, mode=0o755),
]


def unpacking(calls: Calls) -> None:
    """Unpack somewhere."""
    with TemporaryDirectory() as folder:
        unpack(put(Path(folder), archives.pack(SMALL)), Path(folder, "new"), calls=calls)


@sweep(unpacking, [*KILLS, *ERRORS], wanted=5)
def test_what_a_fault_leaves_is_inside_the_folder(tmp_path: Path, fault: Fault) -> None:
    """Once the caller has removed it, the next try is as good as the first; what is told to be done is done."""
    file = put(tmp_path, archives.pack(SMALL))

    with archives.untouched(tmp_path) as new:
        try:
            unpack(file, new, calls=FaultyCalls(fault))
        except (Killed, OSError):
            Files().remove_tree(new)
            unpack(file, new)
        seen = look(new)
    assert {path: seen[path] for path in seen if path != "."} == archives.wanted(SMALL)


# any folder

PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=8)
NAMES = PARTS.filter(lambda part: part not in {".", ".."})


@st.composite
def trees(draw: st.DrawFn) -> list[Entry]:
    """Draw a folder with files, folders and links in it."""
    folders, files = [""], list[Entry]()
    entries = [Entry(".", kind=FOLDER, mode=0o755)]
    taken: set[str] = set()
    for name in draw(st.lists(NAMES, max_size=12, unique=True)):
        path = draw(st.sampled_from(folders)) + name
        if path in taken:
            continue
        taken.add(path)
        kind = draw(st.sampled_from([FILE, FOLDER, SYMLINK, *([LINK] if files else [])]))
        leads_to, mode, time = "", draw(st.integers(0, 0o777)), draw(st.integers(-(10**18), 8 * 10**18))
        if kind == SYMLINK:
            ups = draw(st.integers(0, path.count("/")))
            leads_to = "../" * ups + draw(st.sampled_from([*NAMES_OF_LINKS, name]))
        if kind == LINK:
            origin = draw(st.sampled_from(files))
            leads_to, mode, time = origin.name, origin.mode, origin.modified_ns
        data = draw(st.binary(max_size=2000)) if kind == FILE else b""
        entries.append(Entry(path, data, kind, mode if kind != FOLDER else mode | 0o700, leads_to, time))
        if kind == FOLDER:
            folders.append(f"{path}/")
        if kind == FILE:
            files.append(entries[-1])
    return entries


NAMES_OF_LINKS = ["a", "a/b", ".", "x/y/z"]


@settings(max_examples=60, deadline=None)
@given(entries=trees(), compression=st.sampled_from([*COMPRESSIONS]))
def test_any_folder_comes_out_as_it_was_packed(entries: list[Entry], compression: str) -> None:
    """Pack, measure, unpack: the same tree."""
    with TemporaryDirectory() as scratch:
        file = put(Path(scratch), COMPRESSIONS[compression](archives.pack(entries)))

        size = measure(file)
        unpack(file, Path(scratch, "new"))

        assert look(Path(scratch, "new")) == archives.wanted(entries)
        assert size.count == len(entries) - 1
        assert leads_out(Path(scratch, "new")) == []
