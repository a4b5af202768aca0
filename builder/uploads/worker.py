"""A thread that does one thing after the other."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class Worker(Executor):
    """An executor with one thread, which does not keep the process alive if it is stuck; a pool's threads would."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(
        self, function: Callable[_Arguments, _Result], /, *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> Future[_Result]:
        """Have `function` called, after what was submitted before."""
        future: Future[_Result] = Future()
        self._calls.put(partial(_call, future, partial(function, *arguments, **named)))
        return future

    def _run(self) -> None:
        while True:
            self._calls.get()()


def _call(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - it belongs to who asked for it
        future.set_exception(error)
