"""A signed mirror made with python-tuf alone, nothing of the builder's, that says whatever a test wants.

    simulator = Simulator(tree)
    simulator.list("app", "stable", data)
    simulator.publish()
    with simulator.lying():
        simulator.snapshot.version = 1     # what a test has set stays as it is
        simulator.publish()

What the roles say is in public objects of python-tuf's, to be changed. `publish` signs and writes what was changed,
with a higher version, unless the test set version, expiry or x-issued itself; `write` plants any bytes at all.
"""

from __future__ import annotations

import contextlib
import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import CanonicalJSONSerializer, JSONSerializer

from mirror import layout, trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from securesystemslib.signer import Signer
    from tuf.api.metadata import SuccinctRoles

DAYS = {trust.TIMESTAMP: 14, trust.SNAPSHOT: 14, trust.UNCLAIMED: 90, trust.TARGETS: 365, trust.ROOT: 365}
"""How long roles live; bins as long as `unclaimed`."""
CLAIMED_DAYS = 180

_COMPACT = JSONSerializer(compact=True)
_CANONICAL = CanonicalJSONSerializer()


class Simulator:
    """The repository of one mirror.

    Attributes:
        tree: what is served.
        now: the time that it believes in; move it to sign later.
        signers: who signs for a role, by its name; bins are signed by those of `unclaimed`.
        root: likewise `targets`, `snapshot`, `timestamp` and `unclaimed`, what the role says.
        bins: what each bin says, by its name.
        claimed: what each role of a claimed package says, by its name.
    """

    def __init__(self, tree: Path, *, bits: int = 2, now: datetime | None = None) -> None:
        self.tree = tree
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.signers: dict[str, list[Signer]] = {role: [new_signer()] for role in (*trust.TOP, trust.UNCLAIMED)}
        self._written: dict[str, _Written] = {}
        self.root = Root(expires=self.expiry(trust.ROOT), consistent_snapshot=True)
        for role in trust.TOP:
            self.root.add_key(self.signers[role][0].public_key, role)
        self.snapshot = Snapshot(expires=self.expiry(trust.SNAPSHOT))
        self.timestamp = Timestamp(expires=self.expiry(trust.TIMESTAMP))
        self.claimed: dict[str, Targets] = {}
        self.bins: dict[str, Targets] = {}
        self.unclaimed = Targets(expires=self.expiry(trust.UNCLAIMED))
        self.split(bits)
        self.targets = Targets(expires=self.expiry(trust.TARGETS))
        key = self.signers[trust.UNCLAIMED][0].public_key
        everything = DelegatedRole(trust.UNCLAIMED, [key.keyid], 1, terminating=False, paths=[*trust.UNCLAIMED_PATHS])
        self.targets.delegations = Delegations({key.keyid: key}, {trust.UNCLAIMED: everything})
        self.write(trust.ROOT, 1, self.sign(trust.ROOT, self.root))
        self.publish()

    # what the mirror offers

    def list(self, package: str, branch: str, data: bytes) -> TargetFile:
        """Take these bytes as the release list of a branch, to be signed by the next `publish`."""
        target = TargetFile.from_data(layout.release_list(package, branch), data, ["sha256"])
        self.put(target.path, data)
        self.put(layout.hashed_release_list(package, branch, target.hashes["sha256"]), data)
        self.speaker(target.path).targets[target.path] = target
        return target

    def speaker(self, path: str) -> Targets:
        """Return the role that rightly speaks for the path of a release list."""
        package = path.split("/")[1]
        return self.claimed.get(trust.package_role(package)) or self.bins[self.succinct.get_role_for_target(path)]

    @property
    def succinct(self) -> SuccinctRoles:
        """Return the delegation of `unclaimed` to its bins."""
        delegations = self.unclaimed.delegations
        assert delegations is not None
        assert delegations.succinct_roles is not None
        return delegations.succinct_roles

    def split(self, bits: int) -> None:
        """Delegate what nobody claims to 2^`bits` bins, and move the lists there."""
        key = self.signers[trust.UNCLAIMED][0].public_key
        lists = [target for bin_ in self.bins.values() for target in bin_.targets.values()]
        succinct = trust.bins(bits, [key.keyid])
        self.unclaimed.delegations = Delegations({key.keyid: key}, succinct_roles=succinct)
        self.bins = {name: Targets(expires=self.expiry(trust.UNCLAIMED)) for name in succinct.get_roles()}
        for target in lists:
            self.speaker(target.path).targets[target.path] = target

    def claim(self, package: str, signer: Signer | None = None, *, threshold: int = 1) -> None:
        """Delegate a package to its publisher, and move its lists there."""
        name = trust.package_role(package)
        self.signers[name] = [signer or new_signer()]
        self.claimed[name] = Targets(expires=self.expiry(name))
        for bin_ in self.bins.values():
            for path in [path for path in bin_.targets if path.split("/")[1] == package]:
                self.claimed[name].targets[path] = bin_.targets.pop(path)
        role = DelegatedRole(name, [], threshold, terminating=True, paths=[*trust.claimed_paths(package)])
        self.delegate(role, self.signers[name])

    def delegate(self, role: DelegatedRole, signers: Iterable[Signer]) -> None:
        """Put a delegation of `targets` before all others."""
        delegations = self.delegations
        for signer in signers:
            delegations.keys[signer.public_key.keyid] = signer.public_key
            role.keyids.append(signer.public_key.keyid)
        assert delegations.roles is not None
        delegations.roles = {role.name: role, **delegations.roles}

    @property
    def delegations(self) -> Delegations:
        """Return whom `targets` delegates to."""
        assert self.targets.delegations is not None
        return self.targets.delegations

    def require(self, role: str, threshold: int) -> None:
        """Have a role need so many signatures, and give it as many keys; those of root and targets need a new root."""
        delegator = self.root if role in trust.TOP else self.targets
        for _ in range(threshold - len(self.signers[role])):
            signer = new_signer()
            self.signers[role] = [*self.signers[role], signer]
            delegator.add_key(signer.public_key, role)
        delegator.get_delegated_role(role).threshold = threshold

    # signing and writing

    def of(self, role: str) -> Any:
        """Return what a role says."""
        known: dict[str, Any] = {name: getattr(self, name) for name in (*trust.TOP, trust.UNCLAIMED)}
        return (known | self.bins | self.claimed)[role]

    @contextlib.contextmanager
    def lying(self) -> Iterator[None]:
        """Undo at the end what was said and written meanwhile; what was signed for it is then signed anew, above it."""
        files = {file: file.read_bytes() for file in self.tree.rglob("*") if file.is_file()}
        kept = {name: value for name, value in vars(self).items() if name not in {"tree", "signers"}}
        said, signers = copy.deepcopy(kept), dict(self.signers)
        yield
        lied = {name: written.version for name, written in self._written.items()}
        for file in self.tree.rglob("*"):
            if file.is_file() and file not in files:
                file.unlink()
        for file, data in files.items():
            file.write_bytes(data)
        vars(self).update(said)
        self.signers = signers
        if lied != {name: written.version for name, written in self._written.items()}:
            for name, written in self._written.items():
                self.of(name).version = written.version = max(written.version, lied[name])
            self.publish(everything=True)

    def publish(self, *, everything: bool = False) -> None:
        """Sign and write what was changed (or everything but the root), then the timestamp."""
        online = dict.fromkeys(self.bins, trust.UNCLAIMED)
        for name, signed in [*self.bins.items(), *self.claimed.items(), (trust.UNCLAIMED, self.unclaimed)]:
            self._update(name, signed, online.get(name, name), everything=everything)
        self._update(trust.TARGETS, self.targets, trust.TARGETS, everything=everything)
        if self._update(trust.SNAPSHOT, self.snapshot, trust.SNAPSHOT, everything=everything):
            self.timestamp.snapshot_meta = MetaFile(self.snapshot.version)
        fields = self.timestamp.unrecognized_fields
        last = self._written.get(trust.TIMESTAMP)
        if last is None or fields.get(trust.ISSUED) == last.issued:
            fields[trust.ISSUED] = trust.time(self.now)
        self._update(trust.TIMESTAMP, self.timestamp, trust.TIMESTAMP, everything=True)

    def new_root(self, *rotated: str, publish: bool = True) -> None:
        """Make the next root, in which these roles have one new key each; old and new keys of the root sign it."""
        before = self.signers[trust.ROOT]
        for role in rotated:
            for signer in self.signers[role]:
                self.root.revoke_key(signer.public_key.keyid, role)
            self.signers[role] = [new_signer()]
            self.root.add_key(self.signers[role][0].public_key, role)
        self.root.version += 1
        self.root.expires = self.expiry(trust.ROOT)
        signers = {signer.public_key.keyid: signer for signer in (*before, *self.signers[trust.ROOT])}
        self.write(trust.ROOT, self.root.version, seal(self.root, signers.values()))
        if publish:
            self.publish()

    def sign(self, role: str, signed: Signed) -> bytes:
        """Return the file of a role that says this, signed by those who sign for it; bins are told by their name."""
        _name(role, signed)
        return seal(signed, self.signers[trust.UNCLAIMED if role in self.bins else role])

    def write(self, role: str, version: int, data: bytes) -> None:
        """Write a file of metadata, whatever is in it."""
        self.put(path_of(role, version), data)

    def read(self, role: str, version: int | None = None) -> bytes:
        """Read a file of metadata, the newest that was published unless told otherwise."""
        return (self.tree / path_of(role, version or self._written[role].version)).read_bytes()

    def put(self, path: str, data: bytes) -> None:
        """Write any file of the mirror."""
        file = self.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def expiry(self, role: str) -> datetime:
        """Tell when what a role says now expires."""
        days = CLAIMED_DAYS if trust.claimed_package(role) else DAYS.get(role, DAYS[trust.UNCLAIMED])
        return self.now + timedelta(days=days)

    def _update(self, name: str, signed: Signed, signing: str, *, everything: bool) -> bool:
        """Sign and write a role if it has changed, and have the snapshot say so; tells whether."""
        _name(name, signed)
        signers = self.signers[signing]
        last = self._written.get(name)
        if last and not everything and last.print == _print(signed, signers):
            return False
        if last and signed.version == last.version:
            signed.version += 1
        if last is None or signed.expires == last.expires:
            signed.expires = self.expiry(name)
        self.write(name, signed.version, seal(signed, signers))
        self._written[name] = _Written(signed, signers)
        if isinstance(signed, Targets):
            self.snapshot.meta[f"{name}.json"] = MetaFile(signed.version)
        return True


class _Written:
    """What was written last of a role."""

    def __init__(self, signed: Signed, signers: list[Signer]) -> None:
        self.print = _print(signed, signers)
        self.version = signed.version
        self.expires = signed.expires
        self.issued: Any = signed.unrecognized_fields.get(trust.ISSUED)


def _name(role: str, signed: Signed) -> None:
    """Have a role that targets delegate to say which it is."""
    if isinstance(signed, Targets) and role != trust.TARGETS:
        signed.unrecognized_fields.setdefault(trust.ROLE, role)


def new_signer() -> CryptoSigner:
    """Make a key nobody knows yet."""
    return CryptoSigner.generate_ed25519()


def seal(signed: Signed, signers: Iterable[Signer]) -> bytes:
    """Return the file of a role that says this, signed by these."""
    metadata: Metadata[Any] = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes(_COMPACT)


def path_of(role: str, version: int) -> str:
    """Path of a file of metadata."""
    return layout.TIMESTAMP if role == trust.TIMESTAMP else layout.metadata(role, version)


def _print(signed: Signed, signers: list[Signer]) -> bytes:
    keyids = ",".join(signer.public_key.keyid for signer in signers)
    return _CANONICAL.serialize(signed) + keyids.encode()
