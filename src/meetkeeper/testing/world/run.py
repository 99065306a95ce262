"""The world itself: time and dice, the server's fate, the two phases, and what is printed when a promise breaks."""

import hashlib
import traceback
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from msgspec import Struct

from meetkeeper.core.changes import ConfigDeployed, CookieKept, Founded, raw
from meetkeeper.core.commands import ReleaseBrake, Resync
from meetkeeper.core.configuration import NoCalendar
from meetkeeper.core.errors import Corrupt, MeetkeeperError, Unavailable
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId
from meetkeeper.store.database import Database, Limits
from meetkeeper.testing.checkers import Checkers
from meetkeeper.testing.clock import SimulatedClock
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.world import converged, faults
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world import weather as weathers
from meetkeeper.testing.world.calendars import RoomSource
from meetkeeper.testing.world.editors import Editors
from meetkeeper.testing.world.fibers import Answer, Ask, Caller, Pause
from meetkeeper.testing.world.outside import Post, SimulatedBridge
from meetkeeper.testing.world.people import People
from meetkeeper.testing.world.server import Server
from meetkeeper.testing.world.setting import draw_setting

SHOWN = 40
CALLERS = 3
HEAL_PACES = 480.0
HEAL_MIN_S = 900.0
"""Healing lasts so many seconds at least: the longest pauses of the core are five minutes, whatever the pace."""


class Report(Struct, frozen=True):
    """How a world went. `broken` is empty when every promise held."""

    seed: int
    events: int
    decisions: int
    crashes: int
    trace: str
    broken: str = ""


class World:
    """Everything, made from one seed."""

    def __init__(self, seed: int, minutes: float) -> None:
        self.seed = seed
        self.minutes = minutes
        self.dice = Random(f"{seed}/world")
        self.weather = weathers.draw(Random(f"{seed}/weather"))
        self.setting = draw_setting(Random(f"{seed}/setting"))
        self.clock = SimulatedClock(self.setting.start_s)
        self.tick_s = self.setting.pace
        self.survey_s = 30.0 * self.setting.pace
        self.events = self.decisions = self.crashes = 0
        self.healed = False
        self.server: Server | None = None
        self.disk = CrashDisk()
        self.disk_is_full = False
        self._disk_dice = Random(f"{seed}/disk")
        self._limits = Limits(segment_bytes_max=self.dice.choice((4_096, 65_536, 1 << 24)))
        self._lineages = 0
        self._heap: list[tuple[float, float, int, Callable[[], None]]] = []
        self._count = 0
        self._trace = hashlib.sha256()
        self._latest: deque[tuple[float, seen.Happening]] = deque(maxlen=SHOWN)
        self._settle(seed)
        honest = not (self.weather.hides or self.weather.silent_full)
        self._hid = bool(self.weather.hides)
        self.checkers = Checkers(self.setting.config.mail.unknown_fate, honest=honest)

    def _settle(self, seed: int) -> None:
        """Let the neighbours and people move in."""
        config, pace = self.setting.config, self.setting.pace
        self.post = Post(Random(f"{seed}/post"), self.weather, self.happened)
        self.bridges = {
            bridge.id: SimulatedBridge(bridge.id, Random(f"{seed}/{bridge.id}"), self.weather)
            for bridge in config.bridges
        }
        rooms = [RoomId(room.id) for room in config.rooms]
        self.sources_by_room = {
            room: RoomSource(room, config, Random(f"{seed}/{room}"), self.weather)
            for room, configured in zip(rooms, config.rooms, strict=True)
            if not isinstance(configured.calendar, NoCalendar)
        }
        self.people = People(Random(f"{seed}/people"), self.weather, rooms, self.clock.steady_s)
        self.people.pace = pace
        self.people.on_new = lambda uid: faults.settle_stranger(self, uid)
        self.editors = Editors(Random(f"{seed}/editors"), self.weather, self.sources_by_room, self.at)
        self.editors.now_s = self.clock.steady_s
        self.editors.pace = pace
        self.editors.bookings = self.people.bookings
        self.editors.on_new = lambda uid: faults.settle_stranger(self, uid)

    # --- what everybody in it uses ---------------------------------------------------------------------------------

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call after so many seconds of true time; ties are broken by dice."""
        self._count += 1
        heappush(self._heap, (self.clock.true_s + delay_s, self.dice.random(), self._count, call))

    def every(self, mean_s: float, call: Callable[[], None]) -> None:
        """Again and again, until everything heals; never when the mean time is 0."""
        if not mean_s:
            return
        rate = 1.0 / (mean_s * self.setting.pace)

        def again() -> None:
            if not self.healed:
                call()
                self.at(self.dice.expovariate(rate), again)

        self.at(self.dice.expovariate(rate), again)

    def chance(self, probability: float) -> bool:
        """Throw dice."""
        return probability > 0.0 and self.dice.random() < probability

    def flush_s(self) -> float:
        """How long the disk takes this time; now and then it will fail."""
        if self.chance(self.weather.flush_fails):
            self.disk.fail("journal:flush", 5)
        return self.dice.random() * 2 * self.weather.flush_s

    def happened(self, happening: seen.Happening) -> None:
        """Let the checkers see, and remember it."""
        if isinstance(happening, seen.Decided):
            self.decisions += 1
            self._latest.append((self.clock.true_s, happening))
            self._trace.update(happening.position.hash.encode())
        elif isinstance(happening, seen.Died | seen.Lost | seen.Healed):
            self._latest.append((self.clock.true_s, happening))
        self.checkers.see(happening)

    def bridge(self, bridge_id: str) -> SimulatedBridge:
        """The bridge of this name."""
        bridge = self.bridges.get(bridge_id)
        if bridge is None:
            raise Unavailable("no-bridge", f"No bridge {bridge_id!r} is configured.", retry_after_s=60.0)
        return bridge

    def sources(self, state: State) -> list[RoomSource]:
        """Every room's calendar."""
        return list(self.sources_by_room.values())

    def source(self, state: State, room: RoomId) -> RoomSource | None:
        """One room's calendar."""
        return self.sources_by_room.get(room)

    # --- the server's fate -----------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Somebody starts the server. Raises `Violation` when what was kept can't be read."""
        try:
            database = Database.open(self.disk, self._limits)
            founded = database.state.config is None
            if founded:
                self._found(database)
            server = Server(self, database)
            self.server = server
            self.happened(seen.Booted(database, founded))
            server.start()
        except Corrupt as error:
            raise seen.Violation(f"what was kept can't be read: {error}") from error
        except MeetkeeperError as error:
            self.failed(self.server, error)

    def _found(self, database: Database) -> None:
        self._lineages += 1
        database.open_reign(database.promised + 1)
        changes = (
            Founded(f"lineage{self._lineages}"),
            ConfigDeployed(1, "world", raw(self.setting.config)),
        )
        database.commit(Plan(self.clock.now_s(), changes))
        database.flush_now()

    def failed(self, server: object, error: MeetkeeperError) -> None:
        """A server drops its role and exits; somebody starts it again."""
        self.crash(f"role dropped: {error}", power=False)

    def crash(self, why: str, *, power: bool) -> None:
        """The process is gone, with the power or alone; somebody starts it again."""
        self.crashes += 1
        server, self.server = self.server, None
        if server is not None:
            server.die()
        self.disk = self.disk.crash(self._disk_dice) if power else self.disk.killed()
        if self.disk_is_full:
            faults.fill_disk(self, full=True)
        elif not self.healed and self.chance(self.weather.crash_in_disk / 2):
            faults.arm(self.disk, self.dice.randrange(1, 30))
        self.happened(seen.Died(why))
        self.at(self.dice.choice((0.01, 1.0, 5.0, 60.0)) * self.setting.pace, self.boot)

    def lose_everything(self) -> None:
        """Every file but the configuration is gone, whoever looks; bridges and calendars stand."""
        if self.server is None:
            return
        self.crash("everything lost", power=False)
        self.disk = CrashDisk()
        standing = [alias for bridge in self.bridges.values() for alias in bridge.fake.vmrs]
        self.happened(seen.Lost(frozenset(standing)))
        self.people.forget()

    def read_back(self) -> None:
        """Compare what is on disk with what is in memory, whenever everything is kept."""
        server = self.server
        if server is not None and server.node.applied_seq == server.kept_seq:
            found = Database.inspect(self.disk)
            self.happened(seen.ReadBack(server.state, found.state))

    # --- callers ---------------------------------------------------------------------------------------------------

    def drive(self, caller: Caller[None], answer: Answer | None = None) -> None:
        """Let a caller go on until it waits or asks."""
        try:
            wait = caller.send(answer)
        except StopIteration:
            return
        match wait:
            case Pause():
                self.at(wait.s, lambda: self.drive(caller))
            case Ask():
                self._ask(caller, wait)

    def _ask(self, caller: Caller[None], ask: Ask) -> None:
        if self.server is None or not self.server.ready:
            self.at(0.1, lambda: self.drive(caller, Unavailable("down", "Nobody listens.")))
            return
        if ask.patient:
            self.server.submit(ask.command, lambda answer: self.at(0.001, lambda: self.drive(caller, answer)))
        else:
            self.server.submit(ask.command, lambda answer: None)
            self.at(0.001, lambda: self.drive(caller))

    # --- the two phases --------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Live through the weather, heal, and see that all converges."""
        pace = self.setting.pace
        self.boot()
        for _ in range(CALLERS):
            self.drive(self.people.caller())
        faults.let_in(self)
        self._live(self.minutes * 60.0 * pace)
        self._heal()
        healing_s = max(HEAL_MIN_S, HEAL_PACES * pace)
        if not self._hid:
            # Where calendars hid changes the audits alone have to find them.
            self.at(healing_s * 0.5, self._resync)
        self.at(healing_s * 0.6, self._release_brakes)
        self._live(healing_s)
        self._end()

    def _heal(self) -> None:
        self.healed = True
        self.people.stopped = True
        self.weather = self.post.weather = self.people.weather = self.editors.weather = weathers.CALM
        self.clock.offset_s = 0.0
        self.disk_is_full = False
        self.disk.heal()
        self.disk.on_point = None
        self.post.away = False
        for bridge in self.bridges.values():
            bridge.weather = weathers.CALM
            bridge.fake.away = bridge.fake.silent = False
        for source in self.sources_by_room.values():
            source.heal()
        self.editors.heal()
        self.happened(seen.Healed(self.clock.now_s()))

    def _resync(self) -> None:
        if self.server is not None:
            for room in self.sources_by_room:
                self.server.submit(Resync(room), lambda answer: None)

    def _release_brakes(self) -> None:
        if self.server is not None:
            for room, news in list(self.server.state.rooms_news.items()):
                if news.held:
                    self.server.submit(ReleaseBrake(room, "gone"), lambda answer: None)

    def _end(self) -> None:
        server = self.server
        if server is None or not server.ready:
            raise seen.Violation("no server acts although nothing goes wrong any more")
        server.node.database.flush_now()
        self.read_back()
        now_s = self.clock.now_s()
        self.happened(seen.Ended(server.state, now_s))
        converged.judge(
            converged.Scene(
                server.state,
                now_s,
                self.bridges,
                self.sources_by_room,
                self.editors,
                self.people.bookings,
            )
        )
        for source in self.sources_by_room.values():
            for event in server.pages_of(source):
                changes = server.node.handle(event, now_s).decision.plan.changes
                if any(type(change) is not CookieKept for change in changes):
                    raise seen.Violation(f"a further pass over {source.room} changes {changes}")

    def _live(self, for_s: float) -> None:
        until_s = self.clock.true_s + for_s
        while self._heap and self._heap[0][0] <= until_s:
            at_s, _, _, call = heappop(self._heap)
            self.clock.advance_to(at_s)
            self.events += 1
            try:
                call()
            except faults.Crash:
                self.crash("power lost in a disk call", power=True)
        self.clock.advance_to(until_s)

    def report(self, broken: str = "") -> Report:
        """How it went so far."""
        return Report(self.seed, self.events, self.decisions, self.crashes, self._trace.hexdigest(), broken)

    def story(self) -> str:
        """Seed, weather, setting and the latest decisions."""
        lines = [f"seed {self.seed}", f"weather: {weathers.shown(self.weather)}"]
        lines.append(f"setting: pace {self.setting.pace:g} s, {self.setting.shown()}")
        for true_s, happening in self._latest:
            lines.append(f"{true_s - self.setting.start_s:10.3f} {_told(happening)}")
        return "\n".join(lines)


def _told(happening: seen.Happening) -> str:
    if isinstance(happening, seen.Decided):
        plan = happening.plan
        return f"#{happening.position.seq} {happening.event!r:.200} → {plan.changes!r:.600} {plan.effects!r:.400}"
    return repr(happening)[:400]


def run_seed(seed: int, minutes: float) -> Report:
    """One world; whatever breaks is in the report."""
    world = World(seed, minutes)
    try:
        world.run()
    except seen.Violation as violation:
        return world.report(f"{world.story()}\nBROKEN {violation}")
    except (
        AssertionError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ):
        return world.report(f"{world.story()}\n{traceback.format_exc()}")
    return world.report()
