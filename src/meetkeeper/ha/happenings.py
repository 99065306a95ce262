"""What can happen to a server of a pair (events), and what it can be told to do (actions)."""

from msgspec import Struct

from meetkeeper.ha.words import (
    Beacon,
    Hello,
    Leaving,
    Message,
    Outcome,
    Position,
    Proof,
    Reading,
    Record,
)

# --- events ---------------------------------------------------------------------------------------------------


class Ticked(Struct, frozen=True):
    """The steady clock was looked at."""


class Paused(Struct, frozen=True):
    """This process did not run for `gap_s`, or the wall clock jumped: it may be somebody's past."""

    gap_s: float


class RegisterSaid(Struct, frozen=True):
    """The register was read."""

    reading: Reading


class ChangeEnded(Struct, frozen=True):
    """What came of the change that was asked of the register: of this record, if it is said which."""

    outcome: Outcome
    record: Record | None = None


class Promised(Struct, frozen=True):
    """On disk: this server takes and writes nothing below `epoch` any more."""

    epoch: int


class Linked(Struct, frozen=True):
    """The other server is there, and is who it says."""

    hello: Hello


class Unlinked(Struct, frozen=True):
    """The connection is gone."""

    why: str


class BeaconHeard(Struct, frozen=True):
    """The other server lives."""

    beacon: Beacon


class Echoed(Struct, frozen=True):
    """The other server has heard our beacon of `sent_s`; `epoch` is the highest it has promised."""

    sent_s: float
    epoch: int


class PeerKept(Struct, frozen=True):
    """The other server holds everything up to `position`; up to `released_seq` callers have been told."""

    position: Position
    released_seq: int


class ProofCame(Struct, frozen=True):
    """Somebody proves that the other server has stopped. Its seal has been verified."""

    proof: Proof


class PeerLeft(Struct, frozen=True):
    """The other server says that it stops on purpose."""

    leaving: Leaving


class ReignBegan(Struct, frozen=True):
    """Our reign's first frame is kept: we act."""

    epoch: int


class Drained(Struct, frozen=True):
    """Nothing more is decided, and everything decided is on both disks."""


class ReignEnded(Struct, frozen=True):
    """The engine has stopped in good order; `position` is the end of the journal."""

    position: Position


class ActorFailed(Struct, frozen=True):
    """The engine can't go on: the disk failed, or a fault of ours."""

    why: str


class SwitchoverAsked(Struct, frozen=True):
    """A person or a policy wants the other server to act."""

    why: str


class ForceAsked(Struct, frozen=True):
    """A person wants this server to act, and states that the other has stopped, or accepts what may be lost."""

    proof: Proof


class LeaveAsked(Struct, frozen=True):
    """This process is to end on purpose. `hand_over`: the other server may take over at once."""

    why: str
    hand_over: bool
    back_after_s: float


class MaintenanceSet(Struct, frozen=True):
    """Until then (steady clock; 0: no more) no failover begins by itself."""

    until_s: float


Event = (
    Ticked
    | Paused
    | RegisterSaid
    | ChangeEnded
    | Promised
    | Linked
    | Unlinked
    | BeaconHeard
    | Echoed
    | PeerKept
    | ProofCame
    | PeerLeft
    | ReignBegan
    | Drained
    | ReignEnded
    | ActorFailed
    | SwitchoverAsked
    | ForceAsked
    | LeaveAsked
    | MaintenanceSet
)

# --- actions --------------------------------------------------------------------------------------------------


class ReadRegister(Struct, frozen=True):
    """Ask the register what stands."""


class ChangeRegister(Struct, frozen=True):
    """Ask the register to put this in the place of version `expected`."""

    expected: int
    record: Record


class Promise(Struct, frozen=True):
    """Write down, durably, that nothing below `epoch` is taken or written any more; then say `Promised`."""

    epoch: int


class AskProof(Struct, frozen=True):
    """Ask the other host's agent for a proof that `epoch` is over; `fence`: if it has none, end that host for one."""

    epoch: int
    fence: bool = False


class Say(Struct, frozen=True):
    """Tell the other server."""

    message: Message


class BeginReign(Struct, frozen=True):
    """Act under this epoch; the disk holds everything by now."""

    epoch: int


class RaiseReign(Struct, frozen=True):
    """Go on acting, under a higher epoch."""

    epoch: int


class Freeze(Struct, frozen=True):
    """Decide nothing more; say `Drained` when everything decided is on both disks."""


class Thaw(Struct, frozen=True):
    """Go on deciding: the switchover did not come about."""

    why: str


class EndReign(Struct, frozen=True):
    """In good order: stop the engine, then say `ReignEnded`. Else: stop at once, whoever waits is refused."""

    in_order: bool
    why: str


class Remember(Struct, frozen=True):
    """Keep this record on this server's own disk: what stood when it last knew."""

    record: Record
    version: int


class Answer(Struct, frozen=True):
    """Tell the person who asked: begun, or why not."""

    ok: bool
    text: str


Action = (
    ReadRegister
    | ChangeRegister
    | Promise
    | AskProof
    | Say
    | BeginReign
    | RaiseReign
    | Freeze
    | Thaw
    | EndReign
    | Remember
    | Answer
)
