"""Keys that may not sign, and one key that would count twice: refused wherever a mirror takes keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from securesystemslib.signer import SSlibKey

from builder import cli
from builder.errors import KeysError
from builder.signing import change, keys
from tests.signing.ground import Ground
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from builder.build import Builder
    from builder.signing.propose import Draft
    from builder.site import Site

MAKE: dict[str, Callable[[], PrivateKeyTypes]] = {
    "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - that is why
    "p-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "p-256k": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed448": Ed448PrivateKey.generate,
}
SAID = {
    "rsa-1024": "an RSA key of 1024 bits",
    "p-224": "secp224r1",
    "p-256k": "it is one of secp256k1;",
    "ed448": "it is one of Ed448;",
}


def pair(folder: Path, private: PrivateKeyTypes) -> Path:
    """Write a key pair as openssl does; returns the public file."""
    file = folder / "weak.pem"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = file.with_suffix(".pub")
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def weak_key() -> dict[str, object]:
    """Return an RSA key of 1024 bits as metadata has it."""
    return SSlibKey.from_crypto(rsa.generate_private_key(65537, 1024).public_key()).to_dict()  # noqa: S505 - as above


def run(site: Site, *words: str) -> Result:
    """Run otamirror in this process."""
    return CliRunner().invoke(cli.main, ["--site", str(site.file), *words], catch_exceptions=False)


@pytest.mark.parametrize("kind", SAID)
def test_weak_keys_are_refused_with_the_reason(kind: str, tmp_path: Path) -> None:
    """For a claim, for root and for a rotation; nothing of the mirror changes."""
    site = sites.make(tmp_path / "site")
    sites.drop(site.paths.inbox, sites.package("1.0"))
    assert run(site, "build").exit_code == 0
    public = str(pair(tmp_path, MAKE[kind]()))
    before = sites.read(site.paths.mirror)

    for words in (
        ("keys", "claim", "fresh", "--publisher-key", public),
        ("keys", "add", "root", public),
        ("keys", "rotate", "targets", "--new", public),
    ):
        done = run(site, *words)
        assert done.exit_code == 1, words
        assert SAID[kind] in done.stderr
        assert "RSA of 2048 bits or more" in done.stderr
    assert sites.read(site.paths.mirror) == before


def test_a_site_does_not_begin_with_a_weak_key(tmp_path: Path) -> None:
    """Also where the settings name a key that lies elsewhere."""
    public = pair(tmp_path, MAKE["rsa-1024"]())
    site = sites.make(tmp_path / "site", f'[keys]\ntimestamp = "key:{public.with_suffix(".pem")}"\n', signed=False)

    done = run(site, "build")

    assert done.exit_code == 1
    assert "an RSA key of 1024 bits" in done.stderr
    assert not (site.paths.mirror / "metadata" / "1.root.json").exists()


def test_a_private_key_that_cannot_sign_is_told(tmp_path: Path) -> None:
    """With its file, not with a traceback."""
    file = pair(tmp_path, MAKE["p-224"]()).with_suffix(".pem")

    with pytest.raises(KeysError, match=r"weak\.pem: the key cannot sign: .*secp224r1"):
        keys.open_signer(str(file), str)


def alias(key: SSlibKey) -> SSlibKey:
    """Return a key under another id, as somebody could write it into a file."""
    return SSlibKey("ab" * 32, key.keytype, key.scheme, key.keyval)


def test_one_key_under_two_ids_does_not_reach_a_threshold_of_two(tmp_path: Path) -> None:
    """In a root, in targets, and in a file of a change that somebody edited."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    other = keys.generate().public_key

    for role in ("root", "unclaimed"):

        def twice(wanted: Draft, _: Builder, role: str = role) -> None:
            wanted.add_key(role, other)
            wanted.add_key(role, alias(other))

        with pytest.raises(KeysError, match="are one key, which counts once"):
            ground.draft(twice)
    with pytest.raises(KeysError, match="are one key, which counts once"):
        ground.draft(lambda wanted, _: wanted.claim("fresh", [other, alias(other)], 2))


def test_a_change_that_was_edited_on_its_way_is_refused(tmp_path: Path) -> None:
    """Before anybody signs it: a second id for a key, or a key that may not sign."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    made = ground.draft(lambda wanted, _: wanted.add_key("root", keys.generate().public_key))
    value = json.loads(made.encode())
    known = value["metadata"]["root"]["signed"]["keys"]
    known["ab" * 32] = next(iter(known.values()))
    twice = json.dumps(value).encode()
    known["ab" * 32] = weak_key()
    weak = json.dumps(value).encode()

    assert change.decode(made.encode()).root
    with pytest.raises(KeysError, match="are one key, which counts once"):
        change.decode(twice)
    with pytest.raises(KeysError, match="an RSA key of 1024 bits"):
        change.decode(weak)


def test_a_weak_key_of_before_can_be_replaced(tmp_path: Path) -> None:
    """A mirror that once took one signs with it until it is replaced: one role after the other."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    public = pair(tmp_path, MAKE["rsa-1024"]())
    ring = keys.Keyring(tmp_path, {}, str)
    weak = next(key for _, key in ring.files())
    made = ground.draft(lambda wanted, _: wanted.add_key("root", keys.generate().public_key))
    assert made.root

    with pytest.raises(KeysError):
        keys.read_public(public)
    assert ring.find("root", weak)
    for part in (made.before, made.root):
        part.signed.add_key(weak, "timestamp")
    made.check_keys()
    made.before.signed.revoke_key(weak.keyid, "timestamp")
    with pytest.raises(KeysError, match="an RSA key of 1024 bits"):
        made.check_keys()
