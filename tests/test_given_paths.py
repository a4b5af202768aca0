"""Every path that a command takes: a folder, a device, a name that is too long, nothing. Never a traceback."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from mirror import layout
from tests.support import consoles, sites
from tests.support.consoles import Call

if TYPE_CHECKING:
    from pathlib import Path

STATED = "--package app --branch main --version 1"
OTAMIRROR = (
    "--site {} build",
    "keys new {out}",
    "keys add root {}",
    "keys rotate timestamp --new {}",
    "keys renew root --key {} --output {out}",
    "keys claim app --publisher-key {} --targets-key {}",
    "keys export-root --output {out}",
    "keys sign {}",
    "keys sign {} --key {} --passphrase-file {}",
    "keys publish {} {}",
    f"pack {{}} {STATED}",
    f"pack {{}} {STATED} --output {{out}} --force",
    f"push {{}} {STATED} --dry-run",
    f"push {{}} {STATED} --to http://127.0.0.1:1 --token-file {{}}",
    "push {} --content {} --dry-run",
    f"push site.toml {STATED} --dry-run --key {{}} --mirror http://127.0.0.1:1",
    f"push site.toml {STATED} --dry-run --key kms:x --public-key {{}} --trusted-key {{}} --mirror http://127.0.0.1:1",
)
OTADEVICE = (
    "--config {} status",
    "init --remote http://127.0.0.1:1 --root {} --allow {}",
    "init --remote http://127.0.0.1:1 --root root.json --allow {}",
    "add app --branch main --local {}",
    "adopt app --branch main --local {}",
    "update --from {}",
    "install-units --print --to {}",
)
SAMPLE = (".", "/dev/null")
OTHERS = ("/", "..", "", "missing/x", "/dev/full", "x" * 300, "a\nb", "~", "-", "var")


@pytest.mark.parametrize(
    "path", [*SAMPLE, *(pytest.param(path, marks=pytest.mark.long, id=path[:9]) for path in OTHERS)]
)
def test_no_path_ends_in_a_traceback(path: str, tmp_path: Path) -> None:
    """It is taken, or it is told what is wrong with it."""
    site = sites.make(tmp_path / "site")
    folder = site.file.parent
    (folder / "root.json").write_bytes((site.paths.mirror / layout.metadata("root", 1)).read_bytes())
    os.mkfifo(folder / "fifo")
    written = "fifo" if path.startswith("/dev/") else path  # should the guard break: never a device of the machine
    lines = [("otamirror", line) for line in OTAMIRROR] + [("otadevice", line) for line in OTADEVICE]
    given = {"{}": path, "{out}": written}
    calls = [
        Call(program, tuple(given.get(word, word) for word in line.split()), "out", f"{number}.err")
        for number, (program, line) in enumerate(lines)
    ]

    codes = consoles.run(calls, folder)

    told = {" ".join(call.words): (folder / call.err).read_text(errors="replace") for call in calls}
    assert {words: text for words, text in told.items() if "Traceback" in text} == {}
    assert stat.S_ISFIFO((folder / "fifo").lstat().st_mode)
    assert set(codes) <= {0, 1, 2, 75}
