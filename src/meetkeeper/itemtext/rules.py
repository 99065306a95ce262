"""RRULE values in one spelling (RFC 5545 section 3.3.10): the same rule is the same text from every calendar.

What the parts mean, and how far an endless rule is followed, is `core.recurrence`'s affair.
"""

from datetime import UTC
from zoneinfo import ZoneInfo

from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.times import When, read_stamp

RULE_CHARS_MAX = 4_096
_FREQUENCIES = frozenset({"SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"})
_PARTS = frozenset(
    {"FREQ", "UNTIL", "COUNT", "INTERVAL", "WKST", "BYSETPOS", "BYSECOND", "BYMINUTE", "BYHOUR", "BYDAY"}
    | {"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYMONTH", "RSCALE", "SKIP"}
)


def ordered_rule(text: str, start: When) -> str:
    """FREQ first, the other parts by name, UNTIL as the RFC wants it for this start. Raises `Unreadable`."""
    if len(text) > RULE_CHARS_MAX:
        raise Unreadable(f"Its RRULE is longer than {RULE_CHARS_MAX} characters.")
    parts: dict[str, str] = {}
    for part in "".join(text.upper().split()).removeprefix("RRULE:").strip(";").split(";"):
        name, _, value = part.partition("=")
        if not value or name in parts or not (name in _PARTS or name.startswith("X-")):
            raise Unreadable("Its RRULE can't be read (RFC 5545 section 3.3.10).")
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise Unreadable("Its RRULE has no FREQ (RFC 5545 section 3.3.10).")
    if "UNTIL" in parts:
        parts["UNTIL"] = _until(parts["UNTIL"], start)
    return ";".join(
        f"{name}={parts[name]}" for name in sorted(parts, key=lambda name: (name != "FREQ", name))
    )


def _until(text: str, start: When) -> str:
    """For a start with a zone an instant in UTC: a day means its end, a wall time is one of the zone."""
    stamp = read_stamp(text)
    if start.is_date or not start.zone or stamp.utc:
        return text
    wall = stamp.wall.replace(hour=23, minute=59, second=59) if stamp.is_date else stamp.wall
    return wall.replace(tzinfo=ZoneInfo(start.zone)).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
