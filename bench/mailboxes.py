"""A full pass over room mailboxes of a fake Exchange or Graph, and what an idle poll costs: the adapter alone.

`python -m bench.mailboxes exchange|graph [--items 50] [--rooms 200]`; `taskset -c 0` in front of it holds both
processes to one core. `bench.town` measures the same with everything behind it.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from bench.apart import PASSWORD, USER, Apart, meeting
from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.terms import Secrets
from meetkeeper.calendars.graph.client import GraphClient
from meetkeeper.calendars.graph.mapping import Reader
from meetkeeper.calendars.graph.source import GraphSource
from meetkeeper.calendars.graph.token import App, SecretCredential, Tokens
from meetkeeper.core.configuration import ExchangeCalendar, ExchangeServer, GraphCalendar
from meetkeeper.ports.calendar import CalendarSource
from meetkeeper.testing.fakes.graph.tokens import CLIENT_ID, CLIENT_SECRET, TENANT

NOW_S = 1_795_348_800.0
"""2026-11-22 12:00 UTC, on both sides."""
BEGIN = datetime(2026, 11, 22, 8)  # noqa: DTZ001 - a wall time
ROOMS_AT_ONCE = 32
IDLE_POLLS = 5


class Figures(Struct, frozen=True):
    """Items read, seconds, CPU seconds of both sides for the pass, and of ours for one idle poll."""

    items: int
    took_s: float
    ours_s: float
    theirs_s: float
    idle_s: float


def now_s() -> float:
    """The clock of both sides."""
    return NOW_S


def exchange_sources(address: tuple[str, ...], mailboxes: Sequence[str]) -> list[CalendarSource]:
    """A source for each mailbox, on one server."""
    config = ExchangeServer(id="x", url=address[0], auth="basic", username=USER)
    server = EwsServer(config, Secrets(PASSWORD))
    return [
        ExchangeSource(ExchangeCalendar(server="x"), mailbox, server=server, now_s=now_s)
        for mailbox in mailboxes
    ]


def graph_sources(address: tuple[str, ...], mailboxes: Sequence[str]) -> list[CalendarSource]:
    """A source for each mailbox, on one client."""
    endpoint, authority = address
    app = App(authority=authority, tenant=TENANT, client_id=CLIENT_ID, scope="http://fake/.default")
    client = GraphClient(endpoint, Tokens(app, SecretCredential(CLIENT_SECRET), now_s))
    readers = (Reader(mailbox=mailbox, zone="Europe/Oslo") for mailbox in mailboxes)
    return [GraphSource(GraphCalendar(server="m365"), client, reader, now_s=now_s) for reader in readers]


async def measure(sources: Sequence[CalendarSource], apart: Apart) -> Figures:
    """Read everything, then ask again and again what is new."""
    gate, cookies, count = asyncio.Semaphore(ROOMS_AT_ONCE), dict[int, str](), 0

    async def follow(number: int, cookie: str) -> None:
        nonlocal count
        async with gate:
            async for page in sources[number].changes(cookie):
                count += len(page.items)
                cookies[number] = page.cookie or cookies.get(number, "")

    await sources[0].probe()
    theirs_s, began_s, ours_s = apart.cpu_s(), time.perf_counter(), time.process_time()
    await asyncio.gather(*(follow(number, "") for number in range(len(sources))))
    took_s, spent_s, items = time.perf_counter() - began_s, time.process_time() - ours_s, count
    theirs_s, ours_s = apart.cpu_s() - theirs_s, time.process_time()
    for _ in range(IDLE_POLLS):
        for number in range(len(sources)):
            await follow(number, cookies[number])
    idle_s = (time.process_time() - ours_s) / (IDLE_POLLS * len(sources))
    for source in sources:
        await source.close()
    return Figures(items, took_s, spent_s, theirs_s, idle_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.mailboxes", description="Measure an adapter.")
    parser.add_argument("kind", choices=("exchange", "graph"))
    parser.add_argument("--items", type=int, default=50)
    parser.add_argument("--rooms", type=int, default=200)
    asked = parser.parse_args(arguments)
    mailboxes = [f"r{room}@rooms.example" for room in range(asked.rooms)]
    apart = Apart(asked.kind, now_s)
    try:
        apart.put(
            [
                (mailbox, f"{number}-{mailbox}", meeting(BEGIN, number))
                for mailbox in mailboxes
                for number in range(asked.items)
            ]
        )
        make = exchange_sources if asked.kind == "exchange" else graph_sources
        found = asyncio.run(measure(make(apart.address, mailboxes), apart))
    finally:
        apart.stop()
    both_s = found.ours_s + found.theirs_s
    print(
        f"{found.items} items of {asked.rooms} rooms in {found.took_s:.2f} s: {found.items / found.took_s:.0f} items/s"
    )
    print(
        f"CPU {found.ours_s:.2f} s here, {found.theirs_s:.2f} s of the fake: {found.items / both_s:.0f} items/s"
    )
    print(
        f"an idle poll {found.idle_s * 1e3:.2f} ms: 2,000 rooms at 60 s take {found.idle_s * 2_000 / 60:.1%} of a core"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
