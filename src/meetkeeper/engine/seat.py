"""The engine's place on a server of a pair: what programs and pages reach, whoever sits in it.

While this server is active everything goes to its engine. While it is passive, looking shows what it has applied, for
the few pages about the server itself; deciding is refused, and the door leads elsewhere before it comes to that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeVar

from msgspec.structs import replace

from meetkeeper.codec.frame import Frame
from meetkeeper.core.commands import Command
from meetkeeper.core.errors import Unavailable
from meetkeeper.core.plan import Decision
from meetkeeper.core.preview import Preview
from meetkeeper.core.roomsettings import Examined
from meetkeeper.core.state import State
from meetkeeper.core.words import Alias, RoomId
from meetkeeper.engine.history import find_history
from meetkeeper.engine.loop import Engine, FellBehind, Subscription
from meetkeeper.engine.node import KeptFrame
from meetkeeper.engine.pair import Pair
from meetkeeper.engine.status import EngineStatus, HistoryRow, MailStatus, PairStatus
from meetkeeper.ha.view import View, alarms, is_in_sync, possible_loss
from meetkeeper.ha.words import Facts, Mode, Role
from meetkeeper.ports.bridge import Door
from meetkeeper.ports.clock import Clock

T = TypeVar("T")
ROWS_SHOWN = 12
LOOK_S = 5.0
"""How often whoever follows a passive server looks anew: a token that was revoked opens nothing there either."""
Shown = Literal["active", "passive", "claiming", "yielding", "ended", "stopped"]
# An active whose first frame is not kept yet does not act.
_SHOWN: dict[Role, Shown] = {
    Role.PASSIVE: "passive",
    Role.CLAIMING: "claiming",
    Role.ACTIVE: "claiming",
    Role.YIELDING: "yielding",
    Role.ENDED: "ended",
}


class Seat:
    """See `api.gate.Engine`. `moved` is called when somebody else sits down."""

    def __init__(self, pair: Pair, clock: Clock, *, server: str, release: str) -> None:
        self._pair = pair
        self._clock = clock
        self._server, self._release = server, release
        self._started_at_s = clock.now_s()
        self._moved = asyncio.Event()

    @property
    def engine(self) -> Engine | None:
        """The one that acts here, if any does."""
        return self._pair.engine if self._pair.began.is_set() else None

    @property
    def state(self) -> State:
        """As applied here."""
        return self._pair.database.state

    @property
    def stopping(self) -> bool:
        """The server goes down."""
        return self._pair.over.is_set()

    def moved(self) -> None:
        """Wake whoever followed."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def now_s(self) -> float:
        """The wall clock."""
        return self._clock.now_s()

    async def submit(self, command: Command) -> Decision:
        """Decide and keep. Raises `Unavailable` where nobody acts."""
        return await self._need().submit(command)

    async def read(self, look: Callable[[State], T]) -> T:
        """What is acknowledged; on a passive server, what is applied."""
        engine = self.engine
        return look(self.state) if engine is None else await engine.read(look)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator["SeatFrames"]:
        """Kept frames of the engine that sits here; `FellBehind` when another one does."""
        engine, moved = self.engine, self._moved
        if engine is None:
            yield SeatFrames(None, moved)
            return
        async with engine.subscribe() as frames:
            yield SeatFrames(frames, moved)

    def poke(self, room: RoomId) -> None:
        """Poll this room now."""
        if self.engine is not None:
            self.engine.poke(room)

    async def preview_resync(self, room: RoomId) -> Preview:
        """What a resync of the room would do."""
        return await self._need().preview_resync(room)

    async def examine(self, room: RoomId) -> Examined:
        """What a doctor finds."""
        return await self._need().examine(room)

    async def door(self, alias: Alias) -> Door | None:
        """Where this VMR's meeting is held."""
        return await self._need().door(alias)

    async def history(self, about: str, limit: int) -> Sequence[HistoryRow]:
        """Frames that touch a meeting, room, alias or effect."""
        if self.engine is not None:
            return await self.engine.history(about, limit)
        return await asyncio.to_thread(find_history, self._pair.database, about, limit)

    def frames(self) -> Iterator[Frame]:
        """Every kept frame the journal still holds."""
        return self._pair.database.frames()

    def _need(self) -> Engine:
        engine = self.engine
        if engine is None:
            raise Unavailable(
                "passive", f"{self._server} does not act. Ask the active server.", retry_after_s=1.0
            )
        return engine

    def status(self) -> EngineStatus:
        """How the server stands."""
        engine = self.engine
        if engine is not None:
            own = engine.status()
            # An active whose lease has run out may be somebody's past: to the outside it does not act.
            shown: Shown = own.role if self._pair.heart.may_speak() else "claiming"
            return replace(own, role=shown, pair=self.pair_status())
        heart = self._pair.heart
        role = heart.view.role
        return EngineStatus(
            role=_SHOWN[role],
            server=self._server,
            release=self._release,
            epoch=heart.view.epoch,
            seq=self._pair.database.kept.seq,
            started_at_s=self._started_at_s,
            rooms=(),
            bridges=(),
            mail=MailStatus(ok=False, text="not in use on a passive server"),
            stopping=self.stopping,
            failed="" if self._pair.failure is None else self._pair.failure.message,
            pair=self.pair_status(),
        )

    def pair_status(self) -> PairStatus:
        """The pair, in values for screens."""
        heart, parts = self._pair.heart, self._pair.parts
        view, now_s = heart.view, self._pair.steady_s()
        mine, theirs = self._pair.database.kept.seq, view.peer_position.seq
        active = view.role in (Role.ACTIVE, Role.YIELDING)
        ready, reasons = (
            peer_readiness(view, heart.peer_facts) if active else own_readiness(view, parts.facts())
        )
        both = view.mode is not Mode.ASYNC and is_in_sync(view, view.peer) and is_in_sync(view, view.me)
        return PairStatus(
            me=view.me,
            peer=view.peer,
            role=view.role.value,
            peer_role=view.peer_role.value if view.linked else "unknown",
            linked=view.linked,
            heard_s=max(
                0.0, now_s - (view.heard_s if not active else view.lease_until_s - view.timing.holder_s)
            ),
            mode=view.mode.value,
            epoch=view.epoch,
            active="" if view.record is None else view.record.active,
            in_sync=() if view.record is None else view.record.in_sync,
            register=parts.register.place,
            register_trouble=view.trouble,
            position_seq=mine,
            peer_seq=theirs,
            behind=max(0, mine - theirs if active else theirs - mine),
            loss=possible_loss(view, self._pair.released_seq()) if active else 0,
            durability="both" if both else "local",
            ready=ready,
            reasons=reasons,
            alarms=tuple(sorted(alarms(view, now_s).items())),
            rows=tuple(
                f"{one.number}: {one.before} → {one.after}" for one in list(heart.taken)[-ROWS_SHOWN:]
            ),
            peer_url=heart.peer_facts.url,
            home=view.me if view.founds else view.peer,
            maintenance_left_s=max(0.0, view.maintenance_until_s - now_s),
        )


def own_readiness(view: View, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """This passive server's verdict on itself and its reasons."""
    return (facts.ready, facts.reasons) if view.linked else ("unknown", (f"{view.peer} is not there.",))


def peer_readiness(view: View, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """The passive server's verdict as its active one may pass it on: none from before it fell behind."""
    if not view.linked:
        return "unknown", (f"{view.peer} is not there.",)
    if view.record is not None and not is_in_sync(view, view.peer):
        return "not ready", (f"{view.peer} does not hold everything yet.",)
    return facts.ready, facts.reasons


class SeatFrames:
    """A subscription that ends with `FellBehind` when somebody else sits down."""

    def __init__(self, frames: Subscription | None, moved: asyncio.Event) -> None:
        self._frames = frames
        self._moved = moved

    def __aiter__(self) -> AsyncIterator[KeptFrame]:
        return self

    async def __anext__(self) -> KeptFrame:
        if self._frames is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._moved.wait()
            raise FellBehind
        try:
            return await anext(self._frames)
        except StopAsyncIteration:
            raise FellBehind from None
