"""What there is to do outside: a closed union, each effect with the key that makes it happen once.

An effect says *what*, never *how*: who carries it out reads the meeting as it stands and asks the neighbour first
(find, else create), so carrying it out twice is harmless. Mail cannot be asked; it has its own rule (`core.outbox`).
"""

from enum import StrEnum
from typing import Literal, assert_never

from msgspec import Struct

from meetkeeper.core.words import Alias, EffectKey, MeetingId, RoomId, Uid


class Phase(StrEnum):
    """How a VMR ought to stand on its bridge."""

    BOOKED = "booked"
    """It is there, nobody gets in yet."""
    OPEN = "open"
    """Whoever knows the PIN gets in."""
    CLOSED = "closed"
    """Its meeting is over: nobody is in, nobody gets in; it may open again for a later occurrence."""


class EnsureVmr(Struct, frozen=True, gc=False, tag_field="kind", tag="ensure-vmr"):
    """The VMR stands on its bridge in this phase. `of` is a meeting that uses it; `turn` tells apart repeated asks."""

    alias: Alias
    of: MeetingId
    phase: Phase
    turn: str


class RetireVmr(Struct, frozen=True, gc=False, tag_field="kind", tag="retire-vmr"):
    """The VMR is taken off its bridge; a tombstone keeps the alias from being given out again."""

    alias: Alias
    bridge: str


class Announce(Struct, frozen=True, gc=False, tag_field="kind", tag="announce"):
    """Everybody concerned is to be told of this revision: becomes one `SendMail` per recipient in a plan of its own.

    Exactly one of `meeting` (it does not repeat, or each occurrence has its own VMR) and `series` is set.
    `dropped` are addresses that were invited before and are not any more.
    """

    revision: int
    meeting: MeetingId | None = None
    series: Uid | None = None
    cancelled: bool = False
    dropped: tuple[str, ...] = ()


class SendMail(Struct, frozen=True, gc=False, tag_field="kind", tag="send-mail"):
    """One mail to one recipient about one revision. Its key is its Message-ID."""

    to: str
    revision: int
    method: Literal["REQUEST", "CANCEL"]
    meeting: MeetingId | None = None
    series: Uid | None = None


class WriteItem(Struct, frozen=True, gc=False, tag_field="kind", tag="write-item"):
    """A meeting booked here is written into (or, cancelled, removed from) one room's calendar."""

    room: RoomId
    revision: int
    meeting: MeetingId | None = None
    series: Uid | None = None
    remove: bool = False


class AnnotateItem(Struct, frozen=True, gc=False, tag_field="kind", tag="annotate-item"):
    """How to join is written into (or taken out of) one room's copy of a meeting that a calendar brought.

    `turn` tells apart what is written for one revision: that the VMR stands, that it is waited for, that it is gone,
    that somebody's saving of the item has lost it.
    """

    room: RoomId
    revision: int
    turn: Literal["stands", "waits", "gone", "again"]
    meeting: MeetingId | None = None
    series: Uid | None = None


Effect = EnsureVmr | RetireVmr | Announce | SendMail | WriteItem | AnnotateItem


def key_of(effect: Effect) -> EffectKey:
    """The key under which the effect is kept, found again and never repeated."""
    match effect:
        case EnsureVmr():
            return EffectKey(f"vmr/{effect.alias}/{effect.phase}/{effect.turn}")
        case RetireVmr():
            return EffectKey(f"vmr/{effect.alias}/retire")
        case Announce():
            return EffectKey(f"announce/{effect.meeting or effect.series}/{effect.revision}")
        case SendMail():
            return EffectKey(
                f"mail/{effect.meeting or effect.series}/{effect.revision}/{effect.method}/{effect.to}"
            )
        case WriteItem():
            act = "remove" if effect.remove else "write"
            return EffectKey(f"item/{effect.room}/{effect.meeting or effect.series}/{effect.revision}/{act}")
        case AnnotateItem():
            return EffectKey(
                f"block/{effect.room}/{effect.meeting or effect.series}/{effect.revision}/{effect.turn}"
            )
        case _ as never:
            assert_never(never)
