"""Runs a Python program so that each call of `mirror.files.Calls` is announced to who traces it.

    python -m tests.support.announce -m builder.cli …
    python -m tests.support.announce script.py …

The program itself is not changed: the interpreter reports each function that is entered, and for those of
`Calls` a line is written to a descriptor that leads nowhere, right before the system call. Whatever changes
files without such a line before it has bypassed `mirror/files.py`.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
from types import FunctionType
from typing import TYPE_CHECKING

from mirror.files import Calls

if TYPE_CHECKING:
    from types import FrameType

CHANNEL = "memfd:calls-of-mirror-files"

# closing changes nothing, and an announcement stands for the change that follows
_CODES = {
    value.__code__: name for name, value in vars(Calls).items() if isinstance(value, FunctionType) and name != "close"
}


def main(arguments: list[str]) -> None:
    """Run the program that the arguments name, as `python` would."""
    channel = os.memfd_create(CHANNEL.removeprefix("memfd:"))

    def announce(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code in _CODES:
            os.write(channel, _CODES[frame.f_code].encode())

    threading.setprofile(announce)
    sys.setprofile(announce)
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
