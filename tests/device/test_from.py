"""`update --from`: a copy of a mirror stands in for it, on a stick or elsewhere, and is believed no more than it."""

from __future__ import annotations

import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from devclient import lock
from devclient.copy_errors import UnreadableCopyError
from devclient.errors import NetworkError, NotOnMirrorError
from devclient.settings import config
from devclient.trust import copies
from devclient.trust.signed import Mirrors
from devclient.trust_errors import EndlessDataError, ExpiredError, TrustError
from devclient.web.answers import BLOCK
from devclient.web.fetcher import Fetcher
from devclient.web.folder import CopySource
from mirror import layout, trust
from mirror.files import Files
from tests.support import devices, httpd, trees
from tests.support.httpd import Fault
from tests.support.rigs import answer, entry, row
from tests.support.trees import Release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.devices import Rig

ONE, TWO, THREE = Release("1.0", b"one"), Release("2.0", b"two"), Release("3.0", b"three")


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """Where the copy is."""
    return tmp_path / "media" / "usb stick" / "mirror"


def copy(tree: Path, stick: Path) -> Path:
    """Copy the mirror, as whoever goes to a device does."""
    shutil.rmtree(stick, ignore_errors=True)
    shutil.copytree(tree, stick)
    return stick


def link(tree: Path, stick: Path) -> Path:
    """Put a copy elsewhere, and a link to it in its place."""
    stick.parent.mkdir(parents=True)
    stick.symlink_to(copy(tree, stick.parent / "elsewhere"))
    return stick


# a device is updated from it


@pytest.mark.parametrize("bring", [copy, link])
@pytest.mark.parametrize(
    "spelled",
    [str, lambda path: f"{path}/", lambda path: path.as_uri(), lambda path: path.name],
    ids=["path", "slash", "file-url", "relative"],
)
def test_a_device_without_a_network_is_updated_from_a_folder(
    rig: Rig,
    tree: Path,
    stick: Path,
    bring: Callable[[Path, Path], Path],
    spelled: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever it is, and however that is said; nobody else is asked for anything."""
    trees.write(tree, ONE)
    local = rig.add()
    bring(tree, stick)
    rig.server.refuse()
    monkeypatch.chdir(stick.parent)

    done = rig.run("update", "--from", spelled(stick))

    assert (done.exit_code, done.stdout) == (0, "app (stable): installed 1.0\n")
    assert local.read_bytes() == b"one"


def test_a_device_is_updated_from_another_url(rig: Rig, tree: Path, stick: Path) -> None:
    """It is asked instead of those in the settings, and is in none of them afterwards."""
    trees.write(tree, ONE)
    local = rig.add()
    rig.server.refuse()
    settings = rig.config.read_bytes()

    with httpd.serving(copy(tree, stick)) as elsewhere:
        done = rig.run("update", "--from", f"{elsewhere.url}/")

    assert (done.exit_code, local.read_bytes()) == (0, b"one")
    assert elsewhere.asked("/otafiles/")
    assert rig.config.read_bytes() == settings


def test_the_mirror_goes_on_where_the_copy_ended(rig: Rig, tree: Path, stick: Path) -> None:
    """What was learned from the copy is known of the mirror: nothing is asked for again but timestamp and next root."""
    trees.write(tree, ONE)
    rig.add()
    rig.run("update", "--from", str(copy(tree, stick)))

    done = rig.run("update")

    assert (done.exit_code, done.stdout) == (0, "app (stable): nothing newer than 1.0\n")
    assert [request.path for request in rig.server.requests] == [
        f"/{layout.metadata('root', 2)}",
        f"/{layout.TIMESTAMP}",
    ]


def test_a_download_is_continued_from_a_copy(rig: Rig, tree: Path, stick: Path) -> None:
    """Only the rest is read from it: what came before may even be wrong there."""
    data = random.Random(7).randbytes(256_000)
    release = Release("1.0", data)
    trees.write(tree, release)
    local = rig.add()
    rig.server.misbehave("/otafiles/", Fault(cut_after=200_000), times=1)
    rig.server.misbehave("/otafiles/", Fault(status=503))
    assert rig.run("update").exit_code == 75
    (copy(tree, stick) / layout.blob(release.sha256)).write_bytes(bytes(200_000) + data[200_000:])

    done = rig.run("update", "--from", str(stick))

    assert done.exit_code == 0
    assert local.read_bytes() == data


def test_a_copy_can_be_looked_at_first(rig: Rig, tree: Path, stick: Path) -> None:
    """With `--dry-run` nothing is changed, and nothing remembered."""
    trees.write(tree, ONE)
    rig.add()
    rig.server.refuse()
    before = rig.files()

    done = rig.run("update", "--dry-run", "--from", str(copy(tree, stick)))

    assert done.exit_code == 0
    assert "3 bytes, goes to" in done.stdout
    assert rig.files() == before
    (told,) = answer(rig, "update", "--dry-run", "--from", str(stick))["packages"]
    assert told["offered"] == "1.0"


# it stands in for one mirror


@pytest.fixture
def both(rig: Rig, tree: Path, tmp_path: Path) -> Path:
    """A second remote, of which nothing but a copy can be had; the device wants a package of each."""
    other = tmp_path / "other"
    other.mkdir()
    trees.write(tree, ONE)
    trees.write(other, Release("7.0", b"seven"), package="theirs")
    table = f'\n[remotes.other]\nurls = ["http://127.0.0.1:1"]\nroot = "{other / trees.ROOT}"\n'
    rig.config.write_text(rig.config.read_text() + table)
    devices.write_state(rig.state_file, entry(rig, "theirs", remote="http://127.0.0.1:1"), entry(rig, "app"))
    return other


@pytest.mark.usefixtures("both")
def test_packages_of_other_mirrors_are_left_out(rig: Rig, tree: Path, stick: Path) -> None:
    """A copy stands in for the first remote, and a line says of each package of others that it was left out."""
    part = rig.folder / "otadevice-work" / "parts" / "ab.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of theirs")

    done = rig.run("update", "--from", str(copy(tree, stick)))

    assert (done.exit_code, done.stdout) == (0, "app (stable): installed 1.0\n")
    assert "theirs (stable): left out, it is from other and not from main" in done.stderr.splitlines()
    assert "version" not in rig.state()["package"][0]
    assert part.read_bytes() == b"of theirs", "nobody has asked whether it is still offered"


def test_a_package_says_which_mirror_a_copy_is_of(rig: Rig, both: Path, stick: Path) -> None:
    """With a name, the copy stands in for the remote of that package."""
    done = rig.run("update", "theirs", "--from", str(copy(both, stick)))

    assert (done.exit_code, done.stdout) == (0, "theirs (stable): installed 7.0\n")
    assert "left out" not in done.stderr


def test_a_copy_of_another_mirror_is_not_believed(rig: Rig, tree: Path, both: Path, stick: Path) -> None:
    """Each remote is believed by its own root, whichever copy is put in its place."""
    done = rig.run("update", "app", "--from", str(copy(both, stick)))

    assert done.exit_code == 1
    assert row(rig)["last"]["code"] == "signature"
    assert rig.run("update", "app", "--from", str(copy(tree, stick))).exit_code == 0


def test_a_copy_stands_in_for_nobody_else(rig: Rig, both: Path, stick: Path) -> None:
    """The other mirrors are where they were, for whoever asks them."""
    settings = config.load(rig.config)
    copied = copies.Copy(str(copy(both, stick)), "main")

    with (
        Fetcher(settings.network, "otadevice/test", monotonic) as fetcher,
        Mirrors(settings, fetcher, Files(), lambda: datetime.now(UTC), lasting=True, copy=copied) as mirrors,
        pytest.raises(NetworkError, match="Connection refused"),
    ):
        mirrors("http://127.0.0.1:1").release_list("theirs", "stable")


@pytest.mark.usefixtures("both")
def test_a_device_that_wants_nothing_of_a_mirror_says_what_is_left_out(rig: Rig, tree: Path, stick: Path) -> None:
    """That is no failure, and it does not say that no packages are wanted."""
    devices.write_state(rig.state_file, entry(rig, "theirs", remote="http://127.0.0.1:1"))

    done = rig.run("update", "--from", str(copy(tree, stick)))

    assert (done.exit_code, done.stdout) == (0, "")
    assert "theirs (stable): left out" in done.stderr


# it is believed no more than the mirror


def flip(file: Path) -> None:
    """Change one byte of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def damage_blob(stick: Path) -> None:
    """Change the package."""
    flip(stick / layout.blob(TWO.sha256))


def damage_content(stick: Path) -> None:
    """Change the content.json."""
    file = stick / layout.get_version("app", "stable", "2.0")
    file.write_bytes(file.read_bytes().replace(b'"description":""', b'"description":"x"'))


def damage_list(stick: Path) -> None:
    """Change every release list."""
    for file in stick.glob("releases/app/*.stable.json"):
        file.write_bytes(file.read_bytes().replace(b"2.0", b"9.0"))


def sign_strangely(stick: Path) -> None:
    """Sign a timestamp with a key that nobody trusts."""
    stranger = trees.simulator(stick.parent / "stranger")
    shutil.copy(stranger.tree / layout.TIMESTAMP, stick / layout.TIMESTAMP)


def cut_metadata(stick: Path) -> None:
    """Keep half of the timestamp."""
    file = stick / layout.TIMESTAMP
    file.write_bytes(file.read_bytes()[:100])


def lose_blob(stick: Path) -> None:
    """Have no package."""
    (stick / layout.blob(TWO.sha256)).unlink()


def lose_snapshot(stick: Path) -> None:
    """Have no snapshot."""
    for file in stick.glob("metadata/*.snapshot.json"):
        file.unlink()


def lengthen_timestamp(stick: Path) -> None:
    """Have a timestamp that is larger than one may be."""
    os.truncate(stick / layout.TIMESTAMP, trust.MAX_BYTES[trust.TIMESTAMP] + 1)


DAMAGES = [
    (damage_blob, "broken-promise", 1),
    (damage_content, "broken-promise", 1),
    (damage_list, "mix-and-match", 1),
    (sign_strangely, "signature", 1),
    (cut_metadata, "damaged-metadata", 1),
    (lose_blob, "incomplete-mirror", 75),
    (lose_snapshot, "incomplete-mirror", 75),
    (lengthen_timestamp, "endless-data", 1),
]


@pytest.mark.parametrize(("damage", "code", "exit_code"), DAMAGES, ids=[each[0].__name__ for each in DAMAGES])
def test_what_is_wrong_in_a_copy_is_refused(
    rig: Rig, tree: Path, stick: Path, damage: Callable[[Path], None], code: str, exit_code: int
) -> None:
    """With the words and exit codes that the same files have on the web, and what to do about a copy."""
    trees.write(tree, ONE)
    local = rig.add()
    rig.run("update")
    trees.write(tree, ONE, TWO)
    damage(copy(tree, stick))

    done = rig.run("update", "--from", str(stick))

    assert (done.exit_code, row(rig)["last"]["code"]) == (exit_code, code)
    assert local.read_bytes() == b"one"
    assert code == "broken-promise" or "copy the mirror again" in done.stderr.lower()
    assert "server" not in row(rig)["last"]["message"]
    with httpd.serving(stick) as web:
        again = rig.run("update", "--from", web.url)
    assert (again.exit_code, row(rig)["last"]["code"]) == (exit_code, code)
    assert rig.run("update").exit_code == 0, "nothing of it stays behind"


def asked_of_copy(rig: Rig, stick: Path, now: datetime) -> bytes:
    """Ask a copy for the list of app, at a time of the test's."""
    settings = config.load(rig.config)
    copied = copies.stand_in(str(stick), settings, None)
    with (
        Fetcher(settings.network, "otadevice/test", monotonic) as fetcher,
        Mirrors(settings, fetcher, Files(), lambda: now, lasting=True, copy=copied) as mirrors,
    ):
        return mirrors("").release_list("app", "stable")


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_a_copy_that_is_too_old_says_since_when(rig: Rig, tree: Path, stick: Path, *, known: bool) -> None:
    """And what to do about it, whether this device has believed that very copy before or not."""
    trees.write(tree, ONE)
    expires = trees.simulator(tree).timestamp.expires
    copy(tree, stick)
    if known:
        asked_of_copy(rig, stick, expires - timedelta(minutes=1))

    with pytest.raises(ExpiredError) as refusal:
        asked_of_copy(rig, stick, expires + timedelta(minutes=1))

    message = str(refusal.value)
    assert message.startswith(f"{stick}/metadata/")
    assert f"is expired, since {trust.time(expires)}. It looks like a copy that was made too long ago" in message
    assert "Copy the mirror again; if that is no better, its operator should run `otamirror resign`" in message


def test_an_expired_copy_has_the_code_of_an_expired_mirror(rig: Rig, tree: Path, stick: Path) -> None:
    """It is refused by the command, too, and what is installed stays."""
    trees.write(tree, ONE)
    rig.add()
    trees.simulator(tree).timestamp.expires = trees.simulator(tree).now - timedelta(hours=1)
    trees.simulator(tree).publish()

    done = rig.run("update", "--from", str(copy(tree, stick)))

    assert (done.exit_code, row(rig)["last"]["code"]) == (1, "expired")


def test_a_clock_that_was_put_back_does_not_make_a_copy_fresh(
    rig: Rig, tree: Path, stick: Path, tmp_path: Path
) -> None:
    """What a newer copy told of the time is a floor under the clock."""
    simulator = trees.simulator(tree)
    trees.write(tree, ONE)
    copy(tree, stick)
    simulator.now += timedelta(days=60)
    simulator.publish(everything=True)
    asked_of_copy(rig, copy(tree, tmp_path / "newer"), simulator.now)

    with pytest.raises(TrustError) as refusal:
        asked_of_copy(rig, stick, simulator.now - timedelta(days=60))

    assert refusal.value.code in {"expired", "rollback"}


def test_a_mirror_that_is_older_than_a_copy_is_behind(rig: Rig, tree: Path, stick: Path, tmp_path: Path) -> None:
    """What came from a copy is remembered as what comes from the mirror: nothing older is taken afterwards."""
    trees.write(tree, ONE)
    local = rig.add()
    old = copy(tree, tmp_path / "old")
    trees.write(tree, ONE, TWO)
    rig.run("update", "--from", str(copy(tree, stick)))
    rig.server.misbehave("/", Fault(folder=old))

    from_web = rig.run("update")
    web_code = row(rig)["last"]["code"]
    from_old = rig.run("update", "--from", str(old))

    assert (from_web.exit_code, from_web.stdout, web_code) == (0, "app (stable): nothing newer than 2.0\n", "")
    assert (from_old.exit_code, row(rig)["last"]["code"]) == (1, "rollback")
    assert "It looks like an old copy" in from_old.stderr
    assert local.read_bytes() == b"two"


# what is no copy


@pytest.mark.parametrize(
    "there", ["nothing", "an empty folder", "a file", "something else", "a pipe", "a folder above"]
)
def test_a_folder_that_is_no_copy_is_told_before_anything_else(rig: Rig, tree: Path, stick: Path, there: str) -> None:
    """Not even the lock is taken, and nothing is changed."""
    trees.write(tree, ONE)
    rig.add()
    stick.parent.mkdir(parents=True)
    if there == "a file":
        stick.write_bytes(b"")
    elif there == "a folder above":
        copy(tree, stick / "mirror")
    elif there != "nothing":
        (stick / "metadata").mkdir(parents=True)
    if there == "a pipe":
        os.mkfifo(stick / layout.TIMESTAMP)
    if there == "something else":
        (stick / layout.TIMESTAMP).mkdir()
    before = rig.files()

    with lock.hold(rig.folder / "otadevice-work" / "lock", Files()):
        done = rig.run("update", "--from", str(stick))

    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{stick}: this is no copy of a mirror" in done.stderr
    assert rig.files() == before
    assert rig.server.requests == []


@pytest.mark.parametrize(
    "text", ["ftp://updates.example.org", "file://nas/mirror", "https://", "http://a/?b", "file:///a%00b"]
)
def test_what_is_no_place_is_wrong_usage(rig: Rig, text: str) -> None:
    """It is said what would be one."""
    done = rig.run("update", "--from", text)

    assert done.exit_code == 2
    assert "https://updates.example.org" in done.stderr


def test_a_package_of_an_unknown_mirror_has_no_copy(rig: Rig, tree: Path, stick: Path) -> None:
    """A copy stands in only for what the settings know."""
    trees.write(tree, ONE)
    devices.write_state(rig.state_file, entry(rig, "theirs", remote="http://127.0.0.1:1"))

    done = rig.run("update", "theirs", "--from", str(copy(tree, stick)))

    assert done.exit_code == 1
    assert "add it to [remotes]" in done.stderr


def test_a_package_that_is_not_wanted_has_to_be_added_first(rig: Rig, tree: Path, stick: Path) -> None:
    """A copy brings nothing by itself."""
    trees.write(tree, ONE)

    done = rig.run("update", "app", "--from", str(copy(tree, stick)))

    assert (done.exit_code, "`otadevice add` adds it" in done.stderr) == (1, True)


def test_a_package_that_is_not_in_a_copy_is_told(rig: Rig, tree: Path, stick: Path) -> None:
    """It may be that the copy is from before its time."""
    trees.write(tree, ONE)
    rig.add("missing")

    done = rig.run("update", "--from", str(copy(tree, stick)))

    assert (done.exit_code, row(rig, "missing")["last"]["code"]) == (1, "not-on-mirror")
    assert "the copy of the mirror has nothing there" in done.stderr


# no folder keeps a device


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path)]
)
def test_only_regular_files_are_opened(rig: Rig, tree: Path, stick: Path, make: Callable[[Path], object]) -> None:
    """A pipe or a device in the place of a package does not keep the update for ever."""
    trees.write(tree, ONE)
    rig.add()
    blob = copy(tree, stick) / layout.blob(ONE.sha256)
    blob.unlink()
    make(blob)

    done = rig.run("update", "--from", str(stick))

    assert (done.exit_code, row(rig)["last"]["code"]) == (75, "incomplete-mirror")
    assert str(blob) in done.stderr


@pytest.fixture
def folder(tree: Path) -> CopySource:
    """A folder with a timestamp, and a file of several blocks."""
    trees.write(tree, ONE)
    (tree / "large").write_bytes(bytes(BLOCK) + b"end")
    return CopySource(tree)


@pytest.mark.parametrize(("offset", "start"), [(0, 0), (1, 1), (BLOCK, BLOCK), (BLOCK + 3, 0), (BLOCK + 9, 0)])
def test_a_file_is_read_from_an_offset(folder: CopySource, tree: Path, offset: int, start: int) -> None:
    """From its start if there is nothing at the offset, as a server does it."""
    with folder.stream(f"{tree}/large", offset) as body:
        assert (body.start, body.total) == (start, BLOCK + 3)
        blocks = list(body.blocks)

    assert b"".join(blocks) == (bytes(BLOCK) + b"end")[start:]
    assert max(map(len, blocks)) <= BLOCK


def test_a_small_file_is_read_up_to_its_limit(folder: CopySource, tree: Path) -> None:
    """A byte more is too much."""
    assert folder.ask(f"{tree}/large", limit=BLOCK + 3).data == bytes(BLOCK) + b"end"
    with pytest.raises(EndlessDataError):
        folder.ask(f"{tree}/large", limit=BLOCK + 2)
    os.truncate(tree / "large", 1 << 40)
    with pytest.raises(EndlessDataError):
        folder.ask(f"{tree}/large", limit=BLOCK)


def test_a_copy_that_is_pulled_out_means_try_later(folder: CopySource, tree: Path) -> None:
    """Whatever is asked for then; a file that is missing while the copy is there is something else."""
    with folder.stream(f"{tree}/large") as body:
        next(body.blocks)
    with pytest.raises(NotOnMirrorError):
        folder.ask(f"{tree}/none", limit=9)
    shutil.rmtree(tree)

    for path in ("large", "none", layout.TIMESTAMP):
        with pytest.raises(NetworkError, match="gone, as when a stick is pulled out") as refusal:
            folder.ask(f"{tree}/{path}", limit=9)
        assert str(refusal.value).startswith(f"{tree}/{path}: ")
    with pytest.raises(NetworkError), folder.stream(f"{tree}/large"):
        pass


def test_a_medium_that_cannot_be_read_means_try_later(folder: CopySource) -> None:
    """Also if that is found out in the middle of a file."""
    unreadable = "/proc/self/mem"  # at whose beginning there is nothing

    with pytest.raises(NetworkError, match="Input/output error") as refusal:
        folder.ask(unreadable, limit=9)
    assert (refusal.value.code, refusal.value.exit_code) == ("network", 75)
    with folder.stream(unreadable) as body, pytest.raises(NetworkError, match=unreadable):
        next(body.blocks)


@pytest.fixture
def forbidden(folder: CopySource, tree: Path) -> CopySource:
    """The folder, with a file that only root may read."""
    (tree / "large").chmod(0)
    return folder


@pytest.mark.usefixtures("forbidden", "unprivileged")
def test_a_file_of_others_is_told(folder: CopySource, tree: Path) -> None:
    """Trying again does not help there."""
    with pytest.raises(UnreadableCopyError, match="may not read this file"):
        folder.ask(f"{tree}/large", limit=9)


def test_an_error_of_ones_own_is_not_the_folders(folder: CopySource, tree: Path) -> None:
    """A disk that is full says nothing about the stick."""
    with pytest.raises(OSError, match="full"), folder.stream(f"{tree}/large"):
        raise OSError("full")
