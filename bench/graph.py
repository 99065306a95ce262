"""A full pass over room mailboxes of the fake Graph, and what an idle poll costs.

`python bench/graph.py [--items 50] [--rooms 200]`; `taskset -c 0` in front of it holds both processes to one core.
"""

import argparse
import asyncio
import multiprocessing
import time
from datetime import datetime, timedelta
from multiprocessing.connection import Connection

from meetkeeper.calendars.graph.client import GraphClient
from meetkeeper.calendars.graph.mapping import Reader
from meetkeeper.calendars.graph.source import GraphSource
from meetkeeper.calendars.graph.token import App, SecretCredential, Tokens
from meetkeeper.core.configuration import GraphCalendar
from meetkeeper.core.words import Entry, Person
from meetkeeper.testing.fakes.graph import FakeGraph
from meetkeeper.testing.fakes.graph.tokens import CLIENT_ID, CLIENT_SECRET, TENANT
from meetkeeper.testing.fakes.mailbox import Site

NOW_S = 1_795_348_800.0
"""2026-11-22 12:00 UTC, on both sides."""
ROOMS_AT_ONCE = 32
IDLE_POLLS = 5


def now_s() -> float:
    """The clock of both sides."""
    return NOW_S


def fill(site: Site, rooms: int, items: int) -> None:
    """Mailboxes with meetings three a day from today on: one in ten repeats, each with a body and five invitees."""
    start = datetime(2026, 11, 22, 8)  # noqa: DTZ001 - a wall time
    people = tuple(Person(f"p{number}@example.org", f"Person {number}") for number in range(5))
    for room in range(rooms):
        mailbox = site.open(f"r{room}@rooms.example")
        for number in range(items):
            mailbox.put(
                f"uid-{room}-{number}@example.org",
                Entry(
                    start=start + timedelta(hours=number % 9, days=number // 3),
                    duration_s=3_600,
                    zone="Europe/Oslo",
                    subject=f"Meeting {number}",
                    description="What we shall talk about.\n" * 20,
                    organizer=people[0],
                    attendees=people,
                    rrule="FREQ=WEEKLY;COUNT=12" if number % 10 == 0 else "",
                ),
            )


def serve(port: Connection, rooms: int, items: int) -> None:
    """The fake in its own process; told to stop, it says how much CPU it has used since it was ready."""

    async def run() -> None:
        site = Site(now_s=now_s)
        fill(site, rooms, items)
        fake = FakeGraph(site, now_s)
        await fake.start()
        port.send((fake.endpoint, fake.authority_url))
        used = time.process_time()
        await asyncio.to_thread(port.recv)
        port.send(time.process_time() - used)

    asyncio.run(run())


def sources_of(endpoint: str, authority: str, rooms: int) -> list[GraphSource]:
    """A source for each room, on one client."""
    app = App(authority=authority, tenant=TENANT, client_id=CLIENT_ID, scope="http://fake/.default")
    client = GraphClient(endpoint, Tokens(app, SecretCredential(CLIENT_SECRET), now_s))
    readers = (Reader(mailbox=f"r{room}@rooms.example", zone="Europe/Oslo") for room in range(rooms))
    calendar = GraphCalendar(server="m365")
    return [GraphSource(calendar, client, reader, now_s=now_s) for reader in readers]


async def measure(sources: list[GraphSource]) -> tuple[int, float, float, float]:
    """(items, seconds, CPU seconds of this side, CPU seconds of one idle poll)."""
    gate, cookies, count = asyncio.Semaphore(ROOMS_AT_ONCE), dict[int, str](), 0

    async def follow(number: int, cookie: str) -> None:
        nonlocal count
        async with gate:
            async for page in sources[number].changes(cookie):
                count += len(page.items)
                cookies[number] = page.cookie or cookies.get(number, "")

    await sources[0].probe()
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(follow(number, "") for number in range(len(sources))))
    took, spent, items = time.perf_counter() - began, time.process_time() - cpu, count
    cpu = time.process_time()
    for _ in range(IDLE_POLLS):
        for number in range(len(sources)):
            await follow(number, cookies[number])
    idle = (time.process_time() - cpu) / (IDLE_POLLS * len(sources))
    for source in sources:
        await source.close()
    return items, took, spent, idle


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=50)
    parser.add_argument("--rooms", type=int, default=200)
    asked = parser.parse_args()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(there, asked.rooms, asked.items), daemon=True
    )
    process.start()
    endpoint, authority = here.recv()
    items, took, spent, idle = asyncio.run(measure(sources_of(endpoint, authority, asked.rooms)))
    here.send("stop")
    theirs = here.recv()
    process.join()
    print(f"{items} items of {asked.rooms} rooms in {took:.2f} s: {items / took:.0f} items/s")
    print(
        f"CPU of this side {spent:.2f} s: {items / spent:.0f} items/s; of the fake, idle polls included, {theirs:.2f} s"
    )
    print(f"an idle poll {idle * 1e3:.2f} ms: 2,000 rooms at 60 s take {idle * 2_000 / 60:.1%} of one core")


if __name__ == "__main__":
    main()
