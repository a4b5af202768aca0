"""The way of a package through the builder, as one page.

    inbox -> Submission -> verify -> Release -> catalogue -> render -> Pages -> sign -> Pages -> publish -> Publication

One process at a time takes from the inbox, and one at a time publishes; releases that come together are published
together. A publisher's mistake ends the way of that package alone; an operator's trouble (a full disk) ends the
pass, loses nothing, and the next pass goes on where it was.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, cast

from builder import claims, folder_package, people, prune, render, site_folders, spool, upkeep
from builder.catalogue import Catalogue
from builder.errors import LostCatalogueError
from builder.intake.drops import Find, Pass
from builder.intake.inbox import Drop, Inbox
from builder.intake.predecessor import Predecessor
from builder.lock import Lock
from builder.pages import Pages
from builder.progress import silent
from builder.publish import Publisher
from builder.shelf import Shelves
from builder.signing import access, expiry
from builder.stores.folder import FolderStore
from builder.submission import Publication, Release, Verdict
from builder.verify import verify
from mirror import trust
from mirror.errors import PublisherError
from mirror.files import Files
from mirror.releases import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from builder.pages import Page
    from builder.progress import Progress
    from builder.signing.change import Change
    from builder.signing.keys import Keyring
    from builder.site import Site
    from builder.spool import Spool
    from builder.stores import Store, Written
    from builder.submission import Statement

logger = logging.getLogger(__name__)

_DAY = 86_400


class Builder:
    """A site open for publishing."""

    def __init__(
        self,
        site: Site,
        catalogue: Catalogue,
        spool: Spool,
        keyring: Keyring,
        files: Files,
        clock: Callable[[], float],
        progress: Progress,
    ) -> None:
        self.site = site
        self.catalogue = catalogue
        paths = site.paths
        self.store: Store = FolderStore(paths.mirror, spool, files, clock)
        self._inbox = Inbox(
            paths.inbox, paths.claimed, paths.rejected, files, settle_seconds=site.inbox.settle_seconds, clock=clock
        )
        self._predecessor = Predecessor(paths, files)
        self._files = files
        self._clock = clock
        self._progress = progress
        self.signing = access.signing(site, catalogue.connection, keyring, clock)
        self._spool = spool
        self._publisher = Publisher(catalogue, self.store)
        self._next_alarm = 0.0

    def take_inbox(self) -> Pass:
        """Publish everything complete in the inbox, move away what is refused, leave the rest."""
        with spool.lock(self.site.paths.spool, "inbox", self._files).held(_tell_waiting):
            self.finish()
            self._predecessor.take_over()
            verdicts = self._take(self._inbox.resume())
            finds = self._inbox.scan()
            waiting = [find for find in finds if find.waiting]
            for group in upkeep.groups((find for find in finds if not find.waiting), self.site.publish.group):
                claimed = [self._inbox.claim(find) for find in group]
                verdicts += self._take([drop for drop in claimed if isinstance(drop, Drop)])
                waiting += [find for find in claimed if isinstance(find, Find)]
        return Pass(tuple(verdicts), tuple(waiting), self._inbox.is_watching)

    def publish(self, items: Sequence[Release | Statement]) -> Publication:
        """Publish releases and statements together; those accepted are durable and visible on return."""
        with self._writing():
            with self.catalogue.transaction():
                shelves = Shelves(self.catalogue.connection)
                judged = [(item, *self._accept(shelves, item)) for item in items]
                new = [item.content for item, verdict, _ in judged if isinstance(item, Release) and verdict.is_new]
                pages = Pages.of([*render.changed(shelves, new), *(page for _, _, roles in judged for page in roles)])
                pages = self.signing.sign(pages) if pages else pages
                blobs = [item.blob for item, verdict, _ in judged if isinstance(item, Release) and not verdict.error]
                written = self._publisher.prepare(blobs, pages)
            if pages:
                written += self._publisher.publish(pages)
        for item, verdict, _ in judged:
            _log(item, verdict)
        return Publication(tuple(verdict for _, verdict, _ in judged), written)

    def finish(self) -> None:
        """Publish what was committed before and may not have reached the mirror."""
        with self._writing():
            pass

    def render_all(self) -> int:
        """Render the whole mirror again from catalogue and blobs; returns the number of files that were written.

        Raises:
            MirrorError: a blob is missing or has another size; nothing was written.
        """
        with Lock(self.site.paths.spool).held():
            mirror = self.site.paths.mirror
            upkeep.check_blobs(mirror, self.catalogue)
            written = self._begin(repair=True)
            return written + upkeep.render_all(mirror, self._publisher, self.signing, self._progress)

    def prune(self, keep_days: float, *, dry: bool = False) -> list[str]:
        """Remove what no release and no metadata needs, and what was superseded more than `keep_days` ago."""
        with self._writing():
            self.signing.check_clock()  # one that is ahead would remove what devices still ask for
            wanted = prune.Limits(self._clock(), keep_days * _DAY, self.signing.longest_age())
            return prune.prune(self.site.paths.mirror, self.catalogue, self._files, wanted, dry=dry)

    def recover(self, *, clock_is_right: bool = False) -> int:
        """Fill an empty catalogue from the mirror's folder; returns the number of releases."""
        with Lock(self.site.paths.spool).held(), self.signing.vouched(clock_is_right):
            mirror = self.site.paths.mirror
            return upkeep.recover(mirror, self._publisher, self.signing, self._files, self._progress)

    def resign(self, *, everything: bool = False, clock_is_right: bool = False) -> int:
        """Sign anew what expires, and go on with a change of keys; returns the number of files that were written.

        Where a person says that the clock is right, one signature is made by it whatever was signed before.
        What should have been signed anew by now, and was not, is told once a day.
        """
        with self.signing.vouched(clock_is_right), self._writing():
            written = upkeep.resign(self._publisher, self.signing, everything=everything)
        if self._clock() >= self._next_alarm and (late := expiry.alarms(self.signing)):
            self._next_alarm = self._clock() + _DAY
            for each in late:
                logger.warning("%s", each)
        return written

    def change(self, wanted: Change) -> None:
        """Publish a change of who may sign."""
        with self._writing():
            upkeep.change(self._publisher, self.signing, wanted)

    def rebin(self) -> bool:
        """Have as many bins as the settings say; tells whether there were others."""
        with self._writing():
            return upkeep.rebin(self._publisher, self.signing)

    def refresh_pages(self, *, everything: bool = False) -> Written:
        """Bring the pages for people up to date: those of changed packages, or all."""
        look = people.People(self.site.name, self.site.url)
        # a lock of its own: nobody's upload waits for pages
        with spool.lock(self.site.paths.spool, "pages", self._files).held():
            return people.refresh(self.catalogue, self.store, look, everything=everything)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only process that publishes to this site, once what was committed before is published."""
        with Lock(self.site.paths.spool).held():
            self._begin()
            yield

    def _begin(self, *, repair: bool = False) -> int:
        """Finish what was committed before; refuse to go on from nothing when the mirror holds releases."""
        if self.catalogue.is_empty() and upkeep.holds_releases(self.site.paths.mirror):
            raise LostCatalogueError(self.site.paths.catalogue, "empty")
        return upkeep.begin(self.site.paths.mirror, self._publisher, self.signing, self._files, repair=repair)

    def _take(self, drops: Sequence[Drop]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        received: list[tuple[Drop, Release]] = []
        try:
            for drop in drops:
                try:
                    received.append((drop, self._receive(drop)))
                except PublisherError as error:
                    verdicts.append(self._reject(drop, error))
                if sum(release.blob.size for _, release in received) >= self.site.publish.group_bytes:
                    verdicts += self._publish_drops(received)
            return verdicts + self._publish_drops(received)
        finally:
            # whatever ended the pass, a full disk above all: what is still in the spool will be copied again
            self._discard(received)

    def _publish_drops(self, received: list[tuple[Drop, Release]]) -> list[Verdict]:
        """Publish what was received, and take it out of the list."""
        if not received:
            return []
        verdicts = []
        publication = self.publish([release for _, release in received])
        for (drop, _), verdict in zip(received, publication.verdicts, strict=True):
            verdicts.append(self._reject(drop, verdict.error) if verdict.error else verdict)
            if not verdict.error:
                self._inbox.remove(drop)
        self._discard(received)
        received.clear()
        return verdicts

    def _discard(self, received: Sequence[tuple[Drop, Release]]) -> None:
        for _, release in received:
            self._spool.discard(release.blob.path)

    def _receive(self, drop: Drop) -> Release:
        submission = self._inbox.receive(drop, self._spool, self.site.limits.package_bytes, self._progress)
        try:
            return folder_package.judged(verify(submission))
        except PublisherError:
            self._spool.discard(submission.blob.path)
            raise

    def _reject(self, drop: Drop, error: PublisherError) -> Verdict:
        target = self._inbox.reject(drop, error)
        logger.warning("refused %s: %s (moved to %s)", drop.title, "; ".join(str(error).splitlines()), target)
        return Verdict(drop.title, error=error)

    def _accept(self, shelves: Shelves, item: Release | Statement) -> tuple[Verdict, list[Page]]:
        """Judge one item in the transaction; returns its publisher's role too, where a publisher signs."""
        statement = item.statement if isinstance(item, Release) else item
        try:
            if statement is None:
                return self._accept_unsigned(shelves, cast("Release", item)), []
            release = item if isinstance(item, Release) else None
            pages = claims.accept(shelves, self.signing.roles, statement, release, self.signing.check_clock())
            return Verdict(item.title, is_new=bool(pages)), pages
        except PublisherError as error:
            return Verdict(item.title, error=error), []

    def _accept_unsigned(self, shelves: Shelves, release: Release) -> Verdict:
        content, blob = release.content, release.blob
        claims.refuse_unsigned(self.signing.roles, content.package)
        published = trust.time(self.signing.now())
        entry = Entry(content.version, content.digest, blob.sha256, blob.size, published, content.dependencies)
        return Verdict(release.title, is_new=shelves.add(content, entry))


@contextlib.contextmanager
def opened(
    site: Site,
    files: Files | None = None,
    clock: Callable[[], float] = time.time,
    progress: Progress = silent,
    ring: Keyring | None = None,
    *,
    recovers: bool = False,
) -> Iterator[Builder]:
    """Open a site for publishing, making its folders if need be.

    Args:
        site: its settings.
        files: what writes.
        clock: seconds since 1970.
        progress: where a person waits.
        ring: other keys than the site's own.
        recovers: whether it is opened to make a lost catalogue anew.

    Raises:
        LostCatalogueError: there is none, and the mirror holds releases; none is made.
    """
    files = files or Files()
    paths = site.paths
    if not recovers and not paths.catalogue.exists() and upkeep.holds_releases(paths.mirror):
        raise LostCatalogueError(paths.catalogue, "gone")
    site_folders.make(paths, files)
    with spool.session(paths.spool, paths.mirror, files) as own, Catalogue.open(paths.catalogue) as catalogue:
        yield Builder(site, catalogue, own, ring or access.keyring(site), files, clock, progress)


def _log(item: Release | Statement, verdict: Verdict) -> None:
    if isinstance(item, Release):
        for warning in item.warnings:
            logger.warning("%s: %s", verdict.title, warning)
    if verdict.is_new and isinstance(item, Release):
        logger.info("published %s, %d bytes, sha256 %s", verdict.title, item.blob.size, item.blob.sha256)
    elif verdict.is_new:
        logger.info("published what its publisher says of %s", verdict.title)
    elif not verdict.error:
        logger.info("%s was published before, with the same bytes; nothing to do", verdict.title)


def _tell_waiting() -> None:
    logger.info("waiting for another otamirror that is at work on the inbox")
