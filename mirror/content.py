"""content.json: what a publisher says about one release (contract, section 2).

The only module that knows how the keys are spelled. `parse` and `build` judge by the same rules and name
all that breaks them at once; `Content` writes the canonical form. The package's bytes are not judged here.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from mirror import canonical, names, rules
from mirror.canonical import OddNumber, Problem
from mirror.errors import PublisherError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mirror.rules import Rule

MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One content.json; what `parse` and `build` give keeps all rules.

    Attributes:
        local: "" or the absolute path on the device; ending in `/`: a folder.
        before_update: "" or a shell command.
        after_update: "" or a shell command.
        dependencies: version ranges by package name.
        extra: the keys that this version of otamirror does not know, kept as they came.
    """

    package: str
    description: str = ""
    version: str
    branch: str
    local: str = ""
    remote: str = ""
    sha256: str
    before_update: str = ""
    after_update: str = ""
    dependencies: Mapping[str, str] = field(default_factory=dict)
    restore: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Return the JSON object, with every known key."""
        return {key: getattr(self, known.field) for key, known in KEYS.items()} | dict(self.extra)

    def canonical(self) -> bytes:
        """Return the canonical bytes, which the mirror serves."""
        return canonical.encode(self.fields(), tuple(KEYS))

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical bytes."""
        return canonical.digest(self.canonical())


class Parsed(NamedTuple):
    """A valid content, and what its publisher should look at all the same."""

    content: Content
    warnings: tuple[Problem, ...]


class ContentError(PublisherError):
    """A content.json breaks rules; the message names them all, one a line.

    Attributes:
        problems: what is wrong, where, and what to do.
    """

    code = "content-invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        named = (problem._replace(key=problem.key or "content.json") for problem in problems)
        super().__init__("\n".join(map(str, named)))
        self.problems = tuple(problems)

    def as_json(self) -> dict[str, object]:
        """Return what a refusal says to programs, with every problem by itself."""
        return {**super().as_json(), "problems": [problem._asdict() for problem in self.problems]}


class ContentTooLarge(ContentError):  # noqa: N818 - as HTTP calls it
    """A content.json has more bytes than the contract allows, as it came or in its canonical form."""

    code = "content-too-large"
    status_hint = 413

    def __init__(self, size: int) -> None:
        super().__init__([Problem("", f"has {size} bytes, which is too large", f"at most {MAX_BYTES} bytes")])
        self.size = size


def parse(raw: bytes) -> Parsed:
    """Judge the bytes of a content.json.

    Raises:
        ContentTooLarge: they, or their canonical form, are more than `MAX_BYTES`.
        ContentError: they break a rule; all that they break are named.
    """
    if len(raw) > MAX_BYTES:
        raise ContentTooLarge(len(raw))
    lines = [key for key, known in KEYS.items() if known.lines]
    fields, strict = canonical.decode(raw, limit=MAX_BYTES, lines=lines)
    unreadable = strict and not fields
    problems = strict if unreadable else canonical.first(_problems(fields, strict))
    if problems:
        raise ContentError(problems)
    content = _content(fields)
    size = len(content.canonical())
    if size > MAX_BYTES:  # what is served must be readable again
        raise ContentTooLarge(size)
    return Parsed(content, tuple(canonical.first(_warnings(fields))))


def build(fields: Mapping[str, object]) -> Parsed:
    """Judge a content given as a JSON object, by the rules of `parse`.

    Raises:
        ContentTooLarge: it is larger than `MAX_BYTES`.
        ContentError: it breaks a rule; all that it breaks are named.
    """
    text = json.dumps(dict(fields), ensure_ascii=False, separators=(",", ":"))
    # backslashreplace spells half a surrogate pair as JSON does, so that it is refused with its key
    return parse(text.encode(errors="backslashreplace"))


def spelled(**attributes: object) -> dict[str, object]:
    """Return the JSON object of some attributes of a content, spelled as content.json does, for `build`."""
    return {key: attributes[known.field] for key, known in KEYS.items() if known.field in attributes}


def _content(fields: Mapping[str, Any]) -> Content:
    known = {known.field: fields[key] for key, known in KEYS.items() if key in fields}
    known["sha256"] = known["sha256"].lower()
    return Content(**known, extra={key: value for key, value in fields.items() if key not in KEYS})


def _problems(fields: Mapping[str, object], strict: Iterable[Problem]) -> Iterator[Problem]:
    """Yield what breaks the rules of the keys, then what strict reading found besides."""
    for key, known in KEYS.items():
        if key not in fields:
            if known.required:
                yield Problem(key, "is missing", _misspelling(key, fields))
        elif key == "dependencies":
            yield from _dependency_problems(key, fields[key], fields.get("package"))
        else:
            yield from _string_problems(key, fields[key], known.rule)
    said = set(_numbers_for_strings(fields))
    yield from (problem for problem in strict if problem not in said)


def _string_problems(path: str, value: object, rule: Rule) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield _wrong_type(path, "a string", value)
    elif fault := rule(value):
        yield Problem(path, *fault)


def _dependency_problems(path: str, value: object, package: object) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _wrong_type(path, "an object", value, 'such as {"other-package": ">=1.2"}')
        return
    for name, versions in value.items():
        where = canonical.join(path, name)
        if fault := rules.name(name):
            yield Problem(where, *fault)
        if name == package:
            yield Problem(where, "is the package itself", "leave it out")
        yield from _string_problems(where, versions, rules.version_range)


def _wrong_type(path: str, wanted: str, value: object, hint: str = "") -> Problem:
    given = canonical.type_name(value)
    if not hint and given == "a number":
        hint = f'put it in quotes: "{value}"'
    return Problem(path, f"must be {wanted}, not {given}", hint)


def _numbers_for_strings(fields: Mapping[str, object]) -> Iterator[Problem]:
    """Yield the problems of numbers that stand where a string must: that they are odd is beside the point."""
    dependencies = fields.get("dependencies")
    ranges = dependencies.items() if isinstance(dependencies, dict) else ()
    places = [(key, value) for key, value in fields.items() if key in KEYS]
    places += [(canonical.join("dependencies", name), value) for name, value in ranges]
    return (value.problem(path) for path, value in places if isinstance(value, OddNumber))


def _warnings(fields: Mapping[str, object]) -> Iterator[Problem]:
    for key in sorted(fields.keys() - KEYS.keys()):
        nearest = _nearest(key, KEYS)
        hint = f"did you mean {nearest!r}?" if nearest else ""
        yield Problem(canonical.join("", key), "is not known here; it is kept and served as it is", hint)
    for key in ("package", "branch", "version"):
        value = fields.get(key)
        if isinstance(value, str) and names.is_windows_device(value):
            problem = f"{value!r} is no name for a file on Windows"
            yield Problem(key, problem, "a copy of the mirror that is made there, on a stick say, would lack it")


def _misspelling(key: str, fields: Mapping[str, object]) -> str:
    unknown = islice((name for name in fields if name not in KEYS), canonical.MAX_PROBLEMS)
    nearest = _nearest(key, unknown)
    return f"{canonical.shown(nearest)} stands there, is it that?" if nearest else ""


def _nearest(key: str, others: Iterable[str]) -> str:
    spelled = {other.lower(): other for other in others}
    nearest = difflib.get_close_matches(key.lower(), spelled, n=1, cutoff=0.7)
    return spelled[nearest[0]] if nearest else ""


class Known(NamedTuple):
    """A key of the contract: the attribute it becomes, and its rule.

    Attributes:
        lines: whether newlines and tabs are allowed.
    """

    field: str
    rule: Rule = rules.anything
    required: bool = False
    lines: bool = False


KEYS = {
    "package": Known("package", rules.name, required=True),
    "description": Known("description", lines=True),
    "version": Known("version", rules.version, required=True),
    "branch": Known("branch", rules.branch, required=True),
    "local": Known("local", rules.local),
    "remote": Known("remote", rules.remote),
    "sha256": Known("sha256", rules.sha256, required=True),
    "BeforeUpdate": Known("before_update", lines=True),
    "AfterUpdate": Known("after_update", lines=True),
    "dependencies": Known("dependencies"),
    "restore": Known("restore", rules.restore),
}
"""The keys of content.json, in the order of the canonical form."""
