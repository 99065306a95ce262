"""Small iCalendar objects for the tests of this room."""

from datetime import datetime


def wall(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    """A wall time: naive, its zone stands beside it."""
    return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - that is what a wall time is


def calendar(*parts: str, method: str = "") -> bytes:
    """A VCALENDAR around these components."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN"]
    if method:
        lines.append(f"METHOD:{method}")
    return ("\r\n".join([*lines, *parts, "END:VCALENDAR"]) + "\r\n").encode()


def event(*lines: str, uid: str = "u1@example.org") -> str:
    """A VEVENT with this UID and these lines."""
    head = ["BEGIN:VEVENT", *([f"UID:{uid}"] if uid else []), "DTSTAMP:20261101T080000Z"]
    return "\r\n".join([*head, *lines, "END:VEVENT"])


def meeting(uid: str, start: str = "20261201T100000Z", subject: str = "Talk", *lines: str) -> bytes:
    """One hour in a calendar of its own; `start` in UTC."""
    return calendar(event(f"DTSTART:{start}", "DURATION:PT1H", f"SUMMARY:{subject}", *lines, uid=uid))


OSLO_BY_RULE = """\
BEGIN:VTIMEZONE
TZID:{tzid}
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE"""
