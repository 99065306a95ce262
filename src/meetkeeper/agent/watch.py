"""What the agent decides about its node: start, start again, stop, kill, give up. Pure: time comes in, actions go out.

Place in the house: `parent` feeds it what happens and does what it answers. Rules:

- from the moment `Start` is decided until `Ended` is seen, the node counts as running: a proof of stop is possible in
  the phases `WAITING` and `DONE` alone (`is_gone`), and while one is being made (`Held`) nothing is started;
- a node that ends with 0 has stopped on purpose and the agent ends too; one that ends with `EXIT_START_AGAIN` is
  started again at once; everything else is a crash: at once, then after ½, 1, 2 … 30 seconds. A node that ran well for
  a minute begins that row anew;
- in a pair the first start after a crash waits 0.3 s: the other server gets its proof and takes over, instead of
  racing against a node that would have to be asked over the network whether it acts;
- ten crashes within ten minutes: the agent of a single server ends with the node's code; the agent of a pair stays,
  gives proofs, and tries again after ten minutes;
- a single server whose first node ends by itself before its first heartbeat could not begin: a taken port, a folder in
  use, a broken file. Trying again helps nobody, so the agent ends with its code and the sentence stands last;
- silence is counted in slices no longer than a second per look. An agent that did not get to run itself (starved,
  stopped, asleep) grants its node the same time.
"""

from enum import StrEnum
from signal import SIGTERM
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.agent.words import EXIT_START_AGAIN, EXIT_STOPPED


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds and counts a test may shrink."""

    silence_s: float = 10.0
    """So long without a heartbeat, after the first, and the node is killed."""
    slice_s: float = 1.0
    """The most one look adds to the silence."""
    stop_s: float = 30.0
    """So long after SIGTERM it is killed."""
    delays_s: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
    """Before the next start, crash after crash; the last one goes on."""
    grace_s: float = 0.3
    """In a pair, the least time between a crash and the next start."""
    steady_s: float = 60.0
    """A node that ran so long has left its crashes behind."""
    crashes_max: int = 10
    window_s: float = 600.0
    rest_s: float = 600.0
    """In a pair, after too many crashes: how long until the next try."""


LIMITS = Limits()


class Phase(StrEnum):
    """How the node stands, as far as the agent knows."""

    WAITING = "waiting"
    """No node; one is started when `start_at_s` has come."""
    STARTING = "starting"
    """Started, and not heard of yet: it reads its files."""
    RUNNING = "running"
    STOPPING = "stopping"
    """Told to stop; the agent ends with it."""
    KILLED = "killed"
    """Killed because it hung, and not gone yet."""
    DONE = "done"
    """No node, and none will be started."""


class View(Struct, frozen=True, kw_only=True):
    """Everything the decisions depend on."""

    paired: bool
    phase: Phase = Phase.WAITING
    since_s: float = 0.0
    """When this phase began."""
    looked_s: float = 0.0
    """The last look at the clock."""
    heard_s: float | None = None
    """When this node was first heard of."""
    silence_s: float = 0.0
    """While running: without a heartbeat. While stopping: since it was told."""
    start_at_s: float = 0.0
    crashes_s: tuple[float, ...] = ()
    """When it crashed within the window."""
    tries: int = 0
    """Crashes in a row."""
    starts: int = 0
    beaten: bool = False
    """Any node of this agent was heard of."""
    held: bool = False
    """A proof of stop is being made: nothing is started meanwhile."""
    killed: bool = False
    """While stopping: it was killed."""

    @property
    def is_gone(self) -> bool:
        """True when there is no node and none is being started: the only time for a proof of stop."""
        return self.phase in {Phase.WAITING, Phase.DONE}


# --- what happens ---------------------------------------------------------------------------------------------------


class Ticked(Struct, frozen=True):
    """Time has passed."""


class Beaten(Struct, frozen=True):
    """A heartbeat came."""


class Ended(Struct, frozen=True):
    """The node's process is gone; minus the signal's number where one ended it."""

    code: int


class Asked(Struct, frozen=True):
    """The agent was told to stop."""


class Held(Struct, frozen=True):
    """A proof of stop is being made."""


class Freed(Struct, frozen=True):
    """It is made, or could not be."""


Event = Ticked | Beaten | Ended | Asked | Held | Freed

# --- what is to be done ---------------------------------------------------------------------------------------------


class Start(Struct, frozen=True):
    """Start a node. `again`: this agent has seen the one before it end."""

    again: bool


class Terminate(Struct, frozen=True):
    """Send SIGTERM."""


class Kill(Struct, frozen=True):
    """Send SIGKILL."""

    why: str


class Wait(Struct, frozen=True):
    """Say that the node has ended and when the next is started. `gave_up`: too many crashes."""

    code: int
    delay_s: float
    gave_up: bool = False


class End(Struct, frozen=True):
    """End the agent with this code."""

    code: int


Action = Start | Terminate | Kill | Wait | End
Step = tuple[View, tuple[Action, ...]]


def begin(*, paired: bool, now_s: float) -> View:
    """An agent that has not started anything; the first `Ticked` does."""
    return View(paired=paired, since_s=now_s, looked_s=now_s, start_at_s=now_s)


def step(view: View, event: Event, now_s: float, limits: Limits = LIMITS) -> Step:
    """What follows from one event. Events that can't happen in a phase change nothing."""
    match event:
        case Ticked():
            return _ticked(view, now_s, limits)
        case Beaten():
            return _beaten(view, now_s), ()
        case Ended(code):
            return _ended(view, code, now_s, limits)
        case Asked():
            return _asked(view, now_s)
        case Held():
            return (replace(view, held=True), ()) if view.is_gone else (view, ())
        case Freed():
            return replace(view, held=False), ()
        case _:
            assert_never(event)


def exit_code(code: int) -> int:
    """The node's end as the agent's own exit code, the way a shell tells a signal."""
    return code if code >= 0 else 128 - code


def _enter(view: View, phase: Phase, now_s: float) -> View:
    return replace(view, phase=phase, since_s=now_s, looked_s=now_s, silence_s=0.0)


def _ticked(view: View, now_s: float, limits: Limits) -> Step:
    passed_s = min(max(now_s - view.looked_s, 0.0), limits.slice_s)
    view = replace(view, looked_s=now_s)
    match view.phase:
        case Phase.WAITING:
            if view.held or now_s < view.start_at_s:
                return view, ()
            started = replace(_enter(view, Phase.STARTING, now_s), starts=view.starts + 1, heard_s=None)
            return started, (Start(again=view.starts > 0),)
        case Phase.RUNNING:
            silence_s = view.silence_s + passed_s
            if silence_s < limits.silence_s:
                return replace(view, silence_s=silence_s), ()
            why = f"no heartbeat for {silence_s:.1f} s: it hangs"
            return _enter(view, Phase.KILLED, now_s), (Kill(why),)
        case Phase.STOPPING:
            silence_s = view.silence_s + passed_s
            if view.killed or silence_s < limits.stop_s:
                return replace(view, silence_s=silence_s), ()
            why = f"it did not stop within {limits.stop_s:.0f} s"
            return replace(view, silence_s=silence_s, killed=True), (Kill(why),)
        case Phase.STARTING | Phase.KILLED | Phase.DONE:
            return view, ()
        case _:
            assert_never(view.phase)


def _beaten(view: View, now_s: float) -> View:
    if view.phase is Phase.STARTING:
        return replace(_enter(view, Phase.RUNNING, now_s), heard_s=now_s, beaten=True)
    if view.phase is Phase.RUNNING:
        return replace(view, silence_s=0.0, looked_s=now_s)
    return view


def _ended(view: View, code: int, now_s: float, limits: Limits) -> Step:
    if view.is_gone:
        return view, ()
    if view.phase is Phase.STOPPING or code == EXIT_STOPPED:
        # A node that was told before it could listen to signals has ended by ours: in good order, it had done nothing.
        return _done(view, EXIT_STOPPED if code == -SIGTERM else exit_code(code), now_s)
    if code == EXIT_START_AGAIN and view.heard_s is not None:
        return replace(_enter(view, Phase.WAITING, now_s), start_at_s=now_s), (Wait(code, 0.0),)
    if code > 0 and not (view.beaten or view.paired):
        return _done(view, code, now_s)
    return _crashed(view, code, now_s, limits)


def _crashed(view: View, code: int, now_s: float, limits: Limits) -> Step:
    steady = view.heard_s is not None and now_s - view.heard_s >= limits.steady_s
    tries = 0 if steady else view.tries
    crashes = (*(at for at in view.crashes_s if at > now_s - limits.window_s), now_s)
    gave_up = len(crashes) >= limits.crashes_max
    if gave_up and not view.paired:
        return _done(view, exit_code(code), now_s)
    delay_s = limits.delays_s[min(tries, len(limits.delays_s) - 1)]
    if view.paired:
        delay_s = max(delay_s, limits.grace_s)
    if gave_up:
        delay_s, crashes, tries = limits.rest_s, (), -1
    waiting = replace(
        _enter(view, Phase.WAITING, now_s), start_at_s=now_s + delay_s, crashes_s=crashes, tries=tries + 1
    )
    return waiting, (Wait(code, delay_s, gave_up),)


def _asked(view: View, now_s: float) -> Step:
    match view.phase:
        case Phase.WAITING:
            return _done(view, EXIT_STOPPED, now_s)
        case Phase.STARTING | Phase.RUNNING:
            return _enter(view, Phase.STOPPING, now_s), (Terminate(),)
        case Phase.KILLED:
            return replace(_enter(view, Phase.STOPPING, now_s), killed=True), ()
        case Phase.STOPPING | Phase.DONE:
            return view, ()
        case _:
            assert_never(view.phase)


def _done(view: View, code: int, now_s: float) -> Step:
    return _enter(view, Phase.DONE, now_s), (End(code),)
