"""builder/client/claimed.py: a publisher builds on nothing but what its own keys signed."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, TargetFile, Targets

from builder.client import claimed
from builder.client.claimed import Claimed, MirrorFilesError
from builder.signing import keys
from mirror import layout, releases, trust
from mirror.canonical import digest
from mirror.releases import MOST, ReleaseList
from tests.signing.ground import Ground, claim
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Callable

    from securesystemslib.signer import Key

LIST = layout.release_list("app", "main")
ROLE = layout.metadata("pkg-app", 1)
STRANGER = CryptoSigner.generate_ed25519()


class Mirror:
    """The files of a mirror on which `app` is claimed; a copy may be tampered with."""

    def __init__(self, files: dict[str, bytes], signer: CryptoSigner) -> None:
        self.files = files
        self.signer = signer

    def get(self, path: str, most_bytes: int) -> bytes | None:
        """Read a file, as much of it as may come and a byte more."""
        return self.files[path][: most_bytes + 1] if path in self.files else None

    def read(self, *trusted: Key, version: int | None = None) -> Claimed:
        """Read the package's role as its publisher does."""
        return claimed.read(self.get, "app", [self.signer.public_key, *trusted], version)

    @property
    def snapshot(self) -> str:
        """Where the newest snapshot is."""
        version = json.loads(self.files[layout.TIMESTAMP])["signed"]["meta"]["snapshot.json"]["version"]
        return layout.metadata(trust.SNAPSHOT, version)

    def tampered(self, path: str, data: bytes | None) -> Mirror:
        """Put another file in a place, or none."""
        files = {**self.files, path: data or b""}
        if data is None:
            del files[path]
        return Mirror(files, self.signer)

    def changed(self, path: str, change: Callable[[dict[str, Any]], object]) -> Mirror:
        """Change what is signed in a file."""
        value = json.loads(self.files[path])
        change(value["signed"])
        return self.tampered(path, json.dumps(value).encode())

    def signed(self, change: Callable[[Targets], object], *signers: CryptoSigner) -> Mirror:
        """Have the role changed and signed anew, by its publisher if nobody else is named."""
        role = Metadata[Targets].from_bytes(self.files[ROLE])
        change(role.signed)
        role.signatures.clear()
        for signer in signers or (self.signer,):
            role.sign(signer, append=True)
        return self.tampered(ROLE, role.to_bytes())


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    """Make a mirror with a list that has a segment."""
    ground = Ground(tmp_path_factory.mktemp("claimed"))
    ground.clock.now = time.time()
    ground.publish(*(f"1.{number}" for number in range(MOST + 1)))
    ground.publish("1.0", package="lib")
    private = ground.new_key()
    ground.change(claim("app", private), uris=[str(private)], at_once=True)
    signer = keys.open_signer(str(private), lambda _: "")
    assert isinstance(signer, CryptoSigner)
    return Mirror(sites.read(ground.mirror), signer)


def test_a_list_is_read_with_its_segments(mirror: Mirror) -> None:
    """From the timestamp to the bytes that the publisher signed."""
    found = mirror.read()
    newest = found.newest("main")

    assert found.role.signed.version == 1
    assert newest.encode() == mirror.files[LIST]
    assert found.segment(newest, newest.older[0]).releases[-1].version == "1.0"
    assert found.newest("beta") == ReleaseList("app", "beta", ())


def test_a_role_can_be_read_by_its_number(mirror: Mirror) -> None:
    """Without the files that caches may have of before."""
    alone = Mirror({ROLE: mirror.files[ROLE]}, mirror.signer)

    assert alone.read(version=1).role.signed.version == 1


def test_what_a_colleague_signed_is_built_on_when_trusted(mirror: Mirror) -> None:
    """The public key of one more person is enough, and nothing else makes a stranger a colleague."""
    shared = mirror.signed(lambda _: None, STRANGER)

    with pytest.raises(MirrorFilesError, match=f"is signed by {STRANGER.public_key.keyid[:16]}, and not by"):
        shared.read()
    assert shared.read(STRANGER.public_key).newest("main").encode() == mirror.files[LIST]


def test_whoever_has_the_mirrors_keys_adds_nothing(mirror: Mirror) -> None:
    """A list with a release more, in a role that all keys but the publisher's signed, is not built on."""
    had = releases.parse(mirror.files[LIST])
    evil = replace(had.releases[0], version="9.9", content="0" * 64)
    data = replace(had, releases=(evil, *had.releases[:-1])).encode()

    def slip(signed: Targets) -> None:
        signed.targets[LIST] = TargetFile(len(data), {"sha256": digest(data)}, LIST)
        signed.version += 1
        signed.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)

    stolen = mirror.signed(slip, STRANGER)
    stolen.files[layout.metadata("pkg-app", 2)] = stolen.files[ROLE]
    stolen.files[layout.hashed_release_list("app", "main", digest(data))] = data
    showing = stolen.changed(stolen.snapshot, lambda signed: signed["meta"]["pkg-app.json"].update(version=2))

    with pytest.raises(MirrorFilesError, match="do not sign anything that this mirror shows"):
        showing.read()


def hashed(mirror: Mirror) -> str:
    """Name the file of the list."""
    return layout.hashed_release_list("app", "main", digest(mirror.files[LIST]))


def other_package(signed: Targets) -> None:
    """Speak of another package, as the role of another package of the same publisher does."""
    signed.targets = {
        path.replace("/app/", "/lib/"): TargetFile(each.length, each.hashes, path.replace("/app/", "/lib/"))
        for path, each in signed.targets.items()
    }


def target_of(data: bytes) -> Callable[[Targets], None]:
    """Name other bytes as the list."""

    def change(signed: Targets) -> None:
        signed.targets[LIST] = TargetFile(len(data), {"sha256": digest(data)}, LIST)

    return change


def naming(mirror: Mirror, data: bytes) -> Mirror:
    """Serve other bytes as the list, signed by the publisher."""
    path = layout.hashed_release_list("app", "main", digest(data))
    return mirror.signed(target_of(data)).tampered(path, data)


TAMPERED: dict[str, tuple[Callable[[Mirror], Mirror], str]] = {
    "no timestamp": (lambda m: m.tampered(layout.TIMESTAMP, None), "timestamp.json is not on the mirror"),
    "a sign-in page for it": (lambda m: m.tampered(layout.TIMESTAMP, b"<title>Sign in</title>"), "is no metadata"),
    "a timestamp of no form": (lambda m: m.tampered(layout.TIMESTAMP, b'{"signed":[]}'), "is no metadata"),
    "an endless nest": (lambda m: m.tampered(layout.TIMESTAMP, b"[" * 10_000), "is no metadata"),
    "a snapshot that is none": (
        lambda m: m.changed(layout.TIMESTAMP, lambda signed: signed["meta"]["snapshot.json"].update(version="1")),
        "is no metadata",
    ),
    "a snapshot that is not there": (lambda m: m.tampered(m.snapshot, None), "snapshot.json is not on the mirror"),
    "a snapshot without the role": (
        lambda m: m.changed(m.snapshot, lambda signed: signed["meta"].pop("pkg-app.json")),
        "app is not claimed on this mirror: push it without --key",
    ),
    "a role with a version that is none": (
        lambda m: m.changed(m.snapshot, lambda signed: signed["meta"]["pkg-app.json"].update(version=True)),
        "app is not claimed on this mirror",
    ),
    "a role that is not there": (lambda m: m.tampered(ROLE, None), "pkg-app.json is not on the mirror"),
    "an older role in its place": (
        lambda m: m.signed(lambda signed: setattr(signed, "version", 7)),
        "is version 7: the mirror shows what was",
    ),
    "words for a role": (lambda m: m.tampered(ROLE, b"hello"), "the signed role is not valid"),
    "a role that was changed": (
        lambda m: m.changed(ROLE, lambda signed: signed.update(expires="2099-01-01T00:00:00Z")),
        "and not by",
    ),
    "a role that nobody signed": (
        lambda m: m.tampered(ROLE, json.dumps({**json.loads(m.files[ROLE]), "signatures": []}).encode()),
        "is signed by nobody, and not by",
    ),
    "another package's role": (
        lambda m: m.signed(other_package),
        "speaks of releases/lib/main.json: it is not the role of app",
    ),
    "a role of another name": (
        lambda m: m.signed(lambda signed: signed.unrecognized_fields.update({trust.ROLE: "pkg-lib"})),
        "is another role, 'pkg-lib'",
    ),
    "a role that speaks of anything": (
        lambda m: m.signed(lambda signed: signed.targets.update(x=TargetFile(1, {"sha256": "0" * 64}, "x"))),
        "speaks of x",
    ),
    "a list that is not there": (lambda m: m.tampered(hashed(m), None), "is not on the mirror"),
    "a list of other bytes": (
        lambda m: m.tampered(hashed(m), m.files[hashed(m)].replace(b"1.70", b"9.70")),
        "has other bytes than were signed",
    ),
    "words for a list": (lambda m: naming(m, b"hello\n"), "app on main: the release list is not valid"),
    "another package's list": (
        lambda m: naming(m, m.files[layout.release_list("lib", "main")]),
        "the list of app on main is of something else",
    ),
    "a list without a hash that counts": (
        lambda m: m.signed(lambda signed: signed.targets[LIST].hashes.update(sha256="../../x")),
        "names its list on main by no SHA-256",
    ),
    "a segment that is not there": (
        lambda m: m.tampered(segment_of(m), None),
        "is not on the mirror",
    ),
    "a segment of other bytes": (
        lambda m: m.tampered(segment_of(m), m.files[segment_of(m)].replace(b'"1.3"', b'"1.4"')),
        "has other bytes",
    ),
}


def segment_of(mirror: Mirror) -> str:
    """Name the file of the segment."""
    return layout.hashed_release_list("app", "main", releases.parse(mirror.files[LIST]).older[0].sha256)


@pytest.mark.parametrize(("change", "says"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_not_built_on(mirror: Mirror, change: Callable[[Mirror], Mirror], says: str) -> None:
    """Whatever a mirror or a cache shows instead, nothing is signed on top of it, and the reason is told."""
    tampered = change(mirror)

    def read() -> None:
        found = tampered.read()
        newest = found.newest("main")
        found.segment(newest, newest.older[0])

    with pytest.raises(MirrorFilesError, match=says):
        read()
