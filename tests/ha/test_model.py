"""The protocol as a small model, searched completely: the rules as they are lose nothing, each left out does."""

import pytest

from meetkeeper.testing.model import BOTH, Bounds, Mutant, State, search

AT_ONCE = Bounds(writes=3, epochs=3, crashes=1, late=True)
"""Messages arrive at once or never; a change of the register may arrive late."""
ANY_ORDER = Bounds(writes=2, epochs=2, crashes=1, in_flight=3)
"""Messages arrive late, twice, out of order, or never."""
REIGNS = Bounds(writes=2, epochs=3, crashes=0, in_flight=2)
"""The same with one reign more and nobody crashing."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bounds", "states"),
    [(AT_ONCE, 80_091), (ANY_ORDER, 127_077), (REIGNS, 59_934)],
    ids=["at-once", "any-order", "reigns"],
)
def test_the_rules_lose_nothing(bounds: Bounds, states: int) -> None:
    """Where a server may be promoted nothing acknowledged is missing, in no state and not one state fewer."""
    # The number is exact: whoever changes a rule sees that the search has changed, and sets it anew.
    found = search(bounds)
    assert not found.wrong, "\n".join((found.wrong, *found.way))
    assert found.states == states


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "bounds", "steps"),
    [
        (Mutant.DROP_WITHOUT_REGISTER, AT_ONCE, 3),
        (Mutant.ADMIT_TOO_EARLY, AT_ONCE, 4),
        (Mutant.PROMOTE_ANYONE, AT_ONCE, 4),
        (Mutant.NO_EPOCH_CHECK, AT_ONCE, 9),
        (Mutant.SHORTEN_SAME_EPOCH, ANY_ORDER, 7),
        (Mutant.BELIEVE_A_READ, AT_ONCE, 6),
    ],
)
def test_each_rule_left_out_loses_something(mutant: Mutant, bounds: Bounds, steps: int) -> None:
    """A mutant is found, by a way as short as there is; the same bounds find nothing without it."""
    found = search(bounds, mutant)
    assert found.wrong
    assert len(found.way) == steps, "\n".join(found.way)


@pytest.mark.parametrize("bounds", [AT_ONCE, REIGNS], ids=["at-once", "reigns"])
def test_the_search_gets_somewhere(bounds: Bounds) -> None:
    """Within the bounds a takeover happens, the old active comes back, is in sync again, and work goes on with it."""

    def arrived(state: State) -> str:
        home = state.register.active == 1 and state.register.in_sync == BOTH and state.servers[1].needs_peer
        done = state.acked == (1 << state.written) - 1 and state.written == bounds.writes
        return "arrived" if home and done and state.ackers[1] and state.ackers[2] else ""

    found = search(bounds, wrong_in=arrived)
    assert found.wrong == "arrived"
    assert 8 <= len(found.way) <= 20, "\n".join(found.way)
