"""What runs beside a server of a pair: measuring, remembering, alarms, the maintenance window. Decides nothing itself.

`app` makes one, runs it for as long as the server lives, tells it when the role has moved, and hands `switching` to the
door. A fault in here is logged and costs what is in here, never the role.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import structlog
from msgspec import Struct

from meetkeeper.core import audit
from meetkeeper.core.configuration import Config, PairConfig, Secret
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.engine.neighbours import Neighbours
from meetkeeper.engine.pair import Pair
from meetkeeper.ha.view import Reason, alarms
from meetkeeper.ha.words import Facts, Role
from meetkeeper.ops import drill, measuring, notices
from meetkeeper.ops.alarms import Alarms, Notice
from meetkeeper.ops.drill import Drill
from meetkeeper.ops.maintenance import Maintenance
from meetkeeper.ops.measuring import Measurer
from meetkeeper.ops.notices import Notices
from meetkeeper.ops.pasts import Move, Pasts, Took, iso
from meetkeeper.ops.readiness import NEAR_FRAMES
from meetkeeper.ops.switching import Switching
from meetkeeper.ports.mailer import Mailer

log = structlog.get_logger("operations")

LOOK_S = 0.5
CHANGE_S_MAX = 15.0
"""So long a server that handed over watches for the other one to act."""
POLL_S = 0.01


class Means(Struct, frozen=True, kw_only=True):
    """What `app` gives: files, adapters, the other server's address."""

    home: Path
    build: Callable[[Config], Neighbours]
    mailer: Callable[[Config], Mailer | None]
    reveal: Callable[[Secret], str]
    certificates: Mapping[str, Path]
    days_left: Callable[[bytes], float]
    test_fence: Callable[[], Awaitable[str]] | None
    token: Callable[[], str]
    active_url: Callable[[], str | None]


class Operations:
    """Everything beside the pair on one server."""

    def __init__(self, pair: Pair, means: Means) -> None:
        self._pair = pair
        self.maintenance = Maintenance(means.home)
        self.pasts = Pasts(means.home)
        self.measurer = Measurer(
            pair,
            measuring.Means(
                home=means.home,
                build=means.build,
                certificates=means.certificates,
                days_left=means.days_left,
                test_fence=means.test_fence,
            ),
        )
        self.switching = Switching(pair, self.measurer, self.pasts, self.maintenance, means.active_url)
        self._drill = Drill(
            pair,
            drill.Means(
                home=means.home,
                token=means.token,
                switch_here=self._switch_here,
                policy=self._policy,
            ),
        )
        self.switching.drilling = self._drill
        self._notices = Notices(notices.Means(home=means.home, reveal=means.reveal, mailer=means.mailer))
        self._alarms = Alarms()
        self._acted: bool | None = None
        self._seen_s = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; then what was to be told is told."""
        measuring_ = asyncio.create_task(self.measurer.run(), name="readiness")
        measuring_.add_done_callback(complain)
        self.switching.honour_maintenance()
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_S)
        finally:
            measuring_.cancel()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(measuring_, *self._tasks, return_exceptions=True)
            await self._drill.close()
            self.moved()
            await self._notices.close()

    async def _look(self) -> None:
        pair = self._pair
        self._notices.configure(pair.database.state.config)
        facts, now_s = pair.heart.peer_facts, pair.parts.clock.now_s()
        if pair.heart.view.linked and facts.maintenance_set_s > self.maintenance.window.set_s:
            try:
                if await asyncio.to_thread(self.maintenance.hear, facts, now_s):
                    window = self.maintenance.window
                    log.info("maintenance", left_s=round(window.left_s(now_s)), why=window.why, by=window.by)
                    self.switching.honour_maintenance()
            except OSError as wrong:
                log.warning("maintenance.not-kept", why=str(wrong))
        self.moved()
        self._tell_alarms()

    def said(self, facts: Facts) -> Facts:
        """What this server says about itself, with what is known here."""
        return self.maintenance.said(facts, self._pair.parts.clock.now_s())

    async def _switch_here(self, why: str) -> object:
        return await self.switching.switchover(dry_run=False, why=why, by="drill")

    def _policy(self) -> PairConfig:
        config = self._pair.database.state.config
        return PairConfig() if config is None else config.pair

    # --- moves --------------------------------------------------------------------------------------------------

    def moved(self) -> None:
        """The role may have moved: remember which row did it, tell whoever is to be told."""
        view = self._pair.heart.view
        for taken in list(self._pair.heart.taken):
            if taken.at_s > self._seen_s:
                self._seen_s = taken.at_s
                if taken.before is not taken.after:
                    self.pasts.note(
                        Move(self._wall_s(taken.at_s), taken.number, str(taken.before), str(taken.after))
                    )
                    self._measure(taken.before, taken.after, taken.at_s)
        acts = view.role is Role.ACTIVE and self._pair.began.is_set()
        if acts and not self._acted:
            self._tell_role("active", f"{view.me} acts now (epoch {view.epoch}).")
        elif self._acted is not False and view.role in (Role.PASSIVE, Role.ENDED):
            self._tell_role(
                "passive", f"{view.me} does not act any more." if self._acted else f"{view.me} is passive."
            )
        if acts or view.role in (Role.PASSIVE, Role.ENDED):
            self._acted = acts

    def _tell_role(self, role: Literal["active", "passive"], text: str) -> None:
        was = {None: "", True: "active", False: "passive"}[self._acted]
        self._notices.configure(self._pair.database.state.config)
        self._notices.tell(self._notice("role", role, text, was))

    def _measure(self, before: Role, after: Role, at_s: float) -> None:
        if before is Role.ACTIVE and after is Role.YIELDING:
            self._spawn(self._until_other_acts(at_s))
        elif before is Role.CLAIMING and after is Role.ACTIVE:
            view = self._pair.heart.view
            why = "" if view.record is None else view.record.why
            if why == Reason.SILENT:
                self._spawn(self._until_acting(view.heard_s))
            elif why == Reason.PROVEN or why.startswith(Reason.FORCED):
                self._spawn(self._until_acting(view.gone_s))

    async def _until_other_acts(self, begun_s: float) -> None:
        while self._pair.steady_s() - begun_s < CHANGE_S_MAX:
            view = self._pair.heart.view
            if view.role is Role.ACTIVE:
                return
            if view.role is Role.PASSIVE and view.linked and view.peer_role is Role.ACTIVE:
                self._note_took("switchover", view.peer, begun_s)
                return
            await asyncio.sleep(POLL_S)

    async def _until_acting(self, gone_s: float) -> None:
        """Counted from the last moment the active was there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CHANGE_S_MAX):
                await self._pair.began.wait()
            self._note_took("failover", self._pair.heart.view.me, gone_s)

    def _note_took(self, act: Literal["switchover", "failover"], to: str, begun_s: float) -> None:
        seconds = self._pair.steady_s() - begun_s
        log.info("took", act=act, to=to, seconds=round(seconds, 3))
        self.pasts.note(Took(self._pair.parts.clock.now_s(), act, to, round(seconds, 4)))

    def _wall_s(self, steady_s: float) -> float:
        return self._pair.parts.clock.now_s() - (self._pair.steady_s() - steady_s)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- alarms -------------------------------------------------------------------------------------------------

    def present(self) -> dict[str, str]:
        """Everything that is wrong as this server sees it, by name."""
        pair = self._pair
        view = pair.heart.view
        found = alarms(view, pair.steady_s())
        if view.role is Role.PASSIVE:
            verdict = self.measurer.verdict()
            if verdict.ready in ("not ready", "at risk"):
                found["readiness"] = f"{view.me} is {verdict.ready}: {' '.join(verdict.reasons)}"
        if view.role is Role.ACTIVE and view.linked:
            behind = pair.database.kept.seq - view.peer_position.seq
            if behind > NEAR_FRAMES:
                found["lagging"] = f"{view.peer} is {behind} frames behind."
        if view.role is Role.ACTIVE:
            hidden = audit.alarm(pair.database.state.rooms_news)
            if hidden:
                found["audit"] = hidden
        if pair.failure is not None:
            found["failed"] = f"{view.me} can't go on: {pair.failure.message}"
        return found

    def _tell_alarms(self) -> None:
        again_s = self._policy().alarm_again_s
        for kind, name, text in self._alarms.look(self.present(), self._pair.steady_s(), again_s):
            said = text if kind == "alarm" else f"All clear: {text}"
            self._notices.tell(self._notice(kind, name, said))

    def _notice(self, kind: Literal["alarm", "clear", "role"], name: str, text: str, was: str = "") -> Notice:
        view = self._pair.heart.view
        return Notice(
            kind=kind,
            name=name,
            text=text,
            server=view.me,
            peer=view.peer,
            role=str(view.role),
            epoch=view.epoch,
            at=iso(self._pair.parts.clock.now_s()),
            was=was,
        )


def complain(task: "asyncio.Task[None]") -> None:
    """A fault of ours beside the pair is said once; the role is not touched by it."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        text = fault.message if isinstance(fault, MeetkeeperError) else repr(fault)
        log.error("operations.fault", text=text, exc_info=fault)
