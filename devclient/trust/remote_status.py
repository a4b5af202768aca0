"""What is known of one remote without asking it: where its metadata stands, by which time, what its URLs did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devclient.trust import clock, elapsed
from devclient.trust.elapsed import system_clock
from devclient.trust.memory import Memory
from devclient.trust_errors import RollbackError
from mirror import trust
from mirror.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from devclient.settings.config import Settings
    from devclient.trust.elapsed import Instant
    from devclient.trust.notes import Behind, Notes
    from devclient.trust.standing import Standing
    from devclient.trust.url_records import UrlRecord


@dataclass(frozen=True)
class RemoteStatus:
    """One remote at a moment.

    Attributes:
        notes: what is noted of it.
        urls: what is kept of each of its URLs, in the order of the settings.
        now: the moment.
    """

    notes: Notes
    urls: Mapping[str, UrlRecord]
    now: Instant

    @property
    def standing(self) -> Standing | None:
        """Where its metadata stands."""
        return self.notes.standing

    def fields(self) -> dict[str, Any]:
        """Return it as facts for programs.

        root, timestamp: their versions; issued, expires: when the timestamp was issued and expires.
        clock: null, or the two times of which the later one, a floor, counts instead of the system's clock.
        behind: null, or since when and at how many polls no URL has shown what is known, and in words what that means.
        urls: each with when it was asked for everything last, and what is held against it, if something is.
        error: why it is not believed; here only if it has been behind for too long.
        """
        standing, floor, behind = self.standing, self.notes.floor, self.notes.behind
        ahead = {"floor": trust.time(floor.reached), "system": trust.time(self.now.clock)} if floor else None
        return {
            "root": standing.root if standing else None,
            "timestamp": standing.timestamp if standing else None,
            "issued": trust.time(standing.issued) if standing and standing.issued else "",
            "expires": trust.time(standing.expires) if standing else "",
            "clock": ahead if clock.is_ahead(floor, self.now.clock) else None,
            "behind": _of_behind(behind) if behind else None,
            "urls": [_of_url(url, record) for url, record in self.urls.items()],
            "error": _alarm(behind) if behind and behind.is_grave(self.now) else None,
        }


def statuses(settings: Settings, clock: Callable[[], datetime] = system_clock) -> dict[str, RemoteStatus]:
    """Tell of each remote what was known when it was asked last, by its name."""
    now, found = elapsed.instant(clock), {}
    for remote in settings.remotes:
        memory = Memory(settings.trust(remote), Files(), lasting=False)
        records = memory.urls()
        urls = {url: records[url].at(now) for url in remote.urls if url in records}
        found[remote.name] = RemoteStatus(memory.notes(), urls, now)
    return found


def _of_behind(behind: Behind) -> dict[str, Any]:
    shown = "what the root before has signed" if behind.version is None else f"version {behind.version}"
    message = f"{behind.url} shows {shown}, which is older than what is known, and so does every other URL that answers"
    return {"since": trust.time(behind.since.clock), "polls": behind.polls, "url": behind.url, "message": message}


def _alarm(behind: Behind) -> dict[str, str]:
    told = _of_behind(behind)
    problem = f"{told['message']}, since {told['since']}, at {behind.polls} polls"
    return {"code": RollbackError.code, "message": str(RollbackError(behind.url, problem))}


def _of_url(url: str, record: UrlRecord) -> dict[str, Any]:
    blame = record.blame
    held = {"code": blame.code, "message": blame.message, "at": trust.time(blame.at.clock)} if blame else None
    return {"url": url, "looked": trust.time(record.looked.clock) if record.looked else "", "held": held}
