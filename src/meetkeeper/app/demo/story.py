"""One run of the demonstration: what was done, what was promised, what was seen."""

import os
import time
from collections.abc import Callable
from typing import Any, Literal

import click
from msgspec import Struct

from meetkeeper.app.demo.actors import SinkThread
from meetkeeper.app.demo.booker import Booker
from meetkeeper.app.demo.lookout import Lookout
from meetkeeper.app.demo.parts import Parts
from meetkeeper.app.demo.servers import Server, wait_until

Kind = Literal["killed", "frozen", "switched"]
TAKE_OVER_S_MAX = 30.0
"""How long is waited for the other server; what was promised is judged later."""


class Handover(Struct, frozen=True):
    """One server stopped acting, the other began. `begin`, `end`: the steady clock's; `at_s`: the wall clock's."""

    kind: Kind
    to: str
    begin: float
    end: float
    at_s: float

    @property
    def took_s(self) -> float:
        """From the blow, or from the asking, to the first sign of the other one's acting."""
        return self.end - self.begin


class Story:
    """One run: what was done, what was promised, what was seen."""

    def __init__(self, parts: Parts, sink: SinkThread, lookout: Lookout) -> None:
        self.parts = parts
        self.servers = parts.servers
        self.sink = sink
        self.lookout = lookout
        self.booker = Booker(parts.servers)
        self.begin_s = int(time.time()) + 3
        self.doors: dict[str, tuple[str, str]] = {}
        """Meeting id → (alias, PIN) as first told."""
        self.acknowledged: dict[str, tuple[str, str]] = {}
        self.uris_changed: list[str] = []
        self.broken: list[str] = []
        self.must_run: set[str] = set()
        self.late = ""
        """The meeting that is due while the active server has just been killed."""
        self.outages: list[tuple[float, float]] = []
        """Times without an active server, by the wall clock."""
        self.handovers: list[Handover] = []
        self.unavailable_s: dict[Kind, list[float]] = {"killed": [], "frozen": [], "switched": []}
        """How long a client that books all the time was without an answer."""
        self.restart_s: list[float] = []
        """From a blow until the server that took it was in sync again."""
        self.requests_sent = 0
        self.requests_lost = 0
        self.kills = 0
        self.freezes = 0
        self.stops = 0
        self.busy = 0.0
        """The most processes that wanted one core at a time, as the system counts them."""
        self.cookies_damaged = 0
        self.read_at_kill = 0
        """How many of the invitations were read when the reader was killed."""

    def say(self, text: str) -> None:
        """Progress, for whoever watches."""
        click.echo(f"{time.time() - self.begin_s:6.1f} s  {text}", err=True)

    def expect(self, what: str, held: object) -> None:
        """A promise; a broken one fails the run in the end."""
        if not held:
            self.broken.append(what)
            self.say(f"BROKEN: {what}")

    def acknowledge(self, answer: Any) -> str:
        """Remember an acknowledged booking; its id, empty for a refused one."""
        self.expect("a booking is answered 201", answer.status == 201)
        if answer.status != 201:
            return ""
        door = (answer.body["vmr"]["alias"], answer.body["vmr"]["pin"])
        self.acknowledged[answer.body["id"]] = door
        return str(answer.body["id"])

    def hand_over(self, kind: Kind, active: Server, do: Callable[[Server], object]) -> Handover:
        """Do this to the active server and wait until the other one acts. Raises `Unavailable` when it never does."""
        other = self.servers.other(active)
        self.busy = max(self.busy, os.getloadavg()[0] / (os.cpu_count() or 1))
        begin, at_s = time.monotonic(), time.time()
        do(active)
        wait_until(
            f"{other.name} to act",
            lambda: self.lookout.acts_since(other, begin) is not None,
            TAKE_OVER_S_MAX,
        )
        end = self.lookout.acts_since(other, begin)
        assert end is not None
        done = Handover(kind, other.name, begin, end, at_s)
        self.handovers.append(done)
        self.outages.append((at_s, at_s + done.took_s))
        self.say(f"{other.name} acts after {done.took_s:.2f} s")
        return done

    def wait_back(self, since: float) -> None:
        """Wait until both servers are in sync again. Raises `Unavailable` when that takes too long."""
        self.servers.wait_in_sync()
        self.restart_s.append(round(time.monotonic() - since, 3))
        self.say(f"both are in sync again, {self.restart_s[-1]:.1f} s after the blow")

    def outage_at(self, at_s: float) -> tuple[float, float] | None:
        """The time without an active server in which this instant lies, if any."""
        return next((one for one in self.outages if one[0] - 0.5 <= at_s <= one[1]), None)

    def look(self) -> dict[str, dict[str, Any]]:
        """Read all meetings; compare every door with what was told before."""
        meetings = self.booker.meetings()
        for meeting in meetings.values():
            if not meeting.get("vmr"):
                continue
            door = (meeting["vmr"]["alias"], meeting["vmr"]["pin"])
            if self.doors.setdefault(meeting["id"], door) != door:
                self.uris_changed.append(meeting["id"])
        return meetings
