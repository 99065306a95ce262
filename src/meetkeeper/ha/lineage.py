"""Two histories: where one follows from the other, and where they part. Values and arithmetic alone.

Chain hashes cover everything before them, so two journals that agree at one seq agree at every earlier one.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from meetkeeper.ha.words import ORIGIN, Position


class Follows(Struct, frozen=True):
    """What was offered is held already, up to `count` of the positions offered; the rest goes on from there."""

    count: int


class Parts(Struct, frozen=True):
    """The histories part after `common`: what is held after it lost, and has to be set aside."""

    common: Position


class Forbidden(Struct, frozen=True):
    """R6: what is held after the parting was written under the same epoch, or a higher one. Somebody is wrong."""

    seq: int
    why: str


Comparison = Follows | Parts | Forbidden


def common_of(waypoints: Sequence[Position], known: Mapping[int, Position]) -> Position | None:
    """The newest waypoint that the journal of `known` holds too; None when there is none.

    An empty journal has ORIGIN in common with everybody.
    """
    for one in waypoints:
        if one == ORIGIN or known.get(one.seq) == one:
            return one
    return ORIGIN if not waypoints else None


def compare(
    held: Mapping[int, Position], last: Position, offered: Sequence[Position], after: Position, reign: int
) -> Comparison:
    """What to do with frames that may be held already.

    `held` are our positions after `after`, up to `last`; `offered` follow `after` without a gap and come from the
    server that reigns under `reign`. What is held at a seq is what is offered there, or nothing after it may stay.
    """
    common = after
    for count, one in enumerate(offered):
        mine = held.get(one.seq)
        if mine is None:
            return Follows(count)
        if mine != one:
            if last.epoch >= reign:
                why = f"seq {one.seq} is held with another content of epoch {mine.epoch}, and epoch {reign} reigns"
                return Forbidden(one.seq, why)
            return Parts(common)
        common = one
    return Follows(len(offered))
