"""Both programs, each command started with standard streams of any kind: a child for each, forked from one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]
_DRIVER = """
import importlib, json, os, sys
from builder.cli import main as otamirror
from devclient.cli import main as otadevice

def opened(how, descriptor):
    if how == "gone":
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, descriptor)
        os.close(write)
    elif how == "closed":
        os.close(descriptor)
        setattr(sys, {1: "stdout", 2: "stderr"}[descriptor], None)
    else:
        os.dup2(os.open(how, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)

codes = []
for program, words, out, err in json.load(sys.stdin.buffer):
    child = os.fork()
    if child == 0:
        code = 70
        try:
            opened(err, 2)
            opened(out, 1)
            {"otamirror": otamirror, "otadevice": otadevice}[program](
                [os.fsdecode(word.encode()) for word in words], prog_name=program
            )
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            import traceback
            os.write(2, traceback.format_exc().encode())
        os._exit(code)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
sys.stdout.buffer.write(json.dumps(codes).encode())
"""


class Call(NamedTuple):
    """One command.

    Attributes:
        out: where its standard output goes: a file, "gone" for a pipe that nobody reads, or "closed".
        err: likewise, standard error.
    """

    program: str
    words: tuple[str, ...]
    out: str
    err: str


def run(calls: list[Call], folder: Path, **environment: str) -> list[int]:
    """Run commands one after the other in a folder; returns their exit codes, 70 for an exception that came out."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER],
        input=json.dumps(calls).encode(),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_ROOT), **environment},
        check=True,
        capture_output=True,
        timeout=240,
    )
    codes: list[int] = json.loads(done.stdout)
    return codes
