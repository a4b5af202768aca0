"""Where files of the mirror lie: each path as the contract spells it, and no path out of the tree."""

from __future__ import annotations

import itertools
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror import layout, names
from mirror.layout import Kind, ListName

if TYPE_CHECKING:
    from collections.abc import Callable

SHA = "0123456789abcdef" * 4

PATHS = [
    (layout.max_version("app", "main"), "maxVersion/app/main.json", Kind.POINTER),
    (layout.get_version("app", "main", "1.0+b"), "getVersion/app/main/1.0+b.json", Kind.IMMUTABLE),
    (layout.blob(SHA), f"otafiles/{SHA}", Kind.IMMUTABLE),
    (layout.release_list("app", "main"), "releases/app/main.json", Kind.POINTER),
    (layout.hashed_release_list("app", "main", SHA), f"releases/app/{SHA}.main.json", Kind.IMMUTABLE),
    (layout.package_page("app"), "packages/app/index.html", Kind.POINTER),
    (layout.INDEX_PAGE, "index.html", Kind.POINTER),
    (layout.NOT_FOUND_PAGE, "404.html", Kind.POINTER),
    (f"{layout.TRANSFERS}/{SHA}", f"transfers/{SHA}", Kind.IMMUTABLE),
]

# a branch, a package or a version can be named so that its path looks like another one at first sight
LOOKALIKES = [
    (layout.release_list("app", SHA), Kind.POINTER),
    (layout.hashed_release_list("app", SHA, SHA), Kind.IMMUTABLE),
    (layout.release_list("otafiles", "main"), Kind.POINTER),
    (layout.max_version("getVersion", "main"), Kind.POINTER),
    (layout.package_page(SHA), Kind.POINTER),
    (layout.get_version("index.html", "main.json", "1.json"), Kind.IMMUTABLE),
    (layout.release_list(f"{SHA}.app", "main"), Kind.POINTER),
    (f"{layout.METADATA}timestamp.json", Kind.POINTER),
    (f"{layout.METADATA}1.root.json", Kind.IMMUTABLE),
    (f"{layout.METADATA}12.bin8-0f.json", Kind.IMMUTABLE),
    (f"{layout.METADATA}0.root.json", Kind.POINTER),
]

name = st.from_regex(names.NAME, fullmatch=True)
branch = name.filter(names.is_branch)
version = st.from_regex(names.VERSION, fullmatch=True)
sha256 = st.from_regex(names.SHA256, fullmatch=True)


@pytest.mark.parametrize(("path", "expected"), [(path, expected) for path, expected, _ in PATHS])
def test_a_path_is_as_the_contract_has_it(path: str, expected: str) -> None:
    """Devices in the field ask for exactly these paths."""
    assert path == expected


@pytest.mark.parametrize(("path", "kind"), [*((path, kind) for path, _, kind in PATHS), *LOOKALIKES])
def test_the_kind_follows_from_the_path(path: str, kind: Kind) -> None:
    """Only what never changes is kept by caches for a year."""
    assert layout.kind(path) is kind


BAD = ["", ".", "..", "a/b", "../a", "/a", "a\0", "a\n", "a b", "ä", "x" * 129]
MAKERS: list[Callable[[str], str]] = [
    lambda bad: layout.max_version(bad, "main"),
    lambda bad: layout.max_version("app", bad),
    lambda bad: layout.get_version(bad, "main", "1"),
    lambda bad: layout.get_version("app", bad, "1"),
    lambda bad: layout.get_version("app", "main", bad),
    layout.blob,
    lambda bad: layout.release_list(bad, "main"),
    lambda bad: layout.release_list("app", bad),
    lambda bad: layout.hashed_release_list(bad, "main", SHA),
    lambda bad: layout.hashed_release_list("app", bad, SHA),
    lambda bad: layout.hashed_release_list("app", "main", bad),
    layout.package_page,
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_a_path_is_made_of_names_alone(make: Callable[[str], str], bad: str) -> None:
    """What is not a name makes no path, whichever part of the path it would be."""
    with pytest.raises(ValueError, match="not a "):
        make(bad)


def test_a_branch_that_looks_like_a_hash_has_no_path() -> None:
    """No pointer can have the name of an immutable list."""
    for make in (layout.max_version, layout.release_list):
        with pytest.raises(ValueError, match="not a branch name"):
            make("app", f"{SHA}.main")


@given(name, branch, sha256)
def test_the_path_of_a_list_can_be_read_back(package: str, branch: str, sha256: str) -> None:
    """Package, branch and hash are what they were, for the pointer and for the immutable file."""
    pointer = layout.parse_release_list(layout.release_list(package, branch))
    immutable = layout.parse_release_list(layout.hashed_release_list(package, branch, sha256))

    assert pointer == ListName(package, branch, None)
    assert immutable == ListName(package, branch, sha256)


@given(name, branch, version)
def test_the_path_of_a_content_can_be_read_back(package: str, branch: str, version: str) -> None:
    """Package, branch and version are what they were."""
    assert layout.parse_get_version(layout.get_version(package, branch, version)) == (package, branch, version)


@given(name, branch, version, sha256)
def test_paths_are_inside_the_tree_and_fit_every_file_system(
    package: str, branch: str, version: str, sha256: str
) -> None:
    """No segment leads up, is hidden or empty, or is longer than a name may be."""
    paths = [
        layout.max_version(package, branch),
        layout.get_version(package, branch, version),
        layout.blob(sha256),
        layout.release_list(package, branch),
        layout.hashed_release_list(package, branch, sha256),
        layout.package_page(package),
    ]

    for segment in itertools.chain.from_iterable(path.split("/") for path in paths):
        assert segment[0].isalnum()
        assert len(segment) <= 255
    assert all(str(PurePosixPath(path)) == path for path in paths)
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "releases/app/.json",
        "releases/app/main.json/",
        "releases/app/../main.json",
        "releases/app/main.txt",
        "releases/main.json",
        "releases/app/main.json\n",
        f"releases/app/{SHA.upper()}.main.json",
        f"releases/app/{SHA}.{SHA}.main.json",
        "maxVersion/app/main.json",
        "getVersion/app/1.json",
        "getVersion/app/main/.1.json",
        "getVersion/app/main/1",
        "getVersion/app/main/1.json/2.json",
        f"getVersion/app/{SHA}.main/1.json",
        "packages/app/index.html",
    ],
)
def test_other_paths_are_not_read(path: str) -> None:
    """A path that layout does not make has no names in it."""
    assert layout.parse_release_list(path) is None
    assert layout.parse_get_version(path) is None


def test_a_url_has_no_plus() -> None:
    """Object stores read it as a space; nor has it anything else that some host reads in its own way."""
    path = layout.get_version("app", "main", "2.2+a~b_c-d.e")

    assert layout.url_path(path) == "getVersion/app/main/2.2%2Ba~b_c-d.e.json"


@given(st.text())
def test_a_url_is_spelled_with_few_characters(text: str) -> None:
    """And means what it was made of."""
    spelled = layout.url_path(text.encode("utf-8", "replace").decode())

    assert re.fullmatch(r"(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})*", spelled)
    assert unquote(spelled) == text.encode("utf-8", "replace").decode()
