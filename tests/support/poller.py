"""A client that polls a mirror as fast as it can and believes nothing it is told, in a process of its own.

    with poller.polling(port, branches) as pollers:
        ...                                # publish
    reports = [each.report() for each in pollers]

It goes on until its standard input ends, asks twice more, and prints what it counted and the copies that it holds.
Whatever no client may ever see ends it at once, with the reason: see `Poller`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mirror import canonical, content, layout, releases
from mirror.version import sort_key
from tests.support.readers import BrokenError, leads, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mirror.releases import ReleaseList
    from tests.support.readers import Branch

AGAIN = 8
"""Files seen before that are asked for again in each round."""

_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Copy:
    """A pointer as it was answered last."""

    etag: str
    data: bytes


class Poller:
    """One client, with all that it remembers.

    It demands that what it saw once is there, that an ETag always stands for the same bytes, that JSON parses, that
    a list's releases and segments are there with their bytes, that maxVersion is listed, and that no version, list
    or page is ever taken back.
    """

    def __init__(self, port: int, branches: Sequence[Branch]) -> None:
        self.counts: Counter[str] = Counter()
        self.copies: dict[str, Copy] = {}
        self._server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._branches = branches
        self._immutable: dict[str, str] = {}  # the SHA-256 of every immutable file seen
        self._etags: dict[tuple[str, str], str] = {}
        self._segments: dict[str, ReleaseList] = {}
        self._versions: dict[Branch, set[str]] = {branch: set() for branch in branches}
        self._highest: dict[Branch, str] = {}

    def ask_for_everything(self) -> None:
        """Make one round: all pointers, what is new behind them, and some of what was seen before."""
        for branch in self._branches:
            self._poll_max_version(branch)
            self._poll_list(branch)
            require(
                self._highest.get(branch) in {None, *self._versions[branch]}, f"maxVersion of {branch} is not listed"
            )
        for page in (layout.INDEX_PAGE, *sorted({layout.package_page(package) for package, _ in self._branches})):
            if self._poll(page):
                require(self.copies[page].data.endswith(b"</html>\n"), f"{page} has no end")
        seen = list(self._immutable)
        start = self.counts["rounds"] * AGAIN
        for place in range(start, start + min(AGAIN, len(seen))):
            self._fetch(seen[place % len(seen)], "seen before")
        self.counts["rounds"] += 1

    def _poll_max_version(self, branch: Branch) -> None:
        package, name = branch
        target = f"maxVersion?package={package}&branch={name}"
        if self._poll(target):
            self.counts["maxVersion changed"] += 1
            data = self.copies[target].data
            version = content.parse(data).content.version
            before = self._highest.get(branch, version)
            require(sort_key(version) >= sort_key(before), f"{target} went back from {before} to {version}")
            self._highest[branch] = version
            self._have(layout.get_version(package, name, version), canonical.digest(data))
            asked = self._get(f"getVersion?package={package}&branch={name}&version={version.replace('+', '%2B')}")
            require(asked == data, f"{target} and getVersion differ")

    def _poll_list(self, branch: Branch) -> None:
        path = layout.release_list(*branch)
        if not self._poll(path):
            return
        data = self.copies[path].data
        newest = releases.parse(data)
        self.counts["lists changed"] += 1
        self._have(layout.hashed_release_list(*branch, canonical.digest(data)), canonical.digest(data))
        self._follow(newest)
        versions = {entry.version for part in self._parts(newest) for entry in part.releases}
        require(versions >= self._versions[branch], f"{path} took back {self._versions[branch] - versions}")
        self._versions[branch] = versions

    def _follow(self, newest: ReleaseList) -> None:
        """Fetch what a list leads to, as far as it is new."""
        for path, sha256 in leads(newest):
            self._have(path, sha256)

    def _parts(self, newest: ReleaseList) -> Iterator[ReleaseList]:
        """Yield a list and its older segments, with all that these lead to."""
        yield newest
        for segment in newest.older:
            if segment.sha256 not in self._segments:
                path = layout.hashed_release_list(newest.package, newest.branch, segment.sha256)
                self._segments[segment.sha256] = releases.parse(self._fetch(path, "segments"))
                self._follow(self._segments[segment.sha256])
            yield self._segments[segment.sha256]

    def _have(self, path: str, sha256: str) -> None:
        """Fetch an immutable file, unless it was fetched before; it is the one that was announced."""
        if path not in self._immutable:
            self._immutable[path] = sha256
            self._fetch(path, "blobs" if path.startswith(layout.BLOBS) else "documents")
        require(self._immutable[path] == sha256, f"{path} is said to have changed")

    def _fetch(self, path: str, kind: str) -> bytes:
        data = self._get(path)
        require(canonical.digest(data) == self._immutable[path], f"{path} has other bytes")
        self.counts[kind] += 1
        return data

    def _poll(self, target: str) -> bool:
        """Ask whether a pointer has changed; tells whether it has, or was not there before."""
        copy = self.copies.get(target)
        status, etag, data = self._ask(target, {"If-None-Match": copy.etag} if copy else {})
        if copy and status == http.HTTPStatus.NOT_MODIFIED:
            self.counts["304"] += 1
            if self.counts["304"] % 4 == 0:  # an answer in full shows whether its ETag still stands for the same
                self._get(target)
                self.counts["304 proven"] += 1
            return False
        if copy is None and status == http.HTTPStatus.NOT_FOUND:
            return False
        require(status == http.HTTPStatus.OK, f"{target} is answered {status}")
        self.counts["200 to a poll"] += 1
        self.copies[target] = Copy(etag, data)
        return True

    def _get(self, target: str) -> bytes:
        status, _, data = self._ask(target, {})
        require(status == http.HTTPStatus.OK, f"{target} is answered {status}")
        return data

    def _ask(self, target: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        self._server.request("GET", f"/{target}", headers=dict(headers))
        answer = self._server.getresponse()
        data, etag = answer.read(), answer.getheader("ETag", "")
        self.counts["requests"] += 1
        if answer.status == http.HTTPStatus.OK:
            known = self._etags.setdefault((target, etag), canonical.digest(data))
            require(known == canonical.digest(data), f"{target} changed and kept its ETag {etag}")
        return answer.status, etag, data


@dataclass(frozen=True)
class Report:
    """What a client counted, and the SHA-256 of each pointer as it knows it in the end."""

    counts: Mapping[str, int]
    copies: Mapping[str, str]


class Process:
    """A client that runs."""

    def __init__(self, port: int, branches: Sequence[Branch]) -> None:
        command = [sys.executable, "-m", __name__, str(port), json.dumps(branches)]
        environment = {**os.environ, "PYTHONPATH": os.fspath(_REPOSITORY)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def wait_until_ready(self) -> None:
        """Wait for the end of its first round."""
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            self.report()

    def report(self) -> Report:
        """Let it end, and tell what it found.

        Raises:
            BrokenError: it saw what no client may see.
        """
        said, errors = self._process.communicate(timeout=120)
        if self._process.returncode != 0:
            raise BrokenError(errors)
        return Report(**json.loads(said))

    def kill(self) -> None:
        """End it, if it still runs."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def polling(port: int, branches: Sequence[Branch], number: int) -> Iterator[list[Process]]:
    """Run clients that have all made their first round."""
    with contextlib.ExitStack() as stack:
        processes = [Process(port, branches) for _ in range(number)]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            process.wait_until_ready()
        yield processes


def main(port: str, branches: str) -> None:
    """Poll until standard input ends."""
    client = Poller(int(port), [(package, branch) for package, branch in json.loads(branches)])
    client.ask_for_everything()
    _say("ready")
    while not select.select([sys.stdin], [], [], 0)[0]:
        client.ask_for_everything()
    for _ in range(2):  # now nothing changes any more: once to learn it, once to be told so
        client.ask_for_everything()
    digests = {target: canonical.digest(copy.data) for target, copy in client.copies.items()}
    _say(json.dumps({"counts": client.counts, "copies": digests}))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
