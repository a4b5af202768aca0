"""Signing: the stage between rendering and publishing.

A release changes one list, so it has one bin signed, the snapshot and the timestamp, however many lists there are. A
claimed package's role comes signed by its publisher. Versions are reserved in the transaction that fills the outbox.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from securesystemslib.signer import Key

from builder.errors import KeysError
from builder.pages import Page, Pages
from builder.signing import clock as clocks
from builder.signing import documents
from mirror import layout, trust
from mirror.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from securesystemslib.signer import Signer
    from tuf.api.metadata import SuccinctRoles

    from builder.signing.keys import Keyring
    from builder.signing.roles import Role, Roles, Root
    from builder.site import Trust


class Signing:
    """Signs for one site; every method belongs into a transaction on its catalogue.

    Attributes:
        cache_seconds: for how long any cache may keep what it has.
        clock_is_right: whether a person vouches for the clock, until a timestamp was signed by it.
    """

    def __init__(
        self, roles: Roles, keyring: Keyring, settings: Trust, cache_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.roles = roles
        self.keyring = keyring
        self.settings = settings
        self.cache_seconds = cache_seconds
        self.clock = clock
        self.clock_is_right = False

    def sign(self, pages: Pages) -> Pages:
        """Return pages with what vouches for the release lists among them.

        Raises:
            KeysError: a key is missing.
            ClockError: the clock cannot be right.
        """
        return self.renew(self.file(pages.pointers), pages)

    def renew(self, names: Iterable[str], pages: Pages | None = None) -> Pages:
        """Sign these bins anew, and the snapshot and the timestamp; returns `pages` with them."""
        keys = self.unclaimed_keys()
        made = [self._bin(name, self.signers(name, keys)) for name in sorted(names)]
        made += [self._snapshot(), self._timestamp()]
        return pages.adding(made) if pages else Pages.of(made)

    def everything(self) -> Pages:
        """Return all metadata: what people signed as it is, everything else signed anew."""
        kept = [_page(trust.ROOT, root.version, root.data) for root in self.roles.roots() if root.published is not None]
        for role in self.roles.all():
            if role.active and (role.name == trust.TARGETS or trust.claimed_package(role.name)):
                known = self._known(role.name)
                kept.append(_page(known.name, known.version, known.data or b""))
        return self.renew(self.bins().get_roles(), Pages.of([*kept, self.renew_unclaimed()]))

    def file(self, pointers: Iterable[Page]) -> set[str]:
        """Remember the bytes of the lists among the pages; returns the bins that name other ones now."""
        changed = set()
        for page in pointers:
            name = layout.parse_release_list(page.path)
            if name is None:
                continue
            sha256, size = digest(page.data), len(page.data)
            filed = self.roles.list_of(name.package, name.branch)
            if filed and (filed[1].sha256, filed[1].size) == (sha256, size):
                continue
            role = filed[0] if filed else self.role_for(name.package, name.branch)
            self.roles.set_list(name.package, name.branch, role, sha256, size)
            changed.add(role)
        return {role for role in changed if not trust.claimed_package(role)}

    def delegate(self, bits: int, keys: Mapping[str, Key]) -> tuple[list[Page], set[str]]:
        """Have 2^`bits` bins with these keys speak for what nobody claims; returns a page, and the bins to be signed.

        The bins that there were are retired, and their lists go where they belong now.
        """
        before = self.bins() if self.roles.get(trust.UNCLAIMED) else None
        page = self._unclaimed(bits, keys)
        after = self.bins()
        if before:
            self.roles.retire(set(before.get_roles()) - set(after.get_roles()))
        self.place()
        return [page], set(after.get_roles())

    def place(self) -> None:
        """Put every list where it belongs now: to its package's publisher, or into its bin."""
        bins = self.bins()
        claimed = {role.name for role in self.roles.all() if role.active and trust.claimed_package(role.name)}
        for package, branch, role in self.roles.lists():
            own = trust.package_role(package)
            path = layout.release_list(package, branch)
            belongs = own if own in claimed else bins.get_role_for_target(path)
            if role not in {"", belongs}:
                self.roles.move(package, branch, belongs)

    def renew_unclaimed(self) -> Page:
        """Sign the delegation to the bins anew, as it is."""
        bins = self.bins()
        return self._unclaimed(bins.bit_length, self.unclaimed_keys())

    def bins(self) -> SuccinctRoles:
        """Return the delegation to the bins as it is."""
        given = self._known(trust.UNCLAIMED).signed["delegations"]["succinct_roles"]
        return trust.bins(given["bit_length"], given["keyids"])

    def unclaimed_keys(self) -> dict[str, Key]:
        """Return the keys of the bins."""
        return keys_of(self._known(trust.UNCLAIMED).signed["delegations"])

    def delegated(self) -> Iterator[tuple[str, int, list[Key]]]:
        """Yield every role that somebody delegates to but the bins, with its threshold and its keys."""
        root = self.roles.newest_roots()[0].signed
        known = keys_of(root)
        for role in trust.TOP:
            part = root["roles"][role]
            yield role, part["threshold"], [known[keyid] for keyid in part["keyids"]]
        delegations = self._known(trust.TARGETS).signed["delegations"]
        known = keys_of(delegations)
        for part in delegations["roles"]:
            yield part["name"], part["threshold"], [known[keyid] for keyid in part["keyids"]]

    def role_for(self, package: str, branch: str) -> str:
        """Name the role that speaks for the list of a branch."""
        if self.roles.claims(package):
            return trust.package_role(package)
        return self.bins().get_role_for_target(layout.release_list(package, branch))

    def signers(self, role: str, keys: Mapping[str, Key], threshold: int = 1) -> list[Signer]:
        """Return the signers that are here for a role.

        Raises:
            KeysError: they are less than the threshold.
        """
        configured = trust.UNCLAIMED if role not in trust.TOP else role
        found = [signer for key in keys.values() if (signer := self.keyring.find(configured, key))]
        if len(found) < threshold:
            wanted = ", ".join(keyid[:16] for keyid in keys)
            raise KeysError(
                f"{role} needs {threshold} of the keys {wanted}, and {len(found)} are here: put the key back into "
                f"paths.keys, or name it as `keys.{configured}` in site.toml"
            )
        return found

    def check_keys(self) -> None:
        """Load every key that signs online, so that one that is missing is told before it is needed.

        Raises:
            KeysError: with all that are missing.
        """
        wanted = [
            (role, root.signed["roles"][role], keys_of(root.signed))
            for root, is_needed in self._roots()
            for role in (trust.SNAPSHOT, trust.TIMESTAMP)
            if is_needed
        ]
        problems: list[str] = []
        for role, part, known in wanted:
            problems += self._lack(role, {keyid: known[keyid] for keyid in part["keyids"]}, part["threshold"])
        if self.roles.get(trust.UNCLAIMED):
            problems += self._lack(trust.UNCLAIMED, self.unclaimed_keys())
        if problems:
            raise KeysError("\n".join(dict.fromkeys(problems)))

    def _lack(self, role: str, keys: Mapping[str, Key], threshold: int = 1) -> list[str]:
        try:
            self.signers(role, keys, threshold)
        except KeysError as error:
            return [str(error)]
        return []

    def longest_age(self) -> float:
        """Return for how many seconds a cache may keep what it has; the greatest since a rotation began counts."""
        return max([self.cache_seconds, *(root.longest_age for root in self.roles.newest_roots() if not root.settled)])

    def expires(self, days: float) -> str:
        """Tell when what is signed now expires."""
        return trust.time(self.now() + timedelta(days=days))

    def now(self) -> datetime:
        """Tell the time."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def _bin(self, name: str, signers: list[Signer]) -> Page:
        expires = self.expires(self.settings.online_days)
        version = self.roles.reserve(name, expires)
        return _page(
            name, version, documents.seal(documents.bin_of(name, version, expires, self.roles.targets(name)), signers)
        )

    def _unclaimed(self, bits: int, keys: Mapping[str, Key]) -> Page:
        expires = self.expires(self.settings.online_days)
        version = self.roles.reserve(trust.UNCLAIMED, expires)
        data = documents.seal(documents.unclaimed(version, expires, bits, keys), self.signers(trust.UNCLAIMED, keys))
        self.roles.keep(trust.UNCLAIMED, data)
        return _page(trust.UNCLAIMED, version, data)

    def _snapshot(self) -> Page:
        expires = self.expires(self.settings.timestamp_days)
        versions = self.roles.versions()
        version = self.roles.reserve(trust.SNAPSHOT, expires)
        signed = documents.snapshot(version, expires, versions)
        return _page(trust.SNAPSHOT, version, documents.seal(signed, self._bridging(trust.SNAPSHOT)))

    @contextlib.contextmanager
    def vouched(self, is_right: bool) -> Iterator[None]:  # noqa: FBT001 - it is the whole of what is said
        """Have a person's word for the clock count for one timestamp at most."""
        self.clock_is_right = is_right
        try:
            yield
        finally:
            self.clock_is_right = False

    def check_clock(self) -> datetime:
        """Return when a timestamp that is signed now was issued.

        Raises:
            ClockError: the clock cannot be right.
        """
        return clocks.time_to_issue(self.now(), None if self.clock_is_right else self.last_issue())

    def last_issue(self) -> clocks.Issue | None:
        """Return the times of the last timestamp; None if there was none."""
        last = self.roles.get(trust.TIMESTAMP)
        return clocks.issue(last.signed) if last and last.data else None

    def _timestamp(self) -> Page:
        issued, last = self.check_clock(), self.last_issue()
        self.roles.superseded.date(self.clock(), last.expires.timestamp() if last else 0.0)
        self.roles.root_waits_for(self.cache_seconds)
        expires = self.expires(self.settings.timestamp_days)
        version = self.roles.reserve(trust.TIMESTAMP, expires)
        snapshot = self._known(trust.SNAPSHOT).version
        signed = documents.timestamp(version, expires, snapshot, trust.time(issued), self.settings.poll_seconds)
        data = documents.seal(signed, self._bridging(trust.TIMESTAMP))
        self.roles.keep(trust.TIMESTAMP, data)
        self.clock_is_right = False
        return Page(layout.TIMESTAMP, data)

    def _bridging(self, role: str) -> list[Signer]:
        """Return the signers of a role for every root under which it may be read."""
        found: dict[str, Signer] = {}
        for root, is_needed in self._roots():
            part = root.signed["roles"][role]
            keys = {keyid: key for keyid, key in keys_of(root.signed).items() if keyid in part["keyids"]}
            for signer in self.signers(role, keys, part["threshold"] if is_needed else 0):
                found.setdefault(signer.public_key.keyid, signer)
        return list(found.values())

    def _roots(self) -> Iterator[tuple[Root, bool]]:
        """Yield the roots to sign for, and whether the keys of each must be here."""
        for root in self.roles.newest_roots():
            yield root, True
            if root.published is None:
                continue
            if not root.settled:
                # whose key was lost is not asked for: that may be why there is a newer root
                yield from (
                    (before, False) for before in self.roles.newest_roots() if before.version == root.version - 1
                )
            return

    def _known(self, name: str) -> Role:
        role = self.roles.get(name)
        if role is None:
            raise RuntimeError(f"there is no role {name} yet")
        return role


def keys_of(part: Mapping[str, Mapping[str, dict[str, object]]]) -> dict[str, Key]:
    """Read the keys of a root or of delegations."""
    return {keyid: Key.from_dict(keyid, dict(key)) for keyid, key in part["keys"].items()}


def _page(role: str, version: int, data: bytes) -> Page:
    return Page(layout.metadata(role, version), data)
