"""What the checkers get to see: everything that happens in a world, as values. The world tells, the checkers judge."""

from msgspec import Struct

from meetkeeper.core.commands import Command
from meetkeeper.core.effects import SendMail
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.events import Event
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import Series, State
from meetkeeper.core.words import Alias, EffectKey, Meeting, RoomId
from meetkeeper.ha.words import Position
from meetkeeper.ports.bridge import WantedVmr
from meetkeeper.store.database import Database


class Violation(Exception):
    """A promise was broken."""


class Booted(Struct, frozen=True):
    """A server has read its home and begins to act; `database` is as recovered, before the new reign."""

    database: Database
    founded: bool


class Died(Struct, frozen=True):
    """The process is gone; `why` says how."""

    why: str


class Lost(Struct, frozen=True):
    """Every file but the configuration is lost: what was kept and acknowledged is gone, and everybody knows it.

    `standing` are the VMRs that bridges still hold.
    """

    standing: frozenset[Alias]


class Forgot(Struct, frozen=True):
    """A bridge has restarted and lost these."""

    aliases: frozenset[Alias]


class ReadBack(Struct, frozen=True):
    """Everything decided is kept, and was read back from disk into a second state."""

    live: State
    found: State


class Decided(Struct, frozen=True):
    """The core has decided; the plan is applied, not yet kept. `plan` is not empty."""

    event: Event
    plan: Plan
    position: Position
    state: State
    now_s: float


class Ticked(Struct, frozen=True):
    """The clock was looked at and everything due is decided."""

    state: State
    now_s: float


class Kept(Struct, frozen=True):
    """Everything up to this position is durable from here on."""

    position: Position


class Answered(Struct, frozen=True):
    """A caller hears the answer: a text, or why not. `seq` is the newest frame the answer may rest on."""

    command: Command
    answer: str | MeetkeeperError
    seq: int
    state: State


class Called(Struct, frozen=True):
    """A request for a bridge leaves the server: `wanted` to be ensured, or None when `alias` is to be taken down."""

    key: EffectKey
    alias: Alias
    wanted: WantedVmr | None
    state: State


class Posted(Struct, frozen=True):
    """A mail has reached the mail server; `accepted` tells whether it will be delivered."""

    message_id: str
    effect: SendMail
    meeting: Meeting | None
    series: Series | None
    accepted: bool


class HandedOver(Struct, frozen=True):
    """A mail leaves the server."""

    key: EffectKey


class Unclear(Struct, frozen=True):
    """Nobody can know whether this mail arrived; `during` says why."""

    key: EffectKey
    during: str


class Wrote(Struct, frozen=True):
    """A room's calendar is told to show or to drop an item."""

    key: EffectKey
    room: RoomId


class Healed(Struct, frozen=True):
    """From here on nothing goes wrong any more."""

    now_s: float


class Ended(Struct, frozen=True):
    """Everything had time to converge."""

    state: State
    now_s: float


Happening = (
    Booted
    | Died
    | Lost
    | Forgot
    | ReadBack
    | Decided
    | Ticked
    | Kept
    | Answered
    | Called
    | Posted
    | HandedOver
    | Unclear
    | Wrote
    | Healed
    | Ended
)


def unit_of(meeting: Meeting | None, series: Series | None) -> str:
    """What a mail is about: a meeting's id or a series' UID."""
    if meeting is not None:
        return meeting.id
    return "" if series is None else series.uid
