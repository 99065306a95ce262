"""A register in memory, for the simulated world: the place, and each server's way to it."""

from msgspec import Struct

from meetkeeper.ha.words import Found, Outcome, Reading, Record


class Lies(Struct):
    """What the place, or one server's way to it, does wrong while set."""

    away: bool = False
    """Nobody answers: reads are `Unreachable`, changes `Unknown` and not done."""
    lose_answers: bool = False
    """Changes are done, their answers lost."""
    late: bool = False
    """Changes answer `Unknown` and wait in `FakePlace.land_late` to be done, or to fail, some time later."""
    stale: bool = False
    """Reads answer what stood before: forbidden for a register; a canary for the world."""


class FakePlace:
    """The third place."""

    def __init__(self) -> None:
        self.history: list[Found] = []

    def land_late(self) -> int:
        """Changes on their way arrive now; answers how many found their version still standing."""
        raise NotImplementedError

    def roll_back(self, changes: int = 1) -> None:
        """The newest changes are gone, as after a restored backup."""
        raise NotImplementedError


class FakeRegister:
    """One server's way to the place."""

    arbitrates = True

    def __init__(self, place: FakePlace | None = None) -> None:
        self.at = place or FakePlace()
        self.lies = Lies()

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return "memory"

    def read_now(self) -> Reading:
        """As `read`, at once."""
        raise NotImplementedError

    def change_now(self, expected: int, record: Record) -> Outcome:
        """As `change`, at once."""
        raise NotImplementedError

    async def read(self) -> Reading:
        """What stands."""
        return self.read_now()

    async def change(self, expected: int, record: Record) -> Outcome:
        """Put `record` in the place of version `expected`."""
        return self.change_now(expected, record)

    async def close(self) -> None:
        """Nothing to let go of."""
