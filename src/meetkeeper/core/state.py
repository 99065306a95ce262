"""The whole memory database: rows, their indexes, and the few verbs with which `changes.apply` writes them.

Nobody else writes. Every row is frozen and replaced, never edited, so a shallow copy of the tables is a consistent
picture that another thread may read at leisure. A meeting's body stays the JSON bytes it came as and is decoded when
somebody asks for it: a million meetings are a million byte strings, not seven million objects.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal

import msgspec
from msgspec import Struct

from meetkeeper.core.agenda import Agenda, Occupancy
from meetkeeper.core.configuration import Config, LinkBridge, RoomConfig
from meetkeeper.core.effects import Effect
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.schedule import DueView
from meetkeeper.core.words import (
    OPEN_STEPS,
    Alias,
    CalendarItem,
    EffectKey,
    Foreign,
    Meeting,
    MeetingId,
    Person,
    RoomId,
    Step,
    Uid,
    Vmr,
)

_CANCELLED = Step.CANCELLED  # looked up once, not for every meeting
DONE_KEPT_MAX = 1_000
"""Finished effects kept for people to look at."""


class Status(StrEnum):
    """Where an effect stands in the outbox."""

    OPEN = "open"
    """To be done as soon as it is kept."""
    SENDING = "sending"
    """Kept before a mail is handed over: after a crash its fate is unknown."""
    WAITING = "waiting"
    """Tried, will be tried again at `again_at_s`."""
    UNKNOWN = "unknown"
    """A crash hid its fate; a person decides."""
    PARKED = "parked"
    """Can't be done; the reason says why, a person may release it."""
    DONE = "done"


class Kept(Struct, frozen=True, gc=False):
    """A meeting in memory: what decisions and indexes need, and the body as it came from disk."""

    id: MeetingId
    start_s: int
    end_s: int
    rooms: tuple[RoomId, ...]
    step: Step
    body: bytes
    alias: Alias | None
    numeric_id: str | None
    series: Uid | None


class Series(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What all occurrences of a series share. `item` is the calendar item that decides its content."""

    uid: Uid
    subject: str
    organizer: Person
    invitees: tuple[Person, ...] = ()
    rooms: tuple[RoomId, ...] = ()
    revision: int = 1
    sequence: int = 0
    modified_s: int = 0
    time_zone: str = "UTC"
    description: str = ""
    private: bool = False
    vmr: Vmr | None = None
    item: CalendarItem
    digest: str = ""
    """Hash of what invitees were told: the same digest is never told twice."""
    origin: Literal["calendar", "api"] = "calendar"
    over: bool = False
    """Cancelled or ended: brings no further occurrence."""
    own_vmrs: bool = False
    """Booked here with a VMR for each occurrence, which is announced by itself."""
    foreign: Foreign | None = None
    former_vmr: Vmr | None = None
    asked: bool = False
    """These three as in `words.Meeting`."""


class SeriesRow(Struct, frozen=True, gc=False):
    """A series in memory; `occurrences` of it are found through `State.occurrences`."""

    uid: Uid
    expanded_until_s: int
    body: bytes
    alias: Alias | None
    numeric_id: str | None


class Tombstone(Struct, frozen=True, gc=False):
    """A retired alias: nobody but `uid` gets it again before `until_s`."""

    until_s: int
    uid: Uid


class ItemRow(Struct, frozen=True, gc=False):
    """What was last seen of one item in one room's calendar (`changes.ItemKept` explains the fields)."""

    room: RoomId
    href: str
    uid: Uid
    etag: str
    fingerprint: str
    item: CalendarItem | None
    settle_at_s: float | None
    gone: bool
    held: bool


class OutboxRow(Struct, frozen=True, gc=False):
    """An effect and where it stands."""

    key: EffectKey
    effect: Effect
    status: Status
    tries: int
    again_at_s: float
    reason: str


class RoomNews(Struct, frozen=True, gc=False, omit_defaults=True):
    """What is known of a room's calendar beside its items: the brake, and what audits found.

    `held` vanished items the brake holds, since `since_s`. `audited_s` the end of the last audit; `unreported` changes
    it found that the calendar had kept to itself, `mended` all that audits ever found. `judged` is the digest of the
    rules by which all its items have been judged (`core.judging`).
    """

    held: int = 0
    since_s: float = 0.0
    audited_s: float = 0.0
    unreported: int = 0
    mended: int = 0
    judged: str = ""


class TokenRow(Struct, frozen=True, gc=False):
    """An API token, by the SHA-256 of its text. `scope` is `read` or `write`."""

    digest: str
    name: str
    scope: str
    at_s: float


class IdempotencyRow(Struct, frozen=True, gc=False):
    """A request that has been answered: `request` is its hash, `answer` the meeting it made."""

    key: str
    request: str
    answer: str
    at_s: float


_decode_meeting = msgspec.json.Decoder(Meeting).decode
_decode_series = msgspec.json.Decoder(Series).decode
_decode_config = msgspec.json.Decoder(Config).decode


class State:
    """Everything kept. Read freely; write through `changes.apply` alone."""

    def __init__(self) -> None:
        self.lineage = ""
        self.epoch = 0
        self.config: Config | None = None
        self.config_body = b""
        self.config_revision = 0
        self.rooms: dict[RoomId, RoomConfig] = {}
        self.link_bridges: frozenset[str] = frozenset()
        self.meetings: dict[MeetingId, Kept] = {}
        self.live_at_s: dict[MeetingId, float] = {}
        self.series: dict[Uid, SeriesRow] = {}
        self.occurrences: dict[Uid, dict[MeetingId, None]] = {}
        self.items: dict[RoomId, dict[str, ItemRow]] = {}
        self.items_by_uid: dict[Uid, dict[tuple[RoomId, str], None]] = {}
        self.unsettled: dict[tuple[RoomId, str], float] = {}
        self.cookies: dict[RoomId, str] = {}
        self.outbox: dict[EffectKey, OutboxRow] = {}
        self.done: OrderedDict[EffectKey, OutboxRow] = OrderedDict()
        self.tombstones: dict[Alias, Tombstone] = {}
        self.rooms_news: dict[RoomId, RoomNews] = {}
        self.tokens: dict[str, TokenRow] = {}
        self.idempotency: dict[str, IdempotencyRow] = {}
        # Indexes over the rows above; rebuilt by applying them, never kept on disk.
        self.agendas: dict[RoomId, Agenda] = {}
        self.occupancy = Occupancy()
        self.by_alias: dict[Alias, MeetingId] = {}
        self.series_by_alias: dict[Alias, Uid] = {}
        self.numeric_ids: dict[str, MeetingId | Uid] = {}
        self.due = DueView()
        self.rolled_until_s = 0
        self._rooms_interned: dict[tuple[RoomId, ...], tuple[RoomId, ...]] = {}

    # --- reading ---------------------------------------------------------------------------------------------------

    def settings(self) -> Config:
        """The configuration in force. A database without one has not been founded, which `app` prevents."""
        if self.config is None:
            raise AssertionError("no configuration has been deployed into this database")
        return self.config

    def meeting(self, meeting_id: MeetingId) -> Meeting | None:
        """The meeting, decoded; None if nobody knows it."""
        kept = self.meetings.get(meeting_id)
        return None if kept is None else _decode_meeting(kept.body)

    def decode(self, kept: Kept) -> Meeting:
        """The body of a row one already holds."""
        return _decode_meeting(kept.body)

    def one_series(self, uid: Uid) -> Series | None:
        """The series, decoded; None if nobody knows it."""
        row = self.series.get(uid)
        return None if row is None else _decode_series(row.body)

    def agenda(self, room: RoomId, from_s: int, until_s: int) -> list[Kept]:
        """The room's meetings, cancelled ones left out, that share an instant with the span; by start."""
        agenda = self.agendas.get(room)
        return [] if agenda is None else agenda.between(from_s, until_s)  # type: ignore[return-value]

    def occupying(self, room: RoomId, from_s: int, until_s: int) -> list[Kept]:
        """Meetings that hold the room in the span."""
        agenda = self.agendas.get(room)
        return [] if agenda is None else agenda.occupying(from_s, until_s)  # type: ignore[return-value]

    def free_rooms(self, from_s: int, until_s: int) -> list[RoomId]:
        """Rooms nobody holds in the span."""
        return self.occupancy.free_rooms(from_s, until_s, self.agendas)

    def meetings_by_alias(self, alias: Alias) -> list[Kept]:
        """The meetings that meet in this VMR, by start: one, or the known occurrences of a series."""
        meeting_id = self.by_alias.get(alias)
        if meeting_id is not None:
            return [self.meetings[meeting_id]]
        uid = self.series_by_alias.get(alias)
        if uid is None:
            return []
        rows = [self.meetings[one] for one in self.occurrences.get(uid, ())]
        return sorted((row for row in rows if row.alias == alias), key=lambda row: (row.start_s, row.id))

    def meetings_of(self, uid: Uid) -> list[Kept]:
        """Every known meeting under this UID: the single one and the occurrences of the series."""
        ids = [meeting_id(uid, None), *self.occurrences.get(uid, ())]
        return [self.meetings[one] for one in ids if one in self.meetings]

    def items_of(self, uid: Uid) -> list[ItemRow]:
        """Every room's item with this UID, by room and name."""
        return [self.items[room][href] for room, href in sorted(self.items_by_uid.get(uid, ()))]

    # --- writing: the verbs of `changes.apply` ----------------------------------------------------------------------

    def intern_rooms(self, rooms: tuple[RoomId, ...]) -> tuple[RoomId, ...]:
        """The one tuple object that stands for this set of rooms: there are few sets and many meetings."""
        return self._rooms_interned.setdefault(rooms, rooms)

    def put_meeting(self, kept: Kept) -> None:
        """Insert or replace."""
        old = self.meetings.get(kept.id)
        self.meetings[kept.id] = kept
        if old is not None and _same_place(old, kept):
            for room in kept.rooms:
                self.agendas[room].swap(old, kept)
        else:
            if old is not None:
                self._leave_rooms(old)
            self._enter_rooms(kept)
        if old is None or old.alias != kept.alias or old.numeric_id != kept.numeric_id:
            self._index_vmr(old, kept)
        if kept.series is not None:
            self.occurrences.setdefault(kept.series, {})[kept.id] = None
        self.due.watch(kept.id, kept.start_s, kept.end_s, kept.step)

    def step_meeting(self, meeting_id: MeetingId, step: Step, at_s: float) -> None:
        """The meeting's next step; unknown meetings are passed over (a late report about a forgotten one)."""
        old = self.meetings.get(meeting_id)
        if old is None:
            return
        if step is Step.LIVE and meeting_id not in self.live_at_s:
            self.live_at_s[meeting_id] = at_s
        self.put_meeting(
            Kept(
                old.id,
                old.start_s,
                old.end_s,
                old.rooms,
                step,
                old.body,
                old.alias,
                old.numeric_id,
                old.series,
            )
        )

    def drop_meeting(self, meeting_id: MeetingId) -> None:
        """Forget the meeting and every index entry of it."""
        old = self.meetings.pop(meeting_id, None)
        if old is None:
            return
        self._leave_rooms(old)
        self.live_at_s.pop(meeting_id, None)
        if old.alias is not None and self.by_alias.get(old.alias) == meeting_id:
            del self.by_alias[old.alias]
        self._drop_number(old.numeric_id, meeting_id)
        if old.series is not None:
            of_series = self.occurrences.get(old.series, {})
            of_series.pop(meeting_id, None)
            if not of_series:
                self.occurrences.pop(old.series, None)

    def put_series(self, row: SeriesRow) -> None:
        """Insert or replace a series."""
        old = self.series.get(row.uid)
        if old is not None and (old.alias, old.numeric_id) != (row.alias, row.numeric_id):
            self._leave_vmr(old)
        self.series[row.uid] = row
        if row.alias is not None:
            self.series_by_alias[row.alias] = row.uid
            self.by_alias.pop(row.alias, None)
        if row.numeric_id is not None:
            self.numeric_ids[row.numeric_id] = row.uid

    def drop_series(self, uid: Uid) -> None:
        """Forget a series; its meetings are forgotten by changes of their own."""
        row = self.series.pop(uid, None)
        if row is not None:
            self._leave_vmr(row)

    def put_item(self, row: ItemRow) -> None:
        """Insert or replace what a calendar shows."""
        place = (row.room, row.href)
        of_room = self.items.setdefault(row.room, {})
        old = of_room.get(row.href)
        if old is not None and old.uid != row.uid:
            self._unlink_item(old)
        of_room[row.href] = row
        self.items_by_uid.setdefault(row.uid, {})[place] = None
        if row.settle_at_s is None:
            self.unsettled.pop(place, None)
        else:
            self.unsettled[place] = row.settle_at_s

    def drop_item(self, room: RoomId, href: str) -> None:
        """Forget what a calendar showed."""
        old = self.items.get(room, {}).pop(href, None)
        if old is not None:
            self._unlink_item(old)
            self.unsettled.pop((room, href), None)

    def put_effect(self, row: OutboxRow) -> None:
        """Insert or replace an outbox row."""
        self.outbox[row.key] = row

    def move_effect(self, key: EffectKey, status: Status, tries: int, again_at_s: float, reason: str) -> None:
        """An effect's next state; `done` takes it out of the outbox and into the short memory of finished ones."""
        old = self.outbox.get(key)
        if old is None:
            return
        row = OutboxRow(key, old.effect, status, tries, again_at_s, reason)
        if status is Status.DONE:
            del self.outbox[key]
            self.done[key] = row
            if len(self.done) > DONE_KEPT_MAX:
                self.done.popitem(last=False)
        else:
            self.put_effect(row)

    def deploy(self, revision: int, body: bytes) -> None:
        """The configuration from here on."""
        config = _decode_config(body)
        self.config, self.config_body, self.config_revision = config, body, revision
        self.rooms = {RoomId(room.id): room for room in config.rooms}
        self.link_bridges = frozenset(one.id for one in config.bridges if isinstance(one, LinkBridge))
        for room in self.rooms:
            self.agendas.setdefault(room, Agenda())
            self.occupancy.bit(room)
        self.due.retime(config.time, ((k.id, k.start_s, k.end_s, k.step) for k in self.meetings.values()))

    # --- indexes -----------------------------------------------------------------------------------------------------

    def _enter_rooms(self, kept: Kept) -> None:
        if kept.step is _CANCELLED:
            return
        for room in kept.rooms:
            agenda = self.agendas.get(room)
            if agenda is None:
                agenda = self.agendas[room] = Agenda()
            agenda.put(kept)
            if kept.step in OPEN_STEPS:
                self.occupancy.put(room, kept.start_s, kept.end_s)

    def _leave_rooms(self, old: Kept) -> None:
        if old.step is _CANCELLED:
            return
        for room in old.rooms:
            agenda = self.agendas[room]
            agenda.drop(old)
            if old.step in OPEN_STEPS:
                self.occupancy.drop(room, old.start_s, old.end_s, agenda)

    def _index_vmr(self, old: Kept | None, kept: Kept) -> None:
        if old is not None:
            if old.alias is not None and self.by_alias.get(old.alias) == old.id:
                del self.by_alias[old.alias]
            self._drop_number(old.numeric_id, old.id)
        self._own_vmr(kept)

    def _own_vmr(self, kept: Kept) -> None:
        """A meeting with a number has its VMR for itself, unless a series meets there: then the series has it."""
        if kept.numeric_id is not None and kept.alias is not None and kept.alias not in self.series_by_alias:
            self.by_alias[kept.alias] = kept.id
            self.numeric_ids[kept.numeric_id] = kept.id

    def _leave_vmr(self, series: SeriesRow) -> None:
        """The series meets there no more: a single meeting under its UID may have the VMR for itself again."""
        if series.alias is not None and self.series_by_alias.get(series.alias) == series.uid:
            del self.series_by_alias[series.alias]
        self._drop_number(series.numeric_id, series.uid)
        single = self.meetings.get(meeting_id(series.uid, None))
        if single is not None and single.alias == series.alias:
            self._own_vmr(single)

    def _drop_number(self, number: str | None, owner: MeetingId | Uid) -> None:
        if number is not None and self.numeric_ids.get(number) == owner:
            del self.numeric_ids[number]

    def _unlink_item(self, row: ItemRow) -> None:
        places = self.items_by_uid.get(row.uid)
        if places is not None:
            places.pop((row.room, row.href), None)
            if not places:
                del self.items_by_uid[row.uid]


def _same_place(old: Kept, new: Kept) -> bool:
    """Both stand in the same agendas at the same spot and hold, or do not hold, their rooms alike."""
    return (
        old.start_s == new.start_s
        and old.end_s == new.end_s
        and old.rooms == new.rooms
        and (old.step is new.step or (old.step in OPEN_STEPS and new.step in OPEN_STEPS))
        and new.step is not _CANCELLED
    )


def rows_of(rows: Iterable[Kept]) -> Iterator[Meeting]:
    """Decode several rows."""
    return (_decode_meeting(row.body) for row in rows)
