"""What people and programs ask for: book, amend, cancel. A refusal says whose fault it is and what to do.

Meetings that a calendar brought are changed in that calendar: two masters for one meeting would take turns in undoing
each other. Meetings booked here are changed here, and written into their rooms' calendars afterwards.
"""

import msgspec

from meetkeeper.core import identity
from meetkeeper.core.changes import IdempotencyKept
from meetkeeper.core.commands import Amend, Book, Cancel, Resend
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import Announce, WriteItem
from meetkeeper.core.errors import Refused, Stale, TheirMistake
from meetkeeper.core.keeping import (
    bridge_for,
    cancel,
    choose_vmr,
    is_untold,
    is_written,
    keep_changed,
    keep_new,
    leave_vmr,
    shares_vmr,
)
from meetkeeper.core.plan import Decision, Plan
from meetkeeper.core.rules import (
    check_bridge,
    check_free,
    check_span,
    check_text,
    known_rooms,
    other_kind,
    owned_by_calendar,
    unknown,
)
from meetkeeper.core.series import amend_occurrence, book_series, cancel_occurrence, cancel_series
from meetkeeper.core.state import Kept, State
from meetkeeper.core.vmr import Scope
from meetkeeper.core.words import (
    OPEN_STEPS,
    Meeting,
    MeetingId,
    RoomId,
    Step,
    Uid,
)

_NOTHING = Plan(0.0)


def book(state: State, command: Book, now_s: float) -> Decision:
    """A new meeting, or with a known `uid` the same one as it ought to be now. Answers with the meeting's id.

    Raises `TheirMistake` for impossible input, `NotFound` for unknown rooms, `Refused` ("conflict") with the meetings
    in the way in `detail["conflicts"]`.
    """
    seen = _answered_before(state, command)
    if seen is not None:
        return Decision(_NOTHING, seen)
    config = state.settings()
    check_span(command.start_s, command.end_s, now_s)
    check_text(command.subject, command.description, len(command.invitees))
    rooms = known_rooms(state, command.rooms)
    check_bridge(config, command.bridge)
    uid = command.uid or Uid(f"{command.nonce}@{config.cluster.name}.meetkeeper")
    draft = Draft(state, now_s)
    if command.recurrence:
        answer = book_series(state, draft, command, uid, rooms)
    else:
        answer = _book_single(state, draft, command, uid, rooms)
    if command.idempotency is not None:
        key, request = command.idempotency
        draft.change(IdempotencyKept(key, request, answer, now_s))
    return Decision(draft.plan(), answer)


def _book_single(state: State, draft: Draft, command: Book, uid: Uid, rooms: tuple[RoomId, ...]) -> MeetingId:
    meeting_id = identity.meeting_id(uid, None)
    row = state.meetings.get(meeting_id)
    old = None if row is None else state.decode(row)
    if old is not None and old.origin != "api":
        raise owned_by_calendar(old.rooms)
    check_free(state, rooms, ((command.start_s, command.end_s),), except_ids=(meeting_id,))
    series = state.one_series(uid)
    if series is not None and not series.over:
        raise other_kind("a series")
    vmr = None if series is None else series.vmr
    if command.vmr and row is None and vmr is None:
        vmr = choose_vmr(state, Scope(uid), bridge_for(state, rooms, command.bridge))
    meeting = Meeting(
        id=meeting_id,
        uid=uid,
        subject=command.subject,
        organizer=command.organizer,
        rooms=rooms,
        start_s=command.start_s,
        end_s=command.end_s,
        time_zone=command.time_zone,
        modified_s=int(draft.now_s),
        invitees=command.invitees,
        description=command.description,
        vmr=vmr,
        private=command.private,
        origin="api",
    )
    leave_vmr(state, draft, uid)
    if row is None or old is None:
        keep_new(state, draft, meeting)
        return meeting_id
    if row.step not in OPEN_STEPS or differs(old, meeting):
        _change_single(state, draft, row, old, meeting)
    return meeting_id


def differs(old: Meeting, new: Meeting) -> bool:
    """True when a person would notice the difference."""
    return (
        old.start_s != new.start_s
        or old.end_s != new.end_s
        or old.rooms != new.rooms
        or old.subject != new.subject
        or old.organizer != new.organizer
        or old.invitees != new.invitees
        or old.time_zone != new.time_zone
        or old.description != new.description
        or old.private != new.private
        or old.all_day != new.all_day
    )


def _change_single(state: State, draft: Draft, row: Kept, old: Meeting, new: Meeting) -> None:
    meeting = keep_changed(state, draft, row, old, new)
    if meeting.origin != "api" or row.series is not None:
        return
    for room in meeting.rooms:
        if is_written(state, room):
            draft.effect(WriteItem(room, meeting.revision, meeting=meeting.id))
    for room in old.rooms:
        if room not in meeting.rooms and is_written(state, room):
            draft.effect(WriteItem(room, meeting.revision, meeting=meeting.id, remove=True))


def amend(state: State, command: Amend, now_s: float) -> Decision:
    """Change a meeting that was booked here. Raises `NotFound`, `Stale`, `TheirMistake`, `Refused`."""
    row, old = open_meeting(state, command.id, command.revision)
    rooms = old.rooms if command.rooms is None else known_rooms(state, command.rooms)
    new = msgspec.structs.replace(
        old,
        rooms=rooms,
        subject=old.subject if command.subject is None else command.subject,
        invitees=old.invitees if command.invitees is None else command.invitees,
        description=old.description if command.description is None else command.description,
        start_s=old.start_s if command.start_s is None else command.start_s,
        end_s=old.end_s if command.end_s is None else command.end_s,
        time_zone=old.time_zone if command.time_zone is None else command.time_zone,
        modified_s=int(now_s),
    )
    if not differs(old, new):
        return Decision(_NOTHING, old.id)
    check_span(new.start_s, new.end_s, now_s)
    check_text(new.subject, new.description, len(new.invitees))
    check_free(state, rooms, ((new.start_s, new.end_s),), except_ids=(old.id,))
    draft = Draft(state, now_s)
    if row.series is not None:
        amend_occurrence(state, draft, row, old, new)
    else:
        _change_single(state, draft, row, old, new)
    return Decision(draft.plan(), old.id)


def cancel_meeting(state: State, command: Cancel, now_s: float) -> Decision:
    """Cancel a meeting that was booked here; a cancelled one is cancelled already."""
    known = state.meetings.get(command.id)
    if known is not None and known.step not in OPEN_STEPS and not command.whole_series:
        return Decision(_NOTHING, command.id)
    row, meeting = open_meeting(state, command.id, command.revision)
    draft = Draft(state, now_s)
    if row.series is not None and command.whole_series:
        cancel_series(state, draft, row.series)
    elif row.series is not None:
        cancel_occurrence(state, draft, row, meeting)
    else:
        cancel(state, draft, row, meeting, "cancelled by request")
    return Decision(draft.plan(), meeting.id)


def resend(state: State, command: Resend, now_s: float) -> Decision:
    """Tell everybody again what they were told last, under the same Message-IDs.

    While the bridge has not confirmed the VMR nobody was told yet; the confirmation will tell them.
    """
    row = state.meetings.get(command.id)
    if row is None:
        raise unknown(command.id)
    meeting = state.decode(row)
    if is_untold(state, row.alias):
        return Decision(_NOTHING, meeting.id)
    draft = Draft(state, now_s)
    series = state.one_series(row.series) if row.series is not None and shares_vmr(state, row) else None
    if series is not None:
        draft.effect(Announce(series.revision, series=series.uid, cancelled=series.over))
    else:
        cancelled = row.step is Step.CANCELLED
        draft.effect(Announce(meeting.revision, meeting=meeting.id, cancelled=cancelled))
    return Decision(draft.plan(), meeting.id)


def open_meeting(state: State, meeting_id: MeetingId, revision: int | None) -> tuple[Kept, Meeting]:
    """The row and the meeting, if it is known, not over, at that revision and ours to change."""
    row = state.meetings.get(meeting_id)
    if row is None:
        raise unknown(meeting_id)
    meeting = state.decode(row)
    if revision is not None and revision != meeting.revision:
        raise Stale(
            "stale",
            f"The meeting is at revision {meeting.revision}, the request was made for revision {revision}. "
            "Read it again, then decide again.",
            detail={"revision": meeting.revision},
        )
    if row.step not in OPEN_STEPS:
        raise Refused("over", f"The meeting is {row.step}; it can't be changed any more. Book a new one.")
    if meeting.origin != "api":
        raise owned_by_calendar(meeting.rooms)
    return row, meeting


def _answered_before(state: State, command: Book) -> str | None:
    if command.idempotency is None:
        return None
    key, request = command.idempotency
    row = state.idempotency.get(key)
    if row is None:
        return None
    if row.request != request:
        raise TheirMistake(
            "idempotency-key-reused",
            "This Idempotency-Key was used for a different request. Use a new key for a new request.",
        )
    return row.answer
