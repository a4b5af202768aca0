"""The command `otadevice`: its commands, put together, and the one place where errors end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devclient.commands import daemon, looking, options, setting_up, updating
from mirror import terminal
from mirror.errors import OTAError
from mirror.text import indented

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Commands(click.Group):
    """A group that turns our errors into one line on stderr and an exit code, here and nowhere else.

    It lists commands in the order in which they are met.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click gives it
        return list(self.commands)

    def main(self, *arguments: Any, **named: Any) -> Any:
        terminal.prepare()
        try:
            return super().main(*arguments, **named)
        except OSError as error:  # of what click itself prints, such as help
            terminal.echo(f"otadevice: {error}", err=True)
            sys.exit(OTAError.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (OTAError, OSError) as error:
            terminal.echo(f"otadevice: {indented(str(error))}", err=True)
            ctx.exit(options.exit_code(error))


_EXIT_CODES = """\b
Exit codes:
  0   done; also if nothing newer is there
  1   failed, or rolled back; what to do about it is on stderr
  2   wrong usage
  75  try again later: the network, another otadevice at work, a hook that says not now, a reboot that is awaited"""


_HERE, _USUAL = Path("otadevice.toml"), Path("/etc/otadevice/otadevice.toml")


@click.group(
    cls=_Commands,
    epilog=options.example(
        "init --device door-7 --remote https://updates.example.org --root root.json",
        "add app --branch stable --local /opt/app/app",
        "update",
    )
    + f"\n\n{_EXIT_CODES}",
)
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The settings of this device; without it ./{_HERE}, or else {_USUAL}.",
)
@click.version_option(package_name="otamirror", prog_name="otadevice")
@click.pass_context
def main(ctx: click.Context, file: Path | None) -> None:
    """Keep the packages of this device up to date from a mirror."""
    # whoever started us may ignore it, and then no child could be waited for
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if ctx.invoked_subcommand != "init":  # what that writes is the owner's: all else has the mode that it should have
        os.umask(0o022)
    ctx.obj = (file or _settings(ctx.invoked_subcommand)).absolute()
    ctx.with_resource(_logging())


def _settings(command: str | None, here: Path = _HERE, usual: Path = _USUAL) -> Path:
    """Find the settings, if nobody says where they are; a new device gets them where its owner stands."""
    return usual if command != "init" and not here.exists() and usual.exists() else here


for _module in (setting_up, looking, daemon, updating):
    for _command in _module.COMMANDS:
        main.add_command(_command)


class _GraveFormatter(terminal.LineFormatter):
    """Where standard error is systemd's journal, each line says how grave it is, by the prefixes of sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        grave = _GRAVITY.get(record.levelno, "") if "JOURNAL_STREAM" in os.environ else ""
        return grave + super().format(record)


_GRAVITY = {logging.ERROR: "<3>", logging.WARNING: "<4>", logging.INFO: "<6>"}


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Log to stderr: all that is done, or only warnings where a bar shows it."""
    logger = logging.getLogger("devclient")
    # a bar takes the place of stderr, to put lines above itself
    handler = terminal.StderrHandler()
    handler.setFormatter(_GraveFormatter())
    logger.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


if __name__ == "__main__":
    main()
