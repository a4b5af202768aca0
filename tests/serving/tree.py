"""A small mirror, written by hand, with files beside it that nobody may get."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mirror import layout

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.files import Files

# the fraction is there because an ETag must not depend on it: nginx sees whole seconds
MODIFIED_NS = 1_795_417_200_999_999_999
LAST_MODIFIED = "Mon, 23 Nov 2026 07:00:00 GMT"

ODD_VERSION = "2.0~rc1+b.1-x_y"
LONGEST_VERSION = "1" + "+-._~" * 25 + "+-"
LONGEST_PACKAGE = "a" + "._-" * 42 + "_"
LONGEST_BRANCH = "b" + "-" * 127
LETTERED = "01234567" * 8  # 64 hex digits, a branch as long as no dot follows

BLOB = bytes(range(256)) * 4
BLOB_SHA256 = hashlib.sha256(BLOB).hexdigest()
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNKNOWN_SHA256 = hashlib.sha256(b"unknown").hexdigest()

SECRET = b'{"secret": true}\n'


def _json(path: str) -> bytes:
    return b'{"path":"%s"}\n' % path.encode()


_PATHS = [
    layout.max_version("app", "main"),
    layout.max_version("my-app_2.x", "main"),
    layout.max_version(LONGEST_PACKAGE, LONGEST_BRANCH),
    layout.max_version("app", LETTERED),
    layout.get_version("app", "main", "1.0"),
    layout.get_version("app", "main", ODD_VERSION),
    layout.get_version("app", "main", LONGEST_VERSION),
    layout.get_version(LONGEST_PACKAGE, LONGEST_BRANCH, LONGEST_VERSION),
    *(layout.get_version("app", "main", f"1{character}0") for character in "+-_~"),
    layout.hashed_release_list("app", "main", BLOB_SHA256),
    "metadata/timestamp.json",
    "metadata/1.root.json",
    layout.INDEX_PAGE,
    f"packages/{layout.INDEX_PAGE}",
    layout.package_page("app"),
    "packages/app/feed.atom",
    layout.NOT_FOUND_PAGE,
    f"{layout.TRANSFERS}/{BLOB_SHA256}",
    "de/index.html",
    "pt-BR/packages/app/index.html",
    "status/index.html",
    "status/fleet.json",
    "feeds/all.atom",
    "feeds/app/main.xml",
    "assets/style-1a2b.css",
    "assets/logo.svg",
    "assets/robots.txt",
]
FILES = {
    **{path: _json(path) for path in _PATHS},
    layout.release_list("app", "main"): _json("long enough to be worth compressing" * 100),
    layout.blob(BLOB_SHA256): BLOB,
    layout.blob(EMPTY_SHA256): b"",
}
HIDDEN = ["../secret.json", "secret.json", ".secret.json", "maxVersion/app/.main.json.tmp", "otafiles/secret.json"]


def make(root: Path, files: Files) -> None:
    """Write the mirror into `root`, and a secret beside it."""
    for path, data in {**FILES, **dict.fromkeys(HIDDEN, SECRET)}.items():
        files.make_folder((root / path).parent)
        files.write(root / path, data)
        files.set_modified(root / path, MODIFIED_NS)


def etag(path: str) -> str:
    """Make the ETag that nginx makes of a file."""
    return f'"{MODIFIED_NS // 10**9:x}-{len(FILES[path]):x}"'
