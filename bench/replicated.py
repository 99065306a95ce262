"""Meetkeeper's pair: every booking on both disks before it is answered.

The active runs in this process, as its server does: engine, committer, mutual-TLS line, file register. The passive is a
process of its own, started by the ordinary command. In its disfavour: Python on both sides, TLS between them, and all
that a booking is (conflict check, virtual room, chained frame, applied to the indexes on both servers).
"""

import asyncio
import datetime
import logging
import sys
import time
from pathlib import Path
from typing import Final

import structlog
from msgspec import convert
from msgspec.structs import replace

from bench.clients import AsyncCommit, run_async
from bench.figures import Failed, Figures
from bench.meetkeeper_side import booking_of, configuration, ready_contents, ready_places
from bench.processes import Child, free_port, listens
from meetkeeper.app import pairing
from meetkeeper.app.home import FileRegisterNode, Home, NodeConfig, init
from meetkeeper.app.pairparts import PairParts
from meetkeeper.app.server import open_database
from meetkeeper.core.configuration import Config, PairConfig
from meetkeeper.engine.pair import Pair
from meetkeeper.ha.view import is_in_sync
from meetkeeper.host.clock import RealClock

SYNC_S_MAX: Final = 60.0
ACTIVE, PASSIVE = "north", "south"


class Replicated:
    """Both disks before the answer."""

    name = "meetkeeper, a pair in sync"
    does = (
        "each booking through the whole engine; the frame's bytes go to the passive over TLS 1.3 the moment before "
        "they are written here, both servers flush, the passive applies, then the caller hears; file register"
    )

    def __init__(self) -> None:
        self._home = Home(Path())
        self._passive: Child | None = None
        self._pair: Pair | None = None
        self._running: asyncio.Task[None] | None = None

    def start(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ports = [free_port() for _ in range(4)]
        self._home = Home(folder / ACTIVE)
        node = NodeConfig(name=ACTIVE, listen_port=ports[0])
        # Between two rounds nobody acts here; the passive is not to take that for a failure.
        patient = PairConfig(failover_after_s=3_600.0)
        init(self._home, node, replace(convert(configuration(), Config), pair=patient))
        (folder / "register").mkdir()
        invitation = pairing.found(
            self._home,
            listen=f"127.0.0.1:{ports[1]}",
            peer=PASSIVE,
            peer_address=f"127.0.0.1:{ports[2]}",
            register=FileRegisterNode(folder=str(folder / "register")),
            url="",
            now=datetime.datetime.now(datetime.UTC),
        )
        other = Home(folder / PASSIVE)
        pairing.accept(other, invitation, host="127.0.0.1", port=ports[3], url="")
        argv = [sys.executable, "-m", "meetkeeper.app.main", "run", "--no-agent", str(other.path)]
        self._passive = Child(argv, folder / "passive.log")
        self._passive.wait_until(lambda: listens(ports[3]), SYNC_S_MAX)

    def run(self, clients: int, seconds: float) -> Figures:
        ready_places(), ready_contents()
        return run_async(self._open, self._close, clients, seconds)

    def stop(self) -> None:
        if self._passive is not None:
            self._passive.stop()

    async def _open(self) -> AsyncCommit:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        node = self._home.node().pair
        assert node is not None
        clock = RealClock()
        database = open_database(self._home, clock)
        parts = PairParts(self._home, ACTIVE, node, lambda: open_database(self._home, clock), tzdata="bench")
        pair = self._pair = Pair(parts, parts.view(database, PairConfig()), database)
        parts.pair = pair
        self._running = asyncio.create_task(pair.run())
        end_s = time.monotonic() + SYNC_S_MAX
        while not (pair.began.is_set() and is_in_sync(pair.heart.view, PASSIVE)):
            if time.monotonic() > end_s or self._running.done():
                raise Failed("the pair did not come up in sync")
            await asyncio.sleep(0.05)
        engine = pair.engine
        assert engine is not None
        places, contents, submit = ready_places(), ready_contents(), engine.submit

        async def commit(key: int, body: bytes) -> None:
            await submit(booking_of(places[key], contents[body]))

        return commit

    async def _close(self) -> None:
        if self._pair is not None and self._running is not None:
            self._pair.over.set()
            await self._running
            self._pair.database.close()
