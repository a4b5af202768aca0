"""builder/signing/keys.py: private keys in files, in the environment, and elsewhere."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from securesystemslib.signer import CryptoSigner, SSlibKey

from builder.errors import KeysError
from builder.signing import keys
from builder.signing.keys import Keyring
from mirror.files import Files

if TYPE_CHECKING:
    from pathlib import Path

    from securesystemslib.signer import Key

SECRET = "correct horse"  # noqa: S105 - of keys that live for one test


def nobody(name: str) -> str:
    """Be nobody who could be asked."""
    raise AssertionError(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key pair in files."""
    file = tmp_path / "mine.pem"
    keys.save(keys.generate(), file, Files())
    return file


def public(file: Path) -> Key:
    """Read the public key beside a private one."""
    return keys.read_public(file.with_suffix(".pub"))


def test_a_key_in_a_file_signs_what_its_public_key_verifies(file: Path) -> None:
    """The two files belong together, by a plain path and by a URI."""
    for uri in (str(file), f"key:{file}"):
        signer = keys.open_signer(uri, nobody)
        public(file).verify_signature(signer.sign(b"metadata"), b"metadata")


def test_only_its_owner_can_read_a_private_key(file: Path) -> None:
    """Other users of the machine cannot."""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_encrypted_key_wants_its_passphrase(tmp_path: Path) -> None:
    """The passphrase is asked for by the name of the key; a wrong one opens nothing."""
    file, asked = tmp_path / "mine.pem", []
    keys.save(keys.generate(), file, Files(), SECRET)

    def answer(name: str) -> str:
        asked.append(name)
        return SECRET

    assert keys.open_signer(str(file), answer).public_key == public(file)
    assert asked == [f"passphrase of {file}"]
    assert b"ENCRYPTED" in file.read_bytes()
    with pytest.raises(KeysError, match="is the passphrase right"):
        keys.open_signer(str(file), lambda _: "wrong")


def test_a_key_is_never_replaced(file: Path) -> None:
    """Whoever names a file that is there loses nothing."""
    before = file.read_bytes()

    with pytest.raises(KeysError, match="never replaced"):
        keys.save(keys.generate(), file, Files())

    assert file.read_bytes() == before


def test_a_key_comes_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable holds what a file would."""
    monkeypatch.setenv("OTA_KEY", file.read_text())

    assert keys.open_signer("env:OTA_KEY", nobody).public_key == public(file)
    with pytest.raises(KeysError, match="the variable OTA_OTHER, which is not set"):
        keys.open_signer("env:OTA_OTHER", nobody)


def test_other_kinds_of_keys_are_securesystemslibs(file: Path) -> None:
    """Any of its URIs is a key; its own file signer stands for a KMS here."""
    signer = keys.open_signer(f"file2:{file}", nobody, public(file))

    public(file).verify_signature(signer.sign(b"metadata"), b"metadata")
    with pytest.raises(keys.NeedsPublicError, match="its public key is needed too"):
        keys.open_signer(f"file2:{file}", nobody)
    with pytest.raises(KeysError, match="cannot be used"):
        keys.open_signer("hsm:2?label=nothing", nobody, public(file))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read"), (b"no key", "holds no private key"), (b"x" * 70_000, "more than 65536 bytes")],
)
def test_what_is_no_private_key_is_told(content: bytes | None, reason: str, tmp_path: Path) -> None:
    """The file is named, with what is wrong."""
    file = tmp_path / "bad.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(KeysError, match=reason):
        keys.open_signer(str(file), nobody)


def test_a_private_key_is_not_taken_for_a_public_one(file: Path) -> None:
    """Whoever sends the wrong file of the two is told, before it is anywhere else."""
    with pytest.raises(KeysError, match="that is the private one"):
        keys.read_public(file)
    file.write_text("no key")
    with pytest.raises(KeysError, match="holds no public key"):
        keys.read_public(file)


def test_keys_of_other_kinds_have_files_too(tmp_path: Path) -> None:
    """A publisher's RSA key is as good as ours."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signer = CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))
    keys.save(signer, tmp_path / "rsa.pem", Files())

    assert public(tmp_path / "rsa.pem").keyid == signer.public_key.keyid


def test_a_keyring_finds_keys_by_what_is_public(file: Path, tmp_path: Path) -> None:
    """No private key is opened to see whose it is; one that is away is not found."""
    ring = Keyring(tmp_path, {}, nobody)
    other = keys.generate().public_key

    found = ring.find("root", public(file))
    assert found is not None
    assert found.public_key == public(file)
    assert ring.find("root", other) is None
    file.rename(tmp_path / "offline")
    assert Keyring(tmp_path, {}, nobody).find("root", public(file)) is None


def test_settings_say_where_a_key_is(file: Path, tmp_path: Path) -> None:
    """What they name is used for its role; for a key that is to be replaced the folder is looked into as well."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    named = elsewhere / "named.pem"
    keys.save(keys.generate(), named, Files())
    ring = Keyring(tmp_path, {"timestamp": f"key:{named}"}, nobody)

    assert ring.find("timestamp", public(named)) is not None
    assert Keyring(tmp_path, {"timestamp": f"key:{named}"}, nobody).find("snapshot", public(named)) is None
    assert ring.find("timestamp", public(file)) is not None


def test_a_passphrase_comes_from_the_environment_a_file_or_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order; where there is none, the error says how to give one."""
    file = tmp_path / "passphrase"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv(keys.VARIABLE, "from the environment")

    assert keys.secrets_from(file, nobody)("key") == "from the environment"
    monkeypatch.delenv(keys.VARIABLE)
    assert keys.secrets_from(file, nobody)("key") == SECRET
    assert keys.secrets_from(None, lambda name: name)("key") == "key"
    with pytest.raises(KeysError, match="set OTAMIRROR_PASSPHRASE"):
        keys.secrets_from(None, None)("key")
