"""Archives that are compressed: by whatever, in one stream or in several."""

from __future__ import annotations

import importlib
import random
from typing import TYPE_CHECKING, Any

import pytest

from mirror.archive import compression
from mirror.errors import InvalidArchiveError
from tests.support import archives
from tests.support.archives import COMPRESSIONS, END, TREE, look, member, put, unpack

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


@pytest.mark.parametrize("compression", ["gzip", "xz", "bzip2"])
def test_streams_one_after_the_other_are_one_archive(tmp_path: Path, compression: str) -> None:
    """Compressors that use several processors write several; empty ones and NULs between them change nothing."""
    packed, compress = archives.pack(TREE), COMPRESSIONS[compression]
    parts = [compress(packed[:700]), compress(b""), bytes(100), compress(packed[700:]), bytes(3000)]

    unpack(put(tmp_path, b"".join(parts)), tmp_path / "new")

    assert look(tmp_path / "new").keys() >= archives.wanted(TREE).keys()


@pytest.mark.parametrize("name", ["BZh91AY&SY", "\x50\x2a\x4d\x18", "\x1f"])
def test_a_name_is_not_taken_for_a_compression(tmp_path: Path, name: str) -> None:
    """An archive that is not compressed begins with the name of its first member."""
    unpack(put(tmp_path, member(name) + END), tmp_path / "new")

    assert look(tmp_path / "new").keys() == {".", name}


@pytest.mark.parametrize("module", ["compression.zstd", "backports.zstd", "zstandard"])
def test_zstd_is_read_with_any_of_its_modules(module: str) -> None:
    """In one frame or in several, with frames to be skipped as pzstd writes them; cut off or damaged is a flaw."""
    try:
        compress = archives.zstd(module)
    except ImportError:
        pytest.skip(f"this Python has no {module}")
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0size"
    data = random.Random(1).randbytes(70_000) + bytes(3 * MIB)
    packed = skipped + compress(data) + compress(b"") + skipped + compress(data)

    def only(name: str) -> Any:
        if name != module:
            raise ImportError
        return importlib.import_module(name)

    def plain(packed: bytes) -> list[bytes]:
        return list(compression.plain(iter([packed]), only))

    assert b"".join(plain(packed)) == data + data
    assert max(len(block) for block in plain(compress(bytes(100 * MIB)))) <= 8 * MIB
    for bad in (packed[:-5], packed + b"more", compress(data)[:-1], packed[:16] + b"\xff" * 9 + packed[25:]):
        with pytest.raises(InvalidArchiveError, match=r"cut off|damaged"):
            plain(bad)


def test_zstd_without_a_module_is_refused_in_words() -> None:
    """Whoever reads it knows what the device lacks."""

    def none(_: str) -> Any:
        raise ImportError

    with pytest.raises(InvalidArchiveError, match="zstd, which the Python here cannot read"):
        compression.plain(iter([b"\x28\xb5\x2f\xfd and so on"]), none)
