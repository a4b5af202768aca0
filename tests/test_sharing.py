"""An inbox that is shared badly is told: what others may do in it, and what to do about it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from builder.intake import sharing
from tests.support import tools


@pytest.fixture
def inbox() -> Path:
    """Make an inbox in a folder that nobody else may write to."""
    folder = Path(tempfile.mkdtemp()) / "inbox"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o2770, "may be written to by the group with the number"),
        (0o777, "may be written to by everybody"),
        (0o775, "may be written to by the group with the number"),
    ],
)
def test_an_inbox_in_which_others_may_exchange_drops_is_told(mode: int, said: str, inbox: Path) -> None:
    """Whoever may write to a folder may rename all in it, unless it is sticky."""
    inbox.chmod(mode)

    (problem,) = sharing.problems(inbox)

    assert said in problem
    assert f"chmod +t {inbox}" in problem


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1770, 0o1777, 0o3770])
def test_an_inbox_that_is_shared_well_is_not(mode: int, inbox: Path) -> None:
    """One publisher's own, and a sticky one of many."""
    inbox.chmod(mode)

    assert list(sharing.problems(inbox)) == []


def test_the_folders_above_count(inbox: Path) -> None:
    """Whoever may rename the inbox itself has all that is in it."""
    inbox.parent.chmod(0o777)

    (problem,) = sharing.problems(inbox)

    assert problem.startswith(f"the folder {inbox.parent} may be written to by everybody")


@pytest.mark.root
def test_an_inbox_of_another_user_is_told(inbox: Path) -> None:
    """The owner of a folder may rename all in it, sticky or not."""
    tools.require_root()
    inbox.chmod(0o1777)
    os.chown(inbox, 1, 1)

    (problem,) = sharing.problems(inbox)

    assert "belongs to the user with the number 1" in problem


@pytest.mark.root
def test_an_inbox_of_root_is_as_good_as_ours(inbox: Path, request: pytest.FixtureRequest) -> None:
    """Root can do everything anyway."""
    tools.require_root()
    inbox.parent.chmod(0o755)
    inbox.chmod(0o1777)
    request.getfixturevalue("unprivileged")

    assert list(sharing.problems(inbox)) == []
