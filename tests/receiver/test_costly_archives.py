"""What the archive of a folder may cost the receiver: it is judged in bounded memory, and nobody waits for it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from typing import TYPE_CHECKING

import pytest

from mirror import canonical
from tests.receiver import forms, process, raw
from tests.receiver.forms import form, part, request
from tests.receiver.test_costly_bodies import MIB, MOST_MEMORY, MOST_WAITING, cost
from tests.support import archives, sites
from tests.support.archives import END, FOLDER, header, member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.receiver.process import Running


def names(count: int, kind: bytes, letters: str) -> Iterator[bytes]:
    """Write members with long names."""
    for number in range(count):
        yield archives.pax({"path": f"{number:06}/{letters}"}) + header("x", kind)


COSTLY: dict[str, tuple[Callable[[], bytes], int]] = {
    "nothing by gzip": (lambda: archives.gzip_of_nothing(1024 * MIB, header("a", size=2**30)), 200),
    "nothing by bzip2": (lambda: bz2.compress(header("a", size=400 * MIB) + bytes(400 * MIB)), 200),
    "noise by xz -9": (
        lambda: lzma.compress(header("a", size=80 * MIB) + random.Random(0).randbytes(MIB) * 80 + END, preset=9),
        200,
    ),
    "noise by xz -6": (
        lambda: lzma.compress(header("a", size=80 * MIB) + random.Random(0).randbytes(MIB) * 80 + END, preset=6),
        200,
    ),
    "empty streams": (lambda: gzip.compress(b"") * 400_000, 400),
    "files": (lambda: gzip.compress(b"".join(header(f"{number:0100}") for number in range(190_000)), 1), 200),
    "files with long names": (lambda: gzip.compress(b"".join(names(60_000, b"0", "😀" * 60)), 1), 200),
    "folders": (lambda: gzip.compress(b"".join(names(60_000, FOLDER, "é" * 120)), 1), 200),
    "headers for all": (lambda: gzip.compress(archives.pax({"comment": "x" * 2**19}, b"g") * 99 + member("a")), 200),
}
SAMPLE = {"nothing by gzip", "folders", "empty streams"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a mirror with its receiver in a process of its own, warm from an upload."""
    site = sites.make(tmp_path_factory.mktemp("costly") / "site", '[server]\nlisten = "127.0.0.1:0"\n', signed=False)
    with process.running(site, "up") as running:
        assert raw.exchange(running.port, request(forms.good())).status == 200
        warm = archives.pack(archives.TREE)
        assert raw.exchange(running.port, request(upload("0", warm))).status == 200
        yield running


def upload(version: str, data: bytes) -> bytes:
    """Write the upload of a folder's package."""
    stated = {"package": "costly", "version": version, "branch": "main", "local": "/opt/costly/"}
    text = json.dumps({**stated, "sha256": canonical.digest(data)}).encode()
    return form(part("content", text), part("file", data))


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=() if name in SAMPLE else (pytest.mark.long,)) for name in COSTLY
])  # fmt: skip
def test_no_archive_takes_much_or_keeps_others_waiting(server: Running, name: str) -> None:
    """At most 64 MiB above idle, and at most a fifth of a second of the processor between a question and its answer."""
    make, status = COSTLY[name]

    taken, waited, statuses = cost(server, [request(upload(f"{sorted(COSTLY).index(name)}.1", make()))])

    assert statuses == {status}
    assert taken <= MOST_MEMORY, f"{taken / MIB:.0f} MiB"
    assert waited <= MOST_WAITING, f"{waited:.2f} s"
