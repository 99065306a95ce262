"""An iCalendar object → a `CalendarItem` in our words, or a sentence why not (RFC 5545; RFC 4791 section 4.1).

One object holds one meeting: a master, its overrides, or overrides alone. Rules: nothing hostile gets past the bounds,
nothing is guessed without a remark, what decides *when* must be readable or the item is a problem, and whatever merely
decorates (a broken attendee, an unknown class) is left out or read on the safe side.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from meetkeeper.core.identity import fingerprint, normalise_uid
from meetkeeper.core.joinblock import blocks_in
from meetkeeper.core.words import LINK_CHARS_MAX, LINKS_MAX, CalendarItem, Entry, Uid
from meetkeeper.itemtext.lines import CONFERENCES, OURS, Component, Line, Unreadable, parse
from meetkeeper.itemtext.people import Attendance, People
from meetkeeper.itemtext.rules import ordered_rule
from meetkeeper.itemtext.texts import clean_description, clean_location, clean_subject, clean_text, unescaped
from meetkeeper.itemtext.times import When, read_length, read_stamp, seconds_between, seconds_of, wall_in
from meetkeeper.itemtext.zones import ZoneBook

DATES_MAX = 2_000
"""Most RDATEs and EXDATEs of one item."""
OVERRIDES_MAX = 1_000
UID_CHARS_MAX = 1_000
SEQUENCE_MAX = 2**31 - 1
DAY_S = 86_400

_DECIDING = frozenset(
    {"UID", "DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "STATUS"}
)


class Problem(Struct, frozen=True, gc=False):
    """An item that can't be read: it is neither kept nor taken as gone. `sentence` says why and what to do."""

    href: str
    sentence: str


def read_item(
    href: str,
    data: bytes,
    *,
    etag: str = "",
    own_email: str = "",
    room_emails: frozenset[str] = frozenset(),
) -> CalendarItem | Problem | None:
    """What these bytes show under the name `href`; None when there is no meeting in them (a task, a journal).

    `own_email` is the address of the room whose calendar this is, `room_emails` those of all rooms, in lower case:
    rooms are not invitees. Never raises for any bytes.
    """
    try:
        return _read(href, parse(data), etag, People(own_email, room_emails))
    except Unreadable as unreadable:
        return Problem(href, str(unreadable))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Problem(href, f"It can't be understood ({type(error).__name__}); correct or remove it.")


def _read(href: str, calendar: Component, etag: str, people: People) -> CalendarItem | None:
    events = list(calendar.inside("VEVENT"))
    if not events:
        return None
    remarks = _about_method(calendar)
    uid = _one_uid(events)
    reader = _Reader(ZoneBook(calendar), people, remarks)
    masters = [event for event in events if event.first("RECURRENCE-ID") is None]
    changed = [event for event in events if event.first("RECURRENCE-ID") is not None]
    if len(changed) > OVERRIDES_MAX:
        raise Unreadable(f"It has more than {OVERRIDES_MAX} changed occurrences.")
    master = reader.newest([reader.entry(event, None) for event in masters])
    overrides = reader.overrides(changed, master)
    said = (*remarks, *reader.zones.remarks, *people.remarks)
    return CalendarItem(
        href=href,
        uid=uid,
        fingerprint=fingerprint(master, overrides),
        etag=etag,
        master=master,
        overrides=overrides,
        remarks=tuple(dict.fromkeys(said)),
        blocks=_blocks(events),
    )


def _blocks(events: Iterable[Component]) -> tuple[str, ...]:
    bodies = (unescaped(_text(event, "DESCRIPTION")) for event in events)
    return tuple(dict.fromkeys(ref for body in bodies for ref in blocks_in(body)))


def _about_method(calendar: Component) -> list[str]:
    """A kept item has no METHOD (RFC 4791 section 4.1); exported ones say PUBLISH or REQUEST and mean themselves."""
    line = calendar.first("METHOD")
    if line is None:
        return []
    method = line.value.strip().upper()[:32]
    if method not in ("PUBLISH", "REQUEST"):
        raise Unreadable(
            "It is a message to a calendar (METHOD), not an item of one; let the calendar process it."
        )
    return [f"It says METHOD:{method} and was read as the meeting it describes."]


def _one_uid(events: Iterable[Component]) -> Uid:
    uids: set[Uid] = set()
    for event in events:
        line = event.first("UID")
        uid = normalise_uid(clean_text(line.value, UID_CHARS_MAX + 1)) if line is not None else Uid("")
        if not uid:
            raise Unreadable("It has no UID (RFC 5545 section 3.8.4.7), so it can't be told from others.")
        if len(uid) > UID_CHARS_MAX:
            raise Unreadable(f"Its UID is longer than {UID_CHARS_MAX} characters.")
        uids.add(uid)
    if len(uids) > 1:
        raise Unreadable(
            f"It holds {len(uids)} different meetings; keep one in each item (RFC 4791 section 4.1)."
        )
    return uids.pop()


class _Reader:
    """Reads the events of one object: one zone book, one list of remarks, one count of dates for all of them."""

    def __init__(self, zones: ZoneBook, people: People, remarks: list[str]) -> None:
        self.zones = zones
        self._people = people
        self._remarks = remarks
        self._dates_left = DATES_MAX

    def entry(self, event: Component, master: Entry | None) -> Entry:
        """One VEVENT. For an override, `recurrence_id` is in the master's zone, in its own when there is no master."""
        broken = _DECIDING.intersection(event.broken)
        if broken:
            raise Unreadable(f"Its {min(broken)} can't be read (RFC 5545 section 3.1).")
        begin = event.first("DTSTART")
        if begin is None:
            raise Unreadable("It has no DTSTART (RFC 5545 section 3.6.1).")
        start = self._when(begin)
        all_day, seconds = self._span(event, start)
        if all_day:
            start, seconds = When(start.wall, is_date=True), round(seconds / DAY_S) * DAY_S
        attendance = self._people.attend(event)
        recurrence_id = event.first("RECURRENCE-ID")
        repeats = recurrence_id is None
        ours = event.first(OURS) is not None
        return Entry(
            start=start.wall,
            duration_s=seconds,
            zone=start.zone,
            all_day=all_day,
            subject=clean_subject(_text(event, "SUMMARY")),
            description=clean_description(_text(event, "DESCRIPTION")),
            organizer=attendance.organizer,
            attendees=attendance.attendees,
            cancelled=self._cancelled(event, attendance),
            private=_value(event, "CLASS", "PUBLIC") != "PUBLIC",
            sequence=_sequence(event),
            modified_s=_modified_s(event),
            rrule=self._rule(event, start) if repeats else "",
            rdates=self._dates(event, "RDATE", start) if repeats else (),
            exdates=self._dates(event, "EXDATE", start) if repeats else (),
            recurrence_id=None if recurrence_id is None else self._original(recurrence_id, start, master),
            this_and_future=recurrence_id is not None and _reaches_on(recurrence_id),
            location="" if ours else clean_location(_text(event, "LOCATION")),
            links=() if ours else _links(event),
            resources=() if ours else attendance.resources,
        )

    def overrides(self, events: Iterable[Component], master: Entry | None) -> tuple[Entry, ...]:
        """The changed occurrences by original start; of two for the same one, the newer."""
        by_start: dict[datetime, list[Entry]] = {}
        for event in events:
            entry = self.entry(event, master)
            assert entry.recurrence_id is not None
            by_start.setdefault(entry.recurrence_id, []).append(entry)
        newest = (self.newest(by_start[start]) for start in sorted(by_start))
        return tuple(entry for entry in newest if entry is not None)

    def newest(self, entries: list[Entry]) -> Entry | None:
        """The entry of the highest SEQUENCE, then the latest change: only one may stand for a date."""
        if len(entries) > 1:
            self._remarks.append("It says the same date more than once; the newest version was taken.")
        return max(entries, key=lambda entry: (entry.sequence, entry.modified_s), default=None)

    def _when(self, line: Line) -> When:
        return self.zones.place(read_stamp(line.value), line.params.get("TZID"))

    def _span(self, event: Component, start: When) -> tuple[bool, int]:
        """Whether it takes whole days, and exact seconds from start to end (RFC 5545 section 3.6.1)."""
        end_line, length_line = event.first("DTEND"), event.first("DURATION")
        if end_line is not None:
            seconds = seconds_between(start, self._when(end_line))
        elif length_line is not None:
            seconds = seconds_of(read_length(length_line.value), start)
        else:
            seconds = DAY_S if start.is_date else 0
        if seconds < 0:
            raise Unreadable("It ends before it begins.")
        if start.is_date and seconds % DAY_S:
            self._remarks.append("It begins on a day and ends at an hour; whole days were taken.")
            seconds += -seconds % DAY_S
        if start.is_date and seconds == 0:
            self._remarks.append("It ends on the day it begins; one day was taken.")
            seconds = DAY_S
        return start.is_date or _is_days(event, start, seconds), seconds

    def _cancelled(self, event: Component, attendance: Attendance) -> bool:
        if attendance.declined:
            self._remarks.append("The room has declined; the meeting does not take place here.")
        return attendance.declined or _value(event, "STATUS", "") == "CANCELLED"

    def _rule(self, event: Component, start: When) -> str:
        rules = list(event.all("RRULE"))
        if event.first("EXRULE") is not None:
            self._remarks.append("Its EXRULE (withdrawn by RFC 5545) was passed over.")
        if len(rules) > 1:
            raise Unreadable("It repeats by more than one RRULE (RFC 5545 section 3.8.5.3).")
        return ordered_rule(rules[0].value, start) if rules else ""

    def _dates(self, event: Component, name: str, start: When) -> tuple[datetime, ...]:
        found: set[datetime] = set()
        for line in event.all(name):
            texts = [text for text in line.value.split(",") if text.strip()]
            self._dates_left -= len(texts)
            if self._dates_left < 0:
                raise Unreadable(f"It lists more than {DATES_MAX} single dates; shorten the series.")
            for text in texts:
                begin, _, rest = text.partition("/")
                if rest:
                    self._remarks.append("The lengths of its single dates (PERIOD) were passed over.")
                found.add(_wall_like(self.zones.place(read_stamp(begin), line.params.get("TZID")), start))
        return tuple(sorted(found))

    def _original(self, line: Line, start: When, master: Entry | None) -> datetime:
        """The start the series gave this occurrence (RFC 5545 section 3.8.4.4)."""
        like = start if master is None else When(master.start, master.zone, master.all_day)
        return _wall_like(self._when(line), like)


def _wall_like(date: When, like: When) -> datetime:
    """A date of a series as a wall time in the series' zone; a bare day means the occurrence of that day."""
    if like.is_date:
        return date.wall.replace(hour=0, minute=0, second=0)
    if date.is_date:
        return datetime.combine(date.wall.date(), like.wall.time())
    return wall_in(date, like.zone)


def _is_days(event: Component, start: When, seconds: int) -> bool:
    """Outlook's whole days: midnight to midnight in a zone, and a flag."""
    end = start.wall + timedelta(seconds=seconds)
    midnight = (start.wall.hour, start.wall.minute, start.wall.second) == (0, 0, 0)
    return (
        _value(event, "X-MICROSOFT-CDO-ALLDAYEVENT", "") == "TRUE"
        and midnight
        and seconds >= DAY_S - 3600
        and end.hour in (23, 0, 1)
    )


def _reaches_on(line: Line) -> bool:
    return line.params.get("RANGE", "").strip().upper() == "THISANDFUTURE"


def _text(event: Component, name: str) -> str:
    line = event.first(name)
    return "" if line is None else line.value


def _links(event: Component) -> tuple[str, ...]:
    """Ways in that properties made for them name, each once; what is too long for an address is passed over."""
    found: dict[str, None] = {}
    for name in CONFERENCES:
        for line in event.all(name):
            link = clean_text(line.value, LINK_CHARS_MAX + 1).replace(" ", "")
            if 0 < len(link) <= LINK_CHARS_MAX:
                found[link] = None
    return tuple(found)[:LINKS_MAX]


def _value(event: Component, name: str, default: str) -> str:
    line = event.first(name)
    return default if line is None else line.value.strip().upper()


def _sequence(event: Component) -> int:
    text = _value(event, "SEQUENCE", "0")
    return min(int(text), SEQUENCE_MAX) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _modified_s(event: Component) -> int:
    """LAST-MODIFIED, else DTSTAMP, in seconds (RFC 5545 section 3.8.7); 0 when neither can be read."""
    for name in ("LAST-MODIFIED", "DTSTAMP"):
        line = event.first(name)
        if line is None:
            continue
        try:
            stamp = read_stamp(line.value)
        except Unreadable:
            continue
        return max(0, seconds_between(_EPOCH, When(stamp.wall, "UTC")))
    return 0


_EPOCH = When(datetime(1970, 1, 1), "UTC")  # noqa: DTZ001 - a wall time; its zone stands beside it
