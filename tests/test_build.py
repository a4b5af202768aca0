"""The builder as a whole: from the inbox to the mirror, through trouble, and rendering all of it again."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import build, spool
from builder.errors import MirrorError, VersionConflictError
from builder.lock import Lock
from mirror import canonical, layout, releases
from mirror.files import Calls, Files
from tests.support import sites
from tests.support.faults import FULL_ONCE, Fault, FaultyCalls, sweep
from tests.support.sites import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.intake.drops import Pass
    from builder.site import Site


def take(site: Site) -> Pass:
    """Make one pass over the inbox."""
    with build.opened(site, clock=Clock()) as builder:
        return builder.take_inbox()


def listed(site: Site, package: str = "app", branch: str = "main") -> list[str]:
    """List the versions that the mirror has of a branch."""
    data = (site.paths.mirror / layout.release_list(package, branch)).read_bytes()
    return [entry.version for entry in releases.parse(data).releases]


def bad(site: Site, name: str) -> None:
    """Drop a pair that is refused."""
    sites.drop(site.paths.inbox, sites.package("6.6", "bad"), name).write_bytes(b"other")


def test_what_was_dropped_is_on_the_mirror(site: Site) -> None:
    """Pairs and folders are published in one pass, and the inbox is empty after it."""
    sites.drop(site.paths.inbox, sites.package("1.0"), "one")
    sites.drop_folder(site.paths.inbox, sites.package("1.1"), "two")

    done = take(site)

    assert sorted(verdict.title for verdict in done.verdicts) == ["app 1.0 on main", "app 1.1 on main"]
    assert all(verdict.is_new and not verdict.error for verdict in done.verdicts)
    assert done.waiting == ()
    assert listed(site) == ["1.1", "1.0"]
    assert sites.paths(site.paths.inbox) == sites.paths(site.paths.spool) == []


def test_an_empty_inbox_is_no_work(site: Site) -> None:
    """A pass without drops leaves nothing behind and publishes nothing."""
    before = sites.stamps(site.paths.mirror)

    done = take(site)

    assert (done.verdicts, done.waiting) == ((), ())
    assert sites.stamps(site.paths.mirror) == before


def test_folders_are_made_as_needed(tmp_path: Path) -> None:
    """A site.toml is enough to begin with, wherever it says that things are."""
    site = sites.make(
        tmp_path / "site", '[paths]\nmirror = "srv/a/b"\ncatalogue = "db/c.sqlite"\nspool = "srv/spool"\n'
    )

    take(site)

    assert (tmp_path / "site" / "srv" / "a" / "b").is_dir()
    assert (tmp_path / "site" / "db" / "c.sqlite").is_file()


def test_a_mistake_ends_the_way_of_that_package_alone(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """What is refused moves aside, what is half there stays, everything else is published; the log says so."""
    caplog.set_level(logging.INFO)
    bad(site, "a")
    sites.drop(site.paths.inbox, sites.package("1.0", restroe="x"), "b")
    (site.paths.inbox / "c.json").write_bytes(b"{}")
    bad(site, "d")

    done = take(site)

    assert [(verdict.title, verdict.is_new, bool(verdict.error)) for verdict in done.verdicts] == [
        ("a", False, True),
        ("d", False, True),
        ("app 1.0 on main", True, False),
    ]
    assert [find.title for find in done.waiting] == ["c.json"]
    assert listed(site) == ["1.0"]
    assert sites.paths(site.paths.inbox) == ["c.json"]
    log = "\n".join(caplog.messages)
    assert "refused a: the file's SHA-256 is" in log
    assert "app 1.0 on main: restroe" in log
    assert "published app 1.0 on main, 16 bytes, sha256 " in log


def test_dropping_a_release_again_is_a_success(site: Site) -> None:
    """It leaves the inbox, and nothing changes on the mirror."""
    sites.drop(site.paths.inbox, sites.package("1.0"))
    take(site)
    before = sites.stamps(site.paths.mirror)
    sites.drop_folder(site.paths.inbox, sites.package("1.0"))

    (verdict,) = take(site).verdicts

    assert (verdict.is_new, verdict.error) == (False, None)
    assert sites.stamps(site.paths.mirror) == before
    assert sites.paths(site.paths.inbox) == sites.paths(site.paths.rejected) == []


def test_other_bytes_under_a_version_are_refused(site: Site) -> None:
    """The first stays, the second lies beside its reason, also when both came at once."""
    sites.drop(site.paths.inbox, sites.package("1.0"), "a")
    sites.drop(site.paths.inbox, sites.package("1.0", data=b"other"), "b")

    done = take(site)
    before = sites.stamps(site.paths.mirror)
    sites.drop(site.paths.inbox, sites.package("1.0", data=b"third"), "c")
    (again,) = take(site).verdicts

    assert [type(verdict.error) for verdict in done.verdicts] == [type(None), VersionConflictError]
    assert isinstance(again.error, VersionConflictError)
    assert sites.stamps(site.paths.mirror) == before
    reasons = [json.loads(path.read_bytes())["error"] for path in site.paths.rejected.glob("*/reason.json")]
    assert reasons == ["version-conflict"] * 2
    assert sites.paths(site.paths.spool) == []


def test_a_refused_file_is_whole(site: Site) -> None:
    """Nobody has to upload it again: both files are there with the reason, which names every problem."""
    content = b'{"package":"a b","version":"1","branch":"x","sha256":"0"}'
    (site.paths.inbox / "app").write_bytes(b"bytes")
    (site.paths.inbox / "app.json").write_bytes(content)

    take(site)

    (folder,) = site.paths.rejected.iterdir()
    found = sites.read(folder)
    reason = json.loads(found.pop("reason.json"))
    assert found == {"app": b"bytes", "app.json": content}
    assert [problem["key"] for problem in reason["problems"]] == ["package", "sha256"]


def test_large_passes_go_in_groups(tmp_path: Path) -> None:
    """At most `publish.group` releases are published together; the others come with the next publish."""
    site = sites.make(tmp_path / "site", "[publish]\ngroup = 4\n")
    for number in range(10):
        sites.drop(site.paths.inbox, sites.package(f"1.{number}"), f"p{number}")

    with build.opened(site, clock=Clock()) as builder:
        before = builder.catalogue.publish_number()
        assert len(builder.take_inbox().verdicts) == 10
        assert builder.catalogue.publish_number() - before == 3
    assert len(listed(site)) == 10


def test_a_package_over_the_sites_limit_is_refused(tmp_path: Path) -> None:
    """The limit is the operator's."""
    site = sites.make(tmp_path / "site", "[limits]\npackage_bytes = 10\n")
    sites.drop(site.paths.inbox, sites.package("1.0", data=b"x" * 10), "a")
    sites.drop(site.paths.inbox, sites.package("1.1", data=b"x" * 11), "b")

    refused, taken = take(site).verdicts

    assert (refused.title, taken.title) == ("b", "app 1.0 on main")
    assert "limits.package_bytes" in str(refused.error)


class StickyCalls(Calls):
    """A system on which a certain file may not be moved."""

    def rename(self, source: Path, target: Path, *, at: int | None = None, to: int | None = None) -> None:
        """Rename anything else."""
        if source.name == "stuck":
            raise PermissionError(errno.EPERM, "Operation not permitted", source)
        super().rename(source, target, at=at, to=to)


def test_a_drop_that_cannot_be_taken_waits_and_the_others_do_not(site: Site) -> None:
    """What the builder may not move stays where it is, with the reason."""
    sites.drop(site.paths.inbox, sites.package("1.0"), "stuck")
    sites.drop(site.paths.inbox, sites.package("1.1"), "free")

    with build.opened(site, Files(StickyCalls()), Clock()) as builder:
        done = builder.take_inbox()

    assert [(find.title, find.waiting) for find in done.waiting] == [
        ("stuck", "it cannot be moved: Operation not permitted")
    ]
    assert listed(site) == ["1.1"]
    assert sites.paths(site.paths.inbox) == ["stuck", "stuck.json"]


def many(site: Site, count: int) -> None:
    """Drop that many pairs, and see that each of them arrives."""
    packages = [sites.package(f"1.{number % 20:02}", f"pkg-{number // 20:04}") for number in range(count)]
    for number, package in enumerate(packages):
        sites.drop(site.paths.inbox, package, f"file-{number}")

    with build.opened(site, clock=Clock()) as builder:
        done = builder.take_inbox()

    assert len(done.verdicts) == count
    assert all(verdict.is_new for verdict in done.verdicts)
    mirror = sites.read(site.paths.mirror)
    for package in packages:
        content = package.content
        assert mirror[layout.get_version(content.package, "main", content.version)] == content.canonical()
        assert mirror[layout.blob(content.sha256)] == package.data
    assert sites.paths(site.paths.inbox) == sites.paths(site.paths.rejected) == []


def test_many_drops_at_once_all_arrive(site: Site) -> None:
    """Six hundred files in the inbox are three hundred releases after one pass."""
    many(site, 300)


@pytest.mark.long
def test_ten_thousand_files_at_once_all_arrive(site: Site) -> None:
    """Ten thousand files in the inbox are five thousand releases after one pass."""
    many(site, 5000)


def test_another_process_at_work_is_waited_for(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Who has to wait says so, and goes on when the other one is done."""
    caplog.set_level(logging.INFO)
    sites.drop(site.paths.inbox, sites.package("1.0"))
    with build.opened(site, clock=Clock()) as builder, at_work(site):
        builder.take_inbox()

    assert caplog.messages.count("waiting for another otamirror that is at work on the inbox") == 1
    assert listed(site) == ["1.0"]


@contextmanager
def at_work(site: Site) -> Iterator[None]:
    """Hold the lock on the inbox until somebody is told to wait for it."""
    lock = spool.lock(site.paths.spool, "inbox", Files())
    lock.try_acquire()

    class Listener(logging.Handler):
        """Ends the work."""

        def emit(self, record: logging.LogRecord) -> None:
            """Let the lock go."""
            if record.getMessage().startswith("waiting"):
                lock.release()

    listener = Listener()
    build.logger.addHandler(listener)
    yield
    build.logger.removeHandler(listener)


def drop_four(site: Site) -> None:
    """Drop three good packages, one of them a folder, and a bad one."""
    sites.drop(site.paths.inbox, sites.package("1.0"), "a")
    sites.drop(site.paths.inbox, sites.package("1.1"), "b")
    sites.drop_folder(site.paths.inbox, sites.package("1.2"), "c")
    bad(site, "d")


def full_pass(calls: Calls) -> None:
    """Make the pass where the calls can be counted."""
    with tempfile.TemporaryDirectory() as folder:
        site = sites.make(Path(folder))
        drop_four(site)
        with build.opened(site, Files(calls), Clock()) as builder:
            builder.take_inbox()


@sweep(full_pass, (FULL_ONCE,), wanted=40)
def test_an_operators_trouble_loses_nothing(fault: Fault, site: Site) -> None:
    """An error at any call ends the pass at most; the same process goes on where it was, and its spool is empty."""
    drop_four(site)
    calls = FaultyCalls(fault)
    with tried_again(), build.opened(site, Files(calls), Clock()) as builder:
        with tried_again():
            builder.take_inbox()
        assert sites.paths(site.paths.spool) == [] or calls.calls[fault.point - 1].name == "unlink"
        builder.take_inbox()
    take(site)

    assert listed(site) == ["1.2", "1.1", "1.0"]
    assert sites.paths(site.paths.inbox) == []
    (refused,) = site.paths.rejected.iterdir()
    assert sites.paths(refused) == ["d", "d.json", "reason.json"]
    with build.opened(site) as builder:
        assert builder.render_all() == 0


@contextmanager
def tried_again() -> Iterator[None]:
    """Let a full disk pass, if there is one: the next try is what counts."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@pytest.fixture
def full(site: Site) -> Site:
    """Publish a branch with older segments, another branch and another package, in several goes."""
    packages = [
        *(sites.package(f"1.{number}") for number in range(200)),
        *(sites.package(f"1.{number}", branch="dev") for number in range(3)),
        sites.package("1.0", "lib"),
    ]
    with build.opened(site, clock=Clock()) as builder:
        for package in (packages[:100], packages[100:]):
            builder.publish([sites.release(one, site.paths.var / "made") for one in package])
    return site


def current(mirror: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out the lists that were superseded."""
    named: set[str] = set()
    for path, data in mirror.items():
        name = layout.parse_release_list(path)
        if name and name.sha256 is None:
            hashes = [canonical.digest(data), *(part.sha256 for part in releases.parse(data).older)]
            named |= {layout.hashed_release_list(name.package, name.branch, sha256) for sha256 in hashes}
    return {
        path: data
        for path, data in mirror.items()
        if layout.kind(path) is layout.Kind.POINTER or path in named or not path.startswith("releases/")
    }


def test_rendering_all_again_changes_nothing(full: Site) -> None:
    """A mirror that is as it should be is not written to."""
    before = sites.stamps(full.paths.mirror)

    with build.opened(full) as builder:
        assert builder.render_all() == 0

    assert sites.stamps(full.paths.mirror) == before


def test_rendering_all_again_restores_every_byte(full: Site) -> None:
    """From catalogue and blobs alone comes the same mirror, but for lists that were superseded."""
    before = current(sites.read(full.paths.mirror))
    for name in ("getVersion", "maxVersion", "releases"):
        shutil.rmtree(full.paths.mirror / name)

    with build.opened(full) as builder:
        written = builder.render_all()

    after = sites.read(full.paths.mirror)
    assert after == before
    assert written == sum(not path.startswith(("otafiles/", "metadata/")) for path in after)


def test_rendering_all_again_writes_only_what_differs(full: Site) -> None:
    """A truncated, a changed and a missing file are mended; everything else stays as it is."""
    before, stamps = sites.read(full.paths.mirror), sites.stamps(full.paths.mirror)
    damaged = ["getVersion/app/main/1.7.json", "releases/app/dev.json", "maxVersion/lib/main.json"]
    (full.paths.mirror / damaged[0]).write_bytes(b"{")
    (full.paths.mirror / damaged[1]).write_bytes(b"changed")
    (full.paths.mirror / damaged[2]).unlink()

    with build.opened(full) as builder:
        assert builder.render_all() == 3

    assert sites.read(full.paths.mirror) == before
    after = sites.stamps(full.paths.mirror)
    assert {path for path in after if after[path] != stamps[path]} == set(damaged)


def unlink(path: Path) -> None:
    """Lose a file."""
    path.unlink()


def truncate(path: Path) -> None:
    """Lose the end of a file."""
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [unlink, truncate])
def test_rendering_all_again_needs_the_blobs(damage: Callable[[Path], None], full: Site) -> None:
    """A mirror that would name missing bytes is not written: the error names the first of them, and what to do."""
    blob = layout.blob(sites.package("1.7").content.sha256)
    damage(full.paths.mirror / blob)
    (full.paths.mirror / "releases/app/main.json").unlink()
    before = sites.stamps(full.paths.mirror)

    with build.opened(full) as builder, pytest.raises(MirrorError, match="1 blobs are missing") as caught:
        builder.render_all()

    assert blob.split("/")[1] in str(caught.value)
    assert sites.stamps(full.paths.mirror) == before
    sites.drop(full.paths.inbox, sites.package("1.7"))
    with build.opened(full) as builder:
        builder.take_inbox()
        builder.render_all()
    assert sites.read(full.paths.mirror)[blob] == sites.package("1.7").data


def test_progress_of_a_full_render_counts_releases(full: Site) -> None:
    """A person who waits sees how far it is."""
    told: list[tuple[str, int]] = []
    steps: list[int] = []

    @contextmanager
    def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
        told.append((label, total))
        yield steps.append

    with build.opened(full, progress=progress) as builder:
        builder.render_all()

    assert told == [("rendering", 204)]
    assert sum(steps) == 204


def test_large_drops_are_published_before_more_are_copied(tmp_path: Path) -> None:
    """A full inbox does not need its size a second time in the spool."""
    site = sites.make(tmp_path / "site", "[publish]\ngroup_bytes = 30\n")
    for number in range(6):
        sites.drop(site.paths.inbox, sites.package(f"1.{number}", data=b"%015d" % number), f"{number}.bin")

    with build.opened(site) as builder:
        before = builder.catalogue.publish_number()
        result = builder.take_inbox()
        publishes = builder.catalogue.publish_number() - before

    assert [verdict.is_new for verdict in result.verdicts] == [True] * 6
    assert publishes == 3


def test_nobody_waits_for_pages_for_people(site: Site) -> None:
    """A publish goes on while pages are being made, and pages while something is published."""
    with build.opened(site) as builder:
        with spool.lock(site.paths.spool, "pages", Files()).held():
            assert builder.publish([sites.release(sites.package("1.0"), site.paths.var / "made")]).verdicts[0].is_new
        with Lock(site.paths.spool).held():
            builder.refresh_pages()

    assert (site.paths.mirror / layout.package_page("app")).exists()
