"""What a service manager is told, as bytes on its socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from devclient.daemon import notify
from devclient.daemon.notify import Manager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(10)
        yield made


def heard(listener: socket.socket) -> str:
    """Read one message."""
    return listener.recv(65536).decode()


def test_each_message_is_one_of_the_protocol(listener: socket.socket) -> None:
    """With a line for people where there is something to say."""
    manager = Manager(listener.getsockname())

    manager.ready("polls in 5 s")
    manager.status("nothing newer")
    manager.stopping()
    manager.alive()
    manager.extend(1.5)

    assert [heard(listener) for _ in range(5)] == [
        "READY=1\nSTATUS=polls in 5 s",
        "STATUS=nothing newer",
        "STOPPING=1\nSTATUS=stopping",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=1500000",
    ]


@pytest.mark.parametrize("text", ["two\nREADY=1", "\udcff", "\r\n"])
def test_what_people_read_is_one_line(listener: socket.socket, text: str) -> None:
    """A hook's words cannot say something to the manager in our name."""
    Manager(listener.getsockname()).status(text)

    assert "\n" not in heard(listener)


def test_what_people_read_has_an_end(listener: socket.socket) -> None:
    """Managers take messages of some kilobytes."""
    Manager(listener.getsockname()).status("x" * 1_000_000)

    assert len(heard(listener)) < 1000


def test_names_that_are_no_files_are_found() -> None:
    """Linux has sockets of such names, and managers use them."""
    name = f"otadevice-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(10)

        Manager(f"@{name}").alive()

        assert heard(listener) == "WATCHDOG=1"


def test_a_manager_that_does_not_hear_holds_nobody_up(tmp_path: Path, listener: socket.socket) -> None:
    """One that is gone, or reads nothing, is no reason to fail."""
    Manager(str(tmp_path / "nobody")).ready("")
    Manager("").ready("")

    deaf = Manager(listener.getsockname())
    for _ in range(20_000):
        if not deaf.alive():
            break
    else:
        pytest.fail("its socket never filled")


@pytest.mark.parametrize(
    ("environment", "manager"),
    [
        ({}, Manager()),
        ({"NOTIFY_SOCKET": "/run/n"}, Manager("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000"}, Manager("/run/n", 30)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, Manager("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "soon"}, Manager("/run/n")),
    ],
)
def test_the_manager_is_found_in_the_environment(environment: dict[str, str], manager: Manager) -> None:
    """What it says of the watchdog counts only if it means this process."""
    assert notify.of(environment) == manager
