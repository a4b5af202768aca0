"""Judging a submission by itself: is its content valid, is the file the one that it names, does what is signed fit?

What a publisher signs comes as two texts. One is the role. The other has a list in each line: the release list, then
those of its older segments that are new, each known by its hash. Whose signatures count is `builder/claims.py`'s.

Nobody has looked at these texts yet, so each is bounded before it is parsed, by size and by how much is in it: a parser
takes many times the memory of what it reads, and keeps everybody else waiting meanwhile.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, overload

from tuf.api.metadata import Metadata, Targets

from builder.errors import HashMismatchError, StatementError
from builder.submission import Release, Statement, Submission
from mirror import canonical, content, names, releases, trust
from mirror.releases import ReleaseListError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from builder.submission import Parts
    from mirror.releases import ReleaseList

MAX_ROLE_BYTES = 1024 * 1024
MAX_LISTED_BYTES = 8 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
MAX_LINES = 128

_MAX_PIECES = 192 * 1024
"""How many keys and values a text may have: of lists, 20 segments of 64 releases with 16 transfers each."""
_HEAD = re.compile(rb'\{"package":"([^"\\\n]{1,128})","branch":"([^"\\\n]{1,128})",')
LIST_HEAD_BYTES = 512
"""With so many bytes of a list it is known what it is about."""


@overload
def verify(submission: Submission) -> Release: ...


@overload
def verify(submission: Parts) -> Statement: ...


def verify(submission: Submission | Parts) -> Release | Statement:
    """Return the release that a submission proves to be, or the statement.

    Raises:
        ContentError: content.json breaks a rule; all that it breaks are named.
        HashMismatchError: the bytes are not those that content.json names.
        StatementError: list or role are not of the contract's form, or are of something else.
    """
    if not isinstance(submission, Submission):
        return _statement(submission)
    parsed = content.parse(submission.content)
    blob = submission.blob
    if blob.sha256 != parsed.content.sha256:
        raise HashMismatchError(parsed.content.sha256, blob.sha256, blob.size)
    statement = _statement(submission.parts) if submission.parts else None
    release = Release(parsed.content, blob, parsed.warnings, statement)
    if statement:
        _check_named(release, statement)
    return release


def lines(newest: ReleaseList, segments: Iterable[ReleaseList]) -> bytes:
    """Return a list and segments in the form in which they are uploaded."""
    return b"".join([newest.encode(), *(segment.encode() for segment in segments)])


def list_subject(raw: bytes) -> tuple[str, str]:
    """Return package and branch of the release list at the beginning of what was uploaded, and judge nothing else.

    Raises:
        StatementError: it does not begin as one.
    """
    head = _HEAD.match(raw[:LIST_HEAD_BYTES])
    if not head:
        raise StatementError("what comes as a list does not begin with package and branch, as the canonical form does")
    package, branch = (each.decode(errors="replace") for each in head.groups())
    if not names.is_name(package) or not names.is_branch(branch):
        raise StatementError("the list is of a package or branch whose name is not valid")
    return package, branch


def _statement(parts: Parts) -> Statement:
    list_subject(parts.listed)
    _check_bounds(parts.listed)
    lines = _lines(parts.listed)
    first = next(lines)
    newest = _parse(first)
    references = {part.sha256: part for part in newest.older}
    segments: dict[str, ReleaseList] = {}
    for line in lines:
        sha256 = canonical.digest(line)
        reference = references.pop(sha256, None)
        if reference is None:
            raise StatementError(f"a segment comes with the list that it does not name, or names once: {sha256}")
        try:
            segments[sha256] = releases.parse_segment(line, newest, reference)
        except ReleaseListError as error:
            raise StatementError(str(error)) from None
        _check_form(line, segments[sha256])
    return Statement(newest, first, segments, parts.signed, read_role(parts.signed))


def read_role(raw: bytes) -> Metadata[Targets]:
    """Read a publisher's role, as strictly as everything else that is served on.

    Raises:
        StatementError: it is none, or more than one.
    """
    _check_pieces(raw, "the signed role")
    value, problems = canonical.decode(raw, limit=MAX_ROLE_BYTES)
    if problems:
        raise StatementError(f"the signed role is not valid: {problems[0]}")
    try:
        role: Metadata[Any] = Metadata.from_dict(value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StatementError(f"the signed role is no metadata of The Update Framework: {error!r}") from None
    if not isinstance(role.signed, Targets):
        raise StatementError(f"the signed role is of the type {role.signed.type}; a package's is targets")
    if role.unrecognized_fields:
        raise StatementError(f"the signed role has parts that nobody signed: {', '.join(role.unrecognized_fields)}")
    if role.to_dict() != canonical.decode(raw, limit=MAX_ROLE_BYTES)[0]:
        # two clients of TUF might verify its signatures over different bytes
        raise StatementError(
            "the signed role is not spelled as its signatures cover it; write times as 2026-11-23T08:00:00Z"
        )
    return role


def _check_named(release: Release, statement: Statement) -> None:
    """See that a list names the release that came with it as it is."""
    stated = release.content
    if (statement.package, statement.branch) != (stated.package, stated.branch):
        raise StatementError(
            f"the list is of {statement.title}, content.json of {stated.package} on {stated.branch}; push them apart"
        )
    parts = (statement.newest, *statement.segments.values())
    named = [entry for part in parts for entry in part.releases if entry.version == stated.version]
    if not named:
        raise StatementError(f"the list does not name {stated.version}, which came with it")
    wanted = (stated.digest, stated.sha256, release.blob.size, dict(stated.dependencies))
    entry = named[0]
    if (entry.content, entry.sha256, entry.size, dict(entry.dependencies)) != wanted:
        raise StatementError(f"what the list says of {stated.version} is not what came with it")


def _check_bounds(raw: bytes) -> None:
    """See that the lists in a text are no more, no larger and no fuller than they may be."""
    if not raw.endswith(b"\n"):
        raise StatementError("the release list does not end with a line feed; send its canonical bytes")
    if raw.count(b"\n") > MAX_LINES:
        raise StatementError(f"more than {MAX_LINES} lists come at once; push the older segments in several steps")
    _check_pieces(raw, "what comes as a list")
    begin = 0
    while end := raw.find(b"\n", begin) + 1:
        if end - begin > MAX_LINE_BYTES:
            raise StatementError(f"a list has {end - begin} bytes, and {MAX_LINE_BYTES} are the most")
        begin = end


def _check_pieces(raw: bytes, what: str) -> None:
    if sum(map(raw.count, (b",", b":", b"[", b"{"))) > _MAX_PIECES:
        raise StatementError(f"{what} has more in it than any list or role: above {_MAX_PIECES} keys and values")


def _lines(raw: bytes) -> Iterator[bytes]:
    begin = 0
    while end := raw.find(b"\n", begin) + 1:
        yield raw[begin:end]
        begin = end


def _parse(line: bytes) -> ReleaseList:
    try:
        found = releases.parse(line)
    except ReleaseListError as error:
        raise StatementError(str(error)) from None
    _check_form(line, found)
    return found


def _check_form(line: bytes, found: ReleaseList) -> None:
    if found.encode() != line:
        raise StatementError(f"the list of {found.package} on {found.branch} is not in the canonical form")
    for entry in found.releases:
        if not _is_time(entry.published):
            raise StatementError(f"{entry.version}: published has to be a time such as 2026-11-23T07:00:00Z")


def _is_time(text: str) -> bool:
    try:
        return trust.time(trust.moment(text)) == text
    except ValueError:
        return False
