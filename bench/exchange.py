"""A full pass over a room mailbox of the fake Exchange: items a second, both sides on the cores they are given.

`python bench/exchange.py [--items 2000] [--rooms 1]`; `taskset -c 0` in front of it holds both processes to one core.
"""

import argparse
import asyncio
import multiprocessing
import time
from datetime import datetime, timedelta
from multiprocessing.connection import Connection

from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.calendars.exchange.server import EwsServer, Secrets
from meetkeeper.core.configuration import ExchangeCalendar, ExchangeServer
from meetkeeper.core.words import Entry, Person
from meetkeeper.testing.fakes.exchange.server import FakeExchange


def fill(fake: FakeExchange, rooms: int, items: int) -> None:
    """Mailboxes with meetings: one in ten repeats, each with a body and five invitees."""
    start = datetime(2026, 11, 1, 9)  # noqa: DTZ001 - a wall time
    people = tuple(Person(f"p{number}@example.org", f"Person {number}") for number in range(5))
    for room in range(rooms):
        mailbox = fake.site.open(f"r{room}@rooms.example")
        for number in range(items):
            mailbox.put(
                f"uid-{number}@example.org",
                Entry(
                    start=start + timedelta(hours=number),
                    duration_s=3_600,
                    zone="Europe/Oslo",
                    subject=f"Meeting {number}",
                    description="What we shall talk about.\n" * 20,
                    organizer=people[0],
                    attendees=people,
                    rrule="FREQ=WEEKLY;BYDAY=MO,WE" if number % 10 == 0 else "",
                ),
            )


def serve(port: Connection, rooms: int, items: int) -> None:
    """The fake in its own process."""

    async def run() -> None:
        fake = FakeExchange()
        fill(fake, rooms, items)
        await fake.start()
        port.send(fake.url)
        await asyncio.Event().wait()

    asyncio.run(run())


async def measure(url: str, rooms: int) -> tuple[int, float, float, float]:
    """(items, seconds, CPU seconds of this side, seconds until the first page)."""
    server = EwsServer(ExchangeServer(id="x", url=url, auth="basic", username="svc"), Secrets("secret"))
    sources = [
        ExchangeSource(ExchangeCalendar(server="x"), f"r{room}@rooms.example", server=server)
        for room in range(rooms)
    ]
    await sources[0].probe()
    began, cpu, first, count = time.perf_counter(), time.process_time(), 0.0, 0

    async def follow(source: ExchangeSource) -> None:
        nonlocal first, count
        async for page in source.changes(""):
            first = first or time.perf_counter() - began
            count += len(page.items)

    await asyncio.gather(*(follow(source) for source in sources))
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    for source in sources:
        await source.close()
    return count, took, spent, first


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--rooms", type=int, default=1)
    asked = parser.parse_args()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(there, asked.rooms, asked.items), daemon=True
    )
    process.start()
    count, took, spent, first = asyncio.run(measure(here.recv(), asked.rooms))
    process.terminate()
    print(
        f"{count} items in {took:.2f} s: {count / took:.0f} items/s; first page after {first:.2f} s; "
        f"this side's CPU {spent:.2f} s ({spent / count * 1_000:.2f} ms an item)"
    )


if __name__ == "__main__":
    main()
