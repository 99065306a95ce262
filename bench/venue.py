"""Where the calendars of `bench.town` are: in memory, or on a fake Exchange that is a process of its own."""

import argparse
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from bench.apart import PASSWORD, USER, Apart
from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.terms import Secrets
from meetkeeper.core.configuration import ExchangeCalendar, ExchangeServer
from meetkeeper.core.words import CalendarItem
from meetkeeper.host.disk import RealDisk
from meetkeeper.testing.fakes.calendar import FakeCalendar
from meetkeeper.testing.town import Town, meeting_item, room_name


class People(Protocol):
    """Whoever saves items in rooms' calendars."""

    def put(self, items: Sequence[tuple[int, CalendarItem]]) -> None:
        """Save (the room's number, item) each."""
        ...

    def cpu_s(self) -> float:
        """CPU seconds that the calendars have used beside us."""
        ...


class InMemory:
    """`People` beside calendars in memory, whose work is part of our own."""

    def __init__(self, calendars: Sequence[FakeCalendar]) -> None:
        self._calendars = calendars

    def put(self, items: Sequence[tuple[int, CalendarItem]]) -> None:
        """`People.put`."""
        for room, item in items:
            self._calendars[room].show(item)

    def cpu_s(self) -> float:
        """`People.cpu_s`."""
        return 0.0


class OnExchange:
    """`People` with mailboxes on the fake Exchange."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart
        self.cpu_s = apart.cpu_s

    def put(self, items: Sequence[tuple[int, CalendarItem]]) -> None:
        """`People.put`."""
        entries = [(mailbox_of(room), item.uid, item.master) for room, item in items]
        self._apart.put([(mailbox, uid, entry) for mailbox, uid, entry in entries if entry is not None])


def mailbox_of(room: int) -> str:
    """The mailbox of a room, by number."""
    return f"{room_name(room)}@town.example"


@asynccontextmanager
async def open_town(
    asked: argparse.Namespace, folder: Path, poll_s: float, settle_s: float
) -> AsyncIterator[tuple[Town, People]]:
    """The town that was asked for (`rooms`, `meetings`, `kind`, `told`) on this folder's disk, its calendars filled."""
    if asked.kind == "memory":
        town = Town(RealDisk(folder), asked.rooms, asked.meetings, poll_s=poll_s, settle_s=settle_s)
        yield town, InMemory(town.calendars)
        return
    apart = Apart("exchange")
    (url,) = apart.address
    told = ExchangeServer(id="mail", url=url, auth="basic", username=USER, notify=asked.told)
    server = EwsServer(told, Secrets(PASSWORD))

    def source(number: int) -> ExchangeSource:
        mailbox = mailbox_of(number)
        return ExchangeSource(ExchangeCalendar(server="mail", mailbox=mailbox), mailbox, server=server)

    town = Town(
        RealDisk(folder), asked.rooms, asked.meetings, poll_s=poll_s, settle_s=settle_s, sources=source
    )
    people = OnExchange(apart)
    people.put(
        [(int(uid.partition("-")[0]), meeting_item(uid, start_s)) for uid, start_s in town.starts.items()]
    )
    try:
        yield town, people
    finally:
        apart.stop()
