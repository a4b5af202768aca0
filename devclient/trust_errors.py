"""Why a device does not believe a mirror: each kind of attack or fault has its own error.

Every message says what was found, what it looks like, and what the mirror's operator should do, or whoever made the
copy of it that was given instead. After all of them the device goes on with what is installed, and asks again at its
next poll.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from devclient.errors import BrokenPromiseError, MirrorRefusesError, NetworkError, WebPageError
from mirror.errors import DeviceError, OTAError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


def is_copy(url: str) -> bool:
    """Whether what is at `url` is not on the web, but a copy of a mirror in a folder."""
    return not url.lower().startswith(("http://", "https://"))


class TrustError(DeviceError):
    """What a mirror serves is not to be believed.

    Attributes:
        url: where it came from.
        problem: what was found.
        looks_like: the attack or fault that this may be.
        in_a_copy: the same if it lies in a folder, "" if that makes no difference.
        advice: what the mirror's operator should do.
        after_a_copy: the same if a new copy is no better.
    """

    code = "trust"
    looks_like: ClassVar[str] = ""
    in_a_copy: ClassVar[str] = ""
    advice: ClassVar[str] = ""
    after_a_copy: ClassVar[str] = "run `otamirror check`"

    def __init__(self, url: str, problem: str) -> None:
        copied = is_copy(url)
        looks_like = self.in_a_copy if copied and self.in_a_copy else self.looks_like
        if copied:
            advice = f"Copy the mirror again; if that is no better, its operator should {self.after_a_copy}"
        else:
            advice = f"The mirror's operator should {self.advice}"
        super().__init__(f"{url}: {problem}. It looks like {looks_like}; nothing of it was used. {advice}")
        self.url = url
        self.problem = problem


class SignatureError(TrustError):
    """Too few of the trusted keys signed it."""

    code = "signature"
    looks_like = "software that somebody else put there, with none or too few of the trusted keys"
    advice = "run `otamirror check`, see who can write to the mirror, and replace keys that may be stolen"


class WrongRootError(SignatureError):
    """It begins with other keys than this device is pinned to."""

    def __init__(self, url: str, problem: str, pinned: Iterable[str], served: Iterable[str]) -> None:
        """Tell the ids of the keys of both roots."""
        DeviceError.__init__(
            self,
            f"{url}: this device is pinned to {_listed(pinned)}, the mirror starts from {_listed(served)}. Most likely "
            "the root of this device is that of another mirror, or the mirror was set up anew: get its root from its "
            "operator, who prints it with `otamirror keys export-root`, and replace the file that the settings name. "
            f"If the root is right, {problem}, and it looks like {self.looks_like}; nothing of it was used",
        )
        self.url = url
        self.problem = problem


class RollbackError(TrustError):
    """It is older than what this device has seen, or than what is signed."""

    code = "rollback"
    looks_like = "an attempt to bring back old releases, or a mirror that was restored from an old copy"
    in_a_copy = "an old copy: this device has seen newer releases already"
    advice = "run `otamirror check`, and publish again, with higher versions, if the mirror was restored"


class ExpiredError(TrustError):
    """It was valid once, but nobody has signed it anew."""

    code = "expired"
    looks_like = "a freeze: somebody holds back updates, or nobody signs the mirror anew"
    in_a_copy = "a copy that was made too long ago, or this device's clock is wrong"
    advice = "run `otamirror resign`, and see that it runs often enough; what was copied has to be copied again"
    after_a_copy = "run `otamirror resign`"

    def __init__(self, url: str, problem: str, since: str = "") -> None:
        """Say when it expired, if that is known."""
        super().__init__(url, f"{problem}, since {since}" if since else problem)
        self.since = since


class ExpiredByFloorError(ExpiredError):
    """It has expired by what a timestamp once said of the time, and this device's clock shows an earlier one."""

    def __init__(self, error: ExpiredError, floor: str, clock: str) -> None:
        """Tell both times, as UTC text."""
        DeviceError.__init__(
            self,
            f"{error.url}: {error.problem}, by the time that counts here: {floor}, when the newest timestamp that is "
            f"known was issued, and not by this device's own clock, which shows {clock}. If that clock is wrong, set "
            "it. If it is right, the mirror was signed by a clock that was ahead: its operator should set that clock "
            "and run `otamirror resign --clock-is-right`, which puts this device right at its next poll. Else it looks "
            f"like {self.looks_like}. Nothing of it was used",
        )
        self.url = error.url
        self.problem = error.problem
        self.since = error.since


class MixAndMatchError(TrustError):
    """It is not the file that was signed for."""

    code = "mix-and-match"
    looks_like = "files of different times put together, or changed on the way"
    advice = "run `otamirror check`, and copy the whole mirror again if this is a copy"


class EndlessDataError(TrustError):
    """More bytes came than were signed for, or than there can be."""

    code = "endless-data"
    looks_like = "an attempt to fill this device, or a server that is out of order"
    in_a_copy = "an attempt to fill this device, or a damaged file"
    advice = "see what answers at this address"


class DamagedMetadataError(TrustError):
    """It is not metadata, or not that of the role that it should be."""

    code = "damaged-metadata"
    looks_like = "a damaged file, or a server that knows nothing of mirrors"
    in_a_copy = "a damaged file"
    advice = "run `otamirror check`, and see what answers at this address"


class UndelegatedError(TrustError):
    """Nobody who is trusted vouches for the role that should speak for a release list."""

    code = "undelegated"
    looks_like = "a role that was made up, or taken out of the metadata that vouches for it"
    advice = "run `otamirror check`"


class BehindError(DeviceError):
    """What came is older than what this device knows, and all right otherwise, as from a cache that keeps it too long.

    Attributes:
        url: where it came from.
        version: of the older timestamp; None if the keys of today do not vouch for it.
        alarm: what it is if that lasts.
    """

    code = "behind"
    exit_code = 75

    def __init__(self, url: str, problem: str, version: int | None, alarm: TrustError) -> None:
        super().__init__(
            f"{url}: {problem}, as where a cache on the way hands out what it should not keep any more; nothing of it "
            "was used. Try again later. If that lasts, see what answers at this address"
        )
        self.url = url
        self.version = version
        self.alarm = alarm


class UnsignedMirrorError(MirrorRefusesError):
    """There is no signed metadata where a mirror should be."""

    code = "no-signed-mirror"
    problem = (
        "there is no signed mirror there (the server answers {status}); check the URL of the remote, "
        "and ask the mirror's operator if it is right"
    )


class IncompleteMirrorError(MirrorRefusesError):
    """The mirror does not have a file that it names itself."""

    code = "incomplete-mirror"
    exit_code = 75
    problem = (
        "the mirror names this file and does not have it (the server answers {status}), as while it is being copied; "
        "try again later. If that comes again, its operator should run `otamirror check`"
    )


class ClockSuspectError(DeviceError):
    """By this device's clock the mirror has expired, but the clock may be wrong.

    Attributes:
        url: of the mirror.
        clock: what this device takes for the time.
        date: what the mirror's server takes for it; nothing vouches for that.
    """

    code = "clock-suspect"
    exit_code = 75

    def __init__(self, url: str, clock: datetime, date: datetime) -> None:
        super().__init__(
            f"{url}: by this device's clock, {clock:%Y-%m-%dT%H:%M:%SZ}, the mirror has expired, and by that of its "
            f"server, {date:%Y-%m-%dT%H:%M:%SZ}, it has not. Nothing was changed. Set this device's clock; "
            "if it is right, somebody holds back updates"
        )
        self.url = url
        self.clock = clock
        self.date = date


_GRAVITY: tuple[tuple[type[OTAError], ...], ...] = (
    (NetworkError,),
    (MirrorRefusesError, BehindError),
    (WebPageError, TrustError, BrokenPromiseError),
    (ExpiredError, ClockSuspectError),
    (RollbackError,),
    (SignatureError,),
)
"""What can be wrong with a URL of a mirror, the worst last."""


def worst(errors: Iterable[OTAError]) -> OTAError:
    """Return the gravest of some errors, the first of those that are equally so."""
    return max(
        errors,
        key=lambda error: max(
            (at for at, kinds in enumerate(_GRAVITY) if isinstance(error, kinds)), default=len(_GRAVITY)
        ),
    )


def _listed(keyids: Iterable[str]) -> str:
    return " and ".join(sorted(keyids)) or "no key"


CODES = frozenset(
    kind.code
    for kind in (
        SignatureError,
        RollbackError,
        ExpiredError,
        MixAndMatchError,
        EndlessDataError,
        DamagedMetadataError,
        UndelegatedError,
        BehindError,
        UnsignedMirrorError,
        IncompleteMirrorError,
        ClockSuspectError,
    )
)
"""The words by which programs know these errors."""
