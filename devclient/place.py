"""Where a package may go on this device.

Links are followed first and judged by where they lead. Nothing is made here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from devclient.errors import PlaceError
from mirror import rules

if TYPE_CHECKING:
    from collections.abc import Sequence


def resolve(local: str, allow: Sequence[Path]) -> Path:
    """Return the file that `local` is in the end, whether it exists or not.

    Raises:
        PlaceError: it is not inside one of the folders `allow`, or no ordinary file can be there.
    """
    if not local:
        raise PlaceError(local, "nobody says where the package goes: set `local` in the state file")
    if fault := rules.local(local):
        raise PlaceError(local, " ".join(fault))
    path = Path(os.path.realpath(local))
    folders = [Path(os.path.realpath(folder)) for folder in allow]
    if not any(folder in path.parents for folder in folders):
        leads = "" if path == Path(local) else f" leads to {path}, which"
        shown = ", ".join(map(str, allow))
        raise PlaceError(
            local, f"{leads} is in none of the allowed folders ({shown}): see `allow` in otadevice.toml".strip()
        )
    if path.is_symlink():
        raise PlaceError(local, "is a link that leads in a circle: remove it")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise PlaceError(local, "is there already and is not an ordinary file: move it away")
    return path
