"""Meetkeeper's own rows: bookings through the keeper and the whole engine, over HTTP, its calendar, its cold start.

In its disfavour against the plain stores: every upsert is checked against the room's other meetings, gets its virtual
meeting room derived, becomes a plan with changes and effects, and is applied to the indexes before it is on disk.
"""

import asyncio
import http.client
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Final

import structlog
from msgspec import Raw, convert, json

from bench.answering_bridge import AnsweringBridge
from bench.clients import BODIES, KEYS, AsyncCommit, ready_bodies, run_async
from bench.cold_start import load_in_child
from bench.figures import Figures, Loaded
from bench.http_load import HttpLoad, numbered, request
from bench.processes import Argv, Child, free_port, listens, resident_bytes
from bench.questions import hour, room_and_day
from bench.records import (
    CALENDAR_MEETINGS,
    DAY_S,
    ROOMS,
    Attendee,
    Booking,
    Records,
    room_name,
    slot_of,
    uid_of,
)
from meetkeeper.app.home import Home, NodeConfig, init
from meetkeeper.core import keeper
from meetkeeper.core.changes import ConfigDeployed, Founded
from meetkeeper.core.commands import Book
from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import State
from meetkeeper.core.words import Meeting, Person, RoomId, Uid
from meetkeeper.engine.bell import Bell
from meetkeeper.engine.loop import Engine
from meetkeeper.engine.neighbours import NamedBridge, Neighbours
from meetkeeper.engine.node import Node
from meetkeeper.ha.words import Position
from meetkeeper.host.clock import RealClock
from meetkeeper.host.disk import RealDisk
from meetkeeper.ports.bridge import Bridge
from meetkeeper.store.committer import Committer
from meetkeeper.store.database import Database

FLUSH_EVERY: Final = 2_000
"""Meetings between two flushes while a calendar is filled, which is not measured."""
HTTP_MEETINGS: Final = 20_000
START_S: Final = 60.0
LOAD_S: Final = 180.0
OK: Final = 200
MEETINGS_HELD: Final = "meetkeeper_meetings{"
TAIL_PERCENT: Final = 5
"""Of a million meetings so many are in the journal behind the snapshot: half of what may gather there."""
BRIDGE: Final = "bridge"
BRIDGE_CALLS_AT_ONCE: Final = 128
"""As a configured bridge has it when nothing is said."""
BRIDGE_LOOKED_AT_S: Final = 3_600.0
TIME_ZONE: Final = "Europe/Berlin"

Content = tuple[str, Person, tuple[Person, ...], str]
"""Subject, organizer, invitees, description."""
Place = tuple[Uid, tuple[RoomId, ...], int, int]
"""UID, rooms, start, end."""


def configuration(*, asked: bool = False) -> dict[str, object]:
    """A cluster with the 1,000 rooms of the records; no mail server.

    `asked`: a bridge that has to be asked for each virtual room; else one where opening the address makes the room.
    """
    bridge: dict[str, object] = {"kind": "link", "id": BRIDGE, "url": "https://bridge.example/{alias}"}
    if asked:
        secret = {"value": "none"}
        bridge = {"kind": "janus", "id": BRIDGE, "admin_url": "http://bridge.example/admin"}
        bridge |= {"admin_secret": secret, "admin_key": secret}
    return {
        "cluster": {"name": "bench", "secret": "a secret of the benchmarks alone, 32+"},
        "rooms": [{"id": room_name(room)} for room in range(ROOMS)],
        "bridges": [bridge],
    }


def found(home: Path, configured: dict[str, object] | None = None) -> Node:
    """A new home with that configuration (or another), and a reign over it."""
    home.mkdir(parents=True, exist_ok=True)
    node = Node(Database.open(RealDisk(home)))
    node.database.open_reign(1)
    deployed = ConfigDeployed(1, "bench", Raw(json.encode(configured or configuration())))
    node.database.commit(Plan(RealClock().now_s(), (Founded("bench"), deployed)))
    node.database.flush_now()
    return node


def booking_of(place: Place, content: Content) -> Book:
    """The command a caller would send."""
    uid, rooms, start_s, end_s = place
    subject, organizer, invitees, description = content
    return Book(
        rooms=rooms,
        subject=subject,
        organizer=organizer,
        start_s=start_s,
        end_s=end_s,
        time_zone=TIME_ZONE,
        nonce="",
        invitees=invitees,
        description=description,
        uid=uid,
    )


def place_of(number: int) -> Place:
    """Where meeting `number` lies."""
    slot = slot_of(number)
    return Uid(uid_of(number)), (RoomId(room_name(slot.room)),), slot.start_s, slot.end_s


def content_of(booking: Booking) -> Content:
    """What it is about and who is invited."""
    people = tuple(_person(one) for one in booking.attendees)
    return booking.subject, _person(booking.organizer), people, booking.description


def _person(one: Attendee) -> Person:
    return Person(one.email, one.name)


@cache
def ready_places() -> list[Place]:
    """Places of all meetings that are upserted."""
    return [place_of(number) for number in range(KEYS)]


@cache
def ready_contents() -> Mapping[bytes, Content]:
    """The contents behind the ready-made bodies."""
    decode = json.Decoder(Booking).decode
    return {body: content_of(decode(body)) for body in ready_bodies()[:BODIES]}


class InProcess:
    """The keeper and the committer in this process: decide, append, apply, flush, answer."""

    name = "meetkeeper, in process"
    does = (
        "each booking through the full keeper step: conflict check, alias and PIN derived, plan encoded, chained and "
        "applied to state and indexes; one committer thread flushes all that is queued; what is to be done outside "
        "waits in the outbox"
    )

    def __init__(self) -> None:
        self._node: Node | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._committer: Committer | None = None
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._now_s = RealClock().now_s

    def start(self, folder: Path) -> None:
        self._node = found(folder)

    def run(self, clients: int, seconds: float) -> Figures:
        ready_places(), ready_contents()
        return run_async(self._open, self._close, clients, seconds)

    def stop(self) -> None:
        if self._node is not None:
            self._node.database.close()

    async def _open(self) -> AsyncCommit:
        assert self._node is not None
        self._loop = asyncio.get_running_loop()
        self._committer = Committer(self._node.database, self._kept_from_thread, self._failed_from_thread)
        self._committer.start()
        node = self._node
        places, contents, handle = ready_places(), ready_contents(), node.handle
        loop, waiting, ring = self._loop, self._waiting, Bell(self._committer.wake).ring

        def commit(key: int, body: bytes) -> asyncio.Future[None]:
            handled = handle(booking_of(places[key], contents[body]), self._now_s())
            future: asyncio.Future[None] = loop.create_future()
            if node.database.kept.seq >= handled.seq:
                # The booking that is there already: no frame is written, and nobody will call about one.
                future.set_result(None)
                return future
            waiting.append((handled.seq, future))
            ring()
            return future

        return commit

    async def _close(self) -> None:
        if self._committer is not None:
            await asyncio.to_thread(self._committer.stop)

    def _kept_from_thread(self, position: Position) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._on_kept, position.seq)

    def _failed_from_thread(self, error: MeetkeeperError) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._on_failed, error)

    def _on_kept(self, seq: int) -> None:
        assert self._node is not None
        while self._waiting and self._waiting[0][0] <= seq:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
        self._node.kept_until(seq)

    def _on_failed(self, error: MeetkeeperError) -> None:
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)


class WholeEngine:
    """The engine as it runs: what a booking sets off is carried out while the next ones come."""

    name = "meetkeeper, whole engine"
    does = (
        "as above through the engine's front door, and all that follows: the virtual room asked of a bridge that "
        "answers at once, the meeting's step (no mail server): two frames a new meeting"
    )

    def __init__(self) -> None:
        self._node: Node | None = None
        self._engine: Engine | None = None
        self._running: asyncio.Task[None] | None = None

    def start(self, folder: Path) -> None:
        self._node = found(folder, configuration(asked=True))

    def run(self, clients: int, seconds: float) -> Figures:
        ready_places(), ready_contents()
        return run_async(self._open, self._close, clients, seconds)

    def stop(self) -> None:
        if self._node is not None:
            self._node.database.close()

    async def _open(self) -> AsyncCommit:
        assert self._node is not None
        self._engine, self._running = await start_engine(self._node, only(AnsweringBridge(0.0)))
        places, contents, submit = ready_places(), ready_contents(), self._engine.submit

        async def commit(key: int, body: bytes) -> None:
            await submit(booking_of(places[key], contents[body]))

        return commit

    async def _close(self) -> None:
        if self._engine is not None and self._running is not None:
            self._engine.stop()
            await self._running


def only(bridge: Bridge) -> Callable[[Config], Neighbours]:
    """This bridge, no mail and no calendars."""
    named = NamedBridge(BRIDGE, "link", bridge, BRIDGE_CALLS_AT_ONCE, BRIDGE_LOOKED_AT_S)
    return lambda _: Neighbours((), (named,), None, _no_mail, _no_item)


async def start_engine(
    node: Node, neighbours: Callable[[Config], Neighbours]
) -> tuple[Engine, asyncio.Task[None]]:
    """An engine among these neighbours, once it acts; and its task."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    ready = asyncio.Event()
    engine = Engine(node, RealClock(), neighbours, server="bench", release="bench", tzdata="bench")
    running = asyncio.create_task(engine.run(ready.set))
    await ready.wait()
    return engine, running


def _no_mail(*_: object) -> EmailMessage:
    raise AssertionError("no mail server is configured")


def _no_item(*_: object) -> tuple[str, bytes]:
    raise AssertionError("no room has a calendar")


class OverHttp:
    """The server as it is run, asked over HTTP."""

    def __init__(self, *, with_vmr: bool) -> None:
        self.name = "meetkeeper, over HTTP" if with_vmr else "meetkeeper, over HTTP, rooms alone"
        vmr = (
            "with a virtual room on a platform where opening the address makes it"
            if with_vmr
            else "no virtual room"
        )
        self.does = (
            "POST /api/v1/meetings with token and UID to `meetkeeper run` as it is shipped, checked against the room's "
            f"other meetings, {vmr}, 201 after the flush (no mail server)"
        )
        self._with_vmr = with_vmr
        self._server: Child | None = None
        self._load: HttpLoad | None = None
        self._port = 0

    def start(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        home = Home(folder / "home")
        self._port = free_port()
        init(home, NodeConfig(name="bench", listen_port=self._port), convert(configuration(), Config))
        self._server = serve(home, folder)
        self._server.wait_until(lambda: home.address() is not None and listens(self._port), START_S)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {home.cli_token()}"}
        self._load = HttpLoad(self._requests(headers), folder / "requests")

    def run(self, clients: int, seconds: float) -> Figures:
        assert self._load is not None
        return self._load.run(self._port, clients, seconds)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def _requests(self, headers: dict[str, str]) -> Iterator[bytes]:
        records = Records()
        for number in range(HTTP_MEETINGS):
            sent = json.encode(body_of(records.booking(number), with_vmr=self._with_vmr))
            yield request("POST", "/api/v1/meetings", numbered(sent, b'"description":"'), headers)


def body_of(booking: Booking, *, with_vmr: bool) -> dict[str, object]:
    """The meeting as a program books it over HTTP."""
    return {
        "uid": booking.uid,
        "rooms": [booking.room],
        "subject": booking.subject,
        "organizer": {"email": booking.organizer.email, "name": booking.organizer.name},
        "start": datetime.fromtimestamp(booking.start_s, UTC).isoformat(),
        "end": datetime.fromtimestamp(booking.end_s, UTC).isoformat(),
        "time_zone": booking.time_zone,
        "invitees": [{"email": one.email, "name": one.name} for one in booking.attendees],
        "description": booking.description,
        "vmr": with_vmr,
    }


class Calendar:
    """200 meetings in each of 1,000 rooms, in the state of a server."""

    name = "meetkeeper"
    does = (
        "in the process; agenda: the room's index, each meeting decoded to its typed record; agenda as JSON: the kept "
        "bytes joined; free/busy: the index alone; free rooms: half-hour bit masks of rooms"
    )

    def __init__(self) -> None:
        self._node: Node | None = None
        self._rooms = [RoomId(room_name(room)) for room in range(ROOMS)]

    def start(self, folder: Path) -> None:
        self._node = found(folder)
        fill(self._node, range(CALENDAR_MEETINGS))

    def agenda(self, number: int) -> list[Meeting]:
        room, day_s = room_and_day(number)
        state = self._state
        return [state.decode(row) for row in state.agenda(self._rooms[room], day_s, day_s + DAY_S)]

    def agenda_json(self, number: int) -> bytes:
        room, day_s = room_and_day(number)
        rows = self._state.agenda(self._rooms[room], day_s, day_s + DAY_S)
        return b"[" + b",".join([row.body for row in rows]) + b"]"

    def free_busy(self, number: int) -> list[tuple[int, int]]:
        room, day_s = room_and_day(number)
        rows = self._state.occupying(self._rooms[room], day_s, day_s + DAY_S)
        return [(row.start_s, row.end_s) for row in rows]

    def free_rooms(self, number: int) -> Sequence[str]:
        return self._state.free_rooms(*hour(number))

    def stop(self) -> None:
        if self._node is not None:
            self._node.database.close()

    @property
    def _state(self) -> State:
        assert self._node is not None
        return self._node.state


class StoreRestart:
    """A fresh process that opens a home and nothing more."""

    store = "meetkeeper"
    name = "meetkeeper, its store alone"
    does = "fresh Python process opens the same home without a server around it"

    def fill(self, folder: Path, meetings: int) -> None:
        home = Home(folder / "home")
        init(home, NodeConfig(name="bench", listen_port=free_port()), convert(configuration(), Config))
        node = found(home.path)
        before = meetings - meetings * TAIL_PERCENT // 100
        fill(node, range(before))
        node.database.checkpoint()
        fill(node, range(before, meetings))
        node.database.close()

    def load(self, folder: Path, make_cold: Callable[[], None]) -> Loaded:
        return load_in_child("bench.meetkeeper_rows", [folder / "home"], folder, make_cold)


class Restart(StoreRestart):
    """The whole server, until it says that it is ready."""

    name = "meetkeeper"
    does = (
        "`meetkeeper run` from exec until GET /health/ready is answered with 200; the home holds a snapshot, and the "
        f"last {TAIL_PERCENT} % of the meetings in the journal behind it; checksums verified, all indexes built, "
        "nothing left to do outside; memory is the resident set of the node, which holds the meetings (the small agent "
        "that started it is beside it, the same for any number of them)"
    )

    def load(self, folder: Path, make_cold: Callable[[], None]) -> Loaded:
        home = Home(folder / "home")
        port = home.node().listen_port
        make_cold()
        begin_s = time.perf_counter()
        server = serve(home, folder)
        try:
            server.wait_until(lambda: _asked(port, "/health/ready", "")[0] == OK, LOAD_S)
            seconds, memory = time.perf_counter() - begin_s, resident_bytes(node_of(home))
            _, metrics = _asked(port, "/metrics", home.cli_token() or "")
        finally:
            server.stop()
        held = sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(MEETINGS_HELD))
        return Loaded(seconds, memory, round(held))


def node_of(home: Home) -> int:
    """The process that holds the home and its meetings: `meetkeeper run` itself is but its agent."""
    return int((home.path / "local" / "lock").read_text().split()[-1])


def serve(home: Home, folder: Path) -> Child:
    """The server of a home, as people start it: an agent, and the node as its child."""
    argv: Argv = [sys.executable, "-m", "meetkeeper.app.main", "run", home.path]
    return Child(argv, folder / "server.log", cwd=Path.cwd())


def _asked(port: int, path: str, token: str) -> tuple[int, str]:
    """Status and body; status 0 while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionError:
        return 0, ""
    finally:
        connection.close()


def fill(node: Node, numbers: Iterable[int]) -> None:
    """Book these meetings and take all that is to be done outside as done; preparation, not measured."""
    contents, now_s, database = list(ready_contents().values()), RealClock().now_s(), node.database
    for number in numbers:
        book = booking_of(place_of(number), contents[number % BODIES])
        database.commit(Plan(now_s, keeper.step(node.state, book, now_s).plan.changes))
        if number % FLUSH_EVERY == 0:
            database.flush_now()
    database.flush_now()
