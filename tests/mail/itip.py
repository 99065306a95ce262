"""A judge for iCalendar parts: the rules of RFC 5545, 5546 and 7986 that a calendar program may insist on."""

from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

TIMES = ("DTSTART", "DTEND", "RECURRENCE-ID")
ONCE = ("UID", "DTSTAMP", "DTSTART", "SEQUENCE", "SUMMARY", "ORGANIZER")
AT_MOST_ONCE = ("DTEND", "DURATION", "LOCATION", "DESCRIPTION", "STATUS", "CLASS", "RRULE", "RECURRENCE-ID")


def judged(data: bytes) -> icalendar.Calendar:
    """The parsed part, after every rule was found kept."""
    _judge_lines(data)
    calendar = icalendar.Calendar.from_ical(data)
    assert isinstance(calendar, icalendar.Calendar)
    assert not calendar.errors
    assert calendar["VERSION"] == "2.0"
    assert calendar["PRODID"]
    assert calendar["METHOD"] in ("REQUEST", "CANCEL")
    zones = [str(zone["TZID"]) for zone in calendar.walk("VTIMEZONE")]
    assert len(zones) == len(set(zones)), "each zone is described once"
    events = calendar.walk("VEVENT")
    assert events
    assert len({str(event["UID"]) for event in events}) == 1, "one UID for one object (RFC 5546 §3.2)"
    places = [event.get("RECURRENCE-ID") for event in events]
    assert len({None if place is None else place.dt for place in places}) == len(places)
    used = {zone for event in events for zone in _judge_event(event, str(calendar["METHOD"]))}
    assert used == set(zones), "every TZID is described, and none in vain"
    return calendar


def calendar_of(message: EmailMessage) -> bytes:
    """The iCalendar part of a mail, judged by its own rules (RFC 6047 §2.4)."""
    (part,) = [one for one in message.walk() if one.get_content_type() == "text/calendar"]
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    method = str(judged(data)["METHOD"])
    assert part.get_param("method") == method, "the method stands in the Content-Type too"
    assert str(part.get_param("charset")).upper() == "UTF-8"
    return data


def starts_between(data: bytes, begin: datetime, end: datetime) -> list[datetime]:
    """When a foreign program would see the meeting take place, in UTC."""
    calendar: Any = icalendar.Calendar.from_ical(data)
    found = recurring_ical_events.of(calendar).between(begin, end)
    return sorted(_instant(event["DTSTART"].dt) for event in found)


def _instant(value: date) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def _judge_lines(data: bytes) -> None:
    assert data.endswith(b"\r\n")
    lines = data.split(b"\r\n")
    for line in lines:
        assert len(line) <= 75, "a line has at most 75 octets (RFC 5545 §3.1)"
        assert b"\n" not in line
        assert b"\r" not in line
        assert not any(byte < 32 and byte != 9 for byte in line), "no control characters"
        line.decode("utf-8")
    assert lines[0] == b"BEGIN:VCALENDAR"
    assert lines[-2:] == [b"END:VCALENDAR", b""]


def _judge_event(event: Any, method: str) -> set[str]:
    """The zones that the event uses."""
    for name in ONCE:
        assert name in event, f"{name} is there"
        assert not isinstance(event[name], list), f"{name} is there once"
    for name in AT_MOST_ONCE:
        assert not isinstance(event.get(name), list), f"{name} is there at most once"
    assert event["DTSTAMP"].dt.tzinfo is not None
    assert event["DTSTAMP"].dt.utcoffset() == timedelta()
    assert int(event["SEQUENCE"]) >= 0
    assert ("DTEND" in event) != ("DURATION" in event)
    start = event["DTSTART"].dt
    if "DTEND" in event:
        end = event["DTEND"].dt
        assert isinstance(start, datetime) == isinstance(end, datetime)
        assert end > start
    _judge_people(event, method)
    _judge_rule(event, start)
    for conference in _listed(event.get("CONFERENCE")):
        assert conference.params["VALUE"] == "URI", "VALUE=URI must be said (RFC 7986 §5.11)"
        assert str(conference).startswith(("https:", "http:", "sip:", "tel:"))
    used = set()
    for name in (*TIMES, "RDATE", "EXDATE"):
        for one in _listed(event.get(name)):
            used |= _judge_time(one, start)
    return used


def _judge_people(event: Any, method: str) -> None:
    assert str(event["ORGANIZER"]).startswith("mailto:")
    attendees = [str(one) for one in _listed(event.get("ATTENDEE"))]
    assert len(attendees) == len(set(attendees)), "nobody is invited twice"
    assert all(one.startswith("mailto:") for one in attendees)
    if method == "REQUEST":
        assert event.get("STATUS") == "CONFIRMED"
    else:
        assert event.get("STATUS") in (None, "CANCELLED")
        assert "STATUS" in event or len(attendees) == 1, "who leaves out STATUS names whom it uninvites"


def _judge_rule(event: Any, start: date) -> None:
    rule = event.get("RRULE")
    if rule is None:
        return
    assert "RECURRENCE-ID" not in event
    for until in rule.get("UNTIL", []):
        if isinstance(start, datetime):
            assert isinstance(until, datetime), "UNTIL is of the kind of DTSTART"
            assert until.utcoffset() == timedelta(), "and in UTC when DTSTART has a zone (RFC 5545 §3.3.10)"
        else:
            assert not isinstance(until, datetime)


def _judge_time(one: Any, start: date) -> set[str]:
    zones = set()
    for value in [part.dt for part in getattr(one, "dts", [one])]:
        if isinstance(value, datetime):
            assert value.tzinfo is not None, "no floating times: an invitee may live elsewhere"
            zone = one.params.get("TZID")
            if zone is None:
                assert value.utcoffset() == timedelta()
            else:
                ZoneInfo(zone)
                zones.add(str(zone))
        else:
            assert not isinstance(start, datetime)
            assert one.params.get("VALUE") == "DATE"
    return zones


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
