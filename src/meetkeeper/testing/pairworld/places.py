"""The third place, each server's way to it, and what goes wrong on the way: away, slow, answers lost, changes late."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, TypeVar

from meetkeeper.ha.words import Found, Outcome, Reading, Record, Unknown, Unreachable
from meetkeeper.testing.fakes.register import FakePlace, FakeRegister

if TYPE_CHECKING:
    from meetkeeper.testing.pairworld.process import Process
    from meetkeeper.testing.pairworld.run import World

T = TypeVar("T")
DEADLINE_S = 2.0
LATE_S_MAX = 15.0


class Place:
    """The register and what it is like to ask it."""

    def __init__(self, world: "World", dice: Random) -> None:
        self.world = world
        self.dice = dice
        self.fake = FakePlace()
        self.away: set[str] = set()
        """Whose way there is cut."""

    @property
    def record(self) -> Record | None:
        """What stands."""
        standing = self.fake.standing
        return standing.record if isinstance(standing, Found) else None

    def way(self, process: "Process") -> "Way":
        """A new life's way there."""
        return Way(self, process)


class Way:
    """One life's way: one question at a time, each with its deadline."""

    def __init__(self, place: Place, process: "Process") -> None:
        self._place = place
        self._process = process
        self._register = FakeRegister(place.fake)
        self._queue: deque[Callable[[], None]] = deque()
        self._busy = False

    def read(self, tell: Callable[[Reading], None]) -> None:
        """Ask what stands."""
        self._line_up(lambda: self._ask(self._register.read_now, _silent(), tell))

    def change(self, expected: int, record: Record, tell: Callable[[Outcome], None]) -> None:
        """Ask for a change."""
        register, place = self._register, self._place

        def put() -> Outcome:
            weather = place.world.weather
            if place.dice.random() < weather.late:
                register.lies.late = 1
            elif place.dice.random() < weather.answer_lost:
                register.lies.lose_answers = 1
            outcome = register.change_now(expected, record)
            register.lies.late = register.lies.lose_answers = 0
            if place.fake.on_the_way:
                place.world.at(place.dice.uniform(0, LATE_S_MAX), place.world.land_late)
            place.world.judges.register_moved()
            return outcome

        self._line_up(lambda: self._ask(put, _unknown(), tell))

    def _line_up(self, ask: Callable[[], None]) -> None:
        self._queue.append(ask)
        if not self._busy:
            self._next()

    def _next(self) -> None:
        self._busy = bool(self._queue)
        if self._queue:
            self._queue.popleft()()

    def _ask(self, question: Callable[[], T], silence: T, tell: Callable[[T], None]) -> None:
        place, process = self._place, self._process
        world = place.world
        answered = False

        def end(answer: T) -> None:
            nonlocal answered
            if not answered:
                answered = True
                tell(answer)
                self._next()

        def arrive() -> None:
            # A question under way arrives, whether or not its sender still lives.
            answer = question()
            if process.name not in place.away:
                world.at(self._travel_s(), lambda: process.let(lambda: end(answer)))

        process.at(DEADLINE_S, lambda: end(silence))
        if process.name not in place.away:
            world.at(self._travel_s(), arrive)

    def _travel_s(self) -> float:
        return self._place.world.weather.place_slow_s * (0.5 + self._place.dice.random())


def _silent() -> Reading:
    return Unreachable("no answer in time")


def _unknown() -> Outcome:
    return Unknown("no answer in time")
