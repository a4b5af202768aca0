"""A folder's package is judged wherever it is published: what devices refuse is refused, what they lose is told."""

from __future__ import annotations

import gzip
import json
import logging
import lzma
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from builder import build, cli, folder_package
from builder.client import parcel
from builder.errors import HashMismatchError, UnusableArchiveError
from builder.folder_package import judged
from builder.pack import pack
from mirror.files import Files
from tests.support import archives, sites
from tests.support.archives import END, SYMLINK, header, member, pax

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = {"package": "app", "version": "1.0", "branch": "main"}
FOLDER = {**FIELDS, "local": "/opt/app/"}

BAD = {
    "text": (b"7 bytes", "it is no tar archive.*give the folder itself to `otamirror pack`"),
    "nothing": (b"", "its archive is empty"),
    "absolute": (
        header("l", SYMLINK, leads_to="/usr/bin/python3") + END,
        "'l' is a symlink to .*, out of the folder; make it anew",
    ),
    "setuid": (member("su", mode=0o4755) + END, "'su' is setuid"),
    "device": (header("null", b"3") + END, "'null' is a device"),
    "sparse": (header("a", b"S") + END, "'a' is a sparse file"),
    "cut-off": (header("a", size=5000) + bytes(700), "cut off in 'a'"),
}
LOSSY = pax({"SCHILY.xattr.security.capability": "x"}) + member("a", b"x") + END
LOSS = "file: 'a' has 'security.capability'; devices unpack no attributes and no capabilities"


def put(folder: Path, data: bytes) -> Path:
    """Write a package."""
    (folder / "app.tar").write_bytes(data)
    return folder / "app.tar"


@pytest.mark.parametrize("name", BAD)
def test_pack_and_push_refuse_what_every_device_would(tmp_path: Path, name: str) -> None:
    """The publisher learns it before anything is written or sent."""
    data, reason = BAD[name]
    file = put(tmp_path, data)

    with pytest.raises(UnusableArchiveError, match=reason):
        pack(file, FOLDER, None, Files())
    with pytest.raises(UnusableArchiveError, match=reason):
        parcel.stated(file, FOLDER)
    with pytest.raises(UnusableArchiveError, match=reason):
        parcel.written(file, sites.package(data=data, local="/opt/app/").content.canonical())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.tar"]


@pytest.mark.parametrize("name", BAD)
def test_the_inbox_refuses_what_every_device_would(tmp_path: Path, name: str) -> None:
    """The drop is moved away whole, with the reason beside it, and nothing is on the mirror."""
    data, reason = BAD[name]
    site = sites.make(tmp_path / "site")
    sites.drop(site.paths.inbox, sites.package(data=data, local="/opt/app/"))

    with build.opened(site) as builder:
        (verdict,) = builder.take_inbox().verdicts

    assert isinstance(verdict.error, UnusableArchiveError)
    (told,) = site.paths.rejected.glob("*/reason.json")
    assert json.loads(told.read_bytes())["error"] == "archive"
    with pytest.raises(UnusableArchiveError, match=reason):
        raise verdict.error
    assert sites.paths(site.paths.spool) == []


def test_what_devices_lose_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By `pack`, `push` and the inbox's log, in the same words."""
    file = put(tmp_path, LOSSY)
    site = sites.make(tmp_path / "site")
    sites.drop(site.paths.inbox, sites.package(data=LOSSY, local="/opt/app/"))

    packed, sent = pack(file, FOLDER, None, Files()), parcel.stated(file, FOLDER)
    with caplog.at_level(logging.WARNING), build.opened(site) as builder:
        (verdict,) = builder.take_inbox().verdicts

    assert verdict.is_new
    assert [str(warning).startswith(LOSS) for warning in packed.warnings] == [True]
    assert packed.warnings == sent.warnings
    assert f"app 1.0 on main: {packed.warnings[0]}" in caplog.messages


@pytest.mark.parametrize("name", [*BAD, "lossy"])
def test_where_the_owner_decides_all_of_it_is_a_warning(tmp_path: Path, name: str) -> None:
    """Without `local` it may be a file or a folder; what is no archive at all is not spoken of."""
    data = LOSSY if name == "lossy" else BAD[name][0]

    warnings = [str(warning) for warning in pack(put(tmp_path, data), FIELDS, None, Files()).warnings]

    silent = {"text", "nothing"}
    assert len(warnings) == (name not in silent)
    assert all(
        "archive that cannot be unpacked into a folder on any device" in each or LOSS in each for each in warnings
    )


@pytest.mark.parametrize("name", BAD)
def test_a_file_may_have_any_bytes(tmp_path: Path, name: str) -> None:
    """Where `local` names a file nobody looks into it."""
    packed = pack(put(tmp_path, BAD[name][0]), {**FIELDS, "local": "/opt/app.tar"}, None, Files())

    assert packed.warnings == ()


UNREAD = {
    "bomb": lambda: archives.gzip_of_nothing(300 * 2**20, header("a", size=300 * 2**20 - 1024)),
    "xz -9": lambda: lzma.compress(member("a") + END, preset=9),
    "names": lambda: gzip.compress(
        b"".join(header(f"{number:0100}", archives.FOLDER) for number in range(34_000)) + END, 1
    ),
}


@pytest.mark.parametrize("name", ["bomb", "xz -9", pytest.param("names", marks=pytest.mark.long)])
def test_what_would_take_too_much_is_for_devices_to_judge(tmp_path: Path, name: str) -> None:
    """A stranger's archive is read as far as its own size allows, in little memory; the publisher is told."""
    package = sites.package(data=UNREAD[name](), local="/opt/app/")

    (warning,) = judged(sites.release(package, tmp_path)).warnings

    assert str(warning).startswith("file: was not judged to its end: its archive ")
    assert folder_package.judge(package.content, tmp_path / package.content.digest) == ()


def test_nothing_is_judged_before_its_hash_is_known(tmp_path: Path) -> None:
    """Bytes that are not those of content.json are told as that, whatever they are."""
    site = sites.make(tmp_path / "site")
    wanted = sites.package(data=LOSSY, local="/opt/app/")
    sites.drop(site.paths.inbox, sites.Package(BAD["device"][0], wanted.content))

    with build.opened(site) as builder:
        (verdict,) = builder.take_inbox().verdicts

    assert isinstance(verdict.error, HashMismatchError)


@pytest.mark.parametrize("command", [["pack"], ["push", "--dry-run"]])
def test_commands_say_it(tmp_path: Path, command: list[str]) -> None:
    """Refused with exit code 1 and the reason; a loss is a line on standard error, and goes on."""
    options = ["--package", "app", "--branch", "main", "--version", "1", "--local", "/opt/app/"]
    bad, lossy = put(tmp_path, BAD["absolute"][0]), tmp_path / "lossy.tar"
    lossy.write_bytes(LOSSY)

    refused = CliRunner().invoke(cli.main, [*command, str(bad), *options])
    taken = CliRunner().invoke(cli.main, [*command, str(lossy), *options])

    assert (refused.exit_code, taken.exit_code) == (1, 0)
    assert "out of the folder" in refused.output + str(refused.exception)
    assert LOSS in taken.stderr
