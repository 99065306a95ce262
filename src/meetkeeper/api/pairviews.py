"""The pair, as the door shows it: plans, verdicts, moves that were made, drills; and what may be asked of it.

`app` provides the hooks (`ops.switching` does the work); a server by itself has no pair. Times are ISO 8601 in UTC.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from meetkeeper.core.errors import NotFound

Ready = Literal["ready", "at risk", "not ready", "unknown"]
State = Literal["ok", "note", "warn", "bad", "unknown"]
"""ok · note: named, harmless · warn: at risk · bad: could not take over · unknown: not measured."""
Act = Literal["switchover", "failover"]


class _View(Struct, frozen=True, kw_only=True):
    pass


class CheckView(_View, frozen=True, kw_only=True):
    """One thing that was measured on the passive server."""

    name: str
    state: State
    text: str


class ReadinessView(_View, frozen=True, kw_only=True):
    """Could `server` take over now? `age_s` is the reading's age; `checks` is empty where only the verdict is known."""

    server: str
    ready: Ready
    reasons: tuple[str, ...]
    age_s: float | None
    takes_s: float
    """How long taking over would take, from what was measured here before, else a figure."""
    measured: int
    """How many past ones `takes_s` is made of."""
    checks: tuple[CheckView, ...] = ()


class StartView(_View, frozen=True, kw_only=True):
    """A meeting that starts while nobody acts."""

    id: str
    start: str
    rooms: tuple[str, ...]


class PlanView(_View, frozen=True, kw_only=True):
    """What a switchover or failover would do. Nothing has been done; `blocks` names what is in its way."""

    act: Act
    by: str
    """Who acts now, as far as is known."""
    to: str
    takes_s: float
    measured: int
    starts: tuple[StartView, ...]
    """Meetings that start meanwhile: they start as soon as the other server acts."""
    outside: tuple[str, ...]
    """What would change outside: bridges, calendars, mails. Always empty: every URI stays, and no mail goes out."""
    open_effects: int
    """Outbox rows under way or waiting: whoever acts then finishes them, each once."""
    loss: int
    """Acknowledged frames that would be lost."""
    blocks: tuple[str, ...]
    remarks: tuple[str, ...] = ()


class ActView(_View, frozen=True, kw_only=True):
    """What came of asking. `begun` is False for a dry run."""

    begun: bool
    text: str
    plan: PlanView


class MaintenanceView(_View, frozen=True, kw_only=True):
    """A window in which no failover begins by itself. `left_s` 0: there is none."""

    left_s: float
    until: str | None
    why: str
    by: str


class MoveView(_View, frozen=True, kw_only=True):
    """One decision that moved a role: which row of the table, and what it says."""

    at: str
    row: int
    was: str
    now: str
    when: str
    why: str


class TookView(_View, frozen=True, kw_only=True):
    """How long a change of the active server took, as this server saw it."""

    at: str
    act: str
    to: str
    seconds: float


class PairHistory(_View, frozen=True, kw_only=True):
    """The newest moves and changes this server knows of, newest first."""

    moves: tuple[MoveView, ...]
    took: tuple[TookView, ...]


class DrillStep(_View, frozen=True, kw_only=True):
    """One step of a drill."""

    name: str
    ok: bool
    text: str


class DrillReport(_View, frozen=True, kw_only=True):
    """A drill: there and back, measured and verified. An interrupted one goes on when a drill is asked for again."""

    id: str
    state: Literal["running", "interrupted", "passed", "failed"]
    began: str
    ended: str | None
    home: str
    away: str
    there_s: float | None
    back_s: float | None
    steps: tuple[DrillStep, ...]
    text: str


class DrillList(_View, frozen=True, kw_only=True):
    """Those that were kept, newest first."""

    drills: tuple[DrillReport, ...]


class SaidView(_View, frozen=True, kw_only=True):
    """What was done, in a sentence."""

    text: str


class PairHooks(Protocol):
    """What may be asked of the pair. Each raises `NotFound` (`no-pair`) on a server by itself."""

    async def readiness(self) -> ReadinessView:
        """The passive server's verdict about itself."""
        ...

    async def switchover(self, *, dry_run: bool, why: str, by: str) -> ActView:
        """Begin a switchover. Raises `Refused` with what blocks it, `Elsewhere` where the active has to be asked."""
        ...

    async def failover(self, *, dry_run: bool, stopped: str, accept_loss: str, by: str) -> ActView:
        """Make this server the active one. `stopped`, `accept_loss`: a person's words. Raises `Refused`."""
        ...

    async def maintenance(self, *, minutes: float, why: str, by: str) -> MaintenanceView:
        """Open a window of so many minutes on both servers; 0 ends it."""
        ...

    async def in_maintenance(self) -> MaintenanceView:
        """The window as it stands."""
        ...

    async def reset_register(self, *, why: str, by: str) -> str:
        """Write the register anew from what the active knows. Raises `Refused` where nothing is wrong with it."""
        ...

    async def history(self) -> PairHistory:
        """Moves and how long they took."""
        ...

    async def drill(self, *, by: str) -> DrillReport:
        """Begin a drill, or go on with one that was interrupted. Raises `Refused` with what is in the way."""
        ...

    async def drills(self) -> Sequence[DrillReport]:
        """Those that were kept, newest first; a running one comes first."""
        ...


class NoPair:
    """The hooks of a server by itself."""

    async def readiness(self) -> ReadinessView:
        """Raises `NotFound`."""
        raise no_pair()

    async def switchover(self, *, dry_run: bool, why: str, by: str) -> ActView:
        """Raises `NotFound`."""
        raise no_pair()

    async def failover(self, *, dry_run: bool, stopped: str, accept_loss: str, by: str) -> ActView:
        """Raises `NotFound`."""
        raise no_pair()

    async def maintenance(self, *, minutes: float, why: str, by: str) -> MaintenanceView:
        """Raises `NotFound`."""
        raise no_pair()

    async def in_maintenance(self) -> MaintenanceView:
        """Raises `NotFound`."""
        raise no_pair()

    async def reset_register(self, *, why: str, by: str) -> str:
        """Raises `NotFound`."""
        raise no_pair()

    async def history(self) -> PairHistory:
        """Raises `NotFound`."""
        raise no_pair()

    async def drill(self, *, by: str) -> DrillReport:
        """Raises `NotFound`."""
        raise no_pair()

    async def drills(self) -> Sequence[DrillReport]:
        """Raises `NotFound`."""
        raise no_pair()


def no_pair() -> NotFound:
    """This server has no partner."""
    return NotFound(
        "no-pair", "This server has no partner. `meetkeeper pair HOME --with NAME=HOST:PORT` gives it one."
    )


NO_PAIR = NoPair()
