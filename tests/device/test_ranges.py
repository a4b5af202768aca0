"""What a range admits is remembered, and where it lies is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devclient.solve.ranges import Range
from mirror import version
from mirror.version import sort_key

VERSIONS = (
    "0",
    "1-rc1",
    "1",
    "1+5",
    "1.0",
    "1.4",
    "1.4+5",
    "1.4.1",
    "2-rc1",
    "2-rc2",
    "2",
    "2+5-rc1",
    "2+5",
    "v2",
    "10",
)
COMPARISONS = st.builds(
    "{}{}{}".format, st.sampled_from(["", ">", ">=", "<", "<= ", "==", " !="]), st.just(""), st.sampled_from(VERSIONS)
)
RANGES = st.lists(COMPARISONS | st.just("*"), min_size=1, max_size=3).map(", ".join)


@given(RANGES, st.sampled_from(VERSIONS))
def test_a_range_admits_what_the_contract_says(text: str, asked: str) -> None:
    """The first time and from memory."""
    ours = Range(text)

    assert [ours.admits(asked), ours.admits(asked)] == [version.Range.parse(text).admits(asked)] * 2
    assert str(ours) == text


@given(RANGES, st.sampled_from(VERSIONS))
def test_nothing_of_a_range_lies_on_the_wrong_side(text: str, asked: str) -> None:
    """What is said to lie above a version has nothing at or below it, and the other way round."""
    ours = Range(text)
    admitted = [sort_key(each) for each in VERSIONS if ours.admits(each)]

    assert not ours.is_above(asked) or all(each > sort_key(asked) for each in admitted)
    assert not ours.is_below(asked) or all(each < sort_key(asked) for each in admitted)


@pytest.mark.parametrize(
    ("text", "above", "below"),
    [
        (">=2", "1.9", ""),
        ("2", "1.9", ""),
        (">2", "2", ""),
        ("<2", "", "2"),
        ("< 2, >= 1", "0.9", "2-rc1"),
        ("<=2", "", "2.0.1"),
        ("==2", "1.9", "2.1"),
        ("!=2", "", ""),
        ("*", "", ""),
        ("*,\t>=2", "1.9", ""),
    ],
)
def test_it_is_seen_where_a_range_lies(text: str, above: str, below: str) -> None:
    """For every bound that there is, else segments would be fetched for nothing."""
    ours = Range(text)

    assert not above or ours.is_above(above)
    assert not below or ours.is_below(below)
    assert ours.is_above("0") == bool(above)
    assert ours.is_below("99") == bool(below)


@pytest.mark.parametrize("text", [">>1", "", "1,", "no range at all"])
def test_what_is_no_range_admits_nothing(text: str) -> None:
    """And lies nowhere; it is shown as it stands."""
    ours = Range(text)

    assert not any(map(ours.admits, VERSIONS))
    assert not ours.is_above("1")
    assert not ours.is_below("1")
    assert str(ours) == text
