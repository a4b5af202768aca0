"""Commands that a service manager runs: `run`, and `put-back` if that does not come up."""

from __future__ import annotations

import functools
import os
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from devclient import assembly, lock, putback
from devclient.commands import options
from devclient.daemon import notify
from devclient.daemon.loop import Daemon
from devclient.daemon.schedule import Schedule
from devclient.daemon.service import Service
from devclient.daemon.visit import Work
from devclient.settings import config
from devclient.telling import report
from mirror import terminal
from mirror.files import Files

if TYPE_CHECKING:
    from pathlib import Path


_seconds = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)


@click.command(epilog=options.example("run"))
@click.pass_obj
def run(file: Path) -> None:
    """Keep this device up to date, for ever.

    Polls in intervals that vary by chance, and keeps to maintenance windows: `[daemon]` in the settings. SIGHUP has it
    read the settings again, SIGTERM ends it, and a hook that runs then is ended and rolled back. Under systemd it says
    what it does by itself: `otadevice install-units`.
    """
    settings = config.load(file)
    with (
        lock.hold(settings.work / lock.DAEMON, Files()),
        Service(notify.of(os.environ), _seconds) as service,
    ):
        work = Work(service)
        work.recover(settings)
        load, now = functools.partial(config.load, file), functools.partial(datetime.now, UTC)
        Daemon(load, work, service, Schedule(random.SystemRandom().random), _seconds, now).run()
        service.manager.stopping()


@click.command("put-back", hidden=True, epilog=options.example("put-back 12"))
@click.argument("attempt", type=int)
@click.pass_obj
def put_back(file: Path, attempt: int) -> None:
    """Undo the update ATTEMPT of otadevice itself, which did not come up.

    The service manager runs it, from the otadevice before.
    """
    settings = config.load(file)
    with (
        Service(notify.of(os.environ), _seconds) as service,
        assembly.locked(settings, lifeline=service) as (device, _),
    ):
        done = putback.put_back(attempt, device)
    for result in done:
        terminal.echo(report.outcome(result))


COMMANDS = (run, put_back)
