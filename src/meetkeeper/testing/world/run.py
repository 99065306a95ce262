"""The world itself: time, dice, faults, the two phases, and what is printed when a promise breaks."""

import hashlib
import traceback
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from msgspec import Struct

from meetkeeper.core.changes import ConfigDeployed, Founded, raw
from meetkeeper.core.configuration import NoCalendar
from meetkeeper.core.errors import Corrupt, MeetkeeperError, Unavailable
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId
from meetkeeper.store.database import Database
from meetkeeper.testing.checkers import Checkers
from meetkeeper.testing.clock import SimulatedClock
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world import weather as weathers
from meetkeeper.testing.world.calendars import RoomSource
from meetkeeper.testing.world.editors import Editors
from meetkeeper.testing.world.fibers import Answer, Ask, Caller, Pause
from meetkeeper.testing.world.outside import Post, SimulatedBridge
from meetkeeper.testing.world.people import People
from meetkeeper.testing.world.server import Server
from meetkeeper.testing.world.setting import Setting, draw_setting

SHOWN = 40
HEAL_MINUTES = 20.0


class Crash(BaseException):
    """The power is gone in the middle of a disk call."""


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
        self.dice = Random(f"{seed}/world")
        self.weather = weathers.draw(Random(f"{seed}/weather"))
        self.setting: Setting = draw_setting(Random(f"{seed}/setting"))
        self.clock = SimulatedClock(self.setting.start_s)
        self.tick_s = self.setting.pace
        self.survey_s = 30.0 * self.setting.pace
        self._until_s = self.clock.true_s + minutes * 60.0 * self.setting.pace
        self._heap: list[tuple[float, float, int, Callable[[], None]]] = []
        self._count = 0
        self.events = self.decisions = self.crashes = 0
        self._trace = hashlib.sha256()
        self._latest: deque[tuple[float, seen.Happening]] = deque(maxlen=SHOWN)
        self.healed = False
        self.server: Server | None = None
        self.disk = CrashDisk()
        self._disk_dice = Random(f"{seed}/disk")
        self._lineages = 0
        self.post = Post(Random(f"{seed}/post"), self.weather, self.happened)
        self._bridges = {
            bridge.id: SimulatedBridge(bridge.id, Random(f"{seed}/{bridge.id}"), self.weather)
            for bridge in self.setting.config.bridges
        }
        config = self.setting.config
        rooms = [RoomId(room.id) for room in config.rooms]
        self._sources = {
            room: RoomSource(room, config, Random(f"{seed}/{room}"), self.weather)
            for room, configured in zip(rooms, config.rooms, strict=True)
            if not isinstance(configured.calendar, NoCalendar)
        }
        self.editors = Editors(Random(f"{seed}/editors"), self.weather, self._sources, self.at)
        self.editors.now_s = lambda: self.clock.true_s
        self.editors.pace = self.setting.pace
        self.people = People(Random(f"{seed}/people"), self.weather, rooms, lambda: self.clock.true_s)
        self.people.pace = self.setting.pace
        self.editors.bookings = self.people.bookings
        self.checkers = Checkers(self.setting.config.mail.unknown_fate)

    # --- what everybody in it uses --------------------------------------------------------------------------------

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call after so many seconds of true time; ties are broken by dice."""
        self._count += 1
        heappush(self._heap, (self.clock.true_s + delay_s, self.dice.random(), self._count, call))

    def chance(self, probability: float) -> bool:
        """Throw dice."""
        return probability > 0.0 and self.dice.random() < probability

    def flush_s(self) -> float:
        """How long the disk takes this time."""
        return self.dice.random() * 2 * self.weather.flush_s

    def happened(self, happening: seen.Happening) -> None:
        """Let the checkers see, and remember it."""
        if isinstance(happening, seen.Decided):
            self.decisions += 1
            self._latest.append((self.clock.true_s, happening))
            self._trace.update(happening.position.hash.encode())
        self.checkers.see(happening)

    def bridge(self, bridge_id: str) -> SimulatedBridge:
        """The bridge of this name."""
        bridge = self._bridges.get(bridge_id)
        if bridge is None:
            raise Unavailable("no-bridge", f"No bridge {bridge_id!r} is configured.", retry_after_s=60.0)
        return bridge

    def sources(self, state: State) -> list[RoomSource]:
        """Every room's calendar."""
        return list(self._sources.values())

    def source(self, state: State, room: RoomId) -> RoomSource | None:
        """One room's calendar."""
        return self._sources.get(room)

    # --- the server's fate ----------------------------------------------------------------------------------------

    def _boot(self) -> None:
        try:
            database = Database.open(self.disk)
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
        lineage = f"lineage{self._lineages}"
        changes = (Founded(lineage), ConfigDeployed(1, "world", raw(self.setting.config)))
        database.commit(Plan(self.clock.now_s(), changes))
        database.flush_now()

    def failed(self, server: object, error: MeetkeeperError) -> None:
        """A server drops its role and exits; somebody starts it again."""
        self._crash(f"role dropped: {error}", power=False)

    def _crash(self, why: str, *, power: bool) -> None:
        self.crashes += 1
        server, self.server = self.server, None
        if server is not None:
            server.die()
        self.disk = self.disk.crash(self._disk_dice) if power else self.disk.killed()
        self.happened(seen.Died(why))
        self.at(self.dice.choice((0.01, 1.0, 5.0, 60.0)) * self.setting.pace, self._boot)

    def _crash_somewhere(self) -> None:
        if self.server is not None:
            self._crash("killed", power=self.chance(self.weather.power_lost))

    def _every(self, mean_s: float, call: Callable[[], None]) -> None:
        """Again and again, until everything heals; never when the mean time is 0."""
        if not mean_s:
            return

        def again() -> None:
            if not self.healed:
                call()
                self.at(self.dice.expovariate(1.0 / (mean_s * self.setting.pace)), again)

        self.at(self.dice.expovariate(1.0 / (mean_s * self.setting.pace)), again)

    # --- weather ---------------------------------------------------------------------------------------------------

    def _let_weather_in(self) -> None:
        weather = self.weather
        self._every(weather.crash_rate, self._crash_somewhere)
        self._every(weather.calendar_rate, self.editors.act)
        self._every(weather.emptied_rate, self.editors.empty)
        self._every(
            weather.bridge_restart_rate, lambda: self._some_bridge().fake.restart(forget=self.chance(0.7))
        )
        self._every(
            weather.bridge_away_rate, lambda: self._for_a_while(_set(self._some_bridge().fake, "away"))
        )
        self._every(
            weather.bridge_silent_rate, lambda: self._for_a_while(_set(self._some_bridge().fake, "silent"))
        )
        self._every(weather.mail_away_rate, lambda: self._for_a_while(_set(self.post, "away")))
        self._every(weather.calendar_away_rate, self._calendar_away)

    def _for_a_while(self, switch: Callable[[bool], None]) -> None:
        switch(True)
        mean_s = self.dice.choice((5.0, 60.0, 300.0)) * self.setting.pace
        self.at(self.dice.expovariate(1.0 / mean_s), lambda: switch(False))

    def _some_bridge(self) -> SimulatedBridge:
        return self.dice.choice(list(self._bridges.values()))

    def _calendar_away(self) -> None:
        if self._sources:
            self._for_a_while(self.dice.choice(list(self._sources.values())).away)

    # --- callers ---------------------------------------------------------------------------------------------------

    def _drive(self, caller: Caller[None], answer: Answer | None = None) -> None:
        try:
            wait = caller.send(answer)
        except StopIteration:
            return
        match wait:
            case Pause():
                self.at(wait.s, lambda: self._drive(caller))
            case Ask():
                self._ask(caller, wait)

    def _ask(self, caller: Caller[None], ask: Ask) -> None:
        if self.server is None or not self.server.ready:
            self.at(0.1, lambda: self._drive(caller, Unavailable("down", "Nobody listens.")))
            return
        if ask.patient:
            self.server.submit(
                ask.command, lambda answer: self.at(0.001, lambda: self._drive(caller, answer))
            )
        else:
            self.server.submit(ask.command, lambda answer: None)
            self.at(0.001, lambda: self._drive(caller))

    # --- the two phases -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Live through the weather, heal, and see that all converges."""
        self._boot()
        for _ in range(3):
            self._drive(self.people.caller())
        self._let_weather_in()
        self._live_until(self._until_s)
        self._heal()
        self._live_until(self.clock.true_s + HEAL_MINUTES * 60.0 * self.setting.pace)
        if self.server is None:
            raise seen.Violation("no server acts although nothing goes wrong any more")
        self.happened(seen.Ended(self.server.state, self.clock.now_s()))

    def _heal(self) -> None:
        self.healed = True
        self.people.stopped = True
        self.weather = self.post.weather = self.people.weather = weathers.CALM
        self.post.away = False
        for bridge in self._bridges.values():
            bridge.weather = weathers.CALM
            bridge.fake.away = bridge.fake.silent = False
        for source in self._sources.values():
            source.heal()
        self.editors.heal()
        self.happened(seen.Healed(self.clock.now_s()))

    def _live_until(self, true_s: float) -> None:
        while self._heap and self._heap[0][0] <= true_s:
            at_s, _, _, call = heappop(self._heap)
            self.clock.advance_to(at_s)
            self.events += 1
            try:
                call()
            except Crash:
                self._crash("power lost in a disk call", power=True)
        self.clock.advance_to(true_s)

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


def _set(thing: object, name: str) -> Callable[[bool], None]:
    return lambda value: setattr(thing, name, value)


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
