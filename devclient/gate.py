"""What keeps a device from installing an update that it could install: its owner, for now.

An update by hand passes outside of maintenance windows, because whoever asks for it has decided. Nothing passes as long
as the inhibit file is there. Whether an update is due is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devclient.held_errors import InhibitedError, WindowError
from devclient.settings import windows
from mirror.trust import time

if TYPE_CHECKING:
    from datetime import datetime

    from devclient.held_errors import HeldError
    from devclient.settings.config import Daemon


def inhibited(settings: Daemon) -> HeldError | None:
    """Tell whether the inhibit file is there."""
    try:
        settings.inhibit.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # whether it is there cannot be told, and nobody is to be hurt
        pass
    return InhibitedError(settings.inhibit)


def outside(settings: Daemon, now: datetime) -> HeldError | None:
    """Tell whether it is `now` outside of all maintenance windows."""
    opens = windows.next_opening(settings.windows, now)
    if opens is None or windows.open_until(settings.windows, now):
        return None
    return WindowError(time(opens))
