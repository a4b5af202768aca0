"""What a program costs: CPU, time, and the most memory that one of its processes held.

The program is started by a small process of its own, this very file: a child inherits the memory peak of who starts
it, so a large test process would hide what a small program needs.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Cost:
    """What a program needed, with all processes that it waited for; CPU is user and system time."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int


def run(command: Sequence[str], folder: Path | None = None) -> tuple[str, Cost]:
    """Run a command, in `folder` if given; returns its standard output and what it cost.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", prefix="cost-") as report:
        # isolated: the modules beside this file must not stand for those of the standard library
        starter = [sys.executable, "-I", __file__, report.name, *command]
        done = subprocess.run(starter, check=False, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            sys.stderr.write(done.stderr)
        done.check_returncode()
        return done.stdout, Cost(**json.load(report))


def _start(report: Path, command: Sequence[str]) -> int:
    """Be the small process: run the command and report what it cost; returns its exit code."""
    start = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    wall = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024)
    report.write_text(json.dumps(asdict(cost)))
    return code


if __name__ == "__main__":
    sys.exit(_start(Path(sys.argv[1]), sys.argv[2:]))
