"""What the daemon holds while it has nothing to do, after its first polls and after thousands."""

from __future__ import annotations

import functools
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devclient.settings import config
from devclient.units import services
from tests.bench import updating
from tests.support import nginx
from tests.support.manager import Manager

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.sites import Ground
    from tests.support.nginx import Nginx

_FIRST = 100
"""Polls until what is kept for good is there."""
_OFTEN = "[daemon]\ninterval = 0.001\njitter = 0\n"


@dataclass(frozen=True)
class Row:
    """The daemon after so many polls; what a poll costs is the mean since the row before, bytes of whole answers."""

    polls: int
    resident_mb: float
    descriptors: int
    threads: int
    cpu_ms_a_poll: float
    requests_a_poll: float
    bytes_a_poll: float


def idle(ground: Ground) -> Iterator[Row]:
    """Polls of the daemon that find nothing newer, from a real nginx, one right after the other.

    Resident memory, descriptors and threads should not grow with the number of polls. A quiet poll should be one
    request and at most 400 bytes; the first of all installs a package of one MiB.
    """
    folder = ground.folder / "idling"
    tree, home = updating.publish(folder / "site", 1), folder / "device"
    for made in (home / "opt", folder / "nginx"):
        made.mkdir(parents=True)
    with nginx.running(tree, folder / "nginx") as server:
        updating.set_up(home, tree, server.url)
        settings = home / "otadevice.toml"
        settings.write_text(settings.read_text().partition("[daemon]")[0] + _OFTEN)
        run_by = (Path(sys.executable), Path("-m"), Path("devclient.cli"))
        _, unit = services.units(config.load(settings), run_by, fstab="")
        with Manager(unit.text, folder) as manager:
            manager.patience = 3600
            manager.start()
            before = _Spent(0, 0, 0, 0)
            for more in (_FIRST, ground.idle_polls):
                manager.until(functools.partial(_has_polled, before.polls + more, manager))
                spent = _spent(manager.pid, server)
                yield _row(spent, before, manager.pid)
                before = spent
            manager.stop()


class _Spent(NamedTuple):
    polls: int
    ticks: int
    requests: int
    bytes: int


def _has_polled(times: int, manager: Manager) -> bool:
    return sum("polls again" in text for text in manager.messages) >= times


def _spent(pid: int, server: Nginx) -> _Spent:
    times, made = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split(), server.requests()
    # it has not stopped to poll while this looks, so what has come of it is what the server has seen
    polls = sum(request.target.startswith("/metadata/timestamp.json") for request in made)
    return _Spent(polls, int(times[11]) + int(times[12]), len(made), sum(request.bytes for request in made))


def _row(now: _Spent, before: _Spent, pid: int) -> Row:
    process, polls = Path(f"/proc/{pid}"), now.polls - before.polls
    status = (process / "status").read_text()
    return Row(
        now.polls,
        _figure("VmRSS", status) / 1000,
        len(list((process / "fd").iterdir())),
        _figure("Threads", status),
        (now.ticks - before.ticks) / os.sysconf("SC_CLK_TCK") * 1000 / polls,
        (now.requests - before.requests) / polls,
        (now.bytes - before.bytes) / polls,
    )


def _figure(name: str, status: str) -> int:
    return int(re.findall(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[0])
