"""Rollouts: how far one has come, where a device is in it, and that a device whose turn it is not stays as it is."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devclient import poll
from devclient.check import Wish, check
from devclient.records import identity
from devclient.solve import rollout
from devclient.solve.rollout import Rollout, Turn, parse, place, refusal, turn
from mirror.files import Files
from mirror.trust import time
from tests.support import devices, trees
from tests.support.rigs import answer, entry
from tests.support.worlds import MemoryMirror, package, release

if TYPE_CHECKING:
    from pathlib import Path

    from devclient.device import Device
    from tests.support.devices import Rig
    from tests.support.trees import Release

START = datetime(2026, 11, 23, 8, tzinfo=UTC)
DAY = timedelta(days=1)
MOMENTS = st.integers(-200, 1200).map(lambda hours: START + timedelta(hours=hours))
POINTS = st.lists(st.tuples(MOMENTS, st.integers(0, 1000)), min_size=1, max_size=6).map(
    lambda points: tuple(sorted(points))
)
SECRETS = st.binary(min_size=32, max_size=32)
CONTENTS = SECRETS.map(bytes.hex)

SECRET, CONTENT = bytes(range(32)), "ab" * 32
# the first bytes that `sha256sum` prints for the 64 bytes of both
PLACE = Fraction(0x824D1063A4344AC4, 1 << 64)


def fields(*points: tuple[datetime, int], held: bool = False) -> dict[str, Any]:
    """Write a rollout as a release list has it."""
    return {"points": [[time(at), share] for at, share in points], "held": held}


# the share


def test_a_share_grows_in_a_straight_line() -> None:
    """Between two points, to the microsecond, in fractions that are exact."""
    rolled = Rollout(((START, 0), (START + DAY, 1000)), held=False)

    assert rolled.share(START) == 0
    assert rolled.share(START + DAY / 4) == Fraction(1, 4)
    assert rolled.share(START + DAY - timedelta(microseconds=1)) == 1 - Fraction(1, 86_400_000_000)
    assert rolled.share(START + DAY) == 1


def test_nobody_starts_before_the_first_point() -> None:
    """Whatever its share is: that holds from its time on, and the last one's for ever."""
    rolled = Rollout(((START, 100), (START + DAY, 500)), held=False)

    assert rolled.share(START - timedelta(microseconds=1)) == 0
    assert rolled.share(START) == Fraction(1, 10)
    assert rolled.share(START + 1000 * DAY) == Fraction(1, 2)


def test_a_share_may_leap() -> None:
    """Of two points at one time, the later one holds from then on."""
    rolled = Rollout(((START, 0), (START + DAY, 10), (START + DAY, 500), (START + 2 * DAY, 1000)), held=False)

    assert rolled.share(START + DAY / 2) == Fraction(5, 1000)
    assert rolled.share(START + DAY) == Fraction(1, 2)
    assert rolled.share(START + DAY * 1.5) == Fraction(3, 4)


@given(POINTS, MOMENTS)
def test_a_share_lies_between_those_of_its_points(points: tuple[tuple[datetime, int], ...], now: datetime) -> None:
    """Or is none, before the first."""
    share = Rollout(points, held=False).share(now)

    passed = [each for at, each in points if at <= now]
    ahead = [each for at, each in points if at > now]
    around = [*passed[-1:], *(ahead[:1] if passed else [])]
    assert min(around, default=0) <= share * 1000 <= max(around, default=0)


@given(st.lists(MOMENTS, min_size=1, max_size=6), st.data())
def test_a_share_that_only_rises_never_falls_between(moments: list[datetime], data: st.DataObject) -> None:
    """Who may start once may start ever after."""
    shares = data.draw(st.lists(st.integers(0, 1000), min_size=len(moments), max_size=len(moments)))
    rolled = Rollout(tuple(zip(sorted(moments), sorted(shares), strict=True)), held=False)
    first, second = sorted((data.draw(MOMENTS), data.draw(MOMENTS)))

    assert rolled.share(first) <= rolled.share(second)


# the place


def test_a_place_is_what_the_contract_says() -> None:
    """The first eight bytes of the hash of the secret and then the content's hash, the highest byte first."""
    assert place(SECRET, CONTENT) == PLACE
    assert place(bytes(32), "00" * 32) == Fraction(0xF5A5FD42D16A2030, 1 << 64)


@given(SECRETS, CONTENTS)
def test_a_place_is_in_the_fleet(secret: bytes, content: str) -> None:
    """From 0 to less than 1, so that nobody is left out at the end."""
    assert 0 <= place(secret, content) < 1


def test_places_are_spread() -> None:
    """Over devices, and over the releases of one device, so that no device is always the first."""
    contents = [hashlib.sha256(bytes([number])).hexdigest() for number in range(200)]
    in_front = sum(place(SECRET, content) < Fraction(1, 4) for content in contents)
    others = sum(place(bytes.fromhex(content), CONTENT) < Fraction(1, 4) for content in contents)

    assert 30 < in_front < 70
    assert 30 < others < 70


# whose turn it is


def whole(share: int, *, held: bool = False) -> dict[str, Any]:
    """Write a rollout that has reached a share and stays there."""
    return fields((START, share), held=held)


NOW = START + DAY


@given(SECRETS, CONTENTS, POINTS, MOMENTS)
def test_a_device_starts_when_the_share_has_passed_its_place(
    secret: bytes, content: str, points: tuple[tuple[datetime, int], ...], now: datetime
) -> None:
    """And not before."""
    may = not refusal(fields(*points), content, Turn(secret, now))

    assert may == (place(secret, content) < Rollout(points, held=False).share(now))


@given(SECRETS, CONTENTS, POINTS, MOMENTS)
def test_what_is_held_comes_to_nobody_new(
    secret: bytes, content: str, points: tuple[tuple[datetime, int], ...], now: datetime
) -> None:
    """However far it has come."""
    assert refusal(fields(*points, held=True), content, Turn(secret, now)).startswith("is held at ")


@pytest.mark.parametrize(
    ("rolled", "why"),
    [
        (whole(508), "is rolled out to 50.8 % of the fleet so far, this device comes at 50.9 %"),
        (whole(509), ""),
        (whole(0), "is rolled out to 0.0 % of the fleet so far, this device comes at 50.9 %"),
        (whole(1000), ""),
        (whole(125, held=True), "is held at 12.5 % of the fleet, this device comes at 50.9 %"),
        (whole(1000, held=True), "is held at 100.0 % of the fleet, this device comes at 50.9 %"),
        (fields((NOW + DAY, 1000)), "is rolled out from 2026-11-25T08:00:00Z on, this device comes at 50.9 %"),
        (
            fields((START, 0), (NOW + DAY, 999)),
            "is rolled out to 49.9 % of the fleet so far, this device comes at 50.9 %",
        ),
    ],
)
def test_it_is_told_where_a_rollout_is_and_where_this_device(rolled: dict[str, Any], why: str) -> None:
    """The share is rounded down and the place up: what was not reached does not look so."""
    assert refusal(rolled, CONTENT, Turn(SECRET, NOW)) == why


@pytest.mark.parametrize("share", [0, 999])
def test_a_device_without_a_secret_waits_for_the_end(share: int) -> None:
    """It has no place, so it is the last, and it says so."""
    why = refusal(whole(share), CONTENT, turn(None, NOW))

    assert why.startswith(
        f"is rolled out to {share / 10} % of the fleet so far, and this device's place is not known: "
    )
    assert refusal(whole(1000), CONTENT, turn(None, NOW)) == ""
    assert refusal(whole(1000, held=True), CONTENT, turn(None, NOW)).startswith("is held at 100.0 % of the fleet, and ")
    assert refusal(whole(1000), CONTENT, Turn()).startswith("is rolled out from 2026-11-23T08:00:00Z on")


AT = time(START)


@pytest.mark.parametrize(
    ("rolled", "problem"),
    [
        ({}, "points is not a list of them"),
        ({"held": False}, "points is not a list of them"),
        ({"points": [], "held": False}, "points is not a list of them"),
        ({"points": {AT: 1000}, "held": False}, "points is not a list of them"),
        ({"points": [[AT, 1000]]}, "held is neither true nor false"),
        ({"points": [[AT, 1000]], "held": 0}, "held is neither true nor false"),
        ({"points": [[AT, 1000]], "held": "no"}, "held is neither true nor false"),
        ({"points": [AT], "held": False}, "is not a point, a time and thousandths of the fleet"),
        ({"points": [[AT]], "held": False}, "is not a point, a time and thousandths of the fleet"),
        ({"points": [[AT, 1000, "north"]], "held": False}, "is not a point, a time and thousandths of the fleet"),
        ({"points": [[0, 1000]], "held": False}, "0 is not a time such as"),
        ({"points": [["2026-11-23", 1000]], "held": False}, "time data '2026-11-23' does not match"),
        ({"points": [[AT, 1001]], "held": False}, "1001 is not a number from 0 to 1000"),
        ({"points": [[AT, -1]], "held": False}, "-1 is not a number from 0 to 1000"),
        ({"points": [[AT, True]], "held": False}, "True is not a number from 0 to 1000"),
        ({"points": [[AT, "1000"]], "held": False}, "'1000' is not a number from 0 to 1000"),
        ({"points": [[time(NOW), 0], [AT, 1000]], "held": False}, "points are not in the order of their times"),
    ],
)
def test_a_rollout_that_is_not_understood_keeps_the_release_away(rolled: dict[str, Any], problem: str) -> None:
    """From every device, and it is said what is wrong."""
    why = refusal(rolled, CONTENT, Turn(SECRET, NOW))

    assert why.startswith("has a rollout that this version of otadevice does not understand: ")
    assert problem in why


def test_keys_that_are_not_known_do_not_matter() -> None:
    """What restricts a release travels with a word of its own in `needs`."""
    assert parse({**whole(1000), "ring": "early"}) == Rollout(((START, 1000),), held=False)


def test_a_secret_does_not_show() -> None:
    """Neither in a log nor in a traceback."""
    assert SECRET.hex() not in repr(Turn(SECRET, NOW))
    assert repr(SECRET) not in repr(Turn(SECRET, NOW))


# in a check

NEEDS: dict[str, Any] = {"needs": (rollout.NEED,)}
EARLY = {**NEEDS, "rollout": whole(0)}
DONE = {**NEEDS, "rollout": whole(1000)}
HERE = Turn(SECRET, NOW)


def test_a_release_that_is_rolled_out_is_passed_over_until_it_is_this_devices_turn() -> None:
    """The next lower one is taken meanwhile."""
    app = package("app", "1")

    early = check(app, [app], MemoryMirror(app=[release("1"), release("2"), release("3", **EARLY)]), turn=lambda: HERE)
    done = check(app, [app], MemoryMirror(app=[release("1"), release("2"), release("3", **DONE)]), turn=lambda: HERE)

    assert [str(each) for each in early.changes] == ["app 2"]
    assert early.skipped[0].why.startswith("is rolled out to 0.0 % of the fleet so far, this device comes at ")
    assert ([str(each) for each in done.changes], done.skipped) == (["app 3"], ())


def test_a_rollout_is_obeyed_without_its_word_in_needs() -> None:
    """A list that forgets it is not taken for one that has no rollout."""
    app = package("app", "1")
    mirror = MemoryMirror(app=[release("2", rollout=whole(0))])

    assert check(app, [app], mirror, turn=lambda: HERE).offer is None
    assert check(app, [app], MemoryMirror(app=[release("2", rollout=whole(1000))]), turn=lambda: HERE).offer is not None


@pytest.mark.parametrize("needs", [("rollout",), ()])
def test_an_empty_rollout_keeps_a_release_away(needs: tuple[str, ...]) -> None:
    """It is one, and says nothing of when."""
    app = package("app", "1")
    finding = check(app, [app], MemoryMirror(app=[release("2", rollout={}, needs=needs)]), turn=lambda: HERE)

    assert finding.offer is None
    assert "does not understand: points" in finding.why


def test_the_word_alone_restricts_nothing() -> None:
    """A list, or a segment, that has a rollout somewhere may say so for all of its releases."""
    app = package("app", "1")
    mirror = MemoryMirror()
    mirror.put("app", release("2", **NEEDS), needs=(rollout.NEED,))

    assert check(app, [app], mirror, turn=lambda: HERE).offer is not None


def test_a_check_that_does_not_know_whose_turn_it_is_takes_none() -> None:
    """Whoever forgets to say who asks, and when, gets what is for everybody."""
    app = package("app", "1")
    finding = check(app, [app], MemoryMirror(app=[release("2"), release("3", **DONE)]))

    assert [str(each) for each in finding.changes] == ["app 2"]


def test_a_rollout_of_a_dependency_holds_back_what_needs_it() -> None:
    """Each release by the place that this device has in its own rollout; and it is said which one it waits for."""
    packages = [package("app", "1"), package("lib", "1")]
    mirror = MemoryMirror(app=[release("2", {"lib": ">=2"}, **DONE)], lib=[release("2", **EARLY)])

    finding = check(packages[0], packages, mirror, turn=lambda: HERE)

    assert finding.offer is None
    assert "2 needs lib >=2, and lib 2 is rolled out to 0.0 % of the fleet so far, this device" in finding.why


def test_what_should_replace_a_yanked_release_waits_for_its_turn_too() -> None:
    """The way back is a release as any other."""
    app = package("app", "2")
    mirror = MemoryMirror(app=[release("1", **EARLY), release("2", yanked={"replacement": "1"})])

    finding = check(app, [app], mirror, turn=lambda: HERE)

    assert finding.offer is None
    assert "what should replace it cannot be taken: 1 is rolled out to 0.0 %" in finding.why


def test_a_wish_does_not_pass_a_rollout() -> None:
    """Nor one that is held."""
    app = package("app", "1")
    mirror = MemoryMirror(app=[release("2", **{**NEEDS, "rollout": whole(1000, held=True)})])

    finding = check(app, [app], mirror, wish=Wish("2"), turn=lambda: HERE)

    assert finding.offer is None
    assert finding.why.startswith("2 cannot be taken: it is held at 100.0 % of the fleet")


# on a device


def rolled(version: str, *points: tuple[datetime, int], held: bool = False) -> Release:
    """Make a release that is rolled out."""
    return release(version, **{**NEEDS, "rollout": fields(*points, held=held)})


def test_a_device_takes_a_release_when_its_turn_has_come(tmp_path: Path, tree: Path) -> None:
    """The same list, asked at three times: too early, a second too early, and when the share has passed its place."""
    (tmp_path / "opt").mkdir()
    made = devices.device(tmp_path, tree, Files())
    devices.write_state(made.settings.state, {"package": "app", "branch": "stable", "local": f"{tmp_path}/opt/app"})
    new = rolled("2", (START, 0), (START + DAY, 1000))
    trees.write(tree, release("1"), new)
    secret = bytes.fromhex(identity.ensure(made.work, made.files).secret)
    comes = START + DAY * float(place(secret, new.content_on("app", "stable").digest))

    def taken(now: datetime) -> str:
        (result,) = poll.run(replace(made, now=lambda: now))
        return result.to

    assert taken(START - DAY) == "1"
    assert taken(comes - timedelta(seconds=1)) == ""
    assert taken(comes + timedelta(seconds=1)) == "2"


def test_a_look_before_the_first_update_makes_no_secret(tmp_path: Path, tree: Path) -> None:
    """An image that is looked at stays one image; it would take what is for everybody."""
    made: Device = devices.device(tmp_path, tree, Files())
    (tmp_path / "opt").mkdir()
    devices.write_state(made.settings.state, {"package": "app", "branch": "stable", "local": f"{tmp_path}/opt/app"})
    trees.write(tree, rolled("2", (START - DAY, 1000)), rolled("3", (START - DAY, 999)))
    now = replace(made, now=lambda: NOW)

    (prospect,) = poll.look(now)

    assert prospect.finding is not None
    assert str(prospect.finding.offer) == "app 2"
    assert "place is not known" in prospect.finding.skipped[0].why
    assert identity.load(made.work) is None


def test_check_and_update_obey_a_rollout(rig: Rig, tree: Path) -> None:
    """By the real commands: above the share a device stays where it is, below it goes."""
    trees.write(tree, release("1"))
    devices.write_state(rig.state_file, entry(rig, "app"))
    rig.run("update")
    kept = identity.load(rig.folder / "otadevice-work")
    assert kept is not None
    here = place(bytes.fromhex(kept.secret), release("2").content_on("app", "stable").digest)
    past = datetime.now(UTC) - DAY
    below, above = int(here * 1000), int(here * 1000) + 1

    trees.write(tree, release("1"), rolled("2", (past, below)))
    waits = answer(rig, "check")["packages"][0], rig.run("update")
    trees.write(tree, release("1"), rolled("2", (past, above), held=True))
    held = answer(rig, "check")["packages"][0], rig.run("update")
    trees.write(tree, release("1"), rolled("2", (past, above)))
    comes = answer(rig, "check")["packages"][0], rig.run("update")

    told = f"2 is rolled out to {below / 10} % of the fleet so far, this device comes at {above / 10} %"
    assert (waits[0]["offered"], waits[0]["why"]) == ("", f"nothing newer can be taken: {told}")
    assert told in waits[1].stdout
    assert f"2 is held at {above / 10} % of the fleet" in held[1].stdout
    assert (held[0]["offered"], held[1].exit_code) == ("", 0)
    assert (comes[0]["offered"], comes[1].stdout) == ("2", "app (stable): updated 1 to 2\n")
