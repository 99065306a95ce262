"""Where histories part: found exactly, and never within one epoch."""

from meetkeeper.ha.lineage import Follows, Forbidden, Parts, common_of, compare
from meetkeeper.ha.words import ORIGIN, Position


def history(*steps: tuple[int, str]) -> list[Position]:
    """Positions seq 1, 2, … of these (epoch, hash)."""
    return [Position(epoch, seq, name) for seq, (epoch, name) in enumerate(steps, 1)]


OURS = history((1, "a"), (1, "b"), (1, "c"), (1, "d"))
THEIRS = history((1, "a"), (1, "b"), (2, "x"), (2, "y"))


def by_seq(positions: list[Position]) -> dict[int, Position]:
    """As a journal knows them."""
    return {one.seq: one for one in positions}


def test_the_newest_waypoint_both_hold_is_found() -> None:
    """From the newest backwards; an empty journal has the origin in common with everybody."""
    assert common_of(OURS[::-1], by_seq(THEIRS)) == OURS[1]
    assert common_of(OURS[::-1], by_seq(OURS)) == OURS[3]
    assert common_of((), by_seq(THEIRS)) == ORIGIN
    assert common_of((ORIGIN,), {}) == ORIGIN
    assert common_of(OURS[2:], by_seq(THEIRS)) is None


def test_histories_part_at_the_first_difference() -> None:
    """What is the same stays, however far before the parting the comparison begins."""
    for begin in (0, 1, 2):
        after = ORIGIN if begin == 0 else OURS[begin - 1]
        held = {seq: one for seq, one in by_seq(OURS).items() if seq > begin}
        assert compare(held, OURS[-1], THEIRS[begin:], after, 2) == Parts(OURS[1])


def test_what_is_held_already_is_skipped() -> None:
    """The same frames again, and then new ones."""
    held = by_seq(OURS[:3])
    assert compare(held, OURS[2], OURS, ORIGIN, 1) == Follows(3)
    assert compare(held, OURS[2], OURS[:2], ORIGIN, 1) == Follows(2)


def test_records_of_the_same_epoch_are_never_shortened() -> None:
    """R6: another content under the epoch that reigns, or a higher one, is somebody's mistake."""
    other = [*OURS[:2], Position(1, 3, "z")]
    assert isinstance(compare(by_seq(OURS), OURS[-1], other, ORIGIN, 1), Forbidden)
    assert isinstance(compare(by_seq(THEIRS), THEIRS[-1], OURS, ORIGIN, 2), Forbidden)
