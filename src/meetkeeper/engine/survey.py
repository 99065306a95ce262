"""Looks at bridges and the mail server from time to time: what stands there, whether they answer or have restarted.

A bridge that has restarted, or lost a VMR, gets everything back without anyone asking.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.events import BridgeSurveyed, Event
from meetkeeper.engine.neighbours import NamedBridge, Neighbours
from meetkeeper.engine.node import Handled
from meetkeeper.engine.status import BridgeStatus

log = structlog.get_logger("bridges")

MAIL_PROBE_S = 60.0


class Desk(Protocol):
    """What the surveyor needs of the loop."""

    @property
    def neighbours(self) -> Neighbours:
        """Everybody outside."""
        ...

    def handle(self, event: Event) -> Handled:
        """Decide about an event."""
        ...

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None] | None:
        """Run something beside."""
        ...


class Surveyor:
    """One loop per bridge, one for the mail server."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._bridges: dict[str, BridgeStatus] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.mail_ok = False
        self.mail_text = ""

    def start(self) -> None:
        """Begin to look."""
        for named in self._desk.neighbours.bridges:
            self._bridges.setdefault(
                named.id, BridgeStatus(named.id, named.kind, ok=False, text="not yet reached")
            )
            self._spawn(f"bridge {named.id}", lambda one=named: self._follow_bridge(one))  # type: ignore[misc]
        if self._desk.neighbours.mailer is not None:
            self._spawn("mail server", self._follow_mail)
        else:
            self.mail_ok, self.mail_text = False, "not configured: invitees are not told by mail"

    def _spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        task = self._desk.spawn(name, work)
        if task is not None:
            self._tasks.append(task)

    def stop(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def restart(self) -> None:
        """The configuration has changed."""
        self.stop()
        known = {named.id for named in self._desk.neighbours.bridges}
        self._bridges = {one: status for one, status in self._bridges.items() if one in known}
        self.start()

    def statuses(self) -> tuple[BridgeStatus, ...]:
        """How each bridge stands."""
        return tuple(self._bridges[one] for one in sorted(self._bridges))

    async def _follow_bridge(self, named: NamedBridge) -> None:
        instance = ""
        while True:
            try:
                health = await named.bridge.probe()
                found = await named.bridge.survey()
            except MeetkeeperError as trouble:
                self._note(BridgeStatus(named.id, named.kind, ok=False, text=trouble.message))
            else:
                if instance and instance != health.instance:
                    log.warning("bridge.restarted", bridge=named.id)
                instance = health.instance
                self._note(BridgeStatus(named.id, named.kind, ok=True, text=health.text, vmrs=len(found)))
                if named.kind != "link":
                    self._desk.handle(BridgeSurveyed(named.id, {one.alias: one.marker for one in found}))
            await asyncio.sleep(named.reconcile_s)

    def _note(self, status: BridgeStatus) -> None:
        before = self._bridges.get(status.id)
        if before is None or before.ok != status.ok:
            log.log(20 if status.ok else 30, "bridge.state", bridge=status.id, ok=status.ok, text=status.text)
        self._bridges[status.id] = status

    async def _follow_mail(self) -> None:
        while True:
            mailer = self._desk.neighbours.mailer
            if mailer is None:
                return
            try:
                self.mail_text = await mailer.probe()
                self.mail_ok = True
            except MeetkeeperError as trouble:
                if self.mail_ok or not self.mail_text:
                    log.warning("mail.trouble", code=trouble.code, text=trouble.message)
                self.mail_ok, self.mail_text = False, trouble.message
            await asyncio.sleep(MAIL_PROBE_S)
