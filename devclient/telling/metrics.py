"""What the monitoring of a fleet reads of a device: a text file for the collector of Prometheus' node exporter.

It is written after each poll, whole or not at all, and others may read it. It is a convenience: that it cannot be
written is a warning, and changes nothing. What has to survive restarts is taken over from the file itself.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devclient import state
from devclient.errors import WaitingError
from devclient.held_errors import StoppedError
from devclient.records import results
from devclient.telling import facts
from mirror.errors import OTAError
from mirror.trust import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from devclient.device import Device
    from devclient.records.results import Result
    from devclient.settings.config import Settings
    from devclient.state import Package
    from devclient.telling.exposition import Figure, Key, Samples
    from devclient.trust.standing import Standing

MODE = 0o644
"""The node exporter is another user."""

_CHANGED = "otadevice_package_last_change_timestamp_seconds"
_SUCCESS = "otadevice_last_success_timestamp_seconds"
_DOWNLOADED = "otadevice_downloaded_bytes_total"

_FAILURES = frozenset({"failed", "rolled back"})
_MOST = 16 * 1024 * 1024
"""Bytes of a file of ours; a larger one is somebody else's."""

_log = logging.getLogger(__name__)


def prepare(settings: Settings) -> None:
    """Load what writing needs, if there is to be a file: later, what is installed may be another otadevice's."""
    if settings.daemon.metrics:
        with contextlib.suppress(ImportError):
            importlib.import_module("devclient.telling.exposition")


def write(
    device: Device,
    standings: Mapping[str, Standing | None],
    done: Sequence[Result],
    downloaded: int,
    *,
    exit_code: int = 0,
) -> None:
    """Write the file that the settings name, if they do, after a poll.

    Args:
        device: which device.
        standings: where its remotes stand, by their names.
        done: what came of the poll.
        downloaded: how many bytes of packages it downloaded.
        exit_code: that of the error which ended it, if one did.
    """
    file = device.settings.daemon.metrics
    if file is None:
        return
    try:
        from devclient.telling import exposition  # noqa: PLC0415 - it costs memory, for which most devices have better use

        poll = _Poll(device, _state(device), device.now(), done, downloaded, exit_code, _values(file, exposition.parse))
        data = exposition.encode([*poll.of_device(), *poll.of_packages(), *_of_remotes(standings, poll.at)])
        device.files.replace(file, data, mode=MODE, exact=True)
    except ImportError:
        _log.warning("%s is not written: prometheus-client is missing, install otamirror[device] anew", file)
    except (OTAError, OSError, ValueError) as error:
        _log.warning("%s is not written: %s", file, error)


@dataclass(frozen=True)
class _Poll:
    """A poll, and what the file said before it."""

    device: Device
    current: state.State
    at: datetime
    done: Sequence[Result]
    downloaded: int
    exit_code: int
    before: Mapping[Key, float]

    def of_device(self) -> Iterable[Figure]:
        pending = facts.pending(self.device)
        of_state = {"state": str(pending["state"]) if pending else "IDLE"}
        codes = {self.exit_code, *(each.exit_code for each in self.done)} - {0}
        version = importlib.metadata.version("otamirror")
        yield (
            "otadevice_info",
            "The version of otadevice, and the name of this device.",
            [({"version": version, "device": self.current.name}, 1)],
        )
        yield (
            "otadevice_last_poll_timestamp_seconds",
            "When the mirrors were asked last, or should have been.",
            _one(self.at.timestamp()),
        )
        yield _SUCCESS, "When they were asked last and nothing failed.", self._success()
        yield (
            "otadevice_poll_exit_code",
            "What that came to: 0 done, 1 failed, 75 try again later.",
            _one(min(codes, default=0)),
        )
        yield (
            _DOWNLOADED,
            "Bytes of packages that came from mirrors.",
            _one(self.before.get((_DOWNLOADED, ()), 0) + self.downloaded),
        )
        yield (
            "otadevice_update_pending",
            "Whether an update is not at its end, and the state that its journal is in.",
            [(of_state, int(pending is not None))],
        )
        yield (
            "otadevice_bad_releases",
            "How many releases failed here and are not taken again.",
            _one(len(self.device.marks.listed())),
        )

    def of_packages(self) -> Iterable[Figure]:
        packages, last = self.current.packages, results.load(self.device.work)
        yield (
            "otadevice_package_info",
            "The branch and the installed version of a package, empty for none.",
            [({"package": each.name, "branch": each.branch, "version": each.version}, 1) for each in packages],
        )
        yield (
            "otadevice_package_update_result",
            "What the last update of a package came to.",
            [({"package": each.name, "outcome": last[each.name].outcome}, 1) for each in packages if each.name in last],
        )
        changed = [(each.name, self._changed(each)) for each in packages]
        yield (
            _CHANGED,
            "When another release of a package was installed, if that is known.",
            [({"package": name}, at) for name, at in changed if at is not None],
        )

    def _success(self) -> Samples:
        # what waits for a window has not failed; and where nothing is wanted, no mirror has answered
        succeeded = bool(self.done) and not any(map(_failed, self.done))
        last = self.at.timestamp() if succeeded else self.before.get((_SUCCESS, ()))
        return [] if last is None else _one(last)

    def _changed(self, package: Package) -> float | None:
        now = next((each for each in self.done if each.package == package.name and each.to and each.at), None)
        return moment(now.at).timestamp() if now else self.before.get((_CHANGED, (("package", package.name),)))


def _of_remotes(standings: Mapping[str, Standing | None], at: datetime) -> Iterable[Figure]:
    expiries = {name: standing.expires for name, standing in standings.items() if standing}
    yield (
        "otadevice_metadata_expires_timestamp_seconds",
        "When the signed metadata of a mirror expires, as far as this device knows.",
        [({"remote": name}, expires.timestamp()) for name, expires in expiries.items()],
    )
    yield (
        "otadevice_metadata_seconds_to_expiry",
        "How long that was when the mirrors were asked last.",
        [({"remote": name}, (expires - at).total_seconds()) for name, expires in expiries.items()],
    )


def _one(value: float) -> Samples:
    return [({}, value)]


def _failed(result: Result) -> bool:
    if result.outcome in _FAILURES:
        return result.code != StoppedError.code
    return result.code == WaitingError.code


def _state(device: Device) -> state.State:
    """Read the state file; empty if it is not usable, which is what the poll came to then."""
    try:
        return state.load(device.settings.state)
    except OTAError:
        return state.State({"package": []})


def _values(file: Path, parse: Callable[[bytes], Mapping[Key, float]]) -> Mapping[Key, float]:
    """Read what a file says that makes sense; nothing if it is none of ours."""
    try:
        if not file.is_file() or file.stat().st_size > _MOST:
            return {}
        return {key: value for key, value in parse(file.read_bytes()).items() if 0 <= value < math.inf}
    except (OSError, ValueError):
        return {}
