"""Pages: rendered files of the mirror, with the path that layout gave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror import layout

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Page:
    """One rendered file of the mirror.

    Attributes:
        data: its bytes; a pointer without any is not there.
    """

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Pages:
    """What one publish writes: immutable files in any order, then pointers in this order."""

    immutable: tuple[Page, ...] = ()
    pointers: tuple[Page, ...] = ()

    @classmethod
    def of(cls, pages: Iterable[Page]) -> Pages:
        """Sort pages by kind; of several for one path the last one counts.

        Of pointers the timestamp, which devices trust, comes first; then what is only convenient.
        """
        by_path = {page.path: page for page in pages}.values()
        pointers = [page for page in by_path if layout.kind(page.path) is layout.Kind.POINTER]
        return cls(
            tuple(page for page in by_path if layout.kind(page.path) is layout.Kind.IMMUTABLE),
            tuple(sorted(pointers, key=lambda page: page.path != layout.TIMESTAMP)),
        )

    def adding(self, pages: Iterable[Page]) -> Pages:
        """Return these pages and others."""
        return Pages.of([*self.immutable, *self.pointers, *pages])

    def __bool__(self) -> bool:
        return bool(self.immutable or self.pointers)
