"""The roles of The Update Framework on a mirror: names, paths, limits (contract, section 4).

    root -> timestamp -> snapshot -> targets -> pkg-<package>          the publisher's own keys
                                             -> unclaimed -> bin8-..   the mirror's online keys

Only release lists are targets. Which keys a mirror has, and what a device makes of bad metadata, is not known here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuf.api.metadata import SuccinctRoles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT, TIMESTAMP, SNAPSHOT, TARGETS, UNCLAIMED = "root", "timestamp", "snapshot", "targets", "unclaimed"
TOP = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
"""The roles whose keys the root names."""

UNCLAIMED_PATHS = ("releases/*/*",)
MAX_BIN_BITS = 14
"""Of 2^14 bins, a snapshot still has less than the 2,000,000 bytes that python-tuf's client takes."""

ISSUED, POLL = "x-issued", "x-poll"
"""Signed in timestamp.json: when it was issued, and the least seconds between two polls."""
MAX_POLL_SECONDS = 86_400

ROLE = "x-role"
"""Signed in the roles with targets that one key signs several of: which one this is.

TUF tells them by the name of the file alone. Without it, one bin would pass for another of the same version, and hide
the lists of that one for as long as the version stays.
"""

MAX_BYTES: Mapping[str, int] = {ROOT: 512_000, TIMESTAMP: 16_384, SNAPSHOT: 2_000_000, TARGETS: 5_000_000}
"""How large metadata may be, `targets` standing for all roles that have targets: the limits of python-tuf's client."""

_CLAIMED = "pkg-"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def package_role(package: str) -> str:
    """Name the role of a claimed package."""
    return f"{_CLAIMED}{package}"


def claimed_package(role: str) -> str | None:
    """Tell the package that a role speaks for; None if it is not that of a claimed package."""
    return role.removeprefix(_CLAIMED) if role.startswith(_CLAIMED) else None


def claimed_paths(package: str) -> tuple[str, ...]:
    """Return the paths that the role of a claimed package may speak for."""
    return (f"releases/{package}/*",)


def bins(bits: int, keyids: Iterable[str]) -> SuccinctRoles:
    """Return the delegation to 2^`bits` bins, which are named for their count."""
    return SuccinctRoles(list(keyids), 1, bits, f"bin{bits}")


def time(moment: datetime) -> str:
    """Write a moment as metadata does, in UTC and to the second."""
    # strftime would write a year before 1000 with fewer digits
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def moment(text: object) -> datetime:
    """Read a moment as metadata writes it.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a time such as 2026-11-23T08:00:00Z")  # noqa: TRY004 - one error for all
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def issued(fields: Mapping[str, object], expires: datetime) -> datetime | None:
    """Read when a timestamp was issued; None if it does not say, or says what cannot be.

    Args:
        fields: the timestamp's own further fields.
        expires: its expiry, after which it cannot have been issued.
    """
    try:
        found = moment(fields.get(ISSUED))
    except ValueError:
        return None
    return found if found <= expires else None


def poll_seconds(fields: Mapping[str, object]) -> int:
    """Read how many seconds a device must leave between two polls, a day at most; 0 if a timestamp does not say."""
    found = fields.get(POLL, 0)
    if isinstance(found, bool) or not isinstance(found, int):
        return 0
    return max(0, min(found, MAX_POLL_SECONDS))
