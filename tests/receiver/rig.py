"""A real receiver on a site of its own, and what may not change when it refuses something."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.uploads import receive
from builder.uploads.tokens import Tokens
from builder.values import Address
from mirror.files import Files
from tests.receiver import forms, raw
from tests.support import sites
from tests.support.faults import CountingCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from functools import partial
    from pathlib import Path

    from builder.site import Site
    from builder.uploads.receiver import Receiver
    from tests.receiver.raw import Answer

_PATIENCE = 20


class SignallingCalls(CountingCalls):
    """The real calls; whoever waits for a change is told of each."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def wait_for(self, state: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so."""
        with self._changed:
            assert self._changed.wait_for(state, seconds), self.calls[-10:]

    def _do(self, name: str, call: partial[Any]) -> Any:
        result = super()._do(name, call)
        with self._changed:
            self._changed.notify_all()
        return result


@dataclass(frozen=True)
class Rig:
    """A running receiver."""

    site: Site
    receiver: Receiver
    calls: SignallingCalls
    port: int
    tokens: Tokens

    def put(self, data: bytes, method: str = "PUT") -> Answer:
        """Send the bytes of one request and read its answer."""
        return raw.exchange(self.port, data, method)

    def publish(self, **changes: Any) -> None:
        """Have a package accepted."""
        answer = self.put(forms.request(forms.good(**changes)))
        assert answer.status == 200, answer

    def mirror(self) -> dict[str, tuple[int, int, bytes]]:
        """Read the mirror, with what tells that a file was written anew."""
        stamps, data = sites.stamps(self.site.paths.mirror), sites.read(self.site.paths.mirror)
        return {path: (*stamps[path], data[path]) for path in data}

    def pages(self) -> dict[str, bytes]:
        """Read the mirror but its metadata: nothing if nothing was ever published."""
        return sites.pages(self.site.paths.mirror)

    def spooled(self) -> list[str]:
        """List the files in the spool."""
        return sites.paths(self.site.paths.spool)

    def wait_for_spooled(self, number: int, seconds: float = _PATIENCE) -> None:
        """Wait until so many files are in the spool."""
        self.calls.wait_for(lambda: len(self.spooled()) == number, seconds)


def running(folder: Path, toml: str = "") -> contextlib.AbstractContextManager[Rig]:
    """Run a receiver on a new site; it has no token until one is added."""
    return receiving(sites.make(folder, toml))


@contextlib.contextmanager
def receiving(site: Site) -> Iterator[Rig]:
    """Run the receiver of a site in this process, on a port that is free."""
    limits = dataclasses.replace(site.receiver, listen=Address("127.0.0.1", 0))
    site = dataclasses.replace(site, receiver=limits)
    calls = SignallingCalls()
    tokens = Tokens(site.paths.tokens, Files(), time.time)
    with receive.receiving(site, lambda: None, Files(calls)) as receiver, receive.listening(site, receiver) as server:
        yield Rig(site, receiver, calls, server.port, tokens)
