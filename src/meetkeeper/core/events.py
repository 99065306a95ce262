"""What may happen: everything that enters the core through `keeper.step` is one of these."""

from typing import Literal

from msgspec import Struct

from meetkeeper.core.commands import Command
from meetkeeper.core.words import Alias, CalendarItem, EffectKey, RoomId


class ReignStarted(Struct, frozen=True, gc=False):
    """This server begins to act: everything a crash may have left open is looked at once."""

    epoch: int
    server: str
    release: str
    tzdata: str


class Ticked(Struct, frozen=True, gc=False):
    """Time has passed."""


class PageSeen(Struct, frozen=True, gc=False):
    """One page of a room's calendar, and the source's progress mark after it.

    `listing` is set on the last page of a *complete* pass alone and names every item the calendar holds: only its
    presence allows a sweep. `cookie` is the source's own mark, None where this page must not move it.
    """

    room: RoomId
    items: tuple[CalendarItem, ...] = ()
    gone: tuple[str, ...] = ()
    cookie: str | None = None
    listing: frozenset[str] | None = None
    problems: tuple[tuple[str, str], ...] = ()
    """(href, sentence) of items that could not be read: they are neither kept nor taken as gone."""
    judged_by: str = ""
    """Digest of the room's rules when the read began, if what is known is to be judged by them again (`core.judging`).
    Every page of such a complete pass has it."""


class Audited(Struct, frozen=True, gc=False):
    """A room's calendar was read whole beside what it had reported, and compared by content (`core.audit`).

    `found` are (href, sentence) of changes that the calendar never reported; the pages that brought them came before.
    `older` items were known from a release that compared less of them: whether anything was hidden can't be said.
    `cookie` is the mark of the whole read, in our envelope: a mark that has kept changes back is followed no longer.
    """

    room: RoomId
    found: tuple[tuple[str, str], ...] = ()
    cookie: str | None = None
    older: int = 0


class EffectStarted(Struct, frozen=True, gc=False):
    """A mail is about to be handed over; kept before it is."""

    key: EffectKey


class Done(Struct, frozen=True, gc=False):
    """It is so. `adopted_from` is the lineage in the marker of a VMR that was there before us.

    `idle`: nothing was done, for it is not wanted any more.
    """

    detail: str = ""
    adopted_from: str | None = None
    idle: bool = False


class Later(Struct, frozen=True, gc=False):
    """Not now: a neighbour is away or busy."""

    reason: str
    retry_after_s: float | None = None


class Never(Struct, frozen=True, gc=False):
    """The neighbour has refused for good."""

    reason: str


class Taken(Struct, frozen=True, gc=False):
    """Somebody else holds the alias on the bridge."""

    reason: str


class Unclear(Struct, frozen=True, gc=False):
    """It was handed over and no answer came: it may or may not have happened, and can't be asked."""

    reason: str


Outcome = Done | Later | Never | Taken | Unclear


class EffectReported(Struct, frozen=True, gc=False):
    """What became of an effect."""

    key: EffectKey
    outcome: Outcome


class BridgeSurveyed(Struct, frozen=True, gc=False):
    """What stands on a bridge under our marker. `aliases` maps alias to the marker's text."""

    bridge: str
    aliases: dict[Alias, str]
    complete: Literal[True] = True


Event = ReignStarted | Ticked | PageSeen | Audited | EffectStarted | EffectReported | BridgeSurveyed | Command
