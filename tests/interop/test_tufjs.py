"""A client of TUF that is neither ours nor python-tuf's reads the mirror: the npm package tuf-js."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror import layout
from tests.interop.conftest import CLAIMED, PACKAGES
from tests.interop.tufjs import RefusedError
from tests.support import httpd
from tests.support.httpd import Fault

if TYPE_CHECKING:
    from tests.interop.conftest import Shown
    from tests.interop.tufjs import Client


def test_every_release_list_is_downloaded(tuf_js: Client, shown: Shown, url: str) -> None:
    """From the first root on, every list of the mirror verifies, that of a claimed package too."""
    tuf_js.trust(shown.root(1))

    found = tuf_js.download(url, shown.lists)

    assert found == shown.lists
    assert len(found) == PACKAGES
    assert layout.release_list(CLAIMED, "main") in found


def test_a_client_comes_back(tuf_js: Client, shown: Shown) -> None:
    """What a client kept does not keep it from what is published since."""
    path = layout.release_list("package-001", "main")
    with httpd.serving(shown.tree) as server:
        tuf_js.trust(shown.root(1))
        before = tuf_js.download(server.url, [path])
        shown.ground.publish("1.1", package="package-001")

        after = tuf_js.download(server.url, [path])

    assert before != after == {path: shown.lists[path]}


def test_what_nobody_signed_is_refused(tuf_js: Client, shown: Shown) -> None:
    """The client does verify: a list with a changed byte is refused."""
    tuf_js.trust(shown.root(1))
    with httpd.serving(shown.tree) as server:
        server.misbehave("/releases/", Fault(flip=10))

        with pytest.raises(RefusedError, match="Expected hash"):
            tuf_js.download(server.url, shown.lists)
