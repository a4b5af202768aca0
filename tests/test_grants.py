"""builder/uploads/grants.py: what a token allows, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.uploads import grants
from builder.uploads.grants import Grant

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC).timestamp()
_names = st.text("abAB.-_0", min_size=1, max_size=8)


def grant(**given: Any) -> Grant:
    """Make a grant of which only what is given matters."""
    fields: dict[str, Any] = {
        "name": "ci",
        "packages": ("*",),
        "branches": ("*",),
        "created": "2026-11-23T08:00:00Z",
    }
    return Grant(**fields | given)


@pytest.mark.parametrize(
    ("pattern", "taken", "refused"),
    [
        ("app", ["app"], ["App", "app2", "ap", "my-app", "app."]),
        ("app-*", ["app-", "app-a", "app-a.b-c"], ["app", "App-a", "my-app-a"]),
        ("*-app", ["-app", "my-app"], ["my-app2"]),
        ("a*b*c", ["abc", "axbyc", "abbcc"], ["acb", "ab"]),
        ("app?", ["app1", "app."], ["app", "app12"]),
        ("*", ["a", "A.b-c_d"], []),
        ("a.c", ["a.c"], ["abc"]),
    ],
)
def test_a_pattern_matches_the_whole_name(pattern: str, taken: list[str], refused: list[str]) -> None:
    """A star is any characters or none, a question mark one, everything else is itself; case counts."""
    allows = grant(packages=(pattern,)).allows

    assert [name for name in taken if not allows(name, "main")] == []
    assert [name for name in refused if allows(name, "main")] == []


def test_package_and_branch_both_have_to_match() -> None:
    """Of several patterns one is enough, but a branch's does not stand in for a package's."""
    limited = grant(packages=("app", "lib-*"), branches=("main",))

    assert limited.allows("app", "main")
    assert limited.allows("lib-a", "main")
    assert not limited.allows("other", "main")
    assert not limited.allows("app", "stable")
    assert not limited.allows("main", "app")


@given(_names, _names)
def test_a_name_as_pattern_allows_that_name_alone(name: str, other: str) -> None:
    """What holds no star and no question mark is compared as it is."""
    limited = grant(packages=(name,))

    assert limited.allows(other, "main") == (name == other)


def test_many_stars_cost_no_time() -> None:
    """A pattern that would keep a simple matcher busy for ever is judged at once."""
    assert not grant(packages=("*a" * 60 + "*b",)).allows("a" * 128, "main")


@pytest.mark.parametrize("text", ["", "a b", "[ab]", "a/b", "!a", "a\n", "\u00e4", "a" * 129])
def test_what_could_mean_something_else_is_no_pattern(text: str) -> None:
    """Brackets, slashes and whatever no name has are refused, so that no pattern surprises."""
    with pytest.raises(ValueError, match="is not a pattern"):
        grants.pattern(text)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("90d", "2027-02-21T08:00:00Z"),
        ("1d", "2026-11-24T08:00:00Z"),
        ("2026-11-24", "2026-11-24T00:00:00Z"),
        ("never", None),
    ],
)
def test_an_expiry_is_written_in_three_ways(text: str, end: str | None) -> None:
    """Days from now, the beginning of a day in UTC, or never."""
    assert grants.expiry(text, NOW) == end


@pytest.mark.parametrize(
    "text", ["", "0d", "-1d", "90", "90 d", "999999d", "2026-02-30", "24.12.2026", "2026-11-23", "2020-01-01", "Never"]
)
def test_other_expiries_are_refused(text: str) -> None:
    """Also a day that has begun: a token that ends before it is used is a mistake."""
    with pytest.raises(ValueError, match=r"is none of|has begun already"):
        grants.expiry(text, NOW)


def test_a_token_ends_at_its_second() -> None:
    """Before it the token is good, at it and after it is not; without a time it never ends."""
    ending = grant(expires="2026-11-23T08:00:00Z")

    assert not ending.is_expired(NOW - 1)
    assert ending.is_expired(NOW)
    assert ending.is_expired(NOW + 1)
    assert not grant().is_expired(NOW + 1e9)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a b"},
        {"name": ""},
        {"packages": ()},
        {"branches": ()},
        {"packages": ("a", "[b]")},
        {"branches": ("feature/x",)},
        {"created": ""},
        {"created": "2026-11-23"},
        {"expires": ""},
        {"expires": "2026-1-2T08:00:00Z"},
        {"expires": "2026-11-23T08:00:00+01:00"},
    ],
)
def test_a_grant_without_sense_cannot_be_made(fields: dict[str, Any]) -> None:
    """Whatever exists was judged, also what was read from a file that somebody edited."""
    with pytest.raises(ValueError, match=r"."):
        grant(**fields)
