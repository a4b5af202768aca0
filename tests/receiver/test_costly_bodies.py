"""What an upload may cost the receiver: memory, and the processor time for which others wait, each counted."""

from __future__ import annotations

import contextlib
import json
import re
import select
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder.uploads.refusals import CrowdedError
from builder.uploads.upload import MemoryBudget
from mirror import canonical
from mirror.releases import Entry, ReleaseList, Segment
from tests.receiver import forms, process, raw
from tests.receiver.forms import form, part, request
from tests.support import sites

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.receiver.process import Running

MIB = 1024 * 1024
MOST_MEMORY = 64 * MIB
MOST_WAITING = 0.2
"""Seconds of the server's processor that another request may wait for."""

HEAD = b'{"package":"app","branch":"main",'
LISTED = 8 * MIB
SIGNED = MIB


def filled(size: int, head: bytes, item: bytes, tail: bytes) -> bytes:
    """Repeat an item until so many bytes are full."""
    return head + item * ((size - len(head) - len(tail)) // len(item)) + tail


def keys(size: int, head: bytes) -> bytes:
    """Write an object of as many keys as there is room for."""
    count = size // 12
    return head + b",".join(b'"%x":0' % number for number in range(count)) + b"}\n"


BODIES: dict[str, Callable[[int, bytes], bytes]] = {
    "lines": lambda size, head: filled(size, head, b"a\n", b""),
    "empty lines": lambda size, head: filled(size, head, b"\n", b""),
    "lists in a list": lambda size, head: filled(size, head + b'"a":[[]', b",[]", b"]}\n"),
    "objects in a list": lambda size, head: filled(size, head + b'"a":[{}', b",{}", b"]}\n"),
    "lists of line length": lambda size, head: filled(min(size, MIB), head + b'"a":[[]', b",[]", b"]}\n"),
    "many keys": keys,
    "keys of line length": lambda size, head: keys(min(size, MIB), head),
    "repeated keys": lambda size, head: filled(size, head + b'"a":0', b',"a":0', b"}\n"),
    "deep lists": lambda size, head: filled(size, head + b'"a":', b"[", b"\n"),
    "deep objects": lambda size, head: filled(size, head + b'"a":', b'{"a":', b"\n"),
    "a long string": lambda size, head: filled(size, head + b'"a":"', b"x", b'"}\n'),
    "a string of escapes": lambda size, head: filled(size, head + b'"a":"', b"\\u00e9", b'"}\n'),
    "a string of large characters": lambda size, head: filled(size, head + b'"a":"', "\U0001f600".encode(), b'"}\n'),
    "a huge number": lambda size, head: filled(size, head + b'"a":', b"9", b"}\n"),
    "many numbers": lambda size, head: filled(size, head + b'"a":[0', b",1e9", b"]}\n"),
    "numbers of line length": lambda size, head: filled(min(size, MIB), head + b'"a":[0', b",1e9", b"]}\n"),
    "as full as may be": lambda _, head: filled(2 * 95_000, head + b'"a":[0', b",{}", b"]}\n"),
    "spaces": lambda size, head: filled(size, head, b" ", b"}\n"),
}
SAMPLE = {"lines", "lists in a list", "keys of line length", "many keys", "as full as may be"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a mirror with its receiver in a process of its own, warm from an upload."""
    site = sites.make(tmp_path_factory.mktemp("costly") / "site", '[server]\nlisten = "127.0.0.1:0"\n', signed=False)
    with process.running(site, "up") as running:
        assert raw.exchange(running.port, request(forms.good())).status == 200
        for size in (MIB, MIB):
            assert (
                raw.exchange(running.port, request(form(part("list", b"x" * size), part("signed", b"{}")))).status
                == 400
            )
        yield running


def memory(running: Running, key: str) -> int:
    """Read what the process has, or had at most, in bytes."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(re.findall(rf"^{key}:\s+(\d+) kB$", status, re.MULTILINE)[0]) * 1024


def processor(running: Running) -> float:
    """Read how many seconds the process has had of the processor, all threads together."""
    threads = Path(f"/proc/{running.process.pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


def cost(running: Running, requests: list[bytes]) -> tuple[int, float, set[int]]:
    """Send requests together; returns bytes above idle, what another request waited for at most, and the answers."""
    idle = memory(running, "VmRSS")
    Path(f"/proc/{running.process.pid}/clear_refs").write_text("5")
    done = threading.Event()
    waited = [0.0]

    def ask() -> None:
        while not done.is_set():
            before = processor(running)
            assert raw.exchange(running.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET").status in {200, 404}
            waited.append(processor(running) - before)

    with ThreadPoolExecutor(len(requests) + 1) as pool:
        asking = pool.submit(ask)
        statuses = {answer.status for answer in pool.map(lambda asked: raw.exchange(running.port, asked), requests)}
        done.set()
        asking.result()
    return memory(running, "VmHWM") - idle, max(waited), statuses


def full_lists() -> bytes:
    """Write a list and segments that are valid, with as many dependencies as a text may have pieces."""
    parts: list[ReleaseList] = []
    for high in range(6, 0, -1):
        entries = [_full_entry(f"{high}.{number}") for number in range(20, 0, -1)]
        parts.append(ReleaseList("app", "main", tuple(entries)))
    own = [part.encode() for part in parts]
    references = [
        Segment(part.releases[-1].version, part.releases[0].version, 20, canonical.digest(line), len(line))
        for part, line in zip(parts, own, strict=True)
    ]
    newest = ReleaseList("app", "main", (), tuple(references)).encode()
    return newest + b"".join(own)


def _full_entry(version: str) -> Entry:
    wanted = {f"library-{number}": f">={version}" for number in range(780)}
    return Entry(version, "0" * 64, "0" * 64, 1, "2026-11-23T07:00:00Z", wanted)


def full_role() -> bytes:
    """Write a role that names as many lists as there is room for."""
    named = {f"releases/app/{number}.json": {"hashes": {"sha256": "0" * 64}, "length": 1} for number in range(8000)}
    signed = {"_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": "2026-11-23T07:00:00Z"}
    return json.dumps({"signatures": [], "signed": {**signed, "targets": named}}, separators=(",", ":")).encode()


def test_what_is_valid_and_as_large_as_may_be_takes_no_more(server: Running) -> None:
    """Lists with their segments and a role, all of which is read before anybody's signature counts."""
    taken, waited, statuses = cost(server, [request(form(part("list", full_lists()), part("signed", full_role())))])

    assert statuses == {400}
    assert taken <= MOST_MEMORY, f"{taken / MIB:.0f} MiB"
    assert waited <= MOST_WAITING, f"{waited:.2f} s"


def upload(place: str, make: Callable[[int, bytes], bytes]) -> bytes:
    """Write an upload with a body in one of its parts."""
    texts: dict[str, Any] = {"list": HEAD + b'"releases":[]}\n', "signed": b"{}"}
    if place == "content":
        text = make(64 * 1024, b"{").rstrip(b"\n")
        return form(part("content", text), part("file", forms.DATA))
    texts[place] = make(LISTED, HEAD) if place == "list" else make(SIGNED, b"{")
    return form(*(part(name, text) for name, text in texts.items()))


def cases() -> Iterator[Any]:
    """List every body in every part; most of them for the long suites."""
    for place in ("list", "signed", "content"):
        for name, make in BODIES.items():
            marks = () if name in SAMPLE and place != "content" else (pytest.mark.long,)
            yield pytest.param(place, make, id=f"{place}-{name}", marks=marks)


@pytest.mark.parametrize(("place", "make"), [*cases()])
def test_no_upload_takes_much_or_keeps_others_waiting(
    server: Running, place: str, make: Callable[[int, bytes], bytes]
) -> None:
    """At most 64 MiB above idle, and at most a fifth of a second of the processor between a question and its answer."""
    taken, waited, statuses = cost(server, [request(upload(place, make))])

    assert statuses <= {400, 413}
    assert taken <= MOST_MEMORY, f"{taken / MIB:.0f} MiB"
    assert waited <= MOST_WAITING, f"{waited:.2f} s"


@pytest.mark.parametrize("name", ["lines", "lists of line length", "as full as may be"])
def test_several_at_once_take_little_more(server: Running, name: str) -> None:
    """Their texts wait side by side, and two of them are judged at a time."""
    taken, waited, statuses = cost(server, [request(upload("list", BODIES[name]))] * 6)

    assert statuses <= {400, 413}
    assert taken <= 2 * MOST_MEMORY, f"{taken / MIB:.0f} MiB"
    assert waited <= MOST_WAITING, f"{waited:.2f} s"


@pytest.mark.long
def test_all_uploads_together_have_so_much_memory(server: Running) -> None:
    """Above that, the next one is told to come again; those that are there go on, and leave room when they are gone."""
    begun = form(part("list", HEAD.ljust(LISTED - 1)))[:-20]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(raw.connected(server.port)) for _ in range(18)]
        for client in clients:
            client.send(request(begun, Content_Length=str(2**25)))
        readable = select.select([client.socket for client in clients], [], [], 30)[0]
        answers = [client.answer() for client in clients if client.socket in readable]

        assert answers
        assert {(answer.status, answer.error) for answer in answers} == {(503, "busy")}
    assert raw.exchange(server.port, request(upload("list", BODIES["a long string"]))).status == 400


def test_memory_that_is_given_back_can_be_had_again() -> None:
    """And what was refused took none."""
    memory = MemoryBudget(10)
    memory.take(6)
    with pytest.raises(CrowdedError):
        memory.take(5)
    memory.take(4)
    memory.give_back(10)
    memory.take(10)


@pytest.mark.parametrize("size", [1, pytest.param(7, marks=pytest.mark.long), pytest.param(50, marks=pytest.mark.long)])
def test_small_chunks_keep_nobody_waiting(server: Running, size: int) -> None:
    """A chunk of a byte costs as much as a large one."""
    body = form(part("content", forms.content()), part("file", bytes(100_000)))

    taken, waited, statuses = cost(server, [forms.chunked(body, size)])

    assert statuses == {304}
    assert taken <= MOST_MEMORY, f"{taken / MIB:.0f} MiB"
    assert waited <= MOST_WAITING, f"{waited:.2f} s"


@pytest.mark.long
@pytest.mark.parametrize("item", [b"\r\n--bOUNDARX", b"\r\n-", b"\r", b"\r\n", b"--bOUNDARY"])
def test_near_boundaries_keep_nobody_waiting(server: Running, item: bytes) -> None:
    """What nearly ends a part is looked at once."""
    body = form(part("content", forms.content()), part("file", item * (4 * MIB // len(item))))

    taken, waited, statuses = cost(server, [request(body)])

    assert statuses == {304}
    assert taken <= MOST_MEMORY, f"{taken / MIB:.0f} MiB"
    assert waited <= MOST_WAITING, f"{waited:.2f} s"
