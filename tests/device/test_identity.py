"""A device's secret: its own, made once, and made anew on another machine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient.records import identity
from mirror.files import Files
from tests.support.faults import FULL_ONCE, KILLS, Fault, FaultyCalls, Killed, sweep

if TYPE_CHECKING:
    from devclient.records.identity import Identity
    from mirror.files import Calls

MACHINE = "0123456789abcdef0123456789abcdef"


def _first_run(calls: Calls) -> None:
    with tempfile.TemporaryDirectory() as folder:
        identity.ensure(Path(folder), Files(calls))


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The file with the machine's id."""
    path = tmp_path / "machine-id"
    path.write_text(f"{MACHINE}\n")
    return path


def test_a_device_keeps_its_identity(tmp_path: Path, machine: Path) -> None:
    """Made at the first time, and the same ever after."""
    first = _ensure(tmp_path, machine)

    assert _ensure(tmp_path, machine) == first
    assert len(bytes.fromhex(first.secret)) == 32


def test_two_devices_have_two_secrets(tmp_path: Path, machine: Path) -> None:
    """Though they are set up from one image."""
    secrets = {identity.ensure(tmp_path / name, Files(), machine).secret for name in ("one", "other")}

    assert len(secrets) == 2


def test_only_its_owner_reads_the_secret(tmp_path: Path, machine: Path) -> None:
    """And the machine's id does not stand beside it."""
    _ensure(tmp_path, machine)

    file = tmp_path / "work" / "identity.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert MACHINE not in file.read_text()


def test_a_disk_in_another_machine_is_another_device(tmp_path: Path, machine: Path) -> None:
    """It gets a secret of its own."""
    first = _ensure(tmp_path, machine)
    machine.write_text("fedcba9876543210fedcba9876543210\n")

    second = _ensure(tmp_path, machine)

    assert second.secret != first.secret
    assert second.machine != first.machine
    assert _ensure(tmp_path, machine) == second


@pytest.mark.parametrize("text", [None, b"", b" \n", b"\xff"])
def test_a_machine_without_an_id_is_one_machine(tmp_path: Path, machine: Path, text: bytes | None) -> None:
    """Its device keeps its identity too."""
    machine.unlink()
    if text is not None:
        machine.write_bytes(text)

    first = _ensure(tmp_path, machine)

    assert first.machine == ""
    assert _ensure(tmp_path, machine) == first


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b"null", b'{"secret": ""}', b"\xff", b'{"other": 1}'])
def test_a_damaged_identity_is_made_anew(tmp_path: Path, machine: Path, raw: bytes) -> None:
    """A device without an identity takes no part in rollouts, which is worse."""
    first = _ensure(tmp_path, machine)
    (tmp_path / "work" / "identity.json").write_bytes(raw)

    second = _ensure(tmp_path, machine)

    assert second.secret != first.secret
    assert _ensure(tmp_path, machine) == second
    assert set(json.loads((tmp_path / "work" / "identity.json").read_bytes())) == {"secret", "machine"}


def test_who_only_looks_makes_no_identity(tmp_path: Path, machine: Path) -> None:
    """It reads the one that is kept, and finds none where the next run would make one."""
    assert identity.load(tmp_path / "work", machine) is None
    assert not (tmp_path / "work").exists()
    made = _ensure(tmp_path, machine)
    assert identity.load(tmp_path / "work", machine) == made

    machine.write_text("fedcba9876543210fedcba9876543210\n")
    assert identity.load(tmp_path / "work", machine) is None
    machine.write_text(f"{MACHINE}\n")
    (tmp_path / "work" / "identity.json").write_bytes(b"{")
    assert identity.load(tmp_path / "work", machine) is None


def test_an_identity_that_cannot_be_kept_is_none(tmp_path: Path, machine: Path) -> None:
    """It would be another one the next time."""
    with pytest.raises(OSError, match="No space"):
        identity.ensure(tmp_path, Files(FaultyCalls(Fault(2, FULL_ONCE))), machine)

    assert not (tmp_path / "identity.json").exists()


def _ensure(folder: Path, machine: Path) -> Identity:
    return identity.ensure(folder / "work", Files(), machine)


@pytest.mark.parametrize("secret", ["", "ab", 5, None, ["ab" * 32], "zz" * 32])
def test_a_secret_that_is_none_is_made_anew(tmp_path: Path, machine: Path, secret: object) -> None:
    """What was written by hand, or half of one, is no secret."""
    first = _ensure(tmp_path, machine)
    file = tmp_path / "work" / "identity.json"
    file.write_text(json.dumps({"secret": secret, "machine": first.machine}))

    assert _ensure(tmp_path, machine).secret not in (secret, first.secret)


@sweep(_first_run, KILLS, wanted=20)
def test_a_killed_first_run_leaves_no_identity_or_a_whole_one(fault: Fault, tmp_path: Path, machine: Path) -> None:
    """The next run keeps what is there."""
    with pytest.raises(Killed):
        identity.ensure(tmp_path, Files(FaultyCalls(fault)), machine)

    file = tmp_path / "identity.json"
    kept = json.loads(file.read_bytes()) if file.exists() else None
    found = identity.ensure(tmp_path, Files(), machine)
    assert kept is None or found.secret == kept["secret"]
