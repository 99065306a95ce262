"""The clock's share: what a meeting's time asks for, the settling of calendars, the horizon, and forgetting.

A meeting found late is opened at once while its window lasts and noted as late; one whose end has passed unopened is
ended without ever being opened. Never twice: each step is a change, and a step is only taken from the one before it.
"""

from itertools import islice

import msgspec

from meetkeeper.core.changes import (
    CookieKept,
    IdempotencyForgotten,
    ItemForgotten,
    MeetingForgotten,
    SeriesForgotten,
)
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import EnsureVmr, Phase
from meetkeeper.core.keeping import is_untold, retire, series_goes_on, stepped
from meetkeeper.core.outbox import bring_forward
from meetkeeper.core.schedule import Act
from meetkeeper.core.settling import kept_row
from meetkeeper.core.state import Kept, State
from meetkeeper.core.words import RUNNING_STEPS, Step

CLOCK_STEP_S = 2.0
"""A clock that goes back by more than this was set back."""
SETTLE_MAX_S = 300.0
"""No calendar settles for longer (`configuration`)."""
LATE_S = 2.0
"""A start later than this is noted as late."""
IDEMPOTENCY_KEPT_S = 86_400
ACTS_MAX = 2_000
"""Meetings acted on in one plan; the rest follow in the next."""


def mind_clock(state: State, draft: Draft) -> None:
    """A clock that was set back was wrong before: what waits for a time that it made up waits no longer.

    A meeting that it made miss, never opened, comes back while its end lies ahead. One that was opened early runs on.
    """
    before_s, state.due.seen_s = state.due.seen_s, draft.now_s
    if draft.now_s >= before_s - CLOCK_STEP_S:
        return
    bring_forward(state, draft, set_back=True)
    if not _settle_again(state, draft):
        state.due.seen_s = before_s
    for row in state.meetings.values():
        if row.step is Step.ENDED and row.end_s > draft.now_s and row.id not in state.live_at_s:
            _come_back(state, draft, row)


def _settle_again(state: State, draft: Draft) -> bool:
    """Items that wait for the wrong clock settle, those that were over by it are read anew. False if more are left."""
    left = ACTS_MAX
    for room, rows in state.items.items():
        read_anew = False
        for row in rows.values():
            if row.settle_at_s is not None and row.settle_at_s > draft.now_s + SETTLE_MAX_S:
                draft.change(kept_row(msgspec.structs.replace(row, settle_at_s=draft.now_s)))
            elif row.settle_at_s is None and row.item is None and not state.meetings_of(row.uid):
                draft.change(ItemForgotten(room, row.href))
                read_anew = True
            else:
                continue
            left -= 1
            if not left:
                break
        if read_anew and state.cookies.get(room):
            draft.change(CookieKept(room, ""))
        if not left:
            return False
    return True


def _come_back(state: State, draft: Draft, row: Kept) -> None:
    if any(state.occupying(room, row.start_s, row.end_s) for room in row.rooms):
        draft.note(
            "meeting.missed", row.id, "the clock was wrong when it was ended, and its room is taken by now"
        )
        return
    stepped(draft, row, Step.SCHEDULED)
    draft.note("meeting.back", row.id, "it had been ended by a clock that was wrong")
    if row.alias is not None:
        draft.effect(EnsureVmr(row.alias, row.id, Phase.BOOKED, f"back-{row.start_s}"))


def act_on_due(state: State, draft: Draft) -> None:
    """Let every meeting that is due take its next step."""
    now_s = draft.now_s
    due = state.due.pull(now_s)
    for number, meeting_id in enumerate(due):
        row = state.meetings.get(meeting_id)
        if row is None:
            continue
        when_s, act = state.due.act(row.id, row.start_s, row.end_s, row.step)
        if when_s > now_s or number >= ACTS_MAX:
            state.due.watch(row.id, row.start_s, row.end_s, row.step)
            continue
        _act(state, draft, row, act)


def keep_watch(state: State, now_s: float) -> None:
    """What is due on a server that only follows: somebody else acts on it, and the view must not grow with the past."""
    for meeting_id in state.due.pull(now_s):
        row = state.meetings.get(meeting_id)
        if row is not None:
            state.due.watch(row.id, row.start_s, row.end_s, row.step)


def _act(state: State, draft: Draft, row: Kept, act: Act) -> None:
    match act:
        case Act.VERIFY:
            if draft.now_s >= row.start_s - state.settings().time.open_before_s:
                _open(state, draft, row)
                return
            state.due.verified[row.id] = row.start_s
            state.due.watch(row.id, row.start_s, row.end_s, row.step)
            # Whose VMR nobody was told of yet is asked for anyway, and may still get another one.
            if row.alias is not None and not is_untold(state, row.alias):
                draft.effect(EnsureVmr(row.alias, row.id, Phase.BOOKED, f"verify-{row.start_s}"))
        case Act.OPEN:
            _open(state, draft, row)
        case Act.WARN:
            if draft.now_s >= row.end_s:
                _end(state, draft, row)
            else:
                stepped(draft, row, Step.ENDING)
        case Act.END:
            _end(state, draft, row)
        case Act.FORGET:
            _forget(state, draft, row)


def _open(state: State, draft: Draft, row: Kept) -> None:
    state.due.verified.pop(row.id, None)
    late_s = draft.now_s - (row.start_s - state.settings().time.open_before_s)
    if draft.now_s >= row.end_s:
        draft.note(
            "meeting.missed", row.id, f"found {late_s:.0f} s after its start, when it was over: not started"
        )
        _end(state, draft, row)
        return
    if late_s > LATE_S:
        draft.note("meeting.late", row.id, f"started {late_s:.1f} s late")
    stepped(draft, row, Step.LIVE)
    if row.alias is not None:
        draft.effect(EnsureVmr(row.alias, row.id, Phase.OPEN, f"open-{row.start_s}"))


def _end(state: State, draft: Draft, row: Kept) -> None:
    stepped(draft, row, Step.ENDED)
    alias = row.alias
    if alias is None:
        return
    others = [
        draft.steps.get(other.id, other.step)
        for other in state.meetings_by_alias(alias)
        if other.id != row.id
    ]
    if any(step in RUNNING_STEPS for step in others):
        return
    if row.step in RUNNING_STEPS:
        draft.effect(EnsureVmr(alias, row.id, Phase.CLOSED, f"close-{row.start_s}"))
    uid = state.series_by_alias.get(alias)
    ahead = any(step in (Step.SCHEDULED, Step.PROVISIONED) for step in others)
    if not ahead and (uid is None or not series_goes_on(state, uid, draft.now_s)):
        vmr = state.decode(row).vmr
        if vmr is not None:
            retire(state, draft, vmr.alias, vmr.bridge)


def _forget(state: State, draft: Draft, row: Kept) -> None:
    draft.change(MeetingForgotten(row.id))
    state.due.verified.pop(row.id, None)
    draft.forgotten.add(row.id)
    uid = row.series
    if uid is not None:
        last = draft.forgotten.issuperset(state.occurrences.get(uid, ()))
        if last and not state.items_by_uid.get(uid) and not series_goes_on(state, uid, draft.now_s):
            draft.change(SeriesForgotten(uid))


def forget_answers(state: State, draft: Draft) -> None:
    """Idempotency keys are remembered for a day. Kept in order of time, so the first young one ends the walk."""
    for row in islice(state.idempotency.values(), ACTS_MAX):
        if row.at_s > draft.now_s - IDEMPOTENCY_KEPT_S:
            return
        draft.change(IdempotencyForgotten(row.key))
