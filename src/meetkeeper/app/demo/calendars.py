"""The rooms' calendars of the demonstration, and another program's hands in them.

A calendar server is a process of its own: Radicale for CalDAV. People's programs save and remove meetings there without
knowing anything of meetkeeper.
"""

import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError, URLError

from meetkeeper.app.demo.ports import free_port
from meetkeeper.app.demo.servers import end
from meetkeeper.core.configuration import CaldavCalendar, CalendarServer, CalendarSource, Secret
from meetkeeper.core.errors import Unavailable

CALDAV_USER = "rooms"
START_S_MAX = 60.0


class Calendars(Protocol):
    """Every room's calendar."""

    def start(self) -> None:
        """Start the server, with an empty calendar for each room. Raises `Unavailable` when it does not come up."""
        ...

    def stop(self) -> None:
        """Stop it; one that is stopped already is left so."""
        ...

    def servers(self) -> tuple[CalendarServer, ...]:
        """What the configuration says of the server itself."""
        ...

    def of(self, room: str, poll_s: float, settle_s: float) -> CalendarSource:
        """What the configuration says of a room."""
        ...

    def put(self, room: str, name: str, text: bytes) -> None:
        """Somebody saves a meeting: an iCalendar object under a name, new or again."""
        ...

    def remove(self, room: str, name: str) -> None:
        """Somebody removes it."""
        ...

    def told(self) -> str:
        """For a person: where the calendars are."""
        ...


class Radicale:
    """A Radicale of our own."""

    def __init__(self, folder: Path, rooms: Sequence[str]) -> None:
        self._folder, self._rooms = folder, rooms
        self._port = free_port(5232)
        self._url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """See `Calendars`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = self._folder / "radicale.conf"
        settings.write_text(
            f"[server]\nhosts = 127.0.0.1:{self._port}\n[auth]\ntype = none\n[rights]\ntype = authenticated\n"
            f"[storage]\nfilesystem_folder = {self._folder / 'collections'}\n[logging]\nlevel = warning\n"
        )
        command = [sys.executable, "-m", "radicale", "--config", str(settings)]
        self._process = started(command, self._folder / "radicale.log", "Radicale", self._answers)
        for room in self._rooms:
            self._make_calendar(room)

    def stop(self) -> None:
        """See `Calendars`."""
        end(self._process)
        self._process = None

    def servers(self) -> tuple[CalendarServer, ...]:
        """None: each room names its own address."""
        return ()

    def of(self, room: str, poll_s: float, settle_s: float) -> CalendarSource:
        """See `Calendars`."""
        return CaldavCalendar(
            url=self._calendar(room),
            username=CALDAV_USER,
            password=Secret(value="any"),
            poll_s=poll_s,
            settle_s=settle_s,
        )

    def put(self, room: str, name: str, text: bytes) -> None:
        """See `Calendars`."""
        self._request("PUT", f"{self._calendar(room)}{name}", text)

    def remove(self, room: str, name: str) -> None:
        """See `Calendars`."""
        self._request("DELETE", f"{self._calendar(room)}{name}")

    def told(self) -> str:
        """See `Calendars`."""
        addresses = "".join(f"\n               {self._calendar(room)}" for room in self._rooms)
        return f"user {CALDAV_USER}, any password; one per room:{addresses}"

    def _calendar(self, room: str) -> str:
        return f"{self._url}/{CALDAV_USER}/{room}/"

    def _request(self, method: str, url: str, body: bytes = b"", content_type: str = "text/calendar") -> int:
        login = b64encode(f"{CALDAV_USER}:any".encode()).decode()
        return request(method, url, body, {"Authorization": f"Basic {login}", "Content-Type": content_type})

    def _answers(self) -> bool:
        return 0 < self._request("OPTIONS", f"{self._url}/") < 500

    def _make_calendar(self, room: str) -> None:
        body = (
            '<?xml version="1.0"?><C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>'
            f"<D:displayname>{room}</D:displayname></D:prop></D:set></C:mkcalendar>"
        )
        status = self._request("MKCALENDAR", self._calendar(room), body.encode(), "application/xml")
        if status not in (201, 405, 409):
            raise Unavailable(
                "radicale", f"Radicale answered {status} when the calendar of {room} was to be made."
            )


def started(
    command: list[str], log: Path, name: str, answers: Callable[[], bool]
) -> "subprocess.Popen[bytes]":
    """A server as a process of its own, which answers. Raises `Unavailable` with the end of its log."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    deadline = time.monotonic() + START_S_MAX
    while not answers():
        if time.monotonic() > deadline or process.poll() is not None:
            end(process)
            tail = log.read_text(errors="replace")[-2_000:]
            raise Unavailable("demo-calendar", f"{name} did not start. Its log ends with:\n{tail}")
        time.sleep(0.05)
    return process


def request(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """One request as a calendar program makes it; the status, 0 when nobody answers."""
    asked = urllib.request.Request(url, data=body or None, method=method, headers=dict(headers))  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except HTTPError as refused:
        return refused.code
    except (URLError, OSError):
        return 0
