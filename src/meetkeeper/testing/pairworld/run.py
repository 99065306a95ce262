"""The pair's world: time and dice, two servers' fate, the two phases, and what is printed when a promise breaks."""

import errno
import hashlib
import traceback
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from msgspec import Struct

from meetkeeper.core.changes import ConfigDeployed, Founded, raw
from meetkeeper.core.configuration import (
    ClusterConfig,
    Config,
    JanusBridge,
    MailConfig,
    NoCalendar,
    RoomConfig,
    Secret,
    TimeConfig,
)
from meetkeeper.core.errors import Corrupt, MeetkeeperError
from meetkeeper.core.plan import Plan
from meetkeeper.ha import happenings as ev
from meetkeeper.ha.table import Row
from meetkeeper.ha.view import View
from meetkeeper.ha.words import ORIGIN, Proof, Timing, Witness
from meetkeeper.store.database import Database, Limits
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.pairworld import converged
from meetkeeper.testing.pairworld import weather as weathers
from meetkeeper.testing.pairworld.crowd import ROOMS, Crowd
from meetkeeper.testing.pairworld.host import Host
from meetkeeper.testing.pairworld.judges import Judges
from meetkeeper.testing.pairworld.places import Place
from meetkeeper.testing.pairworld.process import Process
from meetkeeper.testing.pairworld.wire import Wire
from meetkeeper.testing.world.faults import Crash, arm
from meetkeeper.testing.world.happenings import Violation
from meetkeeper.testing.world.outside import Post, SimulatedBridge
from meetkeeper.testing.world.weather import Weather as NeighboursWeather

SECONDS = 60.0
HEAL_S = 30.0
STARTS_AFTER_S = 20.0
"""A meeting booked in the bad weather's last moments starts so long after it."""
START_S = 1_804_066_200.0
HOP_S = 0.001
CALM_LOOKS = 50
"""So often the end is put off by a moment, until no frame is on its way."""
FORCE_S = 5.0
"""An operator's word counts for so long: short, so that it is often too old."""
SHOWN = 90
QUIET_ROWS = (10, 11, 38, 51)
FULL = ("journal:append", "journal:open", "promise:write", "standing:write", "proof:write")


class Report(Struct, frozen=True):
    """How a world went. `broken` is empty when every promise held."""

    seed: int
    events: int
    acks: int
    reigns: int
    lives: int
    trace: str
    broken: str = ""


class World:
    """Everything, made from one seed."""

    names = ("a", "b")

    def __init__(self, seed: int, seconds: float, **fixed: object) -> None:
        """`fixed` are fields of the weather that are not left to the seed."""
        self.seed = seed
        self.seconds = seconds
        self.true_s = START_S
        self.dice = Random(f"{seed}/pair")
        self.weather = weathers.draw(Random(f"{seed}/pair/weather"), **fixed)
        self.timing = Timing(failover_after_s=self.weather.failover_after_s, force_s=FORCE_S)
        self.limits = Limits(segment_bytes_max=self.dice.choice((2_048, 1 << 24)))
        self.events = self.lives = self.reigns = 0
        self.healed = False
        self.loss_accepted = ""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._trace = hashlib.sha256()
        self._latest: deque[str] = deque(maxlen=SHOWN)
        self.judges = Judges(self)
        self.wire = Wire(self, Random(f"{seed}/pair/wire"), self.names)
        self.place = Place(self, Random(f"{seed}/pair/place")) if self.weather.third_place else None
        self.hosts = {
            name: Host(self, name, other, Random(f"{seed}/pair/{name}"))
            for name, other in (self.names, self.names[::-1])
        }
        around = NeighboursWeather(
            bridge_slow_s=self.weather.bridge_slow_s, bridge_lost=self.weather.bridge_lost
        )
        self.bridge = SimulatedBridge("bridge", Random(f"{seed}/pair/bridge"), around)
        self.post = Post(Random(f"{seed}/pair/post"), around, lambda happening: None)
        self.crowd = Crowd(self, Random(f"{seed}/pair/crowd"))

    # --- what everybody in it uses ----------------------------------------------------------------------------

    def now_s(self) -> float:
        """True time."""
        return self.true_s

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call after so many seconds of true time."""
        self._count += 1
        heappush(self._heap, (self.true_s + delay_s, self._count, call))

    def chance(self, probability: float) -> bool:
        """Throw dice."""
        return probability > 0.0 and self.dice.random() < probability

    def hop_s(self) -> float:
        """From one thread to the other."""
        return HOP_S * self.dice.random()

    def flush_s(self, host: Host) -> float:
        """How long a disk takes this time; now and then it fails."""
        if self.chance(self.weather.flush_fails) and not self.healed:
            host.disk.fail("journal:flush", errno.EIO)
        slow_s = 2.0 if self.chance(self.weather.slow_flush) else 0.0
        return slow_s + self.dice.random() * 2 * self.weather.flush_s

    def trace(self, what: str) -> None:
        """Two runs of one seed say the same."""
        self._trace.update(f"{self.true_s:.6f} {what}".encode())

    def told(self, process: Process | None, what: str) -> None:
        """For the story."""
        self.trace(what)
        who = "-" if process is None else process.name
        self._latest.append(f"{self.true_s - START_S:9.3f} {who} {what}")

    def row(self, process: Process, row: Row, before: View, after: View) -> None:
        """A row of the table was taken."""
        if row.number not in QUIET_ROWS:
            self.told(
                process, f"row {row.number}: {before.role} → {after.role} epoch {after.epoch}: {row.does}"
            )
        self.judges.promised(process.name, process.database.promised)

    def processes(self) -> list[Process]:
        """Whoever runs, frozen or not."""
        return [host.process for host in self.hosts.values() if host.process is not None]

    # --- the servers' fate ------------------------------------------------------------------------------------

    def on_machine(self, host: Host, call: Callable[[], None]) -> None:
        """Something happens on a machine; the power may go in the middle of it."""
        try:
            call()
        except Crash:
            self.power_off(host, "in a disk call")

    def boot(self, host: Host) -> None:
        """The agent starts the server."""
        self.on_machine(host, lambda: self._boot(host))

    def _boot(self, host: Host) -> None:
        host.lives += 1
        self.lives += 1
        try:
            database = Database.open(host.disk, self.limits, repairs=True)
            self.judges.opened(host.name, database, host.disk)
            process = Process(self, host, database, consents=host.vouches())
        except Corrupt as error:
            raise Violation(f"{host.name} can't read what it kept: {error}") from error
        except MeetkeeperError as error:
            self.told(None, f"{host.name} can't start: {error.code}")
            self._unlock(host)
            host.start_in(self.weather.backoff_s + 1.0)
            return
        host.process = process
        self.told(process, f"starts with seq {database.kept.seq}, epoch {database.kept.epoch}, "
                  f"promised {database.promised}")  # fmt: skip
        process.start()

    def _unlock(self, host: Host) -> None:
        """The process that could not start has ended."""
        host.disk = self._again(host, host.disk.killed())

    def ended(self, process: Process) -> None:
        """A process has ended by itself."""
        if process.alive:
            self._gone(process.host, "ended", again=process.failure is not None)

    def kill(self, host: Host) -> None:
        """SIGKILL."""
        if host.process is not None:
            self._gone(host, "killed", again=True)

    def _gone(self, host: Host, why: str, *, again: bool) -> None:
        process = host.process
        assert process is not None
        self.told(process, f"is {why}")
        host.process, host.again = None, again
        process.die()
        host.disk = self._again(host, host.disk.killed())
        host.start_in(self.weather.backoff_s * (0.5 + self.dice.random()))

    def power_off(self, host: Host, why: str, for_s: float | None = None) -> None:
        """The host is off: what was not flushed may be lost."""
        if not host.on:
            return
        self.told(host.process, f"{host.name} loses its power {why}")
        process, host.process, host.on, host.held = host.process, None, False, False
        host.again = False
        if process is not None:
            process.die(host_died=True)
        host.disk = self._again(host, host.disk.crash(host.dice))

        def on() -> None:
            host.on = True
            host.start_in(0.3)

        self.at(self.dice.choice((1.0, 5.0, 15.0)) if for_s is None else for_s, on)

    def _again(self, host: Host, disk: CrashDisk) -> CrashDisk:
        if host.full:
            _fill(disk)
        elif not self.healed and self.chance(self.weather.crash_in_disk / 4):
            arm(disk, self.dice.randrange(1, 40))
        return disk

    def freeze(self, host: Host) -> None:
        """SIGSTOP for a while."""
        process = host.process
        if process is None or process.frozen:
            return
        self.told(process, "is frozen")
        process.freeze_process()

        def go_on() -> None:
            if process.alive:
                self.told(process, "goes on")
                process.go_on()

        self.at(self.weather.freeze_s * (0.5 + self.dice.random()), go_on)

    def stop(self, host: Host) -> None:
        """A person stops the server, perhaps handing over; it is started again soon."""
        process = host.process
        if process is None:
            return
        hand_over = self.chance(0.7)
        process.let(lambda: process.heart.on(ev.LeaveAsked("a reboot", hand_over, 8.0)))

    def ask_agent(self, process: Process, epoch: int, tell: Callable[[Proof | None], None]) -> None:
        """The other host's agent is asked for a proof of stop; no answer is an answer after a while."""
        other = self.hosts[process.host.other]
        done = False

        def once(proof: Proof | None) -> None:
            nonlocal done
            if not done:
                done = True
                tell(proof)

        self.at(3.0, lambda: once(None))
        if self.wire.blocked[process.name] or self.chance(self.weather.proof_lost):
            return

        def answered(proof: Proof | None) -> None:
            if not self.wire.blocked[other.name] and not self.chance(self.weather.proof_lost):
                self.at(self.wire.latency_s(), lambda: once(proof))

        self.at(
            self.wire.latency_s(),
            lambda: other.guarded(lambda: other.asked_for_proof(epoch, process.name, answered)),
        )

    def fence(self, process: Process, epoch: int, tell: Callable[[Proof | None], None]) -> None:
        """The fence command takes the other host's power."""
        other = self.hosts[process.host.other]

        def off() -> None:
            self.power_off(other, "to the fence", for_s=10.0)
            # A fence does not say how far the other server's journal went, and without a third place that one may have
            # gone on alone: what it acknowledged then is found, set aside and told when its host is back.
            self.accepts_loss(process.name)
            proof = Proof(other.name, epoch, Witness.FENCE, None, None, "the fence command ended with 0", 0.0)
            tell(proof)

        self.at(1.0, off)

    def land_late(self) -> None:
        """A change that was held up arrives at the register."""
        assert self.place is not None
        if self.place.fake.land_late():
            self.told(None, "a late change arrives at the register")
            self.judges.register_moved()

    def accepts_loss(self, name: str) -> None:
        """What only the other server holds may be missing in this one's next reign: a person has accepted that."""
        self.loss_accepted = name

    # --- the two phases ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Live through the weather, heal, and see that all converges."""
        self._found()
        for host in self.hosts.values():
            host.start_in(self.dice.random())
        self.crowd.start()
        self._let_in_weather()
        self._live(self.seconds - 5.0)
        self.crowd.book(lambda: None, in_s=STARTS_AFTER_S)
        self._live(5.0)
        self._heal()
        self._live(HEAL_S)
        for _ in range(CALM_LOOKS):
            if converged.is_quiet(self):
                break
            self._live(0.1)
        converged.judge(self)

    def _found(self) -> None:
        host = self.hosts["a"]
        database = Database.open(host.disk, self.limits)
        database.open_reign(1)
        changes = (Founded("pair"), ConfigDeployed(1, "init", raw(_config())))
        database.commit(Plan(START_S, changes))
        database.flush_now()
        self.judges.chain.add(ORIGIN, database.kept)
        self.judges.durable("a", database.kept)
        database.close()

    def _let_in_weather(self) -> None:
        weather, hosts = self.weather, tuple(self.hosts.values())

        def one() -> Host:
            return self.dice.choice(hosts)

        self._every(weather.kill_rate, lambda: self.kill(one()))
        self._every(weather.power_rate, lambda: self.power_off(one(), "for a while"))
        self._every(weather.freeze_rate, lambda: self.freeze(one()))
        self._every(weather.stop_rate, lambda: self.stop(one()))
        self._every(weather.full_rate, lambda: self._fill_disk(one()))
        self._every(weather.checkpoint_rate, lambda: self._checkpoint(one()))
        self._every(weather.wall_rate, lambda: self._set_clock(one()))
        self._every(weather.cut_rate, self.wire.cut)
        self._every(weather.block_rate, lambda: self._block(self.names))
        self._every(weather.one_way_rate, lambda: self._block((one().name,)))
        self._every(weather.away_rate, self._lose_place)
        self._every(weather.switchover_rate, self.crowd.switch_over)
        self._every(weather.force_rate, self.crowd.force)
        self._every(weather.maintenance_rate, self.crowd.maintain)
        self._every(5.0, self._read_back)

    def _every(self, mean_s: float, call: Callable[[], None]) -> None:
        if not mean_s:
            return

        def again() -> None:
            if not self.healed:
                call()
                self.at(self.dice.expovariate(1.0 / mean_s), again)

        self.at(self.dice.expovariate(1.0 / mean_s), again)

    def _block(self, names: tuple[str, ...]) -> None:
        for_s = self.weather.block_s * (0.5 + self.dice.random())
        self.told(None, f"{' and '.join(names)} can't be heard for {for_s:.1f} s")
        self.wire.block(names, for_s)

    def _lose_place(self) -> None:
        if self.place is None:
            return
        away = self.place.away
        lost = self.dice.choice((self.names, ("a",), ("b",)))
        away.update(lost)
        self.told(None, f"the register is away for {' and '.join(lost)}")
        self.at(self.weather.away_s * (0.5 + self.dice.random()), away.clear)

    def _fill_disk(self, host: Host) -> None:
        self.told(None, f"the disk of {host.name} is full")
        host.full = True
        _fill(host.disk)

        def clear() -> None:
            host.full = False
            host.disk.heal()

        self.at(self.dice.uniform(2, 15), clear)

    def _checkpoint(self, host: Host) -> None:
        if host.process is not None:
            host.process.let(host.process.papers.checkpoint)

    def _set_clock(self, host: Host) -> None:
        host.clock.offset_s = self.dice.choice((0.0, 0.5, -30.0, 40.0))

    def _read_back(self) -> None:
        for process in self.processes():
            if not process.over:
                self.judges.read_back(process)

    def _heal(self) -> None:
        self.told(None, "everything heals")
        self.healed = True
        self.crowd.stop_soon()
        calm = weathers.CALM
        self.weather = weathers.healed(self.weather)
        self.bridge.weather = NeighboursWeather()
        self.wire.free()
        if self.place is not None:
            self.place.away.clear()
        for host in self.hosts.values():
            host.clock.offset_s = 0.0
            host.full = False
            host.disk.heal()
            host.disk.on_point = None
            host.held = False
            if host.process is not None and host.process.frozen:
                host.process.go_on()
            if host.process is None and host.on:
                host.start_in(calm.backoff_s)
        for process in self.processes():
            process.let(lambda p=process: p.heart.on(ev.MaintenanceSet(0.0)))  # type: ignore[misc]
        self.timing = Timing()

    def _live(self, for_s: float) -> None:
        until_s = self.true_s + for_s
        while self._heap and self._heap[0][0] <= until_s:
            self.true_s, _, call = heappop(self._heap)
            self.events += 1
            call()
        self.true_s = until_s

    # --- afterwards -------------------------------------------------------------------------------------------

    def report(self, broken: str = "") -> Report:
        """How it went so far."""
        judges = self.judges
        return Report(
            self.seed, self.events, judges.acks, self.reigns, self.lives, self._trace.hexdigest(), broken
        )

    def story(self) -> str:
        """Seed, weather and what happened last."""
        return "\n".join([f"seed {self.seed}", f"weather: {weathers.shown(self.weather)}", *self._latest])


def _fill(disk: CrashDisk) -> None:
    for label in FULL:
        disk.fail(label, errno.ENOSPC)


def _config() -> Config:
    return Config(
        cluster=ClusterConfig(secret="0123456789abcdef" * 2, time_zone="UTC"),
        rooms=tuple(
            RoomConfig(id=room, email=f"{room}@example.org", calendar=NoCalendar()) for room in ROOMS
        ),
        bridges=(
            JanusBridge(
                id="b0",
                admin_url="http://bridge.example",
                admin_secret=Secret(value="s"),
                admin_key=Secret(value="k"),
            ),
        ),
        time=TimeConfig(verify_before_s=10, open_before_s=0, warn_before_s=0, keep_days=1),
        mail=MailConfig(host=""),
    )


def run_seed(seed: int, seconds: float = SECONDS, **fixed: object) -> Report:
    """One world; whatever breaks is in the report. `fixed` as in `World`."""
    world = World(seed, seconds, **fixed)
    try:
        world.run()
    except Violation as violation:
        return world.report(f"{world.story()}\nBROKEN {violation}")
    except (
        AssertionError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MeetkeeperError,
        RuntimeError,
        TypeError,
        ValueError,
    ):
        return world.report(f"{world.story()}\n{traceback.format_exc()}")
    return world.report()
