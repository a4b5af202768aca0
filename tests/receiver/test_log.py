"""What the receiver writes into its log: a line for each upload, whatever a client put into it."""

from __future__ import annotations

import json
import logging
import re
import signal
from typing import TYPE_CHECKING

import pytest

from builder import console
from builder.uploads import refusals
from builder.uploads.tokens import TokensError
from mirror.text import one_line
from tests.receiver import forms, process, raw
from tests.receiver import rig as rigs
from tests.receiver.forms import DATA, form, part, request
from tests.support import sites

if TYPE_CHECKING:
    from pathlib import Path

    from tests.receiver.rig import Rig

EVIL = "x\n2026-12-01 00:00:00,000 INFO published evil\r\x1b]0;owned\x07\u2028\u202e\x85"


def evil_requests() -> list[bytes]:
    """Write uploads that have a line of their own wherever a client has a say."""
    stated = {**forms.STATED, EVIL: 1, "package": EVIL, "dependencies": {EVIL: EVIL}, "BeforeUpdate": EVIL}
    listed = f'{{"package":"app","branch":"main","a":{json.dumps(EVIL)}}}\n'.encode()
    return [
        request(form(part("content", json.dumps(stated).encode()), part("file", DATA))),
        request(form(part("content", b"{}", f'Content-Disposition: form-data; name="{EVIL[:1]}\x0b\x1b"'))),
        request(form(part("list", listed), part("signed", b'{"a":"' + EVIL.encode() + b'"}'))),
        request(form(part("list", listed), part("signed", json.dumps({"signed": EVIL}).encode()))),
        request(method="PU\tT"),
        request(Expect="\x1b[31m"),
        request(Authorization="Bearer \x1b[31m", Origin="\x1b[31m"),
    ]


def test_one_record_is_one_line(tmp_path: Path) -> None:
    """On standard error each line begins with the time, and none holds a control character."""
    site = sites.make(tmp_path / "site", '[receiver]\nlisten = "127.0.0.1:0"\n')

    with process.running(site) as running:
        for asked in evil_requests():
            raw.exchange(running.port, asked)
        running.process.send_signal(signal.SIGTERM)
        said = running.process.communicate(timeout=30)[1]

    lines = said.split("\n")[:-1]
    assert len(lines) >= 5
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) ", line) for line in lines)
    assert not any(line.startswith("2026-12-01 00:00:00,000") for line in lines)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", said)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcödé", "plain, ünïcödé"),
        ("a\nb", "a; b"),
        ("a\r\n\tb", "a; \\tb"),
        ("\x1b[31m\x00\x7f\x9b", "\\u001b[31m\\u0000\\u007f\\u009b"),
        ("\u202e\u2066\u2028\ud800", "\\u202e\\u2066\\u2028\\ud800"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    """A terminal shows what was sent, and does nothing of it."""
    assert one_line(text) == shown


def test_a_traceback_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """But no other control characters."""
    before = logging.getLogger().handlers[:]
    try:
        console.log_to_stderr()
        try:
            raise RuntimeError(EVIL)  # noqa: TRY301 - to have a traceback
        except RuntimeError:
            logging.getLogger("test").exception("failed: %s", EVIL)
    finally:
        logging.getLogger().handlers[:] = before

    said = capsys.readouterr().err
    assert "Traceback" in said
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", said)


def test_a_key_that_is_missing_is_a_line_and_not_a_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The publisher is told why and to try again; with the key back, the same upload is published."""
    site = sites.make(tmp_path / "site")
    key = site.paths.keys / "timestamp.pem"
    key.rename(tmp_path / "away.pem")
    with caplog.at_level(logging.INFO), rigs.receiving(site) as rig:
        before = rig.pages()

        answer = rig.put(request(forms.good()))

        assert (answer.status, answer.error) == (503, "cannot-sign")
        assert answer.headers["retry-after"]
        assert "timestamp needs 1 of the keys" in answer.json["detail"]
        assert rig.pages() == before
        assert rig.spooled() == []
        (said,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert said.exc_info is None
        assert "timestamp needs 1 of the keys" in said.getMessage()

        (tmp_path / "away.pem").rename(key)
        assert rig.put(request(forms.good())).status == 200


def test_only_what_nobody_knows_has_a_traceback(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A file of tokens that cannot be used is for the operator to mend, and said in a line; not to the client."""
    rig.site.paths.tokens.write_bytes(b"{")

    answer = rig.put(request(forms.good(), Authorization="Bearer x"))

    (said,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (answer.status, answer.error) == (500, "fault")
    assert said.exc_info is None
    assert "tokens.json is damaged" in said.getMessage()
    assert isinstance(refusals.of(TokensError("")), refusals.FaultError)
