"""Progress of what a person waits for: a stage says what it does and how far it is, commands show it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Advance = Callable[[int], None]
Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Called with a label and a total; gives a function that is told every amount done."""


@contextlib.contextmanager
def silent(_label: str, _total: int) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda _: None
