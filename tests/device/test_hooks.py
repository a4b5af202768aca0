"""Running hooks: what they find, how their ends are told, and what is left of them."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devclient import hooks, orphans
from devclient.hooks import Hook, Runner
from devclient.lifeline import Lifeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devclient.hooks import Ending, Process

FAR = 60.0
GRACE = 0.2
VARIABLES = {"OTA_PACKAGE": "app", "OTA_RESULT": ""}
SHELLS_OWN = {"PWD", "SHLVL", "_"}
"""What shells add to the environment by themselves."""


class Notes:
    """What was recorded before a hook began."""

    def __init__(self) -> None:
        self.processes: list[Process] = []

    def __call__(self, process: Process) -> None:
        """Record a process."""
        self.processes.append(process)


@pytest.fixture
def notes() -> Notes:
    """Where the processes are recorded."""
    return Notes()


@pytest.fixture
def runner(notes: Notes) -> Iterator[Runner]:
    """A runner of little patience; what its hooks have left in the background is ended."""
    made = Runner(orphans.boot_id(), GRACE)
    yield made
    for process in notes.processes:
        _kill_group(process.pid)


def test_a_hook_has_the_promised_environment_and_nothing_else(
    runner: Runner, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PATH, LANG and the hook's variables; what otadevice itself was started with stays outside."""
    monkeypatch.setenv("SECRET", "of the daemon")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("ENV", "/nowhere")

    ending = _run(runner, notes, "env -0", VARIABLES)

    found = dict(line.split("=", 1) for line in ending.output.split("\0") if line)
    promised = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        **VARIABLES,
    }
    assert {name: value for name, value in found.items() if name not in SHELLS_OWN} == promised


def test_variables_cannot_change_where_commands_are_looked_for(runner: Runner, notes: Notes) -> None:
    """The fixed part of the environment is fixed."""
    assert "evil" not in _run(runner, notes, 'echo "$PATH"', {"PATH": "/evil"}).output


def test_a_hook_is_at_the_root_with_the_usual_umask(
    runner: Runner, notes: Notes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever otadevice was started, and with whichever umask."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)
    try:
        ending = _run(runner, notes, "pwd; umask")
    finally:
        os.umask(before)

    assert ending.output.split() == ["/", "0022"]


def test_a_hook_leads_a_process_group_of_its_own(runner: Runner, notes: Notes) -> None:
    """The recorded process is the hook's shell, and the group is its."""
    ending = _run(runner, notes, "cut -d' ' -f5 /proc/self/stat; echo $$")

    [process] = notes.processes
    assert ending.output.split() == [str(process.pid)] * 2
    assert process.boot == runner.boot


def test_a_hook_has_no_input(runner: Runner, notes: Notes) -> None:
    """Whoever asks for input gets the end of the file at once."""
    assert _run(runner, notes, "cat; readlink /proc/self/fd/0").output == "/dev/null\n"


def test_a_hook_gets_no_descriptor_of_ours(runner: Runner, notes: Notes, tmp_path: Path) -> None:
    """Not even one that is inheritable, such as what otadevice itself was started with."""
    leak = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leak, True)  # noqa: FBT003 - its name is the function's
    try:
        ending = _run(runner, notes, f"for fd in $(seq 3 {leak}); do [ -L /proc/$$/fd/$fd ] && echo $fd; done; true")
    finally:
        os.close(leak)

    assert (ending.ok, ending.output) == (True, "")


def test_no_descriptor_is_left_here(runner: Runner, notes: Notes) -> None:
    """A hundred updates later otadevice has no more files open than before."""
    _run(runner, notes, "true")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number is all it takes

    for command in ("true", "false", "kill -9 $$"):
        _run(runner, notes, command)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names are all it takes


def test_signals_that_otadevice_ignores_work_in_a_hook(runner: Runner, notes: Notes) -> None:
    """Python ignores SIGPIPE, and a daemon may be started with others ignored; hooks are as at a terminal."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        ending = _run(runner, notes, "kill -TERM $$; echo lives on")
    finally:
        signal.signal(signal.SIGTERM, before)

    assert ending.status == 128 + signal.SIGTERM


def test_no_signal_is_ignored_or_blocked_in_a_hook(runner: Runner, notes: Notes) -> None:
    """Whatever is blocked or ignored in otadevice, all signals come through."""
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    try:
        # not the last command: some shells become that one, and hand on what they ignore themselves
        ending = _run(runner, notes, "grep -E '^Sig(Blk|Ign)' /proc/self/status; true")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGHUP, ignored)

    assert [_signals(mask) for mask in ending.output.split()[1::2]] == [set(), set()]


def test_hooks_are_run_by_a_daemon_without_any_stream(tmp_path: Path) -> None:
    """One that was started with stdin, stdout and stderr closed, so that its pipes have their numbers."""
    daemon = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from devclient.hooks import Hook, Runner, boot_id\n"
        "os.closerange(0, 3)\n"
        "command = 'cat; echo one; echo two >&2; ls /proc/self/fd'\n"
        "ending = Runner(boot_id()).run(Hook(command, {}, 60), lambda process: None)\n"
        "Path(sys.argv[1]).write_text(ending.output)\n"
        "os._exit(ending.status)\n"
    )

    done = subprocess.run([sys.executable, "-c", daemon, str(tmp_path / "output")], check=False, timeout=60)

    assert done.returncode == 0
    # the fourth is the folder that ls has open
    assert (tmp_path / "output").read_text().split() == ["one", "two", "0", "1", "2", "3"]


@pytest.mark.parametrize("status", [0, 1, 75, 76])
def test_the_exit_code_is_told(runner: Runner, notes: Notes, status: int) -> None:
    """As it is; what it means is decided elsewhere."""
    ending = _run(runner, notes, f"exit {status}")

    assert (ending.status, ending.timed_out, ending.ok) == (status, False, status == 0)


def test_a_signal_that_ends_the_shell_is_told(runner: Runner, notes: Notes) -> None:
    """128 and its number, as shells have it."""
    assert _run(runner, notes, "kill -9 $$").status == 128 + signal.SIGKILL


def test_both_outputs_are_kept_in_the_order_of_writing(runner: Runner, notes: Notes) -> None:
    """Also what is no text."""
    ending = _run(runner, notes, "echo one; echo two >&2; echo three; printf '\\377'")

    assert ending.output == "one\ntwo\nthree\n\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("size", [20_000_000, pytest.param(1_000_000_000, marks=pytest.mark.long)])
def test_of_much_output_the_last_64_kib_are_kept(runner: Runner, notes: Notes, size: int) -> None:
    """A hook that writes a lot is not held up, costs no memory, and its end says what went wrong."""
    _run(runner, notes, "echo")
    tracemalloc.start()
    try:
        ending = _run(runner, notes, f"head -c {size} /dev/zero | tr '\\0' x; echo the end; exit 3")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert ending.status == 3
    assert ending.output == "the end\n".rjust(64 * 1024, "x")
    assert peak < 4 * 1024**2


@pytest.mark.parametrize("watched", [True, False])
def test_a_hook_that_closes_its_output_is_waited_for(
    notes: Notes,
    tmp_path: Path,
    watched: bool,  # noqa: FBT001 - a column of a table
) -> None:
    """The end of what it says is not its end, nor a reason to turn in circles until that comes."""
    looks: list[float] = []

    def clock() -> float:
        looks.append(time.monotonic())
        return looks[-1]

    runner = _runner(clock=clock, watched=watched)
    ending = _run(runner, notes, f"exec >&- 2>&-; sleep 0.2; touch {tmp_path}/done; exit 7")

    assert (ending.status, ending.output) == (7, "")
    assert (tmp_path / "done").exists()
    assert len(looks) < 100


def test_what_was_written_last_is_kept_though_the_hook_is_over_already(notes: Notes) -> None:
    """What is in the pipe when the shell exits belongs to the output."""

    def watch(pid: int) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    ending = _run(Runner(orphans.boot_id(), GRACE, watch=watch), notes, "echo last words")

    assert ending.output == "last words\n"


def test_a_command_may_look_like_an_option(runner: Runner, notes: Notes) -> None:
    """The shell takes the whole of it as a command."""
    assert _run(runner, notes, "-e 2>/dev/null; echo run").output == "run\n"


@pytest.mark.parametrize("watched", [True, False])
def test_a_hook_that_takes_too_long_is_ended(notes: Notes, tmp_path: Path, watched: bool) -> None:  # noqa: FBT001 - a column of a table
    """With all that it has started, and what it wrote so far is kept; also where the system tells of no exit."""
    runner = _runner(late=tmp_path / "late", watched=watched)

    ending = _run(runner, notes, f"sleep 1000 & echo begun; {_late(tmp_path)}")

    assert ending.timed_out
    assert not ending.ok
    assert ending.output.strip() == "begun"
    assert _group(notes.processes[0].pid) == []


def test_a_hook_that_ends_well_when_it_is_late_is_late_all_the_same(notes: Notes, tmp_path: Path) -> None:
    """Exit code 0 after TERM is no success."""
    runner = _runner(late=tmp_path / "late", grace=FAR)

    ending = _run(runner, notes, f"trap 'exit 0' TERM; {_late(tmp_path)}")

    assert (ending.status, ending.timed_out, ending.ok) == (0, True, False)


def test_a_hook_that_ignores_term_is_killed(notes: Notes, tmp_path: Path) -> None:
    """After the time of grace, with its children, which ignore it too."""
    runner = _runner(late=tmp_path / "late")

    ending = _run(runner, notes, f"trap '' TERM; sleep 1000 & {_late(tmp_path)}")

    assert ending.timed_out
    assert ending.status == 128 + signal.SIGKILL
    assert _group(notes.processes[0].pid) == []


def test_the_last_words_within_the_time_of_grace_are_kept(notes: Notes, tmp_path: Path) -> None:
    """What a hook says while it is being ended is shown."""
    runner = _runner(late=tmp_path / "late", grace=FAR)
    much = "head -c 1000000 /dev/zero"  # it would be stuck in the pipe if nobody read it now

    ending = _run(runner, notes, f"trap '{much}; echo told to stop; exit 1' TERM; {_late(tmp_path)}")

    assert ending.output.endswith("\0told to stop\n")
    assert ending.status == 1


@pytest.mark.parametrize("watched", [True, False])
def test_after_success_the_background_lives_on(
    runner: Runner,
    notes: Notes,
    watched: bool,  # noqa: FBT001 - a column of a table
) -> None:
    """It is over when the shell exits, though a process still holds its output open, and that one is left alone."""
    ending = _run(_runner(watched=watched), notes, "sleep 1000 & echo $!")

    assert ending.ok
    assert not ending.timed_out
    assert _group(notes.processes[0].pid) == [int(ending.output)]


def test_a_background_that_never_stops_writing_holds_nobody_up(runner: Runner, notes: Notes, tmp_path: Path) -> None:
    """What is in the pipe when the shell exits is taken, and no more."""
    writer = f"(while echo x; do touch {tmp_path}/writes; done) &"

    ending = _run(runner, notes, f"{writer} until [ -e {tmp_path}/writes ]; do sleep 0.01; done")

    assert ending.ok
    assert ending.output.startswith("x\n")


@pytest.mark.parametrize("end", ["exit 1", "exit 75", "exit 76", "kill -9 $$"])
def test_after_failure_the_background_is_ended(runner: Runner, notes: Notes, end: str) -> None:
    """Or it would race with the rollback."""
    ending = _run(runner, notes, f"sleep 1000 & (trap '' TERM; sleep 1000) & {end}")

    assert not ending.ok
    assert not ending.timed_out
    assert _group(notes.processes[0].pid) == []


def test_a_hook_is_ended_when_otadevice_is_told_to_stop(notes: Notes, tmp_path: Path) -> None:
    """An owner who presses Ctrl-C is not left with half of a hook at work."""

    def clock() -> float:
        if (tmp_path / "late").exists():
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        _run(Runner(orphans.boot_id(), GRACE, clock=clock), notes, f"sleep 1000 & {_late(tmp_path)}")

    assert _group(notes.processes[0].pid) == []
    assert not Path("/proc", str(notes.processes[0].pid)).exists()


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt(), SystemExit(1)])
def test_nothing_of_a_hook_runs_that_could_not_be_recorded(
    runner: Runner, tmp_path: Path, error: BaseException
) -> None:
    """Its shell ends by itself, and is gone when the error is told."""
    seen: list[Process] = []

    def record(process: Process) -> None:
        seen.append(process)
        raise error

    with pytest.raises(type(error)):
        runner.run(Hook(f"touch {tmp_path}/run", {}, FAR), record)

    assert list(tmp_path.iterdir()) == []
    assert not Path("/proc", str(seen[0].pid)).exists()


def test_a_hook_is_known_before_anything_of_it_runs(runner: Runner, tmp_path: Path) -> None:
    """When it is recorded its shell is there, alive, and has done nothing."""
    found: list[bool] = []

    def record(process: Process) -> None:
        found.extend([orphans.identify(process.pid, runner.boot) == process, (tmp_path / "run").exists()])

    ending = runner.run(Hook(f"touch {tmp_path}/run", {}, FAR), record)

    assert ending.ok
    assert found == [True, False]
    assert (tmp_path / "run").exists()


def test_a_hook_that_is_killed_while_it_is_recorded_has_failed(runner: Runner, tmp_path: Path) -> None:
    """The gate opens for nobody, which is a failure like any other."""

    def record(process: Process) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    ending = runner.run(Hook(f"touch {tmp_path}/run", {}, FAR), record)

    assert ending.status == 128 + signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_a_script_that_is_executable_is_run_by_itself(runner: Runner, notes: Notes, tmp_path: Path) -> None:
    """With the interpreter that it names; any other one is for the shell."""
    path = tmp_path / "a script's name"
    path.write_text("#!/bin/cat\nshown\n")
    assert "shown: " in _run(runner, notes, f"{hooks.script(path)} 2>&1").output

    path.chmod(0o755)
    assert _run(runner, notes, hooks.script(path)).output == "#!/bin/cat\nshown\n"


@pytest.mark.parametrize("name", ["-e", "a'b\"c", "$(touch run); & *", "two\nlines", "\u00fcber"])
@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_a_scripts_name_may_be_anything(runner: Runner, notes: Notes, tmp_path: Path, name: str, mode: int) -> None:
    """The shell takes none of it for itself."""
    path = tmp_path / name
    path.write_text("#!/bin/sh\necho run\n")
    path.chmod(mode)

    assert _run(runner, notes, hooks.script(path)).output == "run\n"
    assert list(tmp_path.iterdir()) == [path]


# otadevice shall stop, or has to give signs of life


class Line(Lifeline):
    """A lifeline whose other end is the test's.

    Attributes:
        beats: how many signs of life were given.
        asked: the seconds that were asked for.
    """

    def __init__(self, stop_after: float = math.inf) -> None:
        self.beats = 0
        self.asked: list[float] = []
        self._stop_after = stop_after
        self.wakes, self._stop = os.pipe()

    def beat(self) -> None:
        """Count; after so many it shall stop."""
        self.beats += 1
        if self.beats > self._stop_after:
            self.stop()

    def ask_for(self, seconds: float) -> None:
        """Note what is asked for."""
        self.asked.append(seconds)

    def stop(self) -> None:
        """Want it to stop."""
        self.stopping = True
        os.write(self._stop, b".")


def test_a_hook_gives_signs_of_life(notes: Notes) -> None:
    """As often as is wanted, as long as it runs."""
    line = Line()
    line.every = 0.01

    ending = _run(Runner(orphans.boot_id(), GRACE, line), notes, "sleep 0.3")

    assert ending.ok
    assert line.beats >= 3
    assert line.asked == [FAR + 3 * GRACE]


def test_a_hook_is_ended_when_otadevice_shall_stop(notes: Notes) -> None:
    """At once, with all of its group, and that is neither a failure nor too late."""
    line = Line(stop_after=2)
    line.every = 0.01
    command = "trap 'echo ended; exit 0' TERM; echo begun; while :; do sleep 0.01; done"

    ending = _run(Runner(orphans.boot_id(), FAR, line), notes, command)

    assert (ending.stopped, ending.ok, ending.timed_out) == (True, False, False)
    assert ending.output.splitlines()[:: len(ending.output.splitlines()) - 1] == ["begun", "ended"]


def test_whoever_waits_for_a_hook_hears_of_the_stop(notes: Notes) -> None:
    """Though the next sign of life would not be due for an hour."""
    line = Line()
    stopper = threading.Thread(target=lambda: _when(lambda: bool(notes.processes), line.stop))
    stopper.start()

    ending = _run(Runner(orphans.boot_id(), GRACE, line), notes, f"sleep {FAR}")

    stopper.join()
    assert ending.stopped


def test_no_hook_begins_once_otadevice_shall_stop(notes: Notes, tmp_path: Path) -> None:
    """Nothing of it runs, and nothing is recorded."""
    line = Line()
    line.stop()

    ending = _run(Runner(orphans.boot_id(), GRACE, line), notes, f"touch {tmp_path}/ran")

    assert (ending.stopped, ending.ok) == (True, False)
    assert notes.processes == []
    assert list(tmp_path.iterdir()) == []


def test_what_has_to_be_done_is_done_to_the_end(notes: Notes) -> None:
    """Services come up again by such hooks."""
    line = Line()
    line.stop()
    hook = Hook("sleep 0.2; echo up", VARIABLES, FAR, to_the_end=True)

    ending = Runner(orphans.boot_id(), GRACE, line).run(hook, notes)

    assert (ending.ok, ending.output) == (True, "up\n")


def _when(holds: Callable[[], bool], do: Callable[[], None]) -> None:
    for _ in range(6000):
        if holds():
            break
        time.sleep(0.01)
    do()


def _run(runner: Runner, notes: Notes, command: str, variables: dict[str, str] | None = None) -> Ending:
    return runner.run(Hook(command, variables or {}, FAR), notes)


def _runner(
    *,
    late: Path = Path("/nowhere"),
    grace: float = GRACE,
    watched: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Runner:
    """Make a runner for which an hour has passed as soon as `late` is there."""
    first = iter([True])  # the deadline is set after the hook has begun, and must not be late already

    def time_there() -> float:
        return clock() + (3600 if not next(first, False) and late.exists() else 0)

    if watched:
        return Runner(orphans.boot_id(), grace, clock=time_there)
    return Runner(orphans.boot_id(), grace, clock=time_there, watch=lambda _pid: None)


def _late(folder: Path) -> str:
    """Let time be up, wake up who reads the output, and stay."""
    return f"touch {folder}/late; echo; while :; do sleep 0.01; done"


def _signals(mask: str) -> set[int]:
    """Tell which signals are in a mask; the C library's own, of which programs know nothing, are left out."""
    return {number for number in signal.valid_signals() if int(mask, 16) >> (number - 1) & 1}


def _group(number: int) -> list[int]:
    """List the living members of a process group."""
    return [sight.pid for sight in orphans._everyone() if sight.alive and sight.group == number]


def _kill_group(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
