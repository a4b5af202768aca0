"""builder/client/answers.py: what an answer to an upload means."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from builder.client.answers import Answer, NotNowError, RefusedError
from mirror.canonical import Problem

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC).timestamp()
SENT = {"package": "app", "version": "1.0", "branch": "main", "sha256": "0" * 64}
TAKEN = {**SENT, "new": True}


def answer(status: int = 200, body: object = None, **headers: str) -> Answer:
    """Make an answer with a JSON body."""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def test_a_receivers_200_is_the_only_success() -> None:
    """Not another status with the same words: 304 and 201 above all are taken for success by many clients."""
    assert answer(200, TAKEN).accepts(SENT)
    assert [status for status in range(201, 600) if answer(status, TAKEN).accepts(SENT)] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!DOCTYPE html><title>Sign in</title>",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        *(json.dumps({**TAKEN, key: "x"}).encode() for key in ("package", "version", "branch", "sha256")),
    ],
)
def test_a_200_that_is_not_of_a_receiver_is_no_success(body: bytes) -> None:
    """Networks that want a sign-in answer 200 to everything; what was taken is named by who took it."""
    said = Answer(200, {}, body)

    assert not said.accepts(SENT)
    assert "no receiver" in said.meaning(with_token=True)


def test_what_may_pass_is_tried_again() -> None:
    """Too slow, too often and a server's own errors may pass; a full disk waits for people, a refusal for ever."""
    passing = {status for status in range(200, 600) if answer(status).may_pass}

    assert passing == {408, 425, 429, *range(500, 600)} - {507}
    assert answer(507).is_full


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5),
        ("0", 0),
        ("Mon, 23 Nov 2026 08:02:00 GMT", 120),
        ("Mon, 23 Nov 2026 07:00:00 GMT", 0),
        ("", 0),
        ("-5", 0),
        ("soon", 0),
        ("1e9", 0),
        ("9" * 400, 0),
        ("Mon, 23 Nov 99999 08:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    """What is neither is as if nothing was said."""
    assert answer(503, Retry_After=header).retry_after(NOW) == seconds


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (201, "look whether --to is right"),
        (304, "push again"),
        (400, "mend what is named"),
        (401, "ask the mirror's operator for a new one"),
        (403, "ask the mirror's operator for a token that covers the package"),
        (404, "look whether --to is right"),
        (405, "look whether --to is right"),
        (407, "put it into the proxy's URL"),
        (409, "publish under another one"),
        (411, "push past the proxies"),
        (413, "`limits.package_bytes`"),
        (415, "push past the proxies"),
        (417, "push past the proxies"),
        (418, "look whether --to is right"),
        (429, "try again later"),
        (502, "try again later"),
        (507, "tell its operator"),
    ],
)
def test_every_answer_says_what_to_do(status: int, advice: str) -> None:
    """There is no status without a sentence."""
    assert advice in answer(status).meaning(with_token=True)


@pytest.mark.parametrize("status", [401, 403])
def test_without_a_token_one_is_asked_for(status: int) -> None:
    """Who sent none needs one; who sent one needs another."""
    assert "set OTAMIRROR_TOKEN" in answer(status).meaning(with_token=False)
    assert "set OTAMIRROR_TOKEN" not in answer(status).meaning(with_token=True)


@pytest.mark.parametrize(
    ("status", "error", "advice"),
    [
        (403, "claimed", "push with --key"),
        (403, "signature", "claimed with other keys"),
        (400, "not-claimed", "push without --key"),
        (400, "statement", "mend what is named"),
        (409, "stale-role", "somebody else signs"),
        (403, "forbidden", "a token that covers"),
        (409, "version-conflict", "publish under another one"),
    ],
)
@pytest.mark.parametrize("with_token", [True, False])
def test_refusals_of_claimed_packages_are_told_apart(status: int, error: str, advice: str, *, with_token: bool) -> None:
    """Keys have nothing to do with tokens, and the receiver says which of them is missing."""
    told = answer(status, {"error": error, "detail": "x"}).meaning(with_token=with_token)

    assert advice in told or (error == "forbidden" and not with_token)


def test_a_late_role_is_told_with_the_current_one() -> None:
    """Only that refusal has a version to go on from, and only a number is one."""
    assert answer(409, {"error": "stale-role", "version": 7}).current_role == 7
    for version in (None, 0, -1, True, "7", 1.5, [7]):
        assert answer(409, {"error": "stale-role", "version": version}).current_role is None
    assert answer(409, {"error": "version-conflict", "version": 7}).current_role is None
    assert answer(409, []).current_role is None


def test_a_redirect_is_named() -> None:
    """Where a server would send the upload is for its publisher to judge."""
    assert "push --to it" in answer(308, Location="https://a.example/update").meaning(with_token=True)
    assert "https://a.example/update" in answer(308, Location="https://a.example/update").meaning(with_token=True)


def test_the_receivers_words_are_found() -> None:
    """In the body; of a 304, which has none, in a header."""
    assert answer(409, {"error": "version-conflict", "detail": "it exists"}).detail == "it exists"
    assert answer(304, {"detail": "nobody sees this"}, X_OTA_Error="wrong hash").detail == "wrong hash"
    assert answer(400, {"detail": "one\ntwo"}).detail == "one\ntwo"
    assert answer(502, X_OTA_Error="x").detail == ""


def test_a_servers_words_cannot_play_with_the_terminal() -> None:
    """Whatever answers, it only says text, and not too much of it."""
    nasty = "a\x1b[2J\x9b2J\u202eb\rc"

    assert answer(400, {"detail": nasty}).detail == "a [2J 2J b c"
    assert "\x1b" not in answer(307, Location=nasty).meaning(with_token=True)
    assert len(answer(400, {"detail": "x" * 100_000}).detail) < 10_000
    assert answer(200, {"warnings": [{"key": nasty, "message": "m"}]}).warnings == (Problem("a [2J 2J b c", "m"),)


@pytest.mark.parametrize("warnings", [None, "x", [1, None], {}, []])
def test_warnings_that_are_none_are_no_trouble(warnings: object) -> None:
    """An answer of another form is still an answer."""
    assert answer(200, {"warnings": warnings}).warnings == ()


def test_errors_speak_to_programs_too() -> None:
    """The kind, the sentence, the status, and all that the receiver said; the exit code tells what to do."""
    said = answer(409, {"error": "version-conflict", "detail": "it exists"})

    assert RefusedError("no", said).as_json() == {
        "error": "refused",
        "detail": "no\nit exists",
        "status": 409,
        "answer": {"error": "version-conflict", "detail": "it exists"},
    }
    assert NotNowError("no").as_json() == {"error": "not-now", "detail": "no", "status": None, "answer": {}}
    assert (RefusedError("no").exit_code, NotNowError("no").exit_code) == (1, 75)
