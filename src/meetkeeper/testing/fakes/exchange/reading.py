"""What the fake answers when it is read: folders, SyncFolderItems, GetItem, FindItem, names and ids."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry, Occurrence, Uid
from meetkeeper.testing.fakes.exchange import folders, mapi, soap
from meetkeeper.testing.fakes.exchange.cookies import Bad, Mark, read_mark, write_mark
from meetkeeper.testing.fakes.exchange.items import HOME, ORIGINAL, Shape, Writer, goid_of, occurrence_of
from meetkeeper.testing.fakes.exchange.occurrences import occurrence_at
from meetkeeper.testing.fakes.exchange.soap import MES, TYP
from meetkeeper.testing.fakes.mailbox import Mailbox, Stored

if TYPE_CHECKING:
    from meetkeeper.testing.fakes.exchange.server import FakeExchange

PAGE_MAX = 512
"""Most changes in one answer, whatever is asked for."""
VIEW_MAX = 1_000
FOLDERS = (
    ("root", "Folder", "", "Root"),
    ("msgfolderroot", "Folder", "IPF.Note", "Top of Information Store"),
    ("inbox", "Folder", "IPF.Note", "Inbox"),
    ("calendar", "CalendarFolder", "IPF.Appointment", "Calendar"),
    ("contacts", "ContactsFolder", "IPF.Contact", "Contacts"),
    ("sentitems", "Folder", "IPF.Note", "Sent Items"),
    ("drafts", "Folder", "IPF.Note", "Drafts"),
    ("deleteditems", "Folder", "IPF.Note", "Deleted Items"),
    ("junkemail", "Folder", "IPF.Note", "Junk Email"),
    ("outbox", "Folder", "IPF.Note", "Outbox"),
    ("tasks", "TasksFolder", "IPF.Task", "Tasks"),
)


def folder_id(mailbox: Mailbox, name: str) -> str:
    """The id of a folder."""
    return b64encode(f"FOLDER|{mailbox.address}|{name}".encode()).decode()


def which_folder(fake: "FakeExchange", element: Element | None, acting: str) -> tuple[Mailbox, str] | str:
    """(mailbox, folder's name) that the first id inside means, or an error code."""
    if element is None or not len(element):
        return "ErrorInvalidRequest"
    one = element[0]
    address, name = acting, one.get("Id", "")
    if name in fake.folders:
        return fake.folders[name], "calendar"
    if one.tag == f"{TYP}DistinguishedFolderId":
        named = one.findtext(f"{TYP}Mailbox/{TYP}EmailAddress")
        address = (named or acting).strip().lower()
    else:
        for mailbox in fake.site.mailboxes.values():
            found = next((folder for folder, *_ in FOLDERS if folder_id(mailbox, folder) == name), None)
            if found is not None:
                address, name = mailbox.address, found
    mailbox_or_none = fake.site.find(address)
    if mailbox_or_none is None:
        return "ErrorNonExistentMailbox"
    if not fake.may_read(mailbox_or_none, acting):
        return "ErrorAccessDenied"
    if name not in {folder for folder, *_ in FOLDERS} or name in fake.missing_folders:
        return "ErrorFolderNotFound" if one.tag == f"{TYP}DistinguishedFolderId" else "ErrorItemNotFound"
    return mailbox_or_none, name


def get_folder(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """GetFolder."""
    messages = []
    for one in asked.element.find(f"{MES}FolderIds") or ():
        holder = Element("holder")
        holder.append(one)
        found = which_folder(fake, holder, asked.acting_as)
        if isinstance(found, str):
            messages.append(soap.failure("GetFolder", found))
        else:
            messages.append(soap.success("GetFolder", f"<m:Folders>{_folder(*found)}</m:Folders>"))
    return soap.response("GetFolder", *messages)


def find_folder(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """FindFolder: everything below the root."""
    found = which_folder(fake, asked.element.find(f"{MES}ParentFolderIds"), asked.acting_as)
    if isinstance(found, str):
        return soap.response("FindFolder", soap.failure("FindFolder", found))
    mailbox, parent = found
    wanted = asked.element.find(f"{MES}Restriction/{TYP}IsEqualTo//{TYP}Constant")
    title = "" if wanted is None else wanted.get("Value", "")
    inside = [name for name, _, _, shown in FOLDERS if name not in ("root", parent) and title in ("", shown)]
    found_here = "".join(_folder(mailbox, name) for name in inside if parent in ("root", "msgfolderroot"))
    found_here += "".join(_made(one) for one in folders.made_in(fake, mailbox.address, title))
    if fake.no_root_folder:
        return soap.response("FindFolder", soap.success("FindFolder", f"<t:Folders>{found_here}</t:Folders>"))
    root = (
        f'<m:RootFolder IndexedPagingOffset="{len(inside)}" TotalItemsInView="{len(inside)}"'
        f' IncludesLastItemInRange="true"><t:Folders>{found_here}</t:Folders></m:RootFolder>'
    )
    return soap.response("FindFolder", soap.success("FindFolder", root))


def _made(folder: Mailbox) -> str:
    return (
        f'<t:CalendarFolder><t:FolderId Id="{escape(folder.address)}" ChangeKey="AQAAAA=="/>'
        f"<t:FolderClass>IPF.Appointment</t:FolderClass><t:DisplayName>{escape(folder.name)}</t:DisplayName>"
        f"<t:TotalCount>{len(folder.items)}</t:TotalCount></t:CalendarFolder>"
    )


def _folder(mailbox: Mailbox, name: str) -> str:
    _, tag, kind, title = next(one for one in FOLDERS if one[0] == name)
    count = len(mailbox.items) if name == "calendar" else 0
    parent = "root" if name in ("root", "msgfolderroot") else "msgfolderroot"
    return (
        f'<t:{tag}><t:FolderId Id="{folder_id(mailbox, name)}" ChangeKey="AQAAAA=="/>'
        f'<t:ParentFolderId Id="{folder_id(mailbox, parent)}" ChangeKey="AQAAAA=="/>'
        f"<t:FolderClass>{kind}</t:FolderClass><t:DisplayName>{title}</t:DisplayName>"
        f"<t:TotalCount>{count}</t:TotalCount><t:ChildFolderCount>{10 if name == 'root' else 0}</t:ChildFolderCount>"
        + ("" if tag == "CalendarFolder" else "<t:UnreadCount>0</t:UnreadCount>")
        + f"</t:{tag}>"
    )


def sync_folder_items(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """SyncFolderItems: a page of what changed since the state, newest first."""
    name = "SyncFolderItems"
    empty = "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
    found = which_folder(fake, asked.element.find(f"{MES}SyncFolderId"), asked.acting_as)
    if isinstance(found, str):
        code = {"ErrorFolderNotFound": "ErrorSyncFolderNotFound"}.get(found, found)
        return soap.response(name, soap.failure(name, code, empty))
    mailbox, folder = found
    state = (asked.element.findtext(f"{MES}SyncState") or "").strip()
    limit = min(int(asked.element.findtext(f"{MES}MaxChangesReturned") or "0"), fake.page_max)
    if fake.stuck:
        inside = f"<m:SyncState>{escape(state or 'AAAA')}</m:SyncState>"
        inside += "<m:IncludesLastItemInRange>false</m:IncludesLastItemInRange><m:Changes/>"
        return soap.response(name, soap.success(name, inside))
    mark = read_mark(mailbox, folder, state) if state else Mark()
    forgotten = mark is not None and state and mark.serial <= fake.serials.get(mailbox.address, 0) - fake.keep
    if mark is None or forgotten or (state and fake.refuse_cookies):
        if not fake.accept_any:
            return _bad_state(fake, mailbox, asked)
        mark = mark or Mark()
    page, new, last = _page(fake, mailbox, mark, limit)
    shape = soap.shape_of(asked.element)
    changes = "".join(_change(fake, mailbox, kind, item_id, shape) for kind, item_id in page)
    return _synced(write_mark(mailbox, folder, new), changes, last=last)


def _page(
    fake: "FakeExchange", mailbox: Mailbox, mark: Mark, limit: int
) -> tuple[list[tuple[str, str]], Mark, bool]:
    """(kind, id) of the changes, the state after them, and whether they are the last."""
    upto = mark.upto if mark.paging else mailbox.version
    changes = [one for one in mailbox.changes(mark.since) if one.version <= upto]
    if mark.paging:
        changes = [one for one in changes if one.version < mark.below]
    changes.sort(key=lambda one: -one.version)
    page = changes[:limit]
    serial = fake.serials[mailbox.address] = fake.serials.get(mailbox.address, 0) + 1
    if len(changes) > len(page):
        below = page[-1].version if page else upto + 1
        return [(one.kind, one.id) for one in page], Mark(mark.since, upto, below, serial), False
    return [(one.kind, one.id) for one in page], Mark(upto, 0, 0, serial), True


def _bad_state(fake: "FakeExchange", mailbox: Mailbox, asked: soap.Asked) -> bytes:
    """Everything that was seen of servers that are given a state they can't read."""
    name = "SyncFolderItems"
    shape = soap.shape_of(asked.element)
    now = write_mark(mailbox, "calendar", Mark(mailbox.version, 0, 0, fake.serials.get(mailbox.address, 0)))
    match fake.bad_cookie:
        case Bad.REFUSE:
            empty = "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
            return soap.response(name, soap.failure(name, "ErrorInvalidSyncStateData", empty))
        case Bad.FAULT:
            return soap.fault("ErrorInvalidSyncStateData", bare=True)
        case Bad.NOTHING:
            return _synced(now, "", last=True)
        case Bad.AS_EMPTY | Bad.AS_UPDATES | Bad.BOGUS:
            kind = "update" if fake.bad_cookie is Bad.AS_UPDATES else "create"
            changes = [_change(fake, mailbox, kind, item_id, shape) for item_id in reversed(mailbox.items)]
            if fake.bad_cookie is Bad.BOGUS:
                changes += [f'<t:Delete><t:ItemId Id="Qk9HVVM{n}" ChangeKey=""/></t:Delete>' for n in "ABC"]
            return _synced(now, "".join(changes), last=True)


def _synced(state: str, changes: str, *, last: bool) -> bytes:
    name = "SyncFolderItems"
    inside = (
        f"<m:SyncState>{state}</m:SyncState><m:IncludesLastItemInRange>{'true' if last else 'false'}"
        f"</m:IncludesLastItemInRange><m:Changes>{changes}</m:Changes>"
    )
    return soap.response(name, soap.success(name, inside))


def _change(fake: "FakeExchange", mailbox: Mailbox, kind: str, item_id: str, shape: Shape) -> str:
    if kind == "delete":
        return f'<t:Delete><t:ItemId Id="{escape(item_id)}" ChangeKey="AAAA"/></t:Delete>'
    stored = mailbox.items[item_id]
    without_body = Shape(shape.whole, shape.fields - {"item:Body", "item:TextBody"})
    return f"<t:{kind.title()}>{fake.writer(mailbox).item(stored, without_body)}</t:{kind.title()}>"


def get_item(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """GetItem: soft-deleted items are answered too; they are not in the calendar for that."""
    shape = soap.shape_of(asked.element)
    messages = []
    series = {one.get("OccurrenceId", "") for one in asked.element.iter(f"{TYP}RecurringMasterItemId")}
    for one, item_id in zip(
        asked.element.find(f"{MES}ItemIds") or (), soap.ids_in(asked.element), strict=False
    ):
        numbered = occurrence_at(fake, one)
        if isinstance(numbered, str):
            messages.append(soap.failure("GetItem", numbered, "<m:Items/>"))
            continue
        found: tuple[Mailbox, Stored, Entry | None] | None = numbered
        found = found or find_item_by_id(fake, item_id, asked.acting_as)
        if found is not None and item_id in series:
            found = (found[0], found[1], None)
        if found is None or item_id in fake.vanishing:
            messages.append(soap.failure("GetItem", "ErrorItemNotFound", "<m:Items/>"))
            continue
        mailbox, stored, occurrence = found
        if not fake.may_read(mailbox, asked.acting_as):
            messages.append(soap.failure("GetItem", "ErrorAccessDenied", "<m:Items/>"))
            continue
        text = fake.writer(mailbox).item(stored, shape, occurrence)
        messages.append(soap.success("GetItem", f"<m:Items>{text}</m:Items>"))
    return soap.response("GetItem", *messages)


def find_item_by_id(
    fake: "FakeExchange", item_id: str, acting_as: str = ""
) -> tuple[Mailbox, Stored, Entry | None] | None:
    """The mailbox and the item of this id, and which occurrence of it is meant; the one who asks is looked at first."""
    occurrence = occurrence_of(item_id)
    master_id = item_id if occurrence is None else occurrence[0]
    own = fake.site.find(acting_as)
    others = (*fake.site.mailboxes.values(), *fake.folders.values())
    for mailbox in (*([] if own is None else [own]), *others):
        stored = mailbox.items.get(master_id) or mailbox.deleted(master_id)
        if stored is None:
            continue
        if occurrence is None:
            return mailbox, stored, None
        original = datetime.strptime(occurrence[1], ORIGINAL)  # noqa: DTZ007 - a wall time
        for entry in stored.overrides:
            if entry.recurrence_id == original:
                return mailbox, stored, entry
        if not stored.master.rrule or original in stored.master.exdates:
            return None
        return mailbox, stored, replace(stored.master, start=original, recurrence_id=original)
    return None


def find_item(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """FindItem: with a CalendarView what takes place in it, expanded; else all items that fit a restriction."""
    found = which_folder(fake, asked.element.find(f"{MES}ParentFolderIds"), asked.acting_as)
    if isinstance(found, str):
        return soap.response("FindItem", soap.failure("FindItem", found))
    mailbox, folder = found
    shape = soap.shape_of(asked.element)
    writer = fake.writer(mailbox)
    stored = list(mailbox.items.values()) if folder == "calendar" else []
    view = asked.element.find(f"{MES}CalendarView")
    restriction = asked.element.find(f"{MES}Restriction")
    if view is not None:
        begin, end = (_instant(view.get(side, "")) for side in ("StartDate", "EndDate"))
        if end - begin > timedelta(days=731):
            code = soap.failure("FindItem", "ErrorCalendarViewRangeTooBig")
            return soap.response("FindItem", code)
        lines = [line for one in stored for line in _seen(writer, one, shape, begin, end)][:VIEW_MAX]
    else:
        if restriction is not None:
            stored = [one for one in stored if _fits(restriction[0], one)]
        lines = [writer.item(one, shape) for one in stored]
    root = (
        f'<m:RootFolder IndexedPagingOffset="{len(lines)}" TotalItemsInView="{len(lines)}"'
        f' IncludesLastItemInRange="true"><t:Items>{"".join(lines)}</t:Items></m:RootFolder>'
    )
    return soap.response("FindItem", soap.success("FindItem", root))


def _seen(writer: Writer, stored: Stored, shape: Shape, begin: datetime, end: datetime) -> list[str]:
    if not stored.master.rrule and not _may_share(stored.master, begin, end):
        return []
    item = CalendarItem(
        href=stored.id,
        uid=Uid(stored.uid),
        fingerprint="",
        master=stored.master,
        overrides=stored.overrides,
    )
    found = expand(item, HOME, int(begin.timestamp()), int(end.timestamp())).occurrences
    if not stored.master.rrule:
        return [writer.item(stored, shape) for _ in found]
    return [writer.item(stored, shape, _as_occurrence(one)) for one in found]


def _may_share(entry: Entry, begin: datetime, end: datetime) -> bool:
    """A quick look at a meeting of its own: no wall is further from UTC than a day."""
    start = entry.start.replace(tzinfo=UTC)
    slack = timedelta(days=1)
    return start - slack < end and begin < start + timedelta(seconds=entry.duration_s) + slack


def _as_occurrence(one: Occurrence) -> Entry:
    """One occurrence as an entry of its own, changed or not."""
    if one.entry.recurrence_id is not None or one.original_start_s is None:
        return one.entry
    home = ZoneInfo(one.entry.zone or HOME)
    wall = datetime.fromtimestamp(one.original_start_s, home).replace(tzinfo=None)
    return replace(one.entry, start=wall, recurrence_id=wall)


def _fits(test: Element, stored: Stored) -> bool:
    kind = test.tag.rpartition("}")[2]
    if kind in ("Or", "And"):
        answers = [_fits(one, stored) for one in test]
        return any(answers) if kind == "Or" else all(answers)
    if kind != "IsEqualTo":
        return False
    uri, constant = test[0], test.find(f"{TYP}FieldURIOrConstant/{TYP}Constant")
    value = "" if constant is None else constant.get("Value", "")
    if uri.tag == f"{TYP}FieldURI":
        return uri.get("FieldURI") == "calendar:UID" and stored.uid == value
    name = mapi.property_name(uri)
    if name == "Meeting:35":
        return b64encode(goid_of(stored.uid)).decode() == value
    told = mapi.told(stored, name)
    return told is not None and told[1] == value


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def resolve_names(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """ResolveNames: mailboxes whose address begins with the text."""
    wanted = (asked.element.findtext(f"{MES}UnresolvedEntry") or "").strip().lower()
    found = [box for box in fake.site.mailboxes.values() if wanted and box.address.startswith(wanted)]
    if not found:
        return soap.response("ResolveNames", soap.failure("ResolveNames", "ErrorNameResolutionNoResults"))
    lines = "".join(
        f"<t:Resolution><t:Mailbox><t:Name>{escape(box.name)}</t:Name><t:EmailAddress>{escape(box.address)}"
        "</t:EmailAddress><t:RoutingType>SMTP</t:RoutingType><t:MailboxType>Mailbox</t:MailboxType></t:Mailbox>"
        "</t:Resolution>"
        for box in found
    )
    count = f'TotalItemsInView="{len(found)}" IncludesLastItemInRange="true"'
    inside = f"<m:ResolutionSet {count}>{lines}</m:ResolutionSet>"
    return soap.response("ResolveNames", soap.success("ResolveNames", inside))


def convert_id(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """ConvertId: ids are told back as they came, with the address of the mailbox that they really belong to."""
    owners = {folder_id(box, name): box for box in fake.site.mailboxes.values() for name, *_ in FOLDERS}
    wanted = asked.element.get("DestinationFormat", "EwsId")
    messages = []
    for one in asked.element.find(f"{MES}SourceIds") or ():
        told = f'<m:AlternateId xmlns:x="x" Format="{wanted}" Id="{escape(one.get("Id", ""))}" '
        owner = owners.get(one.get("Id", ""))
        told += f'Mailbox="{escape(one.get("Mailbox", "") if owner is None else owner.address)}"/>'
        messages.append(soap.success("ConvertId", told.replace('xmlns:x="x" ', "")))
    return soap.response("ConvertId", *messages)
