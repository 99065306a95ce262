"""Where a pair has no third place: each server keeps what stands itself, in `local/standing.json`.

Versions are ordered on both servers alike: epoch · 1,000,000,000 + the number of the change in that reign, from 1. Only
the one active of an epoch makes them, so equal versions are equal records.
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from meetkeeper.ha.words import Empty, Found, Outcome, Proof, Reading, Record
from meetkeeper.ports.disk import Disk

Grant = Callable[[int, Record], Awaitable[Outcome]]
"""Asks the other server (expected, record): `Won` it consents, `Lost` it refuses (with what stands there), `Unknown`."""


class NeedsGrant(Struct, frozen=True):
    """A new reign that the other server has to consent to first."""

    expected: int
    record: Record


class StandingRegister:
    """This server's own standing. Every method that writes does so durably before it answers."""

    arbitrates = False

    def __init__(self, disk: Disk, grant: Grant, *, me: str, founds: bool = False) -> None:
        """Reads the file. `founds`: may found a pair by itself where nothing stands. Raises `Corrupt` when damaged."""
        self._disk, self._grant, self._me, self._founds = disk, grant, me, founds

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return "no third place: what the two servers keep themselves"

    async def read(self) -> Reading:
        """Own standing, read from the disk."""
        raise NotImplementedError

    async def change(self, expected: int, record: Record) -> Outcome:
        """`prepare`, the grant where one is needed, `finish`; writes in a thread."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to let go of."""

    def read_now(self) -> Reading:
        """As `read`, at once."""
        raise NotImplementedError

    def prepare(self, expected: int, record: Record) -> Outcome | NeedsGrant:
        """First half of a change: done or refused at once, or the other server has to be asked."""
        raise NotImplementedError

    def finish(self, asked: NeedsGrant, answer: Outcome) -> Outcome:
        """Second half: what the other server's answer means. Called once for each `NeedsGrant`."""
        raise NotImplementedError

    def adopt(self, proof: Proof) -> Reading:
        """Take a verified proof of the other's stop; answers what stands after it. Kept in memory alone."""
        raise NotImplementedError

    def consent(self, expected: int, record: Record, *, acting: bool) -> tuple[bool, Found | Empty]:
        """The other server asks for a new reign: whether it may, and what stands here now."""
        raise NotImplementedError

    def remember(self, record: Record, version: int) -> bool:
        """Mirror what the other server says stands, if it is newer; True when it was taken."""
        raise NotImplementedError
