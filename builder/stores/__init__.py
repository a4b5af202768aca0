"""Stores: where a mirror is put."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.pages import Pages
    from mirror.blobs import Blob


@dataclass(frozen=True, slots=True)
class Written:
    """What a store had to write; what was there already does not count."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(self.files + other.files, self.bytes + other.bytes)


class Store(Protocol):
    """What publishing asks of the place where a mirror is put."""

    def add_blobs(self, blobs: Sequence[Blob]) -> Written:
        """Take blobs from the spool; durable on return."""
        ...

    def publish(self, pages: Pages, *, repair: bool = False, rewrite: bool = False) -> Written:
        """Write the immutable pages, then the pointers in their order, removing those without data; durable on return.

        Pages that are there with the same bytes are left as they are.

        Args:
            pages: what to write.
            repair: replace an immutable file that has other bytes, instead of refusing.
            rewrite: write what is there with the same bytes too.

        Raises:
            MirrorError: an immutable file is there with other bytes.
        """
        ...

    def sync(self) -> None:
        """Make what others wrote durable."""
        ...
