"""What may be believed of one remote: its signed metadata, refreshed once, at its first use (contract, section 4).

Each URL that has its turn is an attempt, from what is known. One that is complete is kept, durably; of any other one
only its roots are. A refresh that finds nothing new is one conditional request; once a day every URL is asked for
timestamp and newer root. Which time counts is the matter of `judgement`, what errors mean that of `attempt`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devclient.errors import NetworkError
from devclient.trust import clock, elapsed, judgement
from devclient.trust.attempt import Attempt
from devclient.trust.elapsed import DAY
from devclient.trust.known_state import KnownState
from devclient.trust.tuf_fetcher import NOTHING, KnownTimestamp, TufFetcher
from devclient.trust_errors import BehindError, ExpiredError, TrustError, worst
from devclient.web.answers import Answer
from devclient.web.headers import UNKNOWN
from mirror import canonical
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devclient.trust.elapsed import Instant
    from devclient.trust.judge import Judge, Target
    from devclient.trust.memory import Memory
    from devclient.trust.mirror_urls import MirrorUrls
    from devclient.trust.notes import Notes

_log = logging.getLogger(__name__)


@dataclass
class _Round:
    """The attempts of one refresh.

    Attributes:
        anew: whether nothing is asked with a condition, because silence is no longer taken for "nothing new".
        due: the URLs that are asked for timestamp and newer root, whatever others say.
        judge: what a complete attempt led to.
        behind: where something older was shown.
        errors: what was wrong elsewhere.
    """

    anew: bool
    due: frozenset[str]
    judge: Judge | None = None
    behind: list[BehindError] = field(default_factory=list)
    errors: list[OTAError] = field(default_factory=list)


class Trust:
    """The metadata of one remote."""

    def __init__(
        self,
        root: bytes,
        urls: MirrorUrls,
        memory: Memory,
        now: Callable[[], Instant],
        scratch: Path,
        root_interval: float = DAY,
    ) -> None:
        """Begin to trust.

        Args:
            root: the one that the device was given.
            urls: where the remote is.
            memory: what the device keeps of it.
            now: tells the time.
            scratch: an empty folder to work in.
            root_interval: the seconds after which every URL is asked for timestamp and newer root.
        """
        self._root, self._urls, self._memory, self._now, self._scratch = root, urls, memory, now, scratch
        self._root_interval = root_interval
        self._known: KnownState | None = None
        self._judge: Judge | None = None
        self._failure: OTAError | None = None

    @property
    def notes(self) -> Notes:
        """What is noted of the remote."""
        return self._known.notes if self._known else self._memory.notes()

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
        judge, known = self.refresh(), self._state
        before = judge.fetcher.brought
        try:
            return judge.target(path)
        except ExpiredError as error:
            attempt = Attempt(self._root, self._urls, judge.fetcher, self._scratch)
            raise judgement.explained(error, attempt, known, self._now().clock, path) from error
        finally:
            if judge.fetcher.brought != before:
                known.keep(judge)

    @property
    def _state(self) -> KnownState:
        if self._known is None:
            folder = self._scratch / "known"
            folder.mkdir()
            self._known = KnownState(self._memory, folder)
        return self._known

    def _refresh(self) -> Judge:
        made = self._round()
        for url in self._urls.order():
            if made.judge is None or url in made.due:
                self._take_turn(url, made)
        if made.judge is None:
            made.judge = self._without_any(made)
        self._urls.follow(made.judge.fetcher.url)
        return made.judge

    def _round(self) -> _Round:
        state, now = self._state, self._now()
        anew = state.standing is None or clock.latest(now.clock, state.floor) >= state.standing.worries_from
        due = {
            url
            for url in self._urls.order()
            if anew or elapsed.over(self._urls.record(url).looked, now, self._root_interval)
        }
        return _Round(anew, frozenset(due))

    def _take_turn(self, url: str, made: _Round) -> None:
        try:
            judge = self._attempt(url, look=url in made.due, anew=made.anew)
        except OTAError as error:
            self._urls.blame(url, error)
            if isinstance(error, BehindError):
                made.behind.append(error)
            else:
                made.errors.append(error)
            if not self._urls.is_one:
                _log.warning("%s; the mirror may be had elsewhere", error)
            if self._state.standing is None:
                made.judge = None  # a newer root came with it, which does not vouch for what another URL has shown
        else:
            is_new = self._state.accept(judge)
            self._note(judge.fetcher)
            made.judge = judge if is_new or made.judge is None else made.judge

    def _attempt(self, url: str, *, look: bool, anew: bool) -> Judge:
        state = self._state
        fetcher = TufFetcher(self._urls, url, NOTHING if anew else self._condition(url))
        is_quiet = bool(not look and state.standing and fetcher.ask_timestamp() == state.timestamp)
        if state.standing and is_quiet:
            fetcher.stay_at(state.standing.root)
        try:
            return self._judged(fetcher)
        except (BehindError, TrustError) as error:
            if not is_quiet and not fetcher.unchanged:
                raise
            _log.info("%s; asking for everything again", error)
            return self._judged(TufFetcher(self._urls, url))

    def _condition(self, url: str) -> KnownTimestamp:
        data, record = self._state.timestamp, self._urls.record(url)
        return KnownTimestamp(data, record.validators if record.sha256 == canonical.digest(data) else UNKNOWN)

    def _judged(self, fetcher: TufFetcher) -> Judge:
        attempt = Attempt(self._root, self._urls, fetcher, self._scratch)
        try:
            return judgement.judged(attempt, self._state, self._now().clock)
        except OTAError as error:
            if fetcher.looked and not isinstance(error, NetworkError):
                self._urls.update(fetcher.url, looked=self._now())
            raise

    def _note(self, fetcher: TufFetcher) -> None:
        """Note how to ask a URL next time, and that it was asked for everything, if it was."""
        changed: dict[str, object] = {"looked": self._now()} if fetcher.looked else {}
        if fetcher.timestamp and not fetcher.unchanged:
            sha256 = canonical.digest(fetcher.timestamp.data or b"")
            changed |= {"validators": fetcher.timestamp.validators, "sha256": sha256}
        self._urls.update(fetcher.url, **changed)

    def _without_any(self, made: _Round) -> Judge:
        """Return what is known if something older is shown, and raise the worst error if that is not enough."""
        if made.behind:
            last = made.behind[-1]
            behind = self._state.count_behind(last.url, last.version, self._now())
            in_force = [each for each in made.behind if each.version is not None]
            if behind.is_grave(self._now()):
                _log.warning("%s (since %s)", last.alarm, behind.since.fields()["clock"])
            try:
                if in_force:
                    return self._in_force()
                made.errors.append(last.alarm if behind.is_grave(self._now()) else last)
            except OTAError as error:
                made.errors.append(error)
        raise worst(made.errors)

    def _in_force(self) -> Judge:
        """Judge what is known, as if nobody had anything new."""
        state = self._state
        fetcher = TufFetcher(self._urls, self._urls.order()[0])
        fetcher.timestamp = Answer(fetcher.address("metadata/timestamp.json"), state.timestamp)
        fetcher.stay_at(state.standing.root if state.standing else 0)
        return self._judged(fetcher)
