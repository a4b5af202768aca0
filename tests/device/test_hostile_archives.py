"""Archives that want more than their folder, and what they get: a reason."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devclient.errors import ArchiveError
from mirror.archive.archive import Limits
from mirror.archive.tar_headers import Kind, Member
from mirror.archive.tree import Tree
from tests.support import archives, cost
from tests.support.archives import (
    COMPRESSIONS,
    END,
    FOLDER,
    LINK,
    LONG_LINK,
    LONG_NAME,
    SHARED_PAX,
    SYMLINK,
    WHAT,
    header,
    leads_out,
    measure,
    member,
    pax,
    put,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024

A = member("a", b"bytes of a")
UP = "its archive has a "
HOSTILE: dict[str, tuple[bytes, str]] = {
    # names
    "absolute": (member("/etc/canary"), "'/etc/canary' is not a path within the folder"),
    "empty-name": (member(""), "'' is not a path within the folder"),
    "up": (member("../canary"), "'../canary' may lead out of the folder"),
    "up-and-down": (member("a/../../canary"), "may lead out"),
    "up-within": (member("a/../b"), "may lead out"),
    "up-at-the-end": (member("a/..", kind=FOLDER), "may lead out"),
    "up-by-pax": (pax({"path": "../canary"}) + A, "may lead out"),
    "up-by-a-long-name": (member("L", b"../canary\0", LONG_NAME) + A, "may lead out"),
    "up-by-the-prefix": (member("canary", prefix=b".."), "may lead out"),
    "nul": (pax({"path": "a\0b"}) + A, "has a NUL in it"),
    "long-part": (pax({"path": "é" * 128}) + A, "is too long: 255 bytes between slashes"),
    "long-path": (pax({"path": "/".join(["d" * 200] * 16)}) + A, "is too long: .* 3072 in all"),
    "too-deep": (pax({"path": "/".join(["d"] * 101)}) + A, "is too deep: 100 names"),
    "the-folder-is-a-file": (member("."), "'.' is a file in the place of the folder itself"),
    "the-folder-is-a-link": (header("./", SYMLINK, leads_to="a"), "is a symlink with the name of a folder"),
    # twice
    "folder-then-file": (member("a/b") + A, "'a' is a file where the archive has a folder"),
    "folder-then-link": (member("a/b") + header("a", SYMLINK, leads_to="b"), "'a' is a symlink where .* has a folder"),
    "folder-then-hard-link": (
        A + member("b/c") + header("b", LINK, leads_to="a"),
        "'b' is a hard link where .* folder",
    ),
    "file-with-bytes-like-a-folder": (member("a/", b"x"), "'a/' is a file with the name of a folder"),
    "link-in-the-place-of-a-file-gone-through": (
        A + header("a", SYMLINK, leads_to=".") + member("a/b"),
        "'a/b' needs a folder where the archive has a symlink: 'a'",
    ),
    # symlinks
    "through-a-file": (A + member("a/b"), "'a/b' needs a folder where the archive has a file: 'a'"),
    "through-a-link": (header("a", SYMLINK, leads_to=".") + member("a/b"), "'a/b' needs .* has a symlink: 'a'"),
    "link-below-a-link": (
        member("d", kind=FOLDER) + header("l", SYMLINK, leads_to="d") + header("l/m", SYMLINK, leads_to=".."),
        "'l/m' needs a folder where the archive has a symlink: 'l'",
    ),
    "link-away": (header("l", SYMLINK, leads_to="/etc/passwd"), "'l' is a symlink to '/etc/passwd', out of the folder"),
    "link-up": (header("l", SYMLINK, leads_to=".."), "out of the folder"),
    "link-up-below": (header("a/b/l", SYMLINK, leads_to="../.././../canary"), "out of the folder"),
    "link-up-late": (header("l", SYMLINK, leads_to="a/../.."), r"where \.\. stands after a name"),
    "link-up-through-links": (
        header("a/b/c", SYMLINK, leads_to="../..") + header("l", SYMLINK, leads_to="a/b/c/.."),
        r"where \.\. stands after a name",
    ),
    "link-up-by-pax": (pax({"linkpath": "../canary"}) + header("l", SYMLINK, leads_to="a"), "out of the folder"),
    "link-up-by-a-long-link": (member("K", b"..", LONG_LINK) + header("l", SYMLINK), "out of the folder"),
    "link-to-nothing": (header("l", SYMLINK), "'l' is a symlink to '', which is no path"),
    "link-with-nul": (pax({"linkpath": "a\0b"}) + header("l", SYMLINK), "which is no path"),
    "link-too-long": (pax({"linkpath": "x" * 256}) + header("l", SYMLINK), "is too long"),
    # hard links
    "hard-link-away": (header("h", LINK, leads_to="/etc/passwd"), "'/etc/passwd' is not a path within the folder"),
    "hard-link-up": (header("h", LINK, leads_to="../canary"), "may lead out of the folder"),
    "hard-link-to-what-is-not-there": (header("h", LINK, leads_to="b"), "'h' is a hard link to 'b', no file that came"),
    "hard-link-to-what-comes-later": (header("h", LINK, leads_to="a") + A, "no file that came before it"),
    "hard-link-to-itself": (header("h", LINK, leads_to="h"), "no file that came before it"),
    "hard-link-to-a-folder": (member("d", kind=FOLDER) + header("h", LINK, leads_to="d"), "no file that came before"),
    "hard-link-to-the-folder": (A + header("h", LINK, leads_to="."), "no file that came before"),
    "hard-link-to-a-link-from-above": (
        header("d/l", SYMLINK, leads_to="../a") + header("h", LINK, leads_to="d/l"),
        "'h' is a hard link to 'd/l', a symlink that from there leads out of the folder",
    ),
    "hard-link-through-a-link": (
        member("d/a") + header("l", SYMLINK, leads_to="d") + header("h", LINK, leads_to="l/a"),
        "no file that came before it",
    ),
    "hard-link-with-bytes": (A + member("h", b"x", LINK, leads_to="a"), "'h' is a hard link with a content of 1 bytes"),
    # modes and kinds
    "setuid": (member("a", mode=0o4755), "'a' is setuid, which no member may be"),
    "setgid": (member("a", kind=FOLDER, mode=0o2755), "'a' is setgid"),
    "sticky": (member("a", kind=FOLDER, mode=0o1777), "'a' is sticky"),
    "all-of-them": (member("a", mode=b"\xff" * 8), "'a' is setuid and setgid and sticky"),
    "character-device": (header("a", b"3"), "'a' is a device"),
    "block-device": (header("a", b"4"), "'a' is a device"),
    "fifo": (header("a", b"6"), "'a' is a FIFO"),
    "sparse": (header("a", b"S"), "'a' is a sparse file"),
    "sparse-by-pax": (pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}) + A, "has a sparse file"),
    "sparse-for-all": (pax({"GNU.sparse.size": "1"}, SHARED_PAX) + A, "has a sparse file"),
    "sparse-by-star": (pax({"SCHILY.realsize": "1"}) + A, "has a sparse file"),
    "multi-volume": (header("a", b"M"), r"'a' is of a kind that is not unpacked \(b'M'\)"),
    "folder-with-bytes": (member("a", b"x", FOLDER), "'a' is a folder with a content of 1 bytes"),
    "link-with-bytes": (member("a", b"x", SYMLINK, leads_to="b"), "'a' is a symlink with a content of 1 bytes"),
    # numbers
    "negative-size": (header("a", size=b"\xff" * 11 + b"\x00"), "'a' has -256 bytes"),
    "negative-size-by-pax": (pax({"size": "-5"}) + A, "'a' has -5 bytes"),
    "size-that-is-none": (pax({"size": "1_0"}) + A, "'a' has a size that is no number: '1_0'"),
    "huge-size": (header("a", size=b"\x80" + b"\xff" * 11), "unpacks to more than 17179869184 bytes"),
    "huge-size-by-pax": (pax({"size": "9" * 40}) + A, "unpacks to more than 17179869184 bytes"),
    "mode-that-is-none": (header("a", mode=b"rwxr-xr-"), UP + "damaged header: 'rwxr-xr-' is no number"),
    "size-in-python": (header("a", size=b"0o17"), UP + "damaged header: '0o17"),
    "negative-octal": (header("a", size=b"-5"), UP + "damaged header: '-5"),
    "time-that-is-none": (pax({"mtime": "now"}) + A, "'a' has a time that is no number: 'now'"),
    "time-infinite": (pax({"mtime": "inf"}) + A, "'a' has a time that is no number"),
    # headers before headers
    "shared-name": (pax({"path": "b"}, SHARED_PAX) + A, "gives all its members one name or one size"),
    "shared-size": (pax({"size": "1"}, SHARED_PAX) + A, "gives all its members one name or one size"),
    "pax-twice": (pax({"path": "b"}) * 2 + A, UP + "pax header twice for one member"),
    "huge-pax": (header("x", b"x", size=2**20 + 1) + A, UP + "pax header of 1048577 bytes"),
    "negative-pax": (header("x", b"x", size=b"\xff" * 12) + A, UP + "pax header of -1 bytes"),
    "huge-long-name": (header("L", LONG_NAME, size=2**40 // 2**8) + A, UP + "long name of 4294967296 bytes"),
    "pax-cut-off": (header("x", b"x", size=2000) + A, "cut off|damaged"),
    "pax-of-length-0": (member("x", b"0 path=b\n", b"x") + A, UP + "damaged pax header: '0 path=b"),
    "pax-too-short": (member("x", b"6 path=b\n", b"x") + A, UP + "damaged pax header: '6 path=b"),
    "pax-too-long": (member("x", b"99 path=b\n", b"x") + A, UP + "damaged pax header: '99 path=b"),
    "pax-without-key": (member("x", b"5 abc\n", b"x") + A, UP + "damaged pax header"),
    "pax-without-length": (member("x", b"path=b\n", b"x") + A, UP + "damaged pax header"),
    "pax-for-nothing": (A + pax({"path": "b"}), "its archive is cut off after a pax header"),
    "shared-pax-without-end": (pax({"mtime": "1"}, SHARED_PAX) * 101, UP + "pax header for all members too often"),
    "shared-pax-of-many-keys": (
        pax({f"SCHILY.xattr.user.{number}": "" for number in range(101)}, SHARED_PAX),
        "says more than 100 things of all its members",
    ),
}
UNFINISHED: dict[str, tuple[bytes, str]] = {
    # what is not sound as a whole; no end is added to these
    "no-bytes": (b"", "its archive is empty"),
    "nothing-compressed": (gzip.compress(b""), "its archive is empty"),
    "no-members": (END, "its archive is empty"),
    "no-members-padded": (bytes(10240), "its archive is empty"),
    "text": (b"#!/bin/sh\nexit 1\n" * 100, "it is no tar archive, nor one that gzip"),
    "short-text": (b"hello", "it is no tar archive"),
    "zip": (b"PK\x03\x04" + bytes(1000), "it is no tar archive"),
    "text-compressed": (gzip.compress(b"hello" * 1000), "it is no tar archive"),
    "tar-compressed-twice": (gzip.compress(gzip.compress(A + END)), "it is no tar archive"),
    "header-cut-off": (A + A[:100], "its archive is cut off"),
    "bytes-cut-off": (header("a", size=5000) + bytes(700), "its archive is cut off in 'a'"),
    "damaged-header": (A + b"?" + A[1:] + END, UP + "damaged header at byte 1024"),
    "damaged-first-header": (b"?" + A[1:] + END, "it is no tar archive"),
    "other-magic": (header("a", magic=b"UStar\0\0\0") + END, "it is no tar archive"),
    "garbage-after-gzip": (gzip.compress(A + END) + b"garbage", "damaged, or something follows its end: gzip says"),
    "garbage-after-xz": (COMPRESSIONS["xz"](A + END) + b"garbage" * 9, "or something follows its end: xz says"),
    "garbage-after-bzip2": (COMPRESSIONS["bzip2"](A + END) + b"garbage", "something follows its end: bzip2|cut off"),
    **{
        f"{name}-cut-off": (compress(A + END)[:-9], f"cut off: what {name} compressed does not end")
        for name, compress in COMPRESSIONS.items()
        if name != "plain"
    },
    **{
        f"{name}-damaged": (compress(A + END)[:25] + b"???" + compress(A + END)[28:], "damaged|cut off|no tar")
        for name, compress in COMPRESSIONS.items()
        if name != "plain"
    },
    "gzip-checksum": (gzip.compress(A + END)[:-8] + bytes(8), "its archive is damaged: gzip says"),
}
ALL = {name: (data + END, reason) for name, (data, reason) in HOSTILE.items()} | UNFINISHED


@pytest.mark.parametrize("name", ALL)
def test_hostile_archives_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    """Measuring finds each with its reason, and says which release it is."""
    data, reason = ALL[name]

    with pytest.raises(ArchiveError, match=reason) as caught:
        measure(put(tmp_path, data))

    assert str(caught.value).startswith(f"{WHAT}: {caught.value.problem}; nothing was changed.")


@pytest.mark.parametrize("name", ALL)
def test_hostile_archives_are_refused_while_they_are_unpacked(tmp_path: Path, name: str) -> None:
    """Unpacking does not rely on an earlier look, and touches nothing outside of the folder."""
    data, reason = ALL[name]

    with archives.untouched(tmp_path) as new:
        with pytest.raises(ArchiveError, match=reason):
            unpack(put(tmp_path, data), new)
        assert leads_out(new) == []


# limits


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    """Folders without an entry of their own count, as they take an inode each."""
    file = put(tmp_path, member("a/b/c") + member("a/b/d") + END)

    assert measure(file, Limits(count=4)).count == 4
    with pytest.raises(ArchiveError, match="has more than 3 entries"):
        measure(file, Limits(count=3))


def test_too_many_bytes_are_refused_before_they_come(tmp_path: Path) -> None:
    """By what the headers claim, and to the block."""
    file = put(tmp_path, member("a", bytes(4097)) + header("b", size=10**9))

    with pytest.raises(ArchiveError, match=f"unpacks to more than {MIB} bytes"):
        measure(file, Limits(size=MIB))
    file = put(tmp_path, member("a", bytes(4097)) + member("b", b"b") + END)
    assert measure(file, Limits(size=16384)).on_disk == 16384
    with pytest.raises(ArchiveError, match="unpacks to more than 16383 bytes"):
        measure(file, Limits(size=16383))


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    """They are no content, but they are decompressed, and that has its limit too."""
    comment = pax({"comment": "x" * 1_000_000})
    many = b"".join(comment + member(str(number)) for number in range(30))

    with pytest.raises(ArchiveError, match="unpacks to more than"):
        measure(put(tmp_path, gzip.compress(many, 1)), Limits(size=MIB, count=100))


BOMBS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: archives.gzip_of_nothing(1024 * MIB),
    "nothing-in-a-file": lambda: archives.gzip_of_nothing(1024 * MIB, header("a", size=2**30)),
    "nothing-in-a-pax-header": lambda: archives.gzip_of_nothing(1024 * MIB, header("a", b"x", size=2**20)),
    "nothing-after-the-end": lambda: archives.gzip_of_nothing(1024 * MIB, A),
    "streams": lambda: gzip.compress(b"") * 100_000,
    "entries": lambda: gzip.compress(b"".join(header(f"{number:0100}") for number in range(20_000)), 1),
    "folders": lambda: gzip.compress(
        b"".join(member("L", b"%d/" % n + b"a/" * 90 + b"a", LONG_NAME) + header("") for n in range(99)), 1
    ),
}
JUDGE = """
import json, sys, tempfile
from pathlib import Path
from devclient import unpack as stage
from mirror.archive.archive import Limits
from devclient.errors import ArchiveError
from mirror.files import Files
import hashlib
file, limits = Path(sys.argv[1]), Limits(size=int(sys.argv[2]), count=2_000)
sha256 = hashlib.file_digest(file.open("rb"), "sha256").hexdigest()
said = []
for judge in (lambda: stage.measure(file, "app 2.0", limits),
              lambda: stage.unpack(file, file.with_name("new"), "app 2.0", sha256, limits, Files())):
    try:
        said.append(str(judge()))
    except ArchiveError as error:
        said.append(error.problem)
print(json.dumps(said))
"""


def judged(file: Path, size: int) -> tuple[list[str], cost.Cost]:
    """Measure and unpack in a process of its own; returns what came of it, and what it cost."""
    output, spent = cost.run([sys.executable, "-c", JUDGE, str(file), str(size)], Path(__file__).parents[2])
    return json.loads(output), spent


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Memory of a process that judges next to nothing."""
    return judged(put(tmp_path_factory.mktemp("idle"), A + END), MIB)[1].peak_bytes


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_little_memory(tmp_path: Path, idle: int, name: str) -> None:
    """Whatever a small archive would become, it is refused before it is decompressed."""
    said, spent = judged(put(tmp_path, BOMBS[name]()), 64 * MIB)

    assert all("its archive" in problem or "lead" in problem for problem in said), said
    assert said[0] == said[1]
    assert spent.peak_bytes - idle < 24 * MIB


def test_large_files_take_little_memory(tmp_path: Path, idle: int) -> None:
    """They are copied, not held."""
    bomb = archives.gzip_of_nothing(256 * MIB, header("a", size=256 * MIB - 1024))

    said, spent = judged(put(tmp_path, bomb), 300 * MIB)

    assert said[1] == "None"
    assert (tmp_path / "new" / "a").stat().st_size == 256 * MIB - 1024
    assert spent.peak_bytes - idle < 24 * MIB


def test_memory_for_entries_is_that_of_their_names() -> None:
    """A device with little memory can take the archives that the limits allow."""
    names = [f"folder-{number // 100}/entry-{number}" for number in range(20_000)]
    tree = Tree(2**40, 10**6)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for name in names:
            tree.add(Member(name, Kind.FILE, 0o644, 1, 0, ""))
        each = (tracemalloc.get_traced_memory()[0] - before) / len(names)
    finally:
        tracemalloc.stop()

    assert each < 250


# whatever it is


def survives(data: bytes) -> None:
    """See that an archive is unpacked or refused: no other error, nothing outside, and measured as it is unpacked."""
    limits, said = Limits(size=8 * MIB, count=100), ["", ""]
    with TemporaryDirectory() as scratch, archives.untouched(Path(scratch)) as new:
        file = put(Path(scratch), data)
        judges: list[Callable[[], object]] = [lambda: measure(file, limits), lambda: unpack(file, new, limits)]
        for number, judge in enumerate(judges):
            try:
                judge()
            except ArchiveError as error:
                said[number] = error.problem
        assert said[0] == said[1]
        assert leads_out(new) == []


SEED = b"".join(
    [
        pax({"mtime": "1.5"}, SHARED_PAX),
        member(".", kind=FOLDER, mode=0o755),
        member("d", kind=FOLDER, mode=0o755),
        pax({"path": "d/a", "size": "700"}) + member("x", b"7" * 700),
        header("d/l", SYMLINK, leads_to="../d/a"),
        member("L", b"long" * 30, LONG_NAME) + header("h", LINK, leads_to="d/a"),
        END,
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(min_size=1, max_size=12)), max_size=6),
    cut=st.integers(0, len(SEED)) | st.none(),
    compression=st.sampled_from([*COMPRESSIONS]),
    seal=st.booleans(),
    late=st.booleans(),
)
def test_damaged_archives_are_refused_or_harmless(
    changes: list[tuple[int, bytes]], cut: int | None, compression: str, *, seal: bool, late: bool
) -> None:
    """Whatever happened to its bytes, before it was compressed or after; checksums are set right, to get further."""
    data = SEED if not late else COMPRESSIONS[compression](SEED)
    for place, put_in in changes:
        at = place % len(data)
        data = data[:at] + put_in + data[at + len(put_in) :]
    data = data[:cut]
    if seal and not late:
        blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
        data = b"".join(
            archives.sealed(block) if b"ustar" in block and len(block) == 512 else block for block in blocks
        )
    survives(data if late else COMPRESSIONS[compression](data))


WAYS = st.lists(st.sampled_from(["..", ".", "a", "b", "c", "canary", ""]), min_size=1, max_size=4).map("/".join)


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """Draw a member that may be anything, with a right checksum."""
    name, leads_to = draw(WAYS), draw(WAYS)
    kind = draw(st.sampled_from([b"0", b"\0", b"1", b"2", b"2", b"2", b"5", b"5", b"6", b"L", b"K", b"x", b"g"]))
    mode = draw(st.sampled_from([0o644, 0o755, 0o777, 0o4755, 0]))
    if kind in {b"L", b"K"}:
        return member("L", leads_to.encode(), kind)
    if kind in {b"x", b"g"}:
        return pax({draw(st.sampled_from(["path", "linkpath", "size", "mtime"])): draw(WAYS | st.just("1"))}, kind)
    return member(
        name, draw(st.binary(max_size=3)) if kind in {b"0", b"\0"} else b"", kind, mode=mode, leads_to=leads_to
    )


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(members(), max_size=6))
@example([header("a/b/c", SYMLINK, leads_to="../.."), header("l", SYMLINK, leads_to="a/b/c")])
@example([header("l", SYMLINK, leads_to="a/b/c/.."), header("a/b/c", SYMLINK, leads_to="../..")])
def test_no_archive_reaches_out_of_its_folder(parts: list[bytes]) -> None:
    """Whatever members there are, in whatever order: each link leads into the folder, and so does each name."""
    survives(b"".join(parts) + END)
