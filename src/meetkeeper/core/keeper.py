"""The one front door of the core: an event in, a decision out. Dispatch only; every rule lives in a room of its own.

Pure: the same state, event and time give the same plan on every machine. Errors (`core.errors`) are raised for
commands alone, before anything is decided; whatever a neighbour reports leads to a plan.
"""

from typing import assert_never

from meetkeeper.core import administration, booking, outbox, seen, timing
from meetkeeper.core.changes import ReignOpened
from meetkeeper.core.commands import (
    Amend,
    Book,
    Cancel,
    Deploy,
    IssueToken,
    Release,
    ReleaseBrake,
    Resend,
    Resync,
    RevokeToken,
)
from meetkeeper.core.drafting import Draft
from meetkeeper.core.events import (
    Audited,
    BridgeSurveyed,
    EffectReported,
    EffectStarted,
    Event,
    PageSeen,
    ReignStarted,
    Ticked,
)
from meetkeeper.core.plan import Decision
from meetkeeper.core.state import State


def step(state: State, event: Event, now_s: float) -> Decision:
    """Decide about one event. An empty plan means nothing changes and nothing is written."""
    match event:
        case Book():
            return booking.book(state, event, now_s)
        case EffectReported():
            draft = Draft(state, now_s)
            outbox.reported(state, draft, event)
        case EffectStarted():
            draft = Draft(state, now_s)
            outbox.started(state, draft, event)
        case Ticked():
            # Each looks at meetings as the state has them: what one has decided the next must see.
            draft = Draft(state, now_s)
            timing.mind_clock(state, draft)
            if not len(draft):
                timing.act_on_due(state, draft)
            if not len(draft):
                seen.settle_due(state, draft)
            timing.forget_answers(state, draft)
        case PageSeen():
            draft = Draft(state, now_s)
            seen.page(state, draft, event)
        case Audited():
            draft = Draft(state, now_s)
            seen.audited(state, draft, event)
        case BridgeSurveyed():
            draft = Draft(state, now_s)
            seen.survey(state, draft, event)
        case ReignStarted():
            draft = Draft(state, now_s)
            draft.change(ReignOpened(event.epoch, event.server, event.release, event.tzdata))
            outbox.after_crash(state, draft)
            outbox.bring_forward(state, draft)
        case _:
            return _command(state, event, now_s)
    return Decision(draft.plan())


def _command(
    state: State,
    command: Amend | Cancel | Resend | Release | Resync | ReleaseBrake | Deploy | IssueToken | RevokeToken,
    now_s: float,
) -> Decision:
    match command:
        case Amend():
            return booking.amend(state, command, now_s)
        case Cancel():
            return booking.cancel_meeting(state, command, now_s)
        case Resend():
            return booking.resend(state, command, now_s)
        case Release():
            return outbox.release(state, command, now_s)
        case Resync():
            return administration.resync(state, command, now_s)
        case ReleaseBrake():
            return seen.release_brake(state, command, now_s)
        case Deploy():
            return administration.deploy(state, command, now_s)
        case IssueToken():
            return administration.issue_token(state, command, now_s)
        case RevokeToken():
            return administration.revoke_token(state, command, now_s)
        case _ as never:
            assert_never(never)
