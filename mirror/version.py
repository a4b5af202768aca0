"""Which of two versions is higher, and which versions a range admits (contract, section 2).

A version becomes a key: bytes that compare like the versions do, so that Python, SQLite and a plain sort agree.
Says nothing about which versions exist or are offered.
"""

from __future__ import annotations

import enum
import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class RangeError(ValueError):
    """A text is not a version range.

    Attributes:
        text: the whole text that was given.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}; write for example '>=1.2,<2', '==1.4' or '*'")
        self.text = text


class Rank(enum.IntEnum):
    """What kind of component this is; the first thing that is compared."""

    PRE_RELEASE = 0
    ZERO = 1
    POST_RELEASE = 2
    NONZERO = 3
    LETTER_SUFFIX = 4


# The names of the groups are ranks; what no group takes is passed over: separators and the zeros that lead a number.
# Words that we do not know are pre-releases, unless one stands directly after a number and not directly before
# one: the letter in 1.0a and 1.0a.1, but not in 1.0a1 or 1.0-a.
_COMPONENT = re.compile(
    r"""
      (?P<ZERO>          0+ (?![0-9]) )
    | (?P<NONZERO>       [1-9][0-9]* )
    | (?P<POST_RELEASE>  (?:post|patch)[a-z]* | (?:pl|errata)(?![a-z]) )
    | (?P<PRE_RELEASE>   pre[a-z]* | (?:alpha|beta|rc)(?![a-z]) | (?<![0-9])[a-z]+ | [a-z]+(?=[0-9]) )
    | (?P<LETTER_SUFFIX> [a-z]+ )
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_MARK = re.compile(r"\A[vV](?=[0-9])")

# The components of a key are compared as if zeros without end followed, and zeros cannot be written without end.
# So a zero is not written; the byte before every other component tells the run of zeros that it ends. Where one
# run is shorter than another, a component stands against a zero: one that ranks below zero makes its version
# the lower, so the run's length itself is written; one above zero makes it the higher, so that is turned round.
# The end, an endless run, lies between the two. 128 characters have room for runs of 64 zeros, so all three fit.
_END = 128
_LONGEST_RUN = 255

_PLUS = b"\x01"
_TEXT = b"\x00"  # below _PLUS, because no part after a plus is the lowest


def sort_key(version: str) -> bytes:
    """Make the key of the total order, in which only equal texts are equal.

    Raises:
        ValueError: `version` is not a version.
    """
    return order_key(version) + _TEXT + version.encode()


def order_key(version: str) -> bytes:
    """Make the key of the order without the tie-break by text: 1.4, v1.4 and 1.4.0 have the same.

    Raises:
        ValueError: `version` is not a version.
    """
    if not names.is_version(version):
        raise ValueError(
            f"not a version: {_shown(version)}; write for example '1.2.3' "
            "(a letter or digit, then up to 127 letters, digits or any of . + ~ _ -)"
        )
    head, plus, build = _MARK.sub("", version).partition("+")
    return _part_key(head) + _PLUS + _part_key(build) if plus else _part_key(head)


def bounds_of_equals(version: str) -> tuple[bytes, bytes]:
    """Return the ends of the run of sort keys that versions equal but for the tie-break have; the upper is outside.

    Raises:
        ValueError: `version` is not a version.
    """
    key = order_key(version)
    # a key is no beginning of another one's, but for what comes after a plus
    return key + _TEXT, key + _PLUS


def _part_key(part: str) -> bytes:
    key = bytearray()
    zeros = 0
    for rank, text in _components(part):
        if rank is Rank.ZERO:
            zeros += 1
            continue
        key.append(zeros if rank < Rank.ZERO else _LONGEST_RUN - zeros)
        key.append(rank)
        # of two numbers without leading zeros the longer is the higher; of a word only the first letter counts
        key += bytes([len(text)]) + text.encode() if rank is Rank.NONZERO else text[0].lower().encode()
        zeros = 0
    key.append(_END)
    return bytes(key)


def _components(part: str) -> Iterator[tuple[Rank, str]]:
    for match in _COMPONENT.finditer(part):
        rank = Rank[str(match.lastgroup)]
        yield rank, match[rank.name]


@dataclass(frozen=True, slots=True)
class Range:
    """Comparisons that a version must all meet.

    They ignore the tie-break by text; a bound without `+` ignores what a version has after its own.
    `<X` refuses the pre-releases of X too, unless X is one: `<2` refuses 2.0-rc1, `<2-rc2` admits 2-rc1.
    """

    text: str
    _comparisons: tuple[_Comparison, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read comma-separated comparisons: `>=1.2,<2`, `==1.4`, `!=1.5`, `*`; a bare version means `>=`.

        Raises:
            RangeError: `text` is not a version range.
        """
        return cls(text, tuple(_parse_comparison(part, text) for part in text.split(",")))

    def admits(self, version: str) -> bool:
        """Tell whether `version` meets every comparison.

        Raises:
            ValueError: `version` is not a version.
        """
        full = order_key(version)
        head = order_key(version.partition("+")[0])
        return all(comparison.holds(full if comparison.has_plus else head) for comparison in self._comparisons)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One bound, in terms of keys."""

    meets: Callable[[bytes, bytes], bool]
    bound: bytes
    has_plus: bool = False
    refused: bytes | None = None  # what the keys of the bound's pre-releases begin with

    def holds(self, key: bytes) -> bool:
        return self.meets(key, self.bound) and (self.refused is None or not key.startswith(self.refused))


_OPERATORS: dict[str, Callable[[bytes, bytes], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "": operator.ge,
}
_ANY = _Comparison(operator.ge, b"")
_BLANK = " \t"
_COMPARISON = re.compile(rf"(?P<operator>{'|'.join(_OPERATORS)})[{_BLANK}]*(?P<version>{names.VERSION})")


def _parse_comparison(part: str, text: str) -> _Comparison:
    part = part.strip(_BLANK)
    if part == "*":
        return _ANY
    match = _COMPARISON.fullmatch(part)
    if match:
        return _comparison(match["operator"], match["version"])
    if part:
        raise RangeError(f"{_shown(part)} is not one of >= > <= < == != with a version after it, nor '*'", text)
    if text.strip(_BLANK):
        raise RangeError(f"nothing stands before or after a comma of the version range {_shown(text)}", text)
    raise RangeError("the version range is empty", text)


def _comparison(sign: str, version: str) -> _Comparison:
    bound = order_key(version)
    # The pre-releases of X lie below X and begin with all of X's components but zeros at its end: with its key up
    # to the end. Those of 1.9 are none of 2, and those of 2.0 are none of 2.0+5: <2.0+5 admits 2.0 and 2.0-rc1
    # with it, but not 2.0+5-rc1.
    refused = bound[:-1] if sign == "<" and not _is_pre_release(version) else None
    return _Comparison(_OPERATORS[sign], bound, "+" in version, refused)


def _is_pre_release(version: str) -> bool:
    """Tell whether a pre-release's word, known or not, stands before the plus: 1.0+build5 comes after 1.0."""
    head = _MARK.sub("", version).partition("+")[0]
    return any(rank is Rank.PRE_RELEASE for rank, _ in _components(head))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
