"""One update, from a plan to its end, whatever happens on the way (contract, section 6).

`carry_out` begins one, `recover` goes on where a cut left one. Both do in each state what `states.TABLE` says, and end
in IDLE with the new set or the old one. What is relied upon is durable before: first the plan, then the journal, then
what the journal says is being done.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, ClassVar

from devclient import blame, clean, downloads, hooks, states, succession
from devclient.errors import JournalError, LostError, RebootError, SuccessionError
from devclient.install import commit, moved, prepare, room, switch
from devclient.install.parents import Parents
from devclient.outcome import Done
from devclient.plan import Kind
from devclient.records import journal
from devclient.records.journal import Journal
from devclient.running import Running, in_words
from devclient.scripts import ROLLED_BACK, UPDATED, Scripts
from devclient.states import State
from mirror.archive.archive import Limits
from mirror.errors import OTAError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from devclient.device import Device
    from devclient.hooks import Ending
    from devclient.plan import Plan, Step
    from devclient.records.journal import Cause
    from mirror.content import Content

_log = logging.getLogger(__name__)

NOT_NOW = 75
"""Exit code of a BeforeUpdate that wants to be asked again at the next poll."""
REBOOT = 76
"""Exit code of an AfterUpdate that wants the device to be rebooted, and then to be run again."""


def carry_out(planned: Plan, contents: Iterable[Content], device: Device, *, forced: bool = False) -> Done:
    """Take the device from the old set to the new one, or leave it at the old one.

    Args:
        planned: what is to be done.
        contents: verified ones that the plan names and the device may not have yet.
        device: which device.
        forced: whether hooks that fail are only reported.

    Raises:
        DeviceError: it was given up before anything was switched; what was downloaded stays.
        HeldError: likewise, because it is not to be installed now.
        RebootError: it goes on after a reboot.
        SuccessionError: it is committed, and the new otadevice has to finish it.
        OSError: it was given up likewise, or the disk failed later and `recover` has to go on.
    """
    if planned.kind is not Kind.ROLLBACK:
        succession.see_that_it_is_over(device)
    if downloads.are_here(planned, device):
        _see_that_nothing_holds(planned, device)  # or each poll would begin in vain
    with Parents({}, device.files) as parents:
        update = Update(planned, open_journal(device), device, parents, forced=forced)
        update.offer(contents)
        try:
            update.download()
            _see_that_nothing_holds(planned, device)
            update.prepare()
        except (OTAError, OSError):
            update.give_up()
            raise
        return update.settle()


def recover(device: Device, *, early: bool = False) -> Done | None:
    """Bring to its end what was cut off, without a network; None if nothing was, or nothing had been switched.

    Args:
        device: which device.
        early: whether ordinary services are not up yet, so that an AfterUpdate which has asked for this boot, perhaps
            to look at them, is left for later.

    Raises:
        JournalError: what is written cannot be read.
        RebootError: it still waits for a reboot.
        OSError: the disk failed again.
    """
    written = open_journal(device)
    record = written.record
    clean.leftovers(device)
    if record.state is State.IDLE:
        device.plans.forget()
        return None
    planned = device.plans.load(record.plan)
    if planned is None:
        raise JournalError(device.work, f"the journal says {record.state}, and the plan that it names is not there")
    if early and record.reboot not in {"", device.boot}:
        _log.info("the update to %s has had its reboot, and goes on once services are up", planned)
        return None
    _log.info("the update to %s stands in %s, and is taken up", planned, record.state)
    with Parents(device.plans.places(planned), device.files) as parents:
        return Update(planned, written, device, parents).take_up()


def _see_that_nothing_holds(planned: Plan, device: Device) -> None:
    """Raise what keeps an update from being installed; what its owner undoes or takes away is never held."""
    device.lifeline.go_on()
    if planned.kind is Kind.UPDATE and (held := device.held()):
        raise held


def open_journal(device: Device) -> Journal:
    """Open the journal of a device."""
    return Journal(device.work / "journal", device.files, device.sets.last_attempt)


class Update:
    """An update at work; its methods are called in the order in which they stand here."""

    def __init__(
        self, planned: Plan, written: Journal, device: Device, parents: Parents, *, forced: bool = False
    ) -> None:
        self._plan, self._journal, self._device, self._forced = planned, written, device, forced
        self._parents = parents
        self._files, self._sets, self._contents = device.files, device.sets, device.contents
        self._scripts = Scripts(
            planned, device.contents, functools.partial(moved.where, planned, device.parts), device.sets.link
        )
        self._hooks = Running(written, device.runner)

    # nothing is switched yet, and it may be given up

    def offer(self, contents: Iterable[Content]) -> None:
        """Write down what is to be done."""
        for content in contents:
            self._contents.keep(content)
        self._device.marks.prepare()
        self._journal.start(self._device.plans.write(self._plan))

    def download(self) -> None:
        """Bring all blobs here."""
        downloads.check_room(self._plan, self._device)
        _log.info("update to %s begins", self._plan)
        downloads.bring(self._plan, self._device)
        self._journal.enter(State.DOWNLOADED)

    def prepare(self) -> None:
        """Lay everything new beside everything old."""
        folders = self._device.settings.folders
        limits = Limits(folders.bytes, folders.entries)
        sizes = prepare.unpacked(self._plan, self._device.parts, limits, self._device.lifeline.go_on)
        room.check([(self._device.work, size) for size in sizes], self._device.free)
        source = prepare.Source(self._device.parts, limits)
        prepare.prepare(self._plan, self._parents, source, self._sets, self._device.plans)
        commit.prepare(self._plan, self._device.settings.state, self._contents, self._files)
        succession.prepare(self._plan, self._device)
        commit.see_that_nothing_changed(self._plan, self._device.settings.state)
        _see_that_nothing_holds(self._plan, self._device)  # copying and unpacking may have taken long
        self._journal.enter(State.PREPARED)

    def give_up(self) -> None:
        """Forget what was laid out; what was downloaded stays for the next try."""
        clean.after_nothing(self._plan, self._device, self._parents)
        self._end()

    # from here on it comes to its end, if not now then after the next start

    def take_up(self) -> Done | None:
        """Go on where a cut has left it; None if nothing had been switched."""
        record = self._journal.record
        self._end_orphan()
        if record.reboot == self._device.boot:
            self._ask_for_reboot()
        following = State.INSTALLED if record.reboot else states.TABLE[record.state].after_cut
        if following is State.IDLE:
            self.give_up()
            return None
        if following is not record.state:
            self._roll_back(journal.cause("interrupted", f"this device was cut off in {record.state}"))
        return self.settle()

    def settle(self) -> Done:
        """Do in each state what has to be done, until it has ended."""
        cause = None
        while (now := self._journal.record.state) is not State.IDLE:
            try:
                self._ACTIONS[now](self)
            except (LostError, OSError) as error:
                if State.ROLLING_BACK not in states.TABLE[now].next:
                    raise
                self._roll_back(journal.cause("lost" if isinstance(error, LostError) else "system", str(error)))
            cause = self._journal.record.cause or cause
        lost = {package: str(error) for package, error in self._parents.lost.items()}
        return Done(self._plan, cause, self._hooks.output, tuple(self._hooks.complaints), lost)

    def _install(self) -> None:
        for number, step in enumerate(self._plan.steps, 1):
            ending = self._hooks.run(self._scripts.before(step), begun=number)
            if ending and self._fails(step, "BeforeUpdate", ending):
                return
        switch.switch(self._plan, self._parents, self._sets)
        self._journal.enter(State.INSTALLED, begun=len(self._plan.steps))

    def _confirm(self) -> None:
        record = self._journal.record
        for number, step in enumerate(self._plan.steps[record.turn :], record.turn):
            rebooted = bool(record.reboot) and number == record.turn
            ending = self._hooks.run(self._scripts.after(step, rebooted=rebooted), turn=number, reboot="")
            if ending and ending.status == REBOOT and not (rebooted or self._forced):
                self._journal.note(reboot=self._device.boot, process=None)
                self._ask_for_reboot()
            if ending and self._fails(step, "AfterUpdate", ending):
                return
        self._journal.enter(State.COMMITTED, reboot="")
        if self._device.hands_over and self._plan.touches(self._device.settings.itself):
            raise SuccessionError(str(self._plan))

    def _finish(self) -> None:
        commit.commit(self._plan, self._device.settings.state, self._contents, self._files)
        _log.info("the update to %s is committed", self._plan)
        self._restore(UPDATED)
        blame.after_commit(self._plan, self._device)
        clean.after_commit(self._plan, self._device, self._parents)
        self._end()

    def _undo(self) -> None:
        switch.switch_back(self._plan, self._parents, self._sets)
        begun = reversed(self._plan.steps[: self._journal.record.begun])
        self._hooks.take_turns("AfterUpdate", [(step, self._scripts.undone(step)) for step in begun])
        blame.after_rollback(self._plan, self._cause, self._device)
        self._journal.enter(State.ROLLED_BACK)

    def _finish_undone(self) -> None:
        tell = _log.debug if self._cause.code == "postponed" else _log.warning  # that is no news at each poll
        tell("%s is rolled back: %s", self._plan, self._cause.message)
        self._restore(ROLLED_BACK)
        clean.after_nothing(self._plan, self._device, self._parents)
        self._end()

    _ACTIONS: ClassVar[Mapping[State, Callable[[Update], None]]] = {
        State.PREPARED: _install,
        State.INSTALLED: _confirm,
        State.COMMITTED: _finish,
        State.ROLLING_BACK: _undo,
        State.ROLLED_BACK: _finish_undone,
    }

    # what they need

    @property
    def _cause(self) -> Cause:
        cause = self._journal.record.cause
        if cause is None:
            raise RuntimeError("nothing is being rolled back")
        return cause

    def _fails(self, step: Step, what: str, ending: Ending) -> bool:
        """Tell whether a hook was the end of the update; if so, it is being rolled back."""
        if ending.ok:
            return False
        if self._forced:
            self._hooks.complain(f"{what} of {step.package} {in_words(ending)}")
            return False
        self._roll_back(self._blamed(step, what, ending))
        return True

    def _blamed(self, step: Step, what: str, ending: Ending) -> Cause:
        if what == "BeforeUpdate" and ending.status == NOT_NOW:
            return journal.cause("postponed", f"BeforeUpdate of {step} says: not now", step.package)
        if ending.stopped:
            return journal.cause("stopped", f"{what} of {step} {in_words(ending)}", step.package)
        bad = step.after.content if step.after else ""
        return journal.cause("hook", f"{what} of {step} {in_words(ending)}", step.package, bad)

    def _roll_back(self, cause: Cause) -> None:
        self._journal.enter(State.ROLLING_BACK, cause=cause, reboot="")

    def _restore(self, result: str) -> None:
        begun = self._plan.steps[: self._journal.record.begun]
        self._hooks.take_turns("restore", [(step, self._scripts.restore(step, result)) for step in begun])

    def _end(self) -> None:
        # in this order: the plan is there as long as the journal names it
        self._journal.finish()
        self._device.plans.forget()

    def _ask_for_reboot(self) -> None:
        self._device.reboot()
        raise RebootError(str(self._plan))

    def _end_orphan(self) -> None:
        if process := self._journal.record.process:
            markers = [f"OTA_PACKAGE={step.package}" for step in self._plan.steps]
            grace = self._device.settings.hooks.grace
            ended = [hooks.end(process, self._device.boot, grace, marker) for marker in markers]
            if any(ended):
                _log.warning("a hook that was still running was ended")
