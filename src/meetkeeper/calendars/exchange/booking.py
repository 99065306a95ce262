"""What we write into a room's mailbox: meetings booked here, and how to join others'. Nobody is mailed by it."""

from meetkeeper.calendars.exchange import mapping, soap, writing
from meetkeeper.calendars.exchange.faults import GONE_CODES, to_error
from meetkeeper.calendars.exchange.mailbox import BATCH, Mailbox
from meetkeeper.calendars.exchange.soap import Fault, Node
from meetkeeper.calendars.exchange.terms import Ask
from meetkeeper.core.errors import Refused
from meetkeeper.core.identity import normalise_uid
from meetkeeper.core.joinblock import JoinBlock


async def write(mailbox: Mailbox, uid: str, calendar_text: bytes, until: float) -> None:
    """Create the item of this UID, or replace the one that has it. Nobody is mailed. Raises `Refused`."""
    from meetkeeper.calendars.exchange import asking

    made = writing.draft(uid, calendar_text)
    found = await _with_uid(mailbox, uid, until)
    if found is not None:
        if mapping.open_own(found) == (mapping.shown_in(found), calendar_text):
            return
        if made.repeats or found.child("Recurrence") is not None:  # a pattern is not changed into another
            await mailbox.ask_well(asking.delete(mapping.name_of(found)), until)
            found = None
    pending = mapping.seal_own(calendar_text, "")
    if found is None:
        ask = asking.create(mailbox.room.mailbox, made, pending)
    else:
        ask = asking.update(mapping.name_of(found), made, pending)
    (message,) = await mailbox.ask_well(ask, until)
    stored = message.find("CalendarItem")
    name = "" if stored is None else mapping.name_of(stored)
    if not name:
        raise mailbox.odd("no id of what was written")
    refused = await _write_changes(mailbox, name, made, until)
    loaded = await mailbox.get([name], until)
    if name in loaded.items:  # what the server made of it: a later difference is somebody else's change
        own = mapping.seal_own(calendar_text, mapping.shown_in(loaded.items[name]))
        await mailbox.ask_well(asking.update(name, None, own), until)
    if refused is not None:
        raise refused


async def _write_changes(mailbox: Mailbox, name: str, made: writing.Draft, until: float) -> Refused | None:
    """Single occurrences of the series. One that the server objects to keeps no other back; the first is told."""
    from meetkeeper.calendars.exchange import asking

    refused: Refused | None = None
    for index, fields in made.changes:
        if fields is None:
            ask = asking.delete_occurrence(name, index)
        else:
            ask = asking.change_occurrence(name, index, fields)
        try:
            await mailbox.ask_well(ask, until)
        except Refused as objection:
            refused = refused or objection
    return refused


async def remove(mailbox: Mailbox, uid: str, until: float) -> None:
    """Remove the item of this UID; one that is not there is removed already. Nobody is mailed."""
    from meetkeeper.calendars.exchange import asking

    found = await _with_uid(mailbox, uid, until)
    if found is None:
        return
    try:
        messages = await mailbox.server.ask(
            mailbox.room.mailbox, asking.delete(mapping.name_of(found)), until
        )
        for message in messages:
            soap.check(message)
    except Fault as fault:
        mailbox.server.heed(fault)
        if fault.code not in GONE_CODES:
            raise to_error(fault, mailbox.where) from None


async def annotate(
    mailbox: Mailbox, uid: str, block: JoinBlock | None, until: float, *, now_s: float
) -> bool:
    """Put the block into the body of the item of this UID; None takes it out. False when there is no such item.

    A series says it in its master, and in each changed occurrence ahead that has a body of its own; one without shows
    the master's. What is over is left as it was.
    """
    from meetkeeper.calendars.exchange.annotating import annotate as annotate_item

    found = await _with_uid(mailbox, uid, until)
    if found is None:
        return False

    async def ask(make: Ask) -> tuple[Node, ...]:
        return tuple(soap.check(one) for one in await mailbox.server.ask(mailbox.room.mailbox, make, until))

    try:
        there = await annotate_item(ask, mapping.name_of(found), block, mailbox.where)
        for name in mapping.ahead_in(found, now_s) if there else ():
            await annotate_item(ask, name, block, mailbox.where)  # one that has gone meanwhile needs nothing
        return there
    except Fault as fault:
        mailbox.server.heed(fault)
        raise to_error(fault, mailbox.where) from None


async def _with_uid(mailbox: Mailbox, uid: str, until: float) -> Node | None:
    """The item with this UID. The server's match is checked again."""
    from meetkeeper.calendars.exchange import asking

    (message,) = await mailbox.ask_well(asking.with_uid(mailbox.room.mailbox, uid), until)
    found = message.find("Items")
    if found is None:
        raise mailbox.odd("no list of items")
    names = [name for item in found.inside if (name := mapping.name_of(item))]
    loaded = await mailbox.get(names[: 2 * BATCH], until)
    wanted = normalise_uid(uid)
    for name in names:
        item = loaded.items.get(name)
        if item is not None and mapping.uid_in(item, mailbox.room) == wanted:
            return item
    return None
