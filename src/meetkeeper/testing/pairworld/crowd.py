"""Who asks: programs that book, change and cancel on whichever server says that it acts, readers, and operators."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from meetkeeper.core.commands import Amend, Book, Cancel, Command
from meetkeeper.core.errors import MeetkeeperError, Unavailable
from meetkeeper.core.words import MeetingId, Person, RoomId
from meetkeeper.ha import happenings as ev
from meetkeeper.testing.pairworld.process import operators_word

if TYPE_CHECKING:
    from meetkeeper.testing.pairworld.host import Host
    from meetkeeper.testing.pairworld.process import Process
    from meetkeeper.testing.pairworld.run import World

ROOMS = tuple(RoomId(f"r{number}") for number in range(12))
ANN = Person("ann@example.org", "Ann")
AGAIN_S = 0.5


class Crowd:
    """Everybody outside. `ours` are meetings as they were acknowledged: id → start, or None when cancelled."""

    def __init__(self, world: "World", dice: Random) -> None:
        self.world = world
        self.dice = dice
        self.stopped = False
        self.ours: dict[MeetingId, int | None] = {}
        self._count = 0

    def start(self) -> None:
        """Begin to ask."""
        self._again(self.world.weather.book_rate, self._ask_something)
        self._again(self.world.weather.book_rate, self._ask_something)
        self._again(self.world.weather.read_rate, self._read)

    def _again(self, mean_s: float, call: Callable[[Callable[[], None]], None]) -> None:
        def go_on() -> None:
            if not self.stopped:
                self.world.at(self.dice.expovariate(1.0 / mean_s), lambda: call(go_on))

        go_on()

    def stop_soon(self) -> None:
        """Nothing new is asked; what was asked goes on until it is answered."""
        self.stopped = True

    # --- programs ---------------------------------------------------------------------------------------------

    def _ask_something(self, then: Callable[[], None]) -> None:
        standing = [one for one, start_s in self.ours.items() if start_s is not None]
        lot = self.dice.random()
        if not standing or lot < 0.6:
            self.book(then)
        elif lot < 0.85:
            meeting = self.dice.choice(standing)
            self._count += 1
            self.ask(Amend(id=meeting, subject=f"Changed {self._count}"), lambda answer: then())
        else:
            meeting = self.dice.choice(standing)
            self.ours[meeting] = None
            self.ask(Cancel(id=meeting), lambda answer: then())

    def book(self, then: Callable[[], None], *, in_s: float | None = None) -> None:
        """Book a room; with the same key until there is an answer."""
        self._count += 1
        start_s = int(self.world.now_s() + (self.dice.uniform(-20, 300) if in_s is None else in_s))
        command = Book(
            rooms=(self.dice.choice(ROOMS),),
            subject=f"Booked {self._count}",
            organizer=ANN,
            start_s=start_s,
            end_s=start_s + 240,
            time_zone="UTC",
            nonce=f"nonce-{self._count}",
            idempotency=(f"key-{self._count}", f"hash-{self._count}"),
        )

        def answered(answer: str | MeetkeeperError) -> None:
            if isinstance(answer, str):
                self.ours[MeetingId(answer)] = start_s
            then()

        self.ask(command, answered)

    def ask(self, command: Command, tell: Callable[[str | MeetkeeperError], None]) -> None:
        """Ask whoever acts, again and again until there is a definite answer."""
        process = self._acting()

        def again() -> None:
            self.ask(command, tell)

        if process is None:
            self.world.at(AGAIN_S, again)
            return
        done = False

        def heard(answer: str | MeetkeeperError) -> None:
            nonlocal done
            if done:
                return
            done = True
            if isinstance(answer, Unavailable):
                self.world.at(AGAIN_S, again)
            else:
                tell(answer)

        def give_up() -> None:
            heard(Unavailable("timeout", "No answer came."))

        def submit() -> None:
            if process.actor is not None and process.began and process.actor.alive:
                process.actor.submit(command, heard)
            else:
                heard(Unavailable("passive", "It does not act."))

        process.let(submit)
        self.world.at(8.0, give_up)

    def _acting(self) -> "Process | None":
        """One that says it acts; both may, and then either is asked."""
        acting = [one for one in self.world.processes() if one.began and one.actor is not None]
        return self.dice.choice(acting) if acting else None

    def _read(self, then: Callable[[], None]) -> None:
        process = self._acting()
        then()
        if process is None:
            return
        told_before = self.world.judges.told

        def look() -> None:
            actor = process.actor
            if actor is None or not process.began or not actor.alive:
                return
            at = process.database.position
            actor.read(lambda: self.world.judges.read_answered(process, at, told_before))

        process.let(look)

    # --- operators --------------------------------------------------------------------------------------------

    def switch_over(self) -> None:
        """A person wants the other server to act."""
        process = self._acting()
        if process is not None:
            process.let(lambda: process.heart.on(ev.SwitchoverAsked("a person wants it")))

    def maintain(self) -> None:
        """No failover by itself for a while."""
        until_s = self.dice.uniform(5, 20)
        for process in self.world.processes():
            process.let(
                lambda p=process: p.heart.on(ev.MaintenanceSet(p.steady_s() + until_s))  # type: ignore[misc]
            )

    def force(self) -> None:
        """The other server has stopped, and a person has made sure of it: this one is to act."""
        hosts = [host for host in self.world.hosts.values() if self._can_be_forced(host)]
        if not hosts:
            return
        host = self.dice.choice(hosts)
        other = self.world.hosts[host.other]
        process = host.process
        assert process is not None
        other.held = True  # Its power cable is pulled until the new reign stands.
        self.world.at(6.0, lambda: setattr(other, "held", False))
        self.world.accepts_loss(host.name)
        record = process.heart.view.record
        epoch = max(process.heart.view.epoch, 0 if record is None else record.epoch)
        proof = operators_word(host.other, epoch, "I pulled its plug", accept_loss=True)
        process.let(lambda: process.heart.on(ev.ForceAsked(proof)))

    def _can_be_forced(self, host: "Host") -> bool:
        other = self.world.hosts[host.other]
        return host.process is not None and not host.process.frozen and other.process is None
