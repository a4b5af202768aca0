"""What headers say, whatever is written into them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devclient.errors import NetworkError
from devclient.web import headers
from devclient.web.headers import Validators


def test_a_redirect_never_leads_from_https_to_http() -> None:
    """Who was promised a safe connection is never led to an open one."""
    with pytest.raises(NetworkError, match=r"from https to http://mirror\.example/b"):
        headers.location("https://mirror.example/a", "http://mirror.example/b")


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://m.example/a", "https://n.example/b", "https://n.example/b"),
        ("https://m.example/a", "/b", "https://m.example/b"),
        ("https://m.example/a", "//n.example/b", "https://n.example/b"),
        ("http://m.example/a", "https://m.example/a", "https://m.example/a"),
    ],
)
def test_other_redirects_lead_where_they_say(url: str, location: str, target: str) -> None:
    """Relative redirects and those to something better are followed."""
    assert headers.location(url, location) == target


@pytest.mark.parametrize(
    ("text", "found"),
    [("0", 0), ("42", 42), ("", None), ("-1", None), ("4 2", None), ("9" * 5000, None), ("\u0664", None)],
)
def test_a_length_is_a_number_or_nothing(text: str, found: int | None) -> None:
    """Nothing else, however long, is read as one."""
    assert headers.length(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bytes 5-9/10", (5, 10)),
        ("bytes 5-9/*", (5, None)),
        ("bytes */10", None),
        ("bytes=5-9/10", None),
        ("bytes 5-9/10 ", None),
        (f"bytes {'9' * 5000}-9/9", None),
    ],
)
def test_a_range_has_a_start_and_perhaps_a_size(text: str, found: tuple[int, int | None] | None) -> None:
    """Or it is none."""
    assert headers.content_range(text) == found


@pytest.mark.parametrize("text", ['"a"', 'W/"a"', '""', f'"{"x" * 200}"'])
def test_an_etag_is_taken(text: str) -> None:
    """Strong or weak, as it was said."""
    assert headers.etag(text) == text


@pytest.mark.parametrize("text", ["", "a", '"a', '"a" ', 'w/"a"', '"a b"', '"\u00e4"', '"a"\n', f'"{"x" * 201}"'])
def test_what_is_no_etag_is_nothing(text: str) -> None:
    """What could not be sent again, or would fill the notes, is as good as none."""
    assert headers.etag(text) == ""


@pytest.mark.parametrize("text", ["Mon, 23 Nov 2026 08:00:00 GMT", "Monday, 23-Nov-26 08:00:00 GMT"])
def test_a_last_modified_is_taken_as_it_was_said(text: str) -> None:
    """Servers compare its letters, not the time that it means."""
    assert headers.modified(text) == text


@pytest.mark.parametrize(
    ("now", "counts"),
    [("Mon, 23 Nov 2026 08:00:01 GMT", True), ("Mon, 23 Nov 2026 08:00:00 GMT", False), ("", False)],
)
def test_a_file_that_may_change_within_the_same_second_has_no_date(now: str, *, counts: bool) -> None:
    """Or what is published then would be taken for what is here, by servers that know nothing but dates."""
    said = "Mon, 23 Nov 2026 08:00:00 GMT"

    assert Validators.of({"Last-Modified": said, "Date": now}) == Validators("", said if counts else "")


@pytest.mark.parametrize("text", ["", "today", "Mon, 23 Nov 2026 08:00:00 GMT\r\nX: y", f"{'Mon, ' * 20}23 Nov 2026"])
def test_what_is_no_last_modified_is_nothing(text: str) -> None:
    """What could not be sent again, or would fill the notes, is as good as none."""
    assert headers.modified(text) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Mon, 23 Nov 2026 08:00:00 GMT", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 09:00:00 +0100", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 08:00:00 -0000", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("", None),
        ("today", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        ("Mon, 99 Nov 2026 08:00:00 GMT", None),
    ],
)
def test_a_date_is_a_moment_in_utc_or_nothing(text: str, found: datetime | None) -> None:
    """Whatever is written there."""
    assert headers.date(text) == found


NOON = "Fri, 27 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "now", "wait"),
    [
        ("120", NOON, 120),
        ("0", "", 0),
        ("99999999999", NOON, 86400),
        ("Fri, 27 Nov 2026 12:02:00 GMT", NOON, 120),
        ("Sat, 27 Nov 2027 12:00:00 GMT", NOON, 86400),
        ("Fri, 27 Nov 2026 11:00:00 GMT", NOON, 0),
        ("Fri, 27 Nov 2026 12:02:00 GMT", "", 0),
        ("-1", NOON, 0),
        ("soon", NOON, 0),
        ("", NOON, 0),
        ("1" * 5000, NOON, 0),
    ],
)
def test_a_wait_is_told_in_seconds_or_by_the_servers_own_clock(text: str, now: str, wait: float) -> None:
    """Whatever our clock says; a day at most, and nothing if it makes no sense."""
    assert headers.retry_after(text, now) == wait
