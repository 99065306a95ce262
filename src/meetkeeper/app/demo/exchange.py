"""Room mailboxes for the demonstration on a fake Exchange: `meetkeeper demo --exchange`.

The fake is a process of its own and speaks EWS over HTTP; the servers read it through the same connector as a real one.
Invitations are brought to it by HTTP.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from meetkeeper.app.demo.calendars import request, started
from meetkeeper.app.demo.ports import free_port
from meetkeeper.app.demo.servers import end
from meetkeeper.core.configuration import (
    CalendarServer,
    CalendarSource,
    ExchangeCalendar,
    ExchangeServer,
    Secret,
)
from meetkeeper.core.errors import Unavailable

FAKE = "meetkeeper.testing.fakes.exchange"
SERVER = "exchange"
USER = "svc-meetkeeper"


class Exchange:
    """A fake Exchange of our own; see `calendars.Calendars` for what each method is."""

    def __init__(self, folder: Path, rooms: Sequence[str]) -> None:
        self._folder = folder
        self._rooms = {room: f"{room}@rooms.example" for room in rooms}
        self._port = free_port(8443)
        self._origin = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises `Unavailable` also where the connector's library is missing."""
        if importlib.util.find_spec("exchangelib") is None:
            raise Unavailable(
                "demo-exchange", "exchangelib is not installed: pip install 'meetkeeper[exchange]'."
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", FAKE, "--port", str(self._port)]
        for address in self._rooms.values():
            command += ["--room", address]
        self._process = started(command, self._folder / "exchange.log", "The fake Exchange", self._answers)

    def stop(self) -> None:
        """End it."""
        end(self._process)
        self._process = None

    def servers(self) -> tuple[CalendarServer, ...]:
        """The one server that every room names."""
        url = f"{self._origin}/EWS/Exchange.asmx"
        return (
            ExchangeServer(id=SERVER, url=url, auth="basic", username=USER, password=Secret(value="any")),
        )

    def of(self, room: str, poll_s: float, settle_s: float) -> CalendarSource:
        """The room's mailbox; bookings made here are written into it."""
        return ExchangeCalendar(
            server=SERVER, mailbox=self._rooms[room], poll_s=poll_s, settle_s=settle_s, write=True
        )

    def put(self, room: str, name: str, text: bytes) -> None:
        """An invitation arrives."""
        request("PUT", self._invitation(room, name), text, {"Content-Type": "text/calendar"})

    def remove(self, room: str, name: str) -> None:
        """Its organizer cancels, and the room lets it go."""
        request("DELETE", self._invitation(room, name), b"", {})

    def told(self) -> str:
        """Where the mailboxes are, and how to invite a room without Outlook."""
        rooms = tuple(self._rooms.values())
        lines = (
            f"room mailboxes {', '.join(rooms)}",
            f"on a fake Exchange at {self._origin}/EWS/Exchange.asmx; to invite one:",
            f"curl -T meeting.ics {self._origin}/invitations/{rooms[0]}/meeting.ics",
        )
        return f"\n{' ' * 15}".join(lines)

    def _invitation(self, room: str, name: str) -> str:
        return f"{self._origin}/invitations/{self._rooms[room]}/{name}"

    def _answers(self) -> bool:
        return 0 < request("GET", f"{self._origin}/EWS/Exchange.asmx", b"", {}) < 500
