"""Kept contents: what comes out is what was verified, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devclient.records.contents import Contents
from mirror.content import Content
from mirror.files import Files
from tests.support.faults import CountingCalls

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = Content(package="app", version="1.2", branch="stable", sha256="ab" * 32, after_update="systemctl start app")
SITE = Content(package="site", version="2", branch="stable", sha256="cd" * 32)


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    """A folder with one content."""
    made = Contents(tmp_path / "contents", Files())
    made.keep(APP)
    return made


def test_what_was_kept_comes_back(contents: Contents) -> None:
    """Whole, with its hooks."""
    assert contents.get(APP.digest) == APP


def test_what_was_not_kept_is_not_there(contents: Contents) -> None:
    """Nor is what no file can be named by."""
    for sha256 in (SITE.digest, "", "..", "../contents", APP.digest.upper()):
        assert contents.get(sha256) is None


def test_keeping_again_writes_nothing(contents: Contents, tmp_path: Path) -> None:
    """A poll that finds nothing new wears no flash memory."""
    calls = CountingCalls()

    Contents(tmp_path / "contents", Files(calls)).keep(APP)

    assert calls.calls == []


@pytest.mark.parametrize("change", [lambda raw: raw.replace(b"start", b"erase"), lambda raw: raw[:-9], lambda _: b""])
def test_a_damaged_content_is_none(contents: Contents, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    """No hook of it is run, and it can be kept again."""
    file = tmp_path / "contents" / APP.digest
    file.write_bytes(change(file.read_bytes()))

    assert contents.get(APP.digest) is None
    contents.keep(APP)
    assert contents.get(APP.digest) == APP


def test_a_content_under_another_ones_hash_is_none(contents: Contents, tmp_path: Path) -> None:
    """Its name is a promise, and it is kept."""
    (tmp_path / "contents" / SITE.digest).write_bytes(APP.canonical())

    assert contents.get(SITE.digest) is None


def test_only_what_is_wanted_stays(contents: Contents, tmp_path: Path) -> None:
    """What lies there for no reason goes too."""
    contents.keep(SITE)
    (tmp_path / "contents" / ".something.tmp").write_bytes(b"")
    (tmp_path / "contents" / "something").write_bytes(b"")

    for _ in range(2):
        contents.tidy({SITE.digest})

        assert contents.get(SITE.digest) == SITE
        assert contents.get(APP.digest) is None
        assert [path.name for path in (tmp_path / "contents").iterdir()] == [SITE.digest]


def test_without_the_folder_there_is_nothing_to_tidy(tmp_path: Path) -> None:
    """As on a new device."""
    Contents(tmp_path / "contents", Files()).tidy(set())

    assert list(tmp_path.iterdir()) == []
