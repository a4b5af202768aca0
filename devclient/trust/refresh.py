"""What may be believed of one remote: its signed metadata, refreshed once, at its first use (contract, section 4).

A refresh that finds nothing new is one conditional request. What it accepts is kept even if something after it is
refused. Which time counts is `clock`'s matter, what errors mean that of `verdict`.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from devclient.trust import clock, standing
from devclient.trust.courier import Courier, ask_timestamp
from devclient.trust.judge import Judge
from devclient.trust.notes import Notes
from devclient.trust_errors import ClockSuspectError, ExpiredError, TrustError
from devclient.web.headers import UNKNOWN
from mirror import canonical
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from devclient.trust.clock import Floor
    from devclient.trust.judge import Target
    from devclient.trust.memory import Memory
    from devclient.trust.origin import Origin
    from devclient.trust.standing import Standing

_log = logging.getLogger(__name__)


class Trust:
    """The metadata of one remote."""

    def __init__(self, root: bytes, origin: Origin, memory: Memory, now: Callable[[], datetime], scratch: Path) -> None:
        """Begin to trust.

        Args:
            root: the one that the device was given.
            origin: where the remote is.
            memory: what the device keeps of it.
            now: tells what the system's clock says.
            scratch: an empty folder to work in.
        """
        self._root, self._origin, self._memory, self._now, self._scratch = root, origin, memory, now, scratch
        self._notes: Notes = memory.notes()
        self._courier = Courier(origin)
        self._judge: Judge | None = None
        self._failure: OTAError | None = None

    @property
    def standing(self) -> Standing | None:
        """Where the metadata stands; None if none was ever verified."""
        return self._notes.standing

    def refresh(self) -> Judge:
        """Bring the metadata up to date; a second time has no effect but the same error.

        Raises:
            TrustError: what the remote serves is not to be believed.
            ClockSuspectError: it has expired, if this device's clock is right.
            DeviceError: it did not come.
        """
        if self._failure:
            raise self._failure
        if self._judge is None:
            try:
                self._judge = self._refresh()
            except OTAError as error:
                self._failure = error
                raise
        return self._judge

    def target(self, path: str) -> Target | None:
        """Find what is vouched for at `path`; None if nobody vouches for anything.

        Raises:
            DeviceError: as `refresh`.
        """
        judge, before = self.refresh(), self._courier.last
        try:
            return judge.target(path)
        except ExpiredError as error:
            self._suspect_the_clock(error, path)
            raise
        finally:
            if self._courier.last is not before:
                self._memory.keep(self._scratch, self._notes)

    def _refresh(self) -> Judge:
        self._memory.lay_out(self._scratch)
        floor = self._notes.floor
        try:
            return self._refresh_above(floor)
        except ExpiredError as error:
            if floor and self._notes.floor is None:
                # the root has other keys for timestamps now: what the old ones said of the time is void
                return self._refresh_above(None)
            self._suspect_the_clock(error)
            raise

    def _refresh_above(self, floor: Floor | None) -> Judge:
        now, known = clock.latest(self._now(), floor), self._timestamp()
        noted = self._notes.standing if self._notes.sha256 == canonical.digest(known) else None
        if noted is None or now >= noted.worries_from:
            return self._run(Courier(self._origin), now)
        answer = ask_timestamp(self._origin, self._notes.validators, known)
        if answer.data != known:
            return self._run(Courier(self._origin, answer), now)
        try:
            return self._run(Courier(self._origin, answer, noted.root), now)
        except TrustError as error:
            _log.info("%s; asking for everything again", error)
            return self._run(Courier(self._origin), now)

    def _run(self, courier: Courier, now: datetime) -> Judge:
        self._courier = courier
        judge = Judge(self._root, self._scratch, courier, self._origin, now)
        try:
            judge.refresh()
        finally:
            self._notes = self._noted(courier)
            self._memory.keep(self._scratch, self._notes)
        return judge

    def _noted(self, courier: Courier) -> Notes:
        """Note what has been accepted."""
        before, known = self._notes, self._timestamp()
        keys, found = standing.read(self._scratch)
        if found is None:
            return replace(before, floor=clock.raised(before.floor, None, keys))
        sha256, answer = canonical.digest(known), courier.timestamp
        validators = before.validators if before.sha256 == sha256 else UNKNOWN
        if answer and answer.data == known:
            validators = answer.validators
        return Notes(validators, sha256, found, clock.raised(before.floor, found.issued, keys))

    def _timestamp(self) -> bytes:
        """Return the timestamp that is here; nothing if there is none."""
        try:
            return (self._scratch / "timestamp.json").read_bytes()
        except OSError:
            return b""

    def _suspect_the_clock(self, error: ExpiredError, path: str = "") -> None:
        """Tell whether nothing but this device's clock says that something has expired.

        Raises:
            ClockSuspectError: so it is. What the server takes for the time serves no other purpose.
        """
        system, date = self._now(), self._courier.date
        if date is None or not clock.disagree(system, date):
            return
        if self._would_hold(clock.latest(date, self._notes.floor), path):
            raise ClockSuspectError(error.url, system, date) from error

    def _would_hold(self, now: datetime, path: str) -> bool:
        """Try what would be if it were `now`, as a device that knows nothing; and forget it again."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                judge = Judge(self._root, Path(folder), Courier(self._origin), self._origin, now)
                judge.refresh()
                return not path or judge.target(path) is not None
            except OTAError:
                return False
