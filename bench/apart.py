"""A fake mailbox server in a process of its own, so that its work is not taken for ours: `Apart`.

The benches fill its mailboxes and ask how much CPU it has used. `taskset -c 0` in front of a bench holds both
processes to one core.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import Literal

from meetkeeper.core.words import Entry, Person
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.graph import FakeGraph
from meetkeeper.testing.fakes.mailbox import Site

Kind = Literal["exchange", "graph"]
USER, PASSWORD = "svc", "a password"
"""Who may act as every mailbox of the fake Exchange."""
PORTION = 1_000
"""Items handed over at a time."""


class Apart:
    """The fake. `address` is the EWS address, or the endpoint and the authority of Graph."""

    def __init__(self, kind: Kind, now_s: Callable[[], float] = time.time) -> None:
        """`now_s` is the clock over there, a function that another process can import."""
        self._port, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_serve, args=(there, kind, now_s), daemon=True)
        self._process.start()
        there.close()  # so that a fake that ends is an end of file and no silence
        self.address: tuple[str, ...] = self._port.recv()

    def put(self, items: Sequence[tuple[str, str, Entry]]) -> None:
        """Somebody saves (mailbox, UID, entry) each."""
        for at in range(0, len(items), PORTION):
            self._port.send(items[at : at + PORTION])
            self._port.recv()

    def cpu_s(self) -> float:
        """CPU seconds it has used since it began."""
        self._port.send(())
        used: float = self._port.recv()
        return used

    def stop(self) -> None:
        """End it."""
        self._port.send(None)
        self._process.join()


def meeting(start: datetime, number: int) -> Entry:
    """The nth of many meetings: one in ten repeats, each with a body and five invitees."""
    people = tuple(Person(f"p{one}@example.org", f"Person {one}") for one in range(5))
    return Entry(
        start=start + timedelta(hours=number % 9, days=number // 3),
        duration_s=3_600,
        zone="Europe/Oslo",
        subject=f"Meeting {number}",
        description="What we shall talk about.\n" * 20,
        organizer=people[0],
        attendees=people,
        rrule="FREQ=WEEKLY;COUNT=12" if number % 10 == 0 else "",
    )


def _serve(port: Connection, kind: Kind, now_s: Callable[[], float]) -> None:
    asyncio.run(_live(port, kind, now_s))


async def _live(port: Connection, kind: Kind, now_s: Callable[[], float]) -> None:
    site = Site(now_s=now_s)
    if kind == "exchange":
        exchange = FakeExchange(site, now_s=now_s)
        exchange.logins[USER], exchange.impersonators = PASSWORD, {USER}
        await exchange.start()
        port.send((exchange.url,))
    else:
        graph = FakeGraph(site, now_s)
        await graph.start()
        port.send((graph.endpoint, graph.authority_url))
    while (asked := await asyncio.to_thread(port.recv)) is not None:
        for mailbox, uid, entry in asked:
            site.open(mailbox).put(uid, entry)
        port.send(time.process_time())
