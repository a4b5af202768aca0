"""Bytes that came compressed."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devclient.web import gzipped

if TYPE_CHECKING:
    from collections.abc import Iterator


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    """Cut bytes into blocks, as they may arrive."""
    return (data[at : at + size] for at in range(0, len(data), size))


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_a_file_comes_out_as_it_went_in(data: bytes, size: int) -> None:
    """In whatever blocks it arrives."""
    assert b"".join(gzipped.inflate(blocks(gzip.compress(data), size), len(data))) == data


@given(st.binary(min_size=1, max_size=5000), st.integers(1, 700))
def test_one_byte_more_than_the_limit_shows_that_it_is_too_much(data: bytes, size: int) -> None:
    """And no byte more than that comes out."""
    assert b"".join(gzipped.inflate(blocks(gzip.compress(data), size), len(data) - 1)) == data


@given(st.binary(max_size=300), st.integers(1, 50), st.data())
def test_a_file_that_was_cut_off_is_told(data: bytes, size: int, draw: st.DataObject) -> None:
    """Wherever that was."""
    whole = gzip.compress(data)
    cut = whole[: draw.draw(st.integers(0, len(whole) - 1))]

    with pytest.raises(ValueError, match="cut off"):
        list(gzipped.inflate(blocks(cut, size), 1000))


@pytest.mark.parametrize("size", [1, 25, 1000])
def test_what_follows_the_file_is_told(size: int) -> None:
    """Whether it arrives with the file's end or after it."""
    with pytest.raises(ValueError, match="more bytes came"):
        list(gzipped.inflate(blocks(gzip.compress(b"{}") + b"!", size), 1000))


def test_a_bomb_costs_no_memory() -> None:
    """Of a gigabyte that came as a megabyte, the limit and a little is all that is ever held."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    limit = 100_000

    tracemalloc.start()
    given = sum(map(len, gzipped.inflate(blocks(bomb, 64 * 1024), limit)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert given == limit + 1
    assert most < 4 * limit


def test_blocks_that_hold_nothing_come_to_an_end() -> None:
    """A stream of empty blocks unpacks to nothing and is not read for ever."""
    empty = b"\x00\x00\x00\xff\xff"  # a stored block of no bytes
    endless = iter(lambda: empty * 1000, None)
    head = gzip.compress(b"")[:10]

    with pytest.raises(ValueError, match="more bytes came"):
        list(gzipped.inflate(iter([head, *(next(endless) for _ in range(100))]), 1000))
