"""builder/signing/clock.py: what is signed by a clock that jumps, and what a person may say of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from builder import check
from builder.errors import ClockError, KeysError
from mirror import layout, trust
from tests.signing.ground import DAY, Ground, rotate
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

FIRST = "2027-01-15T08:00:00Z"
JUMPS = {"far ahead": 100 * DAY, "just too far ahead": 14 * DAY + 1, "behind": -601, "at 1970": -1_800_000_000}
SOUND = {"ten minutes behind": -600, "a second behind": -1, "the same": 0, "ahead": 14 * DAY}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A site with a release, signed at its time."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    return ground


def said(ground: Ground) -> dict[str, str]:
    """Read what the mirror's timestamp says."""
    signed: dict[str, str] = json.loads((ground.mirror / layout.TIMESTAMP).read_bytes())["signed"]
    return signed


def problems(ground: Ground) -> dict[str, str]:
    """Name what `check` finds at the mirror's time stamps."""
    with ground.opened() as builder:
        return {fault.path: fault.problem for fault in check.times(builder.signing)}


def prune(ground: Ground) -> list[str]:
    """Remove what is not needed."""
    with ground.opened() as builder:
        return builder.prune(0)


WORK: dict[str, Callable[[Ground], object]] = {
    "publishing": lambda ground: ground.publish("2.0"),
    "looking after it": lambda ground: ground.pass_time(0),
    "changing a key": lambda ground: ground.change(rotate(trust.SNAPSHOT)),
    "pruning": prune,
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("jump", JUMPS)
def test_nothing_is_signed_by_a_clock_that_jumped(jump: str, work: str, ground: Ground) -> None:
    """It is refused with both times and what to do, and no byte of the mirror changes."""
    before = sites.stamps(ground.mirror)
    ground.clock.now += JUMPS[jump]

    with pytest.raises(ClockError, match=rf"{FIRST}.*`otamirror resign --clock-is-right`") as refused:
        WORK[work](ground)

    assert refused.value.status_hint == 503
    assert sites.stamps(ground.mirror) == before


@pytest.mark.parametrize("jump", SOUND)
def test_a_clock_that_is_nearly_right_signs(jump: str, ground: Ground) -> None:
    """One that was put back by up to ten minutes signs with the time of before, so that no floor ever falls."""
    ground.clock.now += SOUND[jump]

    ground.publish("2.0")

    expected = FIRST if SOUND[jump] <= 0 else "2027-01-29T08:00:00Z"
    assert said(ground)[trust.ISSUED] == expected
    assert problems(ground) == {}
    ground.look()


@pytest.mark.parametrize("jump", JUMPS)
def test_a_person_may_say_once_that_the_clock_is_right(jump: str, ground: Ground) -> None:
    """One timestamp is signed with the time of now and a higher version; after it the guard is as it was."""
    version = said(ground)["version"]
    ground.clock.now += JUMPS[jump]

    with ground.opened() as builder:
        builder.resign(clock_is_right=True)
        ground.publish("2.0")
        ground.clock.now += 400 * DAY
        with pytest.raises(ClockError):
            builder.resign()

    ground.clock.now -= 400 * DAY
    assert said(ground)["version"] > version
    assert said(ground)[trust.ISSUED] == trust.time(signing_time(ground))
    assert problems(ground) == {}


def signing_time(ground: Ground) -> datetime:
    """Tell the time at the site."""
    with ground.opened() as builder:
        return builder.signing.now()


def test_what_a_person_says_ends_with_the_command(ground: Ground) -> None:
    """A clock that was vouched for, and signed nothing because a key was away, is not believed afterwards."""
    ground.clock.now += 400 * DAY
    key = ground.site.paths.keys / "timestamp.pem"
    key.rename(ground.folder / "away.pem")
    with ground.opened() as builder:
        with pytest.raises(KeysError):
            builder.resign(clock_is_right=True)
        (ground.folder / "away.pem").rename(key)

        with pytest.raises(ClockError):
            builder.prune(0)


def test_a_timestamp_of_the_future_is_a_fault(ground: Ground) -> None:
    """`check` names it, and the role that expired, until somebody has signed by a clock that is right."""
    ground.clock.now -= 100 * DAY
    assert problems(ground) == {layout.TIMESTAMP: "future"}

    ground.clock.now += 115 * DAY
    assert problems(ground) == {
        layout.TIMESTAMP: "expired",
        layout.metadata(trust.SNAPSHOT, 2): "expired",
    }

    ground.come_back(0)
    assert problems(ground) == {}


def test_a_timestamp_that_is_not_the_last_one_signed_is_a_fault(ground: Ground) -> None:
    """One that verifies and has the same number, and yet says another time, came from elsewhere."""
    backup = ground.backup()
    ground.clock.now += DAY
    ground.publish("2.0")
    other = (ground.mirror / layout.TIMESTAMP).read_bytes()
    shutil.rmtree(ground.mirror / layout.METADATA)
    ground.restore(backup)
    ground.clock.now -= DAY // 2
    with ground.opened() as builder:
        builder.resign(everything=True)
        assert said(ground)["version"] == json.loads(other)["signed"]["version"]
        (ground.mirror / layout.TIMESTAMP).write_bytes(other)

        found = {fault.path: fault.problem for fault in check.check(ground.mirror, builder.catalogue)}

    assert found[layout.TIMESTAMP] == "changed"


@pytest.mark.parametrize("jump", ["far ahead", "behind"])
def test_a_restored_catalogue_takes_the_last_time_from_the_mirror(jump: str, ground: Ground) -> None:
    """A backup of an hour after the start does not know what was signed since; the mirror's timestamp does."""
    backup = ground.backup()
    ground.pass_time(7 * DAY)
    ground.publish("2.0")
    ground.restore(backup)
    ground.clock.now += JUMPS[jump]

    with pytest.raises(ClockError, match="2027-01-22T08:00:00Z"):
        ground.publish("3.0")
    with ground.opened() as builder:
        builder.resign(clock_is_right=True)

    ground.publish("3.0")
    assert said(ground)[trust.ISSUED] == trust.time(signing_time(ground))


@pytest.mark.parametrize("jump", ["far ahead", "behind"])
def test_a_lost_catalogue_is_recovered_by_a_clock_that_somebody_vouches_for(jump: str, ground: Ground) -> None:
    """Recovering signs too, so it asks the same; it can be told that the clock is right."""
    for file in ground.site.paths.var.glob("catalogue.sqlite*"):
        file.unlink()
    ground.clock.now += JUMPS[jump]

    with ground.opened() as builder:
        with pytest.raises(ClockError):
            builder.recover()
        assert builder.recover(clock_is_right=True) == 1

    assert said(ground)[trust.ISSUED] == trust.time(signing_time(ground))


def test_the_first_signature_needs_no_clock(tmp_path: Path) -> None:
    """Nothing was signed before, so there is nothing to hold a clock against."""
    ground = Ground(tmp_path)
    ground.clock.now = 0

    ground.publish("1.0")

    assert said(ground)[trust.ISSUED] == "1970-01-01T00:00:00Z"
