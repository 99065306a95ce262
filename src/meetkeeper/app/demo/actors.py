"""The people and programs of the demonstration that runs itself: who books, who keeps a calendar, who takes the mail.

All of them are plain outsiders: they know the REST API, CalDAV and SMTP, nothing of the server's inside.
"""

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError, URLError

from msgspec import Struct

from meetkeeper.app.demo.mail_sink import MailSink
from meetkeeper.app.demo.parts import Parts
from meetkeeper.core.errors import Unavailable

ORGANIZER = {"name": "Kari Nordmann", "email": "kari@demo.example"}
GUESTS = ("ola@guests.example", "siri@guests.example")


class Answer(Struct, frozen=True):
    """What the API said. Status 0: nobody answered."""

    status: int
    body: dict[str, Any]
    etag: str = ""


class Booker:
    """Somebody with the API's address and a token."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request; connection troubles are status 0."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._parts.url}/api/v1{path}", data=data, method=method)  # noqa: S310
        request.add_header("Authorization", f"Bearer {self._parts.home.cli_token()}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
                return Answer(answer.status, _json(answer.read()), answer.headers.get("ETag", ""))
        except HTTPError as refused:
            return Answer(refused.code, _json(refused.read()))
        except (URLError, OSError):
            return Answer(0, {})

    def book(self, room: str | list[str], subject: str, start_s: int, seconds: int, **more: Any) -> Answer:
        """Book a meeting of so many seconds."""
        key = more.pop("idempotency_key", None)
        body = {
            "rooms": [room] if isinstance(room, str) else room,
            "subject": subject,
            "organizer": ORGANIZER,
            "invitees": list(GUESTS),
            "start": iso(start_s),
            "end": iso(start_s + seconds),
            "time_zone": "UTC",
            **more,
        }
        headers = {} if key is None else {"Idempotency_Key": key}
        return self.ask("POST", "/meetings", body, **headers)

    def meetings(self) -> dict[str, dict[str, Any]]:
        """Every meeting the API shows, cancelled ones too, by id."""
        found: dict[str, dict[str, Any]] = {}
        for state in ("", "&state=cancelled"):
            cursor = ""
            while True:
                page = self.ask("GET", f"/meetings?limit=200&from=2000-01-01T00:00:00Z{state}{cursor}")
                if page.status != 200:
                    raise Unavailable("demo-api", f"Listing the meetings answered {page.status}: {page.body}")
                found.update({meeting["id"]: meeting for meeting in page.body["meetings"]})
                if not page.body.get("next"):
                    break
                cursor = f"&cursor={page.body['next']}"
        return found


class Load:
    """Books far-future meetings as fast as it is answered and remembers every answer, come what may."""

    def __init__(self, booker: Booker) -> None:
        self._booker = booker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)
        self.acknowledged: dict[str, tuple[str, str]] = {}
        """Meeting id → (alias, PIN) as answered."""
        self.refused = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the booking under way."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        begin_s = int(time.time()) + 30 * 86_400
        number = 0
        while not self._stop.is_set():
            number += 1
            answer = self._booker.book("bergen", f"Load {number}", begin_s + number * 600, 300, invitees=[])
            if answer.status == 201:
                vmr = answer.body["vmr"]
                self.acknowledged[answer.body["id"]] = (vmr["alias"], vmr["pin"])
            else:
                self.refused += 1
                self._stop.wait(0.05)


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


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {"items": found}
