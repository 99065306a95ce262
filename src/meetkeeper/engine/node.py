"""The node: an event in, a kept plan and its reactions out. Synchronous, complete, and without a clock of its own.

Order is everything here: decide → append and apply (the next decision sees it) → flush → kept → speak. The node hands
out effects and answers only up to the kept position; who flushes, and when, is the shell's business (`loop` with a
committer thread, the simulation by hand).
"""

from collections import deque

from msgspec import Struct

from meetkeeper.core import keeper
from meetkeeper.core.changes import EffectMoved, EffectOpen, ReignOpened
from meetkeeper.core.effects import key_of
from meetkeeper.core.events import Event, ReignStarted
from meetkeeper.core.plan import Decision, Plan
from meetkeeper.core.state import State
from meetkeeper.core.words import EffectKey
from meetkeeper.store.database import Database


class Handled(Struct, frozen=True, gc=False):
    """What was decided, and the sequence number that must be kept before anyone may hear of it."""

    decision: Decision
    seq: int


class KeptFrame(Struct, frozen=True, gc=False):
    """A plan that is on disk."""

    epoch: int
    seq: int
    plan: Plan


class Node:
    """One server's brain and memory."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._unkept: deque[KeptFrame] = deque()

    @property
    def state(self) -> State:
        """The state with everything applied, kept or not: for deciding. Readers wait for `Handled.seq`."""
        return self.database.state

    @property
    def applied_seq(self) -> int:
        """The newest frame applied."""
        return self.database.position.seq

    def open_reign(
        self, server: str, release: str, tzdata: str, now_s: float, epoch: int | None = None
    ) -> int:
        """Begin to act under `epoch`; None: a new one, larger than any this home has seen. Returns it."""
        epoch = self.database.promised + 1 if epoch is None else epoch
        self.database.open_reign(epoch)
        self.handle(ReignStarted(epoch, server, release, tzdata), now_s)
        return epoch

    def raise_reign(self, epoch: int, server: str, release: str, tzdata: str, now_s: float) -> None:
        """Go on acting, under a higher epoch: nothing under way is taken for a crash's leavings."""
        self.database.open_reign(epoch)
        position = self.database.commit(plan := Plan(now_s, (ReignOpened(epoch, server, release, tzdata),)))
        self._unkept.append(KeptFrame(position.epoch, position.seq, plan))

    def handle(self, event: Event, now_s: float) -> Handled:
        """Decide, append, apply. Raises `core.errors` for commands that are refused; nothing is changed then."""
        database = self.database
        decision = keeper.step(database.state, event, now_s)
        plan = decision.plan
        if plan.empty:
            return Handled(decision, database.position.seq)
        position = database.commit(plan)
        self._unkept.append(KeptFrame(position.epoch, position.seq, plan))
        return Handled(decision, position.seq)

    def kept_until(self, seq: int) -> list[KeptFrame]:
        """Frames that have become kept: only these may be spoken of from here on."""
        frames: list[KeptFrame] = []
        unkept = self._unkept
        while unkept and unkept[0].seq <= seq:
            frames.append(unkept.popleft())
        return frames


def touched_effects(plan: Plan) -> list[EffectKey]:
    """Outbox rows a plan has put or moved."""
    keys = [key_of(effect) for effect in plan.effects]
    for change in plan.changes:
        if type(change) is EffectMoved or type(change) is EffectOpen:
            keys.append(change.key)
    return keys
