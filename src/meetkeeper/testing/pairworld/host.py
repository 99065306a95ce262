"""A machine: its disk, its clocks, and the agent on it that starts the server, and proves that it is gone."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from meetkeeper.agent.proving import Prover
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.ha.words import Proof
from meetkeeper.testing.disk import CrashDisk

if TYPE_CHECKING:
    from meetkeeper.testing.pairworld.process import Process
    from meetkeeper.testing.pairworld.run import World


class HostClock:
    """A `ports.Clock`. The steady one begins anywhere and runs a little too fast or slow; the wall clock may be set."""

    def __init__(self, true_s: Callable[[], float], rate: float, begins_s: float) -> None:
        self._true_s = true_s
        self._rate = rate
        self._begins_s = begins_s
        self._start_s = true_s()
        self.offset_s = 0.0

    def steady_s(self) -> float:
        """CLOCK_BOOTTIME: goes on while a process is frozen."""
        return self._begins_s + (self._true_s() - self._start_s) * self._rate

    def now_s(self) -> float:
        """The wall clock as it is set."""
        return self._start_s + (self._true_s() - self._start_s) * self._rate + self.offset_s

    def true_delay_s(self, delay_s: float) -> float:
        """How long a timer of this clock really takes."""
        return delay_s / self._rate


class Host:
    """One machine of the two. `process` is None while no server runs here; `on` is False while the power is off."""

    def __init__(self, world: "World", name: str, other: str, dice: Random) -> None:
        self.world = world
        self.name = name
        self.other = other
        self.dice = dice
        self.disk = CrashDisk()
        rate = 1.0 + dice.choice((-1.0, 0.0, 1.0)) * world.weather.drift / 2
        self.clock = HostClock(world.now_s, rate, dice.uniform(0, 1e6))
        self.process: Process | None = None
        self.on = True
        self.held = False
        """The agent does not start the server: an operator has stopped it, or a proof is being made."""
        self.full = False
        self.lives = 0
        self.again = False
        """The server ended without being told to, and the agent starts it again."""
        self._starts = 0

    @property
    def runs(self) -> bool:
        """The agent knows of a process."""
        return self.process is not None

    # --- the agent --------------------------------------------------------------------------------------------

    def start_in(self, delay_s: float) -> None:
        """The agent starts the server after a while."""
        self._starts += 1
        number = self._starts

        def start() -> None:
            if number != self._starts or not self.on or self.process is not None:
                return
            if self.held:
                self.start_in(0.2)
                return
            self.world.boot(self)

        self.world.at(delay_s, start)

    def asked_for_proof(self, epoch: int, to: str, tell: Callable[[Proof | None], None]) -> None:
        """The other server asks. No answer while the power is off; None while a server runs here."""
        if not self.on:
            return
        prover = Prover(self.disk, self.name, lambda proof: proof, self.clock.now_s)
        try:
            given = prover.given(epoch, to)
        except MeetkeeperError:
            given = None
        if given is not None:
            tell(given)
            return
        if self.runs or self.held:
            tell(None)
            return
        self.held = True
        disk = self.disk

        def prove() -> None:
            if not self.on or disk is not self.disk:
                return
            self.held = False
            if self.runs:
                tell(None)
                return
            try:
                proof = prover.prove(epoch, to, "its process ended")
            except MeetkeeperError:
                tell(None)
                return
            self.world.judges.proven(proof, self.process)
            tell(proof)

        self.world.at(self.world.weather.proof_s * (0.5 + self.dice.random()), lambda: self.guarded(prove))

    def vouches(self) -> bool:
        """The agent, which starts the server again, says that nobody was given a proof against its last reign."""
        # As `app.pairparts`: a fence leaves no trace with our agent; the other server may have taken over by it.
        if self.world.weather.third_place or self.world.weather.fence or not self.again:
            return False
        return Prover(self.disk, self.name, lambda proof: proof, self.clock.now_s).nothing_given()

    def guarded(self, call: Callable[[], None]) -> None:
        """Run something on this machine; the power may go in one of its disk calls."""
        self.world.on_machine(self, call)
