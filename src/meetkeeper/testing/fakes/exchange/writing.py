"""What the fake does when it is written to: CreateItem, UpdateItem, DeleteItem. Mails that would go out are counted."""

from base64 import b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from tzlocal.windows_tz import win_tz

from meetkeeper.core.words import CalendarItem, Entry, Person
from meetkeeper.itemtext.reading import read_item
from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.items import GOID_HEADER
from meetkeeper.testing.fakes.exchange.mapi import property_name
from meetkeeper.testing.fakes.exchange.occurrences import leave_out, occurrence_at
from meetkeeper.testing.fakes.exchange.patterns import rule_of
from meetkeeper.testing.fakes.exchange.reading import find_item_by_id, which_folder
from meetkeeper.testing.fakes.exchange.soap import MES, TYP
from meetkeeper.testing.fakes.mailbox import Answer, Mailbox, Stored

if TYPE_CHECKING:
    from meetkeeper.testing.fakes.exchange.server import FakeExchange


def create_item(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """CreateItem: a calendar item, made by the mailbox itself, which is then its organizer."""
    found = which_folder(fake, asked.element.find(f"{MES}SavedItemFolderId"), asked.acting_as)
    if isinstance(found, str):
        return soap.response("CreateItem", soap.failure("CreateItem", found, "<m:Items/>"))
    mailbox, _ = found
    messages = []
    for element in asked.element.find(f"{MES}Items") or ():
        mime = element.findtext(f"{TYP}MimeContent")
        if mime is not None:
            messages.append(_create_from_text(mailbox, element, b64decode(mime)))
            continue
        entry = _changed(Entry(start=datetime(2000, 1, 1), duration_s=0), element)  # noqa: DTZ001 - a wall time
        uid = element.findtext(f"{TYP}UID") or GOID_HEADER.hex().upper() + f"{mailbox.version:064X}"
        stored = mailbox.put(uid, entry, answer=Answer.ORGANIZER, properties=_properties((), element))
        _count_mails(mailbox, asked.element.get("SendMeetingInvitations", ""), entry)
        told = (
            f'<t:CalendarItem><t:ItemId Id="{stored.id}" ChangeKey="{stored.change_key}"/></t:CalendarItem>'
        )
        messages.append(soap.success("CreateItem", f"<m:Items>{told}</m:Items>"))
    return soap.response("CreateItem", *messages)


def _create_from_text(mailbox: Mailbox, element: Element, text: bytes) -> str:
    """An item made of its MimeContent, an iCalendar object; the mailbox itself is its organizer."""
    item = read_item("", text, own_email=mailbox.address, room_emails=frozenset({mailbox.address}))
    if not isinstance(item, CalendarItem) or item.master is None:
        return soap.failure("CreateItem", "ErrorMimeContentInvalid", "<m:Items/>")
    stored = mailbox.put(
        item.uid,
        item.master,
        item.overrides,
        answer=Answer.ORGANIZER,
        properties=_properties((), element),
    )
    told = f'<t:CalendarItem><t:ItemId Id="{stored.id}" ChangeKey="{stored.change_key}"/></t:CalendarItem>'
    return soap.success("CreateItem", f"<m:Items>{told}</m:Items>")


def update_item(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """UpdateItem: fields set and deleted, one change key later."""
    messages = []
    for change in asked.element.find(f"{MES}ItemChanges") or ():
        item_id = change[0].get("Id", "")
        numbered = occurrence_at(fake, change[0])
        if isinstance(numbered, str):
            messages.append(soap.failure("UpdateItem", numbered, "<m:Items/>"))
            continue
        found = numbered or find_item_by_id(fake, item_id)
        if found is None or found[1].id not in found[0].items:
            messages.append(soap.failure("UpdateItem", "ErrorItemNotFound", "<m:Items/>"))
            continue
        mailbox, stored, occurrence = found
        key = change[0].get("ChangeKey", "")
        if asked.element.get("ConflictResolution") == "NeverOverwrite" and key != stored.change_key:
            messages.append(soap.failure("UpdateItem", "ErrorIrresolvableConflict", "<m:Items/>"))
            continue
        after = (
            _updated(mailbox, stored, change)
            if occurrence is None
            else _updated_occurrence(mailbox, stored, occurrence, change)
        )
        _count_mails(mailbox, asked.element.get("SendMeetingInvitationsOrCancellations", ""), after.master)
        told = f'<t:CalendarItem><t:ItemId Id="{after.id}" ChangeKey="{after.change_key}"/></t:CalendarItem>'
        conflicts = "<m:ConflictResults><t:Count>0</t:Count></m:ConflictResults>"
        messages.append(soap.success("UpdateItem", f"<m:Items>{told}</m:Items>{conflicts}"))
    return soap.response("UpdateItem", *messages)


def delete_item(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """DeleteItem."""
    messages = []
    for one in asked.element.find(f"{MES}ItemIds") or ():
        numbered = occurrence_at(fake, one)
        if isinstance(numbered, str):
            messages.append(soap.failure("DeleteItem", numbered))
            continue
        if numbered is not None:
            leave_out(*numbered)
            _count_mails(numbered[0], asked.element.get("SendMeetingCancellations", ""), numbered[2])
            messages.append(soap.success("DeleteItem", ""))
            continue
        item_id = one.get("Id", "")
        found = find_item_by_id(fake, item_id)
        if found is None or not found[0].remove(item_id):
            messages.append(soap.failure("DeleteItem", "ErrorItemNotFound"))
            continue
        _count_mails(found[0], asked.element.get("SendMeetingCancellations", ""), found[1].master)
        messages.append(soap.success("DeleteItem", ""))
    return soap.response("DeleteItem", *messages)


def _count_mails(mailbox: Mailbox, send: str, entry: Entry) -> None:
    """Exchange would mail everybody named, unless told otherwise."""
    if send != "SendToNone":
        mailbox.mails.extend(f"to {person.email}: {entry.subject}" for person in entry.attendees)


def _updated(mailbox: Mailbox, stored: Stored, change: Element) -> Stored:
    entry, properties, html = stored.master, stored.properties, stored.body_html
    for update in change.find(f"{TYP}Updates") or ():
        kind = update.tag.rpartition("}")[2]
        item = update.find(f"{TYP}CalendarItem")
        if kind == "SetItemField" and item is not None:
            entry = _changed(entry, item)
            properties = _properties(properties, item)
            body = item.find(f"{TYP}Body")
            if body is not None:
                html = (body.text or "") if body.get("BodyType") == "HTML" else ""
        elif kind == "DeleteItemField":
            field = update[0].get("FieldURI", "")
            if field == "calendar:Recurrence":
                entry = replace(entry, rrule="", exdates=())
            elif update[0].tag == f"{TYP}ExtendedFieldURI":
                name = property_name(update[0]).partition(":")[2]
                properties = tuple(one for one in properties if one[0] != name)
    return mailbox.put(
        stored.uid, entry, stored.overrides, item_id=stored.id, properties=properties, body_html=html
    )


def _updated_occurrence(mailbox: Mailbox, stored: Stored, occurrence: Entry, change: Element) -> Stored:
    """One changed occurrence of a series; everything else of the series stays."""
    entry, bodies = occurrence, dict(stored.bodies)
    original = occurrence.recurrence_id
    assert original is not None
    for item in change.iter(f"{TYP}CalendarItem"):
        body = item.find(f"{TYP}Body")
        if body is not None and body.get("BodyType") == "HTML":
            bodies[original] = body.text or ""
        else:
            entry = _changed(entry, item)
    before = {one.recurrence_id: one for one in stored.overrides if one.recurrence_id is not None}
    others = tuple(one for _, one in sorted((before | {original: entry}).items()))
    return mailbox.put(
        stored.uid, stored.master, others, item_id=stored.id, bodies=tuple(sorted(bodies.items()))
    )


def _properties(before: tuple[tuple[str, str], ...], element: Element) -> tuple[tuple[str, str], ...]:
    said = dict(before)
    for one in element.iter(f"{TYP}ExtendedProperty"):
        name = property_name(one[0])
        said[name if name.startswith("tag:") else name.partition(":")[2]] = one.findtext(f"{TYP}Value") or ""
    return tuple(said.items())


def _changed(entry: Entry, element: Element) -> Entry:
    """The entry with what the element sets."""
    after: dict[str, Any] = {}
    zone = element.find(f"{TYP}StartTimeZone")
    home = entry.zone if zone is None else win_tz.get(zone.get("Id", ""), "UTC")
    if zone is not None:
        after["zone"] = home
    start, end = (_moment(element.findtext(f"{TYP}{name}")) for name in ("Start", "End"))
    if start is not None:
        after["start"] = start.astimezone(ZoneInfo(home or "UTC")).replace(tzinfo=None)
    if end is not None:
        begin = start or entry.start.replace(tzinfo=ZoneInfo(entry.zone or "UTC"))
        after["duration_s"] = int((end - begin).total_seconds())
    for name, field in (("Subject", "subject"), ("Body", "description")):
        text = element.findtext(f"{TYP}{name}")
        if text is not None:
            after[field] = text.replace("\r\n", "\n")
    if element.findtext(f"{TYP}IsAllDayEvent") is not None:
        after["all_day"] = element.findtext(f"{TYP}IsAllDayEvent") in ("true", "1")
    if element.findtext(f"{TYP}Sensitivity") is not None:
        after["private"] = element.findtext(f"{TYP}Sensitivity") == "Private"
    people = element.find(f"{TYP}RequiredAttendees")
    if people is not None:
        after["attendees"] = tuple(
            Person((one.findtext(f"{TYP}EmailAddress") or "").lower(), one.findtext(f"{TYP}Name") or "")
            for one in people.iter(f"{TYP}Mailbox")
        )
    recurrence = element.find(f"{TYP}Recurrence")
    if recurrence is not None:
        after["rrule"] = rule_of(recurrence, home)
    return replace(entry, **after)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
