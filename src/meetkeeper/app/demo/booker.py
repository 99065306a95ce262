"""Whoever books in the demonstration: a client that knows both addresses, follows 307, waits as 503 asks, and counts.

A write carries an Idempotency-Key, so that it may be sent again when nobody answered. Everything here is plain REST.
"""

import threading
import time
from itertools import pairwise
from typing import Any
from uuid import uuid4

from meetkeeper.app.demo.actors import GUESTS, ORGANIZER, iso
from meetkeeper.app.demo.servers import ASK_S_MAX, Answer, Server, Servers
from meetkeeper.core.errors import Unavailable

PATIENCE_S = 30.0
LOAD_TRY_S = 1.0
"""A frozen server is given up after so long, and the other one is asked."""
PAUSE_S = 0.05
"""Between two bookings of the load."""
AGAIN_S_MAX = 0.1
"""A 503 may ask for longer: somebody who measures looks again sooner."""


class Booker:
    """Somebody with both servers' addresses and a token. Safe to use from one thread at a time."""

    def __init__(self, servers: Servers, try_s: float = ASK_S_MAX) -> None:
        """`try_s`: how long one try may take."""
        self._servers = servers
        self._try_s = try_s
        self._at = servers.north
        self.led = 0
        """How often a 307 led to the other server."""

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request, answered by whoever acts, within `PATIENCE_S`. Status 0: nobody answered to the end.

        Sent again after 307 and 503, and after no answer where that can do no harm.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        again = method == "GET" or "Idempotency-Key" in sent
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = self._at.ask(method, f"/api/v1{path}", body, sent, self._try_s)
            if answer.status == 307:
                self.led += 1
                self._turn(answer.location)
            elif answer.status == 503:
                time.sleep(min(answer.again_s, AGAIN_S_MAX))
                self._turn("")
            elif answer.status == 0 and again:
                time.sleep(AGAIN_S_MAX / 2)
                self._turn("")
            else:
                return answer
            if time.monotonic() > deadline:
                return answer

    def _turn(self, location: str) -> None:
        """To where a 307 leads; else to the other one."""
        other = self._servers.other(self._at)
        self._at = next((one for one in self._servers.both if location.startswith(f"{one.url}/")), other)

    def book(self, room: str | list[str], subject: str, start_s: int, seconds: int, **more: Any) -> Answer:
        """Book a meeting of so many seconds."""
        key = more.pop("idempotency_key", None) or uuid4().hex
        body = booking(room, subject, start_s, seconds, **more)
        return self.ask("POST", "/meetings", body, Idempotency_Key=key)

    def meetings(self) -> dict[str, dict[str, Any]]:
        """Every meeting the API shows, cancelled ones too, by id. Raises `Unavailable`."""
        found: dict[str, dict[str, Any]] = {}
        for state in ("", "&state=cancelled"):
            cursor = ""
            while True:
                page = self.ask("GET", f"/meetings?limit=500&from=2000-01-01T00:00:00Z{state}{cursor}")
                if page.status != 200:
                    raise Unavailable("demo-api", f"Listing the meetings answered {page.status}: {page.body}")
                found.update({meeting["id"]: meeting for meeting in page.body["meetings"]})
                if not page.body.get("next"):
                    break
                cursor = f"&cursor={page.body['next']}"
        return found


class Load:
    """Books far-future meetings one after the other and remembers every answer, come what may."""

    def __init__(self, servers: Servers, first: int) -> None:
        self._booker = Booker(servers, LOAD_TRY_S)
        self._first = first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)
        self.acknowledged: dict[str, tuple[str, str]] = {}
        """Meeting id → (alias, PIN) as answered."""
        self.sent = 0
        self.times: list[float] = [time.monotonic()]
        """When bookings were acknowledged, by the steady clock."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the booking under way."""
        self._stop.set()
        self._thread.join()

    def goes_on(self, after: float, bookings: int = 10) -> bool:
        """True when so many were acknowledged after this instant of the steady clock."""
        return len(self.times) >= bookings and self.times[-bookings] > after

    def longest_wait(self, begin: float, end: float) -> float:
        """The longest time without an acknowledgement that touches this span of the steady clock, in seconds."""
        waits = [later - sooner for sooner, later in pairwise(self.times) if later > begin and sooner < end]
        return max(waits, default=0.0)

    def _work(self) -> None:
        begin_s = int(time.time()) + 30 * 86_400
        while not self._stop.is_set():
            self.sent += 1
            number = self._first + self.sent
            answer = self._booker.book("bergen", f"Load {number}", begin_s + number * 600, 300, invitees=[])
            if answer.status in (200, 201):
                vmr = answer.body["vmr"]
                self.acknowledged[answer.body["id"]] = (vmr["alias"], vmr["pin"])
                self.times.append(time.monotonic())
            self._stop.wait(PAUSE_S)


class Caught:
    """Bookings sent to one frozen server, which are answered when it wakes, if ever."""

    def __init__(self, server: Server, number: int) -> None:
        self._server = server
        self.statuses: list[int] = []
        self._threads = [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(number)]
        for one in self._threads:
            one.start()

    def wait(self) -> None:
        """Until every one was answered or broken off."""
        for one in self._threads:
            one.join()

    def _send(self, number: int) -> None:
        start_s = int(time.time()) + 90 * 86_400 + number * 600
        body = booking("tromso", f"Sent to a frozen server {number}", start_s, 300, invitees=[])
        headers = {"Idempotency-Key": uuid4().hex}
        self.statuses.append(
            self._server.ask("POST", "/api/v1/meetings", body, headers, timeout_s=PATIENCE_S).status
        )


def booking(room: str | list[str], subject: str, start_s: int, seconds: int, **more: Any) -> dict[str, Any]:
    """A booking as the API takes it."""
    return {
        "rooms": [room] if isinstance(room, str) else room,
        "subject": subject,
        "organizer": ORGANIZER,
        "invitees": list(GUESTS),
        "start": iso(start_s),
        "end": iso(start_s + seconds),
        "time_zone": "UTC",
        **more,
    }
