"""A series as Graph tells it, its master, exceptions and occurrences, as one item of ours. Pure.

Graph has no list of dates that were taken out that would always be there. So the server's own expansion decides: what
the rule gives is compared with what the calendar shows.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.calendars.graph.mapping import Reader, entry_of, item_of, moment_s, stamp_of
from meetkeeper.calendars.graph.patterns import day_of, rule_of
from meetkeeper.calendars.graph.wire import Event, Response
from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry, Uid
from meetkeeper.core.zones import find_zone
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.texts import one_line
from meetkeeper.itemtext.times import When
from meetkeeper.itemtext.zones import zone_of

EXCEPTIONS_MAX = 1_000


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
    return item_of(event, master, ordered, remarks, reader)


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
        near = stamp_of(exception.original_start or "") + timedelta(hours=12) if day is None else None
        return datetime.combine(near.date() if near is not None else day or master.start, datetime.min.time())
    if not exception.original_start:
        if day is None:
            raise Unreadable("One of its exceptions does not say which occurrence it replaces.")
        return datetime.combine(day, master.start.time())
    at = stamp_of(exception.original_start).replace(tzinfo=UTC)
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
