"""The life of an effect: open → (sending) → done, or waiting with growing pauses, or parked with a reason.

An effect that can be asked about (a VMR, a calendar item) is simply tried again after a crash: whoever carries it out
looks first. A mail can't be asked about, so "sending" is kept before it is handed over; a crash in between leaves its
fate unknown, and the configuration says whether it goes again under the same Message-ID or waits for a person.
"""

from typing import Literal, assert_never

import msgspec

from meetkeeper.core.changes import EffectMoved, ItemForgotten, MeetingStepped, RoomTold, VmrRetired
from meetkeeper.core.commands import Release
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import AnnotateItem, Announce, EnsureVmr, Phase, RetireVmr, SendMail, WriteItem
from meetkeeper.core.errors import NotFound, Refused
from meetkeeper.core.events import Done, EffectReported, EffectStarted, Later, Never, Outcome, Taken, Unclear
from meetkeeper.core.keeping import (
    NEW,
    choose_vmr,
    is_needed,
    keep_series,
    kept,
    shares_vmr,
    write_items,
    write_series,
)
from meetkeeper.core.plan import Decision
from meetkeeper.core.state import OutboxRow, Series, State, Status
from meetkeeper.core.vmr import Scope
from meetkeeper.core.words import OPEN_STEPS, Alias, EffectKey, Meeting, Step, Uid
from meetkeeper.core.writeback import annotate, mails, tell

PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 300.0
BROUGHT_FORWARD_MAX = 10_000
"""Rows brought forward in one plan."""
MAIL_GIVEN_UP_S = 86_400.0
"""A mail that could not be handed over for a day is parked."""


def pause_s(tries: int, key: EffectKey) -> float:
    """Seconds until the next try: doubling from one second to five minutes, spread by up to a quarter by the key."""
    spread = 1.0 + (sum(key.encode()) % 256) / 1_024
    return min(PAUSE_FIRST_S * 2.0 ** min(tries, 16), PAUSE_MAX_S) * spread


def started(state: State, draft: Draft, event: EffectStarted) -> None:
    """A mail is about to be handed over."""
    row = state.outbox.get(event.key)
    if row is not None and row.status in (Status.OPEN, Status.WAITING):
        draft.change(EffectMoved(row.key, Status.SENDING, row.tries + 1, row.again_at_s, ""))


def after_crash(state: State, draft: Draft) -> None:
    """A reign begins: mails in "sending" have an unknown fate."""
    resend = state.settings().mail.unknown_fate == "resend"
    for row in list(state.outbox.values()):
        if row.status is not Status.SENDING:
            continue
        if resend:
            reason = "its fate was unknown after a crash; sent again under the same Message-ID"
            draft.change(EffectMoved(row.key, Status.OPEN, row.tries, draft.now_s, reason))
        else:
            reason = "the server stopped while this mail was handed over; it may have arrived"
            draft.change(EffectMoved(row.key, Status.UNKNOWN, row.tries, draft.now_s, reason))
        draft.note("mail.fate-unknown", row.key, reason)


def bring_forward(state: State, draft: Draft, *, set_back: bool = False) -> None:
    """What waits for longer than anything waits was put off by a clock that was wrong: its time has come.

    `set_back`: the clock is right only now. Whatever is to be tried again is tried now: nobody can say which of those
    pauses the wrong clock measured.
    """
    retire_s = state.settings().vmr.retire_after_s
    for row in list(state.outbox.values())[:BROUGHT_FORWARD_MAX]:
        untried = isinstance(row.effect, RetireVmr) and not row.tries
        longest_s = retire_s if untried else PAUSE_MAX_S * 1.25
        if row.status is Status.OPEN or (set_back and not untried):
            longest_s = 0.0
        if row.status in (Status.OPEN, Status.WAITING) and row.again_at_s > draft.now_s + longest_s:
            at_s = draft.now_s + (retire_s if untried else 0.0)
            draft.change(EffectMoved(row.key, row.status, row.tries, at_s, "the clock was wrong before"))


def reported(state: State, draft: Draft, event: EffectReported) -> None:
    """What became of an effect, and what follows. A report about a row that is gone changes nothing."""
    row = state.outbox.get(event.key)
    if row is None:
        return
    match row.effect:
        case EnsureVmr():
            _vmr_reported(state, draft, row, row.effect, event.outcome)
        case RetireVmr():
            _retire_reported(state, draft, row, row.effect, event.outcome)
        case Announce():
            _announce(state, draft, row, row.effect)
        case SendMail():
            _settle(draft, row, event.outcome, hold_unclear=state.settings().mail.unknown_fate == "hold")
        case WriteItem():
            _settle(draft, row, event.outcome)
            if isinstance(event.outcome, Done) and not event.outcome.idle:
                _forget_copies(state, draft, row.effect)
        case AnnotateItem():
            _settle(draft, row, event.outcome)
        case _ as never:
            assert_never(never)


def release(state: State, command: Release, now_s: float) -> Decision:
    """A person decides about a parked or unknown effect."""
    row = state.outbox.get(command.key)
    if row is None:
        raise NotFound(
            "unknown-effect", f"No effect {command.key!r} is open. `meetkeeper outbox` lists them."
        )
    if row.status is Status.SENDING:
        raise Refused("sending", "This mail is being handed over right now. Wait a moment and look again.")
    draft = Draft(state, now_s)
    if command.how == "done":
        draft.change(EffectMoved(row.key, Status.DONE, row.tries, now_s, "taken as done by request"))
    else:
        draft.change(EffectMoved(row.key, Status.OPEN, row.tries, now_s, "released by request"))
    return Decision(draft.plan(), row.key)


def _settle(draft: Draft, row: OutboxRow, outcome: Outcome, *, hold_unclear: bool = False) -> None:
    """The next state of an effect without consequences."""
    now_s = draft.now_s
    match outcome:
        case Done():
            draft.change(EffectMoved(row.key, Status.DONE, row.tries, now_s, outcome.detail))
        case Later():
            _wait(draft, row, outcome)
        case Never() | Taken():
            draft.change(EffectMoved(row.key, Status.PARKED, row.tries, now_s, outcome.reason))
            draft.note("effect.parked", row.key, outcome.reason)
        case Unclear():
            status = Status.UNKNOWN if hold_unclear else Status.WAITING
            again_at_s = now_s if hold_unclear else now_s + pause_s(row.tries, row.key)
            draft.change(EffectMoved(row.key, status, row.tries, again_at_s, outcome.reason))
            draft.note("mail.fate-unknown", row.key, outcome.reason)
        case _ as never:
            assert_never(never)


def _wait(draft: Draft, row: OutboxRow, outcome: Later) -> None:
    now_s = draft.now_s
    tries = row.tries if row.status is Status.SENDING else row.tries + 1
    if isinstance(row.effect, SendMail) and _waited_s(tries) > MAIL_GIVEN_UP_S:
        reason = f"given up after a day: {outcome.reason}"
        draft.change(EffectMoved(row.key, Status.PARKED, tries, now_s, reason))
        draft.note("effect.parked", row.key, reason)
        return
    wait_s = max(outcome.retry_after_s or 0.0, pause_s(tries - 1, row.key))
    draft.change(EffectMoved(row.key, Status.WAITING, tries, now_s + wait_s, outcome.reason))


def _waited_s(tries: int) -> float:
    """How long so many pauses have lasted at least."""
    return sum(min(PAUSE_FIRST_S * 2.0 ** min(one, 16), PAUSE_MAX_S) for one in range(tries))


def _vmr_reported(state: State, draft: Draft, row: OutboxRow, effect: EnsureVmr, outcome: Outcome) -> None:
    match outcome:
        case Done():
            draft.change(EffectMoved(row.key, Status.DONE, row.tries, draft.now_s, outcome.detail))
            for meeting_row in state.meetings_by_alias(effect.alias):
                if meeting_row.step is Step.SCHEDULED:
                    draft.change(MeetingStepped(meeting_row.id, Step.PROVISIONED, draft.now_s))
            if effect.turn == NEW and not outcome.idle:
                _tell_standing(state, draft, effect.alias, outcome)
        case Taken() if effect.turn == NEW:
            draft.change(EffectMoved(row.key, Status.DONE, row.tries, draft.now_s, outcome.reason))
            draft.note("vmr.taken", effect.alias, outcome.reason)
            _next_attempt(state, draft, effect.alias)
        case Later() if effect.turn == NEW and row.tries > 0 and _tell_anyway(state, row):
            draft.change(EffectMoved(row.key, Status.DONE, row.tries, draft.now_s, outcome.reason))
            draft.effect(msgspec.structs.replace(effect, turn="again"))
            draft.note(
                "vmr.told-unprovisioned", effect.alias, "the bridge is away; the URI is derived and stays"
            )
            told = _meets_in(state, effect.alias)
            if told is not None:
                tell(state, draft, told)
        case Later() if effect.turn == NEW and row.tries == 0:
            told = _meets_in(state, effect.alias)
            if told is not None:
                annotate(state, draft, told, "waits")
            _settle(draft, row, outcome)
        case Done() | Later() | Never() | Taken() | Unclear():
            _settle(draft, row, outcome)
        case _ as never:
            assert_never(never)


def _tell_anyway(state: State, row: OutboxRow) -> bool:
    return _waited_s(row.tries) >= state.settings().mail.tell_unprovisioned_after_s


def _tell_standing(state: State, draft: Draft, alias: Alias, outcome: Done) -> None:
    """Tell, unless the VMR stood there from a history that was lost: then everybody was told by that one.

    What has been changed since this history began was told by none.
    """
    told = _meets_in(state, alias)
    if told is None:
        return
    if outcome.adopted_from not in (None, state.lineage) and told.revision == 1:
        annotate(state, draft, told, "stands")
        draft.note(
            "vmr.adopted",
            alias,
            "it stood on the bridge under our marker from a lost history: counts as told",
        )
        return
    tell(state, draft, told)


def _meets_in(state: State, alias: Alias) -> Meeting | Series | None:
    """The meeting or series that has this VMR."""
    uid = state.series_by_alias.get(alias)
    if uid is not None:
        return state.one_series(uid)
    meeting_id = state.by_alias.get(alias)
    return None if meeting_id is None else state.meeting(meeting_id)


def _next_attempt(state: State, draft: Draft, alias: Alias) -> None:
    """Somebody else holds the alias and nobody was told yet: the next derived one."""
    uid = state.series_by_alias.get(alias)
    series = None if uid is None else state.one_series(uid)
    fresh = None
    if series is not None and series.vmr is not None:
        fresh = choose_vmr(state, Scope(series.uid), series.vmr.bridge, series.vmr.attempt + 1)
        series = msgspec.structs.replace(series, vmr=fresh)
        keep_series(draft, series, state.series[series.uid].expanded_until_s)
        write_series(state, draft, series)
    for row in state.meetings_by_alias(alias):
        meeting = state.decode(row)
        if meeting.vmr is None:
            continue
        shared = shares_vmr(state, row)
        if fresh is None:
            old = meeting.vmr
            occurrence = meeting.original_start_s if row.series is not None else None
            fresh = choose_vmr(state, Scope(meeting.uid, occurrence), old.bridge, old.attempt + 1)
        moved = msgspec.structs.replace(meeting, vmr=fresh)
        draft.change(kept(moved, row.step, row.series, own_vmr=not shared))
        draft.effect(EnsureVmr(fresh.alias, meeting.id, Phase.BOOKED, NEW))
        if row.series is None and meeting.origin == "api":
            write_items(state, draft, moved)


def _retire_reported(state: State, draft: Draft, row: OutboxRow, effect: RetireVmr, outcome: Outcome) -> None:
    _settle(draft, row, outcome)
    uid = _uid_of(state, effect.alias)
    # An alias of which nobody knows whose it was is not buried: its own meeting would be the first one shut out.
    if isinstance(outcome, Done) and uid is not None and not is_needed(state, effect.alias, draft.now_s):
        until_s = int(draft.now_s) + state.settings().vmr.tombstone_s
        draft.change(VmrRetired(effect.alias, until_s, uid))


def _uid_of(state: State, alias: Alias) -> Uid | None:
    uid = state.series_by_alias.get(alias)
    if uid is not None:
        return uid
    meeting_id = state.by_alias.get(alias)
    meeting = None if meeting_id is None else state.meeting(meeting_id)
    return None if meeting is None else meeting.uid


def _announce(state: State, draft: Draft, row: OutboxRow, effect: Announce) -> None:
    """One mail for each recipient; without a mail server, a note instead."""
    config = state.settings()
    if not config.mail.host:
        draft.change(EffectMoved(row.key, Status.DONE, 0, draft.now_s, "no mail server is configured"))
        return
    told = _told_of(state, effect)
    if told is not None and not mails(state, told):
        draft.change(EffectMoved(row.key, Status.DONE, 0, draft.now_s, "its rooms' calendars alone say it"))
        return
    rooms = {room.email.lower() for room in config.rooms if room.email}
    people = recipients(state, effect, config.mail.fallback_organizer)
    draft.change(EffectMoved(row.key, Status.DONE, 0, draft.now_s, f"{len(people)} to be told"))
    for address in people:
        if address not in rooms:
            method: Literal["REQUEST", "CANCEL"] = "CANCEL" if effect.cancelled else "REQUEST"
            draft.effect(SendMail(address, effect.revision, method, effect.meeting, effect.series))
    for address in effect.dropped:
        if address not in rooms and address not in people:
            draft.effect(SendMail(address, effect.revision, "CANCEL", effect.meeting, effect.series))


def _told_of(state: State, effect: Announce) -> Meeting | Series | None:
    if effect.meeting is not None:
        return state.meeting(effect.meeting)
    return None if effect.series is None else state.one_series(effect.series)


def recipients(state: State, effect: Announce, fallback: str) -> list[str]:
    """Organizer and invitees, each once, in the order in which the meeting names them."""
    told: Meeting | None = None
    if effect.meeting is not None:
        told = state.meeting(effect.meeting)
        people = () if told is None else (told.organizer, *told.invitees)
    else:
        series = None if effect.series is None else state.one_series(effect.series)
        people = () if series is None else (series.organizer, *series.invitees)
    addresses = [person.email.lower() for person in people if person.email]
    if not addresses and fallback:
        addresses = [fallback.lower()]
    return list(dict.fromkeys(addresses))


def _forget_copies(state: State, draft: Draft, effect: WriteItem) -> None:
    """A copy that our own hand removed is not missed later, nor one that our own hand has just written again.

    The calendar may tell of it much later, when the meeting has long been booked anew.
    """
    meeting = None if effect.meeting is None else state.meeting(effect.meeting)
    uid = effect.series if meeting is None else meeting.uid
    if uid is None:
        return
    for row in state.items_of(uid):
        if row.room == effect.room and (effect.remove or row.gone):
            draft.change(ItemForgotten(row.room, row.href))
            news = state.rooms_news.get(row.room)
            if row.held and news is not None:
                draft.change(RoomTold(row.room, msgspec.structs.replace(news, held=news.held - 1)))


def open_meetings(state: State, alias: Alias) -> bool:
    """True while some meeting in this VMR is not over."""
    return any(row.step in OPEN_STEPS for row in state.meetings_by_alias(alias))
