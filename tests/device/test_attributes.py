"""What a file has besides its bytes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from devclient.install import attributes
from devclient.install.attributes import Attributes
from mirror.files import Calls, Files
from tests.support import tools
from tests.support.faults import CountingCalls


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that has attributes."""
    return made(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A file that is to get them."""
    return made(tmp_path / "new")


def made(path: Path) -> Path:
    """Make an empty file."""
    path.write_bytes(b"")
    return path


def of(path: Path) -> Attributes:
    """Read the attributes of a file."""
    with Files().open_folder(path.parent) as folder:
        return attributes.of(folder, path.name)


def give(looks: Attributes, path: Path, calls: Calls | None = None) -> None:
    """Give attributes to a file that is open."""
    with path.open("rb") as file:
        looks.give(file.fileno(), Files(calls))


def set_extended(path: Path, name: str, value: bytes) -> None:
    """Set an extended attribute, or skip the test where the file system has none."""
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        tools.missing("the file system of temporary files has no extended attributes")


def test_a_first_install_is_a_program_of_who_installs(tmp_path: Path) -> None:
    """Where there was no file, everybody may run it, and its owner, root on a device, may change it."""
    assert of(tmp_path / "none") == Attributes(0o755, os.geteuid(), os.getegid())


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o4755, 0o2751, 0o000])
def test_the_mode_is_kept(old: Path, new: Path, mode: int) -> None:
    """All of it, setuid and setgid included."""
    old.chmod(mode)

    give(of(old), new)

    assert new.stat().st_mode & 0o7777 == mode


@pytest.mark.root
def test_the_owner_is_kept_with_the_setuid_bit(old: Path, new: Path) -> None:
    """A change of owner would clear it, so the mode comes after."""
    tools.require_root()
    os.chown(old, 12, 34)
    old.chmod(0o4750)

    give(of(old), new)

    found = new.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (12, 34, 0o4750)


def test_extended_attributes_are_kept(old: Path, new: Path) -> None:
    """Those of the user, byte by byte."""
    set_extended(old, "user.origin", b"\x00\xff")

    give(of(old), new)

    assert os.getxattr(new, "user.origin") == b"\x00\xff"


@pytest.mark.root
def test_capabilities_are_kept(old: Path, new: Path) -> None:
    """A program that may bind port 80 still may: they are set after the change of owner that clears them."""
    tools.require_root()
    net_bind_service = bytes.fromhex("0100000200040000000000000000000000000000")
    set_extended(old, "security.capability", net_bind_service)
    os.chown(old, 12, 34)
    set_extended(old, "security.capability", net_bind_service)

    give(of(old), new)

    assert os.getxattr(new, "security.capability") == net_bind_service


def test_owner_mode_and_attributes_come_in_this_order(tmp_path: Path) -> None:
    """Each of them undoes what comes after it otherwise."""
    calls = CountingCalls()

    looks = Attributes(0o600, os.geteuid(), os.getegid(), {"user.a": b"1"})
    set_extended(made(tmp_path / "probe"), "user.a", b"1")
    give(looks, made(tmp_path / "new"), calls)

    assert [call.name for call in calls.calls] == ["fchown", "fchmod", "fsetxattr"]


def test_a_file_system_without_extended_attributes_has_none() -> None:
    """That it has none is no error."""
    assert of(Path("/proc/1/status")).extended == {}


@pytest.mark.root
def test_what_vouches_for_the_bytes_is_left(old: Path) -> None:
    """An IMA hash is of the old bytes, and would make the new ones unusable."""
    tools.require_root()
    set_extended(old, "user.a", b"1")
    set_extended(old, "security.ima", b"\x01" + b"\x00" * 20)

    assert of(old).extended == {"user.a": b"1"}
