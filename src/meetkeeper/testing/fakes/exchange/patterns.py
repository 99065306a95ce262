"""RRULE ↔ the Recurrence element of EWS, as the fake shows and takes it. Exchange knows six patterns and three ends."""

from datetime import UTC, datetime
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

_DAYS = {
    "MO": "Monday",
    "TU": "Tuesday",
    "WE": "Wednesday",
    "TH": "Thursday",
    "FR": "Friday",
    "SA": "Saturday",
    "SU": "Sunday",
}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_INDEX = {1: "First", 2: "Second", 3: "Third", 4: "Fourth", -1: "Last"}
_CODES = {name: code for code, name in _DAYS.items()}
_NUMBERS = {name: number for number, name in _INDEX.items()}
_GROUPS = {
    frozenset(_DAYS): "Day",
    frozenset({"MO", "TU", "WE", "TH", "FR"}): "Weekday",
    frozenset({"SA", "SU"}): "WeekendDay",
}


def recurrence(rrule: str, start: datetime, zone: str) -> str:
    """The element's text. Raises `ValueError` for a rule that Exchange can't hold."""
    parts = dict(part.partition("=")[::2] for part in rrule.split(";"))
    return f"<t:Recurrence>{_pattern(parts, start)}{_end(parts, start, zone)}</t:Recurrence>"


def _pattern(parts: dict[str, str], start: datetime) -> str:
    interval = f"<t:Interval>{parts.get('INTERVAL', '1')}</t:Interval>"
    weekday = list(_DAYS)[start.weekday()]
    days = parts.get("BYDAY", "").split(",") if "BYDAY" in parts else []
    months = parts.get("BYMONTH", str(start.month))
    match parts["FREQ"]:
        case "DAILY" if not days:
            return f"<t:DailyRecurrence>{interval}</t:DailyRecurrence>"
        case "DAILY" | "WEEKLY":
            named = " ".join(_DAYS[day] for day in (days or [weekday]))
            first = f"<t:FirstDayOfWeek>{_DAYS[parts.get('WKST', 'MO')]}</t:FirstDayOfWeek>"
            return f"<t:WeeklyRecurrence>{interval}<t:DaysOfWeek>{named}</t:DaysOfWeek>{first}</t:WeeklyRecurrence>"
        case "MONTHLY" if days:
            named, index = _relative(days, parts)
            return (
                f"<t:RelativeMonthlyRecurrence>{interval}<t:DaysOfWeek>{named}</t:DaysOfWeek>"
                f"<t:DayOfWeekIndex>{index}</t:DayOfWeekIndex></t:RelativeMonthlyRecurrence>"
            )
        case "MONTHLY":
            day = f"<t:DayOfMonth>{_day(parts, start)}</t:DayOfMonth>"
            return f"<t:AbsoluteMonthlyRecurrence>{interval}{day}</t:AbsoluteMonthlyRecurrence>"
        case "YEARLY" if days and parts.get("INTERVAL", "1") == "1":
            named, index = _relative(days, parts)
            return (
                f"<t:RelativeYearlyRecurrence><t:DaysOfWeek>{named}</t:DaysOfWeek><t:DayOfWeekIndex>{index}"
                f"</t:DayOfWeekIndex><t:Month>{_MONTHS[int(months) - 1]}</t:Month></t:RelativeYearlyRecurrence>"
            )
        case "YEARLY" if parts.get("INTERVAL", "1") == "1":
            return (
                f"<t:AbsoluteYearlyRecurrence><t:DayOfMonth>{_day(parts, start)}</t:DayOfMonth>"
                f"<t:Month>{_MONTHS[int(months) - 1]}</t:Month></t:AbsoluteYearlyRecurrence>"
            )
        case _:
            raise ValueError(f"Exchange has no pattern for {parts}")


def _relative(days: list[str], parts: dict[str, str]) -> tuple[str, str]:
    if "BYSETPOS" in parts:
        return _GROUPS[frozenset(days)], _INDEX[int(parts["BYSETPOS"])]
    (day,) = days
    return _DAYS[day[-2:]], _INDEX[int(day[:-2])]


def _day(parts: dict[str, str], start: datetime) -> int:
    """The last of several days with BYSETPOS=-1 is how iCalendar says "the 31st, or the last one there is"."""
    return max(int(day) for day in parts.get("BYMONTHDAY", str(start.day)).split(","))


def _end(parts: dict[str, str], start: datetime, zone: str) -> str:
    offset = start.replace(tzinfo=ZoneInfo(zone)).strftime("%z")
    begin = f"<t:StartDate>{start:%Y-%m-%d}{offset[:3]}:{offset[3:]}</t:StartDate>"
    if "COUNT" in parts:
        count = f"<t:NumberOfOccurrences>{parts['COUNT']}</t:NumberOfOccurrences>"
        return f"<t:NumberedRecurrence>{begin}{count}</t:NumberedRecurrence>"
    if "UNTIL" not in parts:
        return f"<t:NoEndRecurrence>{begin}</t:NoEndRecurrence>"
    until = parts["UNTIL"]
    if until.endswith("Z"):
        instant = datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        day = instant.astimezone(ZoneInfo(zone)).date()
    else:
        day = datetime.strptime(until[:8], "%Y%m%d").replace(tzinfo=UTC).date()
    end = f"<t:EndDate>{day:%Y-%m-%d}{offset[:3]}:{offset[3:]}</t:EndDate>"
    return f"<t:EndDateRecurrence>{begin}{end}</t:EndDateRecurrence>"


def rule_of(recurrence: Element, zone: str) -> str:
    """The RRULE of an element; its end is the end of that day in `zone`."""
    pattern, end = recurrence[0], recurrence[1]
    kind = _name(pattern)
    said, bounds = ({_name(one): (one.text or "").strip() for one in part} for part in (pattern, end))
    parts = [f"FREQ={'DAILY' if kind[0] == 'D' else 'WEEKLY' if kind[0] == 'W' else kind[8:-10].upper()}"]
    if kind.startswith("Weekly"):
        parts = ["FREQ=WEEKLY", "BYDAY=" + ",".join(_CODES[day] for day in said["DaysOfWeek"].split())]
    if "DayOfMonth" in said:
        parts.append(f"BYMONTHDAY={said['DayOfMonth']}")
    if "DayOfWeekIndex" in said:
        parts.append(f"BYDAY={_NUMBERS[said['DayOfWeekIndex']]}{_CODES[said['DaysOfWeek']]}")
    if "Month" in said:
        parts.append(f"BYMONTH={_MONTHS.index(said['Month']) + 1}")
    if said.get("Interval", "1") != "1":
        parts.append(f"INTERVAL={said['Interval']}")
    if _name(end) == "NumberedRecurrence":
        parts.append(f"COUNT={bounds['NumberOfOccurrences']}")
    if _name(end) == "EndDateRecurrence":
        day = bounds["EndDate"][:10].replace("-", "")
        last = datetime.strptime(day + "235959", "%Y%m%d%H%M%S").replace(tzinfo=ZoneInfo(zone or "UTC"))
        parts.append(f"UNTIL={last.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    return ";".join(parts)


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]
