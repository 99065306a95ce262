"""The arithmetic under every figure."""

import pytest

from bench.figures import Failed, Figures, figures_of, median, median_figures, percentile


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 1.0), (0.5, 50.0), (0.501, 51.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)],
)
def test_a_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    """Of a hundred values the share names the one that so many do not exceed."""
    assert percentile([float(value) for value in range(1, 101)], share) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    """A single value is every percentile."""
    assert percentile([7.0], 0.01) == percentile([7.0], 0.99) == 7.0


def test_figures_count_what_was_done_in_the_time() -> None:
    """The rate is what was done by the time it took, latencies are in milliseconds whatever their order."""
    assert figures_of([0.003, 0.001, 0.002, 0.002], 2.0) == Figures(2.0, 2.0, 3.0)


def test_the_median_of_rounds_is_taken_figure_by_figure() -> None:
    """One bad round moves no median, whichever of its figures is bad."""
    rounds = [Figures(100.0, 1.0, 9.0), Figures(10.0, 1.2, 5.0), Figures(90.0, 8.0, 4.0)]
    assert median_figures(rounds) == Figures(90.0, 1.2, 5.0)


def test_the_median_of_an_even_number_lies_in_the_middle() -> None:
    """Two values in the middle share the median."""
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5


@pytest.mark.parametrize("draw", [median, lambda values: percentile(values, 0.5)])
def test_nothing_measured_is_no_figure(draw: object) -> None:
    """Without values there is an error, never a zero."""
    assert callable(draw)
    with pytest.raises(Failed):
        draw([])
