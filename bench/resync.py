"""A full CalDAV resync: 1,000 rooms read anew from a real calendar server, without any sync cookie.

The server is the same for everyone: Radicale with a calendar for every room and a few meetings in each. The bare client
asks one question a room (`sync-collection` from the beginning, contents included) and throws the answer away: nobody
can be done sooner than that server lets it.
"""

import http.client
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench.figures import Failed
from bench.peers.radicale import AUTHORIZATION, OWNER, Server
from bench.records import room_name

MEETINGS_PER_ROOM: Final = 5
AT_ONCE: Final = 8
ASK_S: Final = 60.0
MULTI_STATUS: Final = 207
QUESTION: Final = (
    '<?xml version="1.0"?><D:sync-collection xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:sync-token/>'
    "<D:sync-level>1</D:sync-level><D:prop><D:getetag/><C:calendar-data/></D:prop></D:sync-collection>"
)


def measure(folder: Path, rooms: int) -> dict[str, float]:
    """Seconds the bare client takes for all rooms."""
    folder.mkdir(parents=True)
    server = Server(folder, rooms, MEETINGS_PER_ROOM)
    try:
        server.start()
        read_all(server.port, range(rooms))  # Radicale builds its item cache at first sight
        begin_s = time.perf_counter()
        read_all(server.port, range(rooms))
        bare_s = time.perf_counter() - begin_s
    finally:
        server.stop()
    return {f"resync_{rooms}_rooms_bare_client_s": bare_s}


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
