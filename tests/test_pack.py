"""Writing the content.json of a package."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from builder.pack import PackError, pack
from mirror import blobs
from mirror.content import ContentError, parse
from mirror.files import Calls, Files

FIELDS = {"package": "app", "version": "1.0", "branch": "main", "BeforeUpdate": "true"}


class FullDisk(Calls):
    """A disk that takes no more bytes."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:  # noqa: ARG002 - the interface's
        """Refuse."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def listing(folder: Path) -> list[str]:
    """Name what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Make a package of a little more than two chunks."""
    path = tmp_path / "app-1.0.tar"
    path.write_bytes(b"abcdefg" * (2 * blobs.CHUNK // 7 + 5))
    return path


def test_the_content_is_written_beside_the_package(package: Path) -> None:
    """`FILE.json` holds the canonical content with the file's own SHA-256, as the inbox takes it."""
    packed = pack(package, FIELDS, None, Files())

    assert packed.path == package.with_name("app-1.0.tar.json")
    assert packed.path.read_bytes() == packed.content.canonical()
    assert parse(packed.path.read_bytes()).content == packed.content
    assert packed.content.sha256 == hashlib.sha256(package.read_bytes()).hexdigest()
    assert packed.content.before_update == "true"
    assert listing(package.parent) == ["app-1.0.tar", "app-1.0.tar.json"]


def test_the_content_is_written_where_it_is_wanted(package: Path, tmp_path: Path) -> None:
    """An output of one's own choice leaves nothing beside the package."""
    packed = pack(package, FIELDS, tmp_path / "content.json", Files())

    assert packed.path == tmp_path / "content.json"
    assert listing(tmp_path) == ["app-1.0.tar", "content.json"]


def test_a_stated_sha256_is_replaced_by_the_real_one(package: Path) -> None:
    """The fields of an older content.json can be used again, whatever they say of the bytes."""
    packed = pack(package, {**FIELDS, "sha256": "not even a hash"}, None, Files())

    assert packed.content.sha256 == hashlib.sha256(package.read_bytes()).hexdigest()


def test_progress_adds_up_to_the_size(package: Path) -> None:
    """The file is read once, in chunks, and each is told."""
    told: list[int] = []

    pack(package, FIELDS, None, Files(), told.append)

    assert sum(told) == package.stat().st_size
    assert max(told) <= blobs.CHUNK


def test_an_empty_package_can_be_packed(tmp_path: Path) -> None:
    """No bytes have a SHA-256 too."""
    empty = tmp_path / "empty"
    empty.touch()

    packed = pack(empty, FIELDS, None, Files())

    assert packed.content.sha256 == hashlib.sha256().hexdigest()


def test_warnings_are_handed_on(package: Path) -> None:
    """A misspelled key is written as it is, and told."""
    packed = pack(package, {**FIELDS, "descripton": "x"}, None, Files())

    assert [warning.key for warning in packed.warnings] == ["descripton"]
    assert packed.content.extra == {"descripton": "x"}


def test_broken_rules_are_told_before_the_file_is_read(package: Path) -> None:
    """Nobody waits for gigabytes to be hashed to learn that the branch has a slash; nothing is written."""
    told: list[int] = []

    with pytest.raises(ContentError, match=r"branch: 'feature/x' .*use 'feature-x'"):
        pack(package, {**FIELDS, "branch": "feature/x"}, None, Files(), told.append)

    assert told == []
    assert listing(package.parent) == ["app-1.0.tar"]


@pytest.mark.parametrize("earlier", ["file", "link"])
def test_an_existing_content_is_not_overwritten(package: Path, earlier: str) -> None:
    """What a person may have edited by hand stays, even a link that leads nowhere, unless asked for."""
    path = package.with_name("app-1.0.tar.json")
    if earlier == "file":
        path.write_text("by hand")
    else:
        path.symlink_to("nowhere")

    with pytest.raises(PackError, match=r"app-1\.0\.tar\.json exists already: .*overwrite") as caught:
        pack(package, FIELDS, None, Files())

    assert caught.value.path == path
    assert path.is_symlink() or path.read_text() == "by hand"
    assert pack(package, FIELDS, None, Files(), overwrite=True).content.canonical() == path.read_bytes()


def test_a_content_that_appears_while_hashing_is_not_overwritten(package: Path) -> None:
    """Hashing takes minutes; what was written meanwhile stays."""
    path = package.with_name("app-1.0.tar.json")

    def write_by_hand(_: int) -> None:
        path.write_text("by hand")

    with pytest.raises(PackError, match="exists already"):
        pack(package, FIELDS, None, Files(), write_by_hand)

    assert path.read_text() == "by hand"


def test_the_package_itself_is_never_overwritten(package: Path) -> None:
    """Not even when overwriting was asked for, and not under another name either."""
    before = package.read_bytes()
    link = package.with_name("link")
    link.symlink_to(package)

    for output in (package, link):
        with pytest.raises(PackError, match="is the package itself"):
            pack(package, FIELDS, output, Files(), overwrite=True)

    assert package.read_bytes() == before
    assert link.is_symlink()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A name that was mistyped gets a sentence that names it."""
    with pytest.raises(PackError, match=r"/nothing does not exist"):
        pack(tmp_path / "nothing", FIELDS, None, Files())


def test_a_folder_is_told_with_the_way_out(tmp_path: Path) -> None:
    """A package is one file; a folder is packed as a tar archive."""
    with pytest.raises(PackError, match="is a folder: make a tar archive"):
        pack(tmp_path, FIELDS, None, Files())


@pytest.mark.parametrize("spelling", [".", "/", ".."])
def test_a_folder_without_a_name_is_told_alike(spelling: str) -> None:
    """However a folder is spelled, the answer is a sentence."""
    with pytest.raises(PackError, match="is a folder: make a tar archive"):
        pack(Path(spelling), FIELDS, None, Files())


def test_a_fifo_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    """Nothing that could block or never end is read."""
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(PackError, match="is not a regular file"):
        pack(tmp_path / "fifo", FIELDS, None, Files())


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    """An error of the disk ends in a sentence that names the file."""
    unreadable = Path("/proc/self/mem")  # a regular file whose first byte is never mapped

    with pytest.raises(PackError, match=r"/proc/self/mem cannot be read: Input/output error"):
        pack(unreadable, FIELDS, tmp_path / "content.json", Files())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (".", "is a folder: name the file"),
        ("none/content.json", "none is not a folder: make it first"),
    ],
)
def test_an_impossible_output_is_told_before_the_file_is_read(
    package: Path, tmp_path: Path, output: str, message: str
) -> None:
    """Where nothing can be written, nobody waits for the hash."""
    told: list[int] = []

    with pytest.raises(PackError, match=message):
        pack(package, FIELDS, tmp_path / output, Files(), told.append, overwrite=True)

    assert told == []


def test_a_full_disk_is_told_and_leaves_nothing(package: Path) -> None:
    """What cannot be written whole is not there at all."""
    with pytest.raises(PackError, match="cannot be written: No space left on device"):
        pack(package, FIELDS, None, Files(FullDisk()))

    assert listing(package.parent) == ["app-1.0.tar"]
