"""Calendars to try the contract on: in memory, in a folder, and as a collection of a CalDAV server."""

import os
import time
from pathlib import Path
from urllib.parse import quote

import httpx2
from icalendar import Calendar

from meetkeeper.bounded.http import Limits
from meetkeeper.calendars.caldav.client import CaldavSource
from meetkeeper.calendars.caldav.server import CaldavServers
from meetkeeper.calendars.ics.client import IcsSource
from meetkeeper.core.configuration import CaldavCalendar, IcsCalendar
from meetkeeper.core.errors import Unavailable
from meetkeeper.ports.calendar import CalendarSource
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL
from meetkeeper.testing.fakes.calendar import FakeCalendar

USER = "room"
PASSWORD = "a password"
ROOMS = frozenset({ROOM_EMAIL})


def soon() -> float:
    """A clock far enough ahead that no file counts as just written."""
    return time.time() + 60.0


def description_of(text: bytes) -> str:
    """The description of the first event."""
    return str(next(iter(Calendar.from_ical(text).walk("VEVENT"))).get("DESCRIPTION", ""))


class FakeVenue:
    """The calendar in memory."""

    def __init__(self) -> None:
        self.calendar = FakeCalendar(own_email=ROOM_EMAIL, room_emails=ROOMS)
        self.calendar.restore({})
        unreachable = FakeCalendar()
        unreachable.trouble = Unavailable("calendar.away", "It can't be reached.")
        self.source: CalendarSource = self.calendar.client()
        self.standby: CalendarSource = self.calendar.client()
        self.elsewhere: CalendarSource = FakeCalendar().client()
        self.away: CalendarSource = unreachable.client()

    async def put(self, name: str, text: bytes) -> None:
        """Somebody saves it."""
        self.calendar.put(name, text)

    async def body(self, name: str) -> str:
        """What was written back, in an item that keeps no text; its own agenda beside it."""
        return f"Budget æøå {self.calendar.blocks.get(name) or ''}"

    async def delete(self, name: str) -> None:
        """Somebody removes it."""
        self.calendar.delete(name)


class FolderVenue:
    """A folder of files."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "room"
        self.folder.mkdir()
        (root / "other").mkdir()
        self.source: CalendarSource = self._source(self.folder)
        self.standby: CalendarSource = self._source(self.folder)
        self.elsewhere: CalendarSource = self._source(root / "other")
        self.away: CalendarSource = self._source(root / "missing")

    async def put(self, name: str, text: bytes) -> None:
        """Written aside and renamed, as careful programs do."""
        aside = self.folder / ".aside"
        aside.write_bytes(text)
        os.replace(aside, self.folder / name)

    async def body(self, name: str) -> str:
        """As it stands in the file."""
        return description_of((self.folder / name).read_bytes())

    async def delete(self, name: str) -> None:
        """Somebody removes the file."""
        (self.folder / name).unlink()

    async def close(self) -> None:
        """Let the threads go."""
        for source in (self.source, self.standby, self.elsewhere, self.away):
            await source.close()

    def _source(self, folder: Path) -> IcsSource:
        config = IcsCalendar(folder=str(folder))
        return IcsSource(config, own_email=ROOM_EMAIL, room_emails=ROOMS, now_s=soon)


class DavVenue:
    """A collection on a CalDAV server that really runs. `base` is the home in which collections are made."""

    def __init__(self, base: str, name: str) -> None:
        self.url = f"{base}{name}/"
        self._other_url = f"{base}{name}-other/"
        # The other program keeps no connection: some servers hang up after each answer without saying so.
        self._http = httpx2.AsyncClient(
            auth=(USER, PASSWORD), trust_env=False, timeout=20, headers={"Connection": "close"}
        )
        servers = CaldavServers(limits=Limits(request_s=20, pass_s=60))
        self.source: CalendarSource = self._source(self.url, servers)
        self.standby: CalendarSource = self._source(self.url, servers)
        self.elsewhere: CalendarSource = self._source(self._other_url, servers)
        self.away: CalendarSource = self._source(f"{base}{name}-missing/", servers)

    async def open(self) -> None:
        """Make the collections."""
        for url in (self.url, self._other_url):
            answer = await self._http.request("MKCALENDAR", url)
            assert answer.status_code == 201, answer.text

    async def put(self, name: str, text: bytes) -> None:
        """Another CalDAV program saves it."""
        answer = await self._http.put(
            self.url + quote(name, safe=""),
            content=text,
            headers={"Content-Type": "text/calendar; charset=utf-8"},
        )
        assert answer.status_code in (200, 201, 204), answer.text

    async def body(self, name: str) -> str:
        """As another CalDAV program reads it."""
        answer = await self._http.get(self.url + quote(name, safe=""))
        assert answer.status_code == 200, answer.text
        return description_of(answer.content)

    async def delete(self, name: str) -> None:
        """Another CalDAV program removes it."""
        answer = await self._http.delete(self.url + quote(name, safe=""))
        assert answer.status_code in (200, 204), answer.text

    async def drop(self) -> None:
        """Somebody removes the whole collection."""
        answer = await self._http.delete(self.url)
        assert answer.status_code in (200, 204), answer.text

    async def close(self) -> None:
        """Let the connections go."""
        for source in (self.source, self.standby, self.elsewhere, self.away):
            await source.close()
        await self._http.aclose()

    def _source(self, url: str, servers: CaldavServers) -> CaldavSource:
        config = CaldavCalendar(url=url, username=USER)
        return CaldavSource(config, PASSWORD, server=servers.at(url), own_email=ROOM_EMAIL, room_emails=ROOMS)
