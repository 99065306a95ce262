"""Times as people type them."""

from datetime import UTC, datetime

import pytest

from meetkeeper.cli.when import later, moment
from meetkeeper.core.errors import TheirMistake

NOW = datetime(2027, 3, 1, 8, 15, 30, 123, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2027-03-01T08:15:30+00:00"),
        ("now+10m", "2027-03-01T08:25:30+00:00"),
        ("now + 2h", "2027-03-01T10:15:30+00:00"),
        ("14:00", "2027-03-01T14:00:00+00:00"),
        ("tomorrow 9:30", "2027-03-02T09:30:00+00:00"),
        ("2027-05-04T10:00", "2027-05-04T10:00:00"),
        ("2027-05-04T10:00:00+02:00", "2027-05-04T10:00:00+02:00"),
    ],
)
def test_words_become_moments(text: str, meant: str) -> None:
    """Relative words count from now, bare wall times are left to the room's zone."""
    assert moment(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "25:00", "soon", "now+", "now+3y", "12:60"])
def test_words_that_mean_no_time_are_refused(text: str) -> None:
    """The refusal shows what would do."""
    with pytest.raises(TheirMistake, match="tomorrow"):
        moment(text, NOW)


def test_minutes_are_added_in_the_same_spelling() -> None:
    """A wall time stays a wall time."""
    assert later("2027-05-04T10:00:00", 45) == "2027-05-04T10:45:00"
