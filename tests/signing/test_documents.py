"""builder/signing/documents.py: the bytes that are signed are those that TUF means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import Metadata

from builder.signing import documents, keys
from builder.signing.roles import Target
from mirror import trust

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPIRES = "2027-01-01T00:00:00Z"
# all but control characters, and halves of surrogate pairs, which no file can hold
text = st.text(st.characters(exclude_categories=("Cs", "Cc")))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
)


@given(values)
def test_the_fast_encoder_gives_the_bytes_of_the_slow_one(value: Any) -> None:
    """Of everything that metadata can hold, both make the same canonical JSON."""
    expected = encode_canonical(value)

    assert expected is not None
    assert documents.encode(value) == expected.encode()


def reads(signed: Mapping[str, Any]) -> Metadata[Any]:
    """Seal what a role says, and read it as every client of TUF does, with its signature verified."""
    signer = keys.generate()
    found: Metadata[Any] = Metadata.from_bytes(documents.seal(signed, [signer]))
    signer.public_key.verify_signature(found.signatures[signer.public_key.keyid], found.signed_bytes)
    assert found.signed.to_dict() == signed
    return found


def test_clients_read_a_bin() -> None:
    """Each list with its hash and its size."""
    found = reads(documents.bin_of("bin8-00", 3, EXPIRES, [Target("releases/app/main.json", "ab" * 32, 700)]))

    target = found.signed.targets["releases/app/main.json"]
    assert (target.length, target.hashes, found.signed.version) == (700, {"sha256": "ab" * 32}, 3)


def test_clients_read_the_delegation_to_bins() -> None:
    """Bins are named for their count, and every path has one."""
    key = keys.generate().public_key
    found = reads(documents.unclaimed(1, EXPIRES, 8, {key.keyid: key}))

    roles = found.signed.delegations.succinct_roles
    assert [*roles.get_roles()][::255] == ["bin8-00", "bin8-ff"]
    assert found.signed.get_key(key.keyid) == key


def test_clients_read_snapshot_and_timestamp() -> None:
    """Versions alone in both; the timestamp says when it was issued, and how often to ask at most."""
    snapshot = reads(documents.snapshot(7, EXPIRES, {"targets": 1, "bin8-00": 12}))
    timestamp = reads(documents.timestamp(9, EXPIRES, 7, "2026-12-20T00:00:00Z", 3600))
    plain = reads(documents.timestamp(9, EXPIRES, 7, "2026-12-20T00:00:00Z", 0))

    assert {name: meta.version for name, meta in snapshot.signed.meta.items()} == {
        "targets.json": 1,
        "bin8-00.json": 12,
    }
    assert all(meta.hashes is None and meta.length is None for meta in snapshot.signed.meta.values())
    assert timestamp.signed.snapshot_meta.version == 7
    assert timestamp.signed.unrecognized_fields == {trust.ISSUED: "2026-12-20T00:00:00Z", trust.POLL: 3600}
    assert plain.signed.unrecognized_fields == {trust.ISSUED: "2026-12-20T00:00:00Z"}
