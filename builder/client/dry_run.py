"""What a mirror would say to an upload, as far as its files tell: only read, and sent nothing.

Another publisher may be faster, and a token is not tried. Names that differ in case are looked for on the pages for
people, which is all that lists them; without pages that is left to the upload.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builder.client import claimed, edit
from builder.client.claimed import MirrorFilesError
from builder.errors import CaseCollisionError, ClaimedError, VersionConflictError
from mirror import canonical, layout, releases, trust
from mirror.content import MAX_BYTES
from mirror.releases import Entry, ReleaseList, ReleaseListError

if TYPE_CHECKING:
    from builder.client.claimed import Get
    from builder.client.parcel import Parcel
    from mirror.content import Content
    from mirror.releases import Segment

_MOST_OF_A_PAGE = 64 * 1024 * 1024


def is_new(sent: Parcel, get: Get, now: float) -> bool:
    """Return whether a release would be new on a mirror; it is there already otherwise, as it is.

    Raises:
        ClaimedError: the package is claimed, and nothing was signed.
        VersionConflictError: the version is there with other bytes, another content, or in another spelling.
        CaseCollisionError: package or branch differ from an existing one only in case.
        MirrorFilesError: what is there cannot be read.
    """
    content = sent.content
    if trust.package_role(content.package) in claimed.delegated(get):
        raise ClaimedError(content.package)
    _check_case(content, get)
    there = get(layout.get_version(content.package, content.branch, content.version), MAX_BYTES)
    if there is not None and canonical.digest(there) != content.digest:
        raise VersionConflictError(content.package, content.branch, content.version)
    published = trust.time(datetime.fromtimestamp(now, UTC))
    entry = Entry(content.version, content.digest, content.sha256, sent.size, published, content.dependencies)
    # what was withdrawn is in no list; it is new there, though not on the mirror
    return edit.with_release(_list(content, get), lambda part: _segment(content, part, get), entry) is not None


def _check_case(content: Content, get: Get) -> None:
    index = _page(get, layout.INDEX_PAGE)
    _check_spelling("package", content.package, r'href="packages/({})/', index)
    _check_spelling("branch", content.branch, r'<h2 id="({})"', _page(get, layout.package_page(content.package)))


def _check_spelling(what: str, name: str, pattern: str, page: str) -> None:
    found = re.findall(pattern.format(re.escape(name)), page, re.IGNORECASE | re.ASCII)
    if found and name not in found:
        raise CaseCollisionError(what, name, found[0])


def _page(get: Get, path: str) -> str:
    return (get(path, _MOST_OF_A_PAGE) or b"").decode(errors="replace")


def _list(content: Content, get: Get) -> ReleaseList:
    path = layout.release_list(content.package, content.branch)
    data = get(path, releases.MAX_BYTES)
    if data is None:
        return ReleaseList(content.package, content.branch, ())
    try:
        return releases.parse(data)
    except ReleaseListError as error:
        raise MirrorFilesError(f"{path}: {error}") from error


def _segment(content: Content, part: Segment, get: Get) -> ReleaseList:
    path = layout.hashed_release_list(content.package, content.branch, part.sha256)
    data = get(path, releases.MAX_BYTES)
    if data is None:
        raise MirrorFilesError(f"{path} is not on the mirror, though its release list names it")
    try:
        return releases.parse(data)
    except ReleaseListError as error:
        raise MirrorFilesError(f"{path}: {error}") from error
