"""Commands that a service manager runs: `run`, and `put-back` if that does not come up."""

from __future__ import annotations

import functools
import os
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from devclient import config, lock, putback, report
from devclient.commands import options
from devclient.daemon import notify, visit
from devclient.daemon.loop import Daemon
from devclient.daemon.schedule import Schedule
from devclient.daemon.service import Service
from mirror.files import Files

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=options.example("run"))
@click.pass_obj
def run(file: Path) -> None:
    """Keep this device up to date, for ever.

    Polls in intervals that vary by chance, and keeps to maintenance windows: `[daemon]` in the settings. SIGHUP has it
    read the settings again, SIGTERM ends it, and a hook that runs then is ended and rolled back. Under systemd it says
    what it does by itself: `otadevice install-units`.
    """
    settings = config.load(file)
    clock = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    with (
        lock.hold(settings.work / "daemon.lock", Files()),
        Service(notify.of(os.environ), clock) as service,
    ):
        visit.recover(settings, service)
        Daemon(
            load=functools.partial(config.load, file),
            visit=lambda settings, itself: visit.visit(settings, service, itself),
            service=service,
            schedule=Schedule(random.SystemRandom().random),
            clock=clock,
            now=functools.partial(datetime.now, UTC),
            least=visit.least_wait(settings, datetime.now(UTC)),
        ).run()
        service.manager.stopping()


@click.command("put-back", hidden=True, epilog=options.example("put-back 12"))
@click.argument("attempt", type=int)
@click.pass_obj
def put_back(file: Path, attempt: int) -> None:
    """Undo the update ATTEMPT of otadevice itself, which did not come up.

    The service manager runs it, from the otadevice before.
    """
    with options.locked(config.load(file)) as device:
        done = putback.put_back(attempt, device)
    for result in done:
        click.echo(report.outcome(result))


COMMANDS = (run, put_back)
