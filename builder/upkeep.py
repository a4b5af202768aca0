"""Keeping a mirror in order: rendered again, pruned, rebuilt, signed anew, changed in who may sign.

Whatever is not the way of a package. The caller is the only one that publishes, and everything that was committed
before is on the mirror.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from typing import TYPE_CHECKING, TypeVar

from builder import recover as recovery
from builder import render
from builder.errors import CatalogueError, MirrorError
from builder.pages import Pages
from builder.progress import silent
from builder.shelf import Shelves
from builder.signing import adopt, apply, establish, expiry, inspect
from mirror import layout, trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from builder.catalogue import Catalogue
    from builder.progress import Progress
    from builder.publish import Publisher
    from builder.signing.change import Change
    from builder.signing.sign import Signing
    from mirror.files import Files

logger = logging.getLogger(__name__)
_Item = TypeVar("_Item")

_RENDER_GROUP = 2000
"""Pages of a full render that share their syncs; they are in memory together."""


def begin(mirror: Path, publisher: Publisher, signing: Signing, files: Files, *, repair: bool = False) -> int:
    """Finish what was committed before, after seeing that catalogue and mirror know of each other; counts files.

    A catalogue that is older than its mirror takes over what it missed. A mirror that was never signed is.
    """
    if publisher.is_current and signing.roles.newest_roots() and not repair:
        return 0
    if adopt.is_ahead(mirror, signing):
        logger.warning("the catalogue is older than the mirror, as one from a backup: taking over what it missed")
        return publisher.publish_pages(lambda: _catch_up(mirror, publisher.catalogue, signing), repair=repair).files
    written = publisher.finish(repair=repair).files
    if not signing.roles.newest_roots():
        establish.first_keys(signing.keyring, signing.settings, files)
        written += publisher.publish_pages(lambda: _establish(publisher.catalogue, signing)).files
    return written


def holds_releases(mirror: Path) -> bool:
    """Return whether a mirror's folder has a release list."""
    return any(mirror.glob(layout.RELEASE_LISTS))


def check_blobs(mirror: Path, catalogue: Catalogue) -> None:
    """See that every blob is there, with its size.

    Raises:
        MirrorError: one is not.
    """
    folder = mirror / layout.BLOBS
    with os.scandir(folder) if folder.is_dir() else contextlib.nullcontext(()) as entries:
        sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
    bad = [sha256 for sha256, size in catalogue.blobs() if sizes.get(sha256) != size]
    if bad:
        raise MirrorError(
            f"{len(bad)} blobs are missing or truncated, {bad[0]} is the first: "
            "`otamirror check` names them all; put them back from a backup or drop the packages again"
        )


def render_all(mirror: Path, publisher: Publisher, signing: Signing, progress: Progress) -> int:
    """Render the whole mirror again from catalogue and blobs; returns the number of files that were written.

    What was signed online, and is damaged or missing, is signed anew.
    """
    catalogue = publisher.catalogue
    written = 0
    with progress("rendering", catalogue.count()) as advance:
        for group in groups(render.everything(Shelves(catalogue.connection), advance), _RENDER_GROUP):
            written += publisher.store.publish(Pages.of(group), repair=True).files
    if any(problem != inspect.EXTRA for _, problem in inspect.faults(mirror, signing.roles)):
        written += publisher.publish_pages(signing.everything, repair=True).files
    logger.info("rendered the whole mirror: %d files written", written)
    return written


def recover(mirror: Path, publisher: Publisher, signing: Signing, files: Files, progress: Progress) -> int:
    """Fill an empty catalogue from the mirror's folder; returns the number of releases.

    Raises:
        CatalogueError: the catalogue has releases already.
        MirrorError: files that lists name are missing or damaged; the catalogue stays empty.
    """
    catalogue = publisher.catalogue
    if count := catalogue.count():
        raise CatalogueError(f"it has {count} releases already; nothing was lost, so nothing is recovered")
    if (mirror / layout.METADATA).is_dir():
        publisher.publish_pages(lambda: _catch_up(mirror, catalogue, signing, progress), repair=True)
    else:
        with catalogue.transaction():
            recovery.merge(mirror, catalogue, recovery.Signed(), signing.now(), progress)
        begin(mirror, publisher, signing, files)
    return catalogue.count()


def resign(publisher: Publisher, signing: Signing, *, everything: bool = False) -> int:
    """Do what is due: publish a root that waited for caches, sign anew what expires; returns the files written.

    Raises:
        ClockError: the clock cannot be right, whether something is due or not.
    """
    written = 0
    if signing.clock_is_right:
        written += publisher.publish_pages(lambda: signing.renew(())).files
    signing.check_clock()
    written += publisher.publish_pages(lambda: apply.advance(signing)).files
    due = signing.everything if everything else lambda: expiry.renew_due(signing)
    return written + publisher.publish_pages(due).files


def change(publisher: Publisher, signing: Signing, wanted: Change) -> None:
    """Publish a change of who may sign.

    Raises:
        KeysError: signatures are missing, or the mirror has moved on since the change was made.
    """
    publisher.publish_pages(lambda: apply.apply(wanted, signing))
    for note in wanted.notes:
        logger.info("%s", note)


def rebin(publisher: Publisher, signing: Signing) -> bool:
    """Have as many bins as the settings say; tells whether there were others."""
    bits = signing.settings.bins.bit_length() - 1
    if bits == signing.bins().bit_length:
        return False

    def pages() -> Pages:
        made, bins = signing.delegate(bits, signing.unclaimed_keys())
        return signing.renew(bins, Pages.of(made))

    publisher.publish_pages(pages)
    logger.info("release lists are in %d bins now", signing.settings.bins)
    return True


def _establish(catalogue: Catalogue, signing: Signing) -> Pages:
    """Make the first metadata, of all lists that there are."""
    made, bins = establish.first_metadata(signing)
    return signing.renew(bins | _filed(catalogue, signing), Pages.of(made))


def _catch_up(mirror: Path, catalogue: Catalogue, signing: Signing, progress: Progress = silent) -> Pages:
    """Take over what the mirror has and the catalogue has not, and sign it all anew, above what was signed before."""
    adopt.adopt(mirror, signing)
    claimed = [package for role in signing.roles.all() if role.active and (package := trust.claimed_package(role.name))]
    signed = recovery.Signed(adopt.lists(mirror, signing), claimed)
    recovery.merge(mirror, catalogue, signed, signing.now(), progress)
    signing.place()
    _filed(catalogue, signing)
    return signing.everything()


def _filed(catalogue: Catalogue, signing: Signing) -> set[str]:
    """Have metadata know of every list in the catalogue; returns the bins that did not."""
    shelves = Shelves(catalogue.connection)
    bins: set[str] = set()
    for branch in shelves.branches():
        bins |= signing.file(render.pointers(shelves.head(branch)))
    return bins


def groups(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield items in lists of so many."""
    remaining = iter(items)
    while group := list(itertools.islice(remaining, size)):
        yield group
