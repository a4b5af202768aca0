"""Claimed packages: judging what a publisher signed against the catalogue, and filing it as it is.

The keys that count are those that the targets name for the package; no key of the mirror is among them. A refusal
changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, Targets

from builder import render
from builder.errors import ClaimedError, NotClaimedError, SignatureError, StaleRoleError, StatementError
from builder.pages import Page
from mirror import layout, trust
from mirror.canonical import digest

if TYPE_CHECKING:
    from builder.shelf import Shelves
    from builder.signing.roles import Role, Roles
    from builder.submission import Release, Statement

_LONGEST = timedelta(days=3653)  # ten years


def refuse_unsigned(roles: Roles, package: str) -> None:
    """See that nobody has to sign for a package.

    Raises:
        ClaimedError: its publisher has.
    """
    if roles.claims(package):
        raise ClaimedError(package)


def accept(shelves: Shelves, roles: Roles, statement: Statement, release: Release | None, now: datetime) -> list[Page]:
    """File what a publisher signed; returns the page of the role, and none if it was filed before.

    Belongs into the transaction that publishes; `shelves` then knows which lists changed.

    Args:
        shelves: where the list is filed.
        roles: where the role is.
        statement: what was signed.
        release: what came with it, if anything.
        now: the time.

    Raises:
        NotClaimedError: nobody claimed the package.
        SignatureError: others signed it than those who claimed the package.
        StaleRoleError: it is not the next version.
        StatementError: it says what it must not, or not what it must.
        VersionConflictError: it changes a release.
        CaseCollisionError: a name differs from an existing one only in case.
    """
    current = _claimed(roles, statement)
    if current.data == statement.signed and _is_listed(roles, statement):
        return []
    _check_signatures(roles, current, statement)
    _check_role(current, statement, now)
    _check_targets(roles, current, statement)
    contents = {release.content.version: release.content} if release else {}
    signed = statement.role.signed
    with shelves.trial():
        shelves.take(statement.newest, statement.segments, contents)
        _check_rendered(shelves, statement)
        roles.set(current.name, signed.version, trust.time(signed.expires), statement.signed)
        roles.set_list(
            statement.package, statement.branch, current.name, digest(statement.listed), len(statement.listed)
        )
    return [Page(layout.metadata(current.name, signed.version), statement.signed)]


def _claimed(roles: Roles, statement: Statement) -> Role:
    current = roles.get(trust.package_role(statement.package))
    if current is None or not current.active:
        raise NotClaimedError(statement.package)
    return current


def _is_listed(roles: Roles, statement: Statement) -> bool:
    """Tell whether the list is the one that counts: the same role may have come with another before."""
    filed = roles.list_of(statement.package, statement.branch)
    return filed is not None and filed[1].sha256 == digest(statement.listed)


def _check_signatures(roles: Roles, current: Role, statement: Statement) -> None:
    targets = roles.get(trust.TARGETS)
    if targets is None or targets.data is None:
        raise RuntimeError("a package is claimed, and there are no targets")
    delegator: Targets = Metadata[Targets].from_bytes(targets.data).signed
    role = statement.role
    result = delegator.get_verification_result(current.name, role.signed_bytes, role.signatures)
    if not result:
        wanted = ", ".join(sorted(keyid[:16] for keyid in (result.signed | result.unsigned)))
        raise SignatureError(
            f"{current.name} is signed by {len(result.signed)} of the keys {wanted}, and needs {result.threshold}: "
            "sign it with the keys that the package was claimed with, or have the operator change the claim"
        )


def _check_role(current: Role, statement: Statement, now: datetime) -> None:
    signed = statement.role.signed
    if signed.version != current.version + 1:
        raise StaleRoleError(current.name, current.version, signed.version)
    if signed.expires <= now:
        raise StatementError(f"{current.name} has expired, {trust.time(signed.expires)}: sign it for longer")
    if signed.expires > now + _LONGEST:
        raise StatementError(f"{current.name} expires in more than ten years, {trust.time(signed.expires)}")
    if signed.unrecognized_fields.get(trust.ROLE) != current.name:
        raise StatementError(f"{current.name} does not say {trust.ROLE}: {current.name}; sign it with that")
    if signed.delegations is not None:
        raise StatementError(f"{current.name} delegates to others; a package's role must not")
    if len(statement.signed) > trust.MAX_BYTES[trust.TARGETS]:
        raise StatementError(f"{current.name} has more than {trust.MAX_BYTES[trust.TARGETS]} bytes")


def _check_targets(roles: Roles, current: Role, statement: Statement) -> None:
    """See that the role names every list of the package as it is, this one as it comes, and nothing else."""
    wanted = {each.path: (each.sha256, each.size) for each in roles.targets(current.name)}
    path = layout.release_list(statement.package, statement.branch)
    wanted[path] = digest(statement.listed), len(statement.listed)
    named = statement.role.signed.targets
    if extra := sorted(named.keys() - wanted):
        raise StatementError(f"{current.name} names {extra[0]}, which is no list of {statement.package}")
    if missing := sorted(wanted.keys() - named):
        raise StatementError(f"{current.name} does not name {missing[0]}, which is a list of {statement.package}")
    for target, (sha256, size) in wanted.items():
        if (named[target].hashes, named[target].length) != ({"sha256": sha256}, size):
            whose = "came with it" if target == path else "is there"
            raise StatementError(
                f"{current.name} does not name the {target} that {whose}: SHA-256 {sha256}, {size} bytes"
            )


def _check_rendered(shelves: Shelves, statement: Statement) -> None:
    """See that what will be rendered is what was signed, to the byte."""
    branch = shelves.branch(statement.package, statement.branch)
    made = {digest(render.segment(shelf)[0].data) for shelf in shelves.changed_older(branch)}
    rendered = render.pointers(shelves.head(branch))[0].data
    if rendered != statement.listed or not made <= {part.sha256 for part in statement.newest.older}:
        raise StatementError(
            f"this release of otamirror would not keep the list of {statement.title} as it was signed; "
            "sign one that says no more than it knows"
        )
