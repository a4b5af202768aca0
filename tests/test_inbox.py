"""The inbox: what is taken, what is refused with its reason, what waits; and that nothing is followed out of it."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder import build
from builder.errors import DropError, HashMismatchError, PlacementError, TooLargeError
from builder.intake.drops import Find
from builder.intake.inbox import Drop, Inbox
from builder.spool import Spool
from mirror import layout
from mirror.files import Calls, Files
from tests.support import sites, tools
from tests.support.faults import KILL_BEFORE, KILLS, Fault, FaultyCalls, Killed, located, sweep
from tests.support.sites import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.intake.drops import Pass
    from builder.site import Site

GOOD = sites.package("1.0", "good")
POISON = sites.package("6.6", "poison", data=b"the secret outside")
LONG_AGO = (1_000_000_000, 1_000_000_001)  # atime older than mtime, so that reading would change it


class Ground:
    """An inbox, and outside of it what a hostile publisher would like to see published."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.inbox = site.paths.inbox
        self.outside = folder / "outside"
        self.outside.mkdir()
        sites.drop(self.outside, POISON, "secret")
        self.folder = sites.drop_folder(self.outside, POISON, "folder")
        self.secret = self.outside / "secret"
        for path in sites.paths(self.outside):
            os.utime(self.outside / path, LONG_AGO)

    def content(self) -> Path:
        """Drop the content.json of what lies outside, as `app.json`."""
        path = self.inbox / "app.json"
        path.write_bytes(POISON.content.canonical())
        return path

    def pair(self, make: Callable[[Path], object]) -> None:
        """Drop a pair whose file is something that names the secret outside."""
        self.content()
        make(self.inbox / "app")

    def in_folder(self, make: Callable[[Path], object], name: str = "app.bin") -> None:
        """Drop a folder in which one file is something else."""
        folder = sites.drop_folder(self.inbox, POISON, "app")
        (folder / name).unlink()
        make(folder / name)

    def state(self) -> dict[str, tuple[object, ...]]:
        """Tell everything about the files outside, when they were read too."""
        found = {path: (self.outside / path).lstat() for path in sites.paths(self.outside)}
        return {
            path: (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_atime_ns)
            for path, status in found.items()
        }

    def inodes(self) -> set[int]:
        """List what lies in the inbox and among what was refused, wherever it was moved."""
        places = (self.inbox, self.site.paths.rejected)
        return {
            Path(root, name).lstat().st_ino
            for place in places
            for root, folders, files in os.walk(place)
            for name in (*folders, *files)
        }


@pytest.fixture
def ground(site: Site, tmp_path: Path) -> Ground:
    """Make an inbox and what lies outside of it."""
    return Ground(site, tmp_path)


def take(site: Site) -> Pass:
    """Make one pass over the inbox."""
    with build.opened(site, clock=Clock()) as builder:
        return builder.take_inbox()


def reasons(site: Site) -> list[str]:
    """Read why drops were refused, from what lies beside them."""
    found = [json.loads(path.read_bytes()) for path in site.paths.rejected.glob("*/*reason.json")]
    return [reason["detail"] for reason in found if "refused" in reason]


def longest(ground: Ground) -> None:
    """Drop a pair with the longest names that there are, and other bytes than its content says."""
    (ground.inbox / ("x" * 250)).write_bytes(b"other")
    ground.content().rename(ground.inbox / f"{'x' * 250}.json")


def link_to_content(ground: Ground) -> None:
    """Drop a pair whose content is a link."""
    (ground.inbox / "app").write_bytes(POISON.data)
    (ground.inbox / "app.json").symlink_to(ground.outside / "secret.json")


def named(name: str) -> Callable[[Ground], None]:
    """Drop a pair under an odd name."""

    def make(ground: Ground) -> None:
        sites.drop(ground.inbox, POISON, name)

    return make


def sparse(path: Path) -> None:
    """Make a file that seems to have more bytes than the disk."""
    with path.open("wb") as file:
        file.truncate(1 << 42)


def claims(ground: Ground, make: Callable[[Path], object]) -> None:
    """Put something where releases before this one kept what they claimed."""
    folder = ground.inbox / ".claimed"
    folder.mkdir(0o700)
    make(folder / "0123456789abcdef")


def device(kind: int) -> Callable[[Path], None]:
    """Make a device node."""

    def make(path: Path) -> None:
        tools.require_root()
        os.mknod(path, kind | 0o666, os.makedev(1, 5))

    return make


Hostile = tuple["Callable[[Ground], object]", str, str]
HOSTILE: dict[str, Hostile] = {
    "link to a file": (lambda g: g.pair(lambda path: path.symlink_to(g.secret)), "refused", "app is a symbolic link"),
    "link to a content": (
        link_to_content,
        "refused",
        r"app\.json is a symbolic link",
    ),
    "link alone": (lambda g: (g.inbox / "app").symlink_to(g.secret), "refused", "app is a symbolic link"),
    "link to a folder": (lambda g: (g.inbox / "app").symlink_to(g.folder), "refused", "app is a symbolic link"),
    "link to everything": (lambda g: (g.inbox / "app").symlink_to("/"), "refused", "app is a symbolic link"),
    "link that dangles": (lambda g: g.pair(lambda path: path.symlink_to("gone")), "refused", "app is a symbolic link"),
    "link to itself": (lambda g: g.pair(lambda path: path.symlink_to("app")), "refused", "app is a symbolic link"),
    "link in a folder": (
        lambda g: g.in_folder(lambda path: path.symlink_to(g.secret)),
        "refused",
        r"app\.bin is a symbolic link",
    ),
    "content is a link in a folder": (
        lambda g: g.in_folder(lambda path: path.symlink_to(g.outside / "secret.json"), "content.json"),
        "refused",
        r"content\.json is a symbolic link",
    ),
    "hard link": (lambda g: g.pair(lambda path: path.hardlink_to(g.secret)), "refused", "app is a hard link"),
    "hard link in a folder": (
        lambda g: g.in_folder(lambda path: path.hardlink_to(g.secret)),
        "refused",
        r"app\.bin is a hard link",
    ),
    "hard link in the inbox": (
        lambda g: g.pair(lambda path: path.hardlink_to(g.inbox / "app.json")),
        "refused",
        r"app\.json is a hard link",
    ),
    "FIFO": (lambda g: g.pair(os.mkfifo), "refused", "app is a FIFO"),
    "FIFO alone": (lambda g: os.mkfifo(g.inbox / "app"), "refused", "app is a FIFO"),
    "content is a FIFO in a folder": (
        lambda g: g.in_folder(os.mkfifo, "content.json"),
        "refused",
        r"content\.json is a FIFO",
    ),
    "socket": (
        lambda g: g.pair(lambda path: os.mknod(path, stat.S_IFSOCK | 0o666)),
        "refused",
        "app is a socket",
    ),
    "folder in a folder": (lambda g: g.in_folder(Path.mkdir), "refused", r"app\.bin is a folder"),
    "folder for a file": (lambda g: g.pair(Path.mkdir), "refused", "app is a folder"),
    "folder with two files": (
        lambda g: (sites.drop_folder(g.inbox, POISON) / "more").write_bytes(b""),
        "refused",
        "it holds 2 files beside content.json; one file is wanted, with its content.json",
    ),
    "content without bytes": (
        lambda g: [(g.inbox / "app").write_bytes(b"x"), (g.inbox / "app.json").write_bytes(b"")],
        "refused",
        "is empty",
    ),
    "file without bytes": (lambda g: g.pair(Path.touch), "refused", r"\(0 bytes\)"),
    "content too large": (
        lambda g: [(g.inbox / "app").write_bytes(b"x"), (g.inbox / "app.json").write_bytes(b" " * 70_000)],
        "refused",
        "too large",
    ),
    "file too large": (lambda g: g.pair(sparse), "refused", "more than 17179869184 bytes"),
    "half a surrogate pair": (
        lambda g: [(g.inbox / "app").write_bytes(b"x"), (g.inbox / "app.json").write_bytes(b'{"package":"\\ud800"}')],
        "refused",
        "half of a surrogate pair",
    ),
    "name with a newline": (named("a\nb"), "refused", r"the name a\\nb.json holds characters"),
    "name with control characters": (named("a\x1b[2Jb"), "refused", r"the name a\\x1b\[2Jb.json holds characters"),
    "name that is no text": (named(os.fsdecode(b"a\xffb")), "refused", r"the name a\\udcffb.json holds characters"),
    "longest names": (longest, "refused", "SHA-256"),
    "named like the reason": (
        lambda g: [(g.inbox / "reason").write_bytes(b"x"), g.content().rename(g.inbox / "reason.json")],
        "refused",
        "SHA-256",
    ),
    "link for the claims": (
        lambda g: (g.inbox / ".claimed").symlink_to(g.folder),
        "is left",
        "",
    ),
    "link among the claims": (
        lambda g: claims(g, lambda path: path.symlink_to(g.folder)),
        "is left",
        "",
    ),
    "FIFO among the claims": (lambda g: claims(g, os.mkfifo), "is left", ""),
    "file for the claims": (lambda g: (g.inbox / ".claimed").touch(), "is left", ""),
    "half a pair": (lambda g: g.content(), "waits", "its partner app is not there"),
    "half a folder": (lambda g: g.in_folder(lambda _: None), "waits", "it does not hold content.json and one file yet"),
    "hidden file in a folder": (
        lambda g: (sites.drop_folder(g.inbox, POISON) / ".app.part").touch(),
        "waits",
        ".app.part in it is hidden",
    ),
    "hidden pair": (named(".app"), "is left", ""),
}


@pytest.mark.parametrize(
    ("make", "outcome", "reason"),
    [
        *(pytest.param(*case, id=name) for name, case in HOSTILE.items()),
        *(
            pytest.param(lambda g, kind=kind: g.pair(device(kind)), "refused", said, id=said, marks=pytest.mark.root)
            for kind, said in ((stat.S_IFCHR, "app is a character device"), (stat.S_IFBLK, "app is a block device"))
        ),
    ],
)
def test_a_hostile_drop_gets_nowhere(
    make: Callable[[Ground], object], outcome: str, reason: str, ground: Ground
) -> None:
    """It is refused or waited for with the reason, nothing is lost, nothing outside is read, and others are served."""
    make(ground)
    dropped, before = ground.inodes(), ground.state()
    sites.drop(ground.inbox, GOOD, "good")

    done = take(ground.site)

    refused = [str(verdict.error) for verdict in done.verdicts if verdict.error]
    waiting = [find.waiting for find in done.waiting]
    assert (len(refused), len(waiting)) == (outcome == "refused", outcome == "waits")
    assert all(re.search(reason, said) for said in refused + waiting)
    assert reasons(ground.site) == refused
    assert dropped <= ground.inodes()
    assert ground.state() == before
    mirror = sites.pages(ground.site.paths.mirror)
    assert mirror["maxVersion/good/main.json"] == GOOD.content.canonical()
    assert [path for path in mirror if "good" not in path] == [layout.blob(GOOD.content.sha256)]
    assert sites.paths(ground.site.paths.spool) == []


def test_what_lies_outside_would_be_published(ground: Ground) -> None:
    """The test above can fail: a copy of what lies outside is a good drop."""
    ground.pair(lambda path: path.write_bytes(ground.secret.read_bytes()))

    take(ground.site)

    assert layout.blob(POISON.content.sha256) in sites.read(ground.site.paths.mirror)


def test_a_file_without_bytes_is_a_package_like_any_other(site: Site) -> None:
    """What counts is that its hash is right."""
    empty = sites.package("1.0", data=b"")
    sites.drop(site.paths.inbox, empty)

    take(site)

    assert sites.read(site.paths.mirror)[layout.blob(empty.content.sha256)] == b""


def test_a_package_may_be_json_itself(site: Site) -> None:
    """Of x, x.json and x.json.json the last two are a pair, and x waits for a content of its own."""
    json_file = sites.package("1.0", "config", data=b"{}")
    sites.drop(site.paths.inbox, json_file, "x.json")
    (site.paths.inbox / "x").write_bytes(GOOD.data)

    first = take(site)
    (site.paths.inbox / "x.json").write_bytes(GOOD.content.canonical())
    second = take(site)

    assert [verdict.title for verdict in first.verdicts] == ["config 1.0 on main"]
    assert first.waiting == (Find(("x",), waiting="its partner x.json is not there"),)
    assert [verdict.title for verdict in second.verdicts] == ["good 1.0 on main"]


@pytest.mark.parametrize("name", ["app.bin", "app.bin.json"])
def test_a_writer_is_waited_for(name: str, site: Site) -> None:
    """A pair that is still being written is taken when it was closed, not before."""
    file = sites.drop(site.paths.inbox, GOOD)
    whole = (site.paths.inbox / name).read_bytes()

    with (site.paths.inbox / name).open("wb", buffering=0) as writer:
        writer.write(whole[:5])
        first = take(site)
        writer.write(whole[5:])
    second = take(site)

    assert [(find.title, find.waiting) for find in first.waiting] == [(file.name, f"{name} is still being written")]
    assert first.verdicts == ()
    assert [verdict.is_new for verdict in second.verdicts] == [True]


@dataclass
class Meddler:
    """Shows progress, and writes to what is being read: after the first chunk, or once all was read."""

    claimed: Path
    place: int
    at_once: bool

    @contextmanager
    def progress(self, _label: str, _total: int) -> Iterator[Callable[[int], None]]:
        """Open what was claimed, as who knows its name can, and write at some time."""
        (file,) = self.claimed.glob("*/app.bin")
        descriptor = os.open(file, os.O_WRONLY)
        told: list[int] = []

        def advance(size: int) -> None:
            told.append(size)
            if self.at_once and len(told) == 1:
                os.pwrite(descriptor, b"evil", self.place)

        yield advance
        os.pwrite(descriptor, b"evil", self.place)
        os.close(descriptor)


LARGE = sites.package("1.0", data=b"good" * 600_000)  # three chunks


@pytest.mark.parametrize(("place", "at_once"), [(0, False), (2_000_000, False), (0, True)])
def test_a_writer_cannot_change_what_was_verified(place: int, at_once: bool, site: Site) -> None:  # noqa: FBT001 - a table
    """Who writes to the file once it was copied changes nothing: what was hashed is what is published."""
    sites.drop(site.paths.inbox, LARGE)

    with build.opened(site, progress=Meddler(site.paths.claimed, place, at_once).progress) as builder:
        (verdict,) = builder.take_inbox().verdicts

    assert verdict.is_new
    assert sites.read(site.paths.mirror)[layout.blob(LARGE.content.sha256)] == LARGE.data


def test_a_writer_that_changes_what_is_still_to_be_copied_is_found_out(site: Site) -> None:
    """The bytes that were copied are those that were hashed, so they are not those that content.json names."""
    sites.drop(site.paths.inbox, LARGE)

    with build.opened(site, progress=Meddler(site.paths.claimed, 2_000_000, at_once=True).progress) as builder:
        (verdict,) = builder.take_inbox().verdicts

    assert isinstance(verdict.error, HashMismatchError)
    assert sites.pages(site.paths.mirror) == {}


@pytest.fixture
def inbox(site: Site) -> Inbox:
    """Open the inbox of a site."""
    return opened(site)


def opened(site: Site, calls: Calls | None = None) -> Inbox:
    """Open the inbox of a site on these calls."""
    paths = site.paths
    paths.rejected.mkdir(exist_ok=True)
    paths.claimed.mkdir(0o700, exist_ok=True)
    clock = Clock(1_800_000_000.0)
    return Inbox(paths.inbox, paths.claimed, paths.rejected, Files(calls), settle_seconds=0, clock=clock)


@pytest.fixture
def own(tmp_path: Path) -> Spool:
    """Make a place to copy to."""
    (tmp_path / "spool").mkdir()
    return Spool(tmp_path / "spool", Files())


def claimed(inbox: Inbox) -> Drop:
    """Claim the one drop that there is."""
    (find,) = inbox.scan()
    drop = inbox.claim(find)
    assert isinstance(drop, Drop)
    return drop


@pytest.mark.parametrize("drop", [sites.drop, sites.drop_folder])
def test_what_was_dropped_is_copied_and_hashed(
    drop: Callable[[Path, sites.Package], Path], inbox: Inbox, own: Spool, site: Site
) -> None:
    """A submission has the content as it came, and the file's copy with its hash; progress is told."""
    title = drop(site.paths.inbox, GOOD).name
    told: list[object] = []

    @contextmanager
    def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
        told.append((label, total))
        yield told.append

    submission = inbox.receive(claimed(inbox), own, progress=progress)

    assert (submission.content, submission.origin) == (GOOD.content.canonical(), title)
    assert (submission.blob.sha256, submission.blob.size) == (GOOD.content.sha256, len(GOOD.data))
    assert submission.blob.path.read_bytes() == GOOD.data
    assert told == [(f"reading {title}", len(GOOD.data)), len(GOOD.data)]


def test_a_claim_is_out_of_the_way_of_new_drops(inbox: Inbox, own: Spool, site: Site) -> None:
    """Another drop of the same name, while the first is being read, is another drop."""
    newer = sites.package("2.0", "good")
    sites.drop(site.paths.inbox, GOOD)
    first = claimed(inbox)
    sites.drop(site.paths.inbox, newer)
    second = claimed(inbox)

    received = [inbox.receive(drop, own).blob.path.read_bytes() for drop in (first, second)]
    inbox.remove(first)
    inbox.remove(second)

    assert received == [GOOD.data, newer.data]
    assert sites.paths(site.paths.inbox) == []


def test_what_went_away_is_not_claimed(inbox: Inbox, site: Site) -> None:
    """A drop that is taken back between two looks is left alone, and what is still there of it stays."""
    file = sites.drop(site.paths.inbox, GOOD)
    (find,) = inbox.scan()
    file.unlink()

    left = inbox.claim(find)

    assert left == Find(find.names, waiting="it cannot be moved: No such file or directory")
    assert sites.paths(site.paths.inbox) == ["app.bin.json"]


def test_what_may_not_be_moved_waits(
    request: pytest.FixtureRequest,
) -> None:
    """A folder that only its owner may move waits with the reason and stays where it is."""
    made = tempfile.mkdtemp()  # others may enter the folders above, and it goes at the end
    folder, incoming = Path(made), Path(made, "inbox")
    folder.chmod(0o777)
    incoming.mkdir()
    incoming.chmod(0o777)
    sites.drop_folder(incoming, GOOD).chmod(0o555)
    request.getfixturevalue("unprivileged")
    for name in ("claimed", "rejected"):
        (folder / name).mkdir(0o700)
    places = (incoming, folder / "claimed", folder / "rejected")
    inbox = Inbox(*places, Files(), settle_seconds=0, clock=lambda: 4e9)

    (find,) = inbox.scan()
    left = inbox.claim(find)

    assert left == Find(("app",), waiting="it cannot be moved: Permission denied")
    assert sites.paths(incoming) == ["app/app.bin", "app/content.json"]


class OwnersCalls(Calls):
    """A system on which only its owner may empty a folder."""

    def unlink(self, path: Path, *, at: int | None = None) -> None:
        """Refuse to remove what lies in the dropped folder."""
        if located(path, at).parent.name == "app":
            raise PermissionError(1, "Operation not permitted", path)
        super().unlink(path, at=at)


def test_what_may_not_be_removed_is_put_aside(own: Spool, site: Site) -> None:
    """A drop that was published and cannot be removed is not read again at every pass."""
    inbox = opened(site, OwnersCalls())
    sites.drop_folder(site.paths.inbox, GOOD)
    drop = claimed(inbox)
    inbox.receive(drop, own)

    inbox.remove(drop)

    assert inbox.resume() == []
    (reason,) = reasons(site)
    assert "it was published, but what was dropped cannot be removed" in reason


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to, lambda path, _: os.mkfifo(path), lambda *_: None])
@pytest.mark.parametrize("name", ["app.bin", "app.bin.json"])
def test_what_became_something_else_is_not_followed(
    name: str, make: Callable[[Path, Path], object], inbox: Inbox, own: Spool, ground: Ground
) -> None:
    """Between the look and the copy a file may become a link, a FIFO or nothing: that is refused at once."""
    sites.drop(ground.inbox, GOOD)
    drop = claimed(inbox)
    (drop.folder / name).unlink()
    make(drop.folder / name, ground.secret)
    before = ground.state()

    with pytest.raises(DropError, match=name):
        inbox.receive(drop, own)

    assert ground.state() == before


def test_a_folder_that_became_a_link_is_not_followed(inbox: Inbox, own: Spool, ground: Ground) -> None:
    """Between the look and the claim a folder may become a link to another one."""
    folder = sites.drop_folder(ground.inbox, GOOD)
    (find,) = inbox.scan()
    folder.rename(ground.inbox / ".away")
    folder.symlink_to(ground.folder)
    drop = inbox.claim(find)
    assert isinstance(drop, Drop)
    before = ground.state()

    with pytest.raises(DropError, match="is not a folder"):
        inbox.receive(drop, own)

    assert ground.state() == before
    assert not list((own.path().parent).iterdir())


def test_a_folder_into_which_more_came_is_refused(inbox: Inbox, own: Spool, site: Site) -> None:
    """Nobody guesses which of two files was meant."""
    sites.drop_folder(site.paths.inbox, GOOD)
    drop = claimed(inbox)
    (drop.folder / "app" / "more").touch()

    with pytest.raises(DropError, match=r"does not hold content\.json and one file"):
        inbox.receive(drop, own)


def test_a_file_over_the_limit_is_refused_before_it_is_copied(inbox: Inbox, own: Spool, site: Site) -> None:
    """The largest size is fine; a byte more is refused, and nothing of it stays."""
    sites.drop(site.paths.inbox, GOOD)
    drop = claimed(inbox)

    inbox.receive(drop, own, most_bytes=len(GOOD.data)).blob.path.unlink()
    with pytest.raises(TooLargeError, match="the most that this site takes") as caught:
        inbox.receive(drop, own, most_bytes=len(GOOD.data) - 1)

    assert caught.value.status_hint == 413
    assert not list((own.path().parent).iterdir())


def test_a_file_that_grows_while_it_is_copied_is_refused(inbox: Inbox, own: Spool, site: Site) -> None:
    """The size at the start is a promise that nobody has to keep."""
    sites.drop(site.paths.inbox, GOOD)
    drop = claimed(inbox)

    @contextmanager
    def growing(_label: str, _total: int) -> Iterator[Callable[[int], None]]:
        def grow(_size: int) -> None:
            with (drop.folder / "app.bin").open("ab") as file:
                file.write(b"more")

        yield grow

    with pytest.raises(TooLargeError):
        inbox.receive(drop, own, len(GOOD.data) + 10, growing)

    assert not list((own.path().parent).iterdir())


def test_a_refused_drop_lies_beside_its_reason(inbox: Inbox, site: Site) -> None:
    """The files are there whole, and the reason is for people and programs."""
    sites.drop(site.paths.inbox, GOOD)

    target = inbox.reject(claimed(inbox), HashMismatchError("a" * 64, "b" * 64, 3))

    assert target == site.paths.rejected / "20270115T080000Z-app.bin"
    found = sites.read(target)
    reason = json.loads(found.pop("reason.json"))
    assert found == {"app.bin": GOOD.data, "app.bin.json": GOOD.content.canonical()}
    assert (reason["error"], reason["refused"]) == ("hash-mismatch", "2027-01-15T08:00:00+00:00")
    assert "a" * 64 in reason["detail"]
    assert sites.paths(site.paths.inbox) == []


def test_refused_drops_of_one_name_do_not_mix(inbox: Inbox, site: Site) -> None:
    """The same name, refused again within the second, gets a folder of its own."""
    targets = []
    for data in (b"one", b"two", b"three"):
        (site.paths.inbox / "reason").write_bytes(data)
        (site.paths.inbox / "reason.json").write_bytes(data)
        targets.append(inbox.reject(claimed(inbox), DropError("no")))

    assert [target.name for target in targets] == [
        "20270115T080000Z-reason",
        "2-20270115T080000Z-reason",
        "3-20270115T080000Z-reason",
    ]
    for target, data in zip(targets, (b"one", b"two", b"three"), strict=True):
        found = sites.read(target)
        assert json.loads(found.pop("2-reason.json"))["detail"] == "no"
        assert found == {"reason": data, "reason.json": data}


@pytest.mark.parametrize(
    ("name", "plain"),
    [("a b", "a_b"), ("Grüße", "Gr__e"), ("a\nb", "a_nb"), ("x" * 255, "x" * 100), ("-rf", "-rf")],
)
def test_folders_of_refused_drops_have_plain_names(name: str, plain: str, inbox: Inbox, site: Site) -> None:
    """Whatever the drop was called, an operator can type its folder's name."""
    (site.paths.inbox / name).mkdir()

    target = inbox.reject(claimed(inbox), DropError("no"))

    assert target.name == f"20270115T080000Z-{plain}"
    assert (target / name).is_dir()


def test_a_claim_of_a_dead_process_is_taken_up(site: Site) -> None:
    """What one process claimed and did not publish the next one publishes."""
    sites.drop(site.paths.inbox, GOOD)
    claimed(opened(site))

    done = take(site)

    assert [verdict.is_new for verdict in done.verdicts] == [True]
    assert sites.paths(site.paths.inbox) == []


def test_half_a_claim_is_given_back(site: Site) -> None:
    """A process that died between two renames leaves a pair that is put together again."""
    sites.drop(site.paths.inbox, GOOD)
    (find,) = opened(site).scan()
    with pytest.raises(Killed):
        opened(site, FaultyCalls(Fault(3, KILL_BEFORE))).claim(find)
    assert len(list(site.paths.claimed.glob("*/app.bin.json"))) == 1

    done = take(site)

    assert [verdict.is_new for verdict in done.verdicts] == [True]
    assert sites.paths(site.paths.inbox) == []


@pytest.mark.parametrize(("name", "older"), [("app", "2-app.json"), ("x" * 250, f"2-{'x' * 250}.js")])
def test_a_newer_drop_of_the_name_stays_as_it_is(name: str, older: str, inbox: Inbox, site: Site) -> None:
    """Half a claim that is given back takes no other's place, however long the name is; both are kept."""
    claim = site.paths.claimed / "0123456789abcdef"
    claim.mkdir()
    (claim / f"{name}.json").write_bytes(b"older")
    (site.paths.inbox / f"{name}.json").write_bytes(b"newer")

    assert inbox.resume() == []

    assert sites.read(site.paths.inbox) == {f"{name}.json": b"newer", older: b"older"}


def test_an_empty_claim_goes_away(inbox: Inbox, site: Site) -> None:
    """A process that died before the first rename leaves a folder, which nobody needs."""
    (site.paths.claimed / "0123456789abcdef").mkdir()

    assert inbox.resume() == []
    assert list(site.paths.claimed.iterdir()) == []


def test_both_folders_must_be_on_one_file_system(site: Site) -> None:
    """Nothing could be moved by rename; the error names the setting."""
    inbox, elsewhere = site.paths.inbox, Path("/proc")

    for places, key in (((inbox, elsewhere), "rejected"), ((elsewhere, inbox), "claimed")):
        with pytest.raises(PlacementError, match=rf"paths\.{key}"):
            Inbox(inbox, *places, Files(), settle_seconds=0, clock=Clock())


def refuse_and_publish(calls: Calls, site: Site) -> None:
    """Make a pass over a good drop and two bad ones."""
    sites.drop(site.paths.inbox, GOOD, "good")
    (sites.drop_folder(site.paths.inbox, POISON, "bad") / "more").write_bytes(b"more")
    sites.drop(site.paths.inbox, POISON, "reason").write_bytes(b"other")
    with build.opened(site, Files(calls), clock=Clock()) as builder:
        builder.take_inbox()


def in_a_folder_of_its_own(calls: Calls) -> None:
    """Make the pass where the calls can be counted."""
    with tempfile.TemporaryDirectory() as folder:
        refuse_and_publish(calls, sites.make(Path(folder)))


@sweep(in_a_folder_of_its_own, KILLS, wanted=20)
def test_a_killed_pass_loses_nothing(fault: Fault, site: Site) -> None:
    """Killed at any point, the next pass publishes the good drop and puts each bad one beside its reason."""
    with pytest.raises(Killed):
        refuse_and_publish(FaultyCalls(fault), site)

    take(site)

    bad, reason = sorted(site.paths.rejected.iterdir(), key=lambda path: path.name.split("-", 1)[1])
    assert sites.paths(bad) == ["bad/app.bin", "bad/content.json", "bad/more", "reason.json"]
    assert sites.paths(reason) == ["2-reason.json", "reason", "reason.json"]
    assert len(reasons(site)) == 2
    assert sites.paths(site.paths.inbox) == []
    assert sites.paths(site.paths.spool) == []
    mirror = sites.pages(site.paths.mirror)
    assert [path for path in mirror if "good" not in path] == [layout.blob(GOOD.content.sha256)]
