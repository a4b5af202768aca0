"""builder/signing/sign.py: what one publish signs, and what keeps it in force."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from builder.errors import KeysError
from builder.signing import expiry
from mirror import layout, trust
from tests.signing.ground import DAY, Ground, claim, renew
from tests.support import clients, sites

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A site with 256 bins and a hundred packages."""
    ground = Ground(tmp_path, bins=256)
    made = [sites.package("1.0", f"package-{number}") for number in range(100)]
    with ground.opened() as builder:
        builder.publish([sites.release(each, ground.site.paths.spool / "made") for each in made])
    return ground


def metadata(ground: Ground) -> set[str]:
    """List the files of metadata."""
    return {path.name for path in (ground.mirror / layout.METADATA).iterdir()}


def test_a_release_has_one_bin_signed(ground: Ground) -> None:
    """Besides it only snapshot and timestamp, however many lists there are."""
    before = metadata(ground)
    stamps = sites.stamps(ground.mirror / layout.METADATA)

    ground.publish("1.1", package="package-7")

    new = metadata(ground) - before
    changed = {
        path for path, stamp in sites.stamps(ground.mirror / layout.METADATA).items() if stamps.get(path) != stamp
    }
    (name,) = {name for name in new if ".bin8-" in name}
    assert changed == {name, "3.snapshot.json", "timestamp.json"}
    ground.look()


def test_releases_that_come_together_share_their_signatures(ground: Ground) -> None:
    """Two in one list are one signature of its bin, and one of snapshot and timestamp."""
    before = ground.versions()

    ground.publish("2.0", "2.1", "2.2", package="package-7")

    after = ground.versions()
    grown = {role: after[role] - version for role, version in before.items() if after[role] != version}
    assert sorted(grown.values()) == [1, 1, 1]
    assert {trust.SNAPSHOT, trust.TIMESTAMP} < set(grown)


def test_what_is_known_already_is_not_signed_again(ground: Ground) -> None:
    """The same release once more changes nothing at all."""
    before = sites.stamps(ground.mirror)

    ground.publish("1.0", package="package-7")

    assert sites.stamps(ground.mirror) == before


def test_a_missing_online_key_is_named_before_anything_is_written(ground: Ground) -> None:
    """The publish fails as a whole, and says which key has to come back."""
    before = sites.stamps(ground.mirror)
    (ground.site.paths.keys / "snapshot.pem").rename(ground.folder / "away.pem")

    with pytest.raises(KeysError, match="snapshot needs 1 of the keys"):
        ground.publish("9.0")

    assert sites.stamps(ground.mirror) == before
    (ground.folder / "away.pem").rename(ground.site.paths.keys / "snapshot.pem")
    ground.publish("9.0")
    ground.look()


def test_offline_keys_are_not_needed_to_publish(ground: Ground) -> None:
    """Root's and targets' may be anywhere else."""
    for role in (trust.ROOT, trust.TARGETS):
        (ground.site.paths.keys / f"{role}.pem").unlink()

    ground.publish("9.0")
    ground.pass_time(80 * DAY)

    ground.look()


@pytest.mark.parametrize("hours", [24, 48])
def test_signatures_are_renewed_before_two_thirds_of_their_time(hours: int, ground: Ground) -> None:
    """Looked after daily or every other day, nothing signed here ever has less than a third of its time left."""
    least: dict[str, float] = {}
    for _ in range(70 * 24 // hours):
        ground.clock.now += hours * 3600
        with ground.opened() as builder:
            online = [each for each in expiry.expiries(builder.signing) if each.by == "otamirror"]
            least.update({each.role: min(each.left, least.get(each.role, 1)) for each in online})
            builder.resign()

    assert len(least) == 256 + 3
    assert min(least.values()) > 1 / 3


def test_nothing_is_signed_before_it_is_time(ground: Ground) -> None:
    """After half of fourteen days timestamp and snapshot are signed anew, after half of ninety the bins."""
    assert ground.pass_time(7 * DAY) == 0
    assert ground.pass_time(1) == 2
    written = [ground.pass_time(8 * DAY) for _ in range(5)]
    assert written == [2, 2, 2, 2, 256 + 1 + 2]


def test_a_mirror_that_nobody_looks_after_expires(ground: Ground) -> None:
    """The timestamp's expiry is the end, by design, and a signature of the builder ends that."""
    ground.clock.now += 15 * DAY
    with pytest.raises(clients.EXPIRED):
        clients.verify(ground.mirror, ground.folder / "late", at=ground.clock())

    ground.come_back(0)

    assert clients.verify(ground.mirror, ground.folder / "late", at=ground.clock())


def test_those_who_alone_can_sign_are_told_in_time(ground: Ground) -> None:
    """There is an alarm for root, targets and a publisher's role at a third of their time; it says who has to act."""
    publisher = ground.new_key()
    ground.change(claim("mine", publisher), uris=[str(publisher)])
    seen: dict[str, str] = {}
    for _ in range(30):
        ground.pass_time(10 * DAY)
        with ground.opened() as builder:
            for each in expiry.expiries(builder.signing):
                if each.is_alarming:
                    seen.setdefault(each.role, f"{(ground.clock() - 1_800_000_000) / DAY:.0f} {each.by}")

    assert seen == {
        "pkg-mine": "130 publisher of mine: `otamirror push --renew`",
        "root": "250 holders of root keys: `otamirror keys renew root`",
        "targets": "250 holders of targets keys: `otamirror keys renew targets`",
    }


def test_renewing_takes_the_alarm_away(ground: Ground) -> None:
    """With new signatures of root and targets there is another year."""
    ground.pass_time(9 * DAY)
    ground.come_back(291 * DAY)
    for role in (trust.ROOT, trust.TARGETS):
        ground.change(renew(role))

    with ground.opened() as builder:
        assert expiry.alarms(builder.signing) == []
    ground.look()


def test_polls_are_braked_by_the_next_signature(ground: Ground) -> None:
    """A new `poll_seconds` is signed at once when the site is looked after, and not again."""
    ground.settings(poll_seconds=7200)

    assert ground.pass_time(1) == 2
    assert ground.pass_time(1) == 0

    signed = json.loads((ground.mirror / layout.TIMESTAMP).read_bytes())["signed"]
    assert (signed[trust.POLL], signed[trust.ISSUED]) == (7200, "2027-01-15T08:00:01Z")


def test_another_number_of_bins_is_one_command(ground: Ground) -> None:
    """Every list is found by clients that come back and by new ones, there and back again, and names stay for ever."""
    ground.look()
    for bins in (16, 1024, 256):
        ground.settings(bins=bins)
        with ground.opened() as builder:
            assert builder.rebin()
            assert not builder.rebin()
        assert len(ground.look()) == 100
        ground.publish(f"2.{bins}", package="package-1")
        assert len(ground.look()) == 100

    snapshot = json.loads((ground.mirror / layout.metadata(trust.SNAPSHOT, ground.versions()["snapshot"])).read_bytes())
    names = [name for name in snapshot["signed"]["meta"] if name.startswith("bin")]
    assert len(names) == 256 + 16 + 1024


def test_everything_signed_anew_is_what_it_was(ground: Ground) -> None:
    """`resign --all` changes versions and nothing else."""
    before = ground.look()

    with ground.opened() as builder:
        assert builder.resign(everything=True) == 256 + 1 + 2

    assert ground.look() == before


def test_a_service_tells_of_it_once_a_day(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    """`up` looks every minute; the log has one line a day for each role that people have to renew."""
    ground.come_back(300 * DAY)
    caplog.clear()
    with ground.opened() as builder:
        for _ in range(3 * 24):
            builder.resign()
            ground.clock.now += 3600

    lines = [record.message for record in caplog.records if "expires" in record.message]
    assert len(lines) == 3 * 2
    assert (
        lines[0]
        == "root expires 2028-01-15T08:00:00Z; to renew it is up to: holders of root keys: `otamirror keys renew root`"
    )
