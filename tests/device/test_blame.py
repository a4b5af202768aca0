"""What is remembered against releases once an update has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devclient import blame
from devclient.plan import Found, Kind, Plan, Release, Step
from devclient.records.journal import Cause
from mirror.files import Files
from tests.support import devices

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device

OLD, NEW = Release("1", "ab" * 32), Release("2", "cd" * 32)
STEP = Step("app", "stable", "", "/opt/app", "/opt/app", OLD, NEW, Found.FILE)
UPDATE = Plan(Kind.UPDATE, 1, (STEP,))
ROLLBACK = Plan(Kind.ROLLBACK, 2, (replace(STEP, before=NEW, after=OLD),))


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device on which nothing was marked yet."""
    return devices.device(tmp_path, tmp_path / "mirror", Files())


def _bad(device: Device) -> list[tuple[str, str]]:
    return [(mark["content"], mark["version"]) for mark in device.marks.listed()]


def test_what_a_rollback_undid_is_not_taken_again(device: Device) -> None:
    """Or the next poll would bring it back; said twice, it is there once."""
    for _ in range(2):
        blame.after_commit(ROLLBACK, device)

    assert _bad(device) == [(NEW.content, "2")]


def test_what_a_rollback_leaves_in_place_may_be_taken(device: Device) -> None:
    """A package that goes back to the very release that it has is not to blame."""
    blame.after_commit(replace(ROLLBACK, steps=(replace(STEP, before=NEW, after=NEW),)), device)

    assert _bad(device) == []


def test_an_update_that_is_committed_blames_nobody(device: Device) -> None:
    """And its interruptions are forgotten."""
    for attempt in range(3):
        blame.after_rollback(replace(UPDATE, attempt=attempt + 1), Cause("interrupted", "cut off"), device)
    assert device.marks.wait(UPDATE.identity, device.now()) is not None

    blame.after_commit(UPDATE, device)

    assert device.marks.wait(UPDATE.identity, device.now()) is None
    assert _bad(device) == []


def test_the_release_whose_hook_failed_is_marked(device: Device) -> None:
    """That one, and no other of the same update."""
    planned = replace(UPDATE, steps=(STEP, replace(STEP, package="lib", after=Release("7", "ef" * 32))))

    blame.after_rollback(planned, Cause("hook", "AfterUpdate of app 2 failed", "app", NEW.content), device)

    assert _bad(device) == [(NEW.content, "2")]
