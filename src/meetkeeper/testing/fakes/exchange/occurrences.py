"""Occurrences of a series by their number (OccurrenceItemId): read, changed and left out, as EWS counts them.

The pattern's own occurrences are counted from 1, whatever was changed or left out (learn.microsoft.com
"OccurrenceItemId").
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry, Uid
from meetkeeper.testing.fakes.exchange.soap import TYP
from meetkeeper.testing.fakes.mailbox import Mailbox, Stored

if TYPE_CHECKING:
    from meetkeeper.testing.fakes.exchange.server import FakeExchange


def occurrence_at(fake: "FakeExchange", one: Element) -> tuple[Mailbox, Stored, Entry] | str | None:
    """What an OccurrenceItemId means; an error code where there is no such occurrence, None for other kinds of ids."""
    if one.tag != f"{TYP}OccurrenceItemId":
        return None
    for mailbox in fake.site.mailboxes.values():
        stored = mailbox.items.get(one.get("RecurringMasterId", ""))
        if stored is not None:
            return _numbered(mailbox, stored, int(one.get("InstanceIndex") or "0"))
    return "ErrorItemNotFound"


def _numbered(mailbox: Mailbox, stored: Stored, index: int) -> tuple[Mailbox, Stored, Entry] | str:
    master = stored.master
    home = ZoneInfo(master.zone or "UTC")
    plain = CalendarItem(href="", uid=Uid("x"), fingerprint="", master=replace(master, exdates=()))
    begin_s = int(master.start.replace(tzinfo=home).timestamp())
    found = expand(plain, master.zone or "UTC", begin_s, begin_s + 3 * 366 * 86_400).occurrences
    if not master.rrule or not 1 <= index <= len(found):
        return "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange"
    instant = datetime.fromtimestamp(found[index - 1].original_start_s, UTC)
    wall = instant.astimezone(home).replace(tzinfo=None)
    if wall in master.exdates:
        return "ErrorCalendarOccurrenceIsDeletedFromRecurrence"
    for entry in stored.overrides:
        if entry.recurrence_id == wall:
            return mailbox, stored, entry
    return mailbox, stored, replace(master, start=wall, rrule="", exdates=(), recurrence_id=wall)


def leave_out(mailbox: Mailbox, stored: Stored, occurrence: Entry) -> None:
    """The series goes on without this occurrence."""
    original = occurrence.recurrence_id
    assert original is not None
    master = replace(stored.master, exdates=tuple(sorted({*stored.master.exdates, original})))
    others = tuple(one for one in stored.overrides if one.recurrence_id != original)
    mailbox.put(stored.uid, master, others, item_id=stored.id)
