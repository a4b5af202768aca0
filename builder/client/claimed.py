"""A claimed package as a mirror shows it, believed as far as its publisher's own keys signed it.

What the mirror's own keys sign is asked for nothing but a version number: whoever has stolen them can show an older
role, and cannot have a publisher sign a release that no publisher signed before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from securesystemslib.exceptions import UnverifiedSignatureError

from builder.errors import StatementError
from builder.verify import MAX_ROLE_BYTES, read_role
from mirror import canonical, layout, names, releases, trust
from mirror.errors import PublisherError
from mirror.releases import ReleaseList, ReleaseListError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from securesystemslib.signer import Key
    from tuf.api.metadata import Metadata, Targets

    from mirror.releases import Segment

Get = Callable[[str, int], bytes | None]
"""Gives the file of a mirror at a path if it has no more bytes than so many; None if it is not there."""


class MirrorFilesError(PublisherError):
    """What the mirror serves of a package cannot be built on."""

    code = "mirror-files"


@dataclass(frozen=True, slots=True)
class Claimed:
    """The role of a claimed package, signed by a key that is trusted, and where its lists are."""

    package: str
    role: Metadata[Targets]
    get: Get

    def newest(self, branch: str) -> ReleaseList:
        """Return the list of a branch; an empty one if the publisher signed none yet."""
        target = self.role.signed.targets.get(layout.release_list(self.package, branch))
        if target is None:
            return ReleaseList(self.package, branch, ())
        if not names.is_sha256(target.hashes.get("sha256", "")):
            raise MirrorFilesError(f"the role of {self.package} names its list on {branch} by no SHA-256")
        data = self._named(branch, target.hashes["sha256"])
        try:
            found = releases.parse(data)
        except ReleaseListError as error:
            raise MirrorFilesError(f"{self.package} on {branch}: {error}") from error
        if (found.package, found.branch) != (self.package, branch):
            raise MirrorFilesError(f"the list of {self.package} on {branch} is of something else")
        return found

    def segment(self, newest: ReleaseList, reference: Segment) -> ReleaseList:
        """Return an older segment of a list."""
        try:
            return releases.parse_segment(self._named(newest.branch, reference.sha256), newest, reference)
        except ReleaseListError as error:
            raise MirrorFilesError(f"{self.package} on {newest.branch}: {error}") from error

    def _named(self, branch: str, sha256: str) -> bytes:
        path = layout.hashed_release_list(self.package, branch, sha256)
        data = _there(self.get, path, releases.MAX_BYTES)
        if canonical.digest(data) != sha256:
            raise MirrorFilesError(f"{path} has other bytes than were signed: the mirror, or a cache, is damaged")
        return data


def read(get: Get, package: str, trusted: Collection[Key], version: int | None = None) -> Claimed:
    """Read the role of a claimed package.

    Args:
        get: reads the mirror.
        package: whose role.
        trusted: keys, of which one must have signed it.
        version: the one to read; None is the newest that the mirror shows.

    Raises:
        MirrorFilesError: the package is not claimed there, or what is there cannot be built on.
    """
    name = trust.package_role(package)
    version = version or _version(get, name)
    path = layout.metadata(name, version)
    data = _there(get, path, MAX_ROLE_BYTES)
    try:
        role = read_role(data)
    except StatementError as error:
        raise MirrorFilesError(f"{path}: {error}") from error
    if not any(_has_signed(key, role) for key in trusted):
        raise MirrorFilesError(
            f"{name} version {role.signed.version} is signed by {_shown(role.signatures)}, and not by "
            f"{_shown(key.keyid for key in trusted)}: give the key that {package} was claimed with, or, if a colleague "
            "signed last, their public key with --trusted-key; otherwise do not sign anything that this mirror shows"
        )
    if role.signed.version != version:
        raise MirrorFilesError(f"{path} is version {role.signed.version}: the mirror shows what was")
    if role.signed.unrecognized_fields.get(trust.ROLE, name) != name:
        raise MirrorFilesError(f"{path} is another role, {role.signed.unrecognized_fields[trust.ROLE]!r}")
    for target in role.signed.targets:
        listed = layout.parse_release_list(target)
        if listed is None or listed.package != package:
            raise MirrorFilesError(f"{path} speaks of {target}: it is not the role of {package}")
    return Claimed(package, role, get)


def delegated(get: Get) -> set[str]:
    """Return the roles that the targets of a mirror delegate to: those of claimed packages, above all.

    Raises:
        MirrorFilesError: there are no targets that can be read.
    """
    snapshot = _meta(_there(get, layout.TIMESTAMP, trust.MAX_BYTES[trust.TIMESTAMP]), trust.SNAPSHOT)
    found = _there(get, layout.metadata(trust.SNAPSHOT, snapshot or 1), trust.MAX_BYTES[trust.SNAPSHOT])
    path = layout.metadata(trust.TARGETS, _meta(found, trust.TARGETS) or 1)
    try:
        roles = json.loads(_there(get, path, trust.MAX_BYTES[trust.TARGETS]))["signed"]["delegations"]["roles"]
        return {str(role["name"]) for role in roles}
    except (ValueError, LookupError, TypeError, RecursionError):
        raise MirrorFilesError(f"{path} cannot be read as targets") from None


def _version(get: Get, name: str) -> int:
    """Find which version of a role the mirror shows."""
    snapshot = _meta(_there(get, layout.TIMESTAMP, trust.MAX_BYTES[trust.TIMESTAMP]), trust.SNAPSHOT)
    if snapshot is None:
        raise MirrorFilesError(f"{layout.TIMESTAMP} is no metadata")
    path = layout.metadata(trust.SNAPSHOT, snapshot)
    version = _meta(_there(get, path, trust.MAX_BYTES[trust.SNAPSHOT]), name)
    if version is None:
        package = trust.claimed_package(name)
        raise MirrorFilesError(
            f"{package} is not claimed on this mirror: push it without --key, or have the operator claim it for you "
            "(`otamirror keys claim`)"
        )
    return version


def _meta(data: bytes, name: str) -> int | None:
    """Read the version that snapshot or timestamp give for a role; None if they give none."""
    try:
        version = json.loads(data)["signed"]["meta"][f"{name}.json"]["version"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    # JSON's true is an int too
    return version if isinstance(version, int) and not isinstance(version, bool) and version > 0 else None


def _there(get: Get, path: str, most: int) -> bytes:
    data = get(path, most)
    if data is None:
        raise MirrorFilesError(f"{path} is not on the mirror: look whether --to or --mirror is right, or try again")
    return data


def _has_signed(key: Key, role: Metadata[Targets]) -> bool:
    if key.keyid not in role.signatures:
        return False
    try:
        key.verify_signature(role.signatures[key.keyid], role.signed_bytes)
    except UnverifiedSignatureError:
        return False
    return True


def _shown(keyids: Iterable[str]) -> str:
    return ", ".join(sorted(keyid[:16] for keyid in keyids)) or "nobody"
