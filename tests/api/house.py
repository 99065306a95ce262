"""A small house for the door's tests: the real core in memory, a clock to set, and a client in front of it.

`Small` keeps what it decides at once, as if the disk took no time; everything it is asked goes through
`core.keeper.step`, so that what the door promises is what the core does.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
import msgspec

from meetkeeper.api.app import Front, More, build
from meetkeeper.api.gate import ConfigRevision, Door, Gate, MailPreview, always, no_door
from meetkeeper.api.sessions import hash_password
from meetkeeper.core import keeper
from meetkeeper.core.changes import ConfigDeployed, CookieKept, Founded, raw
from meetkeeper.core.commands import Command, Deploy
from meetkeeper.core.configuration import (
    AccessConfig,
    ClusterConfig,
    Config,
    IcsCalendar,
    JanusBridge,
    MailConfig,
    Operator,
    RoomConfig,
    Secret,
)
from meetkeeper.core.errors import NotFound, TheirMistake, Unavailable
from meetkeeper.core.events import Event, PageSeen, Ticked
from meetkeeper.core.plan import Decision, Plan, apply_plan
from meetkeeper.core.preview import Preview, picture
from meetkeeper.core.preview import preview as previewed
from meetkeeper.core.roomsettings import Examined, Finding
from meetkeeper.core.state import State
from meetkeeper.core.words import Alias, MeetingId, RoomId
from meetkeeper.engine.node import KeptFrame
from meetkeeper.engine.status import (
    BridgeStatus,
    EngineStatus,
    HistoryLine,
    HistoryRow,
    MailStatus,
    PairStatus,
    RoomStatus,
)

T = TypeVar("T")
NOW_S = 1_804_062_600.0
"""2027-03-03 08:30 UTC, a Wednesday."""
WRITE_TOKEN = "mk_" + "w" * 43
READ_TOKEN = "mk_" + "r" * 43
LOCAL_TOKEN = "mk_" + "l" * 43
WRITES = {"authorization": f"Bearer {WRITE_TOKEN}"}
READS = {"authorization": f"Bearer {READ_TOKEN}"}
PASSWORD = "correct horse"


def pair_status(**changed: Any) -> PairStatus:
    """A pair in which all is well, seen from the active server."""
    return msgspec.structs.replace(
        PairStatus(
            me="mk-a",
            peer="mk-b",
            role="active",
            peer_role="passive",
            linked=True,
            heard_s=0.3,
            mode="sync",
            epoch=7,
            active="mk-a",
            in_sync=("mk-a", "mk-b"),
            register="The register in /mnt/register",
            register_trouble="",
            position_seq=1840,
            peer_seq=1840,
            behind=0,
            loss=0,
            durability="both",
            ready="ready",
            reasons=(),
            alarms=(),
            rows=("31: claiming → active",),
            peer_url="http://mk-b.example",
            home="mk-a",
        ),
        **changed,
    )


_PASSWORD_HASH = hash_password(PASSWORD)


def config(**changed: Any) -> Config:
    """Two rooms in two zones, one with a calendar, a bridge and an operator."""
    return msgspec.structs.replace(
        Config(
            cluster=ClusterConfig(
                secret="0123456789abcdef0123456789abcdef",
                public_url="http://meet.example",
                sip_domain="meet.example",
                time_zone="Europe/Oslo",
            ),
            rooms=(
                RoomConfig(id="oslo-3", name="Fjord", email="oslo-3@example.org", capacity=8),
                RoomConfig(
                    id="oslo-4", name="Fjell", capacity=4, calendar=IcsCalendar(folder="calendars/oslo-4")
                ),
                RoomConfig(id="lisbon-1", name="Tejo", capacity=12, time_zone="Europe/Lisbon"),
            ),
            bridges=(
                JanusBridge(
                    id="link",
                    admin_url="http://janus.example/admin",
                    admin_secret=Secret(value="admin secret"),
                    admin_key=Secret(value="admin key"),
                ),
            ),
            mail=MailConfig(host="mail.example", password=Secret(value="mail password")),
            access=AccessConfig(operators=(Operator(name="olga", password_hash=_PASSWORD_HASH),)),
        ),
        **changed,
    )


class Subscribed:
    """One follower's frames."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[KeptFrame | None] = asyncio.Queue()

    def __aiter__(self) -> AsyncIterator[KeptFrame]:
        return self

    async def __anext__(self) -> KeptFrame:
        frame = await self.frames.get()
        if frame is None:
            raise StopAsyncIteration
        return frame


class Small:
    """An engine without disk or neighbours."""

    def __init__(self, configured: Config) -> None:
        self.state = State()
        self.clock_s = NOW_S
        self.seq = 0
        self.role = "active"
        self.stopping = False
        self.poked: list[RoomId] = []
        self.plans: list[KeptFrame] = []
        self.subscribers: list[Subscribed] = []
        self.bridge_ok = True
        self.room_error = ""
        self.pages: list[PageSeen] = []
        self.findings: tuple[Finding, ...] = ()
        self.pair: PairStatus | None = None
        self.fails: Exception | None = None
        self.keep(Plan(NOW_S, (Founded("lineage"), ConfigDeployed(1, "test", raw(configured)))))

    def keep(self, plan: Plan) -> None:
        """Apply a plan and tell whoever follows."""
        if plan.empty:
            return
        apply_plan(self.state, plan)
        self.seq += 1
        frame = KeptFrame(1, self.seq, plan)
        self.plans.append(frame)
        for one in self.subscribers:
            one.frames.put_nowait(frame)

    def now_s(self) -> float:
        """The clock as it is set."""
        return self.clock_s

    def handle(self, event: Event) -> Decision:
        """Decide and keep."""
        if self.fails is not None:
            raise self.fails
        decision = keeper.step(self.state, event, self.clock_s)
        self.keep(decision.plan)
        return decision

    def touch(self, number: int) -> None:
        """Keep some frame."""
        self.keep(Plan(self.clock_s, (CookieKept(RoomId("oslo-4"), f"{number}"),)))

    def at(self, clock_s: float) -> None:
        """Set the clock and let it ask for what is due."""
        self.clock_s = clock_s
        self.handle(Ticked())

    async def submit(self, command: Command) -> Decision:
        """Decide and keep, as the real one does."""
        await asyncio.sleep(0)
        return self.handle(command)

    async def read(self, look: Callable[[State], T]) -> T:
        """Look."""
        return look(self.state)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscribed]:
        """Follow."""
        one = Subscribed()
        self.subscribers.append(one)
        try:
            yield one
        finally:
            self.subscribers.remove(one)

    def fall_behind(self) -> None:
        """End every subscription, as for a reader who is too slow."""
        for one in self.subscribers:
            one.frames.put_nowait(None)

    def status(self) -> EngineStatus:
        """A house in which all is well."""
        return EngineStatus(
            role=self.role,  # type: ignore[arg-type]  # tests play roles that are to come
            server="mk-a",
            release="0.1.0",
            epoch=1,
            seq=self.seq,
            started_at_s=NOW_S - 3_600,
            rooms=tuple(
                RoomStatus(
                    room=room,
                    source="" if room != "oslo-4" else "folder calendars/oslo-4",
                    last_pass_s=0.0 if room != "oslo-4" else self.clock_s - 4,
                    error=self.room_error if room == "oslo-4" else "",
                )
                for room in self.state.rooms
            ),
            bridges=(
                BridgeStatus(
                    id="link", kind="link", ok=self.bridge_ok, text="ready" if self.bridge_ok else "no answer"
                ),
            ),
            mail=MailStatus(ok=True, text="mail.example is ready"),
            stopping=self.stopping,
            pair=self.pair,
        )

    async def history(self, about: str, limit: int) -> Sequence[HistoryRow]:
        """Frames that name it."""
        rows = []
        for frame in reversed(self.plans):
            lines = tuple(
                HistoryLine(str(change.__struct_config__.tag), about)
                for change in frame.plan.changes
                if about.encode() in msgspec.json.encode(change)
            )
            if lines:
                notes = tuple(f"{note.code} {note.about}: {note.why}" for note in frame.plan.notes)
                rows.append(HistoryRow(frame.epoch, frame.seq, frame.plan.at_s, lines, notes))
        return rows[:limit]

    async def preview_resync(self, room: RoomId) -> Preview:
        """What the real core makes of the pages that are given."""
        uids = {item.uid for page in self.pages for item in page.items}
        return previewed(picture(self.state, room, uids, self.clock_s), self.pages, self.clock_s)

    async def examine(self, room: RoomId) -> Examined:
        """What is given."""
        return Examined(findings=self.findings, items=7)

    def poke(self, room: RoomId) -> None:
        """Remember who was asked for."""
        self.poked.append(room)


class FileLike:
    """The configuration hooks of a house whose file is in memory."""

    def __init__(self, engine: Small) -> None:
        self._engine = engine
        self.bodies: dict[int, bytes] = {1: engine.state.config_body}

    async def check(self, body: bytes) -> Sequence[str]:
        """One sentence a mistake."""
        try:
            msgspec.json.decode(body, type=Config)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return [str(error)]
        return []

    async def deploy(self, body: bytes, by: str, base: int | None) -> int:
        """Into the state."""
        problems = await self.check(body)
        if problems:
            raise TheirMistake("config", problems[0])
        revision = int((await self._engine.submit(Deploy(msgspec.Raw(body), by, base))).answer)
        self.bodies[revision] = body
        return revision

    async def rollback(self, by: str, to: int | None) -> int:
        """An earlier body as the newest revision."""
        wanted = max(self.bodies) - 1 if to is None else to
        if wanted not in self.bodies:
            raise NotFound("unknown-revision", f"There is no configuration {wanted}.")
        return await self.deploy(self.bodies[wanted], by, None)

    async def revisions(self) -> Sequence[ConfigRevision]:
        """Newest first."""
        return [ConfigRevision(revision, NOW_S, "test") for revision in sorted(self.bodies, reverse=True)]


async def preview(meeting_id: MeetingId, to: str) -> MailPreview:
    """A mail that says which meeting it is about."""
    return MailPreview(to or "organizer@example.org", "Invitation", f"Meeting {meeting_id}")


@dataclass
class House:
    """Everything a test holds in its hands."""

    engine: Small
    gate: Gate
    front: Front
    client: httpx2.AsyncClient

    async def book(self, **changed: Any) -> dict[str, Any]:
        """Book a meeting by the API; what it answered."""
        answer = await self.client.post("/api/v1/meetings", json=booking(**changed), headers=WRITES)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def settled(self) -> None:
        """Wait until the door has heard of everything."""
        async with asyncio.timeout(5):
            follower = self.front.desk.follower
            while follower.seq != self.engine.seq:
                await follower.wait_news(follower.seq, 1)


def booking(**changed: Any) -> dict[str, Any]:
    """A body that can be booked: an hour from now, for an hour."""
    body: dict[str, Any] = {
        "rooms": ["oslo-3"],
        "subject": "Board",
        "organizer": {"name": "Ada", "email": "ada@example.org"},
        "invitees": ["bob@example.org"],
        "start": "2027-03-03T10:30",
        "end": "2027-03-03T11:30",
        "time_zone": "Europe/Oslo",
    }
    body.update(changed)
    return body


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@asynccontextmanager
async def open_house(
    configured: Config | None = None,
    *,
    more: More | None = None,
    door: Callable[[Alias], Any] = no_door,
    active_url: Callable[[], str | None] = lambda: None,
    acts: Callable[[], bool] = always,
    served: bool = False,
) -> AsyncIterator[House]:
    """A house with its door open and two tokens issued; `served` when a real HTTP server will bring it to life."""
    from meetkeeper.core.commands import IssueToken

    engine = Small(configured or config())
    engine.handle(IssueToken(digest(WRITE_TOKEN), "writer", "write"))
    engine.handle(IssueToken(digest(READ_TOKEN), "reader", "read"))
    gate = Gate(
        engine=engine,
        config=FileLike(engine),
        stop=asyncio.Event(),
        door=door,
        preview=preview,
        active_url=active_url,
        acts=acts,
        local_digests={digest(LOCAL_TOKEN)},
    )
    front = build(gate) if more is None else build(gate, more)
    transport = httpx2.ASGITransport(app=front, raise_app_exceptions=False)
    async with (
        nullcontext() if served else _alive(front),
        httpx2.AsyncClient(transport=transport, base_url="http://meet.example") as client,
    ):
        yield House(engine, gate, front, client)


@asynccontextmanager
async def _alive(front: Front) -> AsyncIterator[None]:
    """The application's lifespan in one task of its own: fixtures begin and end in different ones."""
    begun, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with front.inner.lifespan():
            begun.set()
            await over.wait()

    task = asyncio.create_task(live())
    await asyncio.wait({task, asyncio.ensure_future(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        over.set()
        await task


async def redirecting(alias: Alias) -> Door | None:
    """A door that leads to a platform's address."""
    return Door("redirect", url=f"https://calls.example/{alias}")


def unavailable() -> Unavailable:
    """What an engine says that can't answer."""
    return Unavailable("stopped", "This server may not act any more.", retry_after_s=10)
