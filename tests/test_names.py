"""The rules for names: what they take can stand in a path and in a URL as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror import names

SHA = "0123456789abcdef" * 4

NAMES = ["a", "Z", "0", "app", "my-app_2.0", "a.b", "a-", "a_", "content.json", "x" * 128]
NO_NAMES = [
    "", ".", "..", ".a", "-a", "_a", "a.", "a..", "x" * 129, "a/b", "a\\b", "a b", "a%2fb", "a+b", "a~b", "a:b",
    "a\n", "\na", "a\0", "ä", "a\u0661", "\u212a", "../etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("text", NAMES)
def test_a_name_may_be(text: str) -> None:
    """A name is a letter or digit, then up to 127 of letters, digits, dots, underscores and hyphens."""
    assert names.is_name(text)
    assert names.is_branch(text)


@pytest.mark.parametrize("text", NO_NAMES)
def test_a_name_may_not_be(text: str) -> None:
    """Nothing that a path, a URL or a shell could read differently is a name."""
    assert not names.is_name(text)
    assert not names.is_branch(text)


@pytest.mark.parametrize("digits", [SHA, SHA.upper()])
def test_a_branch_does_not_begin_like_an_immutable_file(digits: str) -> None:
    """A branch that begins with 64 hex digits and a dot could be mistaken for a list under its hash."""
    assert names.is_name(f"{digits}.main")
    assert not names.is_branch(f"{digits}.main")
    assert names.is_branch(digits)
    assert names.is_branch(f"{digits}-main")
    assert names.is_branch(f"{digits[:-1]}.main")


@pytest.mark.parametrize("text", ["1", "v1.2.3", "1.0+build5", "1.0~rc1", "2024.02.27", "1.", "1..2", "9" * 128])
def test_a_version_may_be(text: str) -> None:
    """A version is a letter or digit, then up to 127 of letters, digits and . + ~ _ -."""
    assert names.is_version(text)


@pytest.mark.parametrize("text", ["", ".1", "+1", "~1", "-1", "1 0", "1/2", "1%2B", "1:2", "1\n", "ä1", "9" * 129])
def test_a_version_may_not_be(text: str) -> None:
    """Nothing else is a version."""
    assert not names.is_version(text)


@pytest.mark.parametrize(("text", "is_one"), [(SHA, True), (SHA.upper(), False), (SHA[1:], False), (f"{SHA}0", False)])
def test_a_sha256_is_64_lower_case_digits(text: str, is_one: bool) -> None:  # noqa: FBT001 - a column of the table
    """Blobs have one spelling."""
    assert names.is_sha256(text) is is_one
    assert not names.is_sha256(f"{text}\n")


@given(st.text("aZ09._-+~%/\\ :\n\0ä\u0661", max_size=6) | st.text(max_size=200))
def test_names_are_safe_to_join(text: str) -> None:
    """Whatever is taken is one segment of a path, not hidden, and ASCII that URLs need not escape."""
    for takes in (names.is_name, names.is_branch, names.is_version, names.is_sha256):
        if takes(text):
            assert text.isascii()
            assert text.isprintable()
            assert not set(text) & set("/\\ %?#&")
            assert text[0].isalnum()
            assert len(text) <= 128
