"""Publishing a change of who may sign, and what follows from it as time passes.

A device asks for the root past all caches, and for the timestamp through them. So a new root may only come when all
metadata that a cache still has verifies under it, and old keys sign on until no cache has the old root's metadata.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, Root, Targets

from builder.errors import KeysError
from builder.pages import Page, Pages
from mirror import layout, trust

if TYPE_CHECKING:
    from typing import Any

    from builder.signing.change import Change
    from builder.signing.roles import Root as Kept
    from builder.signing.sign import Signing

logger = logging.getLogger(__name__)

SLACK_SECONDS = 10.0
"""Beyond the age of caches: they count whole seconds, and a device asks for one file after the other."""


def apply(change: Change, signing: Signing) -> Pages:
    """Keep a change with all its signatures; returns what publishes it.

    Raises:
        KeysError: signatures are missing, or the mirror has moved on since the change was made.
    """
    _check(change, signing)
    pages: list[Page] = []
    bins: set[str] = set()
    for role, part in change.packages.items():
        pages.append(_keep(role, part, signing))
        bins |= _claim(role, signing)
    if change.targets:
        pages.append(_keep(trust.TARGETS, change.targets, signing))
        bins |= _retire_claims(change.targets.signed, signing)
        more, renewed = _follow_unclaimed(change.targets.signed, signing)
        pages, bins = [*pages, *more], bins | renewed
    if change.root:
        pages += _take_root(change.root, signing, at_once=change.at_once or _is_bridged(change.root.signed, signing))
    return signing.renew(bins & set(signing.bins().get_roles()), Pages.of(pages))


def advance(signing: Signing) -> Pages | None:
    """Publish a root that has waited long enough, or end the signatures for the one before; None if it is not time."""
    signing.roles.root_waits_for(signing.cache_seconds)
    newest = signing.roles.newest_roots()[0]
    now = signing.clock()
    if newest.published is None:
        if newest.bridged is None or now < newest.bridged + wait(newest):
            return None
        signing.roles.root_is_published(newest.version, now)
        logger.info("published root %d", newest.version)
        return signing.renew((), Pages.of([Page(layout.metadata(trust.ROOT, newest.version), newest.data)]))
    if newest.settled or now < newest.published + wait(newest):
        return None
    signing.roles.root_is_settled(newest.version)
    logger.info("nothing is signed for root %d any more", newest.version - 1)
    return signing.renew(())


def _check(change: Change, signing: Signing) -> None:
    change.check_keys()
    if missing := change.missing():
        raise KeysError("signatures are missing: " + "; ".join(missing))
    newest = signing.roles.newest_roots()[0]
    if newest.published is None:
        raise KeysError(f"root {newest.version} waits until no cache has older metadata; publish this change after it")
    targets = signing.roles.get(trust.TARGETS)
    known = Metadata[Targets].from_bytes(targets.data).signed if targets and targets.data else None
    # both say whose signatures count, and a file can be written by anybody
    if change.before.signed != Metadata[Root].from_bytes(newest.data).signed or change.delegator.signed != known:
        raise KeysError("root or targets have changed since this change was made; make it again")
    for role, part in change.parts().items():
        version = newest.version if role == trust.ROOT else _version(role, signing)
        if part.signed.version != version + 1:
            raise KeysError(
                f"{role} is at version {version} by now, and this change brings {part.signed.version}; make it again"
            )
    for role, package in change.packages.items():
        _check_lists(role, package.signed, signing)


def _check_lists(role: str, signed: Targets, signing: Signing) -> None:
    """See that a publisher's first role names every list with the bytes that it has."""
    package = trust.claimed_package(role) or ""
    for _, branch, _ in signing.roles.lists(package):
        filed = signing.roles.list_of(package, branch)
        if filed is None:
            continue
        named = signed.targets.get(filed[1].path)
        if named is None or (named.hashes, named.length) != ({"sha256": filed[1].sha256}, filed[1].size):
            raise KeysError(f"{package} was published on {branch} since this change was made; make it again")


def _version(role: str, signing: Signing) -> int:
    known = signing.roles.get(role)
    return known.version if known else 0


def _keep(role: str, part: Metadata[Targets], signing: Signing) -> Page:
    data = part.to_bytes()
    signing.roles.set(role, part.signed.version, trust.time(part.signed.expires), data)
    return Page(layout.metadata(role, part.signed.version), data)


def _claim(role: str, signing: Signing) -> set[str]:
    """Have a publisher's role speak for all lists of its package; returns the bins that did."""
    package = trust.claimed_package(role) or ""
    before = {had for _, _, had in signing.roles.lists(package)} - {role, ""}
    for _, branch, _ in signing.roles.lists(package):
        signing.roles.move(package, branch, role)
    return before


def _retire_claims(targets: Targets, signing: Signing) -> set[str]:
    """Give the lists of packages that nobody claims any more back to the bins; returns those."""
    delegated = set(targets.delegations.roles or ()) if targets.delegations else set()
    bins: set[str] = set()
    gone = [each.name for each in signing.roles.all() if trust.claimed_package(each.name) and each.active]
    for role in set(gone) - delegated:
        signing.roles.retire([role])
        for package, branch, _ in signing.roles.lists(trust.claimed_package(role)):
            now = signing.role_for(package, branch)
            signing.roles.move(package, branch, now)
            bins.add(now)
    return bins


def _follow_unclaimed(targets: Targets, signing: Signing) -> tuple[list[Page], set[str]]:
    """Sign with the keys that the targets name for what nobody claims, if they are others than before."""
    keyids = targets.get_delegated_role(trust.UNCLAIMED).keyids
    if set(keyids) == set(signing.unclaimed_keys()):
        return [], set()
    return signing.delegate(signing.bins().bit_length, {keyid: targets.get_key(keyid) for keyid in keyids})


def _take_root(root: Metadata[Root], signing: Signing, *, at_once: bool) -> list[Page]:
    """Keep a new root; returns its page if devices may have it at once."""
    data, version, now = root.to_bytes(), root.signed.version, signing.clock()
    signing.roles.add_root(version, data, now, now if at_once else None)
    signing.roles.root_waits_for(signing.cache_seconds)
    if at_once:
        return [Page(layout.metadata(trust.ROOT, version), data)]
    seconds = wait(signing.roles.newest_roots()[0])
    logger.info("root %d is published in %d seconds, when no cache has older metadata", version, seconds)
    return []


def wait(root: Kept) -> float:
    """Return for how many seconds each step of a root's rotation waits for caches."""
    return root.longest_age + SLACK_SECONDS


def _is_bridged(root: Root, signing: Signing) -> bool:
    """Tell whether whatever caches may have of what was published before verifies under a new root."""
    before: Any = Metadata[Root].from_bytes(signing.roles.newest_roots()[0].data).signed
    for role in (trust.TIMESTAMP, trust.SNAPSHOT, trust.TARGETS):
        new = root.roles[role]
        # all keys of the old root sign, but one may have been away
        if not set(before.roles[role].keyids) <= set(new.keyids) or before.roles[role].threshold < new.threshold:
            return False
    return True
