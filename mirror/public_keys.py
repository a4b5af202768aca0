"""Which public keys may sign, on both sides: ed25519, ECDSA on P-256, P-384 and P-521, RSA of 2048 bits or more.

Judged by the bytes of a key alone, without a library for cryptography: a device need not have one. A key is known by
what its holder can sign for and not by its id, because one key can be written in many ways and would count many times.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from securesystemslib.signer import Key

MIN_RSA_BITS = 2048
ADVICE = (
    "only ed25519, ECDSA on P-256, P-384 or P-521, and RSA of 2048 bits or more may sign: "
    "use another key, `otamirror keys new` makes one"
)

_PEM = re.compile(r"\s*-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*")
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_SHOWN = 16

_RSA_ALGORITHM = bytes.fromhex("06092a864886f70d0101010500")  # rsaEncryption with its NULL (RFC 3279, section 2.3.1)
_EC_ALGORITHM = bytes.fromhex("06072a8648ce3d0201")  # id-ecPublicKey, before the name of a curve (RFC 5480)
_CURVES: Mapping[bytes, tuple[str, int]] = {
    bytes.fromhex("06082a8648ce3d030107"): ("ecdsa-sha2-nistp256", 32),
    bytes.fromhex("06052b81040022"): ("ecdsa-sha2-nistp384", 48),
    bytes.fromhex("06052b81040023"): ("ecdsa-sha2-nistp521", 66),
}
_RSA_SCHEMES = frozenset(
    f"rsa{padding}-sha{bits}" for padding in ("ssa-pss", "-pkcs1v15") for bits in (224, 256, 384, 512)
)
_SEQUENCE, _INTEGER, _BITS = 0x30, 0x02, 0x03
_UNCOMPRESSED, _COMPRESSED = frozenset({4}), frozenset({2, 3})

_P = 2**255 - 19  # of the curve of ed25519, and its constant d (RFC 8032, section 5.1)
_D = -121665 * pow(121666, -1, _P) % _P


class _Known(NamedTuple):
    """A key that may sign: what tells it from every other one."""

    kind: str
    number: int


def weakness(key: Key) -> str:
    """Return why a key may not sign, and what to do; "" if it may."""
    try:
        _known(key)
    except ValueError as error:
        return f"the key {key.keyid[:_SHOWN]} is not taken: {error}; {ADVICE}"
    return ""


def faults(keys: Mapping[str, Key]) -> Iterator[str]:
    """Yield what is wrong with the keys that one piece of metadata names: weak ones, and one under several ids."""
    seen: dict[_Known, str] = {}
    for keyid, key in keys.items():
        try:
            first = seen.setdefault(_known(key), keyid)
        except ValueError:
            yield weakness(key)
            continue
        if first != keyid:
            yield (
                f"the keys {first[:_SHOWN]} and {keyid[:_SHOWN]} are one key, which counts once: "
                "name it once, and use another key in the place of the second"
            )


def twins(keys: Mapping[str, Key]) -> Iterator[tuple[str, str]]:
    """Yield the ids under which one key stands twice, whatever else is wrong with keys."""
    seen: dict[_Known, str] = {}
    for keyid, key in keys.items():
        with contextlib.suppress(ValueError):
            if (first := seen.setdefault(_known(key), keyid)) != keyid:
                yield first, keyid


def _known(key: Key) -> _Known:
    """Read a key.

    Raises:
        ValueError: it may not sign, with the reason.
    """
    public = key.keyval.get("public")
    if not isinstance(public, str):
        raise ValueError("it has no public part")  # noqa: TRY004 - one error for all
    if (key.keytype, key.scheme) == ("ed25519", "ed25519"):
        return _ed25519(public)
    if key.keytype == "rsa" and key.scheme in _RSA_SCHEMES:
        return _rsa(_fields(public, _RSA_ALGORITHM)[1])
    if key.keytype in {"ecdsa", key.scheme}:
        for algorithm, (scheme, length) in _CURVES.items():
            if key.scheme == scheme:
                return _ecdsa(scheme, _fields(public, _EC_ALGORITHM + algorithm)[1], length)
    raise ValueError(f"it is of type {key.keytype[:40]!r} for {key.scheme[:40]!r}")


def _ed25519(public: str) -> _Known:
    if not _HEX_KEY.fullmatch(public):
        raise ValueError("it has not the 64 hex digits of an ed25519 key")
    # the sign of x does not count: who signs for one of the two can sign for the other
    y = (int.from_bytes(bytes.fromhex(public), "little") & (2**255 - 1)) % _P
    if y * (y * y - 1) * (_D * y**4 + 2 * y * y - 1) % _P == 0:
        raise ValueError("it is one of the points of small order, for which anybody can sign")
    return _Known("ed25519", y)


def _rsa(bits: bytes) -> _Known:
    numbers, rest = _take(bits, _SEQUENCE)
    modulus, numbers = _take(numbers, _INTEGER)
    exponent, left = _take(numbers, _INTEGER)
    if rest or left or modulus[:1] >= b"\x80" or exponent[:1] >= b"\x80":
        raise ValueError("it is no well-formed RSA key")
    n, e = int.from_bytes(modulus), int.from_bytes(exponent)
    if n.bit_length() < MIN_RSA_BITS:
        raise ValueError(f"it is an RSA key of {n.bit_length()} bits, and {MIN_RSA_BITS} are the least")
    if n % 2 == 0 or e % 2 == 0 or e == 1:
        raise ValueError("its numbers are none of an RSA key")
    return _Known("rsa", n)


def _ecdsa(scheme: str, point: bytes, length: int) -> _Known:
    forms = {2 * length + 1: _UNCOMPRESSED, length + 1: _COMPRESSED}
    if point[:1] == b"" or point[0] not in forms.get(len(point), ()):
        raise ValueError("it is no well-formed ECDSA key")
    # half of the point: who signs for it can sign for the one with the other sign, too
    return _Known(scheme, int.from_bytes(point[1 : length + 1]))


def _fields(public: str, algorithm: bytes) -> tuple[bytes, bytes]:
    """Return algorithm and key of a PEM file of a public key (RFC 7468, section 13), which must be of `algorithm`."""
    match = _PEM.fullmatch(public)
    if not match:
        raise ValueError("it is not the PEM of one public key")
    try:
        der = base64.b64decode("".join(match[1].split()), validate=True)
    except binascii.Error:
        raise ValueError("it is not the PEM of one public key") from None
    whole, rest = _take(der, _SEQUENCE)
    found, whole = _take(whole, _SEQUENCE)
    bits, left = _take(whole, _BITS)
    if rest or left or found != algorithm or bits[:1] != b"\0":
        raise ValueError("its bytes are those of a key of another kind or curve")
    return found, bits[1:]


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Take one value off the front of DER (X.690, section 10.1): lengths have one form, and it is the shortest."""
    more = data[1] & 0x7F if data[1:2] > b"\x7f" else 0
    length = int.from_bytes(data[2 : 2 + more]) if more else int.from_bytes(data[1:2])
    start = 2 + more
    is_short = more and (length < 0x80 or data[2:3] == b"\0")
    if len(data) < start + length or data[0] != tag or is_short or data[1:2] == b"\x80":
        raise ValueError("its bytes are not those of a public key")
    return data[start : start + length], data[start + length :]
