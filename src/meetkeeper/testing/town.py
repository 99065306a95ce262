"""Many rooms with calendars in memory around one real engine: what scale tests and benches have in common.

Everything inside is real but the neighbours: node, store, loop, poller, dispatcher. Every calendar is watched: when the
engine was done with which item of it. Calendars may also be given from outside (`sources`), say on a fake Exchange.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random

from msgspec.structs import replace

from meetkeeper.core.changes import ConfigDeployed, CookieKept, Founded, raw
from meetkeeper.core.configuration import (
    CaldavCalendar,
    ClusterConfig,
    Config,
    JanusBridge,
    MailConfig,
    RoomConfig,
    Secret,
    SyncConfig,
    TimeConfig,
)
from meetkeeper.core.effects import RetireVmr
from meetkeeper.core.identity import fingerprint
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import CalendarItem, Entry, Person, RoomId, Uid, Vmr
from meetkeeper.engine.loop import Engine
from meetkeeper.engine.neighbours import NamedBridge, Neighbours, RoomCalendar
from meetkeeper.engine.node import Node
from meetkeeper.host.clock import RealClock
from meetkeeper.itemtext.roomitem import room_item
from meetkeeper.mail.compose import compose
from meetkeeper.mail.templates import Templates
from meetkeeper.ports.calendar import CalendarSource, Hinting, NearestFirst, Page
from meetkeeper.ports.disk import Disk
from meetkeeper.store.database import Database
from meetkeeper.testing.fakes.bridge import FakeBridge
from meetkeeper.testing.fakes.calendar import FakeCalendar
from meetkeeper.testing.fakes.mailer import FakeMailer

DAY_S = 86_400
DAYS = 30
"""The meetings of a room are spread over so many days from now."""
ORGANIZER = Person("kari@demo.example", "Kari")


def room_name(number: int) -> RoomId:
    """The nth room."""
    return RoomId(f"room-{number:04}")


def meeting_item(uid: str, start_s: int, *, href: str = "", **fields: object) -> CalendarItem:
    """A meeting of half an hour as a calendar shows it."""
    known: dict[str, object] = {
        "start": datetime.fromtimestamp(start_s, UTC).replace(tzinfo=None),
        "duration_s": 1_800,
        "zone": "UTC",
        "subject": f"Meeting {uid}",
        "organizer": ORGANIZER,
    }
    entry = Entry(**(known | fields))  # type: ignore[arg-type] # names are checked by the record
    return CalendarItem(
        href=href or f"{uid}.ics", uid=Uid(uid), fingerprint=fingerprint(entry, ()), master=entry
    )


class Watched:
    """A source, and when the engine was done with each of its items, by UID (seconds of `time.perf_counter`)."""

    def __init__(self, source: CalendarSource, done_s: dict[str, float]) -> None:
        self._source = source
        self._done_s = done_s
        self.write, self.remove = source.write, source.remove
        self.probe, self.close = source.probe, source.close
        if isinstance(source, Hinting):
            self.listen = source.listen

    async def changes(self, cookie: str) -> AsyncIterator[Page]:
        """`CalendarSource.changes`."""
        async for page in self._watch(self._source.changes(cookie)):
            yield page

    async def _watch(self, pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
        async for page in pages:
            yield page
            now_s = time.perf_counter()
            for item in page.items:
                self._done_s.setdefault(item.uid, now_s)


class WatchedNearest(Watched):
    """The same for a source that can give the next hours by themselves."""

    async def soon(self, from_s: int, until_s: int) -> AsyncIterator[Page]:
        """`NearestFirst.soon`."""
        assert isinstance(self._source, NearestFirst)
        async for page in self._watch(self._source.soon(from_s, until_s)):
            yield page


class Town:
    """The rooms, their calendars and the engine in the middle. `done_s` is emptied by whoever measures anew."""

    def __init__(
        self,
        disk: Disk,
        rooms: int,
        meetings: int,
        *,
        poll_s: float = 3_600.0,
        settle_s: float = 0.0,
        sources: Callable[[int], CalendarSource] | None = None,
        seed: int = 1,
    ) -> None:
        self.done_s: dict[str, float] = {}
        self.starts: dict[str, int] = {}
        self.calendars = [FakeCalendar() for _ in range(rooms)]
        self.bridge, self.mailer = FakeBridge(), FakeMailer()
        self.begin_s = int(time.time())
        self._sources, self._poll_s = sources, poll_s
        self.config = _config(rooms, poll_s, settle_s)
        dice = Random(seed)
        for number, calendar in enumerate(self.calendars):
            for one in range(meetings):
                uid = f"{number}-{one}@town.example"
                self.starts[uid] = self.begin_s + dice.randrange(3_600, DAYS * DAY_S) // 60 * 60
                if sources is None:
                    calendar.show(meeting_item(uid, self.starts[uid]))
        self.database = Database.open(disk)
        if self.database.state.config is None:
            self.database.open_reign(1)
            founding = (Founded("town"), ConfigDeployed(1, "town", raw(self.config)))
            self.database.commit(Plan(time.time(), founding))
            self.database.flush_now()
        self.engine = Engine(
            Node(self.database), RealClock(), self._neighbours, server="town", release="0", tzdata="0"
        )

    @property
    def rooms(self) -> list[RoomId]:
        """All of them."""
        return [room_name(number) for number in range(len(self.calendars))]

    @asynccontextmanager
    async def living(self) -> AsyncIterator[Engine]:
        """The engine acts inside."""
        ready = asyncio.Event()
        task = asyncio.create_task(self.engine.run(ready.set))
        await asyncio.wait({asyncio.create_task(ready.wait()), task}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield self.engine
        finally:
            self.engine.stop()
            await task
            self.database.close()

    async def until_read(self, full_passes: int, limit_s: float) -> None:
        """Wait until every room was read whole so often, everything has settled and nothing is left to do."""

        def is_done() -> bool:
            statuses = self.engine.status().rooms
            state = self.engine.state
            read = all(one.full_passes >= full_passes for one in statuses)
            busy = any(not isinstance(row.effect, RetireVmr) for row in state.outbox.values())
            return read and not state.unsettled and not busy

        async with asyncio.timeout(limit_s):
            while not is_done():  # noqa: ASYNC110 - a level is looked at, whatever moves it
                await asyncio.sleep(0.05)

    def lose_cookies(self, envelope: str = "mk2|damaged|1|x") -> None:
        """Every room's cookie is damaged at once, and every room is asked to look."""
        lost = tuple(CookieKept(room, envelope) for room in self.rooms)
        self.database.commit(Plan(time.time(), lost))
        for room in self.rooms:
            self.engine.poke(room)

    def doors(self) -> dict[str, Vmr | None]:
        """Every meeting's virtual room, by UID."""
        state = self.engine.state
        return {str(one.uid): one.vmr for one in (state.decode(row) for row in state.meetings.values())}

    def near(self) -> set[str]:
        """UIDs of the meetings that begin within 24 hours."""
        return {uid for uid, start_s in self.starts.items() if start_s < self.begin_s + DAY_S}

    def _neighbours(self, config: Config) -> Neighbours:
        templates = Templates()
        return Neighbours(
            tuple(self._calendar(number, room) for number, room in enumerate(config.rooms)),
            (NamedBridge("b", "fake", self.bridge.client(), 256, 3_600.0),),
            self.mailer,
            lambda *parts: compose(*parts, templates=templates),
            room_item,
        )

    def _calendar(self, number: int, room: RoomConfig) -> RoomCalendar:
        source: CalendarSource = self.calendars[number].client()
        if self._sources is not None:
            source = self._sources(number)
        watch = WatchedNearest if isinstance(source, NearestFirst) else Watched
        return RoomCalendar(RoomId(room.id), f"town:{room.id}", watch(source, self.done_s), self._poll_s)


def _config(rooms: int, poll_s: float, settle_s: float) -> Config:
    calendar = CaldavCalendar(url="http://town.example/", poll_s=poll_s, settle_s=settle_s)
    secret = Secret(value="none")
    return Config(
        cluster=ClusterConfig(secret="town" * 10),
        rooms=tuple(
            RoomConfig(id=room_name(number), email=f"{room_name(number)}@town.example", calendar=calendar)
            for number in range(rooms)
        ),
        bridges=(JanusBridge(id="b", admin_url="http://b.example", admin_secret=secret, admin_key=secret),),
        mail=replace(MailConfig(), host="mail.example", tls="none", concurrency=100),
        time=TimeConfig(verify_before_s=0, warn_before_s=0),
        sync=SyncConfig(audit_every_s=0),
    )
