"""Metadata as bytes: what the roles say, in the one form that is signed and served.

The form is OLPC's canonical JSON, as TUF signs it. Of texts without control characters, and others never get here,
the standard library's encoder gives the same bytes in a tenth of the time; a test holds the two against each other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import SPECIFICATION_VERSION

from mirror import trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from securesystemslib.signer import Key, Signer

    from builder.signing.roles import Target

_SPECIFICATION = ".".join(SPECIFICATION_VERSION)


def seal(signed: Mapping[str, Any], signers: Iterable[Signer]) -> bytes:
    """Sign what a role says; returns its file."""
    payload = encode(signed)
    signatures = encode([signer.sign(payload).to_dict() for signer in signers])
    return b'{"signatures":%s,"signed":%s}' % (signatures, payload)


def encode(value: object) -> bytes:
    """Return canonical JSON of a value without control characters."""
    return _encode(value).encode()


def bin_of(name: str, version: int, expires: str, targets: Iterable[Target]) -> dict[str, Any]:
    """Return what a bin says: the hash and size of each list in it."""
    named = {each.path: {"hashes": {"sha256": each.sha256}, "length": each.size} for each in targets}
    return {**_common("targets", version, expires), "targets": named, trust.ROLE: name}


def unclaimed(version: int, expires: str, bits: int, keys: Mapping[str, Key]) -> dict[str, Any]:
    """Return what `unclaimed` says: that 2^`bits` bins speak for all lists, with these keys."""
    delegations = {
        "keys": {keyid: key.to_dict() for keyid, key in keys.items()},
        "succinct_roles": trust.bins(bits, keys).to_dict(),
    }
    common = _common("targets", version, expires)
    return {**common, "targets": {}, "delegations": delegations, trust.ROLE: trust.UNCLAIMED}


def snapshot(version: int, expires: str, versions: Mapping[str, int]) -> dict[str, Any]:
    """Return what a snapshot says: the version of each role with targets."""
    meta = {f"{name}.json": {"version": number} for name, number in versions.items()}
    return {**_common("snapshot", version, expires), "meta": meta}


def timestamp(version: int, expires: str, snapshot_version: int, issued: str, poll_seconds: int) -> dict[str, Any]:
    """Return what a timestamp says: the version of the snapshot, when it was issued, how often to ask at most."""
    poll = {trust.POLL: poll_seconds} if poll_seconds else {}
    meta = {"snapshot.json": {"version": snapshot_version}}
    return {**_common("timestamp", version, expires), "meta": meta, trust.ISSUED: issued, **poll}


def _common(kind: str, version: int, expires: str) -> dict[str, Any]:
    return {"_type": kind, "spec_version": _SPECIFICATION, "version": version, "expires": expires}


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
