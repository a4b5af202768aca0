"""Version ranges as a device works with them: each asked of many versions, over and over, and some of them broken.

Which versions a range admits is told by `mirror.version`. Here it is remembered, and told besides where a range lies,
so that older segments of a list that can hold nothing of it stay unread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mirror import version as rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COMPARISON = re.compile(r"[ \t]*(?P<operator>[<>=!]*)[ \t]*(?P<version>[^ \t]+)[ \t]*")
# As bounds are monotone, one that refuses a version refuses all that lie beyond it.
_LOWER = {">=": ">=", ">": ">", "==": ">=", "": ">="}
_UPPER = {"<=": "<=", "<": "<", "==": "<="}


class Range:
    """A range. What is none admits nothing, so that nothing is risked where an owner has written it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._admitted: dict[str, bool] = {}
        try:
            self._range: rules.Range | None = rules.Range.parse(text)
        except rules.RangeError:
            self._range = None

    def admits(self, version: str) -> bool:
        """Tell whether `version` is in it."""
        if version not in self._admitted:
            self._admitted[version] = self._range is not None and self._range.admits(version)
        return self._admitted[version]

    def is_above(self, version: str) -> bool:
        """Tell whether all that it admits is higher than `version`."""
        return any(not bound.admits(version) for bound in self._bounds(_LOWER))

    def is_below(self, version: str) -> bool:
        """Tell whether all that it admits is lower than `version`."""
        return any(not bound.admits(version) for bound in self._bounds(_UPPER))

    def _bounds(self, operators: Mapping[str, str]) -> Iterator[rules.Range]:
        for part in self._text.split(",") if self._range else ():
            match = _COMPARISON.fullmatch(part)
            if match and match["operator"] in operators and match["version"] != "*":
                yield rules.Range.parse(operators[match["operator"]] + match["version"])

    def __str__(self) -> str:
        return self._text
