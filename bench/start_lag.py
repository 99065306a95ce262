"""A thousand meetings that start in the same second, and a bridge that takes 50 ms for each answer.

The lag of a meeting runs from its start by the wall clock until the bridge has answered that its room is open. Beside
it the floor: the same calls, as many at once, with nothing decided and nothing kept.
"""

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import meetkeeper_side
from bench.answering_bridge import AnsweringBridge
from bench.figures import Failed, Figures, figures_of
from bench.records import ROOMS, Records, room_name
from meetkeeper.core.commands import Book
from meetkeeper.core.effects import Phase
from meetkeeper.core.words import Alias, RoomId, Uid
from meetkeeper.ports.bridge import WantedVmr

ANSWER_S: Final = 0.05
AHEAD_S: Final = 12
"""From the booking until the start: long enough for the bridge to have all rooms booked."""
LENGTH_S: Final = 3_600
WAIT_S: Final = 60.0
LOOK_AGAIN_S: Final = 0.05


def measure(folder: Path, meetings: int) -> dict[str, float]:
    """p50, p99 and last start lag of so many meetings, and the floor's p99, in milliseconds."""
    if meetings > ROOMS:
        raise Failed(f"there are {ROOMS} rooms for {meetings} meetings")
    floor = asyncio.run(_floor(meetings))
    lags_s = asyncio.run(_meetkeeper(folder, meetings))
    lag: Figures = figures_of(lags_s, 1.0)
    return {
        f"start_lag_{meetings}_p50_ms": lag.p50_ms,
        f"start_lag_{meetings}_p99_ms": lag.p99_ms,
        f"start_lag_{meetings}_last_ms": max(lags_s) * 1_000,
        f"start_lag_{meetings}_floor_p99_ms": floor.p99_ms,
    }


async def _meetkeeper(folder: Path, meetings: int) -> list[float]:
    node = meetkeeper_side.found(folder)
    bridge = AnsweringBridge(ANSWER_S)
    engine, running = await meetkeeper_side.start_engine(node, meetkeeper_side.only(bridge))
    records = Records()
    try:
        start_s = math.ceil(time.time()) + AHEAD_S
        await asyncio.gather(
            *(engine.submit(_booking(records, number, start_s)) for number in range(meetings))
        )
        await _until(lambda: len(bridge.booked) == meetings, start_s - time.time())
        await _until(lambda: len(bridge.opened_at_s) == meetings, start_s - time.time() + WAIT_S)
        return [at_s - start_s for at_s in bridge.opened_at_s.values()]
    finally:
        engine.stop()
        await running
        node.database.close()


def _booking(records: Records, number: int, start_s: int) -> Book:
    content = meetkeeper_side.content_of(records.booking(number))
    uid, rooms = Uid(f"start-{number:04d}@calendar.example"), (RoomId(room_name(number)),)
    return meetkeeper_side.booking_of((uid, rooms, start_s, start_s + LENGTH_S), content)


async def _until(is_so: Callable[[], bool], seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end_s:
            raise Failed(f"not every room was booked and opened within {seconds:.0f} s")
        await asyncio.sleep(LOOK_AGAIN_S)


async def _floor(meetings: int) -> Figures:
    bridge, places = AnsweringBridge(ANSWER_S), asyncio.Semaphore(meetkeeper_side.BRIDGE_CALLS_AT_ONCE)
    begin_s = time.perf_counter()
    ends_s = list[float]()

    async def call(number: int) -> None:
        async with places:
            await bridge.ensure(WantedVmr(Alias(str(number)), "", "", "", "", Phase.OPEN))
        ends_s.append(time.perf_counter() - begin_s)

    await asyncio.gather(*(call(number) for number in range(meetings)))
    return figures_of(ends_s, 1.0)
