"""The archive of a folder that is uploaded: refused if no device could unpack it, and told what devices lose."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mirror import canonical
from tests.receiver.forms import form, part, request
from tests.support.archives import END, SYMLINK, header, member, pax

if TYPE_CHECKING:
    from tests.receiver.rig import Rig

GOOD = member("a", b"x") + END


def upload(data: bytes, **changes: str) -> bytes:
    """Write the upload of a folder's package."""
    stated = {"package": "app", "version": "1", "branch": "main", "local": "/opt/app/"}
    text = json.dumps({**stated, "sha256": canonical.digest(data), **changes}).encode()
    return request(form(part("content", text), part("file", data)))


def test_what_no_device_could_unpack_is_refused(rig: Rig) -> None:
    """With 400 and the reason; no byte of the mirror changes, and nothing stays in the spool."""
    before = rig.mirror()

    text = rig.put(upload(b"7 bytes"))
    link = rig.put(upload(header("l", SYMLINK, leads_to="/usr/bin/python3") + END))

    assert (text.status, text.json["error"]) == (400, "archive")
    assert "it is no tar archive" in text.json["detail"]
    assert (link.status, link.json["error"]) == (400, "archive")
    assert "out of the folder" in link.json["detail"]
    assert rig.mirror() == before
    assert rig.spooled() == []


def test_what_devices_lose_is_among_the_warnings(rig: Rig) -> None:
    """200, with what the publisher should look at all the same."""
    answer = rig.put(upload(pax({"SCHILY.xattr.security.capability": "x"}) + GOOD))

    assert answer.status == 200
    (warning,) = answer.json["warnings"]
    assert warning["key"] == "file"
    assert "'a' has 'security.capability'" in warning["message"]


def test_a_good_archive_is_taken_without_a_word(rig: Rig) -> None:
    """A warning that is always there is read by nobody."""
    assert rig.put(upload(GOOD)).json["warnings"] == []


def test_bytes_are_judged_once_their_hash_is_known(rig: Rig) -> None:
    """What was damaged on the way is told as that, not as a bad archive."""
    assert rig.put(upload(b"7 bytes", sha256=canonical.digest(GOOD))).status == 304
