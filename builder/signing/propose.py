"""Proposing a change of who may sign: keys added, removed and rotated, packages claimed and given back.

A draft starts from what is published and becomes a `Change`, whose signatures are others' matter.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tuf.api.metadata import DelegatedRole, Metadata, Root, TargetFile, Targets

from builder.errors import KeysError
from builder.signing.change import Change
from mirror import trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import Key
    from tuf.api.metadata import Delegations, Role

    from builder.signing.sign import Signing


class Draft:
    """A change in the making."""

    def __init__(self, signing: Signing) -> None:
        """Start from the newest root and targets.

        Raises:
            KeysError: a root waits for caches; no other may come meanwhile.
        """
        self._signing = signing
        newest = signing.roles.newest_roots()[0]
        if newest.published is None:
            raise KeysError(
                f"root {newest.version} is signed and waits until no cache has older metadata; "
                "`otamirror resign` publishes it when it is time, and `otamirror up` does so by itself"
            )
        targets = signing.roles.get(trust.TARGETS)
        if targets is None or targets.data is None:
            raise RuntimeError("there are no targets yet")
        self._before: Metadata[Root] = Metadata.from_bytes(newest.data)
        self._delegator: Metadata[Targets] = Metadata.from_bytes(targets.data)
        self._root: Root = Metadata[Root].from_bytes(newest.data).signed
        self._targets: Targets = Metadata[Targets].from_bytes(targets.data).signed
        self._packages: dict[str, Targets] = {}
        self._notes: list[str] = []
        self._renewed: set[str] = set()

    def add_key(self, role: str, key: Key) -> None:
        """Have another key sign for a role."""
        if key.keyid in self._keyids(role):
            raise KeysError(f"{key.keyid[:16]} is a key of {role} already")
        self._add(role, key)
        self._notes.append(f"{key.keyid[:16]} may sign {role}")

    def remove_key(self, role: str, prefix: str) -> None:
        """Have a key, known by the first digits of its id, not sign for a role any more."""
        found = [keyid for keyid in self._keyids(role) if keyid.startswith(prefix)]
        if len(found) != 1:
            raise KeysError(f"{role} has {len(found)} keys that begin with {prefix!r}: {_shown(self._keyids(role))}")
        self._remove(role, found[0])
        if len(self._keyids(role)) < self.threshold(role):
            raise KeysError(f"{role} would have fewer keys than its threshold; add one first")
        self._notes.append(f"{found[0][:16]} may not sign {role} any more")

    def replace_keys(self, role: str, new: Sequence[Key]) -> None:
        """Have these keys sign for a role instead of all that do."""
        old = self._keyids(role)
        for key in new:
            self._add(role, key)
        for keyid in set(old) - {key.keyid for key in new}:
            self._remove(role, keyid)
        if len(self._keyids(role)) < self.threshold(role):
            raise KeysError(f"{role} needs {self.threshold(role)} keys, {len(new)} were given")
        self._notes.append(f"{role} is signed by {_shown([key.keyid for key in new])} instead of {_shown(old)}")

    def set_threshold(self, role: str, threshold: int) -> None:
        """Have a role need so many signatures."""
        if threshold == self.threshold(role):
            return
        if len(self._keyids(role)) < threshold:
            raise KeysError(
                f"{role} has {len(self._keyids(role))} keys, which is less than {threshold}; add keys first"
            )
        self._root.roles[role].threshold = threshold
        self._notes.append(f"{role} needs {threshold} signatures")

    def threshold(self, role: str) -> int:
        """Return how many signatures a role needs."""
        return self._role(role).threshold

    def renew(self, role: str) -> None:
        """Have a role hold for longer, as it is."""
        self._renewed.add(role)
        self._notes.append(f"{role} stays as it is, and expires later")

    def claim(self, package: str, keys: Sequence[Key], threshold: int) -> None:
        """Have a package's publisher speak for it, with these keys, and nobody else.

        Raises:
            KeysError: there are fewer keys than signatures needed.
        """
        if not 1 <= threshold <= len({key.keyid for key in keys}):
            raise KeysError(f"{len(keys)} keys cannot give {threshold} signatures")
        role, delegations = trust.package_role(package), self._delegations()
        roles = delegations.roles or {}
        for keyid in list(roles[role].keyids if role in roles else ()):
            self._targets.revoke_key(keyid, role)
        claimed = DelegatedRole(role, [], threshold, terminating=True, paths=list(trust.claimed_paths(package)))
        others = {name: each for name, each in roles.items() if name not in {role, trust.UNCLAIMED}}
        # before `unclaimed`: the first who speaks for a path is heard
        delegations.roles = {**others, role: claimed, trust.UNCLAIMED: roles[trust.UNCLAIMED]}
        for key in keys:
            self._targets.add_key(key, role)
        self._packages[role] = self._package_role(role, package)
        self._notes.append(f"{package} is signed by {_shown([key.keyid for key in keys])}, its publisher, alone")

    def unclaim(self, package: str) -> None:
        """Have the mirror's online keys speak for a package again.

        Raises:
            KeysError: nobody claims it.
        """
        role, delegations = trust.package_role(package), self._delegations()
        if role not in (delegations.roles or {}):
            raise KeysError(f"{package} is not claimed; `otamirror keys list` shows which packages are")
        for keyid in list((delegations.roles or {})[role].keyids):
            self._targets.revoke_key(keyid, role)
        delegations.roles = {name: each for name, each in (delegations.roles or {}).items() if name != role}
        self._notes.append(f"{package} is signed by the mirror's online keys again")

    def was_unclaimed(self, package: str) -> bool:
        """Tell whether the mirror's online keys speak, or spoke, for a package."""
        return any(not trust.claimed_package(role) for _, _, role in self._signing.roles.lists(package))

    def change(self, *, at_once: bool = False) -> Change:
        """Return what has to be signed.

        Args:
            at_once: keys are lost or stolen, so the root waits for no cache, and no lost key has to sign. Devices that
                get older metadata from a cache refuse it for as long as the cache keeps it.

        Raises:
            KeysError: nothing changes.
        """
        if not self._notes:
            raise KeysError("nothing would change")
        # targets that are there are not signed by new keys of theirs
        signed_anew = self._root.roles[trust.TARGETS] != self._before.signed.roles[trust.TARGETS]
        has_root = trust.ROOT in self._renewed or self._root != self._before.signed
        has_targets = trust.TARGETS in self._renewed or signed_anew or self._targets != self._delegator.signed
        if has_root:
            self._advance(self._root, self._signing.settings.root_days)
        if has_targets:
            self._advance(self._targets, self._signing.settings.targets_days)
        change = Change(
            tuple(self._notes),
            self._before,
            self._delegator,
            Metadata(self._root) if has_root else None,
            Metadata(self._targets) if has_targets else None,
            {name: Metadata(part) for name, part in self._packages.items()},
            at_once,
        )
        change.check_keys()
        return change

    def _advance(self, signed: Root | Targets, days: float) -> None:
        signed.version += 1
        signed.expires = self._signing.now() + timedelta(days=days)

    def _package_role(self, role: str, package: str) -> Targets:
        """Make the role with which a publisher begins: it names every list that there is."""
        roles, known = self._signing.roles, self._signing.roles.get(role)
        named = {}
        for _, branch, _ in roles.lists(package):
            filed = roles.list_of(package, branch)
            if filed:
                target = filed[1]
                named[target.path] = TargetFile(target.size, {"sha256": target.sha256}, target.path)
        expires = self._signing.now() + timedelta(days=self._signing.settings.publisher_days)
        fields = {trust.ROLE: role}
        return Targets(known.version + 1 if known else 1, expires=expires, targets=named, unrecognized_fields=fields)

    def _delegations(self) -> Delegations:
        if self._targets.delegations is None or self._targets.delegations.roles is None:
            raise RuntimeError("the targets delegate to nobody")
        return self._targets.delegations

    def _keyids(self, role: str) -> list[str]:
        return list(self._role(role).keyids)

    def _role(self, role: str) -> Role:
        return (
            self._targets.get_delegated_role(role) if role == trust.UNCLAIMED else self._root.get_delegated_role(role)
        )

    def _add(self, role: str, key: Key) -> None:
        self._targets.add_key(key, role) if role == trust.UNCLAIMED else self._root.add_key(key, role)

    def _remove(self, role: str, keyid: str) -> None:
        self._targets.revoke_key(keyid, role) if role == trust.UNCLAIMED else self._root.revoke_key(keyid, role)


def _shown(keyids: Sequence[str]) -> str:
    return ", ".join(sorted(keyid[:16] for keyid in keyids))
