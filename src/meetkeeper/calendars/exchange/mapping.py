"""EWS calendar items ↔ our words, pure: who a meeting is, when, and what changed in its series.

Rules: identity is the clean global object id, then the UID, then mailbox and item id; what decides *when* must be
readable or the item is a problem; what merely decorates is left out. A meeting counts once the room has accepted it.
"""

import base64
import re
import zlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.calendars.exchange.patterns import rule_of
from meetkeeper.calendars.exchange.soap import Node
from meetkeeper.calendars.exchange.zones import Meant, day_of, instant_of, zone_in
from meetkeeper.core.identity import fingerprint, normalise_uid
from meetkeeper.core.joinblock import blocks_in
from meetkeeper.core.words import (
    DESCRIPTION_CHARS_MAX,
    INVITEES_MAX,
    LINK_CHARS_MAX,
    LOCATION_CHARS_MAX,
    RESOURCES_MAX,
    SUBJECT_CHARS_MAX,
    CalendarItem,
    Entry,
    Person,
    Uid,
)
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.reading import DATES_MAX, OVERRIDES_MAX, Problem, read_item
from meetkeeper.itemtext.rules import ordered_rule
from meetkeeper.itemtext.texts import BLOCK_CHARS_MAX, NAME_CHARS_MAX, one_line, plain_description
from meetkeeper.itemtext.times import DURATION_S_MAX, When

AHEAD_MAX = 50
"""So many changed occurrences of a series are written to, the nearest ones."""
DAY_S = 86_400
OWN_PROPERTY = "meetkeeper"
"""Extended property (PublicStrings) of items that we wrote: what EWS can't hold, and what it showed when written."""
OWN_UID_PROPERTY = "meetkeeper-uid"
LINK_PROPERTIES = ("SkypeTeamsMeetingUrl", "OnlineMeetingExternalLink", "OnlineMeetingConfLink")
"""Public strings in which Outlook keeps an online meeting's link: Teams, then Skype for Business."""
OWN_CHARS_MAX = 256 * 1024
_GOID_HEADER = "040000008200E00074C5B7101A82E008"
_EMAIL = re.compile(r"[^@\s<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,64}@[^@\s<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,253}")


class Standing(StrEnum):
    """What the room thinks of an item."""

    TAKEN = "taken"
    WAITING = "waiting"
    """Tentative or unanswered: nothing is to be done about it yet."""
    DECLINED = "declined"
    OTHER = "other"
    """No meeting at all: a task, a contact."""


class Room(Struct, frozen=True):
    """Whose calendar is read: its mailbox, its own address and those of all rooms, in lower case."""

    mailbox: str
    own_email: str = ""
    room_emails: frozenset[str] = frozenset()


def standing(item: Node) -> Standing:
    """By class and response; an item that says neither counts."""
    if item.name != "CalendarItem":
        return Standing.OTHER
    match item.say("MyResponseType"):
        case "Tentative" | "NoResponseReceived":
            return Standing.WAITING
        case "Decline":
            return Standing.DECLINED
        case _:
            return Standing.TAKEN


def name_of(item: Node) -> str:
    """The item's id; "" when it has none."""
    node = item.child("ItemId")
    return "" if node is None else node.attributes.get("Id", "")


def touched_s(item: Node) -> float | None:
    """When the item was last touched, by the server's clock."""
    try:
        return instant_of(item.say("LastModifiedTime") or item.say("DateTimeCreated")).timestamp()
    except Unreadable:
        return None


def weight_of(item: Node) -> int:
    """About how many bytes the item's text has."""
    return 2_000 + sum(len(node.text) for node in item.inside)


def moved_in(item: Node) -> tuple[str, ...]:
    """The ids of the series' changed occurrences, each of which has to be loaded by itself."""
    node = item.child("ModifiedOccurrences")
    found = () if node is None else tuple(name_of(one) for one in node.all("Occurrence"))
    return tuple(dict.fromkeys(name for name in found if name))[:OVERRIDES_MAX]


def ahead_in(item: Node, now_s: float) -> tuple[str, ...]:
    """The ids of the changed occurrences that have not ended, the nearest first, at most `AHEAD_MAX`."""
    node = item.child("ModifiedOccurrences")
    found: list[tuple[datetime, str]] = []
    for one in [] if node is None else node.all("Occurrence"):
        try:
            start, end = instant_of(one.say("Start")), instant_of(one.say("End"))
        except Unreadable:
            continue
        if end.timestamp() > now_s and name_of(one):
            found.append((start, name_of(one)))
    return tuple(name for _, name in sorted(found))[:AHEAD_MAX]


# --- identity -------------------------------------------------------------------------------------------------------


def uid_in(item: Node, room: Room) -> Uid:
    """The meeting's UID: from the clean global object id, else as spelled, else of this very item."""
    data = _property(item, "PropertyId", "35", "0x23")
    if data:
        try:
            return normalise_uid(base64.b64decode(data, validate=True).hex())
        except ValueError:
            pass
    uid = one_line(item.say("UID"), 1_000)
    if uid:
        return normalise_uid(uid)
    digest = sha256(f"{room.mailbox}\n{name_of(item)}".encode("utf-8", "surrogatepass")).hexdigest()
    return Uid(f"ews-{digest[:40]}")


def goid_of(uid: str) -> bytes:
    """The clean global object id of a UID: of Exchange's own its bytes, else the UID wrapped (MS-OXOCAL 2.2.1.27)."""
    normal = normalise_uid(uid)
    if normal.startswith(_GOID_HEADER):
        try:
            return bytes.fromhex(normal)
        except ValueError:
            pass
    data = b"vCal-Uid\x01\x00\x00\x00" + normal.encode("utf-8", "replace") + b"\x00"
    return bytes.fromhex(_GOID_HEADER) + bytes(20) + len(data).to_bytes(4, "little") + data


def _property(item: Node, attribute: str, *values: str) -> str:
    for one in item.all("ExtendedProperty"):
        uri = one.child("ExtendedFieldURI")
        if uri is not None and uri.attributes.get(attribute, "").lower() in values:
            return one.say("Value")
    return ""


# --- items ----------------------------------------------------------------------------------------------------------


def read(name: str, item: Node, changed: Mapping[str, Node], room: Room) -> CalendarItem | Problem:
    """The item in our words under its id; `changed` are the loaded occurrences by id. Never raises for any answer."""
    try:
        found = _read(name, item, changed, room)
    except Unreadable as unreadable:
        return Problem(name, str(unreadable))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Problem(name, f"It can't be understood ({type(error).__name__}); open and save it in Outlook.")
    return _as_written(item, found, room) or found


def _read(name: str, item: Node, changed: Mapping[str, Node], room: Room) -> CalendarItem:
    meant = zone_in(item)
    master = _entry(item, meant, room)
    overrides: tuple[Entry, ...] = ()
    remarks = list(meant.remarks)
    recurrence = item.child("Recurrence")
    if recurrence is not None:
        like = When(master.start, master.zone, master.all_day)
        rule = ordered_rule(rule_of(recurrence), like)
        master = replace(master, rrule=rule, exdates=_removed(item, master))
        overrides = _overrides(item, changed, master, meant, room)
    else:
        remarks = []  # a single meeting's instants are exact, whatever its zone is called
    if standing(item) is Standing.DECLINED:
        master = replace(master, cancelled=True)
        remarks.append("The room has declined; the meeting does not take place here.")
    uid = uid_in(item, room)
    return CalendarItem(
        href=name,
        uid=uid,
        fingerprint=_fingerprint(master, overrides),
        etag=change_key(item),
        master=master,
        overrides=overrides,
        remarks=tuple(dict.fromkeys(remarks)),
        blocks=blocks_in(item.say("TextBody")),
    )


def _fingerprint(master: Entry, overrides: tuple[Entry, ...]) -> str:
    """Without the time of the last change, which every program's write moves, our own too."""
    return fingerprint(replace(master, modified_s=0), tuple(replace(one, modified_s=0) for one in overrides))


def change_key(item: Node) -> str:
    """The version of an item, for writing; "" when the server gives none."""
    node = item.child("ItemId")
    return "" if node is None else node.attributes.get("ChangeKey", "")[:200]


def _entry(item: Node, meant: Meant, room: Room) -> Entry:
    start, end = instant_of(item.say("Start")), instant_of(item.say("End"))
    seconds = int((end - start).total_seconds())
    if seconds < 0:
        raise Unreadable("It ends before it begins.")
    if seconds > DURATION_S_MAX:
        raise Unreadable("It lasts longer than a year.")
    wall, zone = _wall(start, meant.zone, repeats=item.child("Recurrence") is not None)
    all_day = item.say("IsAllDayEvent").lower() in ("true", "1")
    if all_day:
        until = end.astimezone(ZoneInfo(meant.zone)).replace(tzinfo=None)
        wall = day_of(start.astimezone(ZoneInfo(meant.zone)).replace(tzinfo=None))
        seconds = max(1, (day_of(until) - wall).days) * DAY_S
        zone = ""
    description = item.say("TextBody")[: DESCRIPTION_CHARS_MAX + BLOCK_CHARS_MAX]
    return Entry(
        start=wall,
        duration_s=seconds,
        zone=zone,
        all_day=all_day,
        subject=one_line(item.say("Subject"), SUBJECT_CHARS_MAX),
        description=plain_description(description),
        organizer=_organizer(item, room),
        attendees=_attendees(item, room),
        cancelled=item.say("IsCancelled").lower() in ("true", "1"),
        private=item.say("Sensitivity") not in ("", "Normal"),
        sequence=_sequence(item),
        modified_s=max(0, int(touched_s(item) or 0)),
        location=one_line(item.say("Location"), LOCATION_CHARS_MAX),
        links=_links(item),
        resources=_resources(item, room),
    )


def _links(item: Node) -> tuple[str, ...]:
    """Links in properties made for them, the most trusted first."""
    said = (_property(item, "PropertyName", name.lower()).strip() for name in LINK_PROPERTIES)
    return tuple(dict.fromkeys(link for link in said if 0 < len(link) <= LINK_CHARS_MAX))


def _resources(item: Node, room: Room) -> tuple[str, ...]:
    """Invited resources that are no rooms of ours."""
    node = item.child("Resources")
    boxes = [one.child("Mailbox") for one in ([] if node is None else node.all("Attendee"))]
    people = [_person(box) for box in boxes if box is not None]
    ours = {*room.room_emails, room.own_email, room.mailbox}
    return tuple(sorted({one.email for one in people if one is not None} - ours)[:RESOURCES_MAX])


def _wall(instant: datetime, zone: str, *, repeats: bool) -> tuple[datetime, str]:
    """The wall time in its zone; an hour that the clocks show twice is said in UTC where only the instant matters."""
    local = instant.astimezone(ZoneInfo(zone))
    if local.fold and not repeats:
        return instant.replace(tzinfo=None), "UTC"
    return local.replace(tzinfo=None, fold=0), zone


def _removed(item: Node, master: Entry) -> tuple[datetime, ...]:
    node = item.child("DeletedOccurrences")
    dates = [] if node is None else [one.say("Start") for one in node.all("DeletedOccurrence")]
    if len(dates) > DATES_MAX:
        raise Unreadable(f"It lists more than {DATES_MAX} single dates; shorten the series.")
    return tuple(sorted({_original(text, master, zone_in(item)) for text in dates}))


def _original(text: str, master: Entry, meant: Meant) -> datetime:
    """The start the series gave an occurrence, as a wall time of the series."""
    wall = instant_of(text).astimezone(ZoneInfo(meant.zone)).replace(tzinfo=None, fold=0)
    return day_of(wall) if master.all_day else wall


def _overrides(
    item: Node, changed: Mapping[str, Node], master: Entry, meant: Meant, room: Room
) -> tuple[Entry, ...]:
    node = item.child("ModifiedOccurrences")
    found: dict[datetime, Entry] = {}
    for one in [] if node is None else node.all("Occurrence"):
        if len(found) >= OVERRIDES_MAX:
            raise Unreadable(f"It has more than {OVERRIDES_MAX} changed occurrences.")
        loaded = changed.get(name_of(one))
        if loaded is not None:
            own = zone_in(loaded) if loaded.child("StartTimeZone") is not None else meant
            entry = _entry(loaded, own, room)
        else:  # it went between the listing and the loading: times are known, words are the series'
            entry = _timed(master, one, meant)
        original = _original(one.say("OriginalStart"), master, meant)
        found[original] = replace(entry, recurrence_id=original, rrule="", rdates=(), exdates=())
    return tuple(found[start] for start in sorted(found))


def _timed(master: Entry, occurrence: Node, meant: Meant) -> Entry:
    start, end = instant_of(occurrence.say("Start")), instant_of(occurrence.say("End"))
    wall, zone = _wall(start, meant.zone, repeats=True)
    if master.all_day:
        wall, zone = day_of(wall), ""
    return replace(master, start=wall, zone=zone, duration_s=max(0, int((end - start).total_seconds())))


def _sequence(item: Node) -> int:
    text = item.say("AppointmentSequenceNumber")
    return min(int(text), 2**31 - 1) if text.isascii() and text.isdigit() and len(text) < 16 else 0


# --- people ---------------------------------------------------------------------------------------------------------


def _organizer(item: Node, room: Room) -> Person | None:
    node = item.at("Organizer", "Mailbox")
    person = None if node is None else _person(node)
    if person is None or person.email in room.room_emails or person.email in (room.own_email, room.mailbox):
        return None
    return person


def _attendees(item: Node, room: Room) -> tuple[Person, ...]:
    found: dict[str, Person] = {}
    for kind in ("RequiredAttendees", "OptionalAttendees"):
        people = item.child(kind)
        for one in [] if people is None else people.all("Attendee"):
            node = one.child("Mailbox")
            person = None if node is None else _person(node)
            if person is None or person.email in room.room_emails:
                continue
            if person.email not in (room.own_email, room.mailbox):
                found.setdefault(person.email, person)
            if len(found) >= INVITEES_MAX:
                return tuple(found.values())
    return tuple(found.values())


def _person(mailbox: Node) -> Person | None:
    """Only SMTP addresses are addresses: directory names (`/O=…`) can't be mailed to."""
    email = mailbox.say("EmailAddress").lower()
    if len(email) > 254 or _EMAIL.fullmatch(email) is None:
        return None
    name = one_line(mailbox.say("Name"), NAME_CHARS_MAX)
    return Person(email, "" if name.lower() == email else name)


# --- what we wrote ourselves ----------------------------------------------------------------------------------------


def seal_own(text: bytes, shown: str) -> str:
    """The value of our own property: what the server showed when we had written, and the text that was meant."""
    return f"{shown}:{base64.b64encode(zlib.compress(text, 9)).decode()}"


def open_own(item: Node) -> tuple[str, bytes] | None:
    """(what was shown, the text) of an item that we wrote; None for others and for anything that can't be read."""
    value = _property(item, "PropertyName", OWN_PROPERTY)
    shown, colon, packed = value.partition(":")
    if not colon or len(packed) > OWN_CHARS_MAX:
        return None
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.b64decode(packed, validate=True), OWN_CHARS_MAX)
    except (ValueError, zlib.error):
        return None
    return (shown, text) if unpacker.eof else None


def shown_in(item: Node) -> str:
    """A hash of what people may change of a meeting booked here: its times, its series, its subject."""
    said: list[str] = []
    for name in ("Subject", "Start", "End", "IsAllDayEvent", "IsCancelled"):
        said.append(item.say(name))
    for name in ("Recurrence", "ModifiedOccurrences", "DeletedOccurrences"):
        node = item.child(name)
        if node is not None:
            _spell(node, said)
    return sha256("\n".join(said).encode("utf-8", "surrogatepass")).hexdigest()[:20]


def _spell(node: Node, said: list[str]) -> None:
    if node.name == "ItemId":
        return
    said.append(f"{node.name}={node.text.strip()}")
    for one in node.inside:
        _spell(one, said)


def _as_written(item: Node, found: CalendarItem, room: Room) -> CalendarItem | None:
    """The item exactly as we wrote it, when nobody has changed it since: EWS can't hold all of it."""
    own = open_own(item)
    if own is None or own[0] not in ("", shown_in(item)):
        return None
    meant = read_item(found.href, own[1], own_email=room.own_email, room_emails=room.room_emails)
    if not isinstance(meant, CalendarItem) or meant.uid != found.uid:
        return None
    return replace(meant, etag=found.etag)


# --- progress marks -------------------------------------------------------------------------------------------------


def seal(host: str, mailbox: str, state: str) -> str:
    """A cookie: a checksum over server, mailbox and sync state, and the state. It has no length limit."""
    return f"ews:{_checksum(host, mailbox, state)}:{state}"


def unseal(host: str, mailbox: str, cookie: str) -> str | None:
    """The sync state, or None when the cookie is damaged, cut off, or another mailbox's."""
    kind, _, rest = cookie.partition(":")
    checksum, colon, state = rest.partition(":")
    if kind != "ews" or not colon or not state or checksum != _checksum(host, mailbox, state):
        return None
    return state


def _checksum(host: str, mailbox: str, state: str) -> str:
    return sha256(f"{host}\n{mailbox}\n{state}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def urgency(item: Node, now_s: float) -> float:
    """What to load first: series and what can't be told, then by start, then the past."""
    if item.say("CalendarItemType") == "RecurringMaster":
        return now_s
    try:
        start, end = instant_of(item.say("Start")), instant_of(item.say("End"))
    except Unreadable:
        return now_s
    return start.timestamp() if end.timestamp() > now_s else float("inf")
