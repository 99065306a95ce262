"""Our block in the rooms' copies, when somebody else's saving has lost it: it is written again, once for each revision.

An organizer's update replaces the room's copy, also when it changes nothing that anybody would notice; what anybody
notices is a new revision, which is written back anyway (`core.writeback`).
"""

from typing import get_args

from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import AnnotateItem, key_of
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.keeping import is_untold
from meetkeeper.core.state import Series, State
from meetkeeper.core.words import OPEN_STEPS, CalendarItem, Meeting, RoomId, Uid
from meetkeeper.core.writeback import Turn, annotate_room, policy_of


def mend_shown(state: State, draft: Draft, room: RoomId, items: tuple[CalendarItem, ...]) -> None:
    """Items on a page that say what is known and settled, but without our block."""
    if policy_of(state, room) == "none":
        return
    for item in items:
        rows = [row for row in state.items_of(item.uid) if row.room == room]
        if any(row.fingerprint == item.fingerprint and row.settle_at_s is None for row in rows):
            _mend(state, draft, room, item)


def mend_settled(state: State, draft: Draft, uid: Uid) -> None:
    """Items that have settled now and meant nothing new for their meetings."""
    for row in state.items_of(uid):
        fresh = row.settle_at_s is not None and not row.gone
        if fresh and row.item is not None and policy_of(state, row.room) != "none":
            _mend(state, draft, row.room, row.item)


def _mend(state: State, draft: Draft, room: RoomId, item: CalendarItem) -> None:
    told = _told_of(state, item.uid)
    if told is None or told.vmr is None or room not in told.rooms:
        return
    if meeting_id(item.uid, None) in item.blocks or is_untold(state, told.vmr.alias):
        return
    keys = {turn: key_of(_effect(room, told, turn)) for turn in get_args(Turn)}
    waiting = any(key in state.outbox for key in keys.values())
    if not waiting and keys["again"] not in state.done:
        annotate_room(draft, room, told, "again")
        draft.note("block.lost", item.uid, f"its copy in {room} was saved without our block: written again")


def _effect(room: RoomId, told: Meeting | Series, turn: Turn) -> AnnotateItem:
    if isinstance(told, Series):
        return AnnotateItem(room, told.revision, turn, series=told.uid)
    return AnnotateItem(room, told.revision, turn, meeting=told.id)


def _told_of(state: State, uid: Uid) -> Meeting | Series | None:
    """The open series, or the open meeting that does not repeat, of this UID, when a calendar brought it."""
    series = state.one_series(uid)
    if series is not None and not series.over:
        return series if series.origin == "calendar" else None
    row = state.meetings.get(meeting_id(uid, None))
    if row is None or row.step not in OPEN_STEPS:
        return None
    meeting = state.decode(row)
    return meeting if meeting.origin == "calendar" else None
