"""Recurrence rules (RFC 5545 §3.3.10) as records: read strictly, so that what is walked later makes sense.

Part of `core.recurrence`, for rules out of calendars and out of bookings alike. A rule part that is unknown,
malformed or in the wrong company is refused with a sentence; guessing would put a meeting on the wrong day.
"""

from datetime import date
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.zones import DAY_S

RULE_CHARS_MAX = 4_096
STARTS_PER_DAY_MAX = 100
"""More starts in one day than this is a schedule for machines, not for meetings."""

Frequency = Literal["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
_WEEKDAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Until(Struct, frozen=True, gc=False):
    """The last moment at which an instance may start, inclusive, in wall seconds.

    `utc`: the wall is the one of UTC; else it is the series' own. A date alone stands for the end of its day.
    """

    seconds: int
    utc: bool


class Rule(Struct, frozen=True, kw_only=True, gc=False):
    """A recurrence rule as read. `week_days` are (ordinal or 0, weekday), Monday is 0; tuples are sorted."""

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: Until | None = None
    week_start: int = 0
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    week_numbers: tuple[int, ...] = ()
    week_days: tuple[tuple[int, int], ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()


def refusal(why: str) -> TheirMistake:
    """What is raised for a rule that can't be used."""
    return TheirMistake("recurrence", f"The recurrence rule can't be used: {why}. Correct the rule.")


@lru_cache(maxsize=4_096)
def read_rule(text: str) -> Rule:
    """The rule in this text, with or without the property name.

    Raises `TheirMistake` ("recurrence") for anything RFC 5545 §3.3.10 does not allow and for sub-daily frequencies.
    """
    if len(text) > RULE_CHARS_MAX:
        raise refusal(f"it is longer than {RULE_CHARS_MAX} characters")
    parts: dict[str, str] = {}
    for part in text.strip().upper().removeprefix("RRULE:").rstrip(";").split(";"):
        name, equals, value = part.strip().partition("=")
        if not equals or not value:
            raise refusal(f"{part[:40]!r} is not a rule part")
        if name in parts:
            raise refusal(f"{name} is given twice")
        parts[name] = value.strip()
    _refuse_strangers(parts)
    rule = Rule(
        frequency=_frequency(parts),
        interval=_positive(parts, "INTERVAL") or 1,
        count=_positive(parts, "COUNT"),
        until=_until(parts["UNTIL"]) if "UNTIL" in parts else None,
        week_start=_week_start(parts.get("WKST", "MO")),
        months=_numbers(parts, "BYMONTH", 1, 12),
        month_days=_numbers(parts, "BYMONTHDAY", 1, 31, signed=True),
        year_days=_numbers(parts, "BYYEARDAY", 1, 366, signed=True),
        week_numbers=_numbers(parts, "BYWEEKNO", 1, 53, signed=True),
        week_days=_week_days(parts.get("BYDAY", "")),
        hours=_numbers(parts, "BYHOUR", 0, 23),
        minutes=_numbers(parts, "BYMINUTE", 0, 59),
        seconds=_numbers(parts, "BYSECOND", 0, 59),
        positions=_numbers(parts, "BYSETPOS", 1, 366, signed=True),
    )
    _refuse_combinations(rule, parts)
    return rule


_BY = ("BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND")
_KNOWN = frozenset(("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS", *_BY))


def _refuse_strangers(parts: dict[str, str]) -> None:
    for name, value in parts.items():
        if name in _KNOWN or name.startswith("X-"):
            continue
        if (name, value) in (("RSCALE", "GREGORIAN"), ("SKIP", "OMIT")):
            continue
        raise refusal(f"{name[:40]} is not known here")


def _frequency(parts: dict[str, str]) -> Frequency:
    match parts.get("FREQ"):
        case "DAILY" | "WEEKLY" | "MONTHLY" | "YEARLY" as frequency:
            return frequency
        case "SECONDLY" | "MINUTELY" | "HOURLY" as frequency:
            raise refusal(f"meetings do not repeat {frequency.lower()}")
        case frequency:
            raise refusal(f"FREQ is {frequency!r}" if frequency else "FREQ is missing")


def _positive(parts: dict[str, str], name: str) -> int | None:
    value = parts.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and int(value)):
        raise refusal(f"{name} is {value[:40]!r}")
    return int(value)


def _until(value: str) -> Until:
    day, t, clock = value.partition("T")
    try:
        if not (len(day) == 8 and day.isascii() and day.isdigit()):
            raise ValueError
        ordinal = date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal()
        if not t:
            return Until((ordinal - _EPOCH_ORDINAL + 1) * DAY_S - 1, utc=False)
        digits = clock.removesuffix("Z")
        hour, minute, second = int(digits[:2]), int(digits[2:4]), int(digits[4:])
        if not (len(digits) == 6 and digits.isdigit() and hour < 24 and minute < 60 and second <= 60):
            raise ValueError
    except ValueError:
        raise refusal(f"UNTIL is {value[:40]!r}") from None
    seconds = (ordinal - _EPOCH_ORDINAL) * DAY_S + hour * 3_600 + minute * 60 + min(second, 59)
    return Until(seconds, utc=clock.endswith("Z"))


def _week_start(value: str) -> int:
    if value not in _WEEKDAYS:
        raise refusal(f"WKST is {value[:40]!r}")
    return _WEEKDAYS[value]


def _numbers(
    parts: dict[str, str], name: str, low: int, high: int, *, signed: bool = False
) -> tuple[int, ...]:
    if name not in parts:
        return ()
    found: set[int] = set()
    for text in parts[name].split(","):
        digits = text.strip()
        plain = digits.lstrip("+-") if signed and digits[:1] in ("+", "-") else digits
        if not (plain.isascii() and plain.isdigit() and len(plain) <= 3 and low <= int(plain) <= high):
            raise refusal(f"{name} is {text[:40]!r}")
        found.add(-int(plain) if digits.startswith("-") else int(plain))
    return tuple(sorted(found))


def _week_days(value: str) -> tuple[tuple[int, int], ...]:
    found: set[tuple[int, int]] = set()
    for text in value.split(",") if value else ():
        day = text.strip()
        number, name = day[:-2].removeprefix("+"), day[-2:]
        digits = number.removeprefix("-")
        good = not number or (
            digits.isascii() and digits.isdigit() and len(digits) <= 2 and 1 <= int(digits) <= 53
        )
        if name not in _WEEKDAYS or not good:
            raise refusal(f"BYDAY is {text[:40]!r}")
        found.add((int(number) if number else 0, _WEEKDAYS[name]))
    return tuple(sorted(found))


def _refuse_combinations(rule: Rule, parts: dict[str, str]) -> None:
    frequency = rule.frequency
    if rule.week_numbers and frequency != "YEARLY":
        raise refusal("BYWEEKNO needs FREQ=YEARLY")
    if rule.year_days and frequency != "YEARLY":
        raise refusal("BYYEARDAY needs FREQ=YEARLY")
    if rule.month_days and frequency == "WEEKLY":
        raise refusal("BYMONTHDAY does not go with FREQ=WEEKLY")
    ordinals = any(number for number, _ in rule.week_days)
    if ordinals and (frequency in ("DAILY", "WEEKLY") or rule.week_numbers):
        raise refusal("BYDAY can't number days here")
    if rule.positions and not any(name in parts for name in _BY):
        raise refusal("BYSETPOS has nothing to pick from")
    if _times_count(rule) > STARTS_PER_DAY_MAX:
        raise refusal(f"it asks for more than {STARTS_PER_DAY_MAX} starts a day")


def _times_count(rule: Rule) -> int:
    return max(1, len(rule.hours)) * max(1, len(rule.minutes)) * max(1, len(rule.seconds))
