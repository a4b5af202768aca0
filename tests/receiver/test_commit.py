"""Group commit: what comes together shares a publish, and each gets its own answer."""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from builder.lock import Lock
from builder.uploads import commit, refusals
from builder.uploads.metrics import Metrics
from builder.uploads.worker import Worker
from mirror.files import Files
from tests.receiver import forms, raw
from tests.receiver.forms import good, request
from tests.support import faults, sites
from tests.support.faults import CountingCalls, Fault, FaultyCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.site import Site
    from builder.submission import Release
    from builder.uploads.commit import Committer
    from mirror.files import Calls
    from tests.receiver.rig import Rig
    from tests.support.sites import Package

TOGETHER = 32


class Patient(Executor):
    """An executor that does nothing until it is told to, and then all in the thread that tells it."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []
        self.is_waiting = False

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Remember a call, or make it."""
        future: Future[Any] = Future()

        def call() -> None:
            future.set_result(function(*arguments, **named))

        self._calls.append(call)
        if not self.is_waiting:
            self.work()
        return future

    def work(self) -> None:
        """Do what waits."""
        while self._calls:
            self._calls.pop(0)()


@contextlib.contextmanager
def opened(site: Site, calls: Calls) -> Iterator[tuple[Committer, Patient]]:
    """Open a committer that waits to be told."""
    worker = Patient()
    with commit.opened(site, Files(calls), worker, Metrics()) as committer:
        worker.is_waiting = True
        yield committer, worker
        worker.is_waiting = False


def release(committer: Committer, package: Package) -> Release:
    """Verify a package as an upload does: its bytes are in the spool of the committer."""
    path = committer.spool.path()
    return sites.release(package, path.parent)


def test_what_waits_is_published_together(site: Site) -> None:
    """A publish of many uploads does as many syncs as one of a single upload."""
    calls = CountingCalls()
    with opened(site, calls) as (committer, worker):
        committer.submit(release(committer, sites.package("0.1")))
        worker.work()
        before = calls.syncs
        committer.submit(release(committer, sites.package("0.2")))
        worker.work()
        alone = calls.syncs - before

        before = calls.syncs
        futures = [committer.submit(release(committer, sites.package(f"1.{n}"))) for n in range(TOGETHER)]
        worker.work()

        assert [future.result(0).verdict.is_new for future in futures] == [True] * TOGETHER
        assert calls.syncs - before == alone


def test_a_publish_has_bounds(tmp_path: Any) -> None:
    """No more than `publish.group` uploads go together; the others go next."""
    site = sites.make(tmp_path, "[publish]\ngroup = 2")
    metrics = Metrics()
    worker = Patient()
    with commit.opened(site, Files(), worker, metrics) as committer:
        worker.is_waiting = True
        futures = [committer.submit(release(committer, sites.package(f"1.{n}"))) for n in range(5)]
        worker.work()
        worker.is_waiting = False

    assert all(future.result(0).verdict.is_new for future in futures)
    assert metrics.registry.get_sample_value("otamirror_publish_uploads_count") == 3


def test_each_gets_its_own_answer(site: Site) -> None:
    """In one group, of the same version the first one wins, the same again is fine, and others are refused."""
    mine, again, other = sites.package("1.0"), sites.package("1.0"), sites.package("1.0", data=b"other")
    with opened(site, CountingCalls()) as (committer, worker):
        futures = [committer.submit(release(committer, each)) for each in (mine, other, again, sites.package("2.0"))]
        worker.work()
        results = [future.result(0).verdict for future in futures]
        assert sites.paths(site.paths.spool) == []

    assert [(verdict.is_new, bool(verdict.error)) for verdict in results] == [
        (True, False),
        (False, True),
        (False, False),
        (True, False),
    ]


@pytest.mark.parametrize("point", range(1, 40))
def test_trouble_reaches_everybody_and_leaves_nothing(site: Site, point: int) -> None:
    """A publish that the disk fails tells all who wait in it; they may ask again, and then all is well."""
    calls = FaultyCalls(Fault(10**9, faults.FULL_ONCE))
    with opened(site, calls) as (committer, worker):
        packages = [sites.package(f"1.{n}") for n in range(3)]
        releases = [release(committer, package) for package in packages]
        calls.fault = Fault(len(calls.calls) + point, faults.FULL_ONCE)
        futures = [committer.submit(each) for each in releases]
        worker.work()
        spooled = sites.paths(site.paths.spool)
        failed = [future for future in futures if future.exception(0)]
        again = [committer.submit(release(committer, package)) for package in packages]
        worker.work()

        assert spooled == []
        assert [refusals.is_full(future.exception(0) or OSError()) for future in failed] == [True] * 3
        assert not any(future.result(0).verdict.error for future in again)
        assert committer.trouble == ""


def test_what_has_not_begun_is_refused_in_the_end(site: Site) -> None:
    """When the committer closes, whoever still waits is told at once, and nothing is left in the spool."""
    worker = Patient()
    with commit.opened(site, Files(), worker, Metrics()) as committer:
        worker.is_waiting = True
        future = committer.submit(release(committer, sites.package("1.0")))
        worker.is_waiting = False
        committer.refuse_waiting()
        worker.work()
        assert sites.paths(site.paths.spool) == []

    with pytest.raises(CancelledError):
        future.result(0)
    assert sites.pages(site.paths.mirror) == {}


def test_a_worker_does_one_thing_after_the_other() -> None:
    """Calls are made in their order, in one thread; what one raises is told to who asked for it."""
    worker = Worker("test")
    threads = [worker.submit(threading.get_ident) for _ in range(3)]
    failing = worker.submit(os.stat, "")

    assert len({future.result(10) for future in threads}) == 1
    with pytest.raises(FileNotFoundError):
        failing.result(10)


def test_uploads_that_come_together_share_their_syncs(rig: Rig) -> None:
    """32 publishers at once cost at most a quarter of the syncs, each, of one that is alone."""
    rig.publish(version="0.1")
    before = rig.calls.syncs
    rig.publish(version="0.2")
    alone = rig.calls.syncs - before
    before = rig.calls.syncs

    requests = [request(good(version=f"1.{number}")) for number in range(TOGETHER)]
    with ThreadPoolExecutor(TOGETHER) as publishers:
        with Lock(rig.site.paths.spool).held():  # as if another publish ran
            asked = [publishers.submit(raw.exchange, rig.port, each) for each in requests]
            rig.wait_for_spooled(TOGETHER)
        answers = [future.result() for future in asked]

    assert [answer.status for answer in answers] == [200] * TOGETHER
    assert (rig.calls.syncs - before) / TOGETHER <= alone / 4


def test_of_a_version_one_wins(rig: Rig) -> None:
    """When 32 publish the same version at once, with as many contents, exactly one of them is accepted."""
    requests = [request(good(description=str(number))) for number in range(TOGETHER)]
    with ThreadPoolExecutor(TOGETHER) as publishers:
        answers = list(publishers.map(lambda data: raw.exchange(rig.port, data), requests))

    assert sorted(answer.status for answer in answers) == [200] + [409] * (TOGETHER - 1)
    assert rig.spooled() == []


def test_the_same_release_at_once_is_one_release(rig: Rig) -> None:
    """When 32 publish the same release at once, all are told that it is there, one that it is new."""
    with ThreadPoolExecutor(TOGETHER) as publishers:
        answers = list(publishers.map(lambda _: raw.exchange(rig.port, request(good())), range(TOGETHER)))

    assert [answer.status for answer in answers] == [200] * TOGETHER
    assert sum(answer.json["new"] for answer in answers) == 1
    assert rig.spooled() == []
    assert forms.STATED["sha256"] in "".join(rig.mirror())
