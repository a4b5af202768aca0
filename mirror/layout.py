"""Where every file of the mirror lives (contract, section 3).

Both programs ask this module for a path; neither spells one.
Paths are relative to the mirror's root, with `/` between segments; `url_path` spells them for URLs.
Names are checked here, so a path that comes out is safe to join.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple
from urllib.parse import quote

from mirror import names

BLOBS = "otafiles"
TRANSFERS = "transfers"
INDEX_PAGE = "index.html"
NOT_FOUND_PAGE = "404.html"
PACKAGE_PAGES = "packages/"
METADATA = "metadata/"
TIMESTAMP = f"{METADATA}timestamp.json"
RELEASE_LISTS = "releases/*/*.json"
"""Glob pattern of all release lists, the pointers and those under their own hash."""


IMMUTABLE = (
    rf"{BLOBS}/.+|{TRANSFERS}/.+|getVersion/.+|releases/[^/]+/{names.SHA256}\..+\.json|{METADATA}[1-9][0-9]*\..+\.json"
)
"""Pattern of the paths of all files that never change, for Python and for web servers."""


class Kind(enum.Enum):
    """How a file of the mirror may change, and so how long caches may keep it."""

    IMMUTABLE = "immutable"
    POINTER = "pointer"


class ListName(NamedTuple):
    """What the path of a release list says; `sha256` is None for the pointer."""

    package: str
    branch: str
    sha256: str | None


def max_version(package: str, branch: str) -> str:
    """Path of the content.json of the highest offered release."""
    return f"maxVersion/{_name(package)}/{_branch(branch)}.json"


def get_version(package: str, branch: str, version: str) -> str:
    """Path of the content.json of one release."""
    return f"getVersion/{_name(package)}/{_branch(branch)}/{_version(version)}.json"


def blob(sha256: str) -> str:
    """Path of a package's bytes."""
    return f"{BLOBS}/{_sha256(sha256)}"


def release_list(package: str, branch: str) -> str:
    """Path of the newest release list, for plain clients."""
    return f"releases/{_name(package)}/{_branch(branch)}.json"


def hashed_release_list(package: str, branch: str, sha256: str) -> str:
    """Path of a release list, or of one of its older segments, under its own hash."""
    return f"releases/{_name(package)}/{_sha256(sha256)}.{_branch(branch)}.json"


def package_page(package: str) -> str:
    """Path of the page of a package, for people."""
    return f"{PACKAGE_PAGES}{_name(package)}/{INDEX_PAGE}"


def metadata(role: str, version: int) -> str:
    """Path of one version of a role's metadata."""
    if version < 1:
        raise ValueError(f"not a version of metadata: {version}")
    if not _ROLE.fullmatch(role):
        raise ValueError(f"not a role: {role!r}")
    return f"{METADATA}{version}.{role}.json"


def parse_metadata(path: str) -> tuple[str, int] | None:
    """Read role and version in the path of metadata; None for any other path."""
    match = _METADATA.fullmatch(path)
    return (match["role"], int(match["version"])) if match else None


def url_path(path: str) -> str:
    """Return a path as it stands in a URL.

    Everything outside `A-Z a-z 0-9 . _ ~ - /` is percent-encoded: object stores read a plain `+` as a space.
    """
    return quote(path, safe="/")


def kind(path: str) -> Kind:
    """Tell how the file at `path` may change."""
    return Kind.IMMUTABLE if _IMMUTABLE.fullmatch(path) else Kind.POINTER


def parse_release_list(path: str) -> ListName | None:
    """Read the names in the path of a release list; None for any other path."""
    match = _LIST.fullmatch(path)
    if match is None or not names.is_branch(match["branch"]):
        return None
    return ListName(match["package"], match["branch"], match["sha256"])


def parse_get_version(path: str) -> tuple[str, str, str] | None:
    """Read package, branch and version in the path of a release's content.json; None for any other path."""
    match = _GET_VERSION.fullmatch(path)
    if match is None or not names.is_branch(match["branch"]):
        return None
    return match["package"], match["branch"], match["version"]


_LIST = re.compile(
    rf"releases/(?P<package>{names.NAME})/(?:(?P<sha256>{names.SHA256})\.)?(?P<branch>{names.NAME})\.json"
)
_GET_VERSION = re.compile(
    rf"getVersion/(?P<package>{names.NAME})/(?P<branch>{names.NAME})/(?P<version>{names.VERSION})\.json"
)
_ROLE = re.compile(rf"(?:pkg-)?{names.NAME}")  # that of a claimed package is longer than its name
_METADATA = re.compile(rf"{METADATA}(?P<version>[1-9][0-9]{{0,15}})\.(?P<role>{_ROLE.pattern})\.json")


_IMMUTABLE = re.compile(IMMUTABLE)


def _name(text: str) -> str:
    if not names.is_name(text):
        raise ValueError(f"not a package name: {text!r}")
    return text


def _branch(text: str) -> str:
    if not names.is_branch(text):
        raise ValueError(f"not a branch name: {text!r}")
    return text


def _version(text: str) -> str:
    if not names.is_version(text):
        raise ValueError(f"not a version: {text!r}")
    return text


def _sha256(text: str) -> str:
    if not names.is_sha256(text):
        raise ValueError(f"not a SHA-256: {text!r}")
    return text
