"""Portions: everything once, in order, and never more in one than fits."""

from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.itemtext.portions import PORTION_BYTES, portions


@given(st.lists(st.integers(0, PORTION_BYTES * 2), max_size=60), st.integers(1, 10))
def test_portions_hold_everything_within_bounds(sizes: list[int], count_max: int) -> None:
    """Joined, the portions are the things; each is bounded by count, and by weight unless it is a single thing."""
    made = list(portions(enumerate(sizes), count_max)) if sizes else []
    assert [number for portion in made for number in portion] == list(range(len(sizes)))
    for portion in made:
        assert 0 < len(portion) <= count_max
        assert len(portion) == 1 or sum(sizes[number] for number in portion) <= PORTION_BYTES
    assert not list(portions((), count_max))
