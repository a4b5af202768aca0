"""Who else may change a place, and who can use what is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from devclient.install import access
from tests.support import tools

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in a folder, both our own."""
    made = tmp_path / "a" / "b"
    made.mkdir(parents=True)
    return made


def test_what_is_ours_alone_is_not_exposed(folder: Path) -> None:
    """Nor is what will be made in it."""
    assert access.exposed(folder) is None
    assert access.exposed(folder / "not" / "yet") is None


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_folder_that_others_may_write_to_is(folder: Path, mode: int) -> None:
    """Itself, or one above it, or the one in which it will be made."""
    folder.parent.chmod(mode)

    assert access.exposed(folder) == folder.parent
    assert access.exposed(folder.parent) == folder.parent
    assert access.exposed(folder.parent / "not" / "yet") == folder.parent


def test_the_sticky_bit_keeps_what_is_there(folder: Path) -> None:
    """As in /tmp: what is ours can be exchanged by nobody, and what is not there can be made by anybody first."""
    folder.parent.chmod(0o1777)

    assert access.exposed(folder) is None
    assert access.exposed(folder.parent / "not" / "yet") == folder.parent


@pytest.mark.root
def test_the_owner_of_a_folder_may_write_to_it(folder: Path) -> None:
    """Whatever its mode is at the moment."""
    tools.require_root()
    os.chown(folder, 1234, 1234)

    assert access.exposed(folder) == folder


def test_a_folder_that_others_cannot_pass_is_named(folder: Path) -> None:
    """The first one on the way."""
    for each in folder.parents:
        if not each.stat().st_mode & 0o001:
            assert access.closed(folder) is not None
            return
    folder.parent.chmod(0o750)

    assert access.closed(folder) == folder.parent
