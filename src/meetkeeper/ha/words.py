"""The words of the pair: positions, roles, the record in the register, proofs of stop, and what the servers say.

Times called `now_s`, `…_until_s`, `heard_s` are seconds of a clock that never jumps and counts while the machine
sleeps (CLOCK_BOOTTIME); they mean nothing to the other server. `at_s` is the wall clock's, for people.
"""

from enum import StrEnum

from msgspec import Struct

PROTOCOL = 1
"""Version of what the servers say to each other. They may differ by one; see `conversation`."""
HASH_CHARS = 32


class Position(Struct, frozen=True, gc=False):
    """How far a journal has come: the last frame's epoch, seq and chain hash. An empty hash means: not known.

    The chain hash covers everything before: two journals with the same one hold the same history.
    """

    epoch: int
    seq: int
    hash: str


ORIGIN = Position(0, 0, "0" * HASH_CHARS)
"""Before the first frame."""


class Role(StrEnum):
    """What a server is. It acts as `active` alone."""

    PASSIVE = "passive"
    """Applies what the active keeps; ready to take over, or waiting to know who is active."""
    CLAIMING = "claiming"
    """Has promised a new epoch and asks the register for it."""
    ACTIVE = "active"
    """Decides, keeps, acts."""
    YIELDING = "yielding"
    """Decides nothing any more and waits until both disks hold everything: a switchover's first half."""
    ENDED = "ended"
    """Has lost the role in disorder; this process ends, and a new one begins as passive."""


class Mode(StrEnum):
    """What an acknowledgement promises."""

    SYNC = "sync"
    """On both disks; alone only after the register has said so."""
    STRICT = "strict"
    """On both disks; never alone."""
    ASYNC = "async"
    """On the active's disk; what the passive lacks may be lost, and is shown as a number at all times."""


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """What the register holds. Changed by compare-and-set alone; small, rarely touched.

    `in_sync` names, sorted, every server that holds all acknowledged frames; `active` is one of them. `nonce` tells
    two writers of equal words apart: whoever got no answer re-reads and looks for its own.
    """

    cluster: str
    epoch: int
    active: str
    in_sync: tuple[str, ...]
    mode: Mode
    by: str
    """Who wrote it."""
    why: str
    """The row of the table, or an operator's reason."""
    at_s: float
    nonce: str = ""
    holds: Position = ORIGIN
    """What every server in `in_sync` had on its disk as this was written. One that comes with less was set back."""

    def same_rights(self, other: "Record") -> bool:
        """True when both give the same servers the same rights."""
        return (self.cluster, self.epoch, self.active, self.in_sync) == (
            other.cluster,
            other.epoch,
            other.active,
            other.in_sync,
        )


# --- what a register answers --------------------------------------------------------------------------------


class Found(Struct, frozen=True):
    """A record, and the version to compare with in the next change. Versions only grow."""

    record: Record
    version: int


class Empty(Struct, frozen=True):
    """Nothing was ever written, or everything was lost. The next change compares with version 0."""

    version: int = 0


class Unreachable(Struct, frozen=True):
    """Nobody knows. `why` is a sentence for people."""

    why: str


class Won(Struct, frozen=True):
    """The change stands."""

    version: int


class Lost(Struct, frozen=True):
    """Somebody else was first; this is what stands."""

    found: Found | Empty


class Unknown(Struct, frozen=True):
    """It may have been done or not. R5: no right follows from it, every duty does, until it has been read again."""

    why: str


Reading = Found | Empty | Unreachable
Outcome = Won | Lost | Unknown


# --- proofs of stop -----------------------------------------------------------------------------------------


class Witness(StrEnum):
    """Who says that a server has stopped."""

    ITSELF = "itself"
    """The server, which has ended its reign in good order: a switchover, or leaving."""
    AGENT = "agent"
    """The agent on its host: the process is gone, and it starts none that acts under this epoch again."""
    FENCE = "fence"
    """A fence command has ended with 0: the host is off."""
    OPERATOR = "operator"
    """A person, who typed a reason."""


class Proof(Struct, frozen=True):
    """`server` does not act under `epoch` or any lower one, and never will again.

    `position` is the end of its journal where the witness could read it; `record` the last one it knew. `seal` is the
    witness's signature over the rest, empty where a person or a fence command stands for it.
    """

    server: str
    epoch: int
    witness: Witness
    position: Position | None
    record: Record | None
    why: str
    at_s: float
    accept_loss: bool = False
    """A person accepts in words that frames which only the stopped server holds are lost."""
    seal: str = ""


# --- what the servers say to each other ---------------------------------------------------------------------


class Facts(Struct, frozen=True, kw_only=True):
    """What a server says about itself, for readiness: measured, never trusted for safety."""

    release: str = ""
    tzdata: str = ""
    time_zone: str = ""
    wall_s: float = 0.0
    config_revision: int = 0
    ready: str = "unknown"
    """Verdict of the passive about itself: ready, at risk, not ready, unknown."""
    reasons: tuple[str, ...] = ()
    url: str = ""
    """Where people and programs reach it."""
    maintenance_left_s: float = 0.0
    """For so long it lets no failover begin by itself. Policy, not safety: both servers follow the newer word."""
    maintenance_set_s: float = 0.0
    """When a person said so, by the wall clock of the server that was told: the newer word counts."""
    maintenance_why: str = ""
    maintenance_by: str = ""


class Hello(Struct, frozen=True, kw_only=True):
    """The first word on a connection, both ways. Nothing else counts before it has been checked."""

    protocol: int
    cluster: str
    """Empty: has not joined any yet."""
    name: str
    instance: str
    """Drawn by `init`: two homes with one name, or a copied home, are told apart by it."""
    to: str
    """Whom it wants to talk to."""
    role: Role
    epoch: int
    """The highest epoch it has seen or promised."""
    position: Position
    waypoints: tuple[Position, ...] = ()
    """Positions of its journal, newest first, ever farther apart: where two histories part lies between two."""
    record: Record | None = None
    version: int = 0
    facts: Facts = Facts()


class Refusal(Struct, frozen=True):
    """The last word on a connection that is refused: whose fault, what to do."""

    code: str
    text: str


class Beacon(Struct, frozen=True, kw_only=True):
    """Sent every half second by both. `sent_s` is the sender's own clock and comes back in the echo."""

    sent_s: float
    role: Role
    epoch: int
    position: Position
    """On its disk."""
    record: Record | None = None
    version: int = 0
    facts: Facts = Facts()


class Echo(Struct, frozen=True):
    """The answer to a beacon, at once: `epoch` is the highest the answerer has promised."""

    sent_s: float
    epoch: int


class Begin(Struct, frozen=True):
    """Active to passive: frames follow from here; what you hold after this I compare. Snapshot: take that first."""

    after: Position
    epoch: int
    snapshot_seq: int = 0
    snapshot_bytes: int = 0


class Frames(Struct, frozen=True):
    """Active to passive: whole lines of the journal, the very bytes."""

    data: bytes


class Piece(Struct, frozen=True):
    """Active to passive: bytes of the snapshot file `seq` from `offset` on; `last` ends it."""

    seq: int
    offset: int
    data: bytes
    last: bool


class WantSnapshot(Struct, frozen=True):
    """Passive to active: the pieces of this snapshot from `offset` on, which I have so far."""

    seq: int
    offset: int


class Have(Struct, frozen=True):
    """Passive to active: on my disk, under this epoch."""

    position: Position
    epoch: int


class AskGrant(Struct, frozen=True):
    """Where there is no register: may this record stand?"""

    number: int
    expected: int
    record: Record


class Granted(Struct, frozen=True):
    """The answer: `ok` after the record is on the granter's disk with a promise of its epoch."""

    number: int
    ok: bool
    record: Record | None
    version: int


class Yielded(Struct, frozen=True):
    """The active has ended its reign in good order and stands back for a while: take over."""

    proof: Proof


class Leaving(Struct, frozen=True):
    """I stop on purpose; `back_after_s` says how long not to take that for a failure."""

    why: str
    back_after_s: float


Message = (
    Hello
    | Refusal
    | Beacon
    | Echo
    | Begin
    | Frames
    | Piece
    | WantSnapshot
    | Have
    | AskGrant
    | Granted
    | Yielded
    | Leaving
)


class Timing(Struct, frozen=True, kw_only=True):
    """Safety's seconds (reference: lease L, drift ρ, margin σ) and policy's minutes. Both kinds are apart on purpose.

    The holder counts from its send: D = L·(1−ρ) − σ. The taker counts from when it heard: G = L·(1+ρ) + σ.
    """

    lease_s: float = 3.0
    beacon_s: float = 0.5
    drift: float = 0.01
    margin_s: float = 0.2
    read_again_s: float = 1.0
    """How often the register is read while something waits for it."""
    prove_again_s: float = 0.3
    """How often the other host's agent is asked for a proof of stop."""
    solo_look_s: float = 3.0
    """How often an active that is alone looks whether somebody was put in its place."""
    look_s: float = 15.0
    """How often the register is read when nothing depends on it: a silent failure would be found too late."""
    near_frames: int = 1_000
    """From so few missing frames on, the other server's disk is waited for, so that it can catch up under load."""
    yield_s: float = 3.0
    """How long a switchover may take before the old active goes on, and how long it stands back after it."""
    force_s: float = 60.0
    """How long an operator's word is tried for: what was right then may be wrong an hour later."""
    failover_after_s: float = 0.0
    alert_after_s: float = 10.0

    @property
    def holder_s(self) -> float:
        """How long a beacon that was echoed gives the right to speak, from its send."""
        return self.lease_s * (1 - self.drift) - self.margin_s

    @property
    def taker_s(self) -> float:
        """How long a silent active must be waited for, from its last beacon."""
        return self.lease_s * (1 + self.drift) + self.margin_s
