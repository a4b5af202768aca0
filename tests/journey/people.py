"""Publisher, operator and device, each in a folder of its own, working with the commands alone."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PROGRAMS = {"otamirror": "builder.cli", "otadevice": "devclient.cli"}
_TOLD = 8
"""Lines of a command's output that are told."""
_SITE = """\
[server]
listen = "127.0.0.1:0"
"""


class CommandError(Exception):
    """A command failed that should not have."""


@dataclass(frozen=True)
class Circle:
    """A temporary folder with a site and a device in it; every command is told before it runs."""

    folder: Path
    tell: Callable[[str], object] = lambda _: None

    @property
    def inbox(self) -> Path:
        """Where packages are dropped."""
        return self.folder / "site" / "var" / "inbox"

    @property
    def mirror(self) -> Path:
        """What is served."""
        return self.folder / "site" / "var" / "mirror"

    @property
    def installed(self) -> Path:
        """The program on the device."""
        return self.folder / "device" / "bin" / "uv"

    def set_up(self) -> None:
        """Make the folders and the site's settings."""
        for folder in (self.inbox, self.installed.parent):
            folder.mkdir(parents=True)
        (self.folder / "site" / "site.toml").write_text(_SITE)

    def publish(self, program: Path, version: str) -> None:
        """Pack a program and drop it into the inbox, the content.json last."""
        file = self.folder / "site" / "uv"
        shutil.copyfile(program, file)
        self.run(f"otamirror pack uv --package uv --branch stable --version {version} --force", "site")
        self.drop("uv")

    def drop(self, name: str) -> None:
        """Drop a packed file into the inbox, the content.json last."""
        for part in (name, f"{name}.json"):
            self.tell(f"$ mv {part} var/inbox/")
            (self.folder / "site" / part).rename(self.inbox / part)

    def set_up_device(self, name: str, url: str) -> None:
        """Set the device up for the mirror at `url`, pinned to its newest root."""
        self.run("otamirror keys export-root --output ../device/root.json", "site")
        allowed = self.installed.parent
        self.run(f"otadevice init --device {name} --remote {url} --root root.json --allow {allowed}", "device")

    def claim(self) -> None:
        """Have the publisher, who is at the site's machine for once, claim the package."""
        self.run("otamirror keys new publisher.pem", "site")
        self.run("otamirror keys claim uv --publisher-key publisher.pub --key publisher.pem", "site")

    @contextlib.contextmanager
    def receiving(self) -> Iterator[str]:
        """Run `otamirror receive`; gives its URL."""
        command = self.program("otamirror receive")
        process = subprocess.Popen(command, cwd=self.folder / "site", stdout=subprocess.PIPE, text=True)
        try:
            first = process.stdout.readline() if process.stdout else ""
            yield first.split()[5].removesuffix("/update.")
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def run(self, command: str, where: str, *, expected: int = 0) -> str:
        """Run a command of ours in the folder of the site or the device; returns what it printed."""
        self.tell(f"$ {command}")
        done = subprocess.run(
            self.program(command), cwd=self.folder / where, check=False, capture_output=True, text=True, timeout=120
        )
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
        for line in lines[:_TOLD]:
            self.tell(f"  {line}")
        if len(lines) > _TOLD:
            self.tell(f"  ... and {len(lines) - _TOLD} lines more")
        if done.returncode != expected:
            raise CommandError(f"{command!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def program(self, command: str) -> list[str]:
        """Return the words that start one of our commands with this very interpreter."""
        name, *arguments = shlex.split(command)
        return [sys.executable, "-m", _PROGRAMS[name], *arguments]

    def version_on_device(self) -> str:
        """Run the installed program, and return what it says of itself."""
        done = subprocess.run(
            [str(self.installed), "--version"], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout.split()[1]
