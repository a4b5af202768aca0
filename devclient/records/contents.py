"""Verified contents, kept by their hash: hooks are taken from here and from nowhere else.

What is read is hashed again, so that a damaged file is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror import canonical, content, names

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from mirror.content import Content
    from mirror.files import Files


class Contents:
    """The contents in one folder."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    def get(self, sha256: str) -> Content | None:
        """Return a content; None if it is not here, or damaged."""
        if not names.is_sha256(sha256):
            return None
        try:
            raw = (self._folder / sha256).read_bytes()
        except OSError:
            return None
        return content.parse(raw).content if canonical.digest(raw) == sha256 else None

    def keep(self, kept: Content) -> None:
        """Keep a verified content, durably."""
        if self.get(kept.digest) is None:
            self._files.make_folder(self._folder, 0o700)
            self._files.replace(self._folder / kept.digest, kept.canonical(), mode=0o600)

    def tidy(self, wanted: Collection[str]) -> None:
        """Remove all but the `wanted` hashes."""
        for path in sorted(self._folder.glob("*")):
            if path.name not in wanted:
                self._files.remove(path)
