"""Taking over what a mirror already has: for a catalogue that was lost, or that is of yesterday.

No version that stands on the mirror is ever signed again with other bytes, so every counter begins above the highest
number in its folder. What only people can sign is taken from there, if it verifies.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from builder.errors import MirrorError
from mirror import layout, trust

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from builder.signing.sign import Signing


def is_ahead(mirror: Path, signing: Signing) -> bool:
    """Tell whether a mirror has metadata that the catalogue has never signed."""
    known = signing.roles.get(trust.SNAPSHOT)
    version = known.version if known else 0
    # a publish that did not come to its end left a snapshot and the timestamp of before
    if (mirror / layout.metadata(trust.SNAPSHOT, version + 1)).exists():
        return True
    timestamp, roots = signing.roles.get(trust.TIMESTAMP), signing.roles.newest_roots()
    trusted = [Metadata[Root].from_bytes(root.data).signed for root in roots]
    found = _timestamp(mirror, trusted)
    return found is not None and found.version > (timestamp.version if timestamp else 0)


def adopt(mirror: Path, signing: Signing) -> None:
    """Take over roots, targets, claims and counters.

    Raises:
        MirrorError: roots or targets are missing or do not verify.
    """
    highest = _highest(mirror)
    root = _roots(mirror, signing)
    targets = _newest(mirror, trust.TARGETS, highest.get(trust.TARGETS, 0), root)
    if targets is None:
        raise MirrorError("metadata/ has no targets that the root's keys have signed; put them back from a copy")
    targets.keep(signing)
    claimed = _claims(mirror, highest, targets.signed, signing)
    unclaimed = _newest(mirror, trust.UNCLAIMED, highest.get(trust.UNCLAIMED, 0), targets.signed)
    if unclaimed is None:
        raise MirrorError("metadata/ has no `unclaimed` that the targets' keys have signed; put it back from a copy")
    unclaimed.keep(signing)
    active = {trust.TARGETS, trust.UNCLAIMED, trust.SNAPSHOT, trust.TIMESTAMP, *claimed, *signing.bins().get_roles()}
    past = trust.time(signing.now())
    for role, version in _counters(mirror, highest).items():
        if role not in {trust.ROOT, trust.TARGETS, *claimed}:
            data = unclaimed.raw if role == trust.UNCLAIMED else None
            signing.roles.set(role, version, past, data, active=role in active)
    last = _timestamp(mirror, [root]) or _kept_timestamp(signing)
    # its x-issued and its expiry still count: the clock that signs next is judged by them
    signing.roles.set(trust.TIMESTAMP, last.version if last else 1, past, last.raw if last else None)


def lists(mirror: Path, signing: Signing) -> dict[str, str]:
    """Return by path the SHA-256 of every release list that the newest files of the adopted roles name."""
    found: dict[str, str] = {}
    highest = _highest(mirror)
    for role in signing.roles.all():
        if role.active and role.name in highest and role.name not in trust.TOP:
            with contextlib.suppress(RepositoryError):
                raw = (mirror / layout.metadata(role.name, highest[role.name])).read_bytes()
                part: Metadata[Any] = Metadata.from_bytes(raw)
                found.update({path: target.hashes["sha256"] for path, target in part.signed.targets.items()})
    return found


def _highest(mirror: Path) -> dict[str, int]:
    """Return the highest number that each role has in the mirror's folder."""
    found: dict[str, int] = {}
    for path in (mirror / layout.METADATA).glob("*.json"):
        if name := layout.parse_metadata(f"{layout.METADATA}{path.name}"):
            found[name[0]] = max(found.get(name[0], 0), name[1])
    return found


def _roots(mirror: Path, signing: Signing) -> Root:
    """Walk from the newest root that is known, or else from the first, to the newest that the mirror has."""
    known = signing.roles.newest_roots()
    trusted = Metadata[Root].from_bytes(known[0].data).signed if known else None
    number, now = (trusted.version if trusted else 0), signing.clock()
    if known and known[0].published is None and (mirror / layout.metadata(trust.ROOT, number)).exists():
        signing.roles.root_is_published(number, now)
    while (path := mirror / layout.metadata(trust.ROOT, number + 1)).exists():
        number, data = number + 1, path.read_bytes()
        try:
            found: Metadata[Root] = Metadata.from_bytes(data)
            for delegator in (trusted or found.signed, found.signed):
                delegator.verify_delegate(trust.ROOT, found.signed_bytes, found.signatures)
        except RepositoryError as error:
            raise MirrorError(f"{path} is no root that the one before it vouches for: {error}") from error
        trusted = found.signed
        signing.roles.add_root(number, data, now, now)
    if trusted is None:
        raise MirrorError("metadata/1.root.json is missing: put it back from a copy of the mirror")
    signing.roles.root_is_settled(trusted.version - 1)
    return trusted


class _File(NamedTuple):
    """The file of a role with targets, as it lies on the mirror; nobody has to spell it as we would."""

    role: str
    raw: bytes
    signed: Targets

    def keep(self, signing: Signing) -> None:
        """Make it the one that counts."""
        signing.roles.set(self.role, self.signed.version, trust.time(self.signed.expires), self.raw)


def _newest(mirror: Path, role: str, highest: int, delegator: Root | Targets) -> _File | None:
    """Return the newest version of a role that its delegator's keys have signed."""
    for version in range(highest, 0, -1):
        path = mirror / layout.metadata(role, version)
        with contextlib.suppress(FileNotFoundError, RepositoryError, ValueError):
            raw = path.read_bytes()
            found: Metadata[Targets] = Metadata.from_bytes(raw)
            delegator.verify_delegate(role, found.signed_bytes, found.signatures)
            return _File(role, raw, found.signed)
    return None


def _claims(mirror: Path, highest: Mapping[str, int], targets: Targets, signing: Signing) -> list[str]:
    delegated = (targets.delegations.roles or {}) if targets.delegations else {}
    claimed = [role for role in delegated if trust.claimed_package(role)]
    for role in claimed:
        part = _newest(mirror, role, highest.get(role, 0), targets)
        if part is None:
            raise MirrorError(f"metadata/ has no {role} that its publisher has signed; put it back from a copy")
        part.keep(signing)
    return claimed


def _counters(mirror: Path, highest: Mapping[str, int]) -> dict[str, int]:
    """Return the version of every role that the newest snapshot names or the folder has a file of."""
    found = dict(highest)
    with contextlib.suppress(FileNotFoundError, RepositoryError, KeyError):
        raw = (mirror / layout.metadata(trust.SNAPSHOT, highest[trust.SNAPSHOT])).read_bytes()
        snapshot: Metadata[Any] = Metadata.from_bytes(raw)
        for name, part in snapshot.signed.meta.items():
            role = name.removesuffix(".json")
            found[role] = max(found.get(role, 1), part.version)
    return found


class _Timestamp(NamedTuple):
    """A timestamp with its version."""

    version: int
    raw: bytes


def _timestamp(mirror: Path, roots: Sequence[Root]) -> _Timestamp | None:
    """Return the mirror's timestamp; None if there is none that one of the roots vouches for."""
    with contextlib.suppress(FileNotFoundError, RepositoryError):
        raw = (mirror / layout.TIMESTAMP).read_bytes()
        found: Metadata[Any] = Metadata.from_bytes(raw)
        for root in roots:
            if root.get_verification_result(trust.TIMESTAMP, found.signed_bytes, found.signatures):
                return _Timestamp(int(found.signed.version), raw)
    return None


def _kept_timestamp(signing: Signing) -> _Timestamp | None:
    """Return the timestamp that the catalogue has."""
    known = signing.roles.get(trust.TIMESTAMP)
    return _Timestamp(known.version, known.data) if known and known.data else None
