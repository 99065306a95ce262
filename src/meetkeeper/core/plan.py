"""A plan: what was decided about one event, complete and without choices left. One plan = one frame = one atom."""

from msgspec import Struct

from meetkeeper.core.changes import Change, apply
from meetkeeper.core.effects import Effect, key_of
from meetkeeper.core.state import OutboxRow, State, Status

_OPEN = Status.OPEN


class Note(Struct, frozen=True, gc=False, array_like=True):
    """Why something was decided: a stable code, what it is about, and a sentence. `meetkeeper explain` prints these."""

    code: str
    about: str
    why: str


class Plan(Struct, frozen=True, gc=False, omit_defaults=True):
    """Changes, then effects, in this order; `at_s` is the wall clock the decision was made by."""

    at_s: float
    changes: tuple[Change, ...] = ()
    effects: tuple[Effect, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to keep: no frame is written."""
        return not (self.changes or self.effects)


class Decision(Struct, frozen=True, gc=False):
    """A plan and what the asker is told once the plan is kept."""

    plan: Plan
    answer: str = ""


def apply_plan(state: State, plan: Plan) -> None:
    """Write the whole plan into the state. The latest time is remembered: whoever ticks next sees a clock set back,
    whatever has been decided in between by the clock as it is now.
    """
    state.due.seen_s = max(state.due.seen_s, plan.at_s)
    for change in plan.changes:
        apply(state, change)
    for effect in plan.effects:
        state.put_effect(OutboxRow(key_of(effect), effect, _OPEN, 0, plan.at_s, ""))
