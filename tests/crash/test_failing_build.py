"""Builds for which calls fail: the disk is full or broken, once or from then on. It is told, and nothing is lost.

In process every call of `mirror.files.Calls` fails in turn; from outside the system calls of the real command do,
SQLite's among them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from builder import build
from builder.intake.drops import Pass
from mirror import layout
from mirror.errors import OTAError
from mirror.files import Files
from tests.support import crashes
from tests.support.faults import BROKEN_ONCE, ERRORS, FULL, FULL_ONCE, Fault, FaultyCalls, spread, sweep
from tests.support.systemcalls import SYNCS
from tests.support.trace import fail_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.crashes import Recording, Scene

SAMPLE = 2
POINTS = 50


def trouble(action: Callable[[], object]) -> str:
    """Do something, and tell what went wrong as the command line and the service would."""
    try:
        result = action()
    except (OSError, OTAError) as error:
        return str(error)
    return "".join(find.waiting for find in result.waiting) if isinstance(result, Pass) else ""


def fail_and_settle(scene: Scene, fault: Fault) -> None:
    """Fail in this process, and let the next build finish."""
    calls = FaultyCalls(fault)

    told = trouble(lambda: crashes.run(scene.site, calls))

    assert len(calls.calls) >= fault.point
    if told:
        assert "No space left" in told or "Input/output" in told
    else:  # a failure that is not told must not have mattered
        crashes.check_published(scene.site, scene.packages)
    assert crashes.held_open(scene.site) == []
    crashes.settle(scene)


@sweep(lambda calls: crashes.clean_run("empty", calls), (FULL, BROKEN_ONCE), wanted=5)
def test_a_first_build_that_fails_loses_nothing(fault: Fault, tmp_path: Path) -> None:
    """Failed at any call, with no mirror there before: it is told, and the next build finishes."""
    fail_and_settle(crashes.lay("empty", tmp_path / "site"), fault)


@sweep(lambda calls: crashes.clean_run("grown", calls), ERRORS, wanted=3)
def test_a_build_that_fails_loses_nothing(fault: Fault, tmp_path: Path) -> None:
    """Failed at any call, with pointers to be replaced and a segment to be cut off: the next build finishes."""
    fail_and_settle(crashes.lay("grown", tmp_path / "site"), fault)


@sweep(lambda calls: crashes.clean_run("grown", calls), (FULL_ONCE, BROKEN_ONCE), wanted=3)
def test_a_service_goes_on_after_a_pass_that_failed(fault: Fault, tmp_path: Path) -> None:
    """Failed once at any call, the next pass of the same process publishes everything."""
    scene, troubles = crashes.lay("grown", tmp_path / "site"), []

    # a failure while the site is opened or closed ends the service; the next one has to cope
    with contextlib.suppress(OSError), build.opened(scene.site, Files(FaultyCalls(fault))) as builder:
        troubles = [trouble(step) for _ in range(2) for step in (builder.take_inbox, builder.refresh_pages)]
        crashes.check_published(scene.site, scene.packages)

    assert len([told for told in troubles if told]) <= 1
    crashes.settle(scene)


def test_what_failed_before_the_commit_is_not_in_the_catalogue(tmp_path: Path) -> None:
    """Failed within the transaction that accepts releases: none of them is there, and their drops are still claimed."""
    scene = crashes.lay("empty", tmp_path / "site")
    named, *_ = crashes.points("empty", lambda call: call.paths[-1].parent.name == layout.BLOBS)

    told = trouble(lambda: crashes.run(scene.site, FaultyCalls(Fault(named, BROKEN_ONCE))))

    assert "Input/output" in told
    assert crashes.catalogued(scene.site) == []
    assert len(list(scene.site.paths.claimed.iterdir())) == 2


def fail_and_tell(recording: Recording, point: int, folder: Path) -> None:
    """Fail the command at a call of the recording, see what it tells, and let the next build finish."""
    scene, call = recording.lay(folder), recording.calls[point - 1]
    done = fail_at(scene.command, call, "EIO" if call.name in SYNCS else "ENOSPC", folder)
    if done.returncode == 0:
        if "waits: it cannot be moved" not in done.stdout:
            crashes.check_published(scene.site, scene.packages)
    else:
        *_, last = done.stderr.splitlines()
        assert (done.returncode, last.partition(": ")[0]) == (1, "otamirror"), done.stderr
        assert "Traceback" not in done.stderr
    crashes.settle(scene)


@pytest.mark.parametrize("nth", range(SAMPLE))
def test_a_failure_is_told_by_the_command(nth: int, recording: Recording, tmp_path: Path) -> None:
    """Failed at calls from all over the run, the command says so in one line, and the next build finishes."""
    fail_and_tell(recording, spread(len(recording.calls), SAMPLE)[nth], tmp_path / "site")


@pytest.mark.long
@pytest.mark.parametrize("nth", range(POINTS))
def test_failures_all_over_the_run_are_told_by_the_command(nth: int, recording: Recording, tmp_path: Path) -> None:
    """The same at many calls."""
    fail_and_tell(recording, spread(len(recording.calls), POINTS, seed=1)[nth], tmp_path / "site")
