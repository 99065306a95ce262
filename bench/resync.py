"""A full CalDAV resync: 1,000 rooms read anew from a real calendar server, without any sync cookie.

The server is the same for everyone: Radicale with a calendar for every room and a few meetings in each. The bare client
asks one question a room (`sync-collection` from the beginning, contents included) and throws the answer away: nobody
can be done sooner than that server lets it. Meetkeeper reads the rooms twice with a real server's adapters: knowing
nothing (every meeting is kept and gets its virtual room), and with its cookies forgotten (nothing must change).
"""

import asyncio
import http.client
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench import meetkeeper_side
from bench.figures import Failed
from bench.peers.radicale import AUTHORIZATION, OWNER, Server
from bench.records import room_name
from meetkeeper.app.wiring import build_neighbours
from meetkeeper.core.commands import Resync
from meetkeeper.core.words import RoomId
from meetkeeper.engine.loop import Engine

MEETINGS_PER_ROOM: Final = 5
AT_ONCE: Final = 8
ASK_S: Final = 60.0
READ_ALL_S: Final = 90.0
LOOK_AGAIN_S: Final = 0.05
POLL_S: Final = 3_600.0
MULTI_STATUS: Final = 207
QUESTION: Final = (
    '<?xml version="1.0"?><D:sync-collection xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:sync-token/>'
    "<D:sync-level>1</D:sync-level><D:prop><D:getetag/><C:calendar-data/></D:prop></D:sync-collection>"
)


def measure(folder: Path, rooms: int) -> dict[str, float]:
    """Seconds the bare client and meetkeeper take for all rooms."""
    folder.mkdir(parents=True)
    server = Server(folder, rooms, MEETINGS_PER_ROOM)
    try:
        server.start()
        read_all(server.port, range(rooms))  # Radicale builds its item cache at first sight
        begin_s = time.perf_counter()
        read_all(server.port, range(rooms))
        bare_s = time.perf_counter() - begin_s
        first_s, again_s = asyncio.run(_meetkeeper(folder / "home", server.port, rooms))
    finally:
        server.stop()
    return {
        f"resync_{rooms}_rooms_bare_client_s": bare_s,
        f"resync_{rooms}_rooms_meetkeeper_first_s": first_s,
        f"resync_{rooms}_rooms_meetkeeper_again_s": again_s,
    }


async def _meetkeeper(home: Path, port: int, rooms: int) -> tuple[float, float]:
    node = meetkeeper_side.found(home, _configuration(port, rooms))
    begin_s = time.perf_counter()
    engine, running = await meetkeeper_side.start_engine(node, build_neighbours)
    try:
        await _passes(engine, rooms, 1)
        first_s = time.perf_counter() - begin_s
        known = len(engine.state.meetings)
        if known != rooms * MEETINGS_PER_ROOM:
            raise Failed(f"{known} meetings are known after the first pass, not {rooms * MEETINGS_PER_ROOM}")
        begin_s = time.perf_counter()
        for room in range(rooms):
            await engine.submit(Resync(RoomId(room_name(room))))
            engine.poke(RoomId(room_name(room)))
        await _passes(engine, rooms, 2)
        return first_s, time.perf_counter() - begin_s
    finally:
        engine.stop()
        await running
        node.database.close()


async def _passes(engine: Engine, rooms: int, passes: int) -> None:
    """Wait until every room has been read whole so many times and every item has settled."""
    end_s = time.monotonic() + READ_ALL_S
    while True:
        statuses = engine.status().rooms
        done = sum(status.full_passes >= passes for status in statuses)
        if done == rooms and not engine.state.unsettled:
            return
        if time.monotonic() > end_s:
            told = next((status.error for status in statuses if status.error), "no trouble is told")
            raise Failed(f"{done} of {rooms} rooms were read after {READ_ALL_S:.0f} s: {told}")
        await asyncio.sleep(LOOK_AGAIN_S)


def _configuration(port: int, rooms: int) -> dict[str, object]:
    """The usual configuration, with a calendar for each of the first rooms."""
    configured = meetkeeper_side.configuration()
    url = f"http://127.0.0.1:{port}/{OWNER}/{{}}/"
    configured["rooms"] = [
        {
            "id": room_name(room),
            "calendar": {
                "kind": "caldav",
                "url": url.format(room_name(room)),
                "username": OWNER,
                "password": {"value": "any"},
                "poll_s": POLL_S,
                "settle_s": 0,
            },
        }
        for room in range(rooms)
    ]
    return configured


def read_all(port: int, rooms: Iterable[int]) -> None:
    """Ask every room for everything, a few at once."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in threads.map(lambda room: _read(port, room), rooms):
            pass


def _read(port: int, room: int) -> None:
    headers = {"Content-Type": "application/xml", "Depth": "0", **AUTHORIZATION}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ASK_S)
    try:
        connection.request("REPORT", f"/{OWNER}/{room_name(room)}/", QUESTION, headers)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    told = body.count(b"BEGIN:VEVENT")
    if answer.status != MULTI_STATUS or told != MEETINGS_PER_ROOM:
        raise Failed(
            f"{room_name(room)} answered {answer.status} with {told} of {MEETINGS_PER_ROOM} meetings"
        )
