"""The people and programs of the demonstration that runs itself: who keeps a calendar, who takes the mail.

All of them are plain outsiders: they know CalDAV and SMTP, nothing of the server's inside. `booker` knows REST.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from meetkeeper.app.demo.mail_sink import MailSink
from meetkeeper.app.demo.parts import Parts

ORGANIZER = {"name": "Kari Nordmann", "email": "kari@demo.example"}
GUESTS = ("ola@guests.example", "siri@guests.example")


class SinkThread:
    """The mail sink on a loop of its own, so that it outlives every server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail-sink", daemon=True)
        self.sink: MailSink | None = None

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    async def _start(self) -> None:
        self.sink = MailSink(self._parts.mail_folder, port=self._parts.mail_port)
        await self.sink.start()

    def stop(self) -> None:
        """Hang up."""
        if self.sink is not None:
            asyncio.run_coroutine_threadsafe(self.sink.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def event(uid: str, subject: str, start_s: int, seconds: int, *, sequence: int = 0, extra: str = "") -> bytes:
    """A calendar entry as a calendar client writes it. `extra` are further property lines."""
    guests = "".join(f"ATTENDEE;CN={one.partition('@')[0]}:mailto:{one}\r\n" for one in GUESTS)
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//demo//client//EN\r\nBEGIN:VEVENT\r\n"
        f"UID:{uid}\r\nDTSTAMP:{stamp(int(time.time()))}\r\n"
        f"DTSTART:{stamp(start_s)}\r\nDTEND:{stamp(start_s + seconds)}\r\n"
        f"SUMMARY:{subject}\r\nSEQUENCE:{sequence}\r\nORGANIZER;CN=Kari Nordmann:mailto:{ORGANIZER['email']}\r\n"
        f"{guests}{extra}END:VEVENT\r\nEND:VCALENDAR\r\n"
    ).encode()


def stamp(at_s: int) -> str:
    """An instant as iCalendar writes it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")


def iso(at_s: int) -> str:
    """An instant as JSON writes it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wait_for(what: str, true: Callable[[], bool], seconds: float) -> bool:
    """Look until it is true; False when it did not become true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
