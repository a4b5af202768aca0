"""Inspecting a mirror's metadata: every signature, every version, every list named with the bytes that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from mirror import layout, trust

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.signing.roles import Role, Roles

MISSING, EXTRA, CHANGED, UNSIGNED = "missing", "extra", "changed", "unsigned"


def faults(mirror: Path, roles: Roles) -> Iterator[tuple[str, str]]:
    """Yield path and problem of all metadata that is not as the catalogue says; superseded files may stay."""
    yield from _kept(mirror, roles)
    yield from _online(mirror, roles)
    yield from _extra(mirror, roles)


def _kept(mirror: Path, roles: Roles) -> Iterator[tuple[str, str]]:
    """Check what the catalogue has the bytes of: roots, and what people signed."""
    kept = {
        layout.metadata(trust.ROOT, root.version): root.data for root in roles.roots() if root.published is not None
    }
    for name in _active(roles):
        role = roles.get(name)
        if role and role.data is not None and name != trust.TIMESTAMP:
            kept[layout.metadata(name, role.version)] = role.data
    for path, data in kept.items():
        found = _read(mirror, path)
        if found != data:
            yield path, MISSING if found is None else CHANGED


def _online(mirror: Path, roles: Roles) -> Iterator[tuple[str, str]]:
    """Check what was signed online, and not kept."""
    roots = [root for root in roles.newest_roots() if root.published is not None]
    unclaimed = roles.get(trust.UNCLAIMED)
    if not roots or unclaimed is None or unclaimed.data is None:
        return
    root = Metadata[Root].from_bytes(roots[0].data).signed
    bins = Metadata[Targets].from_bytes(unclaimed.data).signed
    for name, role in _active(roles).items():
        if name in {trust.TIMESTAMP, trust.SNAPSHOT}:
            yield from _one(mirror, role, root, _meta(role, roles) | _times(role, roles))
        elif name not in {trust.TARGETS, trust.UNCLAIMED} and not trust.claimed_package(name):
            yield from _one(mirror, role, bins, _targets(name, roles))


def _one(mirror: Path, role: Role, delegator: Root | Targets, wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    path = layout.TIMESTAMP if role.name == trust.TIMESTAMP else layout.metadata(role.name, role.version)
    data = _read(mirror, path)
    if data is None:
        yield path, MISSING
        return
    try:
        found: Metadata[Any] = Metadata.from_bytes(data)
        delegator.verify_delegate(role.name, found.signed_bytes, found.signatures)
    except (RepositoryError, ValueError):
        yield path, UNSIGNED
        return
    said = found.signed.to_dict()
    if said["version"] != role.version or {key: said[key] for key in wanted} != wanted:
        yield path, CHANGED


def _meta(role: Role, roles: Roles) -> dict[str, Any]:
    """Return what snapshot and timestamp say of the roles below them."""
    if role.name == trust.SNAPSHOT:
        versions = roles.versions()
    else:
        snapshot = roles.get(trust.SNAPSHOT)
        versions = {trust.SNAPSHOT: snapshot.version if snapshot else 0}
    return {"meta": {f"{name}.json": {"version": version} for name, version in versions.items()}}


def _times(role: Role, roles: Roles) -> dict[str, Any]:
    """Return what the timestamp says that was signed last of when it was; devices keep that."""
    last = roles.get(role.name) if role.name == trust.TIMESTAMP else None
    return (
        {key: last.signed[key] for key in ("expires", trust.ISSUED) if key in last.signed} if last and last.data else {}
    )


def _targets(name: str, roles: Roles) -> dict[str, Any]:
    named = {each.path: {"hashes": {"sha256": each.sha256}, "length": each.size} for each in roles.targets(name)}
    return {"targets": named}


def _extra(mirror: Path, roles: Roles) -> Iterator[tuple[str, str]]:
    """Find files that no role has, or not yet."""
    known = {role.name: role.version for role in roles.all()}
    known[trust.ROOT] = max((root.version for root in roles.roots()), default=0)
    for file in (mirror / layout.METADATA).glob("**/*"):
        path = file.relative_to(mirror).as_posix()
        name = layout.parse_metadata(path)
        if path != layout.TIMESTAMP and (name is None or name[1] > known.get(name[0], 0)):
            yield path, EXTRA


def _active(roles: Roles) -> dict[str, Role]:
    return {role.name: role for role in roles.all() if role.active}


def _read(mirror: Path, path: str) -> bytes | None:
    try:
        return (mirror / path).read_bytes()
    except FileNotFoundError:
        return None
