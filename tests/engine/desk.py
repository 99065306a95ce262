"""A whole engine for tests: the real core, store and loop, a disk in memory, neighbours that do as they are told."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from meetkeeper.core.changes import ConfigDeployed, Founded, raw
from meetkeeper.core.commands import Book
from meetkeeper.core.configuration import (
    CaldavCalendar,
    ClusterConfig,
    Config,
    JanusBridge,
    MailConfig,
    RoomConfig,
    Secret,
    TimeConfig,
)
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import MeetingId, Person, RoomId, Step
from meetkeeper.engine.loop import Engine
from meetkeeper.engine.neighbours import NamedBridge, Neighbours, RoomCalendar
from meetkeeper.engine.node import Node
from meetkeeper.host.clock import RealClock
from meetkeeper.itemtext.roomitem import room_item
from meetkeeper.mail.compose import compose
from meetkeeper.mail.templates import Templates
from meetkeeper.ports.calendar import CalendarSource
from meetkeeper.store.database import Database
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.fakes.bridge import FakeBridge
from meetkeeper.testing.fakes.calendar import FakeCalendar
from meetkeeper.testing.fakes.mailer import FakeMailer

KARI = Person("kari@demo.example", "Kari")
OLA = Person("ola@guests.example", "Ola")
ENOSPC = errno.ENOSPC
EIO = errno.EIO


class Desk:
    """The parts, and what tests ask of them."""

    def __init__(self, config: Config | None = None, source: CalendarSource | None = None) -> None:
        """`source` stands in for the calendar in memory."""
        self.source = source
        self.disk = CrashDisk()
        self.bridge = FakeBridge()
        self.mailer = FakeMailer()
        self.calendar = FakeCalendar(own_email="oslo@rooms.example")
        self.clock = RealClock()
        self.config = config or make_config()
        self.engine = self.start()

    def start(self) -> Engine:
        """A server on this disk; a second one after a crash."""
        self.database = Database.open(self.disk)
        if self.database.state.config is None:
            self.database.open_reign(1)
            founding = (Founded("lineage"), ConfigDeployed(1, "test", raw(self.config)))
            self.database.commit(Plan(self.clock.now_s(), founding))
            self.database.flush_now()
        self.engine = Engine(
            Node(self.database), self.clock, self._neighbours, server="a", release="0", tzdata="0"
        )
        return self.engine

    def _neighbours(self, config: Config) -> Neighbours:
        templates = Templates()
        calendars = tuple(
            RoomCalendar(
                RoomId(room.id),
                room.calendar.url,
                self.source or self.calendar.client(),
                room.calendar.poll_s,
            )
            for room in config.rooms
            if isinstance(room.calendar, CaldavCalendar)
        )
        return Neighbours(
            calendars,
            (NamedBridge("link", "fake", self.bridge.client(), 64, 0.2),),
            self.mailer if config.mail.host else None,
            lambda *parts: compose(*parts, templates=templates),
            room_item,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Engine]:
        """The engine acts inside; whatever made it fail is raised at the end."""
        ready = asyncio.Event()
        task = asyncio.create_task(self.engine.run(ready.set))
        await asyncio.wait({asyncio.create_task(ready.wait()), task}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield self.engine
        finally:
            self.engine.stop()
            await task

    def booking(
        self, room: str = "oslo", *, start_in_s: int = 3_600, seconds: int = 1_800, **more: object
    ) -> Book:
        """A booking of one room."""
        start_s = int(self.clock.now_s()) + start_in_s
        return Book(
            rooms=(RoomId(room),),
            subject="Board",
            organizer=KARI,
            invitees=(OLA,),
            start_s=start_s,
            end_s=start_s + seconds,
            time_zone="UTC",
            nonce=f"{room}-{start_s}",
            **more,  # type: ignore[arg-type]
        )

    def step(self, meeting_id: str) -> Step:
        """Where a meeting stands."""
        return self.engine.state.meetings[MeetingId(meeting_id)].step


def make_config(*, calendar: bool = False, unknown_fate: str = "resend", poll_s: float = 0.2) -> Config:
    """Two rooms, a bridge, a mail server; with `calendar`, one room has one."""
    caldav = CaldavCalendar(url="http://calendar.example/oslo/", poll_s=poll_s, settle_s=0.0)
    oslo = RoomConfig(id="oslo", email="oslo@rooms.example")
    if calendar:
        oslo = RoomConfig(id="oslo", email="oslo@rooms.example", calendar=caldav)
    return Config(
        cluster=ClusterConfig(secret="s" * 40),
        rooms=(oslo, RoomConfig(id="bergen")),
        bridges=(
            JanusBridge(
                id="link",
                admin_url="http://bridge.example",
                admin_secret=Secret(value="s"),
                admin_key=Secret(value="k"),
            ),
        ),
        mail=MailConfig(host="mail.example", tls="none", unknown_fate=unknown_fate),
        time=TimeConfig(verify_before_s=0, warn_before_s=0),
    )


async def until(what: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait on a level, not on an edge; fail loudly when it never comes."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - a level is looked at, whatever moves it
            await asyncio.sleep(0.005)


Work = Callable[[], Awaitable[None]]
