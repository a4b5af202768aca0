"""How far a download is: a bar where a person waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from devclient.check import Offer


def nothing(_offer: Offer, _have: int) -> None:
    """Show nothing: where no person waits, the log tells of starts and ends."""


class Bars:
    """One bar for each offer that is downloaded, while the context lasts."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, offer: Offer, have: int) -> None:
        """Move the bar of `offer` to so many bytes."""
        self._progress.start()  # where nothing is downloaded, nothing is drawn; again without effect
        key = offer.content.sha256
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(str(offer), total=offer.size)
        self._progress.update(self._tasks[key], completed=have)
