"""The state file: which packages this device has, and which it wants.

It is the owner's file. It is read leniently, what is not known in it is kept, and it is written so that a
person can go on editing it. Each entry is the content.json of what is installed, with the owner's own
`local` and `remote`, and the key `otadevice`; an entry without `version` is wanted but not installed yet.
"""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devclient.errors import StateError
from mirror import rules
from mirror import text as reading
from mirror.content import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mirror.content import Content
    from mirror.files import Files
    from mirror.rules import Rule

OURS = "otadevice"


@dataclass(frozen=True)
class Package:
    """One entry of the state file, as it stands there."""

    fields: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The package's name."""
        return str(self.fields["package"])

    @property
    def branch(self) -> str:
        """The branch that it follows."""
        return str(self.fields["branch"])

    @property
    def version(self) -> str:
        """The version that is installed, "" for none."""
        return str(self.fields.get("version", ""))

    @property
    def local(self) -> str:
        """Where the owner wants it, "" if the owner does not say."""
        return str(self.fields.get("local", ""))

    @property
    def remote(self) -> str:
        """The URL of the mirror that it comes from, "" for the first one of the settings."""
        return str(self.fields.get("remote", ""))

    @property
    def is_folder(self) -> bool:
        """Whether its owner wants it unpacked into a folder."""
        return self.local.endswith("/")

    @property
    def content(self) -> str:
        """The hash of the content.json of what is installed, "" if that is not known."""
        return str(self._ours.get("content", ""))

    @property
    def pin(self) -> str:
        """The version range that its owner keeps it in, "" for none."""
        return str(self._ours.get("pin", ""))

    @property
    def auto(self) -> bool:
        """Whether it is here only because another package depends on it."""
        return self._ours.get("auto") is True

    @property
    def adopt(self) -> bool:
        """Whether a folder of its owner's, in its place, may be replaced."""
        return self._ours.get("adopt") is True

    @property
    def dependencies(self) -> Mapping[str, str]:
        """What the installed release depends on: version ranges by package."""
        found = self.fields.get("dependencies", {}) if self.version else {}
        return {str(name): str(versions) for name, versions in found.items()} if isinstance(found, dict) else {}

    @property
    def _ours(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.fields.get(OURS, {})
        return found

    def keeping(self, **ours: Any) -> Package:
        """Return the entry with these keys of otadevice's; None takes one away."""
        kept = {key: value for key, value in {**self._ours, **ours}.items() if value is not None}
        own = {key: value for key, value in self.fields.items() if key != OURS}
        return Package({**own, **({OURS: kept} if kept else {})})

    def wanted(self) -> Package:
        """Return the entry as it is while nothing is installed: the owner's own keys, and what otadevice keeps."""
        ours = {key: value for key, value in self._ours.items() if key != "content"}
        kept = {key: self.fields[key] for key in ("package", "branch", "local", "remote") if self.fields.get(key)}
        own = {key: value for key, value in self.fields.items() if key not in {*KEYS, OURS}}
        return Package({**kept, **own, **({OURS: ours} if ours else {})})

    def installed(self, content: Content, local: str) -> Package:
        """Return the entry once `content` is installed at `local`; the owner's own keys stay."""
        ours = {key: value for key, value in self._ours.items() if key != "adopt"} | {"content": content.digest}
        fields = {**content.fields(), "local": local, "remote": self.remote}
        own = {key: value for key, value in self.fields.items() if key not in {*fields, OURS}}
        return Package({**fields, **own, OURS: ours})

    def known(self, version: str, content: str, sha256: str, local: str) -> Package:
        """Return the entry once a release is installed at `local` of which no more than this is known."""
        wanted = self.wanted()
        return Package({**wanted.fields, "version": version, "sha256": sha256, "local": local}).keeping(
            content=content, adopt=None
        )


@dataclass(frozen=True)
class State:
    """The whole state file."""

    fields: Mapping[str, Any]

    @property
    def device(self) -> str:
        """The name of the device, as the owner gave it."""
        return str(self.fields.get("device", ""))

    @property
    def name(self) -> str:
        """The name of the device, its host name if the owner gave none."""
        return self.device or socket.gethostname()

    @property
    def packages(self) -> tuple[Package, ...]:
        """All entries, in the owner's order."""
        return tuple(Package(entry) for entry in self.fields.get("package", ()))

    def package(self, name: str) -> Package | None:
        """Return the entry of a package, None if there is none."""
        return next((package for package in self.packages if package.name == name), None)

    def unneeded(self) -> tuple[Package, ...]:
        """Return the packages that are here because others depended on them, none of which is here any more."""
        needed, asked = set[str](), [each for each in self.packages if not each.auto]
        while asked:
            more = {name for each in asked for name in each.dependencies} - needed
            needed |= more
            asked = [each for each in self.packages if each.name in more]
        return tuple(each for each in self.packages if each.auto and each.name not in needed)

    def without(self, name: str) -> State:
        """Return the state without a package."""
        return State({**self.fields, "package": [dict(each.fields) for each in self.packages if each.name != name]})

    def including(self, package: Package) -> State:
        """Return the state with `package` in the place of its former entry, or at the end."""
        entries = {entry.name: entry for entry in self.packages}
        entries[package.name] = package
        return State({**self.fields, "package": [dict(entry.fields) for entry in entries.values()]})


def fingerprint(package: Package | None) -> str:
    """Return a hash by which a changed entry is known, "" for none."""
    text = json.dumps(dict(package.fields), sort_keys=True) if package else ""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def new(device: str) -> State:
    """Make the state of a device on which nothing is wanted yet."""
    return State({"device": device, "description": "", "package": []})


_MOST_BYTES = 16 * 1024 * 1024


def load(file: Path) -> State:
    """Read the state file.

    Raises:
        StateError: with the first thing that is wrong.
    """
    try:
        fields = json.loads(reading.read(file, _MOST_BYTES), object_pairs_hook=_object)
        _check(fields)
        _encode(fields)  # what cannot be written again must be found before an update, not after it
    except FileNotFoundError:
        raise StateError(
            file, 'there is no such file: put it back, or write {"package": []} into it and add what is wanted'
        ) from None
    except OSError as error:
        raise StateError(file, f"cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise StateError(file, what) from None
    except UnicodeError as error:
        raise StateError(file, f"is not UTF-8 text: {error}") from None
    except RecursionError:
        raise StateError(file, "is nested too deep") from None
    except (TypeError, ValueError) as error:
        raise StateError(file, str(error)) from None
    return State(fields)


def save(state: State, file: Path, files: Files) -> None:
    """Write the state file, durably and whole or not at all; a link to it stays a link, and its owner stays."""
    file = file.resolve()
    files.replace(file, encode(state), like=file)


def encode(state: State) -> bytes:
    """Return the bytes of the state file."""
    return _encode(state.fields)


def _encode(fields: Mapping[str, Any]) -> bytes:
    return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise ValueError(f"the key {key!r} stands twice in one object; leave one")
        fields[key] = value
    return fields


def _check(fields: Any) -> None:
    """Refuse what cannot be worked with; all else is the owner's business."""
    if not isinstance(fields, dict):
        raise TypeError(f"must be a JSON object, not {_shown(fields)}")
    _text("", fields, "device", rules.anything)
    entries = fields.get("package", [])
    if not isinstance(entries, list):
        raise TypeError(f"package: must be a list, not {_shown(entries)}")
    for number, entry in enumerate(entries):
        _check_entry(f"package[{number}]", entry)
    for key in ("package", "local"):
        _check_unique(key, entries)


def _check_entry(where: str, entry: Any) -> None:
    if not isinstance(entry, dict):
        raise TypeError(f"{where}: must be an object, not {_shown(entry)}")
    for key, rule in _ENTRY.items():
        _text(f"{where}.", entry, key, rule)
    for key in ("package", "branch"):
        if not entry.get(key):
            raise ValueError(f"{where}.{key}: is missing")
    ours = entry.get(OURS, {})
    if not isinstance(ours, dict):
        raise TypeError(f"{where}.{OURS}: must be an object, not {_shown(ours)}")
    _text(f"{where}.{OURS}.", ours, "pin", rules.version_range)


def _check_unique(key: str, entries: list[dict[str, Any]]) -> None:
    numbers: dict[str, int] = {}
    for number, entry in enumerate(entries):
        text = entry.get(key)
        if text and text in numbers:
            raise ValueError(f"package[{number}].{key}: {text!r} stands in package[{numbers[text]}] too")
        numbers[text or ""] = number


def _text(prefix: str, fields: Mapping[str, Any], key: str, rule: Rule) -> None:
    text = fields.get(key, "")
    if not isinstance(text, str):
        raise TypeError(f"{prefix}{key}: must be a string, not {_shown(text)}")
    if text and (fault := rule(text)):
        what, advice = fault
        raise ValueError(f"{prefix}{key}: {what}{f' ({advice})' if advice else ''}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


_ENTRY: dict[str, Rule] = {
    "package": rules.name,
    "branch": rules.branch,
    "version": rules.version,
    "local": rules.local,
    "remote": rules.remote,
}
