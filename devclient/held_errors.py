"""Why an update that could be installed is not, for now: nothing is wrong, and nobody has to act."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.errors import DeviceError

if TYPE_CHECKING:
    from pathlib import Path


class HeldError(DeviceError):
    """An update could be installed, and is not for now: nothing is wrong."""

    exit_code = 75


class InhibitedError(HeldError):
    """The inhibit file is there."""

    code = "inhibited"

    def __init__(self, file: Path) -> None:
        super().__init__(f"nothing is installed as long as {file} is there")


class WindowError(HeldError):
    """No maintenance window is open.

    Attributes:
        opens: when the next one opens, as UTC text.
    """

    code = "window"

    def __init__(self, opens: str) -> None:
        super().__init__(f"outside of maintenance windows, of which the next one opens at {opens}")
        self.opens = opens


class StoppedError(HeldError):
    """otadevice was asked to stop."""

    code = "stopped"

    def __init__(self) -> None:
        super().__init__("otadevice was asked to stop; the next one goes on")


class SuccessorError(HeldError):
    """A new otadevice is in place, and has not come up yet."""

    code = "successor"

    def __init__(self) -> None:
        super().__init__(
            "a new otadevice was installed and has yet to come up; try again once `otadevice run` has started"
        )
