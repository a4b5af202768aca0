"""Judging the package of a folder where it is published, as devices will: a tar archive that they unpack.

What every device would refuse is refused; what devices would lose is a warning. Bytes are read once their hash is
known, in bounded memory, and as far as their size allows: what is read more than that is for devices to judge.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from builder.errors import UnusableArchiveError
from mirror import blobs
from mirror.archive import losses
from mirror.archive.archive import Limits
from mirror.canonical import Problem
from mirror.errors import InvalidArchiveError, NoArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from builder.submission import Release
    from mirror.content import Content

_MEMORY, _NAMES = 34 * 1024 * 1024, 20 * 1024 * 1024  # `xz -8` needs 33 MiB
_AT_LEAST, _TIMES = 256 * 1024 * 1024, 64


def judged(release: Release, go_on: Callable[[], None] = lambda: None) -> Release:
    """Return a release with the warnings that its archive deserves; for bytes that a stranger may have sent.

    `go_on` is called often, and may raise to leave.

    Raises:
        UnusableArchiveError: no device could unpack it.
    """
    limits = Limits(stream=max(_AT_LEAST, _TIMES * release.blob.size), memory=_MEMORY, names=_NAMES)
    warnings = judge(release.content, release.blob.path, limits, go_on)
    return dataclasses.replace(release, warnings=(*release.warnings, *warnings)) if warnings else release


def judge(
    content: Content, file: Path, limits: Limits | None = None, go_on: Callable[[], None] = lambda: None
) -> tuple[Problem, ...]:
    """Tell what the publisher of `file` should know of it.

    Where `local` is empty the owners of devices decide what it is: an archive then is judged too, by warnings alone.

    Raises:
        UnusableArchiveError: no device could unpack it.
    """
    if content.local and not content.local.endswith("/"):
        return ()
    try:
        with file.open("rb", buffering=0) as packed:
            return losses.judge(blobs.chunks(packed.fileno()), limits or Limits(), go_on)
    except InvalidArchiveError as error:
        if content.local:
            raise UnusableArchiveError(content.local, error) from None
        if isinstance(error, NoArchiveError):
            return ()
        return (Problem("file", f"is a tar archive that cannot be unpacked into a folder on any device: {error}"),)
