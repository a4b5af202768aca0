"""A receiver in a process of its own, as operators run it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.site import Site


@dataclass(frozen=True)
class Running:
    """A process of `otamirror`, and the port of its receiver."""

    process: subprocess.Popen[str]
    port: int

    def most_memory(self) -> int:
        """Tell the most memory that it ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) * 1024


@contextlib.contextmanager
def running(site: Site, command: str = "receive") -> Iterator[Running]:
    """Run `otamirror receive` or `up`, and kill it in the end if it still runs."""
    words = [sys.executable, "-m", "builder.cli", "--site", str(site.file), command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            (port,) = re.findall(r":(\d+)/", process.stdout.readline())
            yield Running(process, int(port))
        finally:
            process.kill()
