"""builder/client/parcel.py: a release that is ready to be sent."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builder.client import parcel
from builder.client.parcel import BLOCK, ChangedError, Form, Parcel
from builder.errors import HashMismatchError
from builder.pack import PackError
from builder.submission import Parts
from builder.verify import verify
from mirror.content import ContentError, parse
from mirror.releases import MOST
from tests.support import publishers, receiving, sites

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from builder.submission import Statement

FIELDS = {"package": "app", "version": "1.0+b~1", "branch": "main", "BeforeUpdate": "true\n"}
BOUNDARY = "0123456789abcdef"
DATA = b"0123456789" * (2 * BLOCK // 10 + 7)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a package of a little more than two blocks."""
    path = tmp_path / 'ugly "name"\u00e4.tar'
    path.write_bytes(DATA)
    return path


def test_a_form_is_read_by_a_strict_parser(file: Path) -> None:
    """content.json comes first, canonical, then the bytes of the file; nothing else."""
    sent = parcel.stated(file, FIELDS)
    form = Form(sent, BOUNDARY)

    parts = receiving.parts(form.content_type, b"".join(form))

    assert [(part.name, part.content_type) for part in parts] == [
        ("content", "application/json"),
        ("file", "application/octet-stream"),
    ]
    assert parts[0].raw == sent.content.canonical()
    assert parts[1].raw == DATA
    assert parts[1].filename == "app-1.0+b~1"


def test_the_length_is_known_before(file: Path) -> None:
    """What a form says that it has is what it has, for an empty file too."""
    empty = file.with_name("empty")
    empty.touch()

    for path in (file, empty):
        form = Form(parcel.stated(path, FIELDS), BOUNDARY)
        assert len(form) == len(b"".join(form))


def test_a_form_can_be_sent_again(file: Path) -> None:
    """Another attempt sends the same bytes."""
    form = Form(parcel.stated(file, FIELDS), BOUNDARY)

    assert b"".join(form) == b"".join(form)


def test_a_form_comes_in_pieces(file: Path) -> None:
    """No piece is large, whatever the file's size, and content.json is in the first."""
    first, *pieces = Form(parcel.stated(file, FIELDS), BOUNDARY)

    assert b'"package":"app"' in first
    assert max(map(len, pieces)) == BLOCK


def test_progress_is_told_of_what_was_taken(file: Path) -> None:
    """A piece of the file counts once the next one is wanted; in the end all of it did."""
    told: list[int] = []
    pieces = iter(Form(parcel.stated(file, FIELDS), BOUNDARY, told.append))

    next(pieces)
    next(pieces)
    assert told == []
    next(pieces)
    assert told == [BLOCK]
    list(pieces)

    assert sum(told) == len(DATA)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data + b"x", "grew while it was sent"),
        (lambda data: data * 2, "grew while it was sent"),
        (lambda data: data[:-1], "was cut short while it was sent"),
        (lambda _: b"", "was cut short while it was sent"),
        (lambda data: data[:-1] + b"x", "was changed while it was sent"),
        (lambda data: b"x" + data[1:], "was changed while it was sent"),
    ],
)
def test_a_file_that_changed_is_never_sent_whole(file: Path, change: Callable[[bytes], bytes], problem: str) -> None:
    """What is sent is what was hashed, or the form has no end, so that no receiver takes it."""
    form = Form(parcel.stated(file, FIELDS), BOUNDARY)
    file.write_bytes(change(DATA))
    pieces: list[bytes] = []

    with pytest.raises(ChangedError, match=problem) as caught:
        pieces.extend(form)

    assert caught.value.file == file
    assert f"--{BOUNDARY}--".encode() not in b"".join(pieces)
    assert len(b"".join(pieces)) < len(form)


def test_a_file_that_is_gone_is_told(file: Path) -> None:
    """A package that was moved away in the middle ends in a sentence."""
    form = Form(parcel.stated(file, FIELDS), BOUNDARY)
    file.unlink()

    with pytest.raises(ChangedError, match=r"could not be read \(No such file or directory\) while it was sent"):
        list(form)


def test_a_parcel_is_made_of_what_a_publisher_says(file: Path) -> None:
    """As `pack` writes it, with the file's hash and size."""
    sent = parcel.stated(file, {**FIELDS, "descripton": "x"})

    assert sent.content.sha256 == hashlib.sha256(DATA).hexdigest()
    assert sent.content.before_update == "true\n"
    assert sent.size == len(DATA)
    assert sent.title == "app 1.0+b~1 on main"
    assert [warning.key for warning in sent.warnings] == ["descripton"]


def test_a_parcel_is_made_of_a_whole_content(file: Path) -> None:
    """What `pack` wrote is taken as it is, newer keys too."""
    stated = parcel.stated(file, {**FIELDS, "licence": "MIT"})

    sent = parcel.written(file, stated.content.canonical())

    assert sent == Parcel(stated.content, file, len(DATA), stated.warnings)
    assert parse(sent.content.canonical()).content.extra == {"licence": "MIT"}


def test_the_content_of_another_file_is_refused_before_it_is_sent(file: Path) -> None:
    """The mistake that a receiver would answer with 304 is found at home."""
    raw = parcel.stated(file, FIELDS).content.canonical()
    file.write_bytes(b"another")

    with pytest.raises(HashMismatchError) as caught:
        parcel.written(file, raw)

    assert caught.value.actual == hashlib.sha256(b"another").hexdigest()


def test_broken_rules_are_told_before_the_file_is_hashed(file: Path) -> None:
    """Nobody waits for gigabytes to be hashed to learn that the branch has a slash."""
    told: list[int] = []

    with pytest.raises(ContentError, match="use 'feature-x'"):
        parcel.stated(file, {**FIELDS, "branch": "feature/x"}, told.append)
    with pytest.raises(ContentError, match="is not JSON"):
        parcel.written(file, b"{", told.append)

    assert told == []


def test_a_missing_file_is_told(file: Path) -> None:
    """In both ways of making a parcel."""
    raw = parcel.stated(file, FIELDS).content.canonical()
    file.unlink()

    with pytest.raises(PackError, match="does not exist"):
        parcel.stated(file, FIELDS)
    with pytest.raises(PackError, match="does not exist"):
        parcel.written(file, raw)


@pytest.fixture
def statement() -> Statement:
    """Sign a list with a segment."""
    with publishers.desk() as desk:
        desk.file(*(sites.package(f"2.{number}") for number in range(MOST - 2)))
        return verify(desk.draft(sites.package("3.0")).parts())


def test_a_statement_goes_before_the_file(file: Path, statement: Statement) -> None:
    """What is wrong with it is told before the file is sent; the list's segments are lines after it."""
    sent = replace(parcel.stated(file, FIELDS), statement=statement)
    form = Form(sent, BOUNDARY)
    body = b"".join(form)

    (content, listed, signed, package) = receiving.parts(form.content_type, body)
    assert len(body) == len(form)
    assert [part.name for part in (content, listed, signed, package)] == ["content", "list", "signed", "file"]
    assert content.raw == sent.content.canonical()
    assert listed.raw == statement.listed + b"".join(part.encode() for part in statement.segments.values())
    assert listed.raw.count(b"\n") == 2
    assert signed.raw == statement.signed
    assert package.raw == DATA


def test_a_statement_goes_alone(statement: Statement) -> None:
    """Without a release there are two parts, and what the mirror reads there is what was signed."""
    form = Form(statement, BOUNDARY)
    body = b"".join(form)

    listed, signed = receiving.parts(form.content_type, body)
    assert len(body) == len(form)
    assert [part.name for part in (listed, signed)] == ["list", "signed"]
    again = verify(Parts(listed.raw, signed.raw))
    assert (again.listed, again.segments, again.signed) == (statement.listed, statement.segments, statement.signed)
