"""Good uploads that something happened to on the way: whatever it was, the answer is one of the contract's."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from builder import check
from builder.catalogue import Catalogue
from tests.receiver.forms import BOUNDARY, DATA, chunked, content, form, part, request
from tests.support import readers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.receiver.rig import Rig

BLOCK = 250
BLOCKS = 40
SHORT = 1
ANSWERS = {200, 304, 400, 409, 413}
WORDS = (
    b"\r\n", b"\n", b"\r", b"--",
    f"--{BOUNDARY}".encode(), f"\r\n--{BOUNDARY}--".encode(), b"Content-Disposition",
    b'name="content"', b'name="file"', b"form-data", b";", b'"', b"=", b":", b"\x00", b"\xff", b"{", b"}", b"[", b"\\u",
    b"\\", b"1e999", b"NaN", b"-", b"9" * 30, b"A" * 5000,
    b"Content-Length: 5\r\n", b"Content-Transfer-Encoding: x\r\n",
)  # fmt: skip


def flip(chance: random.Random, data: bytearray) -> None:
    """Change one bit."""
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def cut(chance: random.Random, data: bytearray) -> None:
    """Take something out."""
    at = chance.randrange(len(data))
    del data[at : at + chance.randrange(1, 60)]


def end(chance: random.Random, data: bytearray) -> None:
    """Break off."""
    del data[chance.randrange(len(data)) :]


def insert(chance: random.Random, data: bytearray) -> None:
    """Put a word in."""
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(WORDS)


def replace(chance: random.Random, data: bytearray) -> None:
    """Put a word in the place of bytes."""
    at = chance.randrange(len(data) + 1)
    word = chance.choice(WORDS)
    data[at : at + len(word)] = word


def repeat(chance: random.Random, data: bytearray) -> None:
    """Say something twice, or move it."""
    start = chance.randrange(len(data))
    at = chance.randrange(len(data) + 1)
    data[at:at] = data[start : start + chance.randrange(1, 400)]


CHANGES: tuple[Callable[[random.Random, bytearray], None], ...] = (flip, cut, end, insert, replace, repeat)


def mutated(chance: random.Random) -> bytes:
    """Make a good upload, and change it in a few ways."""
    parts = [part("content", content(version=f"1.{chance.randrange(5)}")), part("file", DATA)]
    chance.shuffle(parts)
    data = bytearray(form(*parts))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if data:
            chance.choice(CHANGES)(chance, data)
    return bytes(data)


@pytest.mark.parametrize(
    "block", [pytest.param(n, marks=[] if n < SHORT else [pytest.mark.long]) for n in range(BLOCKS)]
)
def test_no_mutation_is_more_than_refused(refusing: Rig, block: int) -> None:
    """A mutated upload is accepted or refused, never a fault, and leaves nothing behind."""
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        chance = random.Random(seed)
        body = mutated(chance)
        answer = refusing.put(chance.choice((request, chunked))(body))

        assert answer.status in ANSWERS, (seed, body, answer)
        assert refusing.spooled() == [], (seed, body)

    with Catalogue.open(refusing.site.paths.catalogue) as catalogue:
        assert list(check.check(refusing.site.paths.mirror, catalogue)) == []
    readers.look(refusing.site.paths.mirror)


def test_mutations_are_of_every_kind(refusing: Rig) -> None:
    """Some mutations hurt and some do not, so both ways are tried."""
    bodies = [mutated(random.Random(seed)) for seed in range(60)]

    assert {refusing.put(request(body)).status for body in bodies} >= {200, 304, 400}
