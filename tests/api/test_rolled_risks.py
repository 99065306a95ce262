"""What `meetkeeper risk` says of a series that rolls on: nothing while its VMR stands, else the truth."""

import pytest

from meetkeeper.api.risks import risks
from meetkeeper.core.configuration import TimeConfig
from meetkeeper.core.words import Uid
from tests.api.test_foreign import STATUS
from tests.core.keeper_kit import HOUR_S, Keeper, configured

HALF_HOUR_S = 1_800


@pytest.mark.parametrize("answers", [True, False], ids=["a bridge that answers", "a bridge that is away"])
def test_an_occurrence_that_the_horizon_brought_is_at_risk_by_its_bridge_alone(answers: bool) -> None:
    """Half an hour before it starts it is named when no bridge has confirmed the series' VMR, and not else."""
    keeper = Keeper(configured(time=TimeConfig(horizon_days=1)))
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY")
    known = len(keeper.state.meetings)
    while len(keeper.state.meetings) == known:
        if answers:
            keeper.settle_bridge()
        keeper.tick(keeper.now_s + HOUR_S)
    rolled = list(keeper.state.meetings.values())[-1]
    keeper.tick_through(rolled.start_s - HALF_HOUR_S)
    named = [
        one.about for one in risks(keeper.state, STATUS, keeper.now_s) if one.kind == "meeting" and one.at_s
    ]
    assert (rolled.id in named) is not answers
