"""What the strings of content.json must be (contract, section 2).

A rule takes the text of one value and returns None, or what is wrong with it and what to do.
Which key has which rule, and all that concerns more than one value, is told in `content`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from mirror import names
from mirror.canonical import shown
from mirror.version import Range, RangeError

# what is wrong, and what to do
Fault = tuple[str, str] | None
Rule = Callable[[str], Fault]

_NOT_IN_URLS = '<>"\\^`{|}'


def anything(_: str) -> Fault:
    """Take any text."""
    return None


def name(text: str) -> Fault:
    """Judge a package's name."""
    if names.is_name(text):
        return None
    rule = "a letter or digit, then up to 127 letters, digits or any of . _ -, not ending in a dot"
    return f"{shown(text)} is not a name: {rule}", _suggestion(text, "A-Za-z0-9._-", names.is_name)


def branch(text: str) -> Fault:
    """Judge a branch's name."""
    if names.is_name(text) and not names.is_branch(text):
        return "begins like the name of an immutable file, 64 hex digits and a dot", "put a word before it"
    return name(text)


def version(text: str) -> Fault:
    """Judge a version."""
    if names.is_version(text):
        return None
    rule = "a letter or digit, then up to 127 letters, digits or any of . + ~ _ -"
    return f"{shown(text)} is not a version: {rule}", _suggestion(text, "0-9A-Za-z.+~_-", names.is_version)


def sha256(text: str) -> Fault:
    """Judge a SHA-256; upper case is fine here."""
    if names.is_sha256(text.lower()):
        return None
    hint = f"these are {len(text)} characters" if len(text) != 64 else "`otamirror pack` fills it in"
    return f"{shown(text)} is not a SHA-256: 64 hexadecimal digits", hint


def version_range(text: str) -> Fault:
    """Judge a range of versions."""
    try:
        Range.parse(text)
    except RangeError as error:
        return str(error), ""
    return None


def local(text: str) -> Fault:
    """Judge where on a device a package goes."""
    if not text:
        return None
    if not text.startswith("/"):
        return f"{shown(text)} is not an absolute path", "begin it with a slash"
    if text == "/":
        return "is the root of the device's files", "name the file, or a folder for the package alone"
    if {"", ".", ".."} & set(text.removeprefix("/").removesuffix("/").split("/")):
        return f"{shown(text)} has an empty segment, '.' or '..'", "write the path without them"
    return None


def remote(text: str) -> Fault:
    """Judge the URL of a mirror."""
    if not text or _is_mirror_url(text):
        return None
    hint = "such as 'https://updates.example.org', without user name or white space"
    return f"{shown(text)} is not the http(s) URL of a mirror", hint


def restore(text: str) -> Fault:
    """Judge the path of a script."""
    if ".." in text.split("/"):
        hint = "name a script inside the package, or its absolute path"
        return f"{shown(text)} leads out with '..'", hint
    if text.endswith("/"):
        return f"{shown(text)} is a folder", "name the script in it"
    return None


def _suggestion(text: str, allowed: str, fits: Callable[[str], bool]) -> str:
    mended = re.sub(f"[^{allowed}]+", "-", text).strip(".+~_-")
    return f"use {mended!r}" if fits(mended) else ""


def _is_mirror_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        valid_port = parts.port != 0
    except ValueError:
        return False
    plain = not any(character.isspace() or character in _NOT_IN_URLS for character in text)
    whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
    return plain and whole and valid_port and "@" not in parts.netloc


_BLANK = "[ \t]*"
_COMPARISON = rf"{_BLANK}(?:\*|(?:[<>]=?|[!=]=)?{_BLANK}{names.VERSION}){_BLANK}"
_IN_URLS = rf"[^\s{re.escape(_NOT_IN_URLS)}]"
_IN_HOSTS = rf"[^\s@/?#{re.escape(_NOT_IN_URLS)}]"

PATTERNS: Mapping[Rule, str] = {
    name: names.NAME,
    branch: rf"(?![0-9A-Fa-f]{{64}}\.){names.NAME}",
    version: names.VERSION,
    sha256: "[0-9A-Fa-f]{64}",
    version_range: rf"{_COMPARISON}(?:,{_COMPARISON})*",
    local: r"(?:(?:/(?!\.{1,2}(?:/|$))[^/]+)+/?)?",
    remote: rf"(?:[Hh][Tt][Tt][Pp][Ss]?://(?!:){_IN_HOSTS}+(?:[/?#]{_IN_URLS}*)?)?",
    restore: r"(?!(?:[^/]*/)*\.\.(?:/|$))(?:(?:[^/]*/)*[^/]+)?",
}
"""The rules as regular expressions of the kind that JSON Schema has, for whole texts of one line.

That of `remote` takes a little more than its rule, of which ports and addresses are more than a pattern can judge.
"""
