"""What a device keeps of a remote: its metadata as tuf names it, and in `kept/` what is ours.

tuf does not sync what it writes. So it works in a scratch folder, and what it accepts comes here afterwards, each file
whole or not at all, `timestamp.json` last. Wherever that is cut, there is a folder from which the next refresh goes on,
and no version in it is lower than before. A file that is damaged or missing is fetched again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from devclient.trust import notes, url_records
from mirror import canonical, trust

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from devclient.trust.notes import Notes
    from devclient.trust.url_records import UrlRecord
    from mirror.files import Files

_HISTORY = "root_history"
_SNAPSHOT, _TIMESTAMP = f"{trust.SNAPSHOT}.json", f"{trust.TIMESTAMP}.json"
_NOTES, _URLS = "notes.json", "urls.json"


class Memory:
    """The folder of one remote."""

    def __init__(self, folder: Path, files: Files, *, lasting: bool = True) -> None:
        """Keep things in `folder`; what is not `lasting` only reads what is there."""
        self._folder = folder
        self._ours = folder / "kept"
        self._files = files
        self._lasting = lasting

    def lay_out(self, scratch: Path) -> None:
        """Copy the metadata for tuf to work with."""
        (scratch / _HISTORY).mkdir(exist_ok=True)
        for file in _metadata(self._folder):
            with contextlib.suppress(OSError):  # what cannot be read is fetched again
                if file.stat().st_size <= max(trust.MAX_BYTES.values()):
                    (scratch / file.relative_to(self._folder)).write_bytes(file.read_bytes())

    def keep(self, scratch: Path, noted: Notes) -> None:
        """Make durable what tuf has accepted in `scratch`, which is complete, and what is noted of it."""
        timestamp = scratch / _TIMESTAMP
        for file in sorted({*_metadata(scratch)} - {timestamp}, key=_rank):
            self._replace(self._folder / file.relative_to(scratch), file.read_bytes())
        self.note(noted)
        # last: it is the floor below which nothing older is taken, and until now that was the one before
        if timestamp.exists():
            self._replace(self._folder / _TIMESTAMP, timestamp.read_bytes())

    def keep_roots(self, scratch: Path) -> None:
        """Make durable the roots that tuf has accepted in `scratch`, whatever became of the rest."""
        for file in sorted(_roots(scratch), key=_rank):
            self._replace(self._folder / file.relative_to(scratch), file.read_bytes())

    def note(self, noted: Notes) -> None:
        """Make durable what is noted."""
        self._replace(self._ours / _NOTES, noted.encode())

    def forget_timestamp(self, noted: Notes) -> None:
        """Forget the timestamp that is here, and make durable what is noted without it."""
        # first: wherever this is cut, the timestamp is found to be void again
        self.note(noted)
        timestamp = self._folder / _TIMESTAMP
        if self._lasting and timestamp.exists():
            self._remove(timestamp)

    def notes(self) -> Notes:
        """Read what is noted."""
        return notes.parse(self._read(_NOTES))

    def keep_urls(self, records: Mapping[str, UrlRecord]) -> None:
        """Make durable what is kept of the URLs."""
        self._replace(self._ours / _URLS, url_records.encode(records))

    def urls(self) -> Mapping[str, UrlRecord]:
        """Read what is kept of the URLs."""
        return url_records.parse(self._read(_URLS))

    def file(self, sha256: str) -> bytes | None:
        """Return a file that was kept under its hash; None if it is not there, or damaged."""
        try:
            data = (self._ours / sha256).read_bytes()
        except OSError:
            return None
        return data if canonical.digest(data) == sha256 else None

    def keep_file(self, data: bytes) -> None:
        """Keep a file under its hash."""
        self._replace(self._ours / canonical.digest(data), data)

    def forget_files(self, wanted: Collection[str]) -> None:
        """Remove the files that are not among the hashes `wanted`."""
        for file in sorted(self._ours.glob("*")) if self._lasting else ():
            if file.name not in {*wanted, _NOTES, _URLS}:
                self._remove(file)

    def _read(self, name: str) -> bytes:
        try:
            return (self._ours / name).read_bytes()
        except OSError:
            return b""

    def _replace(self, file: Path, data: bytes) -> None:
        """Write a file, unless it is there with these bytes."""
        if not self._lasting or _holds(file, data):
            return
        self._make_folder(file.parent)
        if file.is_dir():
            self._remove(file)
        self._files.replace(file, data, mode=0o600)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        for place in (self._folder.parent, self._folder, folder):
            if not place.is_dir():
                self._remove(place)
        self._files.make_folder(folder, 0o700)
        self._files.sync_all(folder)

    def _remove(self, path: Path) -> None:
        remove = self._files.remove_tree if path.is_dir() else self._files.remove
        remove(path)


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.read_bytes() == data
    except OSError:
        return False


def _metadata(folder: Path) -> Iterator[Path]:
    """Yield the files of metadata in a folder; not `root.json`, which is tuf's name for the newest root."""
    yield from _roots(folder)
    yield from (file for file in folder.glob("[!.]*.json") if file.name != "root.json")


def _roots(folder: Path) -> Iterator[Path]:
    return folder.glob(f"{_HISTORY}/[0-9]*.root.json")


def _rank(file: Path) -> tuple[bool, bool, int, str]:
    """Put roots before other roles, lower ones first, and the snapshot at the end."""
    return file.parent.name != _HISTORY, file.name == _SNAPSHOT, len(file.name), file.name
