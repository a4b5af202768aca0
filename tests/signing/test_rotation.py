"""Keys that change: every role's, through caches that lag by their full age, and by people on several machines."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata

from builder.errors import KeysError
from builder.signing import ceremony, establish, keys
from builder.signing import change as changes
from builder.signing.apply import SLACK_SECONDS
from builder.site import Cache as Ages
from mirror import layout, trust
from mirror.files import Files
from tests.signing.ground import AGE, DAY, Ground, claim, renew, rotate, unclaim
from tests.support import clients

if TYPE_CHECKING:
    from pathlib import Path

    from builder.build import Builder
    from builder.signing.propose import Draft
    from tests.signing.ground import Draw

STEP = 10
ROLES = (*trust.TOP, trust.UNCLAIMED)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A site with a release of a package."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    return ground


class Cache:
    """A cache that keeps the timestamp for its full age, with a client behind it that comes back."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._history: list[tuple[float, bytes]] = []
        self.note()

    def note(self) -> None:
        """See what the mirror has now."""
        data = (self._ground.mirror / layout.TIMESTAMP).read_bytes()
        if not self._history or self._history[-1][1] != data:
            self._history.append((self._ground.clock(), data))

    def held(self) -> list[bytes]:
        """Return every timestamp that some cache may still hand out, the oldest first."""
        oldest = self._ground.clock() - AGE
        replaced = [since for since, _ in self._history[1:]] + [float("inf")]
        return [data for (_, data), until in zip(self._history, replaced, strict=True) if until >= oldest]

    def check(self, number: int) -> None:
        """Have a client that lags by the full age come back, and new ones meet every state of the caches."""
        held = self.held()
        now = self._ground.clock()
        lagging = self._ground.folder / "lagging"
        assert clients.verify(self._ground.mirror, lagging, at=now, cached={layout.TIMESTAMP: held[0]})
        for each, data in enumerate(held):
            fresh = self._ground.folder / f"behind-{number}-{each}"
            assert clients.verify(self._ground.mirror, fresh, at=now, cached={layout.TIMESTAMP: data})


@pytest.mark.parametrize("role", ROLES)
def test_no_client_behind_a_cache_notices_a_rotation(role: str, ground: Ground) -> None:
    """Whatever a cache hands out within its age verifies at every moment of a rotation, and publishing goes on."""
    cache = Cache(ground)

    ground.change(rotate(role))
    for number in range(4 * AGE // STEP):
        cache.note()
        cache.check(number)
        ground.look()
        if number % 5 == 2:
            ground.publish(f"2.{number}")
            cache.note()
        ground.pass_time(STEP)

    with ground.opened() as builder:
        newest = builder.signing.roles.newest_roots()[0]
    assert newest.published is not None
    assert newest.settled


@pytest.mark.parametrize("role", [trust.TIMESTAMP, trust.SNAPSHOT])
def test_the_old_signature_ends(role: str, ground: Ground) -> None:
    """A cache age after the new root, nothing is signed by the old key any more."""
    old = ground.draft(renew(trust.ROOT)).before.signed.roles[role].keyids

    ground.change(rotate(role))
    signed = [_signers(ground, role)]
    for _ in range(2):
        ground.pass_time(AGE + SLACK_SECONDS)
        signed.append(_signers(ground, role))

    assert [set(old) <= each for each in signed] == [True, True, False]
    assert [len(each) for each in signed] == [2, 2, 1]


def test_without_waiting_for_caches_a_client_would_notice(ground: Ground) -> None:
    """What `--at-once` costs is what the waiting is for: behind a cache, the old timestamp is refused."""
    cached = {layout.TIMESTAMP: (ground.mirror / layout.TIMESTAMP).read_bytes()}

    ground.change(rotate(trust.TIMESTAMP), at_once=True)

    with pytest.raises(UnsignedMetadataError):
        clients.verify(ground.mirror, ground.folder / "behind", at=ground.clock(), cached=cached)
    ground.look()


@pytest.mark.parametrize("role", [trust.TARGETS, trust.SNAPSHOT, trust.TIMESTAMP])
def test_a_lost_key_is_replaced_at_once(role: str, ground: Ground) -> None:
    """With the root's keys alone, a role whose key is gone signs again."""
    for file in ground.site.paths.keys.glob(f"{role}*"):
        file.unlink()

    ground.change(rotate(role), at_once=True)
    ground.publish("1.1")

    ground.look()


def test_a_stolen_targets_key_is_worth_nothing_after_its_rotation(ground: Ground) -> None:
    """Devices pinned to the new root do not take targets that only the old key signed."""
    old = (ground.mirror / layout.metadata(trust.TARGETS, 1)).read_bytes()
    ground.change(rotate(trust.TARGETS))
    ground.settle()
    root = (ground.mirror / layout.metadata(trust.ROOT, 2)).read_bytes()

    cached = {layout.metadata(trust.TARGETS, 2): old}

    with pytest.raises(RepositoryError):
        clients.verify(ground.mirror, ground.folder / "victim", root, at=ground.clock(), cached=cached)


def test_a_rotation_waits_for_the_greatest_age_since_it_began(ground: Ground) -> None:
    """Settings that are changed on the way shorten no wait: a cache may have kept things by those of before."""
    ground.change(rotate(trust.TIMESTAMP))
    ground.site = dataclasses.replace(ground.site, cache=Ages(longest_age=10 * AGE))
    ground.pass_time(AGE + SLACK_SECONDS)
    assert ground.versions()[trust.ROOT] == 1
    ground.site = dataclasses.replace(ground.site, cache=Ages(longest_age=AGE))

    seen = []
    for _ in range(20):
        ground.pass_time(AGE + SLACK_SECONDS)
        seen.append((ground.versions()[trust.ROOT], len(_signers(ground, trust.TIMESTAMP))))

    assert seen == [(1, 2)] * 7 + [(2, 2)] * 9 + [(2, 1)] * 4


def test_one_change_at_a_time(ground: Ground) -> None:
    """While a root waits for caches there is no second one, and the message says until when."""
    ground.change(rotate(trust.SNAPSHOT))

    with pytest.raises(KeysError, match="waits until no cache has older metadata"):
        ground.draft(rotate(trust.TIMESTAMP))

    ground.settle()
    ground.change(rotate(trust.TIMESTAMP))
    ground.look()


def test_any_root_leads_to_the_newest(ground: Ground) -> None:
    """A device that was off since any root walks to the newest one, whatever was pruned meanwhile."""
    for role in (trust.ROOT, trust.TIMESTAMP, trust.TARGETS):
        ground.change(rotate(role))
        ground.settle()
    ground.come_back(400 * DAY)
    for role in (trust.ROOT, trust.TARGETS):
        ground.change(renew(role))
    with ground.opened() as builder:
        builder.resign()
        builder.prune(0)

    roots = [path.read_bytes() for path in sorted(ground.mirror.glob("metadata/*.root.json"))]
    assert len(roots) == 5
    for root in roots:
        assert ground.look(root)


def test_people_on_several_machines_sign_through_files(tmp_path: Path) -> None:
    """Two of three root keys have to sign; each signs a copy of the file, without the site and without each other."""
    ground = Ground(tmp_path)
    ground.publish("1.0")
    people = [ground.new_key(name) for name in ("alice", "bob", "carol")]
    public = [keys.read_public(file.with_suffix(keys.PUBLIC)) for file in people]

    def draw(draft: Draft, _: Builder) -> None:
        draft.replace_keys(trust.ROOT, public)
        draft.set_threshold(trust.ROOT, 2)

    change = ground.draft(draw)
    copies = [tmp_path / name for name in ("a.json", "b.json")]
    for copy, private in zip(copies, people, strict=False):
        copy.write_bytes(change.encode())
        copied = ceremony.read(copy)
        assert ceremony.sign_with(copied, [str(private)], lambda name: name) == [trust.ROOT]
        Files().replace(copy, copied.encode())

    with ground.opened() as builder, pytest.raises(KeysError, match="root needs 1 more of"):
        builder.change(ceremony.read(copies[0]))
    with ground.opened() as builder:
        builder.change(ceremony.read(copies[0], copies[1:]))

    ground.look()
    with pytest.raises(KeysError, match="root needs 2 more"), ground.opened() as builder:
        builder.change(ground.draft(rotate(trust.ROOT)))


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (rotate(trust.ROOT), renew(trust.ROOT), "root or targets have changed"),
        (renew(trust.TARGETS), renew(trust.TARGETS), "root or targets have changed"),
    ],
)
def test_a_change_that_was_overtaken_is_refused(first: Draw, second: Draw, reason: str, ground: Ground) -> None:
    """What was made before another change is made again, and changes nothing meanwhile."""
    late = ground.draft(second)
    ground.change(first)
    before = ground.versions()

    with pytest.raises(KeysError, match=reason), ground.opened() as builder:
        builder.change(late)

    assert ground.versions() == before


def test_a_release_in_between_makes_a_claim_stale(ground: Ground) -> None:
    """A publisher's first role names every list as it is; one that changed meanwhile has to be signed anew."""
    publisher = ground.new_key()
    late = ground.draft(claim("app", publisher), uris=[str(publisher)])
    ground.publish("1.1")

    with pytest.raises(KeysError, match="app was published on main since"), ground.opened() as builder:
        builder.change(late)

    ground.look()


def test_a_file_cannot_say_whose_signatures_count(ground: Ground) -> None:
    """Who writes a stranger's key into the targets that a change starts from gets no package with it."""
    publisher, stranger = ground.new_key(), ground.new_key("stranger")
    ground.change(claim("mine", publisher), uris=[str(publisher)])
    forged = ground.draft(claim("mine", stranger), uris=[str(stranger)])
    assert forged.targets is not None
    alone = changes.Change(forged.notes, forged.before, forged.targets, packages=forged.packages)
    assert alone.missing() == []

    with pytest.raises(KeysError, match="root or targets have changed"), ground.opened() as builder:
        builder.change(alone)

    ground.look()


def test_a_key_that_nobody_asked_signs_nothing(ground: Ground) -> None:
    """Who signs with a wrong key is told which ones are wanted."""
    change = ground.draft(renew(trust.ROOT))

    with pytest.raises(KeysError, match="is none of those that have to sign this change: root by"):
        ceremony.sign_with(change, [str(ground.new_key("stranger"))], lambda name: name)


def test_copies_of_different_changes_do_not_mix(ground: Ground) -> None:
    """Signatures are only taken over from copies of the same change."""
    one, other = (ground.draft(renew(role)) for role in establish.OFFLINE)

    with pytest.raises(KeysError, match="not copies of the same change"):
        one.merge(other)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"otamirror-change":1}', b"\xff", b'{"otamirror-change":2}'])
def test_what_is_no_change_is_refused(raw: bytes) -> None:
    """A file of something else, or of a newer otamirror, is told from a change."""
    with pytest.raises(KeysError, match=r"not the file of a change|newer release"):
        changes.decode(raw)


def test_a_threshold_is_never_beyond_the_keys(ground: Ground) -> None:
    """Nobody can lock themselves out: keys first, then the threshold, and back in the other order."""
    with pytest.raises(KeysError, match="which is less than 2; add keys first"):
        ground.draft(lambda draft, _: draft.set_threshold(trust.ROOT, 2))
    with pytest.raises(KeysError, match="would have fewer keys than its threshold"):
        ground.draft(lambda draft, _: draft.remove_key(trust.ROOT, ""))
    with pytest.raises(KeysError, match="nothing would change"):
        ground.draft(lambda draft, _: draft.set_threshold(trust.ROOT, 1))
    with pytest.raises(KeysError, match="1 keys cannot give 2 signatures"):
        ground.draft(claim("app", ground.new_key(), threshold=2))
    with pytest.raises(KeysError, match="app is not claimed"):
        ground.draft(unclaim("app"))


def _signers(ground: Ground, role: str) -> set[str]:
    """Tell who signed the newest version of a role."""
    path = layout.TIMESTAMP if role == trust.TIMESTAMP else layout.metadata(role, ground.versions()[role])
    client: Metadata[Any] = Metadata.from_bytes((ground.mirror / path).read_bytes())
    return set(client.signatures)
