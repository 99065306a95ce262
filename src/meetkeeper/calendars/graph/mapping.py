"""Graph's events ↔ our words, pure: JSON → events, an event → an entry, a series and its exceptions → one item.

Rules: what decides *when* must be readable or the item is a problem; whatever merely decorates is left out. Times come
in UTC (we ask for it) and are put on the wall of the series' own zone, for which Windows names are known. A room's copy
counts when the room has accepted it; before that it is neither shown nor gone. The fingerprint leaves the time of
change out: mailboxes touch it without changing anything, and so does our own hand.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from meetkeeper.calendars.graph.patterns import Recurrence, day_of, rule_of
from meetkeeper.core.identity import fingerprint, normalise_uid
from meetkeeper.core.recurrence import expand
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
from meetkeeper.itemtext.times import When, read_stamp
from meetkeeper.itemtext.zones import zone_of

DAY_S = 86_400
BODY_CHARS_MAX = 200_000
"""Of a longer body the rest is not read."""
EXCEPTIONS_MAX = 1_000
ID_CHARS_MAX = 1_000
DURATION_S_MAX = 400 * DAY_S
CATEGORY = "meetkeeper"
"""Marks items that were written here, for people and for `is_ours`."""

_EMAIL = re.compile(r"[^@\s<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,64}@[^@\s<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,253}")
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(Z)?", re.ASCII)


class Moment(Struct, frozen=True, gc=False):
    """`dateTimeTimeZone`."""

    dateTime: str = ""  # noqa: N815 - as on the wire
    timeZone: str | None = None  # noqa: N815


class Address(Struct, frozen=True, gc=False):
    """`emailAddress`."""

    address: str | None = None
    name: str | None = None


class Guest(Struct, frozen=True, gc=False):
    """`recipient` and `attendee`."""

    emailAddress: Address | None = None  # noqa: N815
    type: str | None = None


class Body(Struct, frozen=True, gc=False):
    """`itemBody`."""

    content: str | None = None
    contentType: str | None = None  # noqa: N815


class Response(Struct, frozen=True, gc=False):
    """`responseStatus`."""

    response: str | None = None


class Location(Struct, frozen=True, gc=False):
    """`location`."""

    displayName: str | None = None  # noqa: N815


class Online(Struct, frozen=True, gc=False):
    """`onlineMeetingInfo`."""

    joinUrl: str | None = None  # noqa: N815


class Removed(Struct, frozen=True, gc=False):
    """`@removed`: why is of no use, it says "deleted" for what merely lies outside of the window."""

    reason: str | None = None


class Property(Struct, frozen=True, gc=False):
    """`singleValueLegacyExtendedProperty`."""

    id: str = ""
    value: str | None = None


class Event(Struct, frozen=True):
    """`event`, as far as it matters. `size` is that of its JSON text, in bytes."""

    id: str
    type: str | None = None
    removed: Removed | None = field(default=None, name="@removed")
    subject: str | None = None
    body: Body | None = None
    start: Moment | None = None
    end: Moment | None = None
    is_all_day: bool | None = field(default=None, name="isAllDay")
    is_cancelled: bool | None = field(default=None, name="isCancelled")
    is_organizer: bool | None = field(default=None, name="isOrganizer")
    response_status: Response | None = field(default=None, name="responseStatus")
    sensitivity: str | None = None
    organizer: Guest | None = None
    attendees: tuple[Guest, ...] | None = None
    uid: str | None = field(default=None, name="iCalUId")
    master_id: str | None = field(default=None, name="seriesMasterId")
    recurrence: Recurrence | None = None
    original_start: str | None = field(default=None, name="originalStart")
    original_zone: str | None = field(default=None, name="originalStartTimeZone")
    occurrence_id: str | None = field(default=None, name="occurrenceId")
    modified: str | None = field(default=None, name="lastModifiedDateTime")
    change_key: str | None = field(default=None, name="changeKey")
    categories: tuple[str, ...] | None = None
    location: Location | None = None
    online: Online | None = field(default=None, name="onlineMeeting")
    online_url: str | None = field(default=None, name="onlineMeetingUrl")
    properties: tuple[Property, ...] | None = field(default=None, name="singleValueExtendedProperties")
    exceptions: tuple[Raw, ...] | None = field(default=None, name="exceptionOccurrences")
    cancelled_ids: tuple[str, ...] | None = field(default=None, name="cancelledOccurrences")
    size: int = field(default=0, name="-size")

    @property
    def is_ours(self) -> bool:
        """Written by us, as far as the visible mark says."""
        return CATEGORY in (self.categories or ())


class Broken(Struct, frozen=True):
    """An event that can't be read beyond its id."""

    id: str
    sentence: str = "Microsoft 365 gave it in a form that can't be read; open and save it."


class _Named(Struct, frozen=True):
    id: str


class _Called(Struct, frozen=True):
    name: str | None = None


class Page(Struct, frozen=True):
    """A collection: `value`, and where to go on or where to ask for changes."""

    value: tuple[Raw, ...]
    next_link: str | None = field(default=None, name="@odata.nextLink")
    delta_link: str | None = field(default=None, name="@odata.deltaLink")


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


# --- JSON ------------------------------------------------------------------------------------------------------------

_PAGE = msgspec.json.Decoder(Page)
_EVENT = msgspec.json.Decoder(Event)
_NAMED = msgspec.json.Decoder(_Named)


def read_page(body: bytes) -> Page | None:
    """The collection; None for anything else."""
    try:
        return _PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_event(body: Raw | bytes) -> Event | Broken | None:
    """One event; None when not even an id can be read."""
    try:
        event = _EVENT.decode(body)
        return replace(event, size=len(bytes(body))) if _fits(event.id) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        named = _NAMED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Broken(named.id) if _fits(named.id) else None


def read_name(body: bytes) -> str:
    """What a calendar is called; "" when it does not say."""
    try:
        return one_line(msgspec.json.decode(body, type=_Called).name or "", 100)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _fits(name: str) -> bool:
    """Printable ASCII, which every id of Graph is; whatever else would have to be quoted in more ways than one."""
    return 0 < len(name) <= ID_CHARS_MAX and name.isascii() and name.isprintable() and " " not in name


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
        return max(0, int(_stamp(text or "").replace(tzinfo=UTC).timestamp()))
    except Unreadable:
        return 0


def uid_of(event: Event, reader: Reader) -> Uid:
    """The meeting's UID; an item without one is known by its id in this mailbox alone."""
    uid = normalise_uid(one_line(event.uid or "", 1_001))
    return uid if 0 < len(uid) <= 1_000 else Uid(f"{event.id}@{reader.mailbox}")


def single_item(event: Event, reader: Reader) -> CalendarItem:
    """A meeting that does not repeat. Raises `Unreadable`."""
    zone = zone_of(event.original_zone or "") or reader.zone
    return _item(event, entry_of(event, reader, zone), (), (), reader)


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


def _item(
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
    )


def _utc(moment: Moment | None) -> datetime:
    if moment is None:
        raise Unreadable("It has no start or no end.")
    wall = _stamp(moment.dateTime)
    name = moment.timeZone or "UTC"
    zone = zone_of(name)
    if zone is None:
        raise Unreadable(f"Its times are given in the zone “{one_line(name, 80)}”, which is not known.")
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _stamp(text: str) -> datetime:
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


# --- a series --------------------------------------------------------------------------------------------------------


class Shown(Struct, frozen=True):
    """The starts (UTC seconds; of whole days: midnight UTC of the day) that the server shows for a series' plain
    occurrences between two instants."""

    from_s: int
    until_s: int
    starts: frozenset[int]


def series_item(
    event: Event, exceptions: Sequence[Event], shown: Shown | None, reader: Reader
) -> CalendarItem:
    """A series master, its exceptions and what the server shows of it, as one item. Raises `Unreadable`.

    The server's own expansion decides: dates that its rule gives and that it does not show are taken out, dates that it
    shows and its rule does not give are put in.
    """
    if event.recurrence is None:
        raise Unreadable("It is a series without a recurrence.")
    if len(exceptions) > EXCEPTIONS_MAX:
        raise Unreadable(f"It has more than {EXCEPTIONS_MAX} changed occurrences.")
    zone, remarks = _series_zone(event, reader)
    entry = entry_of(event, reader, zone)
    wall_zone = entry.zone or reader.zone
    master = replace(entry, rrule=rule_of(event.recurrence, When(entry.start, entry.zone, entry.all_day)))
    without = tuple(sorted({wall for wall in _cancelled(event, master) if wall is not None}))
    master = replace(master, exdates=without)
    overrides: dict[datetime, Entry] = {}
    for exception in sorted(exceptions, key=lambda one: moment_s(one.modified)):
        original = _original(exception, master, wall_zone)
        own = zone_of(exception.original_zone or "") or zone
        changed = replace(entry_of(exception, reader, own), recurrence_id=original)
        overrides[original] = replace(changed, subject=changed.subject or master.subject)
    ordered = tuple(overrides[original] for original in sorted(overrides))
    if shown is not None:
        missing, surplus = _differences(master, ordered, shown, reader)
        if missing or surplus:
            remarks.append("Its calendar shows other dates than its rule gives; they were taken as shown.")
            master = replace(
                master,
                exdates=tuple(sorted({*master.exdates, *missing})),
                rdates=tuple(sorted(surplus)),
            )
    return _item(event, master, ordered, remarks, reader)


def refused(event: Event) -> Event:
    """The same event as one that the room has declined."""
    return replace(event, response_status=Response("declined"))


def agrees(item: CalendarItem, shown: Shown, reader: Reader) -> bool:
    """The item, its rule and exceptions alone, gives just what the server shows."""
    return item.master is None or not any(_differences(item.master, item.overrides, shown, reader))


def _series_zone(event: Event, reader: Reader) -> tuple[str, list[str]]:
    span = None if event.recurrence is None else event.recurrence.range
    names = [getattr(span, "recurrenceTimeZone", None) or "", event.original_zone or ""]
    if event.is_all_day:
        return reader.zone, []
    for name in names:
        found = zone_of(name)
        if found is not None:
            return found, []
    shown = one_line(names[0] or names[1] or "no name", 80)
    return reader.zone, [f"The time zone “{shown}” is not known; it is read as {reader.zone}."]


def _cancelled(event: Event, master: Entry) -> Iterable[datetime | None]:
    """Dates at the end of `OID.<id>.2026-11-22`."""
    for name in event.cancelled_ids or ():
        day = day_of(name[-10:])
        yield None if day is None else datetime.combine(day, master.start.time())


def _original(exception: Event, master: Entry, zone: str) -> datetime:
    """The start that the series gave an exception, on the series' wall."""
    day = day_of((exception.occurrence_id or "")[-10:])
    if master.all_day:
        # Midnight of some zone within half a day of UTC's: the nearest date is meant.
        near = _stamp(exception.original_start or "") + timedelta(hours=12) if day is None else None
        return datetime.combine(near.date() if near is not None else day or master.start, datetime.min.time())
    if not exception.original_start:
        if day is None:
            raise Unreadable("One of its exceptions does not say which occurrence it replaces.")
        return datetime.combine(day, master.start.time())
    at = _stamp(exception.original_start).replace(tzinfo=UTC)
    clock = find_zone(zone)
    return (at if clock is None else at.astimezone(clock)).replace(tzinfo=None, fold=0)


def _differences(
    master: Entry, overrides: tuple[Entry, ...], shown: Shown, reader: Reader
) -> tuple[list[datetime], list[datetime]]:
    """Walls that the rule gives and the server does not show, and the other way round."""
    plain = replace(master, cancelled=False)
    item = CalendarItem(href="", uid=Uid("-"), fingerprint="", master=plain, overrides=overrides)
    zone = "UTC" if master.all_day else (master.zone or reader.zone)
    changed = {entry.recurrence_id for entry in overrides}
    expected = {
        one.original_start_s
        for one in expand(item, zone, shown.from_s, shown.until_s).occurrences
        if one.entry.recurrence_id is None and shown.from_s <= one.original_start_s < shown.until_s
    }
    starts = {at for at in shown.starts if shown.from_s <= at < shown.until_s}
    clock = find_zone(zone) or UTC
    missing = [datetime.fromtimestamp(at, clock).replace(tzinfo=None) for at in expected - starts]
    surplus = [datetime.fromtimestamp(at, clock).replace(tzinfo=None) for at in starts - expected]
    known = {*master.exdates, *changed}
    return missing, [wall for wall in surplus if wall not in known]
