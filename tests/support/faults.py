"""Faults in process: a run that is killed or failed at any one of its calls that change files.

Code that takes `mirror.files.Calls` runs here unchanged, thousands of times a minute. Calls are numbered
from 1 in the order of the run; a call's number is its *point*. Nothing here knows what the run does.

    def publish(calls: Calls, folder: Path) -> None: ...

    @sweep(lambda calls: publish(calls, fresh_folder()), KILLS, wanted=20)
    def test_a_killed_publish_is_finished_by_the_next(fault: Fault, tmp_path: Path) -> None:
        with pytest.raises(Killed):
            publish(FaultyCalls(fault), tmp_path)
        ...

A kill leaves what the process had done so far, all of it: what a power cut would have taken back is
`powercut`'s matter. SQLite does not go through `Calls`; a killed run drops its connection uncommitted.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from mirror.files import Calls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

NAMES = tuple(name for name, value in vars(Calls).items() if callable(value) and not name.startswith("_"))
SYNCS = frozenset({"fsync", "syncfs"})
# a full disk still removes, renames, syncs, writes over what is there and changes attributes in the inode
NEEDS_SPACE = frozenset(NAMES) - SYNCS - {
    "close", "rename", "unlink", "rmdir", "futimens", "fchmod", "fchown", "overwrite", "truncate",
}  # fmt: skip
WRITES = frozenset({"write", "overwrite"})


class Killed(BaseException):
    """The process is dead: not an `Exception`, so that no code cleans up after it."""


@dataclass(frozen=True)
class Mode:
    """One way in which a call goes wrong; without an `error` the process is killed."""

    name: str
    error: int | None = None
    halfway: bool = False
    forever: bool = False


KILL_BEFORE = Mode("kill-before")
KILL_HALFWAY = Mode("kill-halfway", halfway=True)
FULL_ONCE = Mode("full-once", errno.ENOSPC)
FULL = Mode("full", errno.ENOSPC, forever=True)
BROKEN_ONCE = Mode("broken-once", errno.EIO)
BROKEN = Mode("broken", errno.EIO, forever=True)

KILLS = (KILL_BEFORE, KILL_HALFWAY)
ERRORS = (FULL_ONCE, FULL, BROKEN_ONCE, BROKEN)


@dataclass(frozen=True)
class Fault:
    """What goes wrong in a run, and at which of its calls."""

    point: int
    mode: Mode

    def __str__(self) -> str:
        return f"{self.mode.name}-{self.point}"


class Call(NamedTuple):
    """One call in short: what it changed, and how many bytes it was given."""

    name: str
    paths: tuple[Path, ...]
    size: int = 0


class CountingCalls(Calls):
    """The real calls, each noted in `calls` as it starts; also those that methods of `Calls` yet to come add."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        for name in NAMES:
            setattr(self, name, partial(self._note, name, getattr(super(), name)))

    @property
    def by_name(self) -> Counter[str]:
        """How often each call was made."""
        return Counter(call.name for call in self.calls)

    @property
    def bytes_written(self) -> int:
        """How many bytes were written in all."""
        return sum(call.size for call in self.calls if call.name in WRITES)

    @property
    def syncs(self) -> int:
        """How often anything was made durable."""
        return sum(call.name in SYNCS for call in self.calls)

    def _note(self, name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.calls.append(_in_short(name, arguments, named))
        return self._do(name, partial(call, *arguments, **named))

    def _do(self, _name: str, call: partial[Any]) -> Any:
        return call()


class FaultyCalls(CountingCalls):
    """The real calls but for one fault; once killed, no call does anything but raise `Killed`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault
        self.dead = False
        self._descriptors: set[int] = set()

    def _note(self, name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if self.dead:
            raise Killed
        return super()._note(name, call, *arguments, **named)

    def _do(self, name: str, call: partial[Any]) -> Any:
        mode, point = self.fault.mode, len(self.calls)
        if mode.error is None:
            return self._die(name, call) if point == self.fault.point else self._really(name, call)
        if point == self.fault.point and not mode.forever:
            self._fail(name, call, mode.error)
        if point >= self.fault.point and mode.forever and (mode.error != errno.ENOSPC or _needs_space(name, call)):
            self._fail(name, call, mode.error)
        return self._really(name, call)

    def _really(self, name: str, call: partial[Any]) -> Any:
        if name == "close":
            self._descriptors.discard(call.args[0])
        result = call()
        if name == "open":
            self._descriptors.add(result)
        return result

    def _die(self, name: str, call: partial[Any]) -> None:
        if self.fault.mode.halfway:
            if name in WRITES:
                descriptor, data, *place = call.args
                call = partial(call.func, descriptor, data[: len(data) // 2], *place)
            with contextlib.suppress(OSError):  # no one lives to see it
                self._really(name, call)
        self.dead = True
        for descriptor in self._descriptors:  # the system closes what a dead process had open
            os.close(descriptor)
        raise Killed(f"{self.fault}: {self.calls[-1]}")

    def _fail(self, name: str, call: partial[Any], error: int) -> None:
        if name == "close":  # a descriptor is gone even if closing it reports an error
            self._really(name, call)
        raise OSError(error, os.strerror(error))


def points(run: Callable[[Calls], object]) -> int:
    """Count the calls of a run in which nothing goes wrong."""
    counting = CountingCalls()
    run(counting)
    return len(counting.calls)


def spread(total: int, wanted: int, seed: int = 0) -> list[int]:
    """Choose `wanted` of the points 1 to `total`: always the same ones, one at random from each equal part.

    At random, because calls come in rounds: every fifth call may be the same one for another file.
    """
    if total <= wanted:
        return list(range(1, total + 1))
    chance = random.Random(seed)
    bounds = [1 + part * total // wanted for part in range(wanted + 1)]
    return [chance.randrange(low, high) for low, high in itertools.pairwise(bounds)]


def every(total: int, modes: Collection[Mode]) -> Iterator[Fault]:
    """List each mode at each of the points 1 to `total`."""
    return (Fault(point, mode) for mode in modes for point in range(1, total + 1))


def sweep(run: Callable[[Calls], object], modes: Collection[Mode], *, wanted: int) -> pytest.MarkDecorator:
    """Give a test each `fault` of a run: `wanted` points of each mode normally, the others marked `long`.

    The clean run that counts the points happens when tests are collected, so it should be quick.
    """
    total = points(run)
    if total == 0:
        raise ValueError("the run makes no call, so there is nothing to fail")
    sample = {mode: set(spread(total, wanted, seed)) for seed, mode in enumerate(modes)}
    return pytest.mark.parametrize(
        "fault",
        [
            pytest.param(fault, id=str(fault), marks=[] if fault.point in sample[fault.mode] else [pytest.mark.long])
            for fault in every(total, modes)
        ],
    )


def _needs_space(name: str, call: partial[Any]) -> bool:
    """Tell whether a full disk refuses a call; opening a file that is there is free."""
    return name in NEEDS_SPACE and (name != "open" or bool(call.args[1] & os.O_CREAT))


def _in_short(name: str, arguments: tuple[object, ...], named: Mapping[str, object]) -> Call:
    paths = [argument for argument in (*arguments, *named.values()) if isinstance(argument, Path)]
    # a name in an opened folder is told as its path: of two, the last one is in the folder `to`
    folders = [named.get("at"), named.get("to", named.get("at"))]
    paths = [located(path, at) for path, at in zip(paths, folders, strict=False)]
    if isinstance(arguments[0], int):
        paths.insert(0, _path_of(arguments[0]))
    size = sum(len(argument) for argument in arguments if isinstance(argument, bytes | memoryview))
    return Call(name, tuple(paths), size)


def located(path: Path, at: object) -> Path:
    """Tell where something is that was given to a call as a name in an opened folder, or as a path."""
    return _path_of(at) / path if isinstance(at, int) else path


def _path_of(descriptor: int) -> Path:
    try:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - the text, also of what is deleted
    except OSError:
        return Path(f"descriptor {descriptor}")
