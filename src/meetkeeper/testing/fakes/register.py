"""A register in memory, for the simulated world: the place, and each server's way to it.

Everything is synchronous; `lies` are set on one server's way, `roll_back` and `land_late` happen at the place. A read
after an unknown outcome is final, as at every register: see `registers.careful`.
"""

from msgspec import Struct

from meetkeeper.ha.words import Empty, Found, Lost, Outcome, Reading, Record, Unknown, Unreachable, Won
from meetkeeper.registers.careful import verdict

AWAY = "The register in memory is away. Wait until the test brings it back."


class Lies(Struct):
    """What one server's way to the place does wrong while set."""

    away: bool = False
    """Nobody answers: reads are `Unreachable`, changes `Unknown` and not done."""
    lose_answers: int = 0
    """So many of the next changes are done, their answers lost."""
    late: int = 0
    """So many of the next changes answer `Unknown` and wait for `FakePlace.land_late`, to be done or to fail then."""
    stale: bool = False
    """Reads answer what stood before: forbidden for a register; a canary for the world."""


class FakePlace:
    """The third place. `history` holds everything that ever stood, newest last."""

    def __init__(self) -> None:
        self.history: list[Found] = []
        self.on_the_way: list[tuple[int, Record]] = []

    @property
    def standing(self) -> Found | Empty:
        """What stands."""
        return self.history[-1] if self.history else Empty()

    def put(self, expected: int, record: Record) -> Won | Lost:
        """The compare-and-set itself."""
        standing = self.standing
        if standing.version != expected:
            return Lost(standing)
        self.history.append(Found(record, expected + 1))
        return Won(expected + 1)

    def land_late(self) -> int:
        """Changes on their way arrive now; answers how many found their version still standing."""
        arriving, self.on_the_way = self.on_the_way, []
        return sum(isinstance(self.put(expected, record), Won) for expected, record in arriving)

    def roll_back(self, changes: int = 1) -> None:
        """The newest changes are gone, as after a restored backup."""
        del self.history[max(0, len(self.history) - changes) :]


class FakeRegister:
    """One server's way to the place, and what it has seen there."""

    arbitrates = True
    place = "The register in memory"

    def __init__(self, place: FakePlace | None = None) -> None:
        self.at = place or FakePlace()
        self.lies = Lies()
        self._last: Found | None = None
        self._open_at: int | None = None

    def read_now(self) -> Reading:
        """As `read`, at once."""
        if self.lies.away:
            return Unreachable(AWAY)
        standing = self._seen(self._shown())
        if not isinstance(standing, Found) or self._open_at != standing.version:
            return standing
        match self._put(standing.version, standing.record):
            case Won(version):
                return Found(standing.record, version)
            case Lost(found):
                return found
            case Unknown(why):
                return Unreachable(why)

    def change_now(self, expected: int, record: Record) -> Outcome:
        """As `change`, at once."""
        if self.lies.away:
            return Unknown(AWAY)
        standing = self._seen(self._shown())
        if isinstance(standing, Unreachable):
            return Unknown(standing.why)
        if standing.version != expected:
            return verdict(standing, record)
        return self._put(expected, record)

    async def read(self) -> Reading:
        """What stands."""
        return self.read_now()

    async def change(self, expected: int, record: Record) -> Outcome:
        """Put `record` in the place of version `expected`."""
        return self.change_now(expected, record)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _shown(self) -> Found | Empty:
        if not self.lies.stale:
            return self.at.standing
        return self.at.history[-2] if len(self.at.history) > 1 else Empty()

    def _put(self, expected: int, record: Record) -> Outcome:
        self._open_at = expected
        if self.lies.late:
            self.lies.late -= 1
            self.at.on_the_way.append((expected, record))
            return Unknown("The register in memory does not answer; the change is on its way.")
        outcome = self.at.put(expected, record)
        if self.lies.lose_answers:
            self.lies.lose_answers -= 1
            return Unknown("The register in memory has not answered.")
        match outcome:
            case Won(version):
                self._last, self._open_at = Found(record, version), None
                return outcome
            case Lost(found):
                self._seen(found)
                return verdict(found, record)

    def _seen(self, standing: Found | Empty) -> Reading:
        last = self._last
        if last is not None and (
            standing.version < last.version or (standing.version == last.version and standing != last)
        ):
            return Unreachable(
                f"{self.place} was rolled back from version {last.version} to {standing.version}. Decide by hand who "
                "is active."
            )
        if isinstance(standing, Found):
            self._last = standing
            if self._open_at is not None and standing.version > self._open_at:
                self._open_at = None
        return standing
