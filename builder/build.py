"""The way of a package through the builder, as one page.

    inbox -> Submission -> verify -> Release -> catalogue -> render -> Pages -> publish -> Publication

One process at a time takes from the inbox, and one at a time publishes; releases that come together are published
together. A publisher's mistake ends the way of that package alone; an operator's trouble (a full disk) ends the
pass, loses nothing, and the next pass goes on where it was.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from builder import people, prune, recover, render, spool
from builder.catalogue import Catalogue
from builder.errors import CatalogueError, MirrorError
from builder.intake.drops import Find, Pass
from builder.intake.inbox import Drop, Inbox
from builder.lock import Lock
from builder.pages import Pages
from builder.progress import silent
from builder.publish import Publisher
from builder.shelf import Shelves
from builder.stores.folder import FolderStore
from builder.submission import Publication, Verdict
from builder.verify import verify
from mirror import layout
from mirror.errors import PublisherError
from mirror.files import Files
from mirror.releases import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from builder.progress import Progress
    from builder.site import Site
    from builder.spool import Spool
    from builder.stores import Store, Written
    from builder.submission import Release

logger = logging.getLogger(__name__)
_Item = TypeVar("_Item")

_DAY = 86_400
_RENDER_GROUP = 2000
"""Pages of a full render that share their syncs; they are in memory together."""


class Builder:
    """A site open for publishing."""

    def __init__(
        self,
        site: Site,
        catalogue: Catalogue,
        spool: Spool,
        files: Files,
        clock: Callable[[], float],
        progress: Progress,
    ) -> None:
        self.site = site
        self.catalogue = catalogue
        self.store: Store = FolderStore(site.paths.mirror, spool, files, clock)
        self._inbox = Inbox(
            site.paths.inbox, site.paths.rejected, files, settle_seconds=site.inbox.settle_seconds, clock=clock
        )
        self._spool = spool
        self._files = files
        self._clock = clock
        self._progress = progress
        self._publisher = Publisher(catalogue, self.store)

    def take_inbox(self) -> Pass:
        """Publish everything complete in the inbox, move away what is refused, leave the rest."""
        with Lock(self.site.paths.var).held(_tell_waiting):
            self.finish()
            verdicts = self._take(self._inbox.resume())
            finds = self._inbox.scan()
            waiting = [find for find in finds if find.waiting]
            for group in _groups((find for find in finds if not find.waiting), self.site.publish.group):
                claimed = [self._inbox.claim(find) for find in group]
                verdicts += self._take([drop for drop in claimed if isinstance(drop, Drop)])
                waiting += [find for find in claimed if isinstance(find, Find)]
        return Pass(tuple(verdicts), tuple(waiting))

    def publish(self, releases: Sequence[Release]) -> Publication:
        """Publish releases together; those accepted are durable and visible on return."""
        with self._writing():
            self._begin()
            with self.catalogue.transaction():
                shelves = Shelves(self.catalogue.connection)
                verdicts = tuple(self._accept(shelves, release) for release in releases)
                judged = list(zip(releases, verdicts, strict=True))
                new = [release.content for release, verdict in judged if verdict.is_new]
                pages = Pages.of(render.changed(shelves, new))
                blobs = [release.blob for release, verdict in judged if not verdict.error]
                written = self._publisher.prepare(blobs, pages)
            if pages:
                written += self._publisher.publish(pages)
        for release, verdict in judged:
            _log(release, verdict)
        return Publication(verdicts, written)

    def finish(self) -> None:
        """Publish what was committed before and may not have reached the mirror."""
        with self._writing():
            self._begin()

    def render_all(self) -> int:
        """Render the whole mirror again from catalogue and blobs; returns the number of files that were written.

        Raises:
            MirrorError: a blob is missing or has another size; nothing was written.
        """
        with self._writing():
            self._check_blobs()
            written = self._begin(repair=True).files
            with self._progress("rendering", self.catalogue.count()) as advance:
                for group in _groups(render.everything(Shelves(self.catalogue.connection), advance), _RENDER_GROUP):
                    written += self.store.publish(Pages.of(group), repair=True).files
        logger.info("rendered the whole mirror: %d files written", written)
        return written

    def prune(self, keep_days: float) -> list[str]:
        """Remove blobs that no release names, and lists superseded more than `keep_days` ago; returns their paths."""
        before = self._clock() - keep_days * _DAY
        with self._writing():
            self._begin()
            return list(prune.prune(self.site.paths.mirror, self.catalogue, self._files, before))

    def recover(self) -> int:
        """Fill an empty catalogue from the mirror's folder; returns the number of releases."""
        with self._writing():
            return recover.recover(self.site.paths.mirror, self.catalogue, self._progress)

    def refresh_pages(self, *, everything: bool = False) -> Written:
        """Bring the pages for people up to date: those of changed packages, or all."""
        look = people.People(self.site.name, self.site.url)
        # a lock of its own: nobody's upload waits for pages
        with Lock(self.site.paths.mirror).held():
            return people.refresh(self.catalogue, self.store, look, everything=everything)

    def _begin(self, *, repair: bool = False) -> Written:
        """Finish what was committed before; refuse to go on from nothing when the mirror holds releases."""
        if self.catalogue.is_empty() and any(self.site.paths.mirror.glob(layout.RELEASE_LISTS)):
            raise CatalogueError(
                f"{self.site.paths.catalogue} is empty, but the mirror holds releases: the catalogue was lost; "
                "put it back from a backup, or run `otamirror recover`"
            )
        return self._publisher.finish(repair=repair)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only process that publishes to this site."""
        with Lock(self.site.paths.spool).held():
            yield

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
            return verify(submission)
        except PublisherError:
            self._spool.discard(submission.blob.path)
            raise

    def _reject(self, drop: Drop, error: PublisherError) -> Verdict:
        target = self._inbox.reject(drop, error)
        logger.warning("refused %s: %s (moved to %s)", drop.title, "; ".join(str(error).splitlines()), target)
        return Verdict(drop.title, error=error)

    def _accept(self, shelves: Shelves, release: Release) -> Verdict:
        content, blob = release.content, release.blob
        published = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = Entry(content.version, content.digest, blob.sha256, blob.size, published, content.dependencies)
        try:
            return Verdict(release.title, is_new=shelves.add(content, entry))
        except PublisherError as error:
            return Verdict(release.title, error=error)

    def _check_blobs(self) -> None:
        folder = self.site.paths.mirror / layout.BLOBS
        with os.scandir(folder) if folder.is_dir() else contextlib.nullcontext(()) as entries:
            sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
        bad = [sha256 for sha256, size in self.catalogue.blobs() if sizes.get(sha256) != size]
        if bad:
            raise MirrorError(
                f"{len(bad)} blobs are missing or truncated, {bad[0]} is the first: "
                "`otamirror check` names them all; put them back from a backup or drop the packages again"
            )


@contextlib.contextmanager
def opened(
    site: Site, files: Files | None = None, clock: Callable[[], float] = time.time, progress: Progress = silent
) -> Iterator[Builder]:
    """Open a site for publishing, making its folders if need be."""
    files = files or Files()
    paths = site.paths
    for folder in (paths.var, paths.inbox, paths.rejected, paths.mirror, paths.spool, paths.catalogue.parent):
        files.make_folder(folder)
    with spool.session(paths.spool, paths.mirror, files) as own, Catalogue.open(paths.catalogue) as catalogue:
        yield Builder(site, catalogue, own, files, clock, progress)


def _log(release: Release, verdict: Verdict) -> None:
    for warning in release.warnings:
        logger.warning("%s: %s", verdict.title, warning)
    if verdict.is_new:
        logger.info("published %s, %d bytes, sha256 %s", verdict.title, release.blob.size, release.blob.sha256)
    elif not verdict.error:
        logger.info("%s was published before, with the same bytes; nothing to do", verdict.title)


def _tell_waiting() -> None:
    logger.info("waiting for another otamirror that is at work on the inbox")


def _groups(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while group := list(itertools.islice(remaining, size)):
        yield group
