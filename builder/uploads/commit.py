"""Group commit: uploads that come while a publish runs are published together by the next one.

A single thread has the builder. Whoever submits a release, or a statement alone, gets a future; what waits when the
thread is free goes into one publish, so that a hundred uploads share the syncs of one.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from builder import build, spool
from builder.submission import Release
from builder.uploads.refusals import DiskFullError
from mirror.canonical import Problem, first, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from builder.build import Builder
    from builder.site import Site
    from builder.spool import Spool
    from builder.submission import Statement, Verdict
    from builder.uploads.metrics import Metrics
    from mirror.content import Content
    from mirror.files import Files

logger = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
_RESERVE = 16 * 1024 * 1024
"""Bytes that stay free for catalogue and pages: a publish that cannot be finished had better not begin."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an upload, and what its publisher should look at all the same."""

    verdict: Verdict
    warnings: tuple[Problem, ...] = ()


class _Waiting(NamedTuple):
    item: Release | Statement
    future: Future[Outcome]


class Committer:
    """Publishes what is submitted from any thread, all that waits at once.

    Attributes:
        spool: where the blobs of releases that are to be submitted are written.
        trouble: why the last publish failed; empty if it did not.
    """

    def __init__(
        self, builder: Builder, own: Spool, worker: Executor, metrics: Metrics, published: Callable[[], None]
    ) -> None:
        self.spool = own
        self.trouble = ""
        self._builder = builder
        self._worker = worker
        self._metrics = metrics
        self._published = published
        self._waiting: deque[_Waiting] = deque()

    def free_bytes(self) -> int:
        """Tell how much room there is for uploads."""
        return max(0, shutil.disk_usage(self._builder.site.paths.spool).free - _RESERVE)

    def submit(self, item: Release | Statement) -> Future[Outcome]:
        """Have a release or a statement published; a blob is taken out of the spool, whatever becomes of it.

        The future's result tells that it is durable and visible, or was refused. Its exception is an
        operator's trouble, or the cancellation of what had not begun.
        """
        waiting = _Waiting(item, Future())
        self._waiting.append(waiting)
        self._worker.submit(self._publish)
        return waiting.future

    def refuse_waiting(self) -> None:
        """Cancel what has not begun."""
        for _, future in tuple(self._waiting):
            future.cancel()

    def _publish(self) -> None:
        """Publish together what waits; every submission asks for this, and the first one finds them all."""
        group = list(self._take())
        items = [item for item, _ in group]
        if not items:
            return
        try:
            with self._metrics.publish(len(items)):
                outcomes = self._outcomes(items)
            self.trouble = ""
        except Exception as error:  # noqa: BLE001 - told to everybody whom it concerns
            self.trouble = str(error)
            self._discard(items)
            for _, future in group:
                future.set_exception(error)
        else:
            self._discard(items)
            for (_, future), outcome in zip(group, outcomes, strict=True):
                future.set_result(outcome)
            self._published()

    def _take(self) -> Iterator[_Waiting]:
        for _ in range(min(len(self._waiting), self._builder.site.publish.group)):
            waiting = self._waiting.popleft()
            if waiting.future.set_running_or_notify_cancel():
                yield waiting
            else:
                self._discard([waiting.item])

    def _outcomes(self, items: Sequence[Release | Statement]) -> list[Outcome]:
        if not self.free_bytes():
            raise DiskFullError
        verdicts = self._builder.publish(items).verdicts
        return [
            Outcome(verdict, () if verdict.error else self._warnings(item))
            for item, verdict in zip(items, verdicts, strict=True)
        ]

    def _warnings(self, item: Release | Statement) -> tuple[Problem, ...]:
        return (*item.warnings, *self._missing(item.content)) if isinstance(item, Release) else ()

    def _missing(self, content: Content) -> list[Problem]:
        """Tell which dependencies no device could get yet; they may be published later."""
        return first(
            Problem(join("dependencies", name), f"is not on this mirror, on {content.branch}", "publish it too")
            for name in content.dependencies
            if not self._builder.catalogue.newest(name, content.branch, 1)
        )

    def _discard(self, items: Sequence[Release | Statement]) -> None:
        """Remove the blobs that the mirror did not take."""
        for item in items:
            if isinstance(item, Release):
                with contextlib.suppress(OSError):  # the next start removes what stays
                    self.spool.discard(item.blob.path)


@contextlib.contextmanager
def opened(
    site: Site, files: Files, worker: Executor, metrics: Metrics, published: Callable[[], None] = lambda: None
) -> Iterator[Committer]:
    """Open a site for group commit; what waits in the end is refused, what is under way ends first.

    Args:
        site: where to publish.
        files: how to write.
        worker: runs one call at a time, always in the same thread.
        metrics: is told of every publish.
        published: is called after each publish, in the thread of the worker.
    """
    inside = contextlib.ExitStack()  # all of it is entered and left by the worker: a database belongs to its thread
    builder = worker.submit(inside.enter_context, build.opened(site, files)).result()
    with spool.session(site.paths.spool, site.paths.mirror, files) as own:
        committer = Committer(builder, own, worker, metrics, published)
        try:
            yield committer
        finally:
            committer.refuse_waiting()
            try:
                worker.submit(inside.close).result(_STOP_SECONDS)
            except TimeoutError:
                logger.error("a publish that is under way was left; the next start finishes it")  # noqa: TRY400 - no fault
