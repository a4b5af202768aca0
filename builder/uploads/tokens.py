"""The tokens of publishers: a file of their hashes, and what each of them allows.

A token is 256 random bits, of which the SHA-256 is kept. A slow hash, as passwords need, would protect nothing more:
nobody finds 256 random bits by trying, and strangers could keep the receiver busy with it.
A file that is damaged, or says what is not understood here, lets nobody in. That there was ever a token is not
forgotten: neither the last one's end nor a file that was removed opens uploads to those who have none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from builder.uploads import grants
from builder.uploads.grants import Grant
from mirror import canonical, names
from mirror.errors import OperatorError, PublisherError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mirror.files import Files

logger = logging.getLogger(__name__)

_MAX_BYTES = 4 * 1024 * 1024
_KEYS = {field.name for field in dataclasses.fields(Grant)} | {"sha256"}
_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class TokensError(OperatorError):
    """The file of tokens cannot be used, or not be changed as asked."""

    code = "tokens"


class UnauthorizedError(PublisherError):
    """A request has no token that is good now.

    Attributes:
        challenge: the value of WWW-Authenticate (RFC 6750, section 3).
    """

    code = "unauthorized"
    status_hint = 401

    def __init__(self, problem: str, challenge: str = 'Bearer realm="otamirror", error="invalid_token"') -> None:
        super().__init__(problem)
        self.challenge = challenge


class _Seen(NamedTuple):
    """What was read, by the tokens' hashes, and how to know the file that it was read from."""

    stamp: tuple[int, ...]
    grants: Mapping[str, Grant]


class Tokens:
    """The tokens of a site; what other processes change in their file is seen at once."""

    def __init__(self, path: Path, files: Files, clock: Callable[[], float]) -> None:
        self._path = path
        # to revoke a token, nobody has to wait for the end of a long publish; it stays, and so tells of lost tokens
        self._lock = path.with_name(f".{path.name}.lock")
        self._files = files
        self._clock = clock
        self._seen = _Seen((), {})

    def are_needed(self) -> bool:
        """Return whether uploads need a token: whether one was ever made, or somebody made the file.

        Raises:
            TokensError: that cannot be found out.
        """
        return _exists(self._path) or _exists(self._lock)

    def are_good(self) -> bool:
        """Return whether anybody can upload with a token now."""
        now = self._clock()
        return any(not grant.is_expired(now) for grant in self._read().values())

    def grants(self) -> tuple[Grant, ...]:
        """Return what each token allows, in the order in which they were made."""
        return tuple(self._read().values())

    def check(self, authorization: str | None) -> Grant:
        """Judge the Authorization of a request.

        Raises:
            UnauthorizedError: it holds no token that is good now.
            TokensError: the file cannot be used, so nobody is let in.
        """
        digest = _digest(_secret(authorization))
        # all of them, each in constant time: how long it takes tells nothing about any
        found = [grant for sha256, grant in self._read().items() if hmac.compare_digest(sha256, digest)]
        if not found:
            raise UnauthorizedError("the token is not known here: it was mistyped or revoked; ask for a new one")
        if found[0].is_expired(self._clock()):
            raise UnauthorizedError(f"the token {found[0].name} expired at {found[0].expires}; ask for a new one")
        return found[0]

    def add(self, name: str, packages: tuple[str, ...], branches: tuple[str, ...], expires: str | None) -> str:
        """Make a token and return it; nobody can find it out again.

        Raises:
            TokensError: the name is taken.
            ValueError: the grant makes no sense.
        """
        created = grants.time(self._clock())
        grant = Grant(name=name, packages=packages, branches=branches, created=created, expires=expires)
        secret = f"ota_{secrets.token_urlsafe(32)}"  # a word before it, so that scanners for leaked secrets find it
        with self._changing() as known:
            if any(other.name == name for other in known.values()):
                raise TokensError(f"there is a token {name} already: choose another name, or revoke it first")
            known[_digest(secret)] = grant
        logger.info("added token %s", name)
        return secret

    def revoke(self, name: str) -> None:
        """Remove a token: it is refused from now on.

        Raises:
            TokensError: there is none of this name.
        """
        if not self.are_needed():
            raise TokensError(f"there is no token {name}, and none was ever made; `otamirror token add` makes one")
        with self._changing() as known:
            found = [sha256 for sha256, grant in known.items() if grant.name == name]
            if not found:
                raise TokensError(f"there is no token {name}; `otamirror token list` shows what there is")
            del known[found[0]]
        logger.info("revoked token %s", name)

    def _read(self) -> Mapping[str, Grant]:
        try:
            with self._path.open("rb") as file:
                facts = os.fstat(file.fileno())
                stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
                if stamp != self._seen.stamp:
                    self._seen = _Seen(stamp, _parse(file.read(_MAX_BYTES + 1)))
                return self._seen.grants
        except FileNotFoundError:
            return {}
        except OSError as error:
            advice = "nobody can upload until the service's user can read it"
            raise TokensError(f"{self._path} cannot be read: {error.strerror}; {advice}") from error
        except ValueError as error:
            advice = "nobody can upload until it is put back from a backup, or emptied and the tokens are made anew"
            raise TokensError(f"{self._path} is damaged: {error}; {advice}") from error

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Grant]]:
        """Give the grants, to be changed, and write them; one process at a time."""
        self._files.make_folder(self._path.parent)
        descriptor = self._files.calls.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = dict(self._read())
            yield known
            self._files.replace(self._path, _encode(known), mode=0o600)
        finally:
            self._files.calls.close(descriptor)


def _secret(authorization: str | None) -> str:
    if authorization is None:
        advice = "send it as `Authorization: Bearer TOKEN`, or push with OTAMIRROR_TOKEN set"
        raise UnauthorizedError(f"a token is needed: {advice}", 'Bearer realm="otamirror"')
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise UnauthorizedError("the Authorization is not `Bearer TOKEN`")
    return match[1]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _encode(known: Mapping[str, Grant]) -> bytes:
    listed = [{**dataclasses.asdict(grant), "sha256": sha256} for sha256, grant in known.items()]
    return f"{json.dumps({'tokens': listed}, indent=2)}\n".encode()


def _exists(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        advice = "nobody can upload until the service's user may enter its folder"
        raise TokensError(f"{path} cannot be looked for: {error.strerror}; {advice}") from error
    return True


def _parse(raw: bytes) -> dict[str, Grant]:
    if not raw:
        return {}
    value, problems = canonical.decode(raw, limit=_MAX_BYTES)
    if problems:
        raise ValueError(str(problems[0]))
    listed = value.get("tokens")
    if value.keys() != {"tokens"} or not isinstance(listed, list):
        raise ValueError('it is not {"tokens": [...]}')
    known = dict(map(_entry, listed))
    if len({grant.name for grant in known.values()}) != len(listed):
        raise ValueError("a token stands in it twice")
    return known


def _entry(value: object) -> tuple[str, Grant]:
    # a key that is not known here may be a limit, which must not be passed over
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise ValueError(f"an entry has other keys than {', '.join(sorted(_KEYS))}")
    members: dict[str, Any] = {
        key: tuple(member) if isinstance(member, list) else member for key, member in value.items()
    }
    sha256 = members.pop("sha256")
    try:
        if names.is_sha256(sha256) and all(isinstance(members[key], tuple) for key in ("packages", "branches")):
            return sha256, Grant(**members)
    except TypeError:
        pass
    raise ValueError("an entry has a value of a wrong type")
