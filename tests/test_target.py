"""builder/client/target.py: where uploads go, and the token for it."""

from __future__ import annotations

import pytest

from builder.client.target import TargetError, target

TOKEN = "ota_secret"  # noqa: S105 - no real one


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://updates.example.org", "https://updates.example.org/update"),
        ("https://updates.example.org/", "https://updates.example.org/update"),
        ("https://updates.example.org/fleet/", "https://updates.example.org/fleet/update"),
        ("https://updates.example.org/update", "https://updates.example.org/update"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/update"),
        ("http://[::1]:8080", "http://[::1]:8080/update"),
    ],
)
def test_a_receiver_is_found_at_its_mirror(given: str, url: str) -> None:
    """The mirror's URL is enough; the address of uploads itself is understood too."""
    assert target(given).url == url


@pytest.mark.parametrize("url", ["", "updates.example.org", "ftp://a", "https://me:pw@a", "https://a/?b", "https://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """As a wrong use of the command, with what is wanted."""
    with pytest.raises(TargetError, match=r"https://updates\.example\.org") as caught:
        target(url)

    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "url", ["http://updates.example.org", "http://10.0.0.1", "http://localhost.example.org", "HTTP://127.0.0.1.nip.io"]
)
def test_a_token_never_crosses_a_network_in_the_clear(url: str) -> None:
    """Not by mistake; who says so explicitly may, and without a token there is nothing to lose."""
    with pytest.raises(TargetError, match="use https, or --insecure-http") as caught:
        target(url, TOKEN)

    assert caught.value.exit_code == 2
    assert TOKEN not in str(caught.value)
    assert target(url, TOKEN, insecure_http=True).token == TOKEN
    assert target(url).token == ""


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]", "http://localhost:1", "https://updates.example.org"],
)
def test_a_token_may_stay_at_home_or_go_over_tls(url: str) -> None:
    """On this machine nobody is on the way."""
    assert target(url, TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["two words", "a\nb", "\u00e4", "a\x00", "a,b", "="])
def test_what_is_no_token_is_refused(token: str) -> None:
    """A file of something else is not sent anywhere, nor shown."""
    with pytest.raises(TargetError, match="characters that no token has") as caught:
        target("https://updates.example.org", token)

    assert token not in str(caught.value)


def test_a_token_is_not_shown_by_accident() -> None:
    """Neither in a log nor in a traceback."""
    assert TOKEN not in repr(target("https://updates.example.org", TOKEN))
