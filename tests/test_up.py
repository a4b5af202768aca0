"""builder/up.py: one process is the whole site."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from builder.catalogue import Catalogue
from tests.support import sites, tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.site import Site

SERVER = '[server]\nlisten = "127.0.0.1:0"\n'


class Service:
    """A running `otamirror up`, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout
        self.url = process.stdout.readline().split()[-1]

    def wait_for(self, text: str) -> str:
        """Read the log up to a line with `text`, and return that line; the suite's time limit ends a vain wait."""
        assert self.process.stderr
        for line in self.process.stderr:
            if text in line:
                return line
        raise AssertionError(f"the service ended without saying {text!r}")

    def newest(self) -> str:
        """Ask the mirror for the highest version."""
        answer = httpx.get(f"{self.url}maxVersion", params={"package": "app", "branch": "main"})
        return str(answer.json()["version"])


@contextlib.contextmanager
def up(site: Site, *, ends_with: int = 0) -> Iterator[Service]:
    """Run the service, and end it with SIGTERM."""
    command = [sys.executable, "-m", "builder.cli", "--site", str(site.file), "up"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Service(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == ends_with


@pytest.mark.parametrize("inbox", ['events = "kernel"\nscan_seconds = 3600', 'events = "poll"\nscan_seconds = 3600'])
def test_a_drop_is_published_at_once(tmp_path: Path, inbox: str) -> None:
    """Events tell of it, of the kernel or of a polled folder; nobody waits for the next scan."""
    site = sites.make(tmp_path / "site", f"{SERVER}[inbox]\n{inbox}\n")

    with up(site) as service:
        for version in ("1.0", "1.1"):
            sites.drop(site.paths.inbox, sites.package(version))
            service.wait_for(f"published app {version}")
            assert service.newest() == version


def test_scans_find_what_no_event_tells(tmp_path: Path) -> None:
    """Without events a drop is published all the same, at the next scan."""
    site = sites.make(tmp_path / "site", f'{SERVER}[inbox]\nevents = "none"\nscan_seconds = 1\n')

    with up(site) as service:
        sites.drop(site.paths.inbox, sites.package("1.0"))
        service.wait_for("published app 1.0")


def test_a_second_start_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    """SIGTERM ends it with exit code 0; what was dropped meanwhile is published at the next start."""
    site = sites.make(tmp_path / "site", SERVER)

    for version in ("1.0", "1.1"):
        sites.drop(site.paths.inbox, sites.package(version))
        with up(site) as service:
            service.wait_for(f"published app {version}")
            assert service.newest() == version


def test_a_half_written_drop_is_published_when_it_is_closed(tmp_path: Path) -> None:
    """The log says once what it waits for."""
    site = sites.make(tmp_path / "site", SERVER)
    package = sites.package("1.0")

    with up(site) as service:
        with (site.paths.inbox / "app.bin").open("wb") as file:
            file.write(package.data[:5])
            file.flush()
            (site.paths.inbox / "app.bin.json").write_bytes(package.content.canonical())
            service.wait_for("app.bin is still being written")
            file.write(package.data[5:])
        service.wait_for("published app 1.0")


def test_the_inbox_can_be_watched_alone(tmp_path: Path) -> None:
    """`otamirror watch` publishes what is dropped and serves nothing; SIGTERM ends it with exit code 0."""
    site = sites.make(tmp_path / "site")
    command = [sys.executable, "-m", "builder.cli", "--site", str(site.file), "watch"]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert str(site.paths.inbox) in process.stdout.readline()
        sites.drop(site.paths.inbox, sites.package("1.0"))
        assert process.stderr
        assert any("published app 1.0" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

    assert process.returncode == 0


def started_and_stopped(site: Site, command: str) -> list[str]:
    """Run a service until it says that it is up, end it, and return the lines of its log."""
    words = [sys.executable, "-m", "builder.cli", "--site", str(site.file), command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        return process.communicate(timeout=60)[1].splitlines()


@pytest.mark.root
@pytest.mark.parametrize(
    "command", ["up", *(pytest.param(name, marks=pytest.mark.long) for name in ("watch", "receive"))]
)
def test_running_as_root_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    """Nothing in it needs root, and the line says how to have a user of its own."""
    tools.require_root()
    site = sites.make(tmp_path / "site", '[server]\nlisten = "127.0.0.1:0"\n')

    said = started_and_stopped(site, command)

    assert len([line for line in said if "runs as root" in line and "install-units" in line]) == 1


@pytest.mark.parametrize("command", ["watch", pytest.param("up", marks=pytest.mark.long)])
def test_an_inbox_that_is_shared_badly_is_told_at_the_start(command: str, tmp_path: Path) -> None:
    """Once, with what to do; a service for uploads alone has no inbox to tell of."""
    site = sites.make(tmp_path / "site", '[server]\nlisten = "127.0.0.1:0"\n')
    site.paths.inbox.chmod(0o777)

    said = started_and_stopped(site, command)

    assert len([line for line in said if f"chmod +t {site.paths.inbox}" in line]) == 1


def test_an_address_that_is_not_ours_is_told(tmp_path: Path) -> None:
    """The operator learns which address, and the exit code tells."""
    site = sites.make(tmp_path / "site", '[server]\nlisten = "192.0.2.1:80"\n')
    command = [sys.executable, "-m", "builder.cli", "--site", str(site.file), "up"]

    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "cannot listen on 192.0.2.1" in done.stderr
    assert "set `server.listen` in site.toml to another address" in done.stderr


@pytest.mark.long
def test_ten_thousand_drops_arrive_though_events_are_lost(tmp_path: Path) -> None:
    """A service that stands still while they come overflows the kernel's queue; the scan finds them all."""
    site = sites.make(tmp_path / "site", f"{SERVER}[inbox]\nscan_seconds = 1\n")
    packages = [sites.package(f"1.{number}", f"app{number % 100}") for number in range(10_000)]

    with up(site) as service:
        service.process.send_signal(signal.SIGSTOP)
        for number, package in enumerate(packages):
            sites.drop(site.paths.inbox, package, f"{number}.bin")
        service.process.send_signal(signal.SIGCONT)
        for _ in packages:
            service.wait_for("published app")

    with Catalogue.open(site.paths.catalogue) as catalogue:
        assert catalogue.count() == len(packages)
