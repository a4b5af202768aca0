"""Whether an inbox is shared so that its publishers are safe from one another."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ADVICE = "docs/publishing.md says how an inbox is shared"


def problems(inbox: Path) -> Iterator[str]:
    """Yield a sentence for each way in which others may exchange what a publisher has dropped.

    The folders above count too: whoever may rename in one of them can put another inbox in the place of this one.
    """
    inbox = inbox.resolve()
    status = inbox.stat()
    if _is_loose(status):
        yield (
            f"the inbox {inbox} may be written to by {_whom(status)} and has no sticky bit, so all of them can rename, "
            f"exchange and remove the drops of others: `chmod +t {inbox}`; {_ADVICE}"
        )
    if status.st_uid not in (os.geteuid(), 0):
        yield (
            f"the inbox {inbox} belongs to the user with the number {status.st_uid}, who can exchange and remove all "
            f"drops in it: `chown {os.geteuid()} {inbox}`; {_ADVICE}"
        )
    for folder in inbox.parents:
        if _is_loose(above := folder.stat()):
            yield (
                f"the folder {folder} may be written to by {_whom(above)}, who can put another inbox in the place of "
                f"{inbox}: `chmod go-w {folder}`; {_ADVICE}"
            )


def _is_loose(status: os.stat_result) -> bool:
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not status.st_mode & stat.S_ISVTX


def _whom(status: os.stat_result) -> str:
    return "everybody" if status.st_mode & stat.S_IWOTH else f"the group with the number {status.st_gid}"
