"""Graph's events → our words, pure: who, when, what, and whether the room has said yes.

Rules: what decides *when* must be readable or the item is a problem; whatever merely decorates is left out. Times come
in UTC (we ask for it) and are put on the wall of the series' own zone, for which Windows names are known. A room's copy
counts when the room has accepted it; before that it is neither shown nor gone. The fingerprint leaves the time of
change out: mailboxes touch it without changing anything, and so does our own hand.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.calendars.graph.wire import Body, Event, Guest, Moment
from meetkeeper.core.identity import fingerprint, normalise_uid
from meetkeeper.core.joinblock import blocks_in
from meetkeeper.core.words import (
    INVITEES_MAX,
    LINK_CHARS_MAX,
    LOCATION_CHARS_MAX,
    RESOURCES_MAX,
    SUBJECT_CHARS_MAX,
    CalendarItem,
    Entry,
    Person,
    Uid,
)
from meetkeeper.core.zones import find_zone
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.texts import NAME_CHARS_MAX, one_line, plain_description
from meetkeeper.itemtext.times import read_stamp
from meetkeeper.itemtext.zones import zone_of

DAY_S = 86_400
BODY_CHARS_MAX = 200_000
"""Of a longer body the rest is not read."""
DURATION_S_MAX = 400 * DAY_S

_EMAIL = re.compile(r"[^@\s<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,64}@[^@\s<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,253}")
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(Z)?", re.ASCII)


class Reader(Struct, frozen=True, kw_only=True):
    """Whose calendar it is. `zone` (IANA) is the room's own; unknown ones are read in it. Addresses in lower case."""

    mailbox: str
    own_email: str = ""
    room_emails: frozenset[str] = frozenset()
    zone: str = "UTC"


class Standing(Enum):
    """What the room has said to a meeting."""

    STANDS = 1
    DECLINED = 2
    WAITS = 3


# --- one event -------------------------------------------------------------------------------------------------------


def standing(event: Event, reader: Reader) -> Standing:
    """What the room has said. Whatever nobody was asked about, and whatever the room itself organizes, stands."""
    said = (event.response_status.response if event.response_status is not None else None) or "none"
    if said == "declined":
        return Standing.DECLINED
    if said in ("accepted", "organizer") or event.is_organizer or event.is_cancelled:
        return Standing.STANDS
    organizer = _person(event.organizer)
    own = organizer is None or organizer.email in (reader.mailbox, reader.own_email)
    return Standing.STANDS if said == "none" and own else Standing.WAITS


def instant_s(moment: Moment | None) -> int:
    """UTC seconds. Raises `Unreadable`."""
    return int(_utc(moment).timestamp())


def moment_s(text: str | None) -> int:
    """`2026-11-22T10:00:00Z` in seconds; 0 for what can't be read or lies before 1970."""
    try:
        return max(0, int(stamp_of(text or "").replace(tzinfo=UTC).timestamp()))
    except Unreadable:
        return 0


def uid_of(event: Event, reader: Reader) -> Uid:
    """The meeting's UID; an item without one is known by its id in this mailbox alone."""
    uid = normalise_uid(one_line(event.uid or "", 1_001))
    return uid if 0 < len(uid) <= 1_000 else Uid(f"{event.id}@{reader.mailbox}")


def single_item(event: Event, reader: Reader) -> CalendarItem:
    """A meeting that does not repeat. Raises `Unreadable`."""
    zone = zone_of(event.original_zone or "") or reader.zone
    return item_of(event, entry_of(event, reader, zone), (), (), reader)


def entry_of(event: Event, reader: Reader, zone: str) -> Entry:
    """An event's own entry, its start on the wall of `zone`. Raises `Unreadable`."""
    start, end = _utc(event.start), _utc(event.end)
    seconds = int((end - start).total_seconds())
    all_day = bool(event.is_all_day)
    if all_day:
        # Whole days come as midnights in the zone that was asked for, so the dates are the days.
        days = max(1, round(seconds / DAY_S))
        wall, zone, seconds = datetime.combine(start.date(), datetime.min.time()), "", days * DAY_S
    else:
        wall, zone = on_wall(start, zone)
    if not 0 <= seconds <= DURATION_S_MAX:
        raise Unreadable("It ends before it begins, or lasts longer than a year.")
    organizer = _person(event.organizer)
    rooms = reader.room_emails | {reader.own_email, reader.mailbox}
    return Entry(
        start=wall,
        duration_s=seconds,
        zone=zone,
        all_day=all_day,
        subject=one_line(event.subject or "", SUBJECT_CHARS_MAX),
        description=plain_description(_text(event.body)),
        organizer=None if organizer is None or organizer.email in rooms else organizer,
        attendees=_attendees(event.attendees or (), rooms),
        cancelled=bool(event.is_cancelled) or standing(event, reader) is Standing.DECLINED,
        private=(event.sensitivity or "normal").lower() != "normal",
        modified_s=moment_s(event.modified),
        location=one_line((event.location and event.location.displayName) or "", LOCATION_CHARS_MAX),
        links=_links(event),
        resources=_resources(event.attendees or (), rooms),
    )


def on_wall(at: datetime, zone: str) -> tuple[datetime, str]:
    """The wall time of an instant in its zone; where the clocks show it twice or the zone is unknown, in UTC."""
    clock = find_zone(zone)
    there = at.astimezone(clock) if clock is not None else at
    if clock is None or there.fold:
        return at.replace(tzinfo=None), "UTC"
    return there.replace(tzinfo=None), zone


def item_of(
    event: Event, master: Entry, overrides: tuple[Entry, ...], remarks: Sequence[str], reader: Reader
) -> CalendarItem:
    said = list(remarks)
    if standing(event, reader) is Standing.DECLINED:
        said.append("The room has declined; the meeting does not take place here.")
    if not event.uid:
        said.append("It has no UID; it is known by its id in this mailbox.")
    untimed = tuple(replace(entry, modified_s=0) for entry in overrides)
    return CalendarItem(
        href=event.id,
        uid=uid_of(event, reader),
        fingerprint=fingerprint(replace(master, modified_s=0), untimed),
        etag=one_line(event.change_key or "", 200),
        master=master,
        overrides=overrides,
        remarks=tuple(dict.fromkeys(said)),
        blocks=blocks_in(_text(event.body)),
    )


def _utc(moment: Moment | None) -> datetime:
    if moment is None:
        raise Unreadable("It has no start or no end.")
    wall = stamp_of(moment.dateTime)
    name = moment.timeZone or "UTC"
    zone = zone_of(name)
    if zone is None:
        raise Unreadable(f"Its times are given in the zone “{one_line(name, 80)}”, which is not known.")
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def stamp_of(text: str) -> datetime:
    match = _STAMP.fullmatch(text.strip())
    if match is None:
        raise Unreadable("One of its dates can't be read.")
    return read_stamp("{}{}{}T{}{}{}".format(*match.group(1, 2, 3, 4, 5, 6))).wall


def _person(guest: Guest | None) -> Person | None:
    address = None if guest is None else guest.emailAddress
    if address is None:
        return None
    email = (address.address or "").strip().lower()
    if len(email) > 254 or _EMAIL.fullmatch(email) is None:
        return None
    name = one_line(address.name or "", NAME_CHARS_MAX)
    return Person(email, "" if name.lower() == email else name)


def _attendees(guests: Iterable[Guest], rooms: frozenset[str] | set[str]) -> tuple[Person, ...]:
    found: dict[str, Person] = {}
    for guest in guests:
        person = _person(guest)
        if person is not None and (guest.type or "") != "resource" and person.email not in rooms:
            found.setdefault(person.email, person)
    return tuple(found.values())[:INVITEES_MAX]


def _resources(guests: Iterable[Guest], rooms: frozenset[str] | set[str]) -> tuple[str, ...]:
    asked = {
        person.email for one in guests if one.type == "resource" and (person := _person(one)) is not None
    }
    return tuple(sorted(asked - rooms)[:RESOURCES_MAX])


def _links(event: Event) -> tuple[str, ...]:
    """Ways in that fields made for them name, the most trusted first."""
    named = ((event.online and event.online.joinUrl) or "", event.online_url or "")
    links = (one_line(link, LINK_CHARS_MAX + 1).replace(" ", "") for link in named)
    return tuple(dict.fromkeys(link for link in links if 0 < len(link) <= LINK_CHARS_MAX))


def _text(body: Body | None) -> str:
    """The body as text. We ask for text; a server that sends HTML all the same is understood."""
    content = ((body.content if body is not None else None) or "")[:BODY_CHARS_MAX]
    if body is None or (body.contentType or "text").lower() != "html":
        return content
    parser = _Plain()
    parser.feed(content)
    parser.close()
    return "".join(parser.parts)


class _Plain(HTMLParser):
    """HTML → the words a person would read, blocks on lines of their own."""

    _BREAKS = frozenset({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "hr"})
    _SILENT = frozenset({"style", "script", "head", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._silent += tag in self._SILENT
        if tag in self._BREAKS and self.parts and self.parts[-1] != "\n":
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._SILENT and self._silent:
            self._silent -= 1

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(" ".join(data.split()) if not data.strip() else re.sub(r"\s+", " ", data))
