"""Which releases a device takes for one package: the first stage of an update.

The highest that may be taken and goes with what is installed is offered, with all that has to change with it; of each
above it that is not taken, it is told why. Which release may be taken at all is `choices`' matter, what goes together
that of `resolve`, and what vouches for the lists that of the `Mirror`. Nothing on the device is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devclient.solve import conflict, resolve
from devclient.solve.choices import KNOWN_NEEDS, Choices, not_understood, yanked_in_words
from devclient.solve.lists import Lists, Mirror
from devclient.solve.rollout import Turn
from mirror import names
from mirror.version import sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from devclient.solve.lists import Listed
    from devclient.solve.resolve import Release
    from devclient.state import Package
    from mirror.content import Content
    from mirror.releases import Entry

__all__ = ["Finding", "Lists", "Mirror", "Offer", "Skipped", "Turn", "Wish", "check", "refusals", "yanked_in_words"]

MOST_TRIED = 32
"""How many releases of a package are tried with what is installed."""

Judged = tuple["Entry", str]
"""A release, and why it may not be taken, whatever it goes with; "" if it may."""


@dataclass(frozen=True)
class Offer:
    """A release that may be installed.

    Attributes:
        content: what its publisher says about it, as the release list vouches for.
        size: bytes of the blob.
    """

    content: Content
    size: int

    def __str__(self) -> str:
        return f"{self.content.package} {self.content.version}"


@dataclass(frozen=True)
class Skipped:
    """A release that is not taken, though it is above the installed one or should replace it."""

    version: str
    why: str


@dataclass(frozen=True)
class Wish:
    """The one release that the operator wants.

    Attributes:
        allow_downgrade: whether it may be lower than the installed one.
    """

    version: str
    allow_downgrade: bool = False


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        offer: the release to take, if any.
        why: why there is no offer, "" if there is one.
        skipped: the releases that were passed over, highest first.
        yanked: what the mirror says if it has taken back the installed release.
        changes: all that has to change together, the offer included, each after what it depends on.
        current: what the mirror says of the installed release, if that was asked for and is still listed.
    """

    offer: Offer | None
    why: str = ""
    skipped: tuple[Skipped, ...] = ()
    yanked: Mapping[str, Any] | None = None
    changes: tuple[Offer, ...] = ()
    current: Content | None = None


def check(  # noqa: PLR0913 - all that a device knows of itself
    package: Package,
    packages: Sequence[Package],
    mirror: Mirror | Lists,
    *,
    bad: Mapping[str, str] | None = None,
    wish: Wish | None = None,
    lacks: Callable[[str], bool] = lambda _content: False,
    remote: Callable[[str], str] = lambda url: url.rstrip("/"),
    turn: Callable[[], Turn] = Turn,
) -> Finding:
    """Find what this device takes for `package`.

    Args:
        package: the entry of the state file, or one like it.
        packages: all entries of the state file.
        mirror: that of the package; as `Lists`, it reads each list once in several calls.
        bad: why contents, by their hash, are not to be taken again.
        wish: the release that it has to be.
        lacks: tells whether a content, by its hash, is wanted for `current`.
        remote: names the remote that a URL of the state file stands for.
        turn: tells when what is rolled out comes to this device, asked once the mirror has answered.

    Raises:
        NotOnMirrorError: the mirror does not have the package on the branch.
        BrokenPromiseError: what the mirror serves does not hold together.
        DeviceError: what the mirror raises.
    """
    lists = mirror if isinstance(mirror, Lists) else Lists(mirror)
    listed = lists.of(package.name, package.branch)
    if unknown := listed.newest.unknown_needs(KNOWN_NEEDS):
        return Finding(None, not_understood(unknown))
    choices = Choices(package.branch, *_sorted_out(package, packages, remote), lists, bad or {}, turn())
    installed = listed.entry(package.version) if package.version else None
    judged = _wished(wish, package, listed, choices) if wish else _newer(package, installed, listed, choices)
    taken, skipped = _first_that_goes(judged, package.name, choices)
    changes = {release.package: _offer(release, lists.of(release.package, package.branch)) for release in taken}
    return Finding(
        offer=changes.get(package.name),
        why="" if taken else _why_nothing(package.version, wish, skipped, listed),
        skipped=tuple(skipped),
        yanked=installed.yanked if installed else None,
        changes=tuple(changes.values()),
        current=_current(package, installed, listed, lacks),
    )


def refusals(
    package: Package, mirror: Mirror | Lists, *, bad: Mapping[str, str] | None = None, turn: Callable[[], Turn] = Turn
) -> list[Judged]:
    """List every release of a package, highest first, with the reason why it may not come, whatever it goes with.

    Those of a list that is not understood are none.

    Raises:
        DeviceError: as `check`.
    """
    lists = mirror if isinstance(mirror, Lists) else Lists(mirror)
    listed = lists.of(package.name, package.branch)
    if listed.newest.unknown_needs(KNOWN_NEEDS):
        return []
    choices = Choices(package.branch, [package], {}, lists, bad or {}, turn())
    entries = [entry for part in listed.parts(lambda _: True) for entry in part]
    return [(entry, choices.refusal(package.name, entry)) for entry in entries]


def _sorted_out(
    package: Package, packages: Iterable[Package], remote: Callable[[str], str]
) -> tuple[list[Package], dict[str, str]]:
    """Tell which packages can go with `package`, and why the others cannot."""
    here, elsewhere = [package], {}
    for other in packages:
        if other.name == package.name:
            continue
        if other.branch != package.branch:
            elsewhere[other.name] = f"{other.name} follows branch {other.branch} here"
        elif remote(other.remote) != remote(package.remote):
            elsewhere[other.name] = f"{other.name} comes from another mirror here"
        else:
            here.append(other)
    return here, elsewhere


def _newer(package: Package, installed: Entry | None, listed: Listed, choices: Choices) -> Iterator[Judged]:
    """Yield the releases above the installed one, and at last what should replace that if it was taken back."""
    yield from choices.judged(package.name)
    yanked = installed.yanked if installed else None
    replacement = str((yanked or {}).get("replacement", ""))
    is_lower = names.is_version(replacement) and sort_key(replacement) < sort_key(package.version)
    if is_lower and (entry := listed.entry(replacement)):
        yield entry, choices.refusal(package.name, entry)


def _wished(wish: Wish, package: Package, listed: Listed, choices: Choices) -> Iterator[Judged]:
    """Yield the release that is wished for, if it is listed."""
    entry = listed.entry(wish.version)
    if entry is None:
        return
    is_lower = bool(package.version) and sort_key(entry.version) < sort_key(package.version)
    if is_lower and not wish.allow_downgrade:
        yield entry, f"is below {package.version}, which is installed; `--allow-downgrade` lets this device go back"
    else:
        yield entry, choices.refusal(package.name, entry)


def _first_that_goes(
    judged: Iterable[Judged], package: str, choices: Choices
) -> tuple[tuple[Release, ...], list[Skipped]]:
    """Find the first release that goes with what is installed; returns all that has to be taken, and what was not."""
    skipped: list[Skipped] = []
    tried = 0
    for entry, refused in judged:
        why = refused
        if not why and tried == MOST_TRIED:
            why = f"was not tried, nor what is lower: {MOST_TRIED} above it do not go with what is installed"
            return (), [*skipped, Skipped(entry.version, why)]
        if not why:
            tried += 1
            release = choices.release(package, entry)
            try:
                return resolve.solve(release, choices), skipped
            except resolve.UnsolvableError as error:
                why = conflict.explain(release, choices) + (_GIVEN_UP if error.given_up else "")
        skipped.append(Skipped(entry.version, why))
    return (), skipped


_GIVEN_UP = f"; no other way was found in {resolve.ROUNDS} tries"


def _why_nothing(installed: str, wish: Wish | None, skipped: Sequence[Skipped], listed: Listed) -> str:
    if wish and not skipped:
        return f"{wish.version} is not among the releases of {listed.newest.package} on {listed.newest.branch}"
    if wish:
        return f"{wish.version} cannot be taken: it {skipped[0].why}"
    if not skipped:
        return f"nothing newer than {installed}" if listed.newest.releases else "nothing is released"
    first = skipped[0]
    if installed and sort_key(first.version) < sort_key(installed):
        return (
            f"nothing newer than {installed}, and what should replace it cannot be taken: {first.version} {first.why}"
        )
    return f"nothing newer can be taken: {first.version} {first.why}"


def _offer(release: Release, listed: Listed) -> Offer:
    if release.entry is None:
        raise RuntimeError(f"{release} is installed, nothing offers it")
    return Offer(listed.content(release.entry), release.entry.size)


def _current(package: Package, installed: Entry | None, listed: Listed, lacks: Callable[[str], bool]) -> Content | None:
    """Fetch what the mirror says of the installed release, if it is that very one and `lacks` wants it."""
    if installed is None or package.content not in {"", installed.content} or not lacks(installed.content):
        return None
    return listed.content(installed)
