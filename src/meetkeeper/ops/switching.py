"""Switchover, failover, maintenance and the register, as a person asks for them: first a plan, then the act.

A plan says how long it would take, which meetings start meanwhile, what would change outside (nothing) and what is in
the way. It is made from what this server holds: a passive server plans as well as an active one. Whoever asks is
answered when the act has begun; that it is over shows on both servers (`api.pairviews`).
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from meetkeeper.api.pairviews import (
    ActView,
    CheckView,
    DrillReport,
    MaintenanceView,
    MoveView,
    PairHistory,
    PlanView,
    ReadinessView,
    StartView,
    TookView,
)
from meetkeeper.api.writes import Elsewhere
from meetkeeper.core.errors import Refused, TheirMistake, Unavailable
from meetkeeper.core.state import State, Status
from meetkeeper.core.words import Step
from meetkeeper.engine.pair import Pair
from meetkeeper.engine.seat import peer_readiness
from meetkeeper.ha import happenings as on
from meetkeeper.ha.given import can_hand_over
from meetkeeper.ha.moves import refuse_switchover
from meetkeeper.ha.table import ROWS
from meetkeeper.ha.view import claim_reason, is_whole
from meetkeeper.ha.words import Mode, Proof, Role, Witness
from meetkeeper.ops.drill import Drill
from meetkeeper.ops.maintenance import Maintenance
from meetkeeper.ops.measuring import Measurer
from meetkeeper.ops.pasts import Pasts, iso
from meetkeeper.ports.register import Believing

log = structlog.get_logger("pair")

STARTS_MAX = 100
GAP_S_MIN = 1.0
"""A plan looks at least so far ahead for meetings that start meanwhile."""
HISTORY_MAX = 100
WORD_S_MAX = 8.0
"""So long a passive server that has just begun, or has just handed over, may take to measure itself."""
POLL_S = 0.1
_UNDONE = (Status.OPEN, Status.SENDING, Status.WAITING, Status.UNKNOWN)
_BEFORE = (Step.SCHEDULED, Step.PROVISIONED)
_ROWS = {row.number: row for row in ROWS}


class Switching:
    """`api.pairviews.PairHooks` on a server of a pair."""

    def __init__(
        self,
        pair: Pair,
        measurer: Measurer,
        pasts: Pasts,
        maintenance: Maintenance,
        active_url: Callable[[], str | None],
    ) -> None:
        self._pair, self._measurer = pair, measurer
        self._pasts, self._maintenance = pasts, maintenance
        self._active_url = active_url
        self.drilling: Drill | None = None
        """Set by `ops.operations`: a drill asks for switchovers itself."""

    # --- looking ------------------------------------------------------------------------------------------------

    async def readiness(self) -> ReadinessView:
        """See `PairHooks`: measured here while passive, told by the other server while active."""
        view, heart = self._pair.heart.view, self._pair.heart
        takes_s, measured = self._pasts.estimate("failover")
        if view.role is not Role.PASSIVE:
            ready, reasons = peer_readiness(view, heart.peer_facts)
            known = ready in ("ready", "at risk", "not ready")
            return ReadinessView(
                server=view.peer,
                ready=ready if known else "unknown",  # type: ignore[arg-type] # compared above
                reasons=reasons,
                age_s=None,
                takes_s=takes_s,
                measured=measured,
            )
        verdict = self._measurer.verdict()
        return ReadinessView(
            server=view.me,
            ready=verdict.ready,
            reasons=verdict.reasons,
            age_s=None if not verdict.checks else round(self._pair.steady_s() - verdict.at_s, 1),
            takes_s=takes_s,
            measured=measured,
            checks=tuple(CheckView(name=one.name, state=one.state, text=one.text) for one in verdict.checks),
        )

    async def history(self) -> PairHistory:
        """See `PairHooks`."""
        moves = []
        for move in self._pasts.moves()[:HISTORY_MAX]:
            row = _ROWS.get(move.row)
            moves.append(
                MoveView(
                    at=iso(move.at_s),
                    row=move.row,
                    was=move.was,
                    now=move.now,
                    when="" if row is None else row.when,
                    why="" if row is None else row.why,
                )
            )
        took = (
            TookView(at=iso(one.at_s), act=one.act, to=one.to, seconds=round(one.seconds, 3))
            for one in self._pasts.took()[:HISTORY_MAX]
        )
        return PairHistory(moves=tuple(moves), took=tuple(took))

    # --- switchover ---------------------------------------------------------------------------------------------

    async def switchover(self, *, dry_run: bool, why: str, by: str) -> ActView:
        """See `PairHooks`. On the passive server: `Elsewhere`, to the active one."""
        view = self._pair.heart.view
        if view.role is Role.PASSIVE or view.role is Role.CLAIMING:
            self._lead("/api/v1/cluster/switchover")
        plan = await self._settled_plan()
        if dry_run:
            return ActView(begun=False, text="Nothing was done.", plan=plan)
        if plan.blocks:
            raise Refused("pair.blocked", f"{' '.join(plan.blocks)} Nothing was changed.")
        log.info("switchover.asked", by=by, why=why)
        text = await self._pair.ask(on.SwitchoverAsked(_reason(by, why)))
        return ActView(begun=True, text=text, plan=plan)

    async def _settled_plan(self) -> PlanView:
        """The passive server's word about itself may be a moment old: what blocks is asked again for a while."""
        until_s = self._pair.steady_s() + WORD_S_MAX
        while (plan := self.plan_switchover()).blocks and self._pair.steady_s() < until_s:
            if not can_hand_over(self._pair.heart.view, on.SwitchoverAsked(""), self._pair.steady_s()):
                break
            await asyncio.sleep(POLL_S)
        return plan

    def plan_switchover(self) -> PlanView:
        """What a switchover by this server would do."""
        view, now_s = self._pair.heart.view, self._pair.steady_s()
        asked, blocks, remarks = on.SwitchoverAsked(""), list[str](), list[str]()
        if view.role is not Role.ACTIVE or not self._pair.began.is_set():
            blocks.append(f"{view.me} is {view.role}: only the active server can hand over.")
        elif not can_hand_over(view, asked, now_s):
            answer = refuse_switchover(view, asked, now_s)[1][0]
            assert isinstance(answer, on.Answer)
            blocks.append(answer.text.removesuffix(" Nothing was changed."))
        facts = self._pair.heart.peer_facts
        if view.linked and facts.ready in ("not ready", "unknown") and not blocks:
            blocks.append(f"{view.peer} is {facts.ready}: {' '.join(facts.reasons)}")
        elif view.linked and facts.ready != "ready":
            remarks.append(f"{view.peer} is {facts.ready}: {' '.join(facts.reasons)}".rstrip(": "))
        return self._plan("switchover", view.me, view.peer, (0, blocks, remarks))

    # --- failover -----------------------------------------------------------------------------------------------

    async def failover(self, *, dry_run: bool, stopped: str, accept_loss: str, by: str) -> ActView:
        """See `PairHooks`."""
        stopped, accept_loss = stopped.strip(), accept_loss.strip()
        plan = self.plan_failover(accepts=bool(accept_loss))
        if dry_run:
            return ActView(begun=False, text="Nothing was done.", plan=plan)
        if not stopped and not accept_loss:
            raise TheirMistake(
                "pair.no-proof",
                f"Say how you know that {plan.by} has stopped (proof.stopped), or accept_loss and why that is right.",
            )
        if plan.blocks:
            raise Refused("pair.blocked", f"{' '.join(plan.blocks)} Nothing was changed.")
        await self._need_register()
        view = self._pair.heart.view
        epoch = view.epoch if view.record is None else view.record.epoch
        why = _reason(by, stopped or f"loss accepted: {accept_loss}")
        log.warning("failover.asked", by=by, why=why, accept_loss=accept_loss)
        proof = Proof(
            server=view.peer,
            epoch=epoch,
            witness=Witness.OPERATOR,
            position=None,
            record=None,
            why=why,
            at_s=self._pair.parts.clock.now_s(),
            accept_loss=bool(accept_loss),
        )
        text = await self._pair.ask(on.ForceAsked(proof))
        return ActView(begun=True, text=text, plan=plan)

    async def _need_register(self) -> None:
        """A person's word is a change of the register too: one that can't be asked would take it at some later time.

        Raises `Unavailable`.
        """
        if not self._pair.heart.view.trouble:
            return
        await self._look_anew()
        view = self._pair.heart.view
        if view.arbitrates and view.trouble and view.read_s < view.asked_s:
            raise Unavailable(
                "register.away",
                f"The register has to be asked, and can't be: {view.trouble} Mend that first. Nothing was changed.",
            )

    def plan_failover(self, *, accepts: bool) -> PlanView:
        """What a failover to this server would do."""
        view = self._pair.heart.view
        blocks, remarks = list[str](), list[str]()
        loss = max(0, view.peer_position.seq - self._pair.database.kept.seq)
        if view.role is Role.ACTIVE:
            blocks.append(f"{view.me} is active already.")
        elif view.linked and view.peer_role in (Role.ACTIVE, Role.YIELDING):
            blocks.append(f"{view.peer} is there and acts: use `meetkeeper switchover`, it loses nothing.")
        elif view.linked and view.peer_role is Role.CLAIMING:
            blocks.append(f"{view.peer} is there and takes over.")
        holds = is_whole(view) and (view.mode is not Mode.ASYNC or not loss)
        if not holds and not accepts:
            blocks.append(
                f"{view.me} does not hold everything that was acknowledged ({loss} frames are known to be missing): "
                f"start {view.peer} instead, or accept the loss in words (--accept-loss)."
            )
        reason = claim_reason(view, self._pair.steady_s())
        if reason is not None and not blocks:
            remarks.append(f"It takes over by itself: {reason}.")
        if view.trouble:
            remarks.append(f"The register can't be used: {view.trouble}")
        return self._plan("failover", view.peer, view.me, (0 if holds else loss, blocks, remarks))

    # --- plans --------------------------------------------------------------------------------------------------

    def _plan(self, act: str, by: str, to: str, said: tuple[int, Sequence[str], Sequence[str]]) -> PlanView:
        loss, blocks, remarks = said
        takes_s, measured = self._pasts.estimate(act)
        state, now_s = self._pair.database.state, self._pair.parts.clock.now_s()
        open_effects = sum(row.status in _UNDONE for row in state.outbox.values())
        return PlanView(
            act="switchover" if act == "switchover" else "failover",
            by=by,
            to=to,
            takes_s=round(takes_s, 3),
            measured=measured,
            starts=starts_between(state, now_s, now_s + max(takes_s, GAP_S_MIN)),
            outside=(),
            open_effects=open_effects,
            loss=loss,
            blocks=tuple(blocks),
            remarks=tuple(remarks),
        )

    # --- policy -------------------------------------------------------------------------------------------------

    async def maintenance(self, *, minutes: float, why: str, by: str) -> MaintenanceView:
        """See `PairHooks`. Asked of either server; the other one hears of it with the next beacon, or when it links."""
        try:
            now_s = self._pair.parts.clock.now_s()
            await asyncio.to_thread(self._maintenance.put, minutes, why, by, now_s)
        except OSError as wrong:
            raise Unavailable("disk", f"It can't be kept on the disk: {wrong}. Look at the disk.") from wrong
        self.honour_maintenance()
        return await self.in_maintenance()

    def honour_maintenance(self) -> None:
        """Let the machine know."""
        left_s = self._maintenance.window.left_s(self._pair.parts.clock.now_s())
        until_s = self._pair.steady_s() + left_s if left_s else 0.0
        self._pair.heart.on(on.MaintenanceSet(until_s))

    async def in_maintenance(self) -> MaintenanceView:
        """See `PairHooks`."""
        window = self._maintenance.window
        left_s = window.left_s(self._pair.parts.clock.now_s())
        return MaintenanceView(
            left_s=round(left_s, 1),
            until=iso(window.until_s) if left_s else None,
            why=window.why if left_s else "",
            by=window.by if left_s else "",
        )

    async def reset_register(self, *, why: str, by: str) -> str:
        """See `PairHooks`."""
        view = self._pair.heart.view
        if view.role is not Role.ACTIVE:
            self._lead("/api/v1/cluster/register/reset")
        if not view.trouble:
            raise Refused("register.fine", "Nothing is wrong with the register. Nothing was changed.")
        log.warning("register.reset-asked", by=by, why=why)
        await self._look_anew()
        if not self._pair.heart.view.trouble:
            return "The register can be used again. Nothing had to be written."
        proof = Proof(
            server=view.peer,
            epoch=view.epoch,
            witness=Witness.OPERATOR,
            position=None,
            record=view.record,
            why=_reason(by, why),
            at_s=self._pair.parts.clock.now_s(),
        )
        return await self._pair.ask(on.ForceAsked(proof))

    async def _look_anew(self) -> None:
        """Read the register as it stands, older than before or not: a person has looked at it."""
        if isinstance(self._pair.parts.register, Believing):
            self._pair.parts.register.believe()
        begun_s = self._pair.heart.view.read_s
        self._pair.read_register()
        until_s = self._pair.steady_s() + WORD_S_MAX
        while self._pair.steady_s() < until_s:
            if self._pair.heart.view.read_s > begun_s:
                return
            await asyncio.sleep(POLL_S)

    def _lead(self, path: str) -> None:
        """Raises `Elsewhere` where the active server is known, `Unavailable` where none is."""
        url = self._active_url()
        if url is None:
            raise Unavailable(
                "passive",
                "No server is active at the moment. `meetkeeper standby check` says what this one waits for.",
                retry_after_s=1.0,
            )
        raise Elsewhere(url.rstrip("/") + path)

    # --- drills -------------------------------------------------------------------------------------------------

    async def drill(self, *, by: str) -> DrillReport:
        """See `PairHooks`."""
        assert self.drilling is not None
        return await self.drilling.begin(by)

    async def drills(self) -> Sequence[DrillReport]:
        """See `PairHooks`."""
        assert self.drilling is not None
        return await asyncio.to_thread(self.drilling.reports)


def starts_between(state: State, from_s: float, until_s: float) -> tuple[StartView, ...]:
    """Meetings that start then, by start."""
    found = []
    for kept in state.meetings.values():
        if from_s <= kept.start_s < until_s and kept.step in _BEFORE:
            found.append((kept.start_s, StartView(id=kept.id, start=iso(kept.start_s), rooms=kept.rooms)))
    found.sort(key=lambda one: (one[0], one[1].id))
    return tuple(one for _, one in found[:STARTS_MAX])


def _reason(by: str, why: str) -> str:
    return f"{by}: {why}" if why else by
