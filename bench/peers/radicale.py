"""Radicale, a calendar server: PUT of one meeting into its room's calendar.

Runs as shipped, its own HTTP server and flushing included. Set up in its favour: 1,000 small calendars rather than one
that grows, as many connections as there are clients (8 is its default), its quicker item cache, logging of errors only.
"""

import base64
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.figures import Figures, Unavailable
from bench.http_load import HttpLoad, numbered, request
from bench.processes import Argv, Child, free_port, listens
from bench.records import ROOMS, Records, room_name, slot_of, uid_of

START_S: Final = 60.0
OWNER: Final = "rooms"
MEETINGS: Final = 5_000
SECONDS_MIN: Final = 4.0
"""A PUT may take seconds under load: a shorter cell would see too few of them."""
CONFIGURATION: Final = """
[server]
hosts = 127.0.0.1:{port}
max_connections = 300
[auth]
type = none
[rights]
type = owner_only
[storage]
filesystem_folder = {folder}
use_mtime_and_size_for_item_cache = True
[logging]
level = error
"""
AUTHORIZATION: Final = {"Authorization": "Basic " + base64.b64encode(f"{OWNER}:any".encode()).decode()}


class Server:
    """A private Radicale with a calendar for every room."""

    def __init__(self, folder: Path, rooms: int = ROOMS, meetings_per_room: int = 0) -> None:
        self.port = free_port()
        self._folder = folder
        self._rooms = rooms
        self._meetings_per_room = meetings_per_room
        self._child: Child | None = None

    def start(self) -> None:
        if importlib.util.find_spec("radicale") is None:
            raise Unavailable("radicale is not installed (the `demo` extra brings it)")
        self._fill()
        configuration = self._folder / "config"
        configuration.write_text(CONFIGURATION.format(port=self.port, folder=self._folder / "collections"))
        argv: Argv = [sys.executable, "-m", "radicale", "--config", configuration]
        self._child = Child(argv, self._folder / "radicale.log")
        self._child.wait_until(lambda: listens(self.port), START_S)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _fill(self) -> None:
        """Lay the collections down as Radicale would have: a folder, its properties, one file an item."""
        records = Records()
        owner = self._folder / "collections" / "collection-root" / OWNER
        for room in range(self._rooms):
            calendar = owner / room_name(room)
            calendar.mkdir(parents=True)
            for cache in (
                "item",
                "history",
            ):  # else the first PUT into each calendar would have to flush them
                (calendar / ".Radicale.cache" / cache).mkdir(parents=True)
            (calendar / ".Radicale.props").write_text(json.dumps({"tag": "VCALENDAR"}))
            for index in range(self._meetings_per_room):
                number = index * ROOMS + room
                (calendar / f"{uid_of(number)}.ics").write_bytes(records.ical(number))


class Put:
    """What a calendar server makes of the same meeting."""

    name = "Radicale"
    does = (
        "PUT of the same meeting as iCalendar into one of 1,000 calendars; its own HTTP server (a connection a "
        "request), storage flushed as shipped"
    )

    def __init__(self) -> None:
        self._server: Server | None = None
        self._load: HttpLoad | None = None

    def start(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._load = HttpLoad(_requests(), folder / "requests")
        self._server = Server(folder)
        self._server.start()

    def run(self, clients: int, seconds: float) -> Figures:
        assert self._load is not None
        assert self._server is not None
        return self._load.run(self._server.port, clients, max(seconds, SECONDS_MIN))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()


def item_path(number: int) -> str:
    """Where a meeting lies on the server."""
    return f"/{OWNER}/{room_name(slot_of(number).room)}/{uid_of(number)}.ics"


def _requests() -> Iterator[bytes]:
    records, headers = Records(), {"Content-Type": "text/calendar; charset=utf-8", **AUTHORIZATION}
    for number in range(MEETINGS):
        yield request("PUT", item_path(number), numbered(records.ical(number), b"DESCRIPTION:"), headers)
