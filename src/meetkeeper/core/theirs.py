"""What the calendars say about one UID, all rooms together: copies, and the meetings they ought to be.

Below `core.settling`, which compares this with our meetings. Rules of this file. The newest copy that stands decides
the content, by (sequence, time of change), then by the name of its room; a meeting is in every room whose copy shows
it. Floating times and whole days of one UID are read in one zone, that of the first of its rooms, so that two rooms
far apart do not make two meetings of one. Nothing of a private meeting goes on but its time, its people, its rooms and
the way in.
"""

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.asking import Way, way_of
from meetkeeper.core.configuration import Config
from meetkeeper.core.findings import Field
from meetkeeper.core.identity import fingerprint, meeting_id, words_of
from meetkeeper.core.invitation import PRIVATE_TITLE
from meetkeeper.core.recurrence import expand, following
from meetkeeper.core.state import ItemRow, Series, State
from meetkeeper.core.words import (
    DESCRIPTION_CHARS_MAX,
    INVITEES_MAX,
    START_MAX_S,
    START_MIN_S,
    SUBJECT_CHARS_MAX,
    CalendarItem,
    Entry,
    Foreign,
    Meeting,
    MeetingId,
    Occurrence,
    Person,
    RoomId,
    Uid,
)
from meetkeeper.core.zones import find_zone, to_wall, wall_of

Version = tuple[int, int]
"""(sequence, time of change in seconds): of two copies the greater is the newer."""


class Copy(Struct, frozen=True, gc=False):
    """One room's copy. `fresh`: it is new or has changed since the UID was last settled."""

    room: RoomId
    item: CalendarItem
    version: Version
    fresh: bool


# --- copies ----------------------------------------------------------------------------------------------------------


def copies_of(rows: Iterable[ItemRow], single: Meeting | None, zone: str, now_s: float) -> list[Copy]:
    """The rooms' copies, one per room, the newest first. For an item that was let go `single`, made from it, stands.

    `zone` is where floating times are read; what is over by `now_s` decides nothing beside what is not.
    """
    found: list[Copy] = []
    for room, of_room in groupby(rows, key=lambda row: row.room):
        items: list[CalendarItem] = []
        fresh = False
        for row in of_room:
            items.append(row.item or stand_in(row, single))
            fresh = fresh or (row.settle_at_s is not None and not row.gone)
        item = items[0] if len(items) == 1 else _merged(_not_over(items, zone, now_s))
        found.append(Copy(room, item, version_of(item), fresh))
    found.sort(key=lambda copy: (-copy.version[0], -copy.version[1], copy.room))
    return found


def _not_over(items: list[CalendarItem], zone: str, now_s: float) -> list[CalendarItem]:
    return [item for item in items if not stands(item) or is_ahead(item, zone, now_s)] or items


def stands(item: CalendarItem) -> bool:
    """Not cancelled, as far as the whole item goes."""
    return item.master is None or not item.master.cancelled


def is_ahead(item: CalendarItem, zone: str, now_s: float) -> bool:
    """The item stands for a meeting that is not over."""
    return following(item, zone, int(now_s)) is not None


def version_of(item: CalendarItem) -> Version:
    """The newest of its entries decides how new an item is."""
    entries = (*item.overrides, item.master) if item.master is not None else item.overrides
    return max(((entry.sequence, entry.modified_s) for entry in entries), default=(0, 0))


def stand_in(row: ItemRow, meeting: Meeting | None) -> CalendarItem:
    """For a row whose item was let go: its meeting as the item it was made from, as far as it matters.

    Made again it gives the same meeting. Without a meeting in this room the item was over when it was first seen:
    nothing stands for it, and an item that shows nothing says so from then on.
    """
    item = CalendarItem(href=row.href, uid=row.uid, fingerprint=row.fingerprint, etag=row.etag)
    if meeting is None or row.room not in meeting.rooms:
        return item
    name = meeting.time_zone if find_zone(meeting.time_zone) is not None else "UTC"
    zone = find_zone(name) or UTC
    start = to_wall(meeting.start_s, zone)
    length_s = to_wall(meeting.end_s, zone) - start if meeting.all_day else meeting.end_s - meeting.start_s
    entry = Entry(
        start=wall_of(start),
        duration_s=length_s,
        zone="" if meeting.all_day else name,
        all_day=meeting.all_day,
        subject=meeting.subject,
        description=meeting.description,
        organizer=meeting.organizer,
        attendees=meeting.invitees,
        private=meeting.private,
        sequence=meeting.sequence,
        modified_s=meeting.modified_s,
    )
    return replace(item, master=entry)


def _merged(items: list[CalendarItem]) -> CalendarItem:
    """Several items of one room with one UID: the newest master, and everybody's overrides."""
    ordered = sorted(items, key=lambda item: (version_of(item), item.href), reverse=True)
    first = next((item for item in ordered if item.master is not None), ordered[0])
    overrides = tuple(entry for item in ordered for entry in item.overrides)
    return replace(first, overrides=overrides, fingerprint=fingerprint(first.master, overrides))


# --- meetings --------------------------------------------------------------------------------------------------------


class Reading:
    """What copies of one UID ought to be. `copies` stand and come newest first; the first one decides."""

    def __init__(self, state: State, uid: Uid, copies: list[Copy]) -> None:
        self.uid = uid
        self.copies = copies
        self.problems: dict[str, None] = {}
        self._state = state
        self._config = state.settings()
        self._addresses = _addresses(self._config)
        self._ways: dict[int, tuple[Entry, Way]] = {}
        self.unmatched: dict[str, None] = {}
        self.zone = zone_of(state, min((copy.room for copy in copies), default=None))

    @property
    def repeats(self) -> bool:
        """True when the deciding copy is a series."""
        return bool(self.copies) and self.copies[0].item.repeats

    def meetings(self, from_s: int, until_s: int) -> dict[MeetingId, Meeting]:
        """The meetings in the window as they ought to be, revision 1, no VMR; a single one wherever it is."""
        if not self.repeats:
            from_s, until_s = START_MIN_S, START_MAX_S
        deciding: dict[int | None, tuple[Copy, Occurrence]] = {}
        rooms: dict[int | None, dict[RoomId, None]] = {}
        for copy in self.copies:
            expansion = expand(copy.item, self.zone, from_s, until_s)
            self.problems.update(dict.fromkeys(expansion.problems))
            for one in expansion.occurrences:
                key = one.original_start_s if self.repeats else None
                deciding.setdefault(key, (copy, one))
                rooms.setdefault(key, {})[copy.room] = None
        found: dict[MeetingId, Meeting] = {}
        for key, (copy, one) in deciding.items():
            meeting = self._meeting(key, copy, one, tuple(sorted(rooms[key])))
            found[meeting.id] = meeting
        return found

    def _meeting(
        self, original_s: int | None, copy: Copy, one: Occurrence, rooms: tuple[RoomId, ...]
    ) -> Meeting:
        entry, master = one.entry, copy.item.master
        organizer = entry.organizer or (master.organizer if master is not None else None)
        organizer = self._organizer(organizer, rooms)
        sequence, modified_s = copy.version if original_s is None else (0, 0)
        way = self._way(entry)
        return Meeting(
            id=meeting_id(self.uid, original_s),
            uid=self.uid,
            subject=_subject(entry),
            organizer=organizer,
            rooms=rooms,
            start_s=one.start_s,
            end_s=one.end_s,
            time_zone=self._zone_name(entry),
            sequence=sequence,
            modified_s=modified_s,
            invitees=self._invitees(entry, organizer),
            original_start_s=original_s,
            description=_description(entry),
            all_day=entry.all_day,
            private=entry.private,
            foreign=way.foreign,
            asked=way.asked,
        )

    def _way(self, entry: Entry) -> Way:
        """What the entry says about its way in. Many occurrences share one entry, which is read once."""
        known = self._ways.get(id(entry))
        if known is None:
            known = self._ways[id(entry)] = (entry, way_of(self._config, entry))
            self.unmatched.update(dict.fromkeys(known[1].unmatched))
        return known[1]

    def series(self) -> Series:
        """What all occurrences share, from the newest copy that knows the whole series; no VMR, revision 1."""
        copy = next((copy for copy in self.copies if copy.item.master is not None), self.copies[0])
        entry = copy.item.master or min(copy.item.overrides, key=_recurrence_id)
        rooms = tuple(sorted(other.room for other in self.copies))
        organizer = self._organizer(entry.organizer, rooms)
        way = self._way(entry)
        series = Series(
            uid=self.uid,
            subject=_subject(entry),
            organizer=organizer,
            invitees=self._invitees(entry, organizer),
            rooms=rooms,
            sequence=copy.version[0],
            modified_s=copy.version[1],
            time_zone=self._zone_name(entry),
            description=_description(entry),
            private=entry.private,
            item=copy.item,
            foreign=way.foreign,
            asked=way.asked,
        )
        return replace(series, digest=self._digest(series))

    def _digest(self, series: Series) -> str:
        """A hash of what invitees are told of a series: subject, people, rooms, times, foreign way in."""
        item = series.item
        told: tuple[object, ...] = (
            series.subject,
            series.organizer.email,
            _emails(series.invitees),
            series.rooms,
            self._times(item.master) if item.master is not None else None,
            sorted(self._times(entry) for entry in item.overrides),
        )
        if series.foreign is not None:
            told = (*told, series.foreign.url, series.foreign.dial)
        return (
            base64.b32encode(hashlib.sha256(msgspec.json.encode(told)).digest()[:15]).decode("ascii").lower()
        )

    def _times(self, entry: Entry) -> list[str]:
        dates = [_recurrence_id(entry), entry.start, *sorted(entry.rdates)]
        without = sorted(entry.exdates)
        flags = (entry.all_day, entry.cancelled, entry.this_and_future)
        words = (len(without), entry.duration_s, self._zone_name(entry), flags, entry.rrule, _subject(entry))
        return [*map(str, dates), *map(str, without), *map(str, words)]

    def _zone_name(self, entry: Entry) -> str:
        named = entry.zone and not entry.all_day and find_zone(entry.zone) is not None
        return entry.zone if named else self.zone

    def _organizer(self, organizer: Person | None, rooms: tuple[RoomId, ...]) -> Person:
        """A person to write to: not the room itself, which somebody booked on the spot."""
        if organizer is not None and organizer.email and organizer.email not in self._addresses:
            return organizer
        fallback = self._config.mail.fallback_organizer
        if fallback:
            return Person(fallback.lower())
        emails = (self._state.rooms[room].email for room in rooms if room in self._state.rooms)
        return Person(next((email.lower() for email in emails if email), ""))

    def _invitees(self, entry: Entry, organizer: Person) -> tuple[Person, ...]:
        """Everybody but rooms and the organizer, each once, by address."""
        people: dict[str, Person] = {}
        for person in entry.attendees:
            if person.email and person.email != organizer.email and person.email not in self._addresses:
                people.setdefault(person.email, person)
        if len(people) > INVITEES_MAX:
            self.problems[f"It has more than {INVITEES_MAX} invitees; the others are not told."] = None
        return tuple(people[email] for email in sorted(people)[:INVITEES_MAX])


def differences(before: Meeting, after: Meeting) -> tuple[Field, ...]:
    """What a person would notice. People are who they are by address: a name spelled differently is no news."""
    pairs: dict[Field, tuple[object, object]] = {
        Field.TIME: (
            (before.start_s, before.end_s, before.time_zone, before.all_day),
            (after.start_s, after.end_s, after.time_zone, after.all_day),
        ),
        Field.SUBJECT: (before.subject, after.subject),
        Field.ORGANIZER: (before.organizer.email, after.organizer.email),
        Field.INVITEES: (_emails(before.invitees), _emails(after.invitees)),
        Field.ROOMS: (before.rooms, after.rooms),
        Field.DESCRIPTION: (words_of(before.description), words_of(after.description)),
        Field.PRIVATE: (before.private, after.private),
        Field.JOIN: (door_of(before.foreign), door_of(after.foreign)),
    }
    if after.asked and not before.asked and before.vmr is None and after.foreign is None:
        pairs[Field.JOIN] = (False, True)
    return tuple(field for field, (old, new) in pairs.items() if old != new)


def door_of(foreign: Foreign | None) -> tuple[str, str] | None:
    """What people would notice of a foreign way in: which rule found it where is nobody's news."""
    return None if foreign is None else (foreign.url, foreign.dial)


def same_series(before: Series, after: Series) -> bool:
    """Nothing about the series would have to be kept anew: people by address, the item by its fingerprint."""
    return _compared(before) == _compared(after)


def _compared(series: Series) -> tuple[object, ...]:
    return (
        series.subject,
        series.organizer.email,
        _emails(series.invitees),
        series.rooms,
        series.time_zone,
        words_of(series.description),
        series.private,
        series.item.fingerprint,
        series.digest,
        series.foreign,
        series.asked or series.vmr is not None,
    )


def zone_of(state: State, room: RoomId | None) -> str:
    """The zone in which a room reads floating times: its own, else the cluster's; unknown names are passed over."""
    config = state.rooms.get(room) if room is not None else None
    wishes = (config.time_zone if config is not None else "", state.settings().cluster.time_zone)
    return next((name for name in wishes if name and find_zone(name) is not None), "UTC")


def _emails(people: tuple[Person, ...]) -> list[str]:
    return [person.email for person in people]


def _subject(entry: Entry) -> str:
    return PRIVATE_TITLE if entry.private else entry.subject[:SUBJECT_CHARS_MAX]


def _description(entry: Entry) -> str:
    return "" if entry.private else entry.description[:DESCRIPTION_CHARS_MAX]


def _recurrence_id(entry: Entry) -> datetime:
    return entry.recurrence_id or entry.start


_known_addresses: tuple[Config | None, frozenset[str]] = (None, frozenset())


def _addresses(config: Config) -> frozenset[str]:
    """The rooms' own addresses; remembered for the configuration asked for last, which is nearly always the same."""
    global _known_addresses  # noqa: PLW0603 - a memory of one answer; the answer depends on the argument alone
    known, addresses = _known_addresses
    if known is not config:
        addresses = frozenset(room.email.lower() for room in config.rooms if room.email)
        _known_addresses = (config, addresses)
    return addresses
