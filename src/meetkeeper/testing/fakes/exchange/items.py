"""A mailbox's item → the CalendarItem element of EWS, in the order of Microsoft's schema (types.xsd).

Only what the request's shape asks for is written. Times are UTC; zones go by their Windows names.
"""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise
from zoneinfo import ZoneInfo

from msgspec import Struct
from tzlocal.windows_tz import tz_win

from meetkeeper.core.words import CalendarItem, Entry, Person, Uid
from meetkeeper.itemtext.writing import Venue, to_calendar
from meetkeeper.testing.fakes.exchange import mapi
from meetkeeper.testing.fakes.exchange.patterns import recurrence
from meetkeeper.testing.fakes.mailbox import Answer, Mailbox, Stored, html_of

GOID_HEADER = bytes.fromhex("040000008200E00074C5B7101A82E008")
HOME = "Europe/Oslo"
"""The mailboxes' own zone, for whole days and floating times."""
ORIGINAL = "%Y%m%dT%H%M%S"
"""How an occurrence's id spells the start that the series gave it."""
MEETING_SET = "6ED8DA90-450B-101B-98DA-00AA003F1305"
_RESPONSES = {
    Answer.NONE: "Unknown",
    Answer.ORGANIZER: "Organizer",
    Answer.TENTATIVE: "Tentative",
    Answer.ACCEPTED: "Accept",
    Answer.DECLINED: "Decline",
    Answer.WAITING: "NoResponseReceived",
}


class Shape(Struct, frozen=True):
    """What a request wants to see: everything, or the ids and these fields (`calendar:Start`, `Meeting:35`)."""

    whole: bool = False
    fields: frozenset[str] = frozenset()
    text_body: bool = False

    def wants(self, field: str) -> bool:
        """The field is to be written."""
        return self.whole or field in self.fields


class Style(Struct, frozen=True, kw_only=True):
    """How answers look. Lenient readers are needed for all but the default."""

    fractions: bool = False
    """Dates carry fractions of seconds."""
    shuffled: bool = False
    """Elements come out of schema order."""
    no_organizer: bool = False
    no_goid: bool = False
    """Items lack the clean global object id."""
    no_uid: bool = False
    zone_names: str = ""
    """Every zone is called this."""
    zone_definitions: bool = False
    """Zones are described: periods and transitions."""


def goid_of(uid: str) -> bytes:
    """The clean global object id: of Outlook's own UIDs their bytes, else the UID in a vCal-Uid wrapper.

    MS-OXCICAL 2.1.3.1.1.20.26, MS-OXOCAL 2.2.1.27.
    """
    packed = "".join(uid.split())
    if packed.upper().startswith(GOID_HEADER.hex().upper()):
        raw = bytes.fromhex(packed)
        return raw[:16] + bytes(4) + raw[20:]
    data = b"vCal-Uid\x01\x00\x00\x00" + uid.encode() + b"\x00"
    return GOID_HEADER + bytes(20) + len(data).to_bytes(4, "little") + data


def occurrence_id(stored: Stored, entry: Entry) -> str:
    """The id of one occurrence."""
    assert entry.recurrence_id is not None
    return base64.b64encode(f"OCC|{stored.id}|{entry.recurrence_id:{ORIGINAL}}".encode()).decode()


def occurrence_of(item_id: str) -> tuple[str, str] | None:
    """(the master's id, the original start) of an occurrence's id; None for other ids."""
    try:
        text = base64.b64decode(item_id, validate=True).decode()
    except ValueError:
        return None
    kind, _, rest = text.partition("|")
    master, _, start = rest.rpartition("|")
    return (master, start) if kind == "OCC" else None


class Writer:
    """Writes one item. `zone` is the mailbox's own, for whole days and floating times; `skew_s` the clock's error."""

    def __init__(self, mailbox: Mailbox, style: Style, *, zone: str = HOME, skew_s: float = 0.0) -> None:
        self._mailbox = mailbox
        self._style = style
        self._zone = zone
        self._skew_s = skew_s

    def item(self, stored: Stored, shape: Shape, occurrence: Entry | None = None) -> str:
        """The element; of a series its master, or this changed occurrence of it."""
        entry = occurrence or stored.master
        item_id = occurrence_id(stored, occurrence) if occurrence else stored.id
        head = f'<t:ItemId Id="{escape(item_id)}" ChangeKey="{escape(stored.change_key)}"/>'
        parts = [write() for field, write in self._fields(stored, entry, shape) if shape.wants(field)]
        if self._style.shuffled:
            parts.reverse()
            parts.append(head)
        else:
            parts.insert(0, head)
        name = "CalendarItem" if stored.item_class.startswith("IPM.Appointment") else "Task"
        return f"<t:{name}>{''.join(parts)}</t:{name}>"

    def _fields(self, stored: Stored, entry: Entry, shape: Shape) -> Iterator[tuple[str, Callable[[], str]]]:
        if "item:MimeContent" in shape.fields:
            yield "item:MimeContent", lambda: _mime(stored)
        for name in sorted(shape.fields):
            computed = mapi.told(stored, name) if name.partition(":")[0] in ("tag", "Appointment") else None
            if computed is not None:
                yield name, lambda name=name, told=computed: mapi.element(name, *told)  # type: ignore[misc]
        yield (
            mapi.INSTANCE_TYPE,
            lambda: mapi.element(mapi.INSTANCE_TYPE, *(mapi.told(stored, mapi.INSTANCE_TYPE) or ("", ""))),
        )
        yield "item:ItemClass", lambda: _tag("ItemClass", stored.item_class)
        yield "item:Subject", lambda: _tag("Subject", entry.subject) if entry.subject else ""
        yield "item:Sensitivity", lambda: _tag("Sensitivity", "Private" if entry.private else "Normal")
        yield "item:Body", lambda: self._body(stored, entry, shape)
        yield "item:DateTimeCreated", lambda: _tag("DateTimeCreated", self._stamp(stored.made_s))
        for name, value in stored.properties:
            if name.startswith("tag:"):
                continue
            yield f"PublicStrings:{name}", lambda name=name, value=value: _property(name, value)  # type: ignore[misc]
        if not self._style.no_goid:
            yield "Meeting:35", lambda: _goid(stored.uid)
        if entry.links:
            yield (
                "PublicStrings:SkypeTeamsMeetingUrl",
                lambda: _property("SkypeTeamsMeetingUrl", entry.links[0]),
            )
        yield "item:LastModifiedTime", lambda: _tag("LastModifiedTime", self._stamp(entry.modified_s))
        if stored.item_class.startswith("IPM.Appointment"):
            yield from self._calendar_fields(stored, entry)
        yield (
            "item:TextBody",
            lambda: f'<t:TextBody BodyType="Text">{_text(_plain(stored, entry))}</t:TextBody>',
        )

    def _calendar_fields(self, stored: Stored, entry: Entry) -> Iterator[tuple[str, Callable[[], str]]]:
        changed = entry.recurrence_id is not None
        repeats = bool(stored.master.rrule) and not changed
        start, end = self._span(entry)
        if not self._style.no_uid:
            yield "calendar:UID", lambda: _tag("UID", stored.uid)
        if changed:
            yield (
                "calendar:RecurrenceId",
                lambda: _tag("RecurrenceId", self._instant(entry.recurrence_id, stored)),
            )
        yield "calendar:Start", lambda: _tag("Start", stored.spoilt or self._moment(start))
        yield "calendar:End", lambda: _tag("End", stored.spoilt or self._moment(end))
        yield "calendar:IsAllDayEvent", lambda: _flag("IsAllDayEvent", yes=entry.all_day)
        yield "calendar:IsMeeting", lambda: _flag("IsMeeting", yes=True)
        yield "calendar:IsCancelled", lambda: _flag("IsCancelled", yes=entry.cancelled)
        yield "calendar:IsRecurring", lambda: _flag("IsRecurring", yes=False)
        kind = "RecurringMaster" if repeats else _kind_of(stored, entry) if changed else "Single"
        yield "calendar:CalendarItemType", lambda: _tag("CalendarItemType", kind)
        yield "calendar:MyResponseType", lambda: _tag("MyResponseType", _RESPONSES[stored.answer])
        if not self._style.no_organizer:
            owner = entry.organizer or Person(self._mailbox.address, self._mailbox.name)
            yield "calendar:Organizer", lambda: f"<t:Organizer>{_mailbox(owner)}</t:Organizer>"
        if entry.location:
            yield "calendar:Location", lambda: _tag("Location", entry.location)
        yield "calendar:RequiredAttendees", lambda: _attendees("RequiredAttendees", entry.attendees)
        room = (Person(self._mailbox.address, self._mailbox.name),)
        yield "calendar:Resources", lambda: _attendees("Resources", room)
        yield (
            "calendar:AppointmentSequenceNumber",
            lambda: _tag("AppointmentSequenceNumber", str(entry.sequence)),
        )
        if repeats:
            yield "calendar:Recurrence", lambda: self._recurrence(stored)
            yield "calendar:ModifiedOccurrences", lambda: self._modified(stored)
            yield "calendar:DeletedOccurrences", lambda: self._removed(stored)
        yield "calendar:StartTimeZone", lambda: self._zone_tag("StartTimeZone", stored, entry)
        yield "calendar:EndTimeZone", lambda: self._zone_tag("EndTimeZone", stored, entry)

    # --- times -----------------------------------------------------------------------------------------------------

    def _home(self, entry: Entry) -> str:
        return entry.zone or self._zone

    def _span(self, entry: Entry) -> tuple[datetime, datetime]:
        zone = ZoneInfo(self._home(entry))
        start = entry.start.replace(tzinfo=zone)
        if entry.all_day:  # whole days of the wall, whatever the clocks do
            return start.astimezone(UTC), (start + timedelta(seconds=entry.duration_s)).astimezone(UTC)
        return start.astimezone(UTC), start.astimezone(UTC) + timedelta(seconds=entry.duration_s)

    def _instant(self, wall: datetime | None, stored: Stored) -> str:
        assert wall is not None
        return self._moment(wall.replace(tzinfo=ZoneInfo(self._home(stored.master))).astimezone(UTC))

    def _moment(self, instant: datetime) -> str:
        return instant.strftime(
            "%Y-%m-%dT%H:%M:%S.0000000Z" if self._style.fractions else "%Y-%m-%dT%H:%M:%SZ"
        )

    def _stamp(self, seconds: float) -> str:
        return self._moment(datetime.fromtimestamp(seconds + self._skew_s, UTC))

    def _zone_tag(self, tag: str, stored: Stored, entry: Entry) -> str:
        zone = self._home(entry)
        name = self._style.zone_names or stored.zone_name or tz_win.get(zone, zone)
        if not self._style.zone_definitions:
            return f'<t:{tag} Id="{escape(name)}" Name="{escape(name)}"/>'
        return f'<t:{tag} Id="{escape(name)}" Name="{escape(name)}">{_definition(zone, entry.start.year)}</t:{tag}>'

    # --- parts -----------------------------------------------------------------------------------------------------

    def _body(self, stored: Stored, entry: Entry, shape: Shape) -> str:
        html = html_of(stored, entry)
        if html and not shape.text_body:
            return f'<t:Body BodyType="HTML">{_text(html)}</t:Body>'
        return f'<t:Body BodyType="Text">{_text(_plain(stored, entry))}</t:Body>'

    def _recurrence(self, stored: Stored) -> str:
        if stored.spoilt:
            return "<t:Recurrence><t:FortnightlyRecurrence/></t:Recurrence>"
        return recurrence(stored.master.rrule, stored.master.start, self._home(stored.master))

    def _modified(self, stored: Stored) -> str:
        if not stored.overrides:
            return ""
        lines = []
        for entry in stored.overrides:
            start, end = self._span(entry)
            lines.append(
                f'<t:Occurrence><t:ItemId Id="{occurrence_id(stored, entry)}" ChangeKey="{stored.change_key}"/>'
                f"<t:Start>{self._moment(start)}</t:Start><t:End>{self._moment(end)}</t:End>"
                f"<t:OriginalStart>{self._instant(entry.recurrence_id, stored)}</t:OriginalStart></t:Occurrence>"
            )
        return f"<t:ModifiedOccurrences>{''.join(lines)}</t:ModifiedOccurrences>"

    def _removed(self, stored: Stored) -> str:
        if not stored.master.exdates:
            return ""
        lines = "".join(
            f"<t:DeletedOccurrence><t:Start>{self._instant(wall, stored)}</t:Start></t:DeletedOccurrence>"
            for wall in stored.master.exdates
        )
        return f"<t:DeletedOccurrences>{lines}</t:DeletedOccurrences>"


def _mime(stored: Stored) -> str:
    """The item as an iCalendar object."""
    item = CalendarItem(
        href=stored.id, uid=Uid(stored.uid), fingerprint="", master=stored.master, overrides=stored.overrides
    )
    lines = to_calendar(item, Venue()).split(b"\r\n")
    text = base64.b64encode(b"\r\n".join(line for line in lines if not line.startswith(b"X-"))).decode()
    return f'<t:MimeContent CharacterSet="UTF-8">{text}</t:MimeContent>'


def _kind_of(stored: Stored, occurrence: Entry) -> str:
    return "Exception" if occurrence in stored.overrides else "Occurrence"


def _plain(stored: Stored, entry: Entry) -> str:
    return entry.description or html_of(stored, entry)


def _text(text: str) -> str:
    """Line breaks arrive as CRLF; a carriage return must be written as a reference to survive (XML 1.0 2.11)."""
    return escape(text.replace("\r\n", "\n").replace("\n", "\r\n"), quote=False).replace("\r", "&#13;")


def _tag(name: str, text: str) -> str:
    return f"<t:{name}>{_text(text)}</t:{name}>"


def _flag(name: str, *, yes: bool) -> str:
    return f"<t:{name}>{'true' if yes else 'false'}</t:{name}>"


def _mailbox(person: Person) -> str:
    return (
        f"<t:Mailbox><t:Name>{_text(person.name or person.email)}</t:Name>"
        f"<t:EmailAddress>{_text(person.email)}</t:EmailAddress><t:RoutingType>SMTP</t:RoutingType></t:Mailbox>"
    )


def _attendees(tag: str, people: tuple[Person, ...]) -> str:
    if not people:
        return ""
    lines = "".join(
        f"<t:Attendee>{_mailbox(person)}<t:ResponseType>Unknown</t:ResponseType></t:Attendee>"
        for person in people
    )
    return f"<t:{tag}>{lines}</t:{tag}>"


def _property(name: str, value: str) -> str:
    uri = (
        f'<t:ExtendedFieldURI DistinguishedPropertySetId="PublicStrings" PropertyName="{escape(name)}"'
        ' PropertyType="String"/>'
    )
    return f"<t:ExtendedProperty>{uri}<t:Value>{_text(value)}</t:Value></t:ExtendedProperty>"


def _goid(uid: str) -> str:
    uri = '<t:ExtendedFieldURI DistinguishedPropertySetId="Meeting" PropertyId="35" PropertyType="Binary"/>'
    value = base64.b64encode(goid_of(uid)).decode()
    return f"<t:ExtendedProperty>{uri}<t:Value>{value}</t:Value></t:ExtendedProperty>"


def _definition(zone: str, year: int) -> str:
    """Periods and transitions of one year, as a server describes a zone that has no name of its own."""
    clock = ZoneInfo(zone)
    days = [datetime(year, 1, 1, 12, tzinfo=clock) + timedelta(days=day) for day in range(366)]
    turns = [two for one, two in pairwise(days) if one.utcoffset() != two.utcoffset()]
    standard = min(day.utcoffset() or timedelta() for day in days)
    periods, transitions = [], []
    for number, offset in enumerate(sorted({day.utcoffset() or timedelta() for day in days})):
        name = "Standard" if offset == standard else "Daylight"
        bias = -int(offset.total_seconds() // 60)
        sign = "-" if bias < 0 else ""
        hours, minutes = divmod(abs(bias), 60)
        periods.append(f'<t:Period Bias="{sign}PT{hours}H{minutes}M" Name="{name}" Id="p{number}"/>')
    ids = {offset: n for n, offset in enumerate(sorted({day.utcoffset() or timedelta() for day in days}))}
    for turn in turns:
        week = -1 if (turn + timedelta(days=7)).month != turn.month else (turn.day - 1) // 7 + 1
        transitions.append(
            f'<t:RecurringDayTransition><t:To Kind="Period">p{ids[turn.utcoffset() or timedelta()]}</t:To>'
            f"<t:TimeOffset>PT2H</t:TimeOffset><t:Month>{turn.month}</t:Month>"
            f"<t:DayOfWeek>{turn:%A}</t:DayOfWeek><t:Occurrence>{week}</t:Occurrence></t:RecurringDayTransition>"
        )
    if not transitions:
        transitions.append('<t:Transition><t:To Kind="Period">p0</t:To></t:Transition>')
    return (
        f"<t:Periods>{''.join(periods)}</t:Periods>"
        f'<t:TransitionsGroups><t:TransitionsGroup Id="0">{"".join(transitions)}</t:TransitionsGroup>'
        '</t:TransitionsGroups><t:Transitions><t:Transition><t:To Kind="Group">0</t:To></t:Transition></t:Transitions>'
    )
