"""What a device notes of a remote."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devclient.trust import notes
from devclient.trust.clock import BUILT, Floor
from devclient.trust.elapsed import Instant
from devclient.trust.notes import Behind, Notes
from devclient.trust.standing import Standing

KEYS = frozenset({"a", "b"})
STANDING = Standing(3, KEYS, 7, BUILT, BUILT, 60, BUILT)
NOW = Instant(datetime(2026, 12, 1, tzinfo=UTC), 77.0, "boot")
FLOOR = Floor(datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC), KEYS, 7)
WHOLE = Notes("0" * 64, STANDING, FLOOR, Behind(NOW, 3, "http://mirror.example", 6))


@pytest.mark.parametrize(
    "noted", [WHOLE, Notes(), replace(WHOLE, standing=replace(STANDING, issued=None), behind=None)]
)
def test_what_is_noted_is_read_again(noted: Notes) -> None:
    """All of it, or as little as there is."""
    assert notes.parse(noted.encode()) == noted


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.sampled_from(list(json.loads(WHOLE.encode()))), _JSON)
def test_notes_that_are_damaged_are_no_error(key: str, value: Any) -> None:
    """Whatever stands in a place where something else should stand."""
    fields = json.loads(WHOLE.encode())

    assert isinstance(notes.parse(json.dumps(fields | {key: value}).encode()), Notes)


@given(st.sampled_from(list(STANDING.fields())), _JSON)
def test_a_standing_that_is_damaged_is_no_error(key: str, value: Any) -> None:
    """Nor there."""
    fields = json.loads(WHOLE.encode())
    fields["standing"][key] = value

    assert isinstance(notes.parse(json.dumps(fields).encode()), Notes)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"etag":"","sha256":""}'])
def test_what_are_no_notes_are_empty_ones(raw: bytes) -> None:
    """They are a convenience: the next refresh writes them anew."""
    assert notes.parse(raw) == Notes()


def test_notes_of_the_release_before_are_read() -> None:
    """It kept an ETag, and no version with the floor: what it knew of the time holds. It can read ours, too."""
    fields = json.loads(WHOLE.encode())
    assert {"etag", "sha256", "standing", "floor"} < {*fields}
    assert {"reached", "keys"} < {*fields["floor"]}
    del fields["behind"], fields["floor"]["version"]
    before = json.dumps(fields | {"etag": '"abc"', "modified": ""}).encode()

    assert notes.parse(before) == replace(WHOLE, floor=replace(FLOOR, version=None), behind=None)
