"""mirror/public_keys.py: which keys may sign, and when two of them are one."""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, SSlibKey

from mirror import public_keys

if TYPE_CHECKING:
    from collections.abc import Callable

_RSA = CryptoSigner.generate_rsa(size=2048).public_key
_ECDSA = CryptoSigner.generate_ecdsa().public_key
_ED25519 = CryptoSigner.generate_ed25519().public_key
_P = 2**255 - 19


def spelled(key: SSlibKey, public: str, keyid: str = "0" * 64) -> SSlibKey:
    """Return a key with another text, under an id of its own."""
    return SSlibKey(keyid, key.keytype, key.scheme, {"public": public})


def public(key: SSlibKey) -> str:
    """Return the text of a key."""
    return str(key.keyval["public"])


def taken(key: SSlibKey) -> bool:
    """Return whether a key may sign."""
    return not public_keys.weakness(key)


def rsa_key(bits: int, exponent: int = 65537) -> SSlibKey:
    """Return an RSA key that was not made for anything."""
    return SSlibKey.from_crypto(rsa.generate_private_key(exponent, bits).public_key())


@pytest.mark.parametrize("key", [_RSA, _ECDSA, _ED25519], ids=["rsa", "ecdsa", "ed25519"])
def test_the_three_kinds_of_keys_may_sign(key: SSlibKey) -> None:
    """As securesystemslib writes them."""
    assert public_keys.weakness(key) == ""


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda each: each.name)
def test_three_curves_may_sign(curve: ec.EllipticCurve) -> None:
    """Each with its own scheme, and with no other one."""
    key = SSlibKey.from_crypto(ec.generate_private_key(curve).public_key())
    others = {f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521)} - {key.scheme}

    assert taken(key)
    assert not any(taken(SSlibKey(key.keyid, "ecdsa", scheme, key.keyval)) for scheme in others)


@pytest.mark.parametrize(
    ("bits", "exponent", "is_taken"), [(1024, 65537, False), (2040, 65537, False), (2048, 3, True), (3072, 65537, True)]
)
def test_rsa_takes_2048_bits(bits: int, exponent: int, is_taken: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A shorter key is named by its length, with what to do."""
    said = public_keys.weakness(rsa_key(bits, exponent))

    assert (said == "") == is_taken
    if not is_taken:
        assert f"it is an RSA key of {bits} bits, and 2048 are the least" in said
        assert "`otamirror keys new` makes one" in said


def test_a_curve_of_less_is_no_key() -> None:
    """P-224 does not come into metadata by the name of another curve either."""
    pem = ec.generate_private_key(ec.SECP224R1()).public_key()
    text = pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert not taken(spelled(_ECDSA, text))
    assert not taken(spelled(_RSA, text))


@pytest.mark.parametrize("kind", ["sphincs", "sigstore-oidc", "ml-dsa", ""])
def test_keys_of_other_kinds_may_not_sign(kind: str) -> None:
    """A device could not verify them, or nobody has judged them."""
    assert "it is of type" in public_keys.weakness(SSlibKey("0" * 64, kind, kind, {"public": "00" * 32}))
    assert "it is of type" in public_keys.weakness(SSlibKey("0" * 64, kind, "ed25519", {"public": "00" * 32}))


def test_points_of_small_order_may_not_sign() -> None:
    """Anybody can make signatures for these; they are written in several ways."""
    order_8 = int.from_bytes(
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
    )
    for y, sign in itertools.product((0, 1, _P - 1, _P, _P + 1, order_8, _P - order_8), (0, 1)):
        text = (y | sign << 255).to_bytes(32, "little").hex()
        assert "small order" in public_keys.weakness(spelled(_ED25519, text))


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "ab" * 33, "\u0660" * 64], ids=repr)
def test_an_ed25519_key_has_64_hex_digits(text: str) -> None:
    """And nothing else."""
    assert not taken(spelled(_ED25519, text))


def _twice(text: str) -> str:
    return text + text


def _with_a_tail(text: str) -> str:
    return f"{text}and more"


def _with_bytes_after(text: str) -> str:
    return _pem(_der(text) + b"\0")


def _of_pkcs1(text: str) -> str:
    return text.replace("PUBLIC KEY", "RSA PUBLIC KEY")


def _long_lengths(text: str) -> str:
    der = _der(text)
    head = 2 + (der[1] & 0x7F if der[1] > 0x7F else 0)
    return _pem(b"\x30\x84" + len(der[head:]).to_bytes(4) + der[head:])


def _without_end(text: str) -> str:
    der = _der(text)
    return _pem(der[:1] + b"\x80" + der[2:] + b"\0\0")


def _der(text: str) -> bytes:
    return base64.b64decode("".join(text.splitlines()[1:-1]))


def _pem(der: bytes) -> str:
    return f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(der).decode()}-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    "spoil",
    [_twice, _with_a_tail, _with_bytes_after, _of_pkcs1, _long_lengths, _without_end],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize("key", [_RSA, _ECDSA], ids=["rsa", "ecdsa"])
def test_a_key_is_one_file_with_nothing_beside_it(key: SSlibKey, spoil: Callable[[str], str]) -> None:
    """Two readers could take such texts for different keys."""
    assert taken(spelled(key, public(key)))
    assert not taken(spelled(key, spoil(public(key))))


@given(cut=st.integers(0, 600), spoiled=st.integers(0, 255), at=st.integers(0, 600))
def test_no_bytes_are_an_error_of_the_program(cut: int, spoiled: int, at: int) -> None:
    """Whatever a file holds, it is taken or it is told."""
    for key in (_RSA, _ECDSA):
        der = bytearray(_der(public(key)))
        der[at % len(der)] = spoiled
        assert isinstance(public_keys.weakness(spelled(key, _pem(bytes(der[:cut])))), str)
        assert isinstance(public_keys.weakness(spelled(key, _pem(bytes(der)))), str)


def _with_other_lines(key: SSlibKey) -> SSlibKey:
    text = public(key)
    body = "".join(text.splitlines()[1:-1])
    return spelled(key, f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----")


def _compressed(key: SSlibKey) -> SSlibKey:
    der = _der(public(key))
    point = bytes([2 + der[-1] % 2]) + der[-64:-32]
    shorter = bytes([der[1] - 32])
    bits = b"\x03" + bytes([len(point) + 1]) + b"\0" + point
    return spelled(key, _pem(der[:1] + shorter + der[2 : -65 - 3] + bits))


def _in_capitals(key: SSlibKey) -> SSlibKey:
    return spelled(key, public(key).upper())


def _with_the_other_sign(key: SSlibKey) -> SSlibKey:
    raw = bytearray.fromhex(public(key))
    raw[31] ^= 0x80
    return spelled(key, raw.hex())


def _by_another_scheme(key: SSlibKey) -> SSlibKey:
    return SSlibKey("0" * 64, key.keytype, "rsa-pkcs1v15-sha256", key.keyval)


@pytest.mark.parametrize(
    ("key", "same"),
    [
        (_RSA, _with_other_lines),
        (_RSA, _by_another_scheme),
        (_ECDSA, _with_other_lines),
        (_ECDSA, _compressed),
        (_ED25519, _in_capitals),
        (_ED25519, _with_the_other_sign),
    ],
)
def test_one_key_counts_once_whatever_its_id(key: SSlibKey, same: Callable[[SSlibKey], SSlibKey]) -> None:
    """However it is written, its holder is one and would reach a threshold of two alone."""
    other = same(key)

    assert taken(other)
    (said,) = public_keys.faults({key.keyid: key, other.keyid: other})
    assert said.startswith(f"the keys {key.keyid[:16]} and {'0' * 16} are one key, which counts once: name it once")


def test_different_keys_are_without_a_fault() -> None:
    """As many as a root names."""
    keys = [
        _RSA,
        _ECDSA,
        _ED25519,
        CryptoSigner.generate_ed25519().public_key,
        CryptoSigner.generate_ecdsa().public_key,
    ]

    assert [*public_keys.faults({key.keyid: key for key in keys})] == []
