"""A stranger who exchanges a name under a run, at any one of the calls by which the run works with files.

    def run() -> None: ...

    total = swaps.count(run, inbox)
    with swaps.at(point, inbox, stranger):
        run()

Calls are seen by Python's own audit hook, those that only read too, and numbered from 1: those on a name or a
descriptor in an opened folder, and those on a path below the `places`. What the run calls is its own matter.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EVENTS = {
    "open", "os.listdir", "os.scandir", "os.getxattr", "os.listxattr",
    "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "os.setxattr", "os.utime",
}  # fmt: skip


class _Watch:
    """What is counted, and what happens at which of its calls."""

    def __init__(self, point: int, places: tuple[str, ...], stranger: Callable[[], object]) -> None:
        self.seen = 0
        self._point = point
        self._places = places
        self._stranger = stranger
        self._is_acting = False

    def note(self, arguments: tuple[object, ...]) -> None:
        """Count a call, and let the stranger act before the one that is wanted."""
        if self._is_acting or not self._concerns(arguments[0]):
            return
        self.seen += 1
        if self.seen == self._point:
            self._is_acting = True
            self._stranger()
            self._is_acting = False

    def _concerns(self, first: object) -> bool:
        if isinstance(first, int):
            return True
        text = os.fspath(first) if isinstance(first, str | Path) else ""
        return bool(text) and ("/" not in text or text.startswith(self._places))


_watches: list[_Watch] = []
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watches and event in _EVENTS:
        _watches[-1].note(arguments)


@contextlib.contextmanager
def at(point: int, places: tuple[Path, ...], stranger: Callable[[], object]) -> Iterator[_Watch]:
    """Have a stranger act right before one of the calls of what runs inside."""
    if not _hooked:  # once for each process: a hook cannot be taken away
        sys.addaudithook(_hook)
        _hooked.append(True)
    watch = _Watch(point, tuple(map(str, places)), stranger)
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


def count(run: Callable[[], object], places: tuple[Path, ...]) -> int:
    """Count the calls of a run under which nothing is exchanged."""
    with at(0, places, lambda: None) as watch:
        run()
    return watch.seen
