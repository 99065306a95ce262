"""Writing how to join into the rooms' own copies of a meeting that a calendar brought, where the room's policy says so.

Rules. Only rooms with a calendar, only meetings that are not booked here (those are written whole), and only a VMR of
the whole item: occurrences with VMRs of their own would need a body each. It is written once for each revision that is
told, with a placeholder while the bridge can't answer. Our own writing is no news: `core.identity` leaves it out.
"""

from typing import Literal

from meetkeeper.core.configuration import NoCalendar
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import AnnotateItem, Announce
from meetkeeper.core.state import Series, State
from meetkeeper.core.words import Meeting, RoomId

Turn = Literal["stands", "waits", "gone", "again"]


def policy_of(state: State, room_id: RoomId) -> str:
    """The room's policy; none for a room without a calendar."""
    room = state.rooms.get(room_id)
    return "none" if room is None or isinstance(room.calendar, NoCalendar) else room.write_back


def annotate(state: State, draft: Draft, told: Meeting | Series, turn: Turn) -> None:
    """Let the rooms' copies say how to join `told`, as it is kept from here on."""
    if told.origin == "api" or (isinstance(told, Meeting) and told.original_start_s is not None):
        return
    for room in told.rooms:
        if policy_of(state, room) != "none":
            annotate_room(draft, room, told, turn)


def annotate_room(draft: Draft, room: RoomId, told: Meeting | Series, turn: Turn) -> None:
    """The same for one room, whatever its policy."""
    if isinstance(told, Series):
        draft.effect(AnnotateItem(room, told.revision, turn, series=told.uid))
    else:
        draft.effect(AnnotateItem(room, told.revision, turn, meeting=told.id))


def tell(
    state: State,
    draft: Draft,
    told: Meeting | Series,
    *,
    dropped: tuple[str, ...] = (),
    turn: Turn = "stands",
) -> None:
    """Everybody concerned is to be told of this revision, and the rooms' copies are to say it."""
    if isinstance(told, Series):
        draft.effect(Announce(told.revision, series=told.uid, dropped=dropped))
    else:
        draft.effect(Announce(told.revision, meeting=told.id, dropped=dropped))
    annotate(state, draft, told, turn)


def mails(state: State, told: Meeting | Series) -> bool:
    """False where all its rooms write into their calendars alone and mail nobody."""
    if told.origin == "api" or not told.rooms:
        return True
    return any(policy_of(state, room) != "room" for room in told.rooms)
