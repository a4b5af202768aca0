"""Version order and ranges (contract, section 2)."""

from __future__ import annotations

import functools
import itertools
import re
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror import names
from mirror.version import Range, RangeError, order_key, sort_key

# What libversion's own table of comparisons says (tests/compare_test.c), as chains of neighbours. Not carried over:
# - a text compared with itself, which says nothing about a function of the text alone;
# - comparisons under flags (P_IS_PATCH, ANY_IS_PATCH, LOWER_BOUND, UPPER_BOUND): we have none, so of those groups
#   only the lines without a flag stand here;
# - texts that are no versions here: "", "1,0:alpha~2", "..1....2....3..", ".-~1~-.-~2~-.", ".,:;~+-_"; for the runs
#   of separators that we do allow there are lines of our own;
# - 1.0a < 1.0.1, which it has commented out as undecided; the documented ranks say 1.0.1 < 1.0a.
# None of its versions begins with a v before a digit, or has a + that our rule would take differently.
LIBVERSION = """
1 = 1.0
1 = 1.0.0
1.0 = 1.0.0
1.0 = 1.0.0.0.0.0.0.0
00100.00100 = 100.100
0 = 00000000000000000
0.0.0 < 0.0.1 < 0.0.2 < 0.0.10 < 0.1.0 < 0.1.1 < 1.0.0 < 10.0.0 < 100.0.0
0.0.2 < 0.1.0
10.10000.10000 < 11.0.0
20160101 < 20160102
999999999999999999 < 1000000000000000000
99999999999999999999999999999999999998 < 99999999999999999999999999999999999999
1.0 < 1.0a < 1.0b < 1.1
a < 0
1.a < 1.0
1.0.a < 1.0.b < 1.0.c < 1.0
1.0.c < 1.0.0
1.0a0 = 1.0.a0
1.0beta3 = 1.0.b3
a = A
1alpha = 1ALPHA
alpha1 = ALPHA1
a = alpha
b = beta
p = prerelease
1.0.alpha.2 = 1_0_alpha_2
1.0.alpha.2 = 1-0-alpha-2
1.0alpha1 < 1.0alpha2 < 1.0beta1 < 1.0beta2 < 1.0rc1 < 1.0
1.0beta2 < 1.0pre1 < 1.0
1.0.alpha1 < 1.0.alpha2 < 1.0.beta1 < 1.0.beta2 < 1.0.rc1 < 1.0
1.0.beta2 < 1.0.pre1 < 1.0
1.0alpha.1 < 1.0alpha.2 < 1.0beta.1 < 1.0beta.2 < 1.0rc.1 < 1.0
1.0beta.2 < 1.0pre.1 < 1.0
1.0.alpha.1 < 1.0.alpha.2 < 1.0.beta.1 < 1.0.beta.2 < 1.0.rc.1 < 1.0
1.0.beta.2 < 1.0.pre.1 < 1.0
0.9 < 1.0alpha-1 < 1.0
0.9 < 1.0beta-1 < 1.0
0.9 < 1.0pre-1 < 1.0
0.9 < 1.0prerelease-1 < 1.0
0.9 < 1.0rc-1 < 1.0
1.0alpha-1 < 1.0.1
1.0alpha-1 < 1.1
1.0beta-1 < 1.0.1
1.0beta-1 < 1.1
1.0pre-1 < 1.0.1
1.0pre-1 < 1.1
1.0prerelease-1 < 1.0.1
1.0prerelease-1 < 1.1
1.0rc-1 < 1.0.1
1.0rc-1 < 1.1
0.9 < 1.0patch1
0.9 < 1.0.patch1
0.9 < 1.0patch.1
0.9 < 1.0.patch.1
0.9 < 1.0post1
0.9 < 1.0postanythinggoeshere1
0.9 < 1.0pl1
0.9 < 1.0errata1
1.0 < 1.0patch1 < 1.0.1
1.0 < 1.0.patch1 < 1.0.1
1.0 < 1.0patch.1 < 1.0.1
1.0 < 1.0.patch.1 < 1.0.1
1.0 < 1.0post1 < 1.0.1
1.0 < 1.0postanythinggoeshere1 < 1.0.1
1.0 < 1.0pl1 < 1.0.1
1.0 < 1.0errata1 < 1.0.1
1.0patch1 < 1.1
1.0.patch1 < 1.1
1.0patch.1 < 1.1
1.0.patch.1 < 1.1
1.0post1 < 1.1
1.0postanythinggoeshere1 < 1.1
1.0pl1 < 1.1
1.0errata1 < 1.1
1.0p1 < 1.0
1.0.p1 < 1.0
1.0.p.1 < 1.0
1.0 < 1.0p.1
1.0a1 < 1.0
1.0.a1 < 1.0
1.0.a.1 < 1.0
1.0 < 1.0a.1
1.0p1 = 1.0pre1
1.0p1 < 1.0patch1
1.0p1 < 1.0post1
1.0alpha < 1.0
1.0.alpha < 1.0
1.0beta < 1.0
1.0.beta < 1.0
1.0rc < 1.0
1.0.rc < 1.0
1.0pre < 1.0
1.0.pre < 1.0
1.0prerelese < 1.0
1.0.prerelese < 1.0
1.0 < 1.0patch
1.0 < 1.0.patch
0.99999 < 1.0
1.0alpha0 < 1.0
1.0 < 1.0patch0
1.0 < 1.0.1
1.0 < 1.1
1.0alpha1 = 1.0.alpha1
1.0alpha1 = 1.0alpha.1
1.0alpha1 = 1.0.alpha.1
1.0patch1 = 1.0.patch1
1.0patch1 = 1.0patch.1
1.0patch1 = 1.0.patch.1
"""

# What the contract says with an example, and what its words decide where libversion's table has no line.
CONTRACT = """
1.9 < 1.10
1.0-rc1 < 1.0 < 1.0+build5 < 1.0.1
2024.02.26 < 2024.02.27 < 2024.3.1
v2.1.3 < v2.1.3_20240227 < v2.1.4
v1.2 = 1.2
V1.2 = 1.2
v < v0 < v0v
vv1 < v1
v.1 < v1
1.4 = 1.4.0
1~rc1 = 1-rc1
1....2 = 1.2
1~-.-~2~-. = 1.2
1.0rc1 < 1.0 < 1.0.0post1 < 1.0.0.1 < 1.0.0a
1.0.1 < 1.0a < 1.1
1.0 < 1.0.1 < 1.0za = 1.0zb
1.0-za < 1.0
1.0za1 < 1.0
1.0custom1 < 1.0
1.0 < 1.0custom
1.0-custom < 1.0
1.0alphabet1 < 1.0 < 1.0.1 < 1.0alphabet
1.0prefix < 1.0
1.0PATCHED.1 = 1.0post1
1.0plus1 < 1.0 < 1.0pl1
1.0erratas1 < 1.0 < 1.0errata1 < 1.0pl1
1.0.0.0-rc1 < 1.0.0.0.0
1.0-rc1 < 1.0.0-rc1 < 1.0.0.0-rc1 < 1.0
1.0 < 1.0.0.0.1 < 1.0.0.1 < 1.0.1
1.0 < 1.0+ = 1.0+0 = 1.0+0.0
1.0 < 1.0+rc1 < 1.0+ < 1.0+1 < 1.0+1+1 < 1.0+2 < 1.0+10 < 1.0+10a
1.0+9 < 1.0post1 < 1.0.1-rc1 < 1.0.1-rc1+9 < 1.0.1
1.0+1+1 = 1.0+1.1
1.0+v1 < 1.0+1
1+rc = 1.0+r < 1+x = 1+Xyz
"""


def comparisons(table: str) -> list[tuple[str, str, str]]:
    """Split chains such as `a < b = c` into the comparisons of their neighbours."""
    chains = [line.split() for line in table.strip().splitlines()]
    return [(chain[i], chain[i + 1], chain[i + 2]) for chain in chains for i in range(0, len(chain) - 2, 2)]


@pytest.mark.parametrize(("left", "relation", "right"), comparisons(LIBVERSION) + comparisons(CONTRACT))
def test_versions_compare_as_the_tables_say(left: str, relation: str, right: str) -> None:
    """The order without the tie-break is the one that libversion and the contract state."""
    assert (order_key(left) < order_key(right)) == (relation == "<")
    assert (order_key(left) == order_key(right)) == (relation == "=")
    if relation == "<":
        assert sort_key(left) < sort_key(right)


def test_text_by_code_point_breaks_the_tie() -> None:
    """Versions that are otherwise equal follow the code points of their texts, the mark and case included."""
    equal = ["v1.4", "1.4.00", "V1.4", "1_4", "1.4", "1.4.0"]

    in_order = sorted(equal, key=sort_key)

    assert len({order_key(version) for version in equal}) == 1
    assert in_order == ["1.4", "1.4.0", "1.4.00", "1_4", "V1.4", "v1.4"]


def test_tie_is_broken_after_the_part_behind_the_plus() -> None:
    """The texts are compared last: 1.0+1 is above 1.0.0 although `+` is below `.`."""
    assert sort_key("1.0") < sort_key("1.0.0") < sort_key("1.0+1") < sort_key("1.0.0+1") < sort_key("1.0+2")


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("9" * 127, "1" + "0" * 127),
        ("9" * 127 + "8", "9" * 128),
        ("0" * 127 + "1", "2"),
        ("0" * 128, "0" * 127 + "1"),
        ("0." * 62 + "a", "0." * 63 + "a"),
        ("0-" * 63 + "a1", "0" * 128),
        ("0." * 63 + "01", "0." * 62 + "1"),
        ("1", "1." + "0." * 62 + "1"),
        ("1." + "0." * 62 + "a", "1"),
        ("a" * 128, "0"),
        ("a1" * 64, "a1" * 63 + "a"),
        ("1." * 63 + "1", "1." * 63 + "2"),
        ("1", "1" + "+" * 127),
        ("1+" + "0" * 126, "1+" + "9" * 126),
    ],
)
def test_longest_versions_keep_their_order(low: str, high: str) -> None:
    """Nothing is cut or clamped up to 128 characters: long numbers and long runs of zeros count in full."""
    assert sort_key(low) < sort_key(high)
    assert Range.parse(f"<={high}").admits(low)
    assert not Range.parse(f">={high}").admits(low)


@pytest.mark.parametrize(
    "text", ["", ".1", "+1", "~1", "1 ", " 1", "1\n", "1,2", "1/2", "1:2", "1%2B2", "*", "\u0661", "1\u00e4", "1" * 129]
)
def test_what_is_not_a_version_has_no_place(text: str) -> None:
    """A text that breaks the rule for versions is refused with an example, wherever it is given."""
    for place in (sort_key, order_key, Range.parse("*").admits):
        with pytest.raises(ValueError, match=r"not a version: .*write for example '1\.2\.3'"):
            place(text)


ADMITTED = [
    (">=1.2,<2", "1.2 1.2.0 v1.2 1.10 1.2+5 1.9-rc1 1.9.9post1", "1.1 1.2-rc1 2 2.0 2.1 2-rc1 2.0-rc1+5 2+5"),
    ("==1.4", "1.4 1.4.0 v1.4 1_4 1.4+7 1.4.0+rc1", "1.4.1 1.4-rc1 1.4a 1.5"),
    ("==1.4.0", "1.4 1.4+7", "1.4.1"),
    ("!=1.5", "1.4 1.5.1 1.5-rc1", "1.5 1.5.0 v1.5 1.5+3"),
    ("*", "0 1 2-rc1 a 1+2 v9", ""),
    ("1.2", "1.2 1.2.0 1.3 9 1.2+1", "1.1 1.2-rc1"),
    ("v1.2", "1.2 2", "1.1"),
    ("<=2", "1.9 2 2.0 2.0+5 2-rc1 2+9a", "2.0.1 2.0post1 2.1"),
    (">2", "2.0.1 2post1 3-rc1", "2 2.0 2+5 2-rc1 1"),
    # < refuses the pre-releases of its own bound and of no other
    ("<2", "1.9 1.9-rc1 1-rc1 1.9+5 0", "2 2-rc1 2.0-rc1 2.0.0.0-alpha 2.0-custom5 2-rc1+5 2-rc1-post1 v2-rc1"),
    ("<2.0", "1.9.9", "2 2-rc1 2.0-rc1 2.0.0-rc1"),
    ("<v2", "1.9", "2 2-rc1"),
    ("<2.0.1", "2.0 2.0-rc1 2-rc1 2.0post1 2.0.0.9", "2.0.1-rc1 2.0.1.0-rc1 2.0.1"),
    ("<2post1", "2 2-rc1 2post", "2post1 2post1-rc1 2post2"),
    ("<1.0a", "1.0 1.0-rc1 1.0.1", "1.0a 1.0a-rc1 1.0b"),
    ("<0", "", "0 0-rc1 rc1 a 1"),
    # unless the bound is a pre-release itself, by a known word or another
    ("<2-rc2", "2-rc1 2-alpha 2-rc2-alpha1 1.9", "2-rc2 2-rc3 2"),
    ("<2-rc.2", "2-rc1 2-rc2-alpha1", "2-rc2"),
    ("<2-custom", "2-b1 2-custom-b1", "2-custom 2-d"),
    ("<a", "a-a1", "a b 0"),
    # a bound with + sees the candidate's + part
    ("<=2+5", "2 2+4 2+5 2.0+5.0 2+rc1 2-rc1", "2+6 2.0.1"),
    (">=2+5", "2+5 2+6 2.0.1 2post1", "2 2+4 2+5-rc1 1.9+9"),
    (">2+5", "2+5.1 2+6 2.0.1", "2 2+5 2.0+5"),
    ("==2+5", "2+5 2.0+5.0 v2+5", "2 2+4 2+50"),
    ("==2+", "2+ 2+0", "2 2+1"),
    ("!=2+5", "2 2+6 3", "2+5 2.0+05"),
    ("<2.0+5", "2 2.0-rc1 2.0+4 2+rc1 2.0+4-rc1", "2.0+5 2.0+5-rc1 2+5.0-rc1 2+6 2.0.1"),
    ("<2-rc1+5", "2-alpha 2-rc1 2-rc1+5-rc1", "2-rc1+5 2"),
    ("<2+build5", "2 2+build4", "2+build5 2+build5-rc1 2+build6"),
    # white space and several comparisons
    (" >= 1.2 ,\t<2 ", "1.2 1.9", "1.1 2"),
    ("1,!=1.5,!=1.6,<2", "1 1.4 1.7", "0.9 1.5 1.6.0 2"),
    ("*,<2", "1", "2"),
    (">2,<1", "", "0 1 1.5 2 3"),
]


@pytest.mark.parametrize(("text", "admitted", "refused"), ADMITTED)
def test_range_admits_what_the_contract_says(text: str, admitted: str, refused: str) -> None:
    """Each operator admits and refuses as the contract says, ties, + parts and pre-releases included."""
    versions = Range.parse(text)

    assert [version for version in admitted.split() if not versions.admits(version)] == []
    assert [version for version in refused.split() if versions.admits(version)] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the version range is empty"),
        (" \t", "the version range is empty"),
        (",", "nothing stands before or after a comma of the version range ','"),
        (">=1.2,", "nothing stands before or after a comma of the version range '>=1.2,'"),
        (">=1.2,,<2", "nothing stands before or after a comma"),
        (">=", "'>=' is not one of"),
        ("=1.4", "'=1.4' is not one of"),
        ("===1.4", "'===1.4' is not one of"),
        ("=>1.4", "'=>1.4' is not one of"),
        ("~=1.4", "'~=1.4' is not one of"),
        ("^1.4", "'^1.4' is not one of"),
        (">=*", "'>=*' is not one of"),
        ("==1.2.*", "'==1.2.*' is not one of"),
        ("1.*", "'1.*' is not one of"),
        (">=1.2 <2", "'>=1.2 <2' is not one of"),
        (">=1.2;<2", "'>=1.2;<2' is not one of"),
        ("> =1.2", "'> =1.2' is not one of"),
        (">=1.2,latest!", "'latest!' is not one of"),
        (">=1.2\n", r"'>=1.2\n' is not one of"),
        (">=" + "1" * 129, "'>=" + "1" * 75 + "...' is not one of"),
    ],
)
def test_bad_range_is_refused_with_its_reason_and_an_example(text: str, reason: str) -> None:
    """The message names what is wrong, stays short and shows ranges that are right."""
    with pytest.raises(
        RangeError, match=re.escape(reason) + r".*; write for example '>=1\.2,<2', '==1\.4' or '\*'$"
    ) as caught:
        Range.parse(text)

    assert isinstance(caught.value, ValueError)
    assert caught.value.text == text
    assert len(str(caught.value)) < 300


def test_range_shows_the_text_it_was_made_of() -> None:
    """The text of a range is kept as it was written; ranges of one text are equal."""
    versions = Range.parse(" >= 1.2 , <2 ")

    assert str(versions) == " >= 1.2 , <2 "
    assert versions == Range.parse(str(versions))
    assert versions != Range.parse(">=1.2,<2")
    assert repr(versions) == "Range(text=' >= 1.2 , <2 ')"


# The oracle: the rules as the contract tells them, component by component, without keys.

PRE, ZERO, POST, NONZERO, SUFFIX = range(5)
Component = tuple[int, int]


def kind(character: str) -> str:
    """Tell what a character belongs to."""
    if character.isdigit():
        return "number"
    return "word" if character.isalpha() else "separator"


def oracle_components(part: str) -> list[Component]:
    """Split at every change of kind and give each piece its rank by the pieces beside it."""
    pieces = [(key, "".join(group)) for key, group in itertools.groupby(part, kind)]
    components = []
    for before, (key, piece), after in zip([("", ""), *pieces], pieces, [*pieces[1:], ("", "")], strict=False):
        if key == "number":
            components.append((NONZERO, int(piece)) if int(piece) else (ZERO, 0))
        elif key == "word":
            rank = word_rank(piece.lower(), stands_after_number=before[0] == "number" and after[0] != "number")
            components.append((rank, ord(piece[0].lower())))
    return components


def word_rank(word: str, *, stands_after_number: bool) -> int:
    """Look a word in lower case up; one that is not known ranks by where it stands."""
    if word in {"pl", "errata"} or word.startswith(("post", "patch")):
        return POST
    if word in {"alpha", "beta", "rc"} or word.startswith("pre"):
        return PRE
    return SUFFIX if stands_after_number else PRE


def oracle_parts(version: str) -> tuple[list[Component], list[Component] | None]:
    """Split at the first plus, without the mark; None: there is no plus."""
    if version[0] in "vV" and version[1:2].isdigit():
        version = version[1:]
    head, *build = version.split("+", 1)
    return oracle_components(head), oracle_components(build[0]) if build else None


def oracle_compare_components(left: list[Component], right: list[Component]) -> int:
    """Compare rank by rank and value by value, the shorter padded with zeros."""
    for one, other in itertools.zip_longest(left, right, fillvalue=(ZERO, 0)):
        if one != other:
            return -1 if one < other else 1
    return 0


def oracle_compare(left: str, right: str, *, plus: bool = True) -> int:
    """Compare two versions without the tie-break, and without what follows a plus if so asked."""
    (left_head, left_build), (right_head, right_build) = oracle_parts(left), oracle_parts(right)
    by_head = oracle_compare_components(left_head, right_head)
    if by_head or not plus or (left_build is None and right_build is None):
        return by_head
    if left_build is None or right_build is None:
        return -1 if left_build is None else 1
    return oracle_compare_components(left_build, right_build)


def oracle_total(left: str, right: str) -> int:
    """Compare two versions, at last by their texts."""
    return oracle_compare(left, right) or (left > right) - (left < right)


def oracle_goes_on_below(components: list[Component], first: list[Component]) -> bool:
    """Tell whether `components`, padded with zeros, are `first` without its last zeros and then a pre-release."""
    while first and first[-1][0] == ZERO:
        first = first[:-1]
    padded = components + [(ZERO, 0)] * len(first)
    rest = [rank for rank, _ in padded[len(first) :] if rank != ZERO]
    return padded[: len(first)] == first and rest[:1] == [PRE]


def oracle_is_pre_release_of(bound: str, version: str) -> bool:
    """Tell whether `version` is a pre-release of a `bound` that is none itself."""
    (bound_head, bound_build), (head, build) = oracle_parts(bound), oracle_parts(version)
    if any(rank == PRE for rank, _ in bound_head):
        return False
    if bound_build is None:
        return oracle_goes_on_below(head, bound_head)
    same_head = oracle_compare_components(head, bound_head) == 0
    return same_head and build is not None and oracle_goes_on_below(build, bound_build)


def oracle_admits(sign: str, bound: str, version: str) -> bool:
    """Tell whether one comparison holds."""
    relation = oracle_compare(version, bound, plus="+" in bound)
    answers = {">=": relation >= 0, "": relation >= 0, "<=": relation <= 0, "==": relation == 0}
    answers |= {"!=": relation != 0, ">": relation > 0}
    answers["<"] = relation < 0 and not oracle_is_pre_release_of(bound, version)
    return answers[sign]


SIGNS = st.sampled_from([">=", "<=", "==", "!=", ">", "<", ""])
STARTS = ["0", "00", "1", "01", "2", "10", "9" * 25, "a", "B", "b", "v", "V", "z", "rc", "RC", "alpha", "beta", "pre"]
STARTS += ["preview", "post", "Posted", "patch", "pl", "plus", "errata", "errat", "alphabet", "custom"]
TOKENS = st.sampled_from([*STARTS, *STARTS, ".", ".", ".0", "-", "_", "~", "+", "+", "-rc", "..", "post1"])
SHORT = st.builds(
    lambda start, rest: (start + "".join(rest))[:128], st.sampled_from(STARTS), st.lists(TOKENS, max_size=6)
)
LONG = st.builds(
    lambda start, rest: (start + "".join(rest))[:128], st.sampled_from(STARTS), st.lists(TOKENS, min_size=30)
)
VERSIONS = st.one_of(SHORT, SHORT, LONG, st.from_regex(re.compile(names.VERSION), fullmatch=True))
# versions around one another: the same beginning, then something short
FAMILIES = st.builds(
    lambda start, rests: [(start + rest)[:128] for rest in rests],
    VERSIONS,
    st.lists(st.one_of(st.just(""), st.lists(TOKENS, max_size=4).map("".join)), min_size=2, max_size=8),
)

# neither a slow machine nor a busy one makes these fail
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(st.one_of(FAMILIES, st.lists(VERSIONS, min_size=2, max_size=8)))
def test_keys_follow_the_rules_component_by_component(versions: list[str]) -> None:
    """Keys order any versions as the padded components do, with the texts last; the order is total."""
    by_rule = sorted(versions, key=functools.cmp_to_key(oracle_total))

    assert sorted(versions, key=sort_key) == by_rule
    for left, right in itertools.product(versions, repeat=2):
        relation = oracle_compare(left, right)
        assert (order_key(left) < order_key(right)) == (relation < 0)
        assert (order_key(left) == order_key(right)) == (relation == 0)
        assert (sort_key(left) == sort_key(right)) == (left == right)


@unhurried
@given(FAMILIES)
def test_order_is_antisymmetric_and_transitive(versions: list[str]) -> None:
    """The rules themselves, told without keys, never contradict one another."""
    for left, right in itertools.product(versions, repeat=2):
        assert oracle_total(left, right) == -oracle_total(right, left)
        assert (oracle_total(left, right) == 0) == (left == right)
    for low, middle, high in itertools.permutations(versions, 3):
        if oracle_total(low, middle) <= 0 and oracle_total(middle, high) <= 0:
            assert oracle_total(low, high) <= 0


@unhurried
@given(st.one_of(FAMILIES, st.lists(VERSIONS, min_size=2, max_size=8)))
def test_sqlite_sorts_the_keys_alike(versions: list[str]) -> None:
    """ORDER BY on a column of keys is the order of versions."""
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE TABLE release (version TEXT, place BLOB)")
        rows = [(version, sort_key(version)) for version in versions]
        database.executemany("INSERT INTO release VALUES (?, ?)", rows)
        found = [version for (version,) in database.execute("SELECT version FROM release ORDER BY place")]
    finally:
        database.close()

    assert found == sorted(versions, key=functools.cmp_to_key(oracle_total))


@unhurried
@given(FAMILIES, st.lists(SIGNS, min_size=1, max_size=3), st.sampled_from([",", ", ", " ,\t"]))
def test_ranges_follow_the_rules_component_by_component(versions: list[str], signs: list[str], comma: str) -> None:
    """A range admits just the versions for which every one of its comparisons holds by the rules."""
    bounds = list(zip(signs, versions, strict=False))
    versions_in_range = Range.parse(comma.join(sign + bound for sign, bound in bounds))

    for version in versions:
        expected = all(oracle_admits(sign, bound, version) for sign, bound in bounds)
        assert versions_in_range.admits(version) == expected


@unhurried
@given(st.text(alphabet="<>=!*, \t\n.+~-_01av\u0661^", max_size=40))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    """Whatever the text, it is a range that keeps it or a RangeError, never another error."""
    try:
        versions = Range.parse(text)
    except RangeError as error:
        assert error.text == text  # noqa: PT017 - either way out is right
    else:
        assert str(versions) == text
        assert versions.admits("1") in {True, False}
