"""Blobs: what was hashed is what was written."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from mirror import blobs
from mirror.files import Files
from tests.support.faults import FULL_ONCE, Fault, FaultyCalls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"the bytes of a package"
SHA = hashlib.sha256(DATA).hexdigest()


def named(data: bytes) -> str:
    """Name a blob of these bytes."""
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("parts", [[DATA], [DATA[:5], b"", DATA[5:]], [bytes([byte]) for byte in DATA]])
def test_bytes_are_hashed_while_they_are_written(parts: list[bytes], tmp_path: Path) -> None:
    """However the bytes come, hash and size are those of what lies on the disk."""
    blob = blobs.put(parts, tmp_path / "blob", Files())

    assert (tmp_path / "blob").read_bytes() == DATA
    assert blob == blobs.Blob(SHA, len(DATA), tmp_path / "blob")


def test_a_blob_may_be_empty(tmp_path: Path) -> None:
    """No bytes are a package too."""
    assert blobs.put([], tmp_path / "blob", Files()).sha256 == named(b"")
    assert (tmp_path / "blob").read_bytes() == b""


def test_a_blob_never_overwrites(tmp_path: Path) -> None:
    """Bytes only go into a new file, and not through a link."""
    (tmp_path / "there").write_bytes(b"other")
    (tmp_path / "link").symlink_to("there")

    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            blobs.put([DATA], tmp_path / name, Files())
    assert (tmp_path / "there").read_bytes() == b"other"


def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A file that cannot be read to its end leaves no half blob behind."""

    def broken() -> Iterator[bytes]:
        yield DATA
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        blobs.put(broken(), tmp_path / "blob", Files())

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A blob that found no room is gone again."""
    calls = FaultyCalls(Fault(3, FULL_ONCE))

    with pytest.raises(OSError, match="No space left"):
        blobs.put([DATA, DATA], tmp_path / "blob", Files(calls))

    assert calls.by_name["write"] == 2
    assert list(tmp_path.iterdir()) == []


def test_an_open_file_is_read_in_chunks_with_progress(tmp_path: Path) -> None:
    """Whoever waits is told of every chunk; none is larger than the limit."""
    data = os.urandom(2 * blobs.CHUNK + 17)
    (tmp_path / "file").write_bytes(data)
    told: list[int] = []

    with (tmp_path / "file").open("rb", buffering=0) as file:
        parts = list(blobs.chunks(file.fileno(), told.append))

    assert b"".join(parts) == data
    assert told == [len(part) for part in parts] == [blobs.CHUNK, blobs.CHUNK, 17]


def test_memory_does_not_grow_with_the_size(tmp_path: Path) -> None:
    """Copying a large file takes the memory of a chunk or two."""
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(64 * blobs.CHUNK)

    tracemalloc.start()
    with source.open("rb", buffering=0) as file:
        blob = blobs.put(blobs.chunks(file.fileno()), tmp_path / "blob", Files())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert blob.size == 64 * blobs.CHUNK
    assert peak < 4 * blobs.CHUNK


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    """Reading a file again gives the hash and the size that writing it gave."""
    blob = blobs.put([DATA] * 3, tmp_path / "blob", Files())
    told: list[int] = []

    found = blobs.digest(blob.path, told.append)

    assert found == (blob.sha256, blob.size)
    assert sum(told) == blob.size


def test_pruning_removes_what_is_not_wanted_and_nothing_else(tmp_path: Path) -> None:
    """Blobs that nobody keeps go; what is not named by a hash is none of ours."""
    for data in (b"one", b"two", b"three"):
        (tmp_path / named(data)).write_bytes(data)
    (tmp_path / "README").write_bytes(b"stays")
    (tmp_path / named(b"four").upper()).write_bytes(b"stays")

    removed = blobs.prune(tmp_path, lambda sha256: sha256 == named(b"two"), Files())

    assert removed == sorted([named(b"one"), named(b"three")])
    assert {path.name for path in tmp_path.iterdir()} == {named(b"two"), "README", named(b"four").upper()}


def test_pruning_a_mirror_without_blobs_is_fine(tmp_path: Path) -> None:
    """A mirror that never had a package has no folder for blobs."""
    assert blobs.prune(tmp_path / "otafiles", lambda _: False, Files()) == []
