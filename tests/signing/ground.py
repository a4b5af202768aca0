"""A site whose keys change hands: publishing, changing who may sign, and time that passes, a call each.

ground = Ground(tmp_path)
ground.publish("1.0")
ground.change(lambda draft, _: draft.renew("root"))
ground.look()           # a client that comes back and a new one verify all there is
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shutil
from typing import TYPE_CHECKING, Any

from builder import build, check
from builder.signing import ceremony, keys
from builder.signing.apply import SLACK_SECONDS
from builder.signing.propose import Draft
from builder.site import load
from mirror import trust
from mirror.files import Files
from tests.support import clients, sites

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from builder.build import Builder
    from builder.signing.change import Change
    from mirror.files import Calls

    Draw = Callable[[Draft, Builder], object]

AGE = 60
CACHE = f"[cache]\nlongest_age = {AGE}\n"
DAY = 86_400


class Ground:
    """A site in a folder, its time, and a client that comes back."""

    def __init__(self, folder: Path, *, is_new: bool = True, **settings: Any) -> None:
        self.folder = folder
        self.site = sites.make(folder / "site", CACHE, signed=False) if is_new else load(folder / "site" / "site.toml")
        self.settings(**settings)
        self.clock = sites.Clock(1_800_000_000.0)
        self.mirror = self.site.paths.mirror
        self._fresh = itertools.count()

    def settings(self, **changed: Any) -> None:
        """Change what `[trust]` says."""
        self.site = dataclasses.replace(self.site, trust=dataclasses.replace(self.site.trust, **changed))

    @contextlib.contextmanager
    def opened(self, calls: Calls | None = None) -> Iterator[Builder]:
        """Open the site at its time."""
        with build.opened(self.site, Files(calls), clock=self.clock, recovers=True) as builder:
            yield builder

    def publish(self, *versions: str, package: str = "app") -> None:
        """Publish releases of a package together."""
        made = [sites.package(version, package) for version in versions]
        with self.opened() as builder:
            done = builder.publish([sites.release(each, self.site.paths.spool / "made") for each in made])
        assert [verdict.error for verdict in done.verdicts] == [None] * len(versions)

    def draft(self, draw: Draw, *, at_once: bool = False, uris: Sequence[str] = ()) -> Change:
        """Make a change, signed with the keys that the site has, and with others."""
        with self.opened() as builder:
            builder.finish()
            draft = Draft(builder.signing)
            draw(draft, builder)
            change = draft.change(at_once=at_once)
            ceremony.sign_with(change, uris, builder.signing.keyring.secrets)
            ceremony.sign_here(change, builder.signing.keyring)
        return change

    def change(
        self, draw: Draw, *, at_once: bool = False, uris: Sequence[str] = (), calls: Calls | None = None
    ) -> None:
        """Make a change and publish it."""
        change = self.draft(draw, at_once=at_once, uris=uris)
        with self.opened(calls) as builder:
            builder.change(change)

    def pass_time(self, seconds: float) -> int:
        """Let time pass, and do what is due then; on the way every four days, as cron would."""
        written = 0
        while seconds > 8 * DAY:
            written += self.pass_time(4 * DAY)
            seconds -= 4 * DAY
        self.clock.now += seconds
        with self.opened() as builder:
            return written + builder.resign()

    def come_back(self, seconds: float) -> int:
        """Let time pass in which nobody signs, and say that the clock is right."""
        self.clock.now += seconds
        with self.opened() as builder:
            return builder.resign(clock_is_right=True)

    def settle(self) -> None:
        """Let a change of keys come to its end."""
        for _ in range(2):
            self.pass_time(AGE + SLACK_SECONDS)

    def new_key(self, name: str = "publisher") -> Path:
        """Make a key that is not the site's; returns the private file."""
        file = self.folder / f"{name}{keys.PRIVATE}"
        keys.save(keys.generate(), file, Files())
        return file

    def look(self, root: bytes | None = None) -> dict[str, bytes]:
        """Verify everything as a client that comes back and as a new one, and check the mirror; returns the lists.

        Args:
            root: what the new one is pinned to, instead of the first root.
        """
        with self.opened() as builder:
            faults = list(check.check(self.mirror, builder.catalogue))
        assert faults == [], faults
        clients.verify(self.mirror, self.folder / "returning", at=self.clock())
        return clients.verify(self.mirror, self.folder / f"fresh-{next(self._fresh)}", root, at=self.clock())

    def backup(self) -> Path:
        """Copy the catalogue."""
        copy = self.folder / "backup.sqlite"
        shutil.copy(self.site.paths.catalogue, copy)
        return copy

    def restore(self, backup: Path) -> None:
        """Put a copy of the catalogue back."""
        for file in self.site.paths.var.glob("catalogue.sqlite*"):
            file.unlink()
        shutil.copy(backup, self.site.paths.catalogue)

    def versions(self) -> dict[str, int]:
        """Tell at which version each role is."""
        with self.opened() as builder:
            roles = {role.name: role.version for role in builder.signing.roles.all()}
            return roles | {trust.ROOT: max(root.version for root in builder.signing.roles.roots() if root.published)}


def rotate(role: str) -> Draw:
    """Draw a change that gives a role new keys, made at the site."""

    def draw(draft: Draft, builder: Builder) -> None:
        made = ceremony.new_keys(builder.signing.keyring, role, draft.threshold(role), Files())
        draft.replace_keys(role, made)

    return draw


def renew(role: str) -> Draw:
    """Draw a change by which a role holds for longer, as it is."""
    return lambda draft, _: draft.renew(role)


def unclaim(package: str) -> Draw:
    """Draw a change that gives a package back to the mirror."""
    return lambda draft, _: draft.unclaim(package)


def claim(package: str, *publishers: Path, threshold: int = 1) -> Draw:
    """Draw a change by which publishers claim a package, as `keys claim` does."""

    def draw(draft: Draft, builder: Builder) -> None:
        public = [keys.read_public(file.with_suffix(keys.PUBLIC)) for file in publishers]
        draft.claim(package, public, threshold)
        if draft.was_unclaimed(package):
            rotate(trust.TARGETS)(draft, builder)

    return draw
