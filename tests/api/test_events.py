"""The stream of kept decisions: complete, in order, safe to reconnect, quick to end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from meetkeeper.api import streams
from meetkeeper.api.follower import FRAMES_KEPT_MAX
from tests.api.house import House


class Reader:
    """Reads one stream event by event."""

    def __init__(self, house: House, after: int | None) -> None:
        self._bytes: AsyncIterator[bytes] = streams.events(house.front.desk, after)

    async def next(self) -> tuple[int, str, dict[str, Any]]:
        """(id, event, data) of the next one; comments and hints are passed over."""
        async with asyncio.timeout(5):
            async for chunk in self._bytes:
                lines = dict(line.split(": ", 1) for line in chunk.decode().splitlines() if ": " in line[:8])
                if "data" in lines:
                    return int(lines["id"]), lines["event"], json.loads(lines["data"])
        raise AssertionError("the stream has ended")


async def test_a_follower_sees_every_decision_once_and_in_order(house: House) -> None:
    """Whoever listens gets each frame with its number, the meetings it touched and their states."""
    reader = Reader(house, None)
    first = asyncio.create_task(reader.next())
    await asyncio.sleep(0.01)
    told = await house.book()
    seq, event, data = await first
    assert (event, data["meetings"]) == ("frame", {told["id"]: "scheduled"})
    assert data["rooms"] == ["oslo-3"]
    for _ in range(3):
        await house.book(rooms=["oslo-4"], start=f"2027-04-0{_ + 1}T10:00Z", end=f"2027-04-0{_ + 1}T11:00Z")
    assert [(await reader.next())[0] for _ in range(3)] == [seq + 1, seq + 2, seq + 3]


async def test_a_stream_that_broke_goes_on_where_it_was(house: House) -> None:
    """With Last-Event-ID nothing is lost and nothing repeated."""
    await house.book()
    await house.settled()
    seen = house.engine.seq
    await house.book(rooms=["oslo-4"])
    assert (await Reader(house, seen).next())[0] == seen + 1


async def test_whoever_was_away_too_long_is_told_to_read_anew(house: House) -> None:
    """A number that is no longer remembered, or was never given, is answered with one `reset`."""
    start = house.engine.seq
    for number in range(FRAMES_KEPT_MAX + 5):
        house.engine.touch(number)
    await house.settled()
    for after in (start, 10_000_000, -1):
        seq, event, _ = await Reader(house, after).next()
        assert (seq, event) == (house.engine.seq, "reset")
    assert (await Reader(house, house.engine.seq - 1).next())[0] == house.engine.seq


async def test_a_follower_that_fell_behind_catches_up_by_itself(house: House) -> None:
    """When the engine ends our subscription we read the state again and go on; tokens stay known."""
    house.engine.fall_behind()
    await house.book()
    await asyncio.sleep(0.4)
    assert house.front.desk.follower.seq == house.engine.seq
    await house.book(rooms=["oslo-4"])
    await house.settled()
    assert house.front.desk.follower.seq == house.engine.seq


async def test_streams_end_at_once_when_the_server_stops(house: House) -> None:
    """A stop ends a waiting stream within a moment, so that the server need not wait for its readers."""
    parts = streams.events(house.front.desk, None)
    await anext(parts)
    waiting = asyncio.create_task(collect(parts))
    await asyncio.sleep(0.01)
    house.gate.stop.set()
    async with asyncio.timeout(1):
        await waiting
    assert house.front.desk.counts.streams == 0


async def collect(parts: AsyncIterator[bytes]) -> list[bytes]:
    """Everything until the end."""
    return [part async for part in parts]


async def test_last_event_ids_of_any_kind_are_survived() -> None:
    """Digits are taken, everything else counts as long forgotten."""
    assert streams.last_seen(None) is None
    assert streams.last_seen("17") == 17
    for nonsense in ("x", "-1", "1" * 40, "１７"):
        assert streams.last_seen(nonsense) == -1
