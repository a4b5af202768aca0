"""Other users of this machine, for real: a small program that gives up root's rights and then does as it is told.

    with strangers.acting(HOLD, folder) as stranger:
        ...                                 # HOLD runs as another user until here

The program is Python text; `words` are its arguments, and it says a line when it is ready. It may use what is imported
already: the libraries may lie where only root can read them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support import tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER = 65_534

_AS_ANOTHER = f"""
import fcntl, os, sys, time
words = sys.argv[1:]
os.setgroups([])
os.setgid({USER})
os.setuid({USER})
def ready():
    print("ready", flush=True)
"""


@contextlib.contextmanager
def acting(program: str, *words: Path | str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program as another user beside what runs inside, once it is ready; it is killed in the end."""
    tools.require_root()
    command = [sys.executable, "-c", _AS_ANOTHER + program, *(os.fspath(word) for word in words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()
