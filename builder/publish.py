"""Publishing: what was committed reaches the mirror, in an order that every power cut leaves sound.

Blobs come first, then the catalogue's commit with the outbox in it, then immutable files, then pointers. The outbox
stays until the next publish replaces it; whoever finds one that it did not publish itself publishes it again,
which writes only what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.stores import Written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.catalogue import Catalogue
    from builder.pages import Pages
    from builder.stores import Store
    from mirror.blobs import Blob


class Publisher:
    """Publishes the outbox of one catalogue to one store; the caller holds the site's lock."""

    def __init__(self, catalogue: Catalogue, store: Store) -> None:
        self.catalogue = catalogue
        self.store = store
        self._published = -1
        self._failed = False

    @property
    def is_current(self) -> bool:
        """Whether everything that was committed is on the mirror, as far as this process knows."""
        return self.catalogue.publish_number() == self._published

    def finish(self, *, repair: bool = False) -> Written:
        """Publish what another process, or this one before an error, committed and may not have published."""
        number = self.catalogue.publish_number()
        if number == self._published:
            return Written()
        written = self.store.publish(self.catalogue.outbox(), repair=repair, rewrite=self._failed)
        self.store.sync()  # what was there already may be in memory only
        self._published, self._failed = number, False
        return written

    def prepare(self, blobs: Sequence[Blob], pages: Pages) -> Written:
        """Put blobs on the mirror and pages into the outbox, inside the transaction that accepts their releases."""
        written = self.store.add_blobs(blobs)
        if pages:
            self.catalogue.set_outbox(pages)
        return written

    def publish(self, pages: Pages, *, repair: bool = False) -> Written:
        """Publish what `prepare` put into the outbox, after the commit; durable and visible on return."""
        # until it succeeds; a failed sync is told once only, so that all has to be written again
        self._failed = True
        written = self.store.publish(pages, repair=repair)
        self._published, self._failed = self.catalogue.publish_number(), False
        return written

    def publish_pages(self, make: Callable[[], Pages | None], *, repair: bool = False) -> Written:
        """Publish what `make` makes in a transaction, if it makes anything."""
        with self.catalogue.transaction():
            if pages := make():
                self.prepare([], pages)
        return self.publish(pages, repair=repair) if pages else Written()
