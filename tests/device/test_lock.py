"""One otadevice at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from devclient import lock
from devclient.errors import BusyError
from mirror.files import Files

if TYPE_CHECKING:
    from pathlib import Path


def test_the_second_is_told_who_was_first(tmp_path: Path) -> None:
    """Who comes while another is at work tries later, and learns its process id."""
    file = tmp_path / "work" / "lock"

    with lock.hold(file, Files()), pytest.raises(BusyError, match=f"process {os.getpid()} ") as caught:
        lock.hold(file, Files()).__enter__()

    assert (caught.value.holder, caught.value.exit_code) == (os.getpid(), 75)


def test_the_lock_is_free_afterwards(tmp_path: Path) -> None:
    """The next one gets it, also after an error."""

    def work_that_fails() -> None:
        with lock.hold(tmp_path / "lock", Files()):
            raise ValueError("something")

    with pytest.raises(ValueError, match="something"):
        work_that_fails()

    with lock.hold(tmp_path / "lock", Files()):
        assert (tmp_path / "lock").read_text().strip() == str(os.getpid())


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    """A process that was killed leaves no lock behind."""
    program = (
        "import os, sys; from pathlib import Path; from devclient import lock; from mirror.files import Files\n"
        "with lock.hold(Path(sys.argv[1]), Files()): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "lock")], check=False)
    assert killed.returncode == -9

    with lock.hold(tmp_path / "lock", Files()):
        assert (tmp_path / "lock").read_text().strip() == str(os.getpid())


@pytest.mark.parametrize("umask", [0, 0o022])
def test_no_other_user_can_open_it(tmp_path: Path, umask: int) -> None:
    """Whoever can open a lock can hold it; not even while it is new."""
    before = os.umask(umask)
    try:
        with lock.hold(tmp_path / "work" / "lock", Files()):
            found = (tmp_path / "work" / "lock").stat().st_mode
    finally:
        os.umask(before)

    assert found & 0o777 == 0o600
