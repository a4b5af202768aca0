"""The JSON Schema of content.json, for publishers' editors and pipelines.

It is made of the keys of `content` and the patterns of `rules`, and judges as `content` does as far as a schema can:
docs/content.md says what it cannot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mirror import content, rules
from mirror.canonical import MAX_INTEGER

_LINE = {"$ref": "#/$defs/line"}
_LINES = {"$ref": "#/$defs/lines"}
_VALUE = {"$ref": "#/$defs/value"}
_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class _Told(NamedTuple):
    """What people are told of a key."""

    description: str
    example: object


_TOLD = {
    "package": _Told("Name of the package. Names have no slashes, so that they can stand in addresses.", "app"),
    "description": _Told("What the release is, for people; newlines and tabs are fine.", "Faster start"),
    "version": _Told("Version of the release. Which of two is higher, docs/content.md says.", "1.4.2"),
    "branch": _Told("Branch, which devices follow. It is a name too: feature-x, not feature/x.", "stable"),
    "local": _Told(
        "Where the package goes on a device, as a proposal to its owner: an absolute path. One that ends in a slash is "
        "a folder, into which the package, a tar archive, is unpacked.",
        "/opt/app/app",
    ),
    "remote": _Told("URL of the mirror, for people; no device follows it by itself.", "https://updates.example.org"),
    "sha256": _Told("SHA-256 of the package's bytes; `otamirror pack` fills it in.", _EXAMPLE),
    "BeforeUpdate": _Told("Shell command that a device runs before the update.", "systemctl stop app"),
    "AfterUpdate": _Told(
        "Shell command that a device runs after the update; if it fails, the update is rolled back.",
        "systemctl start app",
    ),
    "dependencies": _Told("Packages of the same branch that this one needs, with their versions.", {"lib": ">=1.2,<2"}),
    "restore": _Told(
        "Path of a script that a device runs once the outcome of the update is durable: absolute, or inside a package "
        "that is a folder.",
        "bin/restore.sh",
    ),
}


def schema() -> dict[str, Any]:
    """Return the schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "content.json",
        "description": "What a publisher says about one release. Keys that are not known here are kept and served.",
        "type": "object",
        "required": [key for key, known in content.KEYS.items() if known.required],
        "properties": {key: _property(key, known) for key, known in content.KEYS.items()},
        "propertyNames": _LINE,
        "additionalProperties": _VALUE,
        "$defs": _definitions(),
    }


def _property(key: str, known: content.Known) -> dict[str, Any]:
    told = {"description": _TOLD[key].description}
    default = {} if known.required else {"default": {} if key == "dependencies" else ""}
    return {**told, **_rule(key, known), **default, "examples": [_TOLD[key].example]}


def _rule(key: str, known: content.Known) -> dict[str, Any]:
    if key == "dependencies":
        return {
            "type": "object",
            "propertyNames": {"pattern": _whole(rules.PATTERNS[rules.name])},
            "additionalProperties": {**_LINE, "pattern": _whole(rules.PATTERNS[rules.version_range])},
        }
    pattern = {"pattern": _whole(rules.PATTERNS[known.rule])} if known.rule in rules.PATTERNS else {}
    return {**(_LINES if known.lines else _LINE), **pattern}


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _definitions() -> dict[str, Any]:
    return {
        "line": {"type": "string", "not": {"pattern": r"[\u0000-\u001f\u007f-\u009f]"}},
        "lines": {"type": "string", "not": {"pattern": r"[\u0000-\u0008\u000b-\u001f\u007f-\u009f]"}},
        "value": {
            "anyOf": [
                _LINE,
                {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
                {"type": ["boolean", "null"]},
                {"type": "array", "items": _VALUE},
                {"type": "object", "propertyNames": _LINE, "additionalProperties": _VALUE},
            ]
        },
    }
