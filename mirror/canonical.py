"""Strict JSON in, canonical JSON out (contract, section 2).

`decode` takes what the contract takes and nothing that two parsers could read differently;
`encode` writes the one form whose SHA-256 both programs compute. What the keys mean is not known here.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

MAX_DEPTH = 32
MAX_INTEGER = 2**53  # beyond it, parsers that read numbers as doubles change the value
MAX_PROBLEMS = 100  # a small file may hold thousands; nobody reads them, and reports stay bounded

_MAX_DIGITS = len(str(-MAX_INTEGER))
_MAX_SHOWN = 60
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.+-]{1,128}")
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_REFUSED_IN_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Problem(NamedTuple):
    """One thing that is wrong: where, what, and what to do; an empty key is the file as a whole."""

    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.key}: " if self.key else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{advice}"


class OddNumber(NamedTuple):
    """A number that the contract refuses; it stands in a decoded value, whose problems name it."""

    text: str

    def __str__(self) -> str:
        return self.text if len(self.text) <= _MAX_SHOWN else f"{self.text[:_MAX_SHOWN]}…"

    def problem(self, path: str) -> Problem:
        """Say what is wrong with it."""
        return Problem(path, f"{self} is not an integer within ±2^53", "write other numbers as strings")


class _Repeating(dict[str, object]):
    """An object in which keys stood more than once; it keeps the last value of each."""

    repeated: tuple[str, ...] = ()


def decode(
    raw: bytes, *, limit: int, depth: int = MAX_DEPTH, lines: Collection[str] = ()
) -> tuple[dict[str, object], list[Problem]]:
    """Read a JSON object strictly; gives what could be read, and every problem at once.

    Without problems the value holds nothing but plain dicts, lists, strings, integers, booleans and None.

    Args:
        raw: the bytes of the file.
        limit: how many bytes there may be.
        depth: how deep objects and lists may nest; the object at the top is 1.
        lines: top keys whose strings may hold newlines and tabs.
    """
    if problem := _no_plain_text(raw, limit):
        return {}, [problem]
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        return {}, [_not_utf8(error)]
    except json.JSONDecodeError as error:
        return {}, [_not_json(error)]
    except RecursionError:
        return {}, [_too_deep("", depth)]
    if not isinstance(value, dict):
        return {}, [Problem("", f"must be a JSON object, not {type_name(value)}")]
    return value, first(_Walk(depth, lines).object("", value, 1))


def encode(value: Mapping[str, object], order: Sequence[str] = ()) -> bytes:
    """Write the canonical form: keys in `order` first, all others sorted by code point, one final newline.

    Nested mappings must be dicts, and values such as `decode` gives without problems.
    """
    keys = [key for key in order if key in value]
    keys += sorted(value.keys() - set(keys))
    members = ",".join([f"{_encode(key)}:{_encode(value[key])}" for key in keys])
    return f"{{{members}}}\n".encode()


def digest(raw: bytes) -> str:
    """Compute the SHA-256 of `raw` in lower case hexadecimal digits."""
    return hashlib.sha256(raw).hexdigest()


def first(problems: Iterable[Problem]) -> list[Problem]:
    """Take as many problems as a person would read, and say so if there are more."""
    taken = list(itertools.islice(problems, MAX_PROBLEMS + 1))
    if len(taken) > MAX_PROBLEMS:
        taken[MAX_PROBLEMS] = Problem("", "there are more problems", f"mend these {MAX_PROBLEMS} first")
    return taken


def join(path: str, key: str) -> str:
    """Name the member `key` of the object at `path`."""
    member = key if _PLAIN_KEY.fullmatch(key) else shown(key)
    return f"{path}.{member}" if path else member


def shown(text: str) -> str:
    """Quote `text` for a message: on one line, nothing invisible, not too long."""
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def type_name(value: object) -> str:
    """Name the JSON type of a decoded value, with its article."""
    names = {
        bool: "a boolean",
        int: "a number",
        OddNumber: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return next((name for kind, name in names.items() if isinstance(value, kind)), "null")


@dataclass(frozen=True)
class _Walk:
    """A walk over a decoded value, for what JSON allows and the contract does not."""

    depth: int
    lines: Collection[str]

    def value(self, path: str, value: object, level: int, refused: re.Pattern[str]) -> Iterator[Problem]:
        """Find the problems of a value; `level` is its depth if it is an object or a list."""
        if isinstance(value, str):
            yield from _characters(path, "", value, refused)
        elif isinstance(value, OddNumber):
            yield value.problem(path)
        elif isinstance(value, dict | list) and level > self.depth:
            yield _too_deep(path, self.depth)
        elif isinstance(value, dict):
            yield from self.object(path, value, level)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.value(f"{path}[{index}]", item, level + 1, _REFUSED)

    def object(self, path: str, value: dict[str, object], level: int) -> Iterator[Problem]:
        """Find the problems of an object and of all in it."""
        if isinstance(value, _Repeating):
            for key in value.repeated:
                yield Problem(join(path, key), "stands more than once", "keep one of them")
        for key, member in value.items():
            where = join(path, key)
            yield from _characters(where, "the key ", key, _REFUSED)
            in_lines = level == 1 and key in self.lines
            yield from self.value(where, member, level + 1, _REFUSED_IN_LINES if in_lines else _REFUSED)


def _characters(path: str, subject: str, text: str, refused: re.Pattern[str]) -> Iterator[Problem]:
    found = refused.search(text)
    if not found:
        return
    code = ord(found[0])
    if code >= 0xD800:
        yield Problem(path, f"{subject}holds half of a surrogate pair, U+{code:04X}", "write whole characters")
    else:
        hint = "end lines with a line feed alone" if found[0] == "\r" else ""
        yield Problem(path, f"{subject}holds the control character U+{code:04X}", hint)


def _too_deep(path: str, depth: int) -> Problem:
    return Problem(path, "is nested too deep", f"at most {depth} levels, the object at the top is the first")


def _no_plain_text(raw: bytes, limit: int) -> Problem | None:
    if len(raw) > limit:
        return Problem("", f"has {len(raw)} bytes, which is too large", f"at most {limit} bytes")
    if raw.startswith(b"\xef\xbb\xbf"):
        return Problem("", "begins with a byte order mark", "save it as UTF-8 without BOM")
    # JSON begins with an ASCII character, so a zero beside it is its other half in UTF-16 or UTF-32
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:2]:
        return Problem("", "is UTF-16 or UTF-32, not UTF-8", "save it as UTF-8")
    return None


def _not_utf8(error: UnicodeDecodeError) -> Problem:
    found = f"is not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}"
    return Problem("", found, "save it as UTF-8")


def _not_json(error: json.JSONDecodeError) -> Problem:
    if not error.doc.strip():
        return Problem("", "is empty", "a JSON object is needed")
    what = error.msg.removesuffix(" at")
    hint = "inside a string, a line end is written \\n" if what == "Invalid control character" else ""
    return Problem("", f"is not JSON: {what} at line {error.lineno}, column {error.colno}", hint)


def _integer(text: str) -> int | OddNumber:
    # the length first: int() of thousands of digits is slow, and from 4,301 on an error of its own
    if len(text) > _MAX_DIGITS or abs(int(text)) > MAX_INTEGER:
        return OddNumber(text)
    return int(text)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    repeating = _Repeating(value)
    repeating.repeated = tuple(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return repeating


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=OddNumber, parse_int=_integer, parse_constant=OddNumber
)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
