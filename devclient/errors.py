"""What can go wrong on a device, split by what helps.

Trying again helps with those that end with exit code 75; with the others the owner of the device,
or the operator of the mirror that the message names, has to act.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mirror.errors import DeviceError

if TYPE_CHECKING:
    from pathlib import Path


class SettingsError(DeviceError):
    """The settings of this device are not usable as they are.

    Attributes:
        file: the file of settings.
    """

    code = "settings"

    def __init__(self, file: Path, problem: str) -> None:
        super().__init__(f"{file}: {problem}")
        self.file = file


class StateError(DeviceError):
    """The state file is not usable as it is.

    Attributes:
        file: the state file.
    """

    code = "state"

    def __init__(self, file: Path, problem: str) -> None:
        super().__init__(f"{file}: {problem}")
        self.file = file


class StateChangedError(DeviceError):
    """The owner changed a package's entry in the state file while it was being updated."""

    code = "state-changed"
    exit_code = 75

    def __init__(self, file: Path, package: str) -> None:
        super().__init__(f"{file}: {package} was changed during its update, which was given up; update again")


class BusyError(DeviceError):
    """Another otadevice works with the same folder.

    Attributes:
        holder: its process id, None if it has not told yet.
    """

    code = "busy"
    exit_code = 75

    def __init__(self, lock: Path, holder: int | None, *, lasting: bool = False) -> None:
        """Tell who holds the `lock`, and whether for good, as the daemon does."""
        who = f"process {holder}" if holder else "another process"
        advice = "one daemon is enough" if lasting else "try again when it is done"
        super().__init__(f"{who} is at work on this device and holds {lock}; {advice}")
        self.holder = holder


class NetworkError(DeviceError):
    """The mirror could not be reached, or not well enough; nothing says that it is the mirror's doing.

    Attributes:
        url: what was asked for.
        retry_after: how many seconds the server wants waited, 0 if it does not say.
    """

    code = "network"
    exit_code = 75

    def __init__(self, url: str, problem: str, retry_after: float = 0) -> None:
        super().__init__(f"{url}: {problem}; try again later")
        self.url = url
        self.retry_after = retry_after


class WebPageError(NetworkError):
    """Something that is no file of a mirror came in its place, as from a network that wants a sign-in."""


class ShortBlobError(NetworkError):
    """The mirror has only the beginning of a blob, as while it is being copied."""


class SlowMirrorError(NetworkError):
    """The mirror sent so little in so much time that it was left."""


class CertificatesError(DeviceError):
    """The file or folder that names who may vouch for servers cannot be used."""

    code = "certificates"

    def __init__(self, problem: str) -> None:
        super().__init__(f"no mirror can be asked by https: {problem}; mend what names it, or what is there")


class MirrorRefusesError(DeviceError):
    """The server answers, but will not give what was asked for.

    Attributes:
        url: what was asked for.
        status: the HTTP status of the answer.
    """

    code = "refused-by-mirror"
    problem: ClassVar[str] = "the server answers {status}; ask the mirror's operator why"

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"{url}: {self.problem.format(status=status)}")
        self.url = url
        self.status = status


class NotOnMirrorError(MirrorRefusesError):
    """The mirror does not have what was asked for."""

    code = "not-on-mirror"
    problem = "the mirror has nothing there; check the names of package and branch, and the URL of the remote"


class BrokenPromiseError(DeviceError):
    """What came from the mirror is not what the mirror said it would be; nothing of it was used."""

    code = "broken-promise"

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"{what}: {problem}; nothing of it was used. If that comes again, tell the mirror's operator")
        self.what = what


class UnsupportedError(DeviceError):
    """A release asks for something that this version of otadevice does not do yet.

    Attributes:
        features: what it asks for, in words.
    """

    code = "unsupported"

    def __init__(self, release: str, features: tuple[str, ...]) -> None:
        super().__init__(
            f"{release} has {', '.join(features)}: this version of otadevice does not do that yet, nothing was changed"
        )
        self.features = features


class ArchiveError(DeviceError):
    """The package of a folder cannot be unpacked; nothing of it was put in place.

    Attributes:
        problem: what is wrong, with the member of the archive that it is about.
    """

    code = "archive"

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"{what}: {problem}; nothing was changed. Tell the package's publisher")
        self.problem = problem


class PlaceError(DeviceError):
    """A package cannot go where it should go on this device.

    Attributes:
        local: the path as it was given.
    """

    code = "place"

    def __init__(self, local: str, problem: str) -> None:
        super().__init__(f"{local or 'local'}: {problem}")
        self.local = local


class LostError(PlaceError):
    """Somebody has exchanged the folder of a package, or what was laid out in it; nothing is touched there any more."""

    code = "lost"

    def __init__(self, local: str, problem: str) -> None:
        super().__init__(local, f"{problem}; nothing was touched there, see to it by hand")


class SpaceError(DeviceError):
    """A file system has too little free space for an update.

    Attributes:
        wanted: bytes that must be free.
        free: bytes that are.
    """

    code = "space"

    def __init__(self, folder: Path, wanted: int, free: int) -> None:
        super().__init__(
            f"{folder}: {wanted} bytes must be free for the update and {free} are; make room and update again"
        )
        self.wanted = wanted
        self.free = free


class ProvisionError(DeviceError):
    """A device or a package cannot be set up as asked."""

    code = "provision"


class JournalError(DeviceError):
    """The journal cannot be used as it is.

    Attributes:
        damaged: whether nothing can be read in it.
    """

    code = "journal"

    def __init__(self, path: Path, problem: str, *, damaged: bool = False) -> None:
        super().__init__(f"{path}: {problem}")
        self.damaged = damaged


class WaitingError(DeviceError):
    """An update was interrupted too often, and is left alone for a while.

    Attributes:
        until: when it is tried again, as UTC text.
    """

    code = "interrupted"
    exit_code = 75

    def __init__(self, what: str, times: int, until: str) -> None:
        super().__init__(
            f"{what}: this device was cut off {times} times while it was being installed, so it waits until {until}; "
            "`otadevice clear-bad` ends the wait"
        )
        self.until = until


class RebootError(DeviceError):
    """An update waits for a reboot of this device, and goes on after it."""

    code = "reboot"
    exit_code = 75

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} waits for this device to be rebooted, and goes on after that")


class UndoError(DeviceError):
    """The last update cannot be undone.

    Attributes:
        problem: why.
    """

    code = "undo"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the last update cannot be undone: {problem}; nothing was changed")
        self.problem = problem


class SuccessionError(DeviceError):
    """The package that was installed is otadevice itself, and the new one has to finish the update."""

    code = "succession"
    exit_code = 75

    def __init__(self, update: str) -> None:
        super().__init__(f"{update} is in place, and otadevice has to be started anew to finish")
