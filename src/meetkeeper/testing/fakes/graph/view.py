"""A mailbox's items as Graph's events, and back: masters, occurrences, exceptions, in the ways of Exchange Online.

Series are expanded here, as Exchange does it: an occurrence in a window is a stub, an exception is a whole event.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace
from tzlocal.windows_tz import tz_win

from meetkeeper.calendars.graph.patterns import Recurrence, recurrence_of, rule_of
from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry, Occurrence, Person, Uid
from meetkeeper.core.zones import find_zone
from meetkeeper.itemtext.times import When
from meetkeeper.itemtext.zones import zone_of
from meetkeeper.testing.fakes.mailbox import Answer, Mailbox, Stored, html_of

Json = dict[str, Any]

EVER_S = (0, 4_102_444_800)
CATEGORIES, TRANSACTION = "-categories", "-transaction"
"""Names under which an item's properties keep what a mailbox has no field for."""
_SAID = {
    Answer.NONE: "none",
    Answer.ORGANIZER: "organizer",
    Answer.TENTATIVE: "tentativelyAccepted",
    Answer.ACCEPTED: "accepted",
    Answer.DECLINED: "declined",
    Answer.WAITING: "notResponded",
}
_OCCURRENCE = re.compile(r"(.+)\.O(\d+)")


def event_id(stored: Stored) -> str:
    """The id as Graph spells it: of letters, digits, - and _."""
    return "AAk" + stored.id.replace("+", "-").replace("/", "_").rstrip("=")


def find_item(mailbox: Mailbox, name: str) -> Stored | None:
    """The item of this id, also one that was thrown away: an immutable id is good for both."""
    wanted = _base(name)
    plain = wanted.removeprefix("AAk").replace("-", "+").replace("_", "/")
    names = [plain + padding for padding in ("", "=", "==")]
    items = mailbox.items
    for one in names:
        if one in items:
            return items[one]
    alike = (stored for stored in items.values() if event_id(stored) == wanted)
    gone = (stored for one in names if (stored := mailbox.deleted(one)) is not None)
    return next(alike, None) or next(gone, None)


def _base(name: str) -> str:
    match = _OCCURRENCE.fullmatch(name)
    return match[1] if match else name


def original_s_of(name: str) -> int | None:
    """The original start in an occurrence's id; None for the id of an item."""
    match = _OCCURRENCE.fullmatch(name)
    return int(match[2]) if match else None


class View:
    """One mailbox's items as events. `zone` is the mailbox's own, in which floating times lie."""

    def __init__(self, mailbox: Mailbox, zone: str = "UTC") -> None:
        self.mailbox = mailbox
        self.zone = zone

    # --- whole items -----------------------------------------------------------------------------------------------

    def event(self, stored: Stored, modified_s: int) -> Json:
        """A single instance or a series master."""
        entry = stored.master
        event = self._event(stored, entry, modified_s)
        event |= {"id": event_id(stored), "type": "seriesMaster" if _repeats(stored) else "singleInstance"}
        if _repeats(stored):
            start = entry.start
            recurrence = recurrence_of(entry.rrule, start, entry.zone)
            recurrence["range"]["recurrenceTimeZone"] = stored.zone_name or self._zone_name(entry)
            event["recurrence"] = recurrence
        return event

    def occurrence(self, stored: Stored, one: Occurrence, modified_s: int, *, stub: bool) -> Json:
        """One occurrence in a window: a stub, or a whole event for an exception and where whole ones are asked for."""
        entry = one.entry
        exception = entry.recurrence_id is not None
        name = f"{event_id(stored)}.O{one.original_start_s}"
        event = self._event(stored, entry, modified_s)
        span = self._span(entry, one.start_s, one.end_s)
        day = datetime.fromtimestamp(one.original_start_s, ZoneInfo(self._clock(stored.master)))
        event |= span
        event |= {
            "id": name,
            "type": "exception" if exception else "occurrence",
            "seriesMasterId": event_id(stored),
            "originalStart": _text(one.original_start_s) + "Z",
            "occurrenceId": f"OID.{event_id(stored)}.{day:%Y-%m-%d}",
            "recurrence": None,
            "iCalUId": f"{stored.uid}-{one.original_start_s}",
        }
        if stub and not exception:
            kept = ("id", "type", "seriesMasterId", "start", "end")
            return {"@odata.type": "#microsoft.graph.event", **{key: event[key] for key in kept}}
        return event

    def occurrences(self, stored: Stored, from_s: int, until_s: int) -> list[Occurrence]:
        """What the item stands for between two instants, exceptions included."""
        if stored.spoilt:
            return []
        master = replace(stored.master, cancelled=False)
        item = CalendarItem(href="", uid=Uid("-"), fingerprint="", master=master, overrides=stored.overrides)
        found = expand(item, self.zone, from_s, until_s).occurrences
        return [one for one in found if one.start_s < until_s and one.end_s > from_s]

    def in_window(self, stored: Stored, from_s: int, until_s: int) -> bool:
        """Part of the item lies there."""
        return bool(stored.spoilt) or bool(self.occurrences(stored, from_s, until_s))

    def exceptions(self, stored: Stored, modified_s: int) -> list[Json]:
        """Every exception of a series that still takes place."""
        found = self.occurrences(stored, *EVER_S) if stored.overrides else []
        return [
            self.occurrence(stored, one, modified_s, stub=False)
            for one in found
            if one.entry.recurrence_id is not None
        ]

    def cancelled(self, stored: Stored) -> list[str]:
        """The occurrence ids of dates that were taken out."""
        off = [*stored.master.exdates]
        off += [one.recurrence_id for one in stored.overrides if one.cancelled and one.recurrence_id]
        return [f"OID.{event_id(stored)}.{wall:%Y-%m-%d}" for wall in sorted(off)]

    # --- inside ----------------------------------------------------------------------------------------------------

    def _event(self, stored: Stored, entry: Entry, modified_s: int) -> Json:
        properties = dict(stored.properties)
        organizer = entry.organizer or stored.master.organizer or Person(self.mailbox.address)
        guests = entry.attendees or stored.master.attendees
        start_s, end_s = self._instants(entry)
        html = html_of(stored, entry)
        return {
            "@odata.etag": f'W/"{stored.change_key}"',
            "id": "",
            "iCalUId": stored.uid or None,
            "changeKey": stored.change_key,
            "lastModifiedDateTime": _text(modified_s) + "Z",
            "subject": entry.subject,
            "bodyPreview": entry.description[:255],
            "body": {"contentType": "html" if html else "text", "content": html or entry.description},
            **self._span(entry, start_s, end_s, spoilt=stored.spoilt),
            "originalStartTimeZone": stored.zone_name or self._zone_name(entry),
            "isAllDay": entry.all_day,
            "isCancelled": entry.cancelled,
            "isOrganizer": organizer.email == self.mailbox.address,
            "responseStatus": {"response": _SAID[stored.answer], "time": "0001-01-01T00:00:00Z"},
            "sensitivity": "private" if entry.private else "normal",
            "organizer": {"emailAddress": {"name": organizer.name, "address": organizer.email}},
            "attendees": [_attendee(person.email, person.name, "required") for person in guests]
            + [_attendee(email, "", "resource") for email in entry.resources]
            + ([_attendee(self.mailbox.address, self.mailbox.name, "resource")] if guests else []),
            "location": {"displayName": entry.location},
            "onlineMeeting": {"joinUrl": entry.links[0]} if entry.links else None,
            "categories": msgspec.json.decode(properties.get(CATEGORIES, "[]")),
            "transactionId": properties.get(TRANSACTION),
            "seriesMasterId": None,
            "recurrence": None,
            "showAs": "busy",
        }

    def _span(self, entry: Entry, start_s: int, end_s: int, *, spoilt: str = "") -> Json:
        if entry.all_day:
            # Whole days are midnights in whatever zone is asked for.
            clock = ZoneInfo(self.zone)
            start = datetime.fromtimestamp(start_s, clock).replace(tzinfo=None)
            texts = [f"{at:%Y-%m-%dT%H:%M:%S}" for at in (start, start + timedelta(seconds=entry.duration_s))]
        else:
            texts = [_text(start_s), _text(end_s)]
        begin = spoilt or f"{texts[0]}.0000000"
        return {
            "start": {"dateTime": begin, "timeZone": "UTC"},
            "end": {"dateTime": f"{texts[1]}.0000000", "timeZone": "UTC"},
        }

    def _instants(self, entry: Entry) -> tuple[int, int]:
        start = entry.start.replace(tzinfo=ZoneInfo(self._clock(entry)))
        start_s = int(start.timestamp())
        return start_s, start_s + entry.duration_s

    def _clock(self, entry: Entry) -> str:
        return entry.zone if entry.zone and not entry.all_day and find_zone(entry.zone) else self.zone

    def _zone_name(self, entry: Entry) -> str:
        zone = self._clock(entry)
        return tz_win.get(zone, zone)


def _repeats(stored: Stored) -> bool:
    return bool(stored.master.rrule)


def _attendee(email: str, name: str, kind: str) -> Json:
    return {
        "type": kind,
        "status": {"response": "none", "time": "0001-01-01T00:00:00Z"},
        "emailAddress": {"name": name, "address": email},
    }


def _text(instant_s: int) -> str:
    return datetime.fromtimestamp(instant_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


# --- what programs write ---------------------------------------------------------------------------------------------


def entry_from(fields: Json, before: Entry | None) -> Entry:
    """The entry that these fields make, on top of what is there. Raises `ValueError` and `KeyError` for nonsense."""
    entry = before or Entry(start=datetime(1970, 1, 1), duration_s=0)  # noqa: DTZ001 - a wall time
    changes: dict[str, Any] = {}
    if "subject" in fields:
        changes["subject"] = fields["subject"]
    if "body" in fields and fields["body"].get("contentType", "text") != "html":
        changes["description"] = fields["body"]["content"]
    if "sensitivity" in fields:
        changes["private"] = fields["sensitivity"] != "normal"
    if "attendees" in fields:
        people = (one["emailAddress"] for one in fields["attendees"])
        changes["attendees"] = tuple(Person(one["address"].lower(), one.get("name", "")) for one in people)
    if "start" in fields:
        zone = zone_of(fields["start"]["timeZone"])
        if zone is None or zone_of(fields["end"]["timeZone"]) != zone:
            raise ValueError("the time zone is not known")
        start, end = (datetime.fromisoformat(fields[name]["dateTime"]) for name in ("start", "end"))
        all_day = bool(fields.get("isAllDay", False))
        clock = ZoneInfo(zone)
        exact = end.replace(tzinfo=clock).timestamp() - start.replace(tzinfo=clock).timestamp()
        changes |= {
            "start": start,
            "zone": "" if all_day else zone,
            "duration_s": int((end - start).total_seconds() if all_day else exact),
            "all_day": all_day,
        }
    changed = replace(entry, **changes)
    if fields.get("recurrence"):
        recurrence = msgspec.convert(fields["recurrence"], Recurrence)
        rule = rule_of(recurrence, When(changed.start, changed.zone, changed.all_day))
        changed = replace(changed, rrule=rule)
    return changed


def html_from(fields: Json, before: str) -> str:
    """The HTML body that a request sets, if it sets a body."""
    body = fields.get("body")
    if body is None:
        return before
    return str(body["content"]) if body.get("contentType", "text") == "html" else ""


def properties_from(fields: Json, before: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Extended properties, categories and transaction, on top of what is there."""
    found = dict(before)
    found |= {one["id"]: one["value"] for one in fields.get("singleValueExtendedProperties", ())}
    if "categories" in fields:
        found[CATEGORIES] = msgspec.json.encode(fields["categories"]).decode()
    if fields.get("transactionId"):
        found[TRANSACTION] = fields["transactionId"]
    return tuple(found.items())


def extended(stored: Stored) -> Iterator[Json]:
    """The extended properties of an item."""
    for name, value in stored.properties:
        if not name.startswith("-"):
            yield {"id": name, "value": value}
