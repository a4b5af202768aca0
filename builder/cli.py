"""The command `otamirror`: its commands, put together, and the one place where errors end.

Exit codes: 0 done, 1 failed (or something was refused, or a check found faults), 2 usage, 75 try later.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from builder import console
from builder.commands import hosting, keys, publishing, reading, service, tokens, writing
from builder.errors import in_words
from mirror import terminal
from mirror.errors import OTAError
from mirror.text import indented


class _Group(click.Group):
    """A group that turns our errors into one message and an exit code, here and nowhere else."""

    def main(self, *arguments: Any, **named: Any) -> Any:
        """Run the program, whatever its standard output is."""
        terminal.prepare()
        try:
            return super().main(*arguments, **named)
        except OSError as error:  # of what click itself prints, such as help
            terminal.echo(f"otamirror: {error}", err=True)
            sys.exit(OTAError.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except OTAError as error:
            _fail(str(error), error.exit_code)
        except (OSError, sqlite3.Error) as error:
            _fail(in_words(error), OTAError.exit_code)


def _fail(message: str, code: int) -> NoReturn:
    terminal.echo(f"otamirror: {indented(message)}", err=True)
    sys.exit(code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--site", "site_file", default="site.toml", show_default=True, type=click.Path(path_type=Path))
@click.version_option(package_name="otamirror")
@click.pass_context
def main(context: click.Context, site_file: Path) -> None:
    """Turn uploaded packages into a static mirror that devices update from.

    \b
    Example:
      otamirror init
      otamirror pack app.bin --package app --branch main --version 1.0
      mv app.bin app.bin.json var/inbox/
      otamirror build
      otamirror host nginx > /etc/nginx/conf.d/mirror.conf

    \b
    Exit codes: 0 done, 1 failed or refused, 2 usage, 75 try later.
    """
    os.umask(0o022)  # a web server runs as another user, and must be able to read the mirror
    console.log_to_stderr()
    context.obj = site_file


for _module in (service, tokens, keys, publishing, writing, reading, hosting):
    for _command in _module.COMMANDS:
        main.add_command(_command)


if __name__ == "__main__":
    logging.captureWarnings(capture=True)
    main()
