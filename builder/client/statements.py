"""Making what a publisher signs: the role that comes after the one there is, naming the list as it shall be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, TargetFile, Targets

from builder.errors import KeysError
from builder.submission import Parts
from builder.verify import lines, verify
from mirror import layout, trust
from mirror.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from securesystemslib.signer import Signer

    from builder.client.claimed import Claimed
    from builder.client.edit import Edited
    from builder.submission import Statement


def sign(claimed: Claimed, edited: Edited, signers: Sequence[Signer], expires: datetime) -> Statement:
    """Sign a changed list.

    Raises:
        KeysError: a key cannot sign.
        StatementError: the mirror would not take it.
    """
    before, listed = claimed.role.signed, edited.newest.encode()
    path = layout.release_list(edited.newest.package, edited.newest.branch)
    target = TargetFile(len(listed), {"sha256": digest(listed)}, path)
    signed = Targets(
        before.version + 1,
        expires=expires.replace(microsecond=0),
        targets={**before.targets, path: target},
        unrecognized_fields={**before.unrecognized_fields, trust.ROLE: trust.package_role(claimed.package)},
    )
    role = Metadata(signed)
    for signer in signers:
        _add(signer, role)
    return verify(Parts(lines(edited.newest, edited.segments), role.to_bytes()))


def _add(signer: Signer, role: Metadata[Targets]) -> None:
    try:
        role.sign(signer, append=True)
    except UnsignedMetadataError as error:
        raise KeysError(f"the key {signer.public_key.keyid[:16]} cannot sign: {error}") from error
