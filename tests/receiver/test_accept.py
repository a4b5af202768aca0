"""What is accepted: 200 means that the release is on the mirror, for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from builder import check
from builder.catalogue import Catalogue
from mirror import layout
from mirror.content import MAX_BYTES
from tests.receiver import abuse, forms, raw
from tests.receiver.forms import DATA, content, form, part, request

if TYPE_CHECKING:
    from tests.receiver.rig import Rig

DISPOSITION = "Content-Disposition: form-data; "
CONTENT, FILE = part("content", content()), part("file", DATA)

FINE = {
    "content first": form(CONTENT, FILE),
    "file first": form(FILE, CONTENT),
    "no filenames": form(
        part("", content(), f'{DISPOSITION}name="content"'), part("", DATA, f'{DISPOSITION}name="file"')
    ),
    "filename with a path": form(part("", DATA, f'{DISPOSITION}name="file"; filename="../../etc/passwd"'), CONTENT),
    "filename with quotes": form(part("", DATA, f'{DISPOSITION}name="file"; filename="a\\"b%22c"'), CONTENT),
    "filename*": form(part("", DATA, f"{DISPOSITION}name=\"file\"; filename*=utf-8''%e2%82%ac"), CONTENT),
    "filename in no known encoding": form(
        part("", DATA, f'{DISPOSITION}name="file"; filename="\u20ac"').replace("\u20ac".encode(), b"\xff\xfe"), CONTENT
    ),
    "name without quotes": form(part("", DATA, f"{DISPOSITION}name=file"), CONTENT),
    "more headers": form(part("", DATA, f'{DISPOSITION}name="file"', "Content-Type: a/b", "X-A: b"), CONTENT),
    "honest length of a part": form(
        part("", DATA, f'{DISPOSITION}name="file"', f"Content-Length: {len(DATA)}"), CONTENT
    ),
    "binary": form(part("", DATA, f'{DISPOSITION}name="file"', "Content-Transfer-Encoding: Binary"), CONTENT),
    "no line break at the end": form(CONTENT, FILE)[:-2],
    "line break at the start": b"\r\n" + form(CONTENT, FILE),
    "words after the form": form(CONTENT, FILE) + b"goodbye",
    "content of 64 KiB": form(part("content", content().ljust(MAX_BYTES)), FILE),
}


def assert_published(rig: Rig, **wanted: Any) -> None:
    """Check that the mirror is whole, and shows a package with the bytes `DATA` and these keys."""
    stated = {**forms.STATED, **wanted}
    root = rig.site.paths.mirror
    assert (root / layout.get_version(stated["package"], stated["branch"], stated["version"])).is_file()
    assert (root / layout.blob(stated["sha256"])).read_bytes() == DATA
    with Catalogue.open(rig.site.paths.catalogue) as catalogue:
        assert list(check.check(root, catalogue)) == []
    assert rig.spooled() == []


@pytest.mark.parametrize("body", FINE.values(), ids=FINE)
def test_forms_of_every_client_are_taken(rig: Rig, body: bytes) -> None:
    """Whatever is not wrong about a form is fine, and its package is on the mirror when the answer comes."""
    answer = rig.put(request(body))

    assert (answer.status, answer.json) == (200, {**forms.STATED, "new": True, "warnings": []})
    assert_published(rig)


@pytest.mark.parametrize("boundary", abuse.BOUNDARIES)
def test_every_boundary_of_the_standard_works(rig: Rig, boundary: str) -> None:
    """A boundary may have all characters that RFC 2046 gives it."""
    kind = f'multipart/form-data; charset=utf-8; boundary="{boundary}"'

    assert rig.put(request(form(CONTENT, FILE, boundary=boundary), Content_Type=kind)).status == 200


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_a_body_in_chunks_needs_no_length(rig: Rig, size: int) -> None:
    """Clients that do not know how much will come send chunks, however small."""
    assert rig.put(forms.chunked(form(CONTENT, FILE), size)).status == 200
    assert_published(rig)


def test_an_empty_file_is_a_file(rig: Rig) -> None:
    """No bytes are a package too, if that is what content.json states."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    assert rig.put(request(form(part("content", content(sha256=empty.upper())), part("file", b"")))).status == 200
    assert (rig.site.paths.mirror / layout.blob(empty)).read_bytes() == b""


def test_lines_and_tabs_are_for_texts(rig: Rig) -> None:
    """Descriptions and hooks have lines, as people and scripts do."""
    rig.publish(description="one\n\ttwo", BeforeUpdate="stop\nwait", AfterUpdate="start\t-q")

    assert_published(rig)


def test_the_same_release_again_writes_nothing(rig: Rig) -> None:
    """A publisher that did not hear the answer asks again, and gets it: nothing is written a second time."""
    rig.publish()
    before = rig.mirror()

    again = rig.put(request(form(FILE, part("content", content(description="")))))

    assert (again.status, again.json["new"]) == (200, False)
    assert rig.mirror() == before
    assert rig.spooled() == []


def test_a_lower_version_is_filed_where_it_belongs(rig: Rig) -> None:
    """A version that comes late is on the mirror, and the highest stays the highest."""
    rig.publish(version="2.0")
    highest = (rig.site.paths.mirror / layout.max_version("tool", "main")).read_bytes()

    rig.publish(version="1.9")

    assert_published(rig, version="1.9")
    assert (rig.site.paths.mirror / layout.max_version("tool", "main")).read_bytes() == highest


def test_a_dependency_that_is_not_there_is_a_warning(rig: Rig) -> None:
    """Dependencies may be published in any order; one that nobody can get yet is told."""
    rig.publish(package="lib")
    rig.publish(package="lib-b", branch="other")

    answer = rig.put(request(forms.good(dependencies={"lib": "*", "lib-b": "*"})))

    assert (answer.status, [warning["key"] for warning in answer.json["warnings"]]) == (200, ["dependencies.lib-b"])


def test_an_unknown_key_is_kept_and_told(rig: Rig) -> None:
    """What a newer publisher says is served as it came, with a warning that names the nearest known key."""
    answer = rig.put(request(forms.good(Package={"x": [1]})))

    (warning,) = answer.json["warnings"]
    assert (answer.status, warning["key"]) == (200, "Package")
    assert "package" in warning["hint"]
    assert b'"Package":{"x":[1]}' in (rig.site.paths.mirror / layout.max_version("tool", "main")).read_bytes()


def test_a_connection_serves_one_upload_after_the_other(rig: Rig) -> None:
    """A publisher of many packages connects once, also when one that came whole is refused."""
    with raw.connected(rig.port) as client:
        client.send(request(forms.good(version="1.0")) + request(forms.good(sha256="0" * 64)))
        client.send(request(forms.good(version="2.0")))
        statuses = []
        for _ in range(3):
            statuses.append(client.answer().status)
            client.next()

    assert statuses == [200, 304, 200]
