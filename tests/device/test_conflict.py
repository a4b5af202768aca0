"""Why a release does not go with the others: whole sentences, as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from devclient.check import MOST_TRIED, Skipped, check
from devclient.solve.resolve import ROUNDS
from tests.support.worlds import MemoryMirror, package, release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devclient.check import Finding
    from devclient.state import Package
    from tests.support.trees import Release

APP = package("app", "1")
LIB = package("lib", "1.4")
TOOL = package("tool", "1.4", {"lib": "<3"})
LIBS = [release("3"), release("2"), release("1.4")]
MANY = [release(str(version)) for version in range(40)]
TAKEN_BACK = {"reason": "leaks"}


@dataclass(frozen=True)
class Case:
    """A device with app 1, for which a mirror has app 2.

    Attributes:
        app: what app 2 depends on.
        mirror: what else the mirror has.
        here: what else the device has.
        why: why app 2 is not taken.
    """

    why: str
    app: Mapping[str, str]
    mirror: Mapping[str, Sequence[Release]] = field(default_factory=dict)
    here: Sequence[Package] = ()
    bad: Mapping[str, str] = field(default_factory=dict)

    def finding(self) -> Finding:
        """Check for app."""
        mirror = MemoryMirror(**{"app": [release("2", self.app)], **self.mirror})
        return check(APP, (APP, *self.here), mirror, bad=self.bad)


UNTIL_2 = [release("2.1"), release("2"), release("1.4")]

CASES = {
    "nothing is high enough": Case(
        "needs lib >=3, and the highest that can be taken is 2.1", {"lib": ">=3"}, {"lib": UNTIL_2}, [LIB]
    ),
    "nothing is high enough, nor here": Case(
        "needs lib >=3, and the highest that can be taken is 2.1", {"lib": ">=3"}, {"lib": UNTIL_2}
    ),
    "what is here is the highest": Case(
        "needs lib >=3, and the highest that can be taken is 2.5",
        {"lib": ">=3"},
        {"lib": UNTIL_2},
        [package("lib", "2.5")],
    ),
    "it would go back": Case(
        "needs lib <1, but lib 1.4 is installed, and a device does not go back by itself",
        {"lib": "<1"},
        {"lib": [release("0.9"), *UNTIL_2]},
        [LIB],
    ),
    "it is pinned": Case(
        "needs lib >=2, which is pinned to ==1.4", {"lib": ">=2"}, {"lib": LIBS}, [package("lib", "1.4", pin="==1.4")]
    ),
    "it is pinned before it is installed": Case(
        "needs lib >=2, which is pinned to <2", {"lib": ">=2"}, {"lib": LIBS}, [package("lib", pin="<2")]
    ),
    "it was taken back": Case(
        "needs lib >=3, and lib 3 was taken back: leaks",
        {"lib": ">=3"},
        {"lib": [release("3", yanked=TAKEN_BACK), release("2")]},
    ),
    "it needs the unknown": Case(
        "needs lib >=3, and lib 3 needs moon, which this version of otadevice does not understand",
        {"lib": ">=3"},
        {"lib": [release("3", needs=("moon",)), release("2")]},
    ),
    "it failed here": Case(
        "needs lib >=3, and lib 3 failed on this device: it hung; `otadevice clear-bad` lets it be tried again",
        {"lib": ">=3"},
        {"lib": LIBS},
        bad={release("3").content_on("lib", "stable").digest: "it hung"},
    ),
    "none can be taken": Case(
        "needs lib >=4, of which nothing can be taken", {"lib": ">=4"}, {"lib": [release("3", yanked=TAKEN_BACK)]}
    ),
    "none is released": Case("needs lib *, of which nothing can be taken", {"lib": "*"}, {"lib": []}),
    "the mirror does not have it": Case("needs extra *, which this mirror does not have on stable", {"extra": "*"}),
    "the mirror does not have more of it": Case(
        "needs lib >=2, which this mirror does not have on stable", {"lib": ">=2"}, {}, [LIB]
    ),
    "it follows another branch": Case(
        "needs lib >=2, but lib follows branch test here",
        {"lib": ">=2"},
        {"lib": LIBS},
        [package("lib", "2", branch="test")],
    ),
    "it comes from elsewhere": Case(
        "needs lib >=2, but lib comes from another mirror here",
        {"lib": ">=2"},
        {"lib": LIBS},
        [package("lib", "2", remote="http://other.example")],
    ),
    "something installed keeps it": Case(
        "needs lib >=3, but tool 1.4, which is installed, needs lib <3", {"lib": ">=3"}, {"lib": LIBS}, [LIB, TOOL]
    ),
    "a higher tool would keep it too": Case(
        "needs lib >=3, but tool 1.4, which is installed, needs lib <3, and tool 1.5 needs lib <3",
        {"lib": ">=3"},
        {"lib": LIBS, "tool": [release("1.5", {"lib": "<3"})]},
        [LIB, TOOL],
    ),
    "a higher tool would do but for a pin": Case(
        "needs lib >=3, but tool 1.4, which is installed, needs lib <3, and tool 1.5 needs core >=2, "
        "which is pinned to ==1",
        {"lib": ">=3"},
        {"lib": LIBS, "tool": [release("1.5", {"core": ">=2"})], "core": [release("2")]},
        [LIB, TOOL, package("core", "1", pin="==1")],
    ),
    "only what cannot be taken is admitted by what is installed": Case(
        "needs lib >=2, but tool 1.4, which is installed, needs lib <3",
        {"lib": ">=2"},
        {"lib": [release("3"), release("2", yanked=TAKEN_BACK)]},
        [LIB, TOOL],
    ),
    "the lower one has a flaw of its own": Case(
        "needs lib >=2, but tool 1.4, which is installed, needs lib <3, and lib 2 needs core *, "
        "which this mirror does not have on stable",
        {"lib": ">=2"},
        {"lib": [release("3"), release("2", {"core": "*"})]},
        [LIB, TOOL],
    ),
    "something installed does not bear app itself": Case(
        "does not go with tool 1.4, which is installed and needs app <2",
        {},
        {},
        [package("tool", "1.4", {"app": "<2"})],
    ),
    "a higher tool does not bear app either": Case(
        "does not go with tool 1.4, which is installed and needs app <2, and tool 1.5 needs app <=1.9",
        {},
        {"tool": [release("1.5", {"app": "<=1.9"})]},
        [package("tool", "1.4", {"app": "<2"})],
    ),
    "what is installed is unreadable": Case(
        "needs lib >=3, but tool 1.4, which is installed, needs lib >>3",
        {"lib": ">=3"},
        {"lib": LIBS},
        [LIB, package("tool", "1.4", {"lib": ">>3"})],
    ),
    "two dependencies disagree": Case(
        "needs b *, and b 1 needs lib >=3, but a 1 needs lib <3",
        {"a": "*", "b": "*"},
        {"lib": LIBS, "a": [release("1", {"lib": "<3"})], "b": [release("1", {"lib": ">=3"})]},
    ),
    "a dependency disagrees with app": Case(
        "needs a *, and a 1 needs lib <3, but app 2 needs lib >=3",
        {"a": "*", "lib": ">=3"},
        {"lib": LIBS, "a": [release("1", {"lib": "<3"})]},
    ),
    "a dependency does not bear app": Case(
        "needs a *, and a 1 needs app <2", {"a": "*"}, {"a": [release("1", {"app": "<2"})]}
    ),
    "a dependency needs another app": Case(
        "needs a *, and a 1 needs app >=3", {"a": "*"}, {"a": [release("1", {"app": ">=3"})]}
    ),
    "what had to move does not have to after all": Case(
        "needs z *, and z 1 needs zoom *, which this mirror does not have on stable",
        {"lib": ">=2", "z": "*"},
        {"lib": LIBS, "z": [release("1", {"tool": "==1.4", "zoom": "*"})]},
        [LIB, TOOL],
    ),
    "what else there is to choose makes no difference": Case(
        "needs z *, and z 1 needs zoom *, which this mirror does not have on stable",
        {"a": "*", "b": "*", "z": "*"},
        {"a": MANY, "b": MANY, "z": [release("1", {"zoom": "*"})]},
    ),
    "three agree two by two": Case(
        "needs c *, and c 1 needs lib !=3, but a 1 needs lib !=1.4 and b 1 needs lib !=2",
        {"a": "*", "b": "*", "c": "*"},
        {
            "lib": LIBS,
            "a": [release("1", {"lib": "!=1.4"})],
            "b": [release("1", {"lib": "!=2"})],
            "c": [release("1", {"lib": "!=3"})],
        },
    ),
    "what has to move must stay for another": Case(
        "needs lib >=3, but tool 1.4, which is installed, needs lib <3",
        {"a": "*", "lib": ">=3"},
        {"lib": LIBS, "tool": [release("1.5")], "a": [release("1", {"tool": "==1.4"})]},
        [LIB, TOOL],
    ),
    "what must stay has to move for another": Case(
        "needs z *, and z 1 needs tool ==1.4, but tool 1.4, which is installed, does not go with lib 3",
        {"lib": ">=3", "z": "*"},
        {"lib": LIBS, "tool": [release("1.5")], "z": [release("1", {"tool": "==1.4"})]},
        [LIB, TOOL],
    ),
    "a long way down": Case(
        "needs p0 *, and p0 1 needs p1 *, and so on, and p4 1 needs p5 *, and p5 1 needs p6 *, and p6 1 needs p7 *, "
        "and p7 1 needs p8 *, which this mirror does not have on stable",
        {"p0": "*"},
        {f"p{number}": [release("1", {f"p{number + 1}": "*"})] for number in range(8)},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_told_what_is_in_the_way(case: Case) -> None:
    """Nothing is offered, and the reason says which package needs what, and what there is instead."""
    finding = case.finding()

    assert finding.skipped == (Skipped("2", case.why),)
    assert finding.why == f"nothing newer can be taken: 2 {case.why}"
    assert (finding.offer, finding.changes) == (None, ())


def test_no_more_is_tried_than_makes_sense() -> None:
    """After 32 releases that do not go with what is installed, it is told that no lower one was tried."""
    versions = [str(version) for version in range(2, 2 + MOST_TRIED + 5)]
    finding = check(
        APP, (APP,), MemoryMirror(app=[release("1.5"), *(release(each, {"lib": "*"}) for each in versions)])
    )

    assert finding.offer is None
    *tried, last = finding.skipped
    assert [each.version for each in tried] == versions[: -MOST_TRIED - 1 : -1]
    assert {each.why for each in tried} == {"needs lib *, which this mirror does not have on stable"}
    assert last == Skipped(
        "6", f"was not tried, nor what is lower: {MOST_TRIED} above it do not go with what is installed"
    )


def test_a_search_that_is_given_up_is_told() -> None:
    """Where there are too many ways to try them all, it is told what stood in one, and that no more were tried."""
    finding = Case("", dict.fromkeys(PIGEONS, "*"), pigeons_in(len(PIGEONS) - 1)).finding()

    (skipped,) = finding.skipped
    assert skipped.why == (
        "needs a *, and a 7 needs b !=7, and so on, and d 4 needs e !=4, and e 3 needs f !=3, and f 2 needs g !=2, "
        "and g 1 needs h !=1, but a 7 needs h !=7 and b 6 needs h !=6 and c 5 needs h !=5 and others; "
        f"no other way was found in {ROUNDS} tries"
    )
    assert Case("", dict.fromkeys(PIGEONS, "*"), pigeons_in(len(PIGEONS))).finding().offer


PIGEONS = "abcdefgh"


def pigeons_in(holes: int) -> dict[str, list[Release]]:
    """Make packages no two of which may have the same version."""
    versions = [str(number) for number in range(1, holes + 1)]
    return {
        pigeon: [release(each, {other: f"!={each}" for other in PIGEONS if other != pigeon}) for each in versions]
        for pigeon in PIGEONS
    }
