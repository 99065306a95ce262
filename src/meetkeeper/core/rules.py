"""What may be booked: times, rooms, texts and conflicts, each refusal with the way out of it."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import NotFound, Refused, TheirMistake
from meetkeeper.core.state import Kept, State
from meetkeeper.core.words import (
    DESCRIPTION_CHARS_MAX,
    DURATION_MAX_S,
    INVITEES_MAX,
    START_MAX_S,
    START_MIN_S,
    SUBJECT_CHARS_MAX,
    MeetingId,
    RoomId,
)


def check_span(start_s: int, end_s: int, now_s: float) -> None:
    """Raise `TheirMistake` unless this is a time at which a meeting can be booked now."""
    if not START_MIN_S <= start_s < START_MAX_S:
        raise TheirMistake("start", "The start must lie between 1970 and 2100. Correct it and ask again.")
    if end_s <= start_s:
        raise TheirMistake("end", "The end must come after the start. Correct it and ask again.")
    if end_s - start_s > DURATION_MAX_S:
        days = DURATION_MAX_S // 86_400
        raise TheirMistake("duration", f"A meeting lasts at most {days} days. Shorten it, or book several.")
    if end_s <= now_s:
        raise TheirMistake("past", "The meeting would be over already. Choose a later time.")


def check_free(
    state: State,
    rooms: tuple[RoomId, ...],
    spans: Iterable[tuple[int, int]],
    except_ids: Collection[MeetingId] = (),
) -> None:
    """Raise `Refused` ("conflict") naming every meeting that holds one of the rooms in one of the spans."""
    found: dict[MeetingId, Kept] = {}
    for start_s, end_s in spans:
        for room_id in rooms:
            room = state.rooms.get(room_id)
            if room is not None and room.conflicts:
                continue
            for other in state.occupying(room_id, start_s, end_s):
                if other.id not in except_ids:
                    found[other.id] = other
    if found:
        raise conflict(list(found.values()))


def conflict(rows: list[Kept]) -> Refused:
    """The refusal that names the meetings in the way."""
    rows.sort(key=lambda row: (row.start_s, row.id))
    first = rows[0]
    when = datetime.fromtimestamp(first.start_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return Refused(
        "conflict",
        f"{', '.join(first.rooms)} is taken by meeting {first.id} at {when}{more}. Choose another time or room.",
        detail={
            "conflicts": [
                {"id": row.id, "rooms": list(row.rooms), "start_s": row.start_s, "end_s": row.end_s}
                for row in rows
            ]
        },
    )


def known_rooms(state: State, rooms: tuple[RoomId, ...]) -> tuple[RoomId, ...]:
    """The rooms, sorted and each once. Raises `NotFound` with the nearest names for one that is not configured."""
    if not rooms:
        raise TheirMistake("rooms", "A meeting needs at least one room. Name one.")
    for room in rooms:
        if room not in state.rooms:
            near = get_close_matches(room, list(state.rooms), n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else " `meetkeeper rooms` lists the rooms."
            raise NotFound(
                "unknown-room", f"There is no room {room!r}.{hint}", detail={"room": room, "near": near}
            )
    return rooms if len(rooms) == 1 else tuple(sorted(set(rooms)))


def check_text(subject: str, description: str, invitees: int) -> None:
    """Raise `TheirMistake` for texts and lists beyond their bounds."""
    if len(subject) > SUBJECT_CHARS_MAX:
        raise TheirMistake("subject", f"A subject has at most {SUBJECT_CHARS_MAX} characters. Shorten it.")
    if len(description) > DESCRIPTION_CHARS_MAX:
        raise TheirMistake(
            "description", f"A description has at most {DESCRIPTION_CHARS_MAX} characters. Shorten it."
        )
    if invitees > INVITEES_MAX:
        raise TheirMistake(
            "invitees", f"A meeting has at most {INVITEES_MAX} invitees. Invite a distribution list."
        )


def check_bridge(config: Config, bridge: str) -> None:
    """Raise `NotFound` for a bridge that is not configured; none named is fine."""
    if bridge and all(known.id != bridge for known in config.bridges):
        names = ", ".join(known.id for known in config.bridges) or "none"
        raise NotFound("unknown-bridge", f"There is no bridge {bridge!r}; configured: {names}.")


def unknown(meeting_id: MeetingId) -> NotFound:
    """Nobody knows this meeting."""
    return NotFound("unknown-meeting", f"There is no meeting {meeting_id}. `meetkeeper meetings` lists them.")


def owned_by_calendar(rooms: tuple[RoomId, ...]) -> Refused:
    """The meeting has another master."""
    return Refused(
        "owned-by-calendar",
        f"The meeting lives in the calendar of {', '.join(rooms)}. Change it there; the next poll sees it.",
    )


def other_kind(known: str) -> Refused:
    """One UID is one thing: a series does not become a single meeting by being booked anew, nor the other way."""
    return Refused(
        "other-kind",
        f"This uid belongs to {known} that is not over. Cancel that one first, or book under another uid.",
    )


def check_zone(zone: str) -> ZoneInfo:
    """The zone of this IANA name. Raises `TheirMistake` for a name nobody knows."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as unknown_zone:
        raise TheirMistake(
            "time-zone", f"There is no time zone {zone!r}. Use an IANA name such as Europe/Oslo."
        ) from unknown_zone
