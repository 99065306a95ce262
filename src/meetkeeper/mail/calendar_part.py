"""The iCalendar part of a mail (RFC 5545, 5546, 6047, 7986): bytes that put the door into the invitee's calendar. Pure.

The invitee's entry is not ours: the organizer's own system has made it. So the part carries the same UID (and, for one
occurrence of a series, the same RECURRENCE-ID) and the organizer as ORGANIZER, which makes a calendar program update
the entry it has instead of making a second one; SENT-BY says who really wrote (RFC 5545 §3.2.18). SEQUENCE is the
meeting's own number and never less than what its revisions amount to; among equal numbers the later DTSTAMP is the
newer (RFC 5546 §2.1.5). An answer is asked for (RSVP) only about meetings booked here: about the others the
organizer's own invitation has asked.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from urllib.parse import quote

from icalendar import Calendar, Event, Parameters, vCalAddress, vRecur, vText, vUri
from msgspec import Struct

from meetkeeper.core.configuration import Config
from meetkeeper.core.invitation import (
    Invitation,
    join_block,
    one_line,
    title_of,
    zone_info,
    zone_name,
)
from meetkeeper.core.joinblock import without_block
from meetkeeper.core.state import Series
from meetkeeper.core.words import Entry, Meeting, Person
from meetkeeper.itemtext.texts import escaped
from meetkeeper.itemtext.zonetext import OPEN_YEARS, vtimezone
from meetkeeper.mail.plain import plain_text

_UTC_NAMES = ("UTC", "Etc/UTC")
_FAR_YEAR = 2200
"""A rule that ends so late does not end."""
PRODID = "-//meetkeeper//meetkeeper//EN"


class Envelope(Struct, frozen=True, kw_only=True, gc=False):
    """What the part says about itself: `sender` sends it to `recipient` at `at_s` (seconds since 1970).

    `uninvited`: the event stands, only the recipient leaves it (RFC 5546 §3.2.5: CANCEL without STATUS).
    """

    method: Literal["REQUEST", "CANCEL"]
    sender: str
    recipient: str
    at_s: float
    uninvited: bool = False


class _Text(vText):
    """A TEXT value in our own spelling."""

    def to_ical(self) -> bytes:
        """The escaped bytes."""
        return escaped(str(self)).encode("utf-8")


class _Span(Struct, frozen=True, gc=False):
    """Start and end as they are written: dates, or aware times. `end` may be a duration where no time would do."""

    start: date
    end: date | timedelta


def calendar_of_meeting(
    config: Config, meeting: Meeting, invitation: Invitation, envelope: Envelope
) -> bytes:
    """The part for one meeting, or for one occurrence of a series that is announced by itself."""
    zone = zone_name(meeting.time_zone, config.cluster.time_zone)
    span = _span(meeting.start_s, meeting.end_s, zone, all_day=meeting.all_day)
    event = _event(meeting.uid, _sequence(meeting.sequence, meeting.revision), span, envelope)
    if meeting.original_start_s is not None:
        original = _span(meeting.original_start_s, meeting.original_start_s, zone, all_day=meeting.all_day)
        _add_time(event, "RECURRENCE-ID", original.start)
    _add_words(event, invitation, invitation.title, invitation.description)
    _add_people(event, config, meeting, envelope, invitees=meeting.invitees)
    return _calendar([event], envelope)


def calendar_of_series(config: Config, series: Series, invitation: Invitation, envelope: Envelope) -> bytes:
    """The part for a whole series: its master with the rule, and an event for each occurrence that differs.

    Raises `ValueError` for a rule that can't be spelled.
    """
    master = series.item.master
    floating = zone_name(series.time_zone, config.cluster.time_zone)
    entries = [] if master is None else [master]
    if master is None or envelope.method == "REQUEST":
        entries += [one for one in series.item.overrides if one.recurrence_id and not one.cancelled]
    events = []
    for entry in entries:
        event = _event_of_entry(entry, series, floating, invitation, envelope)
        if entry is master:
            _add_recurrence(event, master, series.item.overrides, zone_name(master.zone, floating))
        else:
            _add_recurrence_id(event, entry, master or entry, floating)
        _add_people(event, config, series, envelope, invitees=entry.attendees or series.invitees)
        events.append(event)
    return _calendar(events, envelope)


def _event_of_entry(
    entry: Entry, series: Series, floating: str, invitation: Invitation, envelope: Envelope
) -> Event:
    span = _span_of_entry(entry, zone_name(entry.zone, floating))
    event = _event(series.uid, _sequence(series.sequence, series.revision), span, envelope)
    private = series.private or entry.private
    title = title_of(entry.subject or series.subject, private=private)
    description = "" if private else without_block(plain_text(entry.description or series.description))
    _add_words(event, invitation, title, description)
    return event


def _span_of_entry(entry: Entry, zone: str) -> _Span:
    """Where an entry begins, on its own wall so that its rule goes on from there, and where it ends."""
    if entry.all_day:
        days = max(1, round(entry.duration_s / 86_400))
        return _Span(entry.start.date(), entry.start.date() + timedelta(days=days))
    start = _wall(entry.start, zone, all_day=False)
    duration = timedelta(seconds=entry.duration_s)
    end = (entry.start.replace(tzinfo=zone_info(zone)).astimezone(UTC) + duration).astimezone(zone_info(zone))
    if end.fold:
        return _Span(start, duration)
    return _Span(start, end.astimezone(UTC) if zone in _UTC_NAMES else end)


def _sequence(sequence: int, revision: int) -> int:
    return max(sequence, revision - 1)


def _span(start_s: int, end_s: int, zone: str, *, all_day: bool) -> _Span:
    tz = zone_info(zone)
    start, end = datetime.fromtimestamp(start_s, tz), datetime.fromtimestamp(end_s, tz)
    if all_day:
        last = (end - timedelta(seconds=1)).date()
        return _Span(start.date(), max(last, start.date()) + timedelta(days=1))
    if start.fold or end.fold or zone in _UTC_NAMES:
        # A wall time that happens twice means its first time (RFC 5545 §3.3.5); the second can only be said in UTC.
        return _Span(start.astimezone(UTC), end.astimezone(UTC))
    return _Span(start, end)


def _wall(wall: datetime, zone: str, *, all_day: bool) -> date:
    if all_day:
        return wall.date()
    aware = wall.replace(tzinfo=zone_info(zone))
    return aware.astimezone(UTC) if zone in _UTC_NAMES else aware


def _event(uid: str, sequence: int, span: _Span, envelope: Envelope) -> Event:
    event = Event()
    event.add("UID", _Text(uid))
    event.add("SEQUENCE", sequence)
    event.add("DTSTAMP", datetime.fromtimestamp(int(envelope.at_s), UTC))
    _add_time(event, "DTSTART", span.start)
    if isinstance(span.end, timedelta):
        event.add("DURATION", span.end)
    else:
        _add_time(event, "DTEND", span.end)
    if not envelope.uninvited:
        event.add("STATUS", "CANCELLED" if envelope.method == "CANCEL" else "CONFIRMED")
    return event


def _add_time(event: Event, name: str, value: date, extra: dict[str, str] | None = None) -> None:
    event.add(name, value, parameters=dict(extra or {}))


def _add_recurrence(event: Event, master: Entry, overrides: Sequence[Entry], zone: str) -> None:
    if master.rrule:
        event.add("RRULE", _rule(master, zone))
    dropped = [one.recurrence_id for one in overrides if one.cancelled and one.recurrence_id is not None]
    for name, walls in (("RDATE", master.rdates), ("EXDATE", (*master.exdates, *dropped))):
        days = sorted(set(walls))
        if days:
            event.add(name, [_wall(day, zone, all_day=master.all_day) for day in days])


def _add_recurrence_id(event: Event, entry: Entry, home: Entry, floating: str) -> None:
    """Which occurrence an override stands for; `home` is the entry whose zone and kind the series has."""
    if entry.recurrence_id is None:
        return
    zone = zone_name(home.zone, floating)
    extra = {"RANGE": "THISANDFUTURE"} if entry.this_and_future else {}
    _add_time(event, "RECURRENCE-ID", _wall(entry.recurrence_id, zone, all_day=home.all_day), extra)


def _rule(master: Entry, zone: str) -> vRecur:
    """The rule with its end spelled as RFC 5545 §3.3.10 wants it: a date for dates, UTC for times in a zone."""
    rule: vRecur = vRecur.from_ical(master.rrule.removeprefix("RRULE:"))
    until = rule.get("UNTIL")
    end = until[0] if isinstance(until, list) and until else until
    if isinstance(end, date) and end.year >= _FAR_YEAR:
        rule.pop("UNTIL")
    elif isinstance(end, datetime):
        aware = end if end.tzinfo is not None else end.replace(tzinfo=zone_info(zone))
        rule["UNTIL"] = [
            aware.astimezone(zone_info(zone)).date() if master.all_day else aware.astimezone(UTC)
        ]
    elif isinstance(end, date) and not master.all_day:
        last = datetime(end.year, end.month, end.day, 23, 59, 59, tzinfo=zone_info(zone))
        rule["UNTIL"] = [last.astimezone(UTC)]
    return rule


def _add_words(event: Event, invitation: Invitation, title: str, description: str) -> None:
    event.add("SUMMARY", _Text(title))
    if invitation.where:
        event.add("LOCATION", _Text(", ".join(invitation.where)))
    if invitation.private:
        event.add("CLASS", "PRIVATE")
    block = join_block(invitation)
    text = "\n".join(part for part in (block, description) if part)
    if text:
        event.add("DESCRIPTION", _Text(text))
    if block and invitation.join is not None:
        join = invitation.join
        _add_conference(event, join.url, ["AUDIO", "VIDEO"], "Join in the browser")
        _add_conference(event, join.sip, ["AUDIO", "VIDEO"], "Join from a video system")
        if join.phone:
            _add_conference(event, f"tel:{join.phone}", ["AUDIO", "PHONE"], "Join by telephone")


def _add_conference(event: Event, uri: str, features: list[str], label: str) -> None:
    """RFC 7986 §5.11: VALUE=URI must be said."""
    event.add(
        "CONFERENCE", vUri(uri), parameters=Parameters({"VALUE": "URI", "FEATURE": features, "LABEL": label})
    )


def _add_people(
    event: Event, config: Config, of: Meeting | Series, envelope: Envelope, *, invitees: Sequence[Person]
) -> None:
    event.add("ORGANIZER", _organizer(of.organizer, envelope.sender))
    if envelope.uninvited:
        event.add("ATTENDEE", _address(Person(envelope.recipient)))
        return
    asks = of.origin == "api" and envelope.method == "REQUEST"
    for person in _each_once(invitees):
        event.add("ATTENDEE", _address(person, **({"RSVP": "TRUE"} if asks else {})))
    wanted = set(of.rooms)
    for room in config.rooms:
        if room.id in wanted and room.email:
            person = Person(room.email.lower(), room.name or room.id)
            event.add(
                "ATTENDEE", _address(person, CUTYPE="ROOM", ROLE="NON-PARTICIPANT", PARTSTAT="ACCEPTED")
            )


def _organizer(organizer: Person, sender: str) -> vCalAddress:
    """The organizer, for whom we write; we ourselves where nobody is known."""
    if not organizer.email:
        return _address(Person(sender))
    if organizer.email == sender.lower():
        return _address(organizer)
    return _address(organizer, **{"SENT-BY": _mailto(sender)})


def _address(person: Person, **parameters: str) -> vCalAddress:
    address = vCalAddress(_mailto(person.email))
    if name := one_line(person.name):
        address.params["CN"] = name
    address.params.update(parameters)
    return address


def _mailto(email: str) -> str:
    """The address as a URI (RFC 6068); what a URI can't hold is percent-encoded."""
    return "mailto:" + quote("".join(email.split()).encode("utf-8", "replace"), safe="@!$&'*+-./=_~")


def _each_once(people: Sequence[Person]) -> Iterable[Person]:
    return {person.email: person for person in people if person.email}.values()


def _calendar(events: Sequence[Event], envelope: Envelope) -> bytes:
    calendar = Calendar()
    calendar.add("PRODID", PRODID)
    calendar.add("VERSION", "2.0")
    calendar.add("METHOD", envelope.method)
    now_year = datetime.fromtimestamp(envelope.at_s, UTC).year
    for zone, first, last in _zones_of(events, now_year):
        calendar.add_component(vtimezone(zone, first, last))
    for event in events:
        calendar.add_component(event)
    text: bytes = calendar.to_ical()
    return text


def _zones_of(events: Sequence[Event], now_year: int) -> list[tuple[str, int, int]]:
    """Each TZID in use with the first and last year in which it must be right."""
    years: dict[str, list[int]] = {}
    for event in events:
        for name in ("DTSTART", "DTEND", "RECURRENCE-ID", "RDATE", "EXDATE"):
            for zone, year in _zoned_years(event.get(name)):
                reach = max(year, now_year) + OPEN_YEARS if "RRULE" in event else year
                years.setdefault(zone, []).extend((year, reach))
    return [(zone, min(years[zone]), max(years[zone])) for zone in sorted(years)]


def _zoned_years(value: object) -> Iterable[tuple[str, int]]:
    for one in value if isinstance(value, list) else [value]:
        for moment in (part.dt for part in getattr(one, "dts", [one]) if part is not None):
            zone = getattr(getattr(moment, "tzinfo", None), "key", "")
            if zone:
                yield zone, moment.year
