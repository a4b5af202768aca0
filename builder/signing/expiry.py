"""When what is signed expires, and who has to sign it anew by then."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from builder.pages import Pages
from mirror import trust

if TYPE_CHECKING:
    from builder.pages import Page
    from builder.signing.sign import Signing

_DAY = 86_400
_RENEWED = 1 / 2
"""What is left of a role's life when it is signed anew: so that it is before two thirds have passed, by cron too."""
_ALARMING = 1 / 3
"""What is left of it when somebody is told."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """How long one role still holds.

    Attributes:
        expires: as metadata writes it.
        left: the part of its life that is left, 0 or less if none is.
        by: who signs it anew: "otamirror", or people.
    """

    role: str
    version: int
    expires: str
    left: float
    by: str

    def __str__(self) -> str:
        return f"{self.role} expires {self.expires}; to renew it is up to: {self.by}"

    def fields(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {**asdict(self), "left": round(self.left, 3)}

    @property
    def is_due(self) -> bool:
        """Whether it is time to sign it anew."""
        return self.left < _RENEWED

    @property
    def is_alarming(self) -> bool:
        """Whether it should have been signed anew."""
        return self.left < _ALARMING


def expiries(signing: Signing) -> list[Expiry]:
    """Tell of every role that devices ask for how long it holds."""
    roots = [root for root in signing.roles.newest_roots() if root.published is not None]
    found = [_of(trust.ROOT, roots[0].version, str(roots[0].signed["expires"]), signing)] if roots else []
    return found + [_of(each.name, each.version, each.expires, signing) for each in signing.roles.all() if each.active]


def summary(signing: Signing) -> list[Expiry]:
    """Tell of every role as `expiries` does, but of all bins by the one that expires first."""
    found = expiries(signing)
    bins = set(signing.bins().get_roles()) if signing.roles.get(trust.UNCLAIMED) else set()
    first = min((each for each in found if each.role in bins), key=lambda each: each.left, default=None)
    return [each for each in found if each.role not in bins] + ([first] if first else [])


def alarms(signing: Signing) -> list[Expiry]:
    """Return the roles that should have been signed anew, those that only people can renew above all."""
    return [each for each in expiries(signing) if each.is_alarming]


def renew_due(signing: Signing) -> Pages | None:
    """Sign what is signed online and is due; None if nothing is."""
    due = {each.role for each in expiries(signing) if each.is_due and each.by == "otamirror"}
    if not due and not _poll_changed(signing):
        return None
    pages: list[Page] = [signing.renew_unclaimed()] if trust.UNCLAIMED in due else []
    return signing.renew(due & set(signing.bins().get_roles()), Pages.of(pages))


def _of(role: str, version: int, expires: str, signing: Signing) -> Expiry:
    settings = signing.settings
    known = {
        trust.ROOT: (settings.root_days, "holders of root keys: `otamirror keys renew root`"),
        trust.TARGETS: (settings.targets_days, "holders of targets keys: `otamirror keys renew targets`"),
        trust.SNAPSHOT: (settings.timestamp_days, "otamirror"),
        trust.TIMESTAMP: (settings.timestamp_days, "otamirror"),
    }
    days, by = known.get(role, (settings.online_days, "otamirror"))
    if package := trust.claimed_package(role):
        days, by = settings.publisher_days, f"publisher of {package}: `otamirror push --renew`"
    left = (trust.moment(expires) - signing.now()).total_seconds() / (days * _DAY)
    return Expiry(role, version, expires, left, by)


def _poll_changed(signing: Signing) -> bool:
    timestamp = signing.roles.get(trust.TIMESTAMP)
    return timestamp is not None and trust.poll_seconds(timestamp.signed) != signing.settings.poll_seconds
