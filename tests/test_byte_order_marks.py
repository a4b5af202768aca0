"""Files that people edit, as editors of other systems save them: with a byte order mark, and lines that end in CRLF."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from builder import site as sites
from builder.commands import pushing
from builder.signing import ceremony, keys
from devclient import state
from devclient.settings import config, sample
from devclient.trust import pinned
from mirror import content, layout, text
from mirror.content import ContentError
from mirror.files import Files
from tests.signing.ground import Ground
from tests.support import sites as made

if TYPE_CHECKING:
    from pathlib import Path

BOM = b"\xef\xbb\xbf"


def as_saved(file: Path) -> Path:
    """Save a file anew as such an editor does."""
    file.write_bytes(BOM + file.read_bytes().replace(b"\n", b"\r\n"))
    return file


def test_settings_are_read(tmp_path: Path) -> None:
    """Of a site and of a device, with all their comments."""
    site, device = tmp_path / "site.toml", tmp_path / "otadevice.toml"
    site.write_text(sites.sample())
    device.write_text(sample.write(("http://127.0.0.1:1",), (tmp_path,)))

    assert sites.load(as_saved(site)) == sites.load(site)
    assert config.load(as_saved(device)).remotes[0].urls == ("http://127.0.0.1:1",)


def test_the_state_file_is_read(tmp_path: Path) -> None:
    """It is its owner's."""
    file = tmp_path / "otadevice.json"
    file.write_text('{\n"device": "door",\n"package": [{"package": "app", "branch": "main"}]\n}\n')

    assert state.load(as_saved(file)).package("app")


def test_keys_passphrases_and_tokens_are_read(tmp_path: Path) -> None:
    """Mailed, unpacked or typed on another system."""
    secret, private, token = tmp_path / "secret", tmp_path / "a.pem", tmp_path / "token"
    signer = keys.generate()
    keys.save(signer, private, Files(), "grüße")
    secret.write_text("grüße\n")
    token.write_text("ota_abc\n")
    secrets = keys.secrets_from(as_saved(secret), None)

    assert keys.read_public(as_saved(private.with_suffix(".pub"))).keyid == signer.public_key.keyid
    assert keys.open_signer(str(as_saved(private)), secrets).public_key.keyid == signer.public_key.keyid
    assert pushing._token(as_saved(token)) == "ota_abc"


def test_changes_and_roots_are_read(tmp_path: Path) -> None:
    """A change's signatures are of what it says, not of how it is saved; so is a root."""
    ground = Ground(tmp_path / "ground")
    change = ground.draft(lambda wanted, _: wanted.renew("root"))
    file, root = tmp_path / "change-1.json", tmp_path / "root.json"
    file.write_bytes(change.encode())
    root.write_bytes((ground.mirror / layout.metadata("root", 1)).read_bytes())

    assert ceremony.read(as_saved(file)).encode() == change.encode()
    assert json.loads(pinned.read(as_saved(root))) == json.loads(root.read_bytes().removeprefix(BOM))


def test_content_json_with_a_mark_is_refused_by_name() -> None:
    """The contract refuses it, and the publisher is told what it is."""
    with pytest.raises(ContentError, match="begins with a byte order mark"):
        content.parse(BOM + made.package("1.0").content.canonical())


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("a = 1".encode("utf-16"), "is UTF-16 or UTF-32: save it as UTF-8"),
        (b"a = '\xfc'", "is not UTF-8 at byte 5: save it as UTF-8"),
        (b"#" * 1024 * 1024 + b"#", "has more than 1048576 bytes; is it the right file"),
    ],
)
def test_what_is_no_text_is_named(raw: bytes, says: str, tmp_path: Path) -> None:
    """With what to do about it; never read without end."""
    file = tmp_path / "site.toml"
    file.write_bytes(raw)

    with pytest.raises(ValueError, match=says):
        text.read(file)
