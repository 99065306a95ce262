"""People who plan in calendars: they make, move, rename, repeat, exempt, delete and make again, in one room or several.

Every copy of a meeting reaches its room's calendar in its own time, so rooms differ for a while. What calendars show
in the end is worked out here by plain counting (`expected`), without a line of the core's expansion.
"""

# ruff: noqa: DTZ001 - wall times are naive on purpose

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.identity import fingerprint
from meetkeeper.core.words import CalendarItem, Entry, Person, RoomId, Uid
from meetkeeper.testing.world.calendars import RoomSource
from meetkeeper.testing.world.people import CAST, Booking
from meetkeeper.testing.world.setting import ZONES
from meetkeeper.testing.world.weather import Weather

Schedule = Callable[[float, Callable[[], None]], None]


class Rule(Struct, frozen=True):
    """A series that can be counted on fingers: every `interval` days at these wall times, `count` meetings in all."""

    interval: int
    times: tuple[tuple[int, int], ...]
    count: int | None

    def text(self) -> str:
        """As an RRULE."""
        hours = sorted({hour for hour, _ in self.times})
        minutes = sorted({minute for _, minute in self.times})
        parts = ["FREQ=DAILY", f"INTERVAL={self.interval}"]
        if len(self.times) > 1:
            parts += [f"BYHOUR={','.join(map(str, hours))}", f"BYMINUTE={','.join(map(str, minutes))}"]
        if self.count is not None:
            parts.append(f"COUNT={self.count}")
        return ";".join(parts)

    def walls(self, start: datetime) -> Iterator[datetime]:
        """Every wall time of it, counted from the first day; ends at the count or after two months."""
        given = 0
        for day in range(0, 62, self.interval):
            date = start.date() + timedelta(days=day)
            for hour, minute in sorted(self.times):
                wall = datetime(date.year, date.month, date.day, hour, minute)
                if wall < start:
                    continue
                if self.count is not None and given >= self.count:
                    return
                given += 1
                yield wall


class Thing(Struct, kw_only=True):
    """Something planned in calendars. `names` are the rooms it is in, with its name there."""

    uid: Uid
    zone: str
    names: dict[RoomId, str]
    master: Entry
    rule: Rule | None = None
    overrides: dict[datetime, Entry]
    deleted: bool = False


class Expected(Struct, frozen=True):
    """A meeting as the calendars show it."""

    start_s: int
    end_s: int
    subject: str
    rooms: tuple[RoomId, ...]


class Editors:
    """Everybody who plans in calendars."""

    def __init__(
        self, dice: Random, weather: Weather, sources: dict[RoomId, RoomSource], at: Schedule
    ) -> None:
        self.dice = dice
        self.weather = weather
        self.sources = sources
        self.at = at
        self.now_s: Callable[[], float] = lambda: 0.0
        self.pace = 1.0
        self.on_new: Callable[[Uid], None] = lambda uid: None
        self.bookings: list[Booking] = []
        self.things: list[Thing] = []
        self.emptied: dict[RoomId, list[CalendarItem]] = {}
        self._count = 0

    # --- what they do ----------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Somebody does something."""
        if not self.sources:
            return
        alive = [thing for thing in self.things if not thing.deleted]
        lot = self.dice.random()
        if not alive or lot < 0.3:
            self._make()
        elif lot < 0.38:
            self._edit_booking()
        else:
            act = self.dice.choice(
                (
                    self._move,
                    self._move,
                    self._rename,
                    self._invite,
                    self._delete,
                    self._make_again,
                    self._change_rooms,
                    self._move_one,
                    self._drop_one,
                    self._change_kind,
                    self._spoil,
                )
            )
            act(self.dice.choice(alive))

    def _make(self) -> None:
        self._count += 1
        dice = self.dice
        rooms = list(self.sources)
        chosen = dice.sample(rooms, min(len(rooms), dice.choice((1, 1, 1, 2))))
        zone = dice.choice(ZONES)
        thing = Thing(
            uid=Uid(f"planned-{self._count}@calendar.example"),
            zone=zone,
            names={room: f"{self._count}-{room}.ics" for room in chosen},
            master=Entry(
                start=self._wall(zone),
                duration_s=self._length_s(),
                zone=zone,
                subject=f"Planned {self._count}",
                organizer=dice.choice(CAST),
                attendees=self._some_people(),
                private=dice.random() < 0.1,
                modified_s=int(self.now_s()),
            ),
            overrides={},
        )
        if dice.random() < 0.3:
            thing.rule = self._rule(thing.master.start)
        self.things.append(thing)
        self.on_new(thing.uid)
        self._publish(thing)

    def _move(self, thing: Thing) -> None:
        start = self._wall(thing.zone)
        if thing.rule is not None:
            thing.rule = self._rule(start)
            thing.overrides.clear()
        self._edit(thing, start=start, duration_s=self._length_s(), exdates=())

    def _rename(self, thing: Thing) -> None:
        self._edit(thing, subject=f"{thing.master.subject[:40]}.")

    def _invite(self, thing: Thing) -> None:
        self._edit(thing, attendees=self._some_people())

    def _delete(self, thing: Thing) -> None:
        thing.deleted = True
        for room, name in thing.names.items():
            self._later(room, lambda room=room, name=name: self._remove(room, name))  # type: ignore[misc]

    def _make_again(self, thing: Thing) -> None:
        """Deleted and made again under another name: what some servers call moving."""
        self._count += 1
        for room, name in list(thing.names.items()):
            thing.names[room] = f"{self._count}-{room}-again.ics"
            self._later(room, lambda room=room, name=name: self._remove(room, name))  # type: ignore[misc]
        self._publish(thing)

    def _change_rooms(self, thing: Thing) -> None:
        others = [room for room in self.sources if room not in thing.names]
        if others and self.dice.random() < 0.6:
            self._count += 1
            thing.names[self.dice.choice(others)] = f"{self._count}-joined.ics"
        elif len(thing.names) > 1:
            room = self.dice.choice(list(thing.names))
            name = thing.names.pop(room)
            self._later(room, lambda: self._remove(room, name))
        self._edit(thing)

    def _move_one(self, thing: Thing) -> None:
        wall = self._one_of(thing)
        if wall is None:
            self._move(thing)
            return
        moved = replace(
            thing.master,
            start=wall + timedelta(minutes=self.dice.choice((-10, 10, 30))),
            recurrence_id=wall,
            rrule="",
            exdates=(),
            subject=f"{thing.master.subject[:40]}, moved",
            sequence=thing.master.sequence + 1,
            modified_s=int(self.now_s()),
        )
        thing.overrides[wall] = moved
        self._edit(thing)

    def _drop_one(self, thing: Thing) -> None:
        wall = self._one_of(thing)
        if wall is None:
            self._delete(thing)
            return
        thing.overrides.pop(wall, None)
        self._edit(thing, exdates=(*thing.master.exdates, wall))

    def _change_kind(self, thing: Thing) -> None:
        """A single meeting becomes a series, or the other way."""
        thing.rule = self._rule(thing.master.start) if thing.rule is None else None
        thing.overrides.clear()
        self._edit(thing, exdates=())

    def _spoil(self, thing: Thing) -> None:
        """For a while nobody can read it."""
        if self.dice.random() < self.weather.problem:
            room = self.dice.choice(list(thing.names))
            self.sources[room].fake.spoil(thing.names[room])
            self.at(self.dice.expovariate(1.0 / (120.0 * self.pace)), lambda: self._publish(thing))

    def _edit_booking(self) -> None:
        """A person changes or deletes the copy of a meeting that was booked by API."""
        uids = {booking.uid: booking for booking in self.bookings}
        found = [
            (room, item)
            for room, source in self.sources.items()
            if room not in self.emptied
            for item in source.fake.items.values()
            if item.uid in uids
        ]
        if not found:
            return
        room, item = self.dice.choice(found)
        uids[item.uid].touched = True
        if item.master is None or self.dice.random() < 0.3:
            self.sources[room].fake.delete(item.href)
            return
        master = replace(
            item.master,
            start=item.master.start + timedelta(seconds=60 * self.dice.randrange(1, 10) * self.pace),
            sequence=item.master.sequence + self.dice.randrange(2),
            modified_s=int(self.now_s()),
        )
        self.sources[room].fake.show(
            replace(item, master=master, fingerprint=fingerprint(master, item.overrides))
        )

    # --- whole calendars -------------------------------------------------------------------------------------------

    def empty(self) -> None:
        """By some mistake a calendar shows nothing, or only a part, for a while."""
        rooms = [room for room in self.sources if room not in self.emptied]
        if not rooms:
            return
        room = self.dice.choice(rooms)
        fake = self.sources[room].fake
        share = self.dice.choice((1.0, 1.0, 0.6))
        taken = [item for item in fake.items.values() if self.dice.random() < share]
        self.emptied[room] = taken
        uids = {booking.uid: booking for booking in self.bookings}
        for item in taken:
            fake.delete(item.href)
            if item.uid in uids:
                uids[item.uid].touched = True
        if self.dice.random() < 0.3:
            fake.forget_history()
        self.at(self.dice.expovariate(1.0 / (60.0 * self.pace)), lambda: self.fill(room))

    def fill(self, room: RoomId) -> None:
        """What was missing is there again, unless it was changed meanwhile."""
        fake = self.sources[room].fake
        names = {thing.names.get(room): thing for thing in self.things if not thing.deleted}
        for item in self.emptied.pop(room, []):
            if item.href not in fake.items:
                thing = names.get(item.href)
                if thing is not None:
                    fake.show(item_of(thing, room))
                elif not item.uid.startswith("planned-"):
                    fake.show(item)

    def heal(self) -> None:
        """Every copy is up to date, everything is shown and can be read."""
        for room in list(self.emptied):
            self.fill(room)
        for room, source in self.sources.items():
            wanted = {
                thing.names[room]: thing for thing in self.things if room in thing.names and not thing.deleted
            }
            for name, item in source.fake.items.items():
                if name not in wanted and item.uid.startswith("planned-"):
                    source.fake.delete(name)
            for thing in wanted.values():
                self._show(thing, room)

    def expected(self, uid: Uid, from_s: float, until_s: float) -> dict[int | None, Expected]:
        """The meetings of a thing that are not over and begin before `until_s`, by original start."""
        thing = next(one for one in self.things if one.uid == uid)
        if thing.deleted or not thing.names:
            return {}
        rooms = tuple(sorted(thing.names))
        found: dict[int | None, Expected] = {}
        walls = [thing.master.start] if thing.rule is None else list(thing.rule.walls(thing.master.start))
        for wall in walls:
            if wall in thing.master.exdates:
                continue
            entry = thing.overrides.get(wall, thing.master)
            start = entry.start if wall in thing.overrides else wall
            start_s = instant(start, thing.zone)
            key = None if thing.rule is None else instant(wall, thing.zone)
            end_s = start_s + entry.duration_s
            if end_s > from_s and (key is None or min(key, start_s) < until_s):
                subject = "Private meeting" if entry.private else entry.subject
                found[key] = Expected(start_s, end_s, subject, rooms)
        return found

    # --- inside ----------------------------------------------------------------------------------------------------

    def _edit(self, thing: Thing, **fields: object) -> None:
        thing.master = replace(
            thing.master,
            sequence=thing.master.sequence + 1,
            modified_s=int(self.now_s()),
            **fields,
        )
        self._publish(thing)

    def _publish(self, thing: Thing) -> None:
        for room in thing.names:
            self._later(room, lambda room=room: self._show(thing, room))  # type: ignore[misc]

    def _later(self, room: RoomId, change: Callable[[], None]) -> None:
        lag_s = self.dice.choice((0.0, 0.0, 0.0, 2.0, 30.0)) * self.pace
        if lag_s:
            self.at(lag_s, change)
        else:
            change()

    def _show(self, thing: Thing, room: RoomId) -> None:
        if room not in self.emptied and room in thing.names and not thing.deleted:
            item = item_of(thing, room)
            if self.sources[room].fake.items.get(item.href) != item:
                self.sources[room].fake.show(item)

    def _remove(self, room: RoomId, name: str) -> None:
        if not any(thing.names.get(room) == name and not thing.deleted for thing in self.things):
            self.sources[room].fake.delete(name)

    def _wall(self, zone: str) -> datetime:
        start_s = self.now_s() + self.dice.uniform(-2, 25) * 60 * self.pace
        start_s -= start_s % 60
        return datetime.fromtimestamp(start_s, ZoneInfo(zone)).replace(tzinfo=None, fold=0)

    def _length_s(self) -> int:
        return int(self.dice.choice((60, 120, 300, 600, 1_200)) * self.pace)

    def _some_people(self) -> tuple[Person, ...]:
        return tuple(self.dice.sample(CAST, self.dice.randrange(4)))

    def _rule(self, start: datetime) -> Rule:
        dice = self.dice
        minutes = sorted({start.minute, (start.minute + 20) % 60, (start.minute + 40) % 60})
        hours = sorted({start.hour, (start.hour + 1) % 24})
        times: tuple[tuple[int, int], ...] = ((start.hour, start.minute),)
        if dice.random() < 0.6:
            times = tuple((hour, minute) for hour in hours for minute in minutes)
        return Rule(dice.choice((1, 1, 2)), times, dice.choice((None, 1, 2, 3, 5, 20)))

    def _one_of(self, thing: Thing) -> datetime | None:
        """An occurrence that is about to come."""
        if thing.rule is None:
            return None
        now_s = self.now_s()
        ahead = [
            wall
            for wall in thing.rule.walls(thing.master.start)
            if now_s - 300 < instant(wall, thing.zone) < now_s + 7 * 86_400
            and wall not in thing.master.exdates
            # An exception at midnight is read as one for the whole day.
            and wall.time() != time.min
        ]
        return self.dice.choice(ahead[:5]) if ahead else None


def item_of(thing: Thing, room: RoomId) -> CalendarItem:
    """A thing as one room's calendar shows it."""
    master = thing.master
    if thing.rule is not None:
        master = replace(master, rrule=thing.rule.text())
    overrides = tuple(thing.overrides[wall] for wall in sorted(thing.overrides))
    return CalendarItem(
        href=thing.names[room],
        uid=thing.uid,
        fingerprint=fingerprint(master, overrides),
        etag=f"e{master.sequence}",
        master=master,
        overrides=overrides,
    )


def instant(wall: datetime, zone: str) -> int:
    """When that wall shows this time."""
    return int(wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).timestamp())
