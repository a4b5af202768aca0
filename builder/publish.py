"""Publishing: what was committed reaches the mirror, in an order that every power cut leaves sound.

Blobs come first, then the catalogue's commit with the outbox in it, then immutable files, then pointers. The outbox
stays until the next publish replaces it; whoever finds one that it did not publish itself publishes it again,
which writes only what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.stores import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.catalogue import Catalogue
    from builder.pages import Pages
    from builder.stores import Store
    from mirror.blobs import Blob


class Publisher:
    """Publishes the outbox of one catalogue to one store; the caller holds the site's lock."""

    def __init__(self, catalogue: Catalogue, store: Store) -> None:
        self._catalogue = catalogue
        self._store = store
        self._published = -1
        self._failed = False

    def finish(self, *, repair: bool = False) -> Written:
        """Publish what another process, or this one before an error, committed and may not have published."""
        number = self._catalogue.publish_number()
        if number == self._published:
            return Written()
        written = self._store.publish(self._catalogue.outbox(), repair=repair, rewrite=self._failed)
        self._store.sync()  # what was there already may be in memory only
        self._published, self._failed = number, False
        return written

    def prepare(self, blobs: Sequence[Blob], pages: Pages) -> Written:
        """Put blobs on the mirror and pages into the outbox, inside the transaction that accepts their releases."""
        written = self._store.add_blobs(blobs)
        if pages:
            self._catalogue.set_outbox(pages)
        return written

    def publish(self, pages: Pages) -> Written:
        """Publish what `prepare` put into the outbox, after the commit; durable and visible on return."""
        # until it succeeds; a failed sync is told once only, so that all has to be written again
        self._failed = True
        written = self._store.publish(pages)
        self._published, self._failed = self._catalogue.publish_number(), False
        return written
