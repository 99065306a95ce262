"""The pair's shell on a real server: the heart's hands. Register, line, disk, engine and clock, on one event loop.

One process, one home. A reign that ends in order (a switchover) leaves the process as a passive one; a role lost in
disorder ends it, and its agent starts it again. Contains no rule about who may act: those are rows of `ha.table`.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Protocol

import structlog
from msgspec.structs import replace

from meetkeeper.core.errors import MeetkeeperError, Refused, Unavailable
from meetkeeper.core.timing import keep_watch
from meetkeeper.engine.flow import Chunk
from meetkeeper.engine.journals import Journals
from meetkeeper.engine.loop import Engine
from meetkeeper.engine.pairing import Pairing
from meetkeeper.engine.partner import Partner
from meetkeeper.ha import happenings as ev
from meetkeeper.ha import words
from meetkeeper.ha.table import Row
from meetkeeper.ha.view import View
from meetkeeper.ha.words import (
    Facts,
    Found,
    Message,
    Outcome,
    Position,
    Proof,
    Record,
    Role,
    Unknown,
    Won,
)
from meetkeeper.ports.clock import Clock
from meetkeeper.ports.disk import Disk
from meetkeeper.ports.peer import PeerLink, StopProver
from meetkeeper.ports.register import Register
from meetkeeper.store.database import Database

TICK_S = 0.1
PAUSE_S = 1.5
"""A loop that did not come round for so long may be somebody's past."""
JUMP_S = 1.0
"""So much the wall clock may move against the steady one between two looks."""
WATCH_S = 15.0
"""How often a passive server lets go of what was due."""
COMMAND_S_MAX = 30.0
GRANT_S_MAX = 2.0

log = structlog.get_logger("pair")


class RoleLost(MeetkeeperError):
    """This server may not act any more; the process ends and is started again as passive."""


class Memory(Protocol):
    """What this server keeps of who may act (`registers.standing`)."""

    def mirror(self, record: Record) -> bool:
        """Keep what a third place said."""
        ...

    def remember(self, record: Record, version: int) -> bool:
        """Keep what the other server said."""
        ...

    def adopt(self, proof: Proof) -> words.Reading:
        """Keep what a stopped server knew."""
        ...

    def gave_word(self) -> None:
        """This server's own word that it has stopped is on its way."""
        ...

    def consent(self, expected: int, record: Record, *, acting: bool) -> tuple[bool, Found | words.Empty]:
        """May the other one reign?"""
        ...


class Parts(Protocol):
    """What `app` gives: everything that only it may pick."""

    link: PeerLink
    register: Register
    memory: Memory
    prover: StopProver
    """The other host's agent."""
    fencer: StopProver | None
    """A command that ends the other host."""
    disk: Disk
    clock: Clock
    instance: str

    def open_database(self) -> Database:
        """Open this home's database."""
        ...

    def make_engine(self, database: Database, epoch: int, partner: Partner) -> Engine:
        """An engine for one reign."""
        ...

    def facts(self) -> Facts:
        """What this server says about itself."""
        ...

    def met(self, instance: str) -> None:
        """Remember the other server's home."""
        ...

    def moved(self) -> None:
        """Role, database or partner have changed: screens and files follow."""
        ...


class Pair:
    """One server of a pair. Make it, `run` it; it ends when the role is lost or the server leaves."""

    def __init__(self, parts: Parts, view: View, database: Database) -> None:
        self.parts = parts
        self.journals = Journals(self, parts, database)
        self.engine: Engine | None = None
        self.failure: MeetkeeperError | None = None
        self.began = asyncio.Event()
        """Set while a reign is kept and acts."""
        self.over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reigning: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[tuple[bool, str]] | None = None
        self._grants: dict[int, asyncio.Future[Outcome]] = {}
        self._grant_count = 0
        self._proving = False
        self.heart = Pairing(view, self, database, instance=parts.instance)

    @property
    def database(self) -> Database:
        """As it is open now."""
        return self.journals.database

    # --- life -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take part until this server leaves. Raises what made it fail, `RoleLost` when somebody else acts."""
        self.journals.start()
        self._spawn(self._tick())
        try:
            self.parts.link.start(self.heart)
            await self.over.wait()
        finally:
            await self._end()
        if self.failure is not None:
            raise self.failure

    async def _end(self) -> None:
        engine, reigning = self.engine, self._reigning
        if engine is not None and reigning is not None:
            engine.stop(hurried=True)
            await asyncio.wait({reigning})
        for task in list(self._tasks):
            task.cancel()
        await self.journals.stop()
        await self.parts.link.close()
        await self.parts.register.close()

    async def _tick(self) -> None:
        clock = self.parts.clock
        steady_s, wall_s = clock.steady_s(), clock.now_s()
        watched_s = steady_s
        while True:
            await asyncio.sleep(TICK_S)
            gap_s, wall_gap_s = clock.steady_s() - steady_s, clock.now_s() - wall_s
            steady_s, wall_s = clock.steady_s(), clock.now_s()
            if gap_s > PAUSE_S or abs(wall_gap_s - gap_s) > JUMP_S:
                log.warning("pair.paused", gap_s=round(gap_s, 2), wall_moved_s=round(wall_gap_s - gap_s, 2))
                self.heart.on(ev.Paused(gap_s))
            if self._reigning is None and steady_s >= watched_s + WATCH_S:
                watched_s = steady_s
                keep_watch(self.database.state, wall_s)
            self.heart.tick()

    def fail(self, error: MeetkeeperError) -> None:
        """This process can't go on."""
        if self.failure is None:
            self.failure = error
            log.error("pair.failed", code=error.code, text=error.message)
        if self.engine is not None:
            self.engine.drop(error)
        self.over.set()

    # --- what people ask ----------------------------------------------------------------------------------------

    async def ask(self, event: ev.SwitchoverAsked | ev.ForceAsked) -> str:
        """A person's wish; returns when it is begun. Raises `Refused` with what is in the way."""
        if self._answer is not None:
            raise Refused("pair.busy", "Somebody else's request is under way. Ask again in a moment.")
        self._answer = self._loop.create_future()
        try:
            if isinstance(event, ev.ForceAsked) and self.heart.view.role is Role.PASSIVE:
                self.adopt(event.proof)
            self.heart.on(event)
            async with asyncio.timeout(COMMAND_S_MAX):
                ok, text = await self._answer
        finally:
            self._answer = None
        if not ok:
            raise Refused("pair.refused", text)
        return text

    async def leave(self, why: str, *, hand_over: bool, back_after_s: float) -> None:
        """End on purpose: hand over where that is possible and wanted."""
        self.heart.on(ev.LeaveAsked(why, hand_over, back_after_s))
        await self.over.wait()

    def set_policy(self, mode: words.Mode, timing: words.Timing) -> None:
        """The cluster's configuration says so."""
        view = self.heart.view
        if (view.mode, view.timing) != (mode, timing):
            self.heart.view = replace(view, mode=mode, timing=timing)

    # --- hands: the line ----------------------------------------------------------------------------------------

    def steady_s(self) -> float:
        """See `Hands`."""
        return self.parts.clock.steady_s()

    def facts(self) -> Facts:
        """See `Hands`."""
        return self.parts.facts()

    def say(self, message: Message) -> bool:
        """See `Hands`."""
        if isinstance(message, words.Yielded):
            self.parts.memory.gave_word()
        return self.parts.link.send(message)

    def crowded(self) -> bool:
        """See `Hands`."""
        return self.parts.link.crowded

    def when_free(self, call: Callable[[], None]) -> None:
        """See `Hands`."""
        self.parts.link.when_free(call)

    def met(self, instance: str) -> None:
        """See `Hands`."""
        self.parts.met(instance)

    def relink(self, why: str) -> None:
        """See `Hands`."""
        self.parts.link.drop(why)

    # --- hands: who may act -------------------------------------------------------------------------------------

    def read_register(self) -> None:
        """See `Hands`."""
        self._spawn(self._read_register())

    async def _read_register(self) -> None:
        self.heart.on(ev.RegisterSaid(await self.parts.register.read()))

    def change_register(self, expected: int, record: Record) -> None:
        """See `Hands`."""
        stamped = replace(record, at_s=self.parts.clock.now_s(), nonce=secrets.token_hex(8))
        self._spawn(self._change_register(expected, stamped))

    async def _change_register(self, expected: int, record: Record) -> None:
        outcome = await self.parts.register.change(expected, record)
        log.info("register.changed" if isinstance(outcome, Won) else "register.unchanged", epoch=record.epoch,
                 active=record.active, in_sync=",".join(record.in_sync), why=record.why,
                 outcome=type(outcome).__name__)  # fmt: skip
        self.heart.on(ev.ChangeEnded(outcome, record))

    def promise(self, epoch: int) -> None:
        """See `Hands`."""
        self._spawn(self._promise(epoch))

    async def _promise(self, epoch: int) -> None:
        try:
            await asyncio.to_thread(self.database.promise, epoch)
        except MeetkeeperError as error:
            self.fail(error)
            return
        self.heart.on(ev.Promised(epoch))

    def remember(self, record: Record, version: int) -> None:
        """See `Hands`."""
        memory = self.parts.memory
        kept = memory.mirror(record) if self.parts.register.arbitrates else memory.remember(record, version)
        if not kept and self.parts.register.arbitrates:
            log.warning("pair.not-remembered", epoch=record.epoch)

    def adopt(self, proof: Proof) -> None:
        """See `Hands`."""
        if not self.parts.register.arbitrates:
            self.parts.memory.adopt(proof)

    def ask_proof(self, epoch: int, *, fence: bool) -> None:
        """See `Hands`."""
        if not self._proving:
            self._proving = True
            self._spawn(self._ask_proof(epoch, fence=fence))

    async def _ask_proof(self, epoch: int, *, fence: bool) -> None:
        fencers = (self.parts.fencer,) if fence and self.parts.fencer is not None else ()
        try:
            for prover in (self.parts.prover, *fencers):
                proof = await prover.ask(epoch)
                if proof is not None:
                    log.info("pair.proof", witness=str(proof.witness), epoch=proof.epoch, why=proof.why)
                    self.adopt(proof)
                    self.heart.on(ev.ProofCame(proof))
                    return
        finally:
            self._proving = False

    def heard_grant(self, message: words.AskGrant | words.Granted) -> None:
        """See `Hands`."""
        if isinstance(message, words.AskGrant):
            self._spawn(self._consent(message))
            return
        waiting = self._grants.pop(message.number, None)
        if waiting is not None and not waiting.done():
            found = (
                words.Empty(message.version)
                if message.record is None
                else Found(message.record, message.version)
            )
            waiting.set_result(Won(message.version) if message.ok else words.Lost(found))

    async def _consent(self, asked: words.AskGrant) -> None:
        acting = self.heart.view.role is not Role.PASSIVE
        if not acting:
            await asyncio.to_thread(self.database.promise, asked.record.epoch)
        ok, found = self.parts.memory.consent(asked.expected, asked.record, acting=acting)
        record = found.record if isinstance(found, Found) else None
        self.say(words.Granted(asked.number, ok, record, found.version))

    async def grant(self, expected: int, record: Record) -> Outcome:
        """`registers.standing` asks: does the other server consent?"""
        self._grant_count += 1
        number = self._grant_count
        waiting: asyncio.Future[Outcome] = self._loop.create_future()
        self._grants[number] = waiting
        try:
            if not self.say(words.AskGrant(number, expected, record)):
                return Unknown("The other server is not there to be asked.")
            async with asyncio.timeout(GRANT_S_MAX):
                return await waiting
        except TimeoutError:
            return Unknown("The other server did not answer.")
        finally:
            self._grants.pop(number, None)

    # --- hands: the engine --------------------------------------------------------------------------------------

    def begin_reign(self, epoch: int) -> None:
        """See `Hands`."""
        self._reigning = self._loop.create_task(self._reign(epoch), name="pair.reign")
        self._reigning.add_done_callback(self._reigned)

    async def _reign(self, epoch: int) -> None:
        await self.journals.stop()
        if self.over.is_set():
            return
        engine = self.parts.make_engine(self.database, epoch, self.heart)
        self.engine = engine

        def ready() -> None:
            self.began.set()
            self.parts.moved()
            self.heart.on(ev.ReignBegan(epoch))

        try:
            await engine.run(ready)
        finally:
            self.began.clear()

    def _reigned(self, reigning: "asyncio.Task[None]") -> None:
        """Whatever ended the engine ended the role, unless it was to end."""
        error = None if reigning.cancelled() else reigning.exception()
        if error is None:
            return
        known = (
            error if isinstance(error, MeetkeeperError) else RoleLost("engine.failed", f"A fault: {error!r}")
        )
        # First the trouble itself: what the role's end brings about is no reason of its own.
        self.fail(known)
        self.heart.on(ev.ActorFailed(known.message))

    def raise_reign(self, epoch: int) -> None:
        """See `Hands`."""
        if self.engine is not None:
            self.engine.raise_reign(epoch)

    def freeze(self) -> None:
        """See `Hands`."""
        if self.engine is not None and self.began.is_set():
            self.engine.freeze(lambda: self.heart.on(ev.Drained()))

    def thaw(self, why: str) -> None:
        """See `Hands`."""
        log.warning("switchover.given-up", why=why)
        if self.engine is not None:
            self.engine.thaw()

    def end_reign(self, why: str, *, in_order: bool) -> None:
        """See `Hands`."""
        if not in_order:
            self.fail(RoleLost("role.lost", f"{why}. This process ends and begins again as passive."))
        elif self.heart.view.role is Role.ENDED or self.engine is None:
            self.over.set()
        else:
            self._spawn(self._end_in_order())

    async def _end_in_order(self) -> None:
        engine, reigning = self.engine, self._reigning
        assert engine is not None
        assert reigning is not None
        engine.stop(hurried=True)
        await reigning
        if self.over.is_set():
            return
        self.engine = self._reigning = None
        self.journals.start()
        self.parts.moved()
        self.heart.on(ev.ReignEnded(self.database.kept))

    def answer(self, text: str, *, ok: bool) -> None:
        """See `Hands`."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((ok, text))

    def decided(self, row: Row, event: ev.Event, before: View, after: View) -> None:
        """See `Hands`."""
        if after.role is not before.role:
            log.info(
                "role", row=row.number, was=str(before.role), now=str(after.role), when=row.when, why=row.why
            )
            self.parts.moved()
        elif row.number not in _QUIET_ROWS:
            log.debug("row", row=row.number, does=row.does)

    def look_again(self) -> None:
        """See `Hands`."""
        if self.engine is not None:
            self.engine.look_again()

    def released_seq(self) -> int:
        """See `Hands`."""
        return self.database.kept.seq if self.engine is None else self.engine.released_seq

    # --- hands: the disk ----------------------------------------------------------------------------------------

    def wake_disk(self) -> None:
        """See `Hands`."""
        self.journals.wake()

    def retreat(self, to: Position) -> None:
        """See `Hands`."""
        self._spawn(self.journals.retreat(to))

    def find_common(self, waypoints: tuple[Position, ...], tell: Callable[[Position | None], None]) -> None:
        """See `Hands`."""
        self._spawn(self.journals.find_common(waypoints, tell))

    def read_chunk(self, after: int, tell: Callable[[Chunk | None], None]) -> None:
        """See `Hands`."""
        self._spawn(self.journals.read_chunk(after, tell))

    def offer_snapshot(self) -> None:
        """See `Hands`."""
        self._spawn(self._offer_snapshot())

    async def _offer_snapshot(self) -> None:
        offered = await self.journals.offer(acts=self.engine is not None)
        if offered is not None:
            self.say(words.Begin(self.database.kept, self.heart.view.epoch, *offered))

    def heard_bulk(self, message: words.Piece | words.WantSnapshot | words.Begin) -> None:
        """See `Hands`."""
        match message:
            case words.Begin():
                self._spawn(self._want(message.snapshot_seq))
            case words.WantSnapshot():
                self._spawn(self._send_piece(message))
            case words.Piece():
                self._spawn(self._gather(message))

    async def _want(self, seq: int) -> None:
        self.say(await self.journals.want(seq))

    async def _send_piece(self, wanted: words.WantSnapshot) -> None:
        piece = await self.journals.piece(wanted)
        if piece is None:
            self.relink("the snapshot that was asked for is gone; a newer one is offered")
        else:
            self.say(piece)

    async def _gather(self, piece: words.Piece) -> None:
        if self.heart.view.role is Role.PASSIVE:
            more = await self.journals.gather(piece)
            if more is not None:
                self.say(more)

    def kept(self) -> None:
        """More is on this passive server's disk."""
        self.heart.kept()

    def reopened(self, database: Database) -> None:
        """The journal was set back, or replaced by a snapshot."""
        self.parts.moved()
        self.heart.reopened(database)

    def broken(self, error: MeetkeeperError) -> None:
        """See `Hands`."""
        log.error("pair.refuses-frames", code=error.code, text=error.message)
        if isinstance(error, Unavailable) or error.code.startswith(("disk", "store")):
            self.fail(error)
        else:
            self._loop.call_later(1.0, self.relink, error.message)

    # --- tasks ----------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, MeetkeeperError):
            log.warning("pair.trouble", code=error.code, text=error.message)
        elif error is not None:
            log.error("pair.fault", exc_info=error)
            self.fail(RoleLost("pair.fault", f"A fault of ours: {error!r}. Please report it with the log."))


_QUIET_ROWS = (10, 38, 51)
