"""Claims that a release before this one left: they were in the inbox, in the hidden folder `.claimed`.

They are taken over once. Whoever may write to the inbox may have put something else there, so only folders that are
ours alone are taken, and all else is named and stays. A process of that release may still be at work: it holds the lock
that all held then, on `var`. As other users can hold that one too, it is asked for and never waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from typing import TYPE_CHECKING

from builder import private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.site import Paths
    from mirror.files import Files, Folder

logger = logging.getLogger(__name__)

NAME = ".claimed"
_OURS = re.compile(r"\.?[0-9a-f]{16}|([0-9]+-)?[0-9]{8}T[0-9]{6}Z-.+", re.DOTALL)


class Predecessor:
    """What is left of the releases that claimed within the inbox; tells of what it leaves, once."""

    def __init__(self, paths: Paths, files: Files) -> None:
        self._paths = paths
        self._files = files
        self._told = ""

    def take_over(self) -> None:
        """Move claims that are left to where they are taken up; the caller holds the lock on the inbox."""
        with self._files.open_folder(self._paths.inbox.resolve()) as inbox:
            if inbox.look(NAME):
                problem = self._take_over(inbox)
                if problem and problem != self._told:
                    logger.warning("%s %s", self._paths.inbox / NAME, problem)
                self._told = problem

    def _take_over(self, inbox: Folder) -> str:
        try:
            old = inbox.child(NAME)
        except OSError as error:
            return f"is no folder of ours and stays as it is: {error.strerror}"
        with old, _lock_of_old(self._paths.var) as is_free:
            if not private.is_ours(old.stat()):
                return "is not ours alone, so it stays as it is: remove it, or drop again what you want of it"
            if not is_free:
                return "is left for now: an older otamirror may be at work on it"
            with private.opened(self._paths.claimed, self._files) as claims:
                for name in old.names():
                    if _OURS.fullmatch(name) and _is_ours(old, name) and not claims.look(name):
                        old.rename(name, claims, name)
                        logger.info("took over the claim %s of an older otamirror", name)
                if left := old.names():
                    return f"holds what is no claim of ours and stays there: {', '.join(map(ascii, left[:3]))}"
                claims.sync()
            inbox.rmdir(NAME)
            return ""


def _is_ours(old: Folder, name: str) -> bool:
    try:
        with old.child(name) as claim:
            return private.is_ours(claim.stat())
    except OSError:
        return False


@contextlib.contextmanager
def _lock_of_old(var: Path) -> Iterator[bool]:
    """Hold the lock under which older releases took from the inbox, if nobody has it; tells whether it is held."""
    descriptor = os.open(var, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = True
    except BlockingIOError:
        is_free = False
    try:
        yield is_free
    finally:
        os.close(descriptor)
