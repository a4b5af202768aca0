"""Lists of a signed mirror and their older segments: fetched when they are needed, and believed if they are right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devclient.check import Finding, Wish, check
from devclient.errors import BrokenPromiseError
from devclient.trust_errors import EndlessDataError, IncompleteMirrorError
from mirror import canonical, layout, releases
from tests.support import trees
from tests.support.httpd import Fault
from tests.support.trees import Release
from tests.support.worlds import package

if TYPE_CHECKING:
    from devclient.state import Package
    from mirror.releases import Segment
    from tests.support.devices import Rig

YANKED = {"reason": "breaks doors"}
NEW = Release("3.0", b"three")
MIDDLE = [Release("2.1"), Release("2.0", entry={"yanked": YANKED})]
OLD = [Release("1.1", b"one"), Release("1.0")]


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A device whose mirror has a list with two segments."""
    trees.write(rig.tree, NEW, older=(MIDDLE, OLD))
    return rig


def look(rig: Rig, entry: Package, wish: Wish | None = None, *, tidy: bool = False) -> tuple[Finding, list[str]]:
    """Check as a command does; returns what was found, and which lists and segments were asked for."""
    before = len(rig.server.requests)
    with rig.mirror() as mirror:
        finding = check(entry, (entry,), mirror, wish=wish)
        if tidy:
            mirror.tidy()
    asked = [request.path for request in rig.server.requests[before:]]
    return finding, [path for path in asked if path.startswith("/releases/")]


def segments(rig: Rig) -> tuple[str, str]:
    """Tell where the segments are."""
    middle, old = (layout.hashed_release_list("app", "stable", each.sha256) for each in references(rig))
    return f"/{middle}", f"/{old}"


def references(rig: Rig) -> tuple[Segment, ...]:
    """Return what the list says of its segments."""
    return releases.parse((rig.tree / layout.release_list("app", "stable")).read_bytes()).older


def test_a_segment_is_fetched_when_it_is_needed(rig: Rig) -> None:
    """Not for what is new, but for what covers the installed release, a pin or a wish."""
    middle, old = segments(rig)

    finding, asked = look(rig, package("app", "3.0"))
    assert (finding.offer, len(asked)) == (None, 1)
    finding, asked = look(rig, package("app", "2.0"))
    assert (str(finding.offer), finding.yanked, asked) == ("app 3.0", YANKED, [middle])
    finding, asked = look(rig, package("app", "1.0", pin="<2"))
    assert (str(finding.offer), asked) == ("app 1.1", [old])
    finding, asked = look(rig, package("app"), Wish("2.1"))
    assert (str(finding.offer), asked) == ("app 2.1", [])


def test_a_poll_that_finds_nothing_new_asks_for_no_segment_again(rig: Rig) -> None:
    """It is one conditional request, for a device that is far behind and kept there by its owner too."""
    entry = package("app", "1.1", pin="==1.1")
    first, asked = look(rig, entry, tidy=True)
    assert asked[1:] == [segments(rig)[1]]
    before = len(rig.server.requests)

    second, _ = look(rig, entry, tidy=True)

    assert second == first
    assert [(request.path, request.status) for request in rig.server.requests[before:]] == [
        (f"/{layout.TIMESTAMP}", 304)
    ]


def test_a_poll_in_which_nothing_goes_together_asks_for_nothing_again(rig: Rig) -> None:
    """Lists that were looked at for what depends on them are kept too, and that there is none is known."""
    needs = {"dependencies": {"lib": "*", "other": "*"}}
    trees.write(rig.tree, Release("1"), package="lib")
    trees.write(rig.tree, NEW, Release("4", content=needs, entry=needs))
    entry = package("app", "3.0")
    first, asked = look(rig, entry, tidy=True)
    assert len(asked) == 2
    before = len(rig.server.requests)

    second, _ = look(rig, entry, tidy=True)

    assert second == first
    assert [request.path for request in rig.server.requests[before:]] == [f"/{layout.TIMESTAMP}"]


def test_a_segment_that_is_not_needed_any_more_goes(rig: Rig) -> None:
    """It is kept as lists are: while somebody asks for it."""
    kept = rig.trust / "kept" / references(rig)[1].sha256
    look(rig, package("app", "1.0"), tidy=True)
    assert kept.exists()

    look(rig, package("app", "3.0"), tidy=True)

    assert not kept.exists()


@pytest.mark.parametrize(
    ("fault", "error", "problem"),
    [
        (Fault(flip=40), BrokenPromiseError, "the segment [0-9a-f]{64} has other bytes"),
        (Fault(body=b'{"package":"app"}'), BrokenPromiseError, "has other bytes"),
        (Fault(body=b"{" * 5000), EndlessDataError, "more than"),
        (Fault(status=404), IncompleteMirrorError, "the mirror names this file and does not have it"),
    ],
)
def test_a_segment_is_the_one_that_the_list_names(rig: Rig, fault: Fault, error: type[Exception], problem: str) -> None:
    """To the byte; else nothing is offered and nothing of it is kept, and the next check asks again."""
    rig.server.misbehave(segments(rig)[0], fault)
    entry = package("app", "2.0")

    with pytest.raises(error, match=problem):
        look(rig, entry)
    rig.server.behave()

    assert not (rig.trust / "kept" / references(rig)[0].sha256).exists()
    assert str(look(rig, entry)[0].offer) == "app 3.0"


def test_a_damaged_segment_is_fetched_again(rig: Rig) -> None:
    """What is kept is hashed when it is used."""
    entry = package("app", "2.0")
    look(rig, entry)
    (rig.trust / "kept" / references(rig)[0].sha256).write_bytes(b"{}")

    assert look(rig, entry)[1] == [segments(rig)[0]]


def test_a_segment_of_another_package_is_refused(rig: Rig) -> None:
    """Though its hash is what was signed."""
    newest = releases.parse((rig.tree / layout.release_list("app", "stable")).read_bytes())
    right = (rig.tree / segments(rig)[0].removeprefix("/")).read_bytes()
    wrong = replace(releases.parse(right), package="other").encode()
    reference = replace(newest.older[0], sha256=canonical.digest(wrong), size=len(wrong))
    simulator = trees.simulator(rig.tree)
    simulator.put(layout.hashed_release_list("app", "stable", reference.sha256), wrong)
    simulator.list("app", "stable", replace(newest, older=(reference, newest.older[1])).encode())
    simulator.publish()

    with pytest.raises(BrokenPromiseError, match="is not one of app on stable"):
        look(rig, package("app", "2.0"))
