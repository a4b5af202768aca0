"""python-tuf's own client, with its own way of fetching, reads the mirror."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tuf.api.exceptions import RepositoryError
from tuf.ngclient import Updater

from mirror import canonical, layout
from tests.support import httpd
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.interop.conftest import Shown


def download(folder: Path, url: str, root: bytes, targets: Iterable[str]) -> dict[str, str]:
    """Refresh, and download targets; returns their SHA-256, for those that somebody vouches for."""
    folder.mkdir(exist_ok=True)
    client = Updater(str(folder), f"{url}/metadata/", str(folder), f"{url}/", bootstrap=root)
    client.refresh()
    found = {path: client.get_targetinfo(path) for path in targets}
    return {
        path: canonical.digest(Path(client.download_target(target)).read_bytes())
        for path, target in found.items()
        if target
    }


def test_every_release_list_is_downloaded(tmp_path: Path, shown: Shown, url: str) -> None:
    """From the first root on, every list of the mirror verifies."""
    assert download(tmp_path, url, shown.root(1), shown.lists) == shown.lists


def test_any_root_leads_to_the_newest(tmp_path: Path, shown: Shown) -> None:
    """A client that was pinned to any root there ever was reads the mirror of today."""
    path = layout.release_list("package-002", "main")
    assert len(shown.roots) > 4
    assert shown.roots == list(range(1, len(shown.roots) + 1))

    with httpd.serving(shown.tree) as server:
        for version in shown.roots:
            found = download(tmp_path / str(version), server.url, shown.root(version), [path])
            assert found == {path: shown.lists[path]}


def test_a_client_comes_back(tmp_path: Path, shown: Shown) -> None:
    """What a client kept does not keep it from what is published since."""
    path = layout.release_list("package-003", "main")
    with httpd.serving(shown.tree) as server:
        before = download(tmp_path, server.url, shown.root(1), [path])
        shown.ground.publish("1.1", package="package-003")

        after = download(tmp_path, server.url, shown.root(1), [path])

    assert before != after == {path: shown.lists[path]}


def test_what_nobody_signed_is_refused(tmp_path: Path, shown: Shown) -> None:
    """The client does verify: a list with a changed byte is refused."""
    with httpd.serving(shown.tree) as server:
        server.misbehave("/releases/", Fault(flip=10))

        with pytest.raises(RepositoryError, match="hash"):
            download(tmp_path, server.url, shown.root(1), shown.lists)
