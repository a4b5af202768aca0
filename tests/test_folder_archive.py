"""The archive of a folder: the same bytes on every machine, and all that cannot go into it is told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from builder import cli, tar_writer
from builder.folder_archive import EARLIEST, FolderArchiveError, FolderContent
from mirror.archive.tar_headers import Kind, Member
from mirror.files import Calls, Files
from tests.support import archives
from tests.support.tools import require, require_root

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = ["--package", "app", "--branch", "main", "--version", "1.0", "--local", "/opt/app/"]
LONG = "/".join(["folder" * 20] * 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of all that can be packed."""
    return make(tmp_path / "home/app")


def make(folder: Path) -> Path:
    """Make it once more."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/app").write_bytes(b"#!/bin/sh\n" * 110_000)
    (folder / "bin/app").chmod(0o755)
    (folder / "bin/app-1").hardlink_to(folder / "bin/app")
    (folder / "bin/current").symlink_to("../share/grüße")
    (folder / "share").mkdir()
    (folder / "share/grüße").write_bytes("名".encode())
    (folder / "share" / LONG).mkdir(parents=True)
    (folder / "share" / LONG / "empty").write_bytes(b"")
    (folder / "share/link").symlink_to(LONG)
    (folder / "Zeta").mkdir()
    (folder / "alpha").write_bytes(b"1")
    return folder


def packed(folder: Path, compression: str = "none", modified: int = EARLIEST) -> bytes:
    """Pack a folder; returns the bytes of its archive."""
    target = folder.parent / "packed"
    FolderContent(folder, modified).write(target, compression, Files())
    return target.read_bytes()


@pytest.mark.parametrize("compression", tar_writer.SUFFIXES)
def test_devices_unpack_what_was_packed(tmp_path: Path, folder: Path, compression: str) -> None:
    """Names, bytes, links; mode 0755 for folders and programs and 0644 for the rest; one time for all."""
    unpacked = tmp_path / "new"

    archives.unpack(archives.put(tmp_path, packed(folder, compression)), unpacked)

    seen, wanted = archives.look(unpacked), archives.look(folder)
    assert {path: (each[0], each[3]) for path, each in seen.items()} == {
        path: (each[0], each[3]) for path, each in wanted.items()
    }
    assert {each[1:3] for each in seen.values() if each[0] == "folder"} == {(0o755, EARLIEST * 10**9)}
    assert seen["bin/app"][1:3] == (0o755, EARLIEST * 10**9)
    assert seen["alpha"][1:3] == (0o644, EARLIEST * 10**9)
    assert (unpacked / "bin/app").samefile(unpacked / "bin/app-1")


@pytest.mark.parametrize("tool", ["tar", "bsdtar", "python"])
def test_other_tools_read_it_alike(tmp_path: Path, folder: Path, tool: str) -> None:
    """What is published can be looked into with what everybody has."""
    file = archives.put(tmp_path, packed(folder, "gzip"))
    (tmp_path / "theirs").mkdir()
    commands = {
        "tar": ["tar", "-xpf", file, "-C", tmp_path / "theirs"],
        "bsdtar": ["bsdtar", "-xpf", file, "-C", tmp_path / "theirs"],
        "python": [sys.executable, "-m", "tarfile", "-e", file, tmp_path / "theirs"],
    }
    if tool == "bsdtar":
        require("bsdtar")

    subprocess.run([str(word) for word in commands[tool]], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    archives.unpack(file, tmp_path / "new")

    def brief(place: Path) -> dict[str, tuple[str, int, str | bytes]]:
        return {path: (each[0], each[1], each[3]) for path, each in archives.look(place).items()}

    assert brief(tmp_path / "theirs") == brief(tmp_path / "new")


@pytest.mark.parametrize("compression", tar_writer.SUFFIXES)
def test_the_same_folder_is_the_same_bytes(tmp_path: Path, folder: Path, compression: str) -> None:
    """Whatever the clock, umask, place, file times, group bits, and order in which files were made."""
    before = os.umask(0o027)
    try:
        other = tmp_path / "elsewhere/other"
        (other / "share").mkdir(parents=True)
        shutil.copytree(folder, other, symlinks=True, dirs_exist_ok=True, copy_function=shutil.copyfile)
    finally:
        os.umask(before)
    (other / "bin/app").chmod(0o777)
    (other / "bin/app-1").unlink()
    (other / "bin/app-1").hardlink_to(other / "bin/app")
    (other / "alpha").chmod(0o664)
    os.utime(other / "alpha", ns=(0, 10**18))

    assert packed(folder, compression) == packed(other, compression)


def test_the_bytes_are_these(tmp_path: Path) -> None:
    """They do not change from one release of this program, or of Python, to the next."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "é").write_bytes(b"bytes")
    (folder / "l").symlink_to("é")

    data = packed(folder)

    assert hashlib.sha256(data).hexdigest() == "7dab9d7907ccd40b3d16cd06d5053b647618f445b8bbb7562df271db7787fdf8"
    assert data.startswith(b"./\0")
    assert packed(folder, "gzip").startswith(b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"), "neither name nor time"


def test_who_packs_does_not_show(tmp_path: Path) -> None:
    """The archive of a user is that of root."""
    require_root()
    folder = make(tmp_path / "home/app")
    own = packed(folder)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 1234, 4321, follow_symlinks=False)

    assert packed(folder) == own


def test_a_given_time_is_that_of_all(tmp_path: Path, folder: Path) -> None:
    """SOURCE_DATE_EPOCH, as reproducible builds set it."""
    runner, target = CliRunner(), tmp_path / "app.tar"
    command = ["pack", str(folder), *OPTIONS, "--archive", str(target), "--compress", "none", "--force"]

    first = runner.invoke(cli.main, command, env={"SOURCE_DATE_EPOCH": "1700000000"})
    bad = [runner.invoke(cli.main, command, env={"SOURCE_DATE_EPOCH": text}) for text in ("now", "-1", "9" * 12)]

    assert first.exit_code == 0, first.output
    assert target.read_bytes() == packed(folder, modified=1_700_000_000)
    assert [each.exit_code for each in bad] == [2, 2, 2]
    assert all("has to be seconds since 1970" in each.output for each in bad)


def test_what_is_no_file_is_left_out_and_told(folder: Path) -> None:
    """Sockets and pipes are what a running program left there."""
    own = packed(folder)
    os.mkfifo(folder / "bin/pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()  # noqa: PTH109 - to go back to
        os.chdir(folder)  # its path is too long for a socket
        bound.bind("socket")
        os.chdir(here)

    content = FolderContent(folder)

    assert packed(folder) == own
    assert [str(each) for each in content.warnings] == ["file: 'socket' (and 1 more) is no file, and is left out"]


def test_what_the_archive_will_not_have_is_told(folder: Path) -> None:
    """Special bits, attributes, and modes that keep others out."""
    (folder / "alpha").chmod(0o4755)
    (folder / "share").chmod(0o2755)
    (folder / "Zeta/key").write_bytes(b"secret")
    (folder / "Zeta/key").chmod(0o600)
    attributes = True
    try:
        os.setxattr(folder / "bin/app", "user.a", b"x")
    except OSError:
        attributes = False

    told = sorted(str(each) for each in FolderContent(folder).warnings)

    assert any("'Zeta/key' is kept from others; in the archive all may read it" in each for each in told)
    assert any("'alpha' (and 1 more) is setuid, setgid or sticky; in the archive it is not" in each for each in told)
    assert any("attributes or capabilities" in each for each in told) is attributes


@pytest.mark.parametrize(
    ("name", "leads_to", "problem"),
    [
        ("python", "/usr/bin/python3", "'python' is a symlink to '/usr/bin/python3', out of the folder"),
        ("bin/up", "../../other", "'bin/up' is a symlink to '../../other', out of the folder"),
        ("late", "bin/../../other", r"where \.\. stands after a name"),
    ],
)
def test_links_that_lead_out_are_refused(folder: Path, name: str, leads_to: str, problem: str) -> None:
    """No device would take them, and without them the package would be another."""
    (folder / name).symlink_to(leads_to)

    with pytest.raises(FolderArchiveError, match=f"/app/{name} cannot be packed, .* {problem}"):
        FolderContent(folder)


def test_devices_are_refused(folder: Path) -> None:
    """A device node is no file of a package."""
    require_root()
    try:
        os.mknod(folder / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except OSError:
        pytest.skip("no device can be made here")

    with pytest.raises(FolderArchiveError, match="/null is a device"):
        FolderContent(folder)


@pytest.mark.parametrize("change", ["longer", "shorter", "gone", "link"])
def test_what_changes_meanwhile_is_told(tmp_path: Path, folder: Path, change: str) -> None:
    """Half of one state and half of another is no package; nothing is left behind."""
    content = FolderContent(folder)
    file = folder / "bin/app"
    if change in {"longer", "shorter"}:
        file.write_bytes(b"x" * (4_000_000 if change == "longer" else 10))
    else:
        file.unlink()
    if change == "link":
        file.symlink_to("/etc/passwd")

    with pytest.raises(FolderArchiveError, match=r"/bin/app (was changed|cannot be read)"):
        content.write(tmp_path / "packed", "none", Files())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    """What cannot be written whole is not there at all."""

    class Full(Calls):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:  # noqa: ARG002 - the interface's
            raise OSError(28, os.strerror(28))

    with pytest.raises(FolderArchiveError, match="cannot be written: No space left"):
        FolderContent(folder).write(tmp_path / "packed", "gzip", Files(Full()))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_members_too_large_for_the_header_are_spelled_out() -> None:
    """From 8 GiB on the size stands in a pax header, which every reader knows."""
    large = Member("a", Kind.FILE, 0o644, 9 * 2**30, 0, "")

    data = tar_writer.member_header(large)

    assert b"size=9663676416\n" in data
    assert len(data) == 3 * 512


# commands


def test_the_current_folder_can_be_packed(folder: Path) -> None:
    """`pack .` writes archive and content.json beside the folder, as the inbox takes them."""
    here = os.getcwd()  # noqa: PTH109 - to go back to
    os.chdir(folder)
    try:
        result = CliRunner().invoke(cli.main, ["pack", ".", *OPTIONS, "--json"])
    finally:
        os.chdir(here)

    told = json.loads(result.stdout)
    assert result.exit_code == 0, result.output
    assert (told["file"], told["content"]) == (f"{folder}.tar.gz", f"{folder}.tar.gz.json")
    stated = json.loads((folder.parent / "app.tar.gz.json").read_bytes())
    data = (folder.parent / "app.tar.gz").read_bytes()
    assert (stated["local"], stated["sha256"]) == ("/opt/app/", hashlib.sha256(data).hexdigest())
    assert (told["sha256"], told["size"], told["warnings"]) == (stated["sha256"], len(data), [])


def test_nothing_is_overwritten_unless_it_is_asked_for(folder: Path) -> None:
    """Neither archive nor content.json, and what is wrong with the options is told before anything is written."""
    target = folder.with_name("app.tar.gz")
    target.write_bytes(b"mine")
    command = ["pack", str(folder), *OPTIONS]

    refused = CliRunner().invoke(cli.main, command)
    wrong = CliRunner().invoke(cli.main, [*command, "--branch", "a/b", "--force"])

    assert (refused.exit_code, wrong.exit_code) == (1, 1)
    assert "exists already" in refused.output + str(refused.exception)
    assert target.read_bytes() == b"mine"
    assert CliRunner().invoke(cli.main, [*command, "--force"]).exit_code == 0
    assert target.read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--local", "/opt/app"], "is a folder, but local /opt/app is a file: let it end with /"),
        (["--archive", "INSIDE"], "lies in the folder that is packed"),
    ],
)
def test_what_cannot_be_meant_is_told(folder: Path, more: list[str], problem: str) -> None:
    """Nothing is written."""
    words = [str(folder / "a.tar") if word == "INSIDE" else word for word in more]

    result = CliRunner().invoke(cli.main, ["pack", str(folder), *OPTIONS, *words])

    assert result.exit_code == 1
    assert problem in result.output + str(result.exception)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["app"]


def test_a_folder_can_be_pushed_by_what_was_packed(tmp_path: Path, folder: Path) -> None:
    """Options or the whole content.json: push makes the same archive, and removes it when it is done."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    runner = CliRunner()
    told = json.loads(runner.invoke(cli.main, ["pack", str(folder), *OPTIONS, "--json"]).stdout)

    by_options = runner.invoke(cli.main, ["push", str(folder), *OPTIONS, "--dry-run", "--json"], env=environment)
    by_content = runner.invoke(
        cli.main, ["push", str(folder), "--content", told["content"], "--dry-run", "--json"], env=environment
    )

    assert (by_options.exit_code, by_content.exit_code) == (0, 0), by_content.output
    assert json.loads(by_options.stdout)["sha256"] == told["sha256"] == json.loads(by_content.stdout)["sha256"]
    assert list(temporary.iterdir()) == []
