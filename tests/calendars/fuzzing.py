"""Cookies spoilt in every way under a running engine: never a crash, a changed door, a mail too much or a change lost.

Before each spoilt cookie somebody changes one meeting; the pass that follows must know it. Everybody else's meetings
stay as they are, and nobody in them is written to. Two layers are spoilt: our envelope, and, sealed anew as if it were
right, the mark that the source itself gave.
"""

import random
from collections.abc import Iterator
from typing import Protocol

from msgspec.structs import replace

from meetkeeper.core import cookie as cookies
from meetkeeper.core.changes import CookieKept
from meetkeeper.core.configuration import CaldavCalendar, Config, SyncConfig
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import Meeting, RoomId, Step
from meetkeeper.engine.loop import Engine
from meetkeeper.ports.calendar import CalendarSource
from tests.calendars.auditing import PATIENCE_S, entry, meetings
from tests.engine.desk import Desk, make_config, until

ROOM = RoomId("oslo")
STILL = 4
"""Meetings that nobody touches."""
GENERATIONS = 6


class Venue(Protocol):
    """A calendar and somebody else's hands in it."""

    source: CalendarSource

    async def put(self, name: str, text: bytes) -> None:
        """Somebody saves."""


def spoilt(cookie: str, dice: random.Random, count: int | None) -> Iterator[str]:
    """With one character changed, left out or doubled, cut, and wholly foreign; `count` None: every character."""
    yield from ("", "x", "\x00", "ø\u2028" * 40, "|||", cookie + cookie, cookie.swapcase(), cookie[::-1])
    places = list(range(len(cookie)))
    if count is not None and count < len(places):
        places = sorted(dice.sample(places, count))
    for at in places:
        before, letter, after = cookie[:at], cookie[at], cookie[at + 1 :]
        ways = [before + chr(ord(letter) ^ 1) + after, before + after, before, before + letter * 2 + after]
        yield from ways if count is None else [dice.choice(ways)]


class Fuzz:
    """One engine at one calendar, asked to read again and again with cookies that we put in its hands."""

    def __init__(self, venue: Venue, start_s: int, seed: int = 4) -> None:
        self.venue = venue
        self.start_s = start_s
        self.dice = random.Random(seed)
        self.desk = Desk(_config(), venue.source)
        self.turns = 0
        self._doors: dict[str, Meeting] = {}

    async def run(self, count: int | None) -> None:
        """So many characters of each layer (None: every one), then every generation."""
        async with self.desk.running() as engine:
            for number in range(STILL):
                await self.venue.put(f"still{number}.ics", entry(f"still{number}", self.start_s))
            await self._tick()
            await self._read(engine)
            await until(lambda: len(meetings(self.desk)) == STILL + 1 and self._at_rest(engine), PATIENCE_S)
            self._doors = meetings(self.desk)
            sent = len(self.desk.mailer.sent)
            for envelope in spoilt(self._kept(engine), self.dice, count):
                await self._with(engine, envelope)
            for mark in spoilt(self._mark(engine), self.dice, count):
                await self._with(engine, self._sealed(engine, mark))
            await self._generations(engine)
            # Only the one that was changed each time is told of, once each time, to its organizer alone.
            assert len(self.desk.mailer.sent) - sent == self.turns - 1

    async def _generations(self, engine: Engine) -> None:
        """Cookies of earlier days, each used after changes that it does not know; from other rooms and reigns too."""
        kept = []
        for _ in range(GENERATIONS):
            kept.append(self._kept(engine))
            await self._with(engine, self._kept(engine))
        for envelope in [*kept, *reversed(kept)]:
            await self._with(engine, envelope)
        mark, name = self._mark(engine), engine.neighbours.calendars[0].name
        for foreign in (
            cookies.seal(RoomId("bergen"), name, mark, 1),
            cookies.seal(ROOM, "elsewhere", mark, 1),
            cookies.seal(ROOM, name, mark, engine.state.epoch + 1),
            cookies.seal(ROOM, name, mark, 0),
        ):
            await self._with(engine, foreign)

    async def _with(self, engine: Engine, envelope: str) -> None:
        """Change one meeting, read with this cookie, and look at everything."""
        await self._tick()
        self.desk.database.commit(Plan(self.desk.clock.now_s(), (CookieKept(ROOM, envelope),)))
        await self._read(engine)
        await until(lambda: self._at_rest(engine), PATIENCE_S)
        now = meetings(self.desk)
        assert now["ticks"].start_s == self.start_s + self.turns * 60, f"a change was lost with {envelope!r}"
        for uid, before in self._doors.items():
            assert now[uid].vmr == before.vmr, f"{uid} has another door with {envelope!r}"
            assert uid == "ticks" or now[uid] == before, f"{uid} changed with {envelope!r}"
            assert self.desk.step(now[uid].id) is Step.PROVISIONED
        assert len(now) == len(self._doors)

    async def _tick(self) -> None:
        self.turns += 1
        await self.venue.put("ticks.ics", entry("ticks", self.start_s + self.turns * 60, self.turns))

    async def _read(self, engine: Engine) -> None:
        async with engine._poller.turn_of(ROOM):
            await engine._poller._pass(engine.neighbours.calendars[0])

    def _at_rest(self, engine: Engine) -> bool:
        return not engine.state.unsettled and not engine.state.outbox

    def _kept(self, engine: Engine) -> str:
        return engine.state.cookies[ROOM]

    def _mark(self, engine: Engine) -> str:
        state = engine.state
        mark = cookies.unseal(ROOM, engine.neighbours.calendars[0].name, self._kept(engine), state.epoch)
        assert mark is not None
        return mark.text

    def _sealed(self, engine: Engine, mark: str) -> str:
        return cookies.seal(ROOM, engine.neighbours.calendars[0].name, mark, engine.state.epoch)


def _config() -> Config:
    """One room whose calendar is read when we say so."""
    config = make_config(calendar=True)
    first, *others = config.rooms
    calendar = CaldavCalendar(url="http://calendar.example/oslo/", poll_s=86_400.0, settle_s=0.0)
    rooms = (replace(first, calendar=calendar), *others)
    return replace(config, rooms=rooms, sync=SyncConfig(audit_every_s=0))
