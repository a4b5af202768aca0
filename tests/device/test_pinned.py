"""The root that a device is given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from securesystemslib.signer import SSlibKey

from devclient import cli
from devclient.settings import config
from devclient.trust import pinned
from mirror import trust
from tests.support import trees

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from tests.support.devices import Rig
    from tests.support.simulator import Simulator


@pytest.fixture
def simulator(tree: Path) -> Simulator:
    """What signs a mirror."""
    return trees.simulator(tree)


@pytest.fixture
def root(simulator: Simulator) -> Path:
    """The root of the mirror."""
    return simulator.tree / trees.ROOT


def test_any_root_that_verifies_by_itself_may_be_pinned(simulator: Simulator, root: Path) -> None:
    """The first one, or a later one: it is read as it is."""
    simulator.new_root(trust.ROOT)
    later = root.with_name("2.root.json")

    assert pinned.read(root) == root.read_bytes()
    assert pinned.read(later) == later.read_bytes()


def test_a_root_that_expired_may_be_pinned(simulator: Simulator, root: Path) -> None:
    """Newer ones are found from it; nothing is judged by an expiry before that."""
    simulator.root.expires = simulator.now.replace(year=2020)
    root.write_bytes(simulator.sign(trust.ROOT, simulator.root))

    assert pinned.read(root)


def without_signatures(simulator: Simulator, _root: bytes) -> bytes:
    """Nobody signs it."""
    simulator.signers[trust.ROOT] = []
    return simulator.sign(trust.ROOT, simulator.root)


def below_its_threshold(simulator: Simulator, _root: bytes) -> bytes:
    """Fewer sign it than it says itself."""
    signers = list(simulator.signers[trust.ROOT])
    simulator.require(trust.ROOT, 2)
    simulator.signers[trust.ROOT] = signers
    return simulator.sign(trust.ROOT, simulator.root)


def changed(_simulator: Simulator, root: bytes) -> bytes:
    """It was changed after it was signed."""
    whole = json.loads(root)
    whole["signed"]["version"] = 2
    return json.dumps(whole).encode()


def of_another_role(simulator: Simulator, _root: bytes) -> bytes:
    """It is a timestamp."""
    return simulator.read(trust.TIMESTAMP)


def of_another_kind(simulator: Simulator, _root: bytes) -> bytes:
    """Its repository has no consistent snapshots."""
    simulator.root.consistent_snapshot = False
    return simulator.sign(trust.ROOT, simulator.root)


WRONG = [
    (without_signatures, "root was signed by 0/1 keys"),
    (below_its_threshold, "root was signed by 1/2 keys"),
    (changed, "root was signed by 0/1 keys"),
    (of_another_role, "it is the metadata of timestamp"),
    (of_another_kind, "without consistent snapshots"),
    (lambda *_: b"", "Failed to deserialize JSON"),
    (lambda *_: b"<html>", "Failed to deserialize JSON"),
    (lambda *_: b"{}", "Failed to deserialize JSON"),
    (lambda *_: b" " * 600_000, "it has more than 512000 bytes"),
]


@pytest.mark.parametrize(("make", "problem"), WRONG)
def test_what_is_no_root_is_told(
    simulator: Simulator, root: Path, make: Callable[[Simulator, bytes], bytes], problem: str
) -> None:
    """With what is wrong with it, and where to get one."""
    root.write_bytes(make(simulator, root.read_bytes()))

    with pytest.raises(ValueError, match=f"is not the root of a mirror: .*{problem}.* `otamirror keys export-root`"):
        pinned.read(root)


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With where to get one."""
    with pytest.raises(
        ValueError, match=r"cannot be read \(No such file or directory\); .*`otamirror keys export-root`"
    ):
        pinned.read(tmp_path / "root.json")


@pytest.mark.parametrize(("make", "problem"), WRONG[:1])
def test_init_refuses_what_is_no_root(
    tmp_path: Path,
    simulator: Simulator,
    root: Path,
    make: Callable[[Simulator, bytes], bytes],
    problem: str,
) -> None:
    """Before it makes anything."""
    bad = tmp_path / "bad.json"
    bad.write_bytes(make(simulator, root.read_bytes()))
    folder = tmp_path / "new"

    for path, said in ((bad, problem), (tmp_path / "none.json", "cannot be read"), (tmp_path, "Is a directory")):
        words = ("init", "--remote", "https://a.example", "--root", str(path))
        done = run(folder, *words)
        assert done.exit_code == 1
        assert said in done.stderr
        assert "`otamirror keys export-root`" in done.stderr
    assert not folder.exists()


def test_init_refuses_a_root_whose_keys_may_not_sign(tmp_path: Path, simulator: Simulator) -> None:
    """A weak one, or one under two ids, which would reach a threshold of two alone; nothing is made."""
    weak = SSlibKey.from_crypto(rsa.generate_private_key(65537, 1024).public_key())  # noqa: S505 - that is why
    held = next(iter(simulator.root.keys.values()))
    for key, said in (
        (weak, "an RSA key of 1024 bits"),
        (SSlibKey("ab" * 32, held.keytype, held.scheme, held.keyval), "are one key, which counts once"),
    ):
        simulator.root.add_key(key, trust.TARGETS)
        bad = tmp_path / "bad.json"
        bad.write_bytes(simulator.sign(trust.ROOT, simulator.root))
        simulator.root.revoke_key(key.keyid, trust.TARGETS)

        done = run(tmp_path / "new", "init", "--remote", "https://a.example", "--root", str(bad))

        assert done.exit_code == 1
        assert said in done.stderr
        assert not (tmp_path / "new").exists()


def test_init_takes_the_root_that_lies_where_it_puts_it(rig: Rig) -> None:
    """An image may bring the root under the name that `init` gives it."""
    rig.config.unlink()
    root = rig.folder / config.ROOT
    before = root.read_bytes()

    assert (
        run(rig.folder, "init", "--device", "door-7", "--remote", "https://a.example", "--root", str(root)).exit_code
        == 0
    )
    assert root.read_bytes() == before


def run(folder: Path, *words: str) -> Result:
    """Run a command of a device in a folder."""
    return CliRunner().invoke(cli.main, ["--config", str(folder / "otadevice.toml"), *words], catch_exceptions=False)


@pytest.mark.parametrize(
    "spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{}")], ids=["gone", "bad"]
)
def test_a_root_that_is_lost_is_an_error_of_the_settings(rig: Rig, spoil: Callable[[Path], object]) -> None:
    """Said with file and key, by every command that asks a mirror; nothing is asked."""
    rig.add()
    spoil(rig.folder / config.ROOT)

    for words in (("check", "--json"), ("update",)):
        done = rig.run(*words)
        assert done.exit_code == 1
        assert "remotes.main.root: " in done.stdout + done.stderr
    assert rig.run("status").exit_code == 0
    assert rig.server.requests == []
