"""A kept meeting or series → what stands in each of its rooms' calendars: the same text in every room.

Between the outbox, which says that a room's calendar must show a meeting, and `writing`, which spells it. Pure.
"""

import msgspec

from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import OurMistake
from meetkeeper.core.invitation import Invitation, Kind, join_block, of_meeting, of_series
from meetkeeper.core.state import Series
from meetkeeper.core.words import CalendarItem, Entry, Meeting, Person, RoomId
from meetkeeper.itemtext.writing import Conference, Venue, item_of, to_calendar


def room_item(
    config: Config, meeting: Meeting | None, series: Series | None, _now_s: float
) -> tuple[str, bytes]:
    """(UID, iCalendar object) for a room's calendar; exactly one of meeting and series is given.

    The shape is `engine.neighbours.ItemText`. The time is not used: the same revision is always the same bytes.
    Raises `OurMistake` when neither is given.
    """
    if series is not None:
        item, rooms, invitation = _item_of_series(series), series.rooms, of_series(config, series, Kind.NEW)
    elif meeting is not None:
        item, rooms, invitation = item_of(meeting), meeting.rooms, of_meeting(config, meeting, Kind.NEW)
    else:
        raise OurMistake(
            "item.nothing", "There is no meeting to write into the room's calendar; report this."
        )
    return item.uid, to_calendar(item, _venue(config, rooms, invitation))


def _venue(config: Config, rooms: tuple[RoomId, ...], invitation: Invitation) -> Venue:
    people = tuple(
        Person(room.email.lower(), room.name or room.id) for room in config.rooms if room.id in rooms
    )
    join = invitation.join
    if join is None:
        return Venue(rooms=people)
    ways = [Conference(join.url, "Join in the browser"), Conference(join.sip, "Join from a video system")]
    if join.phone:
        ways.append(Conference(f"tel:{join.phone}", "Join by telephone", ("AUDIO", "PHONE")))
    return Venue(rooms=people, conference=tuple(ways), join_block=join_block(invitation))


def _item_of_series(series: Series) -> CalendarItem:
    """The item with what the series knows better: overrides made here carry only what they change."""
    master = None if series.item.master is None else _filled(series.item.master, series)
    overrides = tuple(_filled(entry, series) for entry in series.item.overrides)
    return msgspec.structs.replace(series.item, uid=series.uid, master=master, overrides=overrides)


def _filled(entry: Entry, series: Series) -> Entry:
    return msgspec.structs.replace(
        entry,
        subject=entry.subject or series.subject,
        description=entry.description or series.description,
        organizer=entry.organizer or series.organizer,
        attendees=entry.attendees or series.invitees,
        private=entry.private or series.private,
        sequence=max(entry.sequence, series.sequence),
        modified_s=max(entry.modified_s, series.modified_s),
    )
