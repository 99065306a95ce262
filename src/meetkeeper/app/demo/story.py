"""One run of the demonstration: what was done, what was promised, what was seen."""

import time
from typing import Any

import click

from meetkeeper.app.demo.actors import Booker, SinkThread
from meetkeeper.app.demo.parts import Parts


class Story:
    """One run: what was done, what was promised, what was seen."""

    def __init__(self, parts: Parts, sink: SinkThread) -> None:
        self.parts = parts
        self.sink = sink
        self.booker = Booker(parts)
        self.begin_s = int(time.time()) + 3
        self.doors: dict[str, tuple[str, str]] = {}
        """Meeting id → (alias, PIN) as first told."""
        self.acknowledged: dict[str, tuple[str, str]] = {}
        self.uris_changed: list[str] = []
        self.broken: list[str] = []
        self.must_run: set[str] = set()
        self.late = ""
        """The meeting that is due while the server is down."""
        self.outages: list[tuple[float, float]] = []
        self.restart_s: list[float] = []
        self.kills = 0
        self.cookies_damaged = 0

    def say(self, text: str) -> None:
        """Progress, for whoever watches."""
        click.echo(f"{time.time() - self.begin_s:6.1f} s  {text}", err=True)

    def expect(self, what: str, held: object) -> None:
        """A promise; a broken one fails the run in the end."""
        if not held:
            self.broken.append(what)
            self.say(f"BROKEN: {what}")

    def kill(self) -> None:
        """SIGKILL: no farewell, no last flush."""
        self.parts.kill_server()
        self.kills += 1
        self.outages.append((time.time(), float("inf")))

    def restart(self) -> None:
        """Bring the server back."""
        begun_s = time.monotonic()
        self.parts.start_server()
        self.restart_s.append(round(time.monotonic() - begun_s, 3))
        self.outages[-1] = (self.outages[-1][0], time.time())
        self.say(f"the server is back after {self.restart_s[-1]} s")

    def was_down(self, at_s: float) -> bool:
        """True when the server was dead, or had just come back, at that instant."""
        return any(begin_s - 0.5 <= at_s <= end_s for begin_s, end_s in self.outages)

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
