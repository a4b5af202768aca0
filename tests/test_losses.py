"""What devices will lose of an archive is told where it is published; what they refuse is found by the same code."""

from __future__ import annotations

import gzip
import lzma
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from mirror.archive import losses
from mirror.archive.archive import Limits
from mirror.errors import InvalidArchiveError
from tests.device.test_hostile_archives import ALL
from tests.support import archives
from tests.support.archives import END, FOLDER, SHARED_PAX, header, member, pax
from tests.support.tools import require

if TYPE_CHECKING:
    from pathlib import Path

A = member("a", b"bytes of a")
LOST: dict[str, tuple[bytes, str]] = {
    "owner": (archives.sealed(header("a")[:108] + b"0001750\0" + header("a")[116:]) + END, "'a' belongs to '1000:0'"),
    "owner-by-pax": (pax({"uid": "1000", "uname": "alice"}) + A + END, "'a' belongs to 'alice:0'"),
    "group-by-pax": (pax({"gid": "33", "gname": "www-data"}) + A + END, "'a' belongs to '0:www-data'; on devices"),
    "many-owned": (pax({"uid": "1", "gid": "1"}, SHARED_PAX) + A * 3 + END, r"'1:1' \(and 2 more\); on devices"),
    "attribute": (pax({"SCHILY.xattr.user.a": "x"}) + A + END, "'a' has 'user.a'; devices unpack no attributes"),
    "capability": (
        pax({"SCHILY.xattr.security.capability": b"\1\0\0\2"}) + A + END,
        r"'a' has 'security.capability'.* \(have AfterUpdate set them\)",
    ),
    "capability-by-bsdtar": (pax({"LIBARCHIVE.xattr.security.capability": "AQ"}) + A + END, "'security.capability'"),
    "access-list": (pax({"SCHILY.acl.access": "", "SCHILY.acl.default": ""}) + A + END, r"'acl.access', \.\.\."),
    "label": (pax({"RHT.security.selinux": "x"}) + A + END, "'security.selinux'"),
    "private-folder": (member("./", kind=FOLDER, mode=0o700) + A + END, "its own folder has mode 0700.* it has 0755"),
    "late": (pax({"mtime": "9" * 30}) + A + END, "'a' was changed before 1902 or after 2242"),
    "not-utf-8": (member(b"\xe9") + END, "not UTF-8"),
    "case": (member("d/a") + member("d/A") + END, "'d/a' and 'd/A' differ only in case"),
    "case-of-others": (member("ÉTÉ") + member("été") + END, "differ only in case"),
    "case-of-folders": (member("d/a") + member("D/b") + END, "'d' and 'D' differ only in case"),
    "no-end": (A, "its archive has no end of its own"),
    "garbage": (A + END + b"garbage", "something follows the end of its archive at byte 2048, which is not unpacked"),
    "lone-nuls": (A + bytes(512) + A + END, "something follows the end"),
    "zstd": (archives.zstd("zstandard")(A + END), "compressed by zstd, which not every device reads.*gzip"),
    "too-many": (gzip.compress(A * 2000, 1), "was not judged to its end: its archive has more than 1000 entries"),
    "too-large": (header("a", size=2**32) + END, "was not judged to its end: its archive unpacks to more than"),
}  # fmt: skip
NOTHING = {
    "plain": A + END,
    "padded": A + bytes(10240),
    "short-end": A + bytes(512),
    "of-a-mac": pax({"LIBARCHIVE.xattr.com.apple.provenance": "AQ", "SCHILY.xattr.com.apple.x": "1"}) + A + END,
    "open-folder": member("./", kind=FOLDER, mode=0o755) + A + END,
    "folder-twice": member("./", kind=FOLDER, mode=0o700) + A + member(".", kind=FOLDER, mode=0o777) + END,
    "three-dots": member(".../", kind=FOLDER, mode=0o700) + A + END,
    "replaced": member("a") + member("a", kind=FOLDER, mode=0o755) + END,
}


def told(data: bytes) -> list[str]:
    """Judge an archive; returns what its publisher is told."""
    return [str(problem) for problem in losses.judge(iter([data]), Limits(size=2**32, count=1000))]


@pytest.mark.parametrize("name", LOST)
def test_each_loss_is_told_with_an_example(name: str) -> None:
    """The publisher learns of which member what will not be there, in one line for each kind."""
    data, reason = LOST[name]

    (problem,) = told(data)
    assert re.search(reason, problem)


@pytest.mark.parametrize("name", NOTHING)
def test_where_nothing_is_lost_nothing_is_said(name: str) -> None:
    """A warning that is always there is read by nobody."""
    assert told(NOTHING[name]) == []


@pytest.mark.parametrize("name", ALL)
def test_what_devices_refuse_is_found_with_the_same_reason(name: str) -> None:
    """Every hostile archive, by the words that a device would say."""
    data, reason = ALL[name]

    try:
        warnings = " ".join(str(each) for each in losses.judge(iter([data]), Limits()))
    except InvalidArchiveError as error:
        warnings = str(error)

    assert re.search(reason, warnings)


def test_capabilities_of_a_real_archive_are_told(tmp_path: Path) -> None:
    """As GNU tar packs them."""
    require("setcap")
    (tmp_path / "ping").write_bytes(b"x")
    if subprocess.run(["setcap", "cap_net_raw+ep", tmp_path / "ping"], check=False, capture_output=True).returncode:
        pytest.skip("this file system or user sets no capabilities")
    owned = ["--owner=0", "--group=0", "--xattrs", "--xattrs-include=*"]

    packed = subprocess.run(["tar", "-c", *owned, "-C", tmp_path, "ping"], check=True, capture_output=True).stdout

    assert told(packed) == [
        (
            "file: 'ping' has 'security.capability'; devices unpack no attributes and no capabilities "
            "(have AfterUpdate set them)"
        )
    ]


def test_what_is_read_here_may_be_bounded() -> None:
    """Decompressed bytes, memory to decompress, and memory for names: more is for devices to judge."""
    many = gzip.compress(b"".join(header(f"{number:0100}") for number in range(900)) + END, 1)
    large = archives.gzip_of_nothing(8 * 2**20, header("a", size=2**23 - 1024))
    xz = lzma.compress(A + END, preset=9)
    for data, limits in (
        (many, Limits(names=50_000)),
        (large, Limits(stream=2**20)),
        (xz, Limits(memory=34 * 2**20)),
    ):
        (problem,) = losses.judge(iter([data]), limits)

        assert problem.message.startswith("was not judged to its end: ")
        assert losses.judge(iter([data]), Limits()) == ()


def test_who_judges_may_be_called_off() -> None:
    """Between any two blocks, also where no bytes come out."""

    class Enough(Exception):  # noqa: N818 - no error
        pass

    def leave() -> None:
        raise Enough

    for data in (A + END, gzip.compress(b"") * 100):
        with pytest.raises(Enough):
            losses.judge(iter([data]), Limits(), leave)
