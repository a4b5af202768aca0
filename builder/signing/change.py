"""A change of who may sign: new root, new targets, publishers' roles, as a file that collects signatures.

Several people sign root and targets on several machines, so a change travels: it is made at the site, signed wherever
the keys are, and published at the site once nothing is missing. The file carries the root that it starts from, so
whoever signs can see what changes and which keys count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata, Root, Targets

from builder.errors import KeysError
from mirror import public_keys, trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from securesystemslib.signer import Key, Signer
    from tuf.api.metadata import VerificationResult

MAX_BYTES = 64 * 1024 * 1024
_FORM = "otamirror-change"


@dataclass(frozen=True, slots=True)
class Change:
    """A change on its way to its signatures.

    Attributes:
        notes: what it does, a sentence each, for those who sign.
        before: the root that it starts from.
        delegator: the targets that count for publishers' roles when it brings no others.
        packages: publishers' roles, by name.
        at_once: the root waits for no cache, because keys are lost or stolen.
    """

    notes: tuple[str, ...]
    before: Metadata[Root]
    delegator: Metadata[Targets]
    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None
    packages: Mapping[str, Metadata[Targets]] = field(default_factory=dict)
    at_once: bool = False

    def parts(self) -> dict[str, Metadata[Any]]:
        """Return what has to be signed, by role."""
        found: dict[str, Metadata[Any]] = {}
        if self.root:
            found[trust.ROOT] = self.root
        if self.targets:
            found[trust.TARGETS] = self.targets
        return found | dict(self.packages)

    def judge(self) -> Iterator[tuple[str, VerificationResult]]:
        """Yield for every part, by whom it has to be signed and by whom it is; some are judged twice.

        A new root pleases the one before it and itself. Targets please both too: caches may mix the two for a while.
        """
        for role, part in self.parts().items():
            for delegator in self._delegators(role):
                yield role, delegator.get_verification_result(role, part.signed_bytes, part.signatures)

    def missing(self) -> list[str]:
        """Tell which signatures are missing, for people."""
        return [
            f"{role} needs {result.missing} more of {', '.join(sorted(keyid[:16] for keyid in result.unsigned))}"
            for role, result in self.judge()
            if not result
        ]

    def sign(self, signer: Signer) -> list[str]:
        """Add the signatures of one key; returns the roles that it signed.

        Raises:
            KeysError: nobody wants this key's signature.
        """
        keyid, done = signer.public_key.keyid, []
        for role, part in self.parts().items():
            keyids = {keyid for each in self._delegators(role) for keyid in each.get_delegated_role(role).keyids}
            if keyid in keyids:
                part.sign(signer, append=True)
                done.append(role)
        if not done:
            raise KeysError(f"the key {keyid[:16]} is none of those that have to sign this change: {self.wanted()}")
        return done

    def wanted(self) -> str:
        """Name the keys that may sign, for people."""
        keyids = {role: result.signed | result.unsigned for role, result in self.judge()}
        return "; ".join(f"{role} by {', '.join(keyid[:16] for keyid in keys)}" for role, keys in keyids.items())

    def merge(self, other: Change) -> None:
        """Take over the signatures of a copy that somebody else signed.

        Raises:
            KeysError: it is a copy of another change.
        """
        theirs = other.parts()
        for role, part in self.parts().items():
            if role not in theirs or theirs[role].signed != part.signed:
                raise KeysError("these are not copies of the same change; sign copies of one file")
            part.signatures.update(theirs[role].signatures)

    def check_keys(self) -> None:
        """Raise a KeysError if the change has keys sign that may not, or one key under several ids."""
        found: list[str] = []
        for part, before in ((self.root, self.before), (self.targets, self.delegator)):
            if part:
                # what was taken in the past is left to a change of its own: all at once might be impossible
                known = set(public_keys.faults(_keys(before)))
                found += [fault for fault in public_keys.faults(_keys(part)) if fault not in known]
        if found:
            raise KeysError("; ".join(dict.fromkeys(found)))

    def encode(self) -> bytes:
        """Return the file."""
        value = {
            _FORM: 1,
            "notes": list(self.notes),
            "at-once": self.at_once,
            "before": self.before.to_dict(),
            "delegator": self.delegator.to_dict(),
            "metadata": {role: part.to_dict() for role, part in self.parts().items()},
        }
        return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()

    def _delegators(self, role: str) -> list[Root | Targets]:
        if trust.claimed_package(role):
            return [(self.targets or self.delegator).signed]
        if role == trust.TARGETS and self.root and self.at_once:
            return [self.root.signed]
        return [self.before.signed, *([self.root.signed] if self.root else [])]


def _keys(part: Metadata[Any]) -> Mapping[str, Key]:
    """Return the keys that a root or targets name."""
    if isinstance(part.signed, Root):
        return part.signed.keys
    return part.signed.delegations.keys if part.signed.delegations else {}


def decode(raw: bytes) -> Change:
    """Read the file of a change.

    Raises:
        KeysError: it is none, or has keys sign that may not.
    """
    change = _decoded(raw)
    change.check_keys()
    return change


def _decoded(raw: bytes) -> Change:
    try:
        value = json.loads(raw)
        if value[_FORM] != 1:
            raise KeysError("this change was made by a newer release of otamirror; use that one")
        parts: dict[str, Metadata[Any]] = {role: Metadata.from_dict(part) for role, part in value["metadata"].items()}
        before: Metadata[Root] = Metadata.from_dict(value["before"])
        delegator: Metadata[Targets] = Metadata.from_dict(value["delegator"])
        root, targets = parts.pop(trust.ROOT, None), parts.pop(trust.TARGETS, None)
        return Change(
            tuple(map(str, value["notes"])), before, delegator, root, targets, parts, at_once=value["at-once"] is True
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeysError(f"this is not the file of a change: {error!r}; `otamirror keys` writes them") from None
