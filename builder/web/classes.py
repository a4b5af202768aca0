"""The classes of files that a mirror has (contract, section 3), as web servers tell them apart.

Patterns of paths without the first slash, which nginx and Python read alike: the embedded server and the configuration
of nginx are made of them. Classes that no builder writes yet are served too, so that a host need not be set up again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror import layout, names

if TYPE_CHECKING:
    from collections.abc import Mapping

SEGMENT = "[0-9A-Za-z][0-9A-Za-z.+~_-]*"
_LANGUAGE = "[a-z]{2,3}(?:-[0-9A-Za-z]{2,8})*"
_READ = f"packages|status|feeds|assets|{_LANGUAGE}"
_ASKED = f"maxVersion|getVersion|releases|{layout.METADATA.rstrip('/')}"
_PAGES = rf"{layout.INDEX_PAGE}|{layout.NOT_FOUND_PAGE}".replace(".", r"\.")

BYTES = rf"(?:{layout.BLOBS}|{layout.TRANSFERS})/{names.SHA256}"
"""What is large, and resumed by ranges."""

DOCUMENTS = rf"(?:{_ASKED})(?:/{SEGMENT})+"
"""What programs read."""

FOLDERS = rf"(?:(?:{_READ})/(?:{SEGMENT}/)*)?"
"""Folders that stand for the page in them."""

FILES = rf"{_PAGES}|(?:{_READ})(?:/{SEGMENT})+"
"""What people see."""

PROGRAMS = rf"(?:{_ASKED}|{layout.BLOBS}|{layout.TRANSFERS}|update)(?:/.*)?"
"""Where programs ask, to whom a page for people would say nothing."""

POINTERS = (
    rf"maxVersion(?:/{names.NAME}/{names.NAME}\.json)?|releases/{names.NAME}/{names.NAME}\.json|{_PAGES}"
    rf"|packages/(?:{SEGMENT}/)?(?:index\.html)?|(?:status|feeds|assets|{_LANGUAGE})/(?:{SEGMENT}/)*(?:{SEGMENT})?|"
)
"""Names of files that come and go, so that a cache may keep for a moment that one is not there.

Not of metadata: a device asks for the next root until there is none.
"""

TYPES: Mapping[str, str] = {
    "json": "application/json",
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "txt": "text/plain",
    "xml": "application/xml",
    "atom": "application/atom+xml",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
}
"""Media types by what a file's name ends in; all else is bytes."""
