"""What a fetcher brings: a small file as a whole, or the bytes of a large one as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devclient.web.headers import UNKNOWN, Validators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

BLOCK = 64 * 1024
"""The most bytes that are read at once."""


@dataclass(frozen=True)
class Answer:
    """What a server answers about a small file.

    Attributes:
        url: what was asked for.
        data: the file; None if it has not changed.
        validators: what to ask with next time; empty if the server does not tell.
        date: what the server takes for the time; nothing vouches for it.
    """

    url: str
    data: bytes | None
    validators: Validators = UNKNOWN
    date: datetime | None = None


@dataclass(frozen=True)
class Body:
    """The bytes of a file as they come.

    Attributes:
        start: where in the file they begin.
        total: size of the whole file, None if the server does not tell.
        blocks: the bytes, at most `BLOCK` at a time.
        is_page: whether they are said to be a web page, as those of a network that wants a sign-in are.
        others: how many other places the file can be had from.
    """

    start: int
    total: int | None
    blocks: Iterator[bytes]
    is_page: bool = False
    others: int = 0
