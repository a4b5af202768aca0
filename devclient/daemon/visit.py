"""One poll by the daemon, and what follows from it: when to poll again, what waits, and whether to make way.

Errors end here, as the daemon goes on. What they mean for an update was decided before.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from devclient import assembly, poll, state, succession, update
from devclient.errors import BusyError, NetworkError, SuccessionError
from devclient.held_errors import InhibitedError, WindowError
from devclient.outcome import Outcome
from devclient.records import results
from devclient.states import State
from devclient.telling import metrics, report
from devclient.trust import signed
from mirror.errors import OTAError
from mirror.trust import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devclient.device import Device
    from devclient.lifeline import Lifeline
    from devclient.records.results import Result
    from devclient.settings.config import Settings
    from devclient.trust.standing import Standing

_log = logging.getLogger(__name__)

_HELD = (InhibitedError.code, WindowError.code)
_NOTHING = "nothing newer"


@dataclass(frozen=True)
class Visit:
    """What a poll has come to.

    Attributes:
        text: the decision, in a line for people.
        exit_code: what a command would have ended with.
        failed: whether no mirror could be reached.
        busy: whether another otadevice was at work, and nothing was asked.
        least: the seconds that the mirrors want to have passed before the next poll.
        held: the code of what keeps an update from being installed, "" for nothing.
        leaves: whether another otadevice is in place, which has to go on.
        bug: what should not have happened.
    """

    text: str
    exit_code: int = 0
    failed: bool = False
    busy: bool = False
    least: float = 0
    held: str = ""
    leaves: bool = False
    bug: Exception | None = None


class Mirrors(Protocol):
    """What is asked of the mirrors besides packages."""

    @property
    def least_wait(self) -> float:
        """The least seconds until the next poll."""

    @property
    def received(self) -> int:
        """How many bytes of blobs have come."""

    def standings(self) -> Mapping[str, Standing | None]:
        """Tell where each remote stands."""


class Work:
    """What the daemon does when it does something, with a lifeline to whoever has started it."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline

    def recover(self, settings: Settings) -> None:
        """Bring to its end what was cut off; what cannot be finished is told and left, as polling comes back to it.

        Raises:
            Exception: it cannot be finished, and the otadevice before may be able to.
        """
        try:
            with assembly.locked(settings, lifeline=self._lifeline) as (device, _):
                done = poll.recover(device)
        except Exception as error:
            if isinstance(error, OTAError) and error.exit_code == 75:
                _log.info("%s", error)
            elif (settings.work / succession.SCRIPT).exists():
                raise
            else:
                _log.error("%s", error, exc_info=not isinstance(error, OTAError | OSError))
        else:
            _tell_recovered(done, settings.itself)

    def arrive(self, settings: Settings) -> bool:
        """Say that the otadevice which is in place is up; tell whether that could be said."""
        try:
            with assembly.locked(settings, lifeline=self._lifeline) as (device, _):
                return _arrive(device)
        except (OTAError, OSError) as error:
            _log.debug("%s", error)
            return False

    def visit(self, settings: Settings, itself: str | None) -> Visit:
        """Poll once, unless another otadevice is at work; `itself` is the content of the package that we are."""
        metrics.prepare(settings)
        try:
            with assembly.locked(settings, lifeline=self._lifeline, by_itself=True) as (device, mirrors):
                return of(device, mirrors, itself)
        except BusyError as error:
            return Visit(str(error), error.exit_code, busy=True)
        except (OTAError, OSError) as error:
            return _failure(error)
        except Exception as error:  # noqa: BLE001 - ours or a disk's fault: the next poll, or release, may do better
            return Visit(f"an unexpected {type(error).__name__}: {error}", 1, failed=True, bug=error)

    def least_wait(self, settings: Settings) -> float:
        """Tell for how many seconds mirrors do not want to be polled yet, by what they have signed and we remember."""
        wanted = max((standing.poll_seconds for standing in signed.standings(settings).values() if standing), default=0)
        polls = [moment(result.at) for result in results.load(settings.work).values() if result.at]
        now = datetime.now(UTC)
        since = (now - max(polls, default=now)).total_seconds()
        # a clock that was set back tells nothing
        return wanted - since if polls and 0 <= since < wanted else 0


def of(device: Device, mirrors: Mirrors, itself: str | None) -> Visit:
    """Poll once with a device that is ours alone."""
    current = content(device.settings)
    if None not in (current, itself) and current != itself:
        return Visit(_REPLACED, leaves=True)
    _arrive(device)
    try:
        done = poll.run(device)
    except (OTAError, OSError) as error:
        found = _failure(error, mirrors.least_wait)
        metrics.write(device, mirrors.standings(), [], mirrors.received, exit_code=found.exit_code)
        return found
    metrics.write(device, mirrors.standings(), done, mirrors.received)
    return _judge(done, mirrors.least_wait)


def content(settings: Settings) -> str | None:
    """Tell the content of the package that otadevice itself is, "" for none; None if it cannot be told now."""
    try:
        package = state.load(settings.state).package(settings.itself) if settings.itself else None
    except OTAError:
        return None
    return package.content if package else ""


_REPLACED = "otadevice itself was replaced: the new one has to be started"


def _arrive(device: Device) -> bool:
    """Have the one before not be put back any more; until nothing is to be finished, that may have to be."""
    if update.open_journal(device).record.state is not State.IDLE:
        return False
    succession.arrived(device)
    return True


def _tell_recovered(done: Mapping[str, Result], itself: str) -> None:
    if done:
        _log.warning("%s", _lines(list(done.values())))
    if itself in done and done[itself].outcome == Outcome.ROLLED_BACK:
        raise SuccessionError(itself)  # what is in place now is not what runs


def _failure(error: OTAError | OSError, least: float = 0) -> Visit:
    return Visit(str(error), error.exit_code if isinstance(error, OTAError) else 1, least=least)


def _judge(done: Sequence[Result], least: float) -> Visit:
    codes = [result.code for result in done]
    return Visit(
        _lines(done),
        min({result.exit_code for result in done} - {0}, default=0),
        failed=bool(done) and all(code == NetworkError.code for code in codes),
        least=least,
        held=next((code for code in _HELD if code in codes), ""),
        leaves=SuccessionError.code in codes,
    )


def _lines(done: Sequence[Result]) -> str:
    told = [report.outcome(result) for result in done if result.outcome != _NOTHING or result.exit_code]
    return "; ".join(told) or (_NOTHING if done else report.NOTHING_WANTED)
