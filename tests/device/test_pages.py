"""What is no file of a mirror, told from one that is damaged."""

from __future__ import annotations

import json

import pytest

from devclient.web import pages

METADATA = b'{"signatures":[{"keyid":"aa","sig":"bb"}],"signed":{"_type":"timestamp","version":1}}'
LIST = b'{"package":"app","branch":"stable","releases":[]}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"<!DOCTYPE html><title>Sign in</title>",
        b"\n\n  <html>",
        b"\xef\xbb\xbf<html>",
        b"Please accept the terms of use.",
        "Войдите в сеть".encode(),
        b"OK",
        b"null",
        b"[]",
        b'"signed"',
        b"{}",
        b'{"captive":true,"user-portal-url":"https://portal.example/"}',
        b'{"error":"login required","signed_in":false}',
    ],
)
def test_a_sign_in_has_many_forms(body: bytes) -> None:
    """HTML, text, JSON, or nothing at all."""
    assert pages.is_page(body)


@pytest.mark.parametrize(
    "body",
    [
        METADATA,
        METADATA[:-20],
        METADATA[:20],
        METADATA.replace(b"timestamp", b"\x00" * 9),
        json.dumps(json.loads(METADATA), indent=2).encode(),
        b"\n " + METADATA,
        LIST,
        LIST[:15],
        bytes(500),
        b"\xff\xfe\x00\x01",
        b"\x1f\x8b\x08\x00 compressed twice",
    ],
)
def test_a_damaged_file_is_no_page(body: bytes) -> None:
    """Cut off, changed, or lost by a disk: that is the mirror's, and told so."""
    assert not pages.is_page(body)
    assert not pages.is_text(body)


def test_a_text_is_known_by_its_beginning() -> None:
    """However long it gets, and wherever a letter of several bytes is cut."""
    text = ("a" * 63 + "ü" * 1000).encode()

    assert pages.is_text(text)
    assert pages.is_text(text[:64])
    assert not pages.is_text(b"{" + text)
    assert not pages.is_text(b"")
