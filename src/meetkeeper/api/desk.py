"""Everything a handler may reach for, in one record: handlers stay thin and know no globals."""

from dataclasses import dataclass

from meetkeeper.api.auth import Verifier
from meetkeeper.api.follower import Follower
from meetkeeper.api.gate import Engine, Gate
from meetkeeper.api.limits import Attempts
from meetkeeper.api.metrics import Counts, Metrics
from meetkeeper.api.sessions import Sessions


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """The gate and what the door keeps beside it."""

    gate: Gate
    follower: Follower
    verifier: Verifier
    sessions: Sessions
    counts: Counts
    metrics: Metrics
    joins: Attempts
    """Tries at the invitees' door."""

    @property
    def engine(self) -> Engine:
        """The house."""
        return self.gate.engine


def make_desk(gate: Gate) -> Desk:
    """A desk in front of this gate."""
    follower = Follower(gate)
    counts = Counts()
    return Desk(
        gate=gate,
        follower=follower,
        verifier=Verifier(gate, follower),
        sessions=Sessions(follower),
        counts=counts,
        metrics=Metrics(gate, counts),
        joins=Attempts(),
    )
