"""`make demo`: the whole circle by itself, on a temporary folder, each step shown.

Ends with exit code 0, or 1 as soon as a step fails.
"""

from __future__ import annotations

import contextlib
import functools
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.journey.accidents import AccidentError, Door
from tests.journey.people import Circle, CommandError
from tests.support import published

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD, NEW = published.VERSIONS
_PATIENCE_SECONDS = 30


class DemoError(Exception):
    """A step of the demonstration did not do what it should."""


def main() -> int:
    """Show the circle; returns the exit code."""
    try:
        with tempfile.TemporaryDirectory(prefix="otamirror-demo-") as folder:
            show(Circle(Path(folder), print))
    except (DemoError, AccidentError, CommandError, published.FetchError, OSError) as error:
        print(f"\nThe demonstration failed: {error}", file=sys.stderr)
        return 1
    print("\nThat was the whole circle; everything is removed again.")
    return 0


def show(circle: Circle) -> None:
    """Publish two releases of a real program and take a device from the first to the second."""
    step(f"Fetch two releases of a real program: {published.NAME} {OLD} and {NEW}")
    programs = {version: published.executable(version) for version in published.VERSIONS}
    circle.set_up()
    step("Start the site: inbox, builder and web server in one process")
    with service(circle) as url:
        step(f"The publisher drops {OLD} into the inbox")
        circle.publish(programs[OLD], OLD)
        wait_for(url, "uv", OLD)
        step("A device is set up, pinned to the mirror's root of trust, and takes it")
        circle.set_up_device("demo", url)
        circle.run(f"otadevice add uv --branch stable --local {circle.installed}", "device")
        update(circle, OLD)
        step(f"The publisher drops {NEW}, the device updates itself")
        circle.publish(programs[NEW], NEW)
        wait_for(url, "uv", NEW)
        update(circle, NEW)
        circle.run("otadevice status", "device")
        door = Door(circle, functools.partial(wait_for, url))
        step("A service is installed, and what it depends on comes along")
        door.bring_along()
        step("Its next release does not start: the update is rolled back, and the service runs again")
        door.fail()
        step("The one after that is interrupted by kill -9; recovered, it is taken at the next try")
        door.lose_power()
        step("The publisher claims the package: from now on nobody else can sign for it, not even the mirror")
        circle.claim()
        yank = f"--package uv --branch stable --yank {OLD} --reason superseded"
        circle.run(f"otamirror push --key publisher.pem {yank} --to {url}", "site")
        circle.run("otadevice check", "device")
        step("Every byte of the mirror is what the catalogue says, and every signature is good")
        circle.run("otamirror check", "site")
        circle.run("otamirror keys list", "site")
        step("Pages for people, and what any client can ask")
        for page in ("", "packages/uv/", "maxVersion?package=uv&branch=stable", "releases/uv/stable.json"):
            print(f"  {url}/{page}  {len(get(f'{url}/{page}'))} bytes")


def step(title: str) -> None:
    """Say what comes next."""
    print(f"\n== {title}", flush=True)


def update(circle: Circle, wanted: str) -> None:
    """Update the device, and ask the program itself which version it is."""
    circle.run("otadevice update", "device")
    found = circle.version_on_device()
    print(f"  {circle.installed.name} --version: {found}")
    if found != wanted:
        raise DemoError(f"the device runs {found}, not {wanted}")


@contextlib.contextmanager
def service(circle: Circle) -> Iterator[str]:
    """Run `otamirror up` and give the URL that it prints."""
    print("$ otamirror up &")
    command = circle.program("otamirror up")
    process = subprocess.Popen(command, cwd=circle.folder / "site", stdout=subprocess.PIPE, text=True)
    try:
        yield first_url(process)
    finally:
        process.terminate()
        process.communicate(timeout=_PATIENCE_SECONDS)
    if process.returncode != 0:
        raise DemoError(f"`otamirror up` ended with {process.returncode}")


def first_url(process: subprocess.Popen[str]) -> str:
    """Read what the service prints at its start, up to the mirror's URL."""
    for line in process.stdout or ():
        print(f"  {line}", end="")
        if match := re.search(r"http://[^/\s]+", line):
            return match[0]
    raise DemoError("`otamirror up` did not start")


def wait_for(url: str, package: str, version: str) -> None:
    """Ask the mirror until it offers a version, as a person at a terminal would."""
    address = f"{url}/maxVersion?package={package}&branch=stable"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.HTTPError):
            if f'"version":"{version}"'.encode() in get(address):
                print(f"  {address} says {version}")
                return
        time.sleep(0.1)
    raise DemoError(f"{version} did not appear on the mirror within {_PATIENCE_SECONDS} seconds")


def get(url: str) -> bytes:
    """Fetch a page of the mirror."""
    with urllib.request.urlopen(url, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310 - our own server's URL
        data: bytes = answer.read()
        return data


if __name__ == "__main__":
    sys.exit(main())
