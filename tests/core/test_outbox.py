"""The life of an effect: done once, tried again with growing pauses, parked with a reason, never forgotten."""

from meetkeeper.core.commands import Amend, Cancel, Resend
from meetkeeper.core.effects import Announce, EnsureVmr
from meetkeeper.core.events import Done
from meetkeeper.core.words import Step
from tests.core.keeper_kit import HOUR_S, NOW_S, Keeper, effects_of


def test_resending_waits_for_the_bridge() -> None:
    """While the bridge has not confirmed the VMR nobody is told, whoever asks: the confirmation tells them, once."""
    keeper = Keeper()
    meeting = keeper.book()
    assert keeper.do(Resend(meeting)).plan.empty
    assert sorted(mail.to for mail in keeper.told()) == ["olga@example.org", "per@example.org"]


def test_resending_tells_what_was_told_last() -> None:
    """A meeting that is over is not cancelled by being told again; a cancelled one is."""
    keeper = Keeper()
    held, dropped = keeper.book(), keeper.book(start_s=NOW_S + 2 * HOUR_S, end_s=NOW_S + 3 * HOUR_S)
    keeper.told()
    keeper.do(Cancel(id=dropped))
    keeper.told()
    keeper.tick_through(NOW_S + 2 * HOUR_S)
    cancelled = []
    for meeting in (held, dropped):
        announced = effects_of(keeper.do(Resend(meeting)).plan, Announce)
        cancelled += [effect.cancelled for effect in announced if isinstance(effect, Announce)]
    assert cancelled == [False, True]


def test_a_door_from_a_lost_history_counts_as_told() -> None:
    """A VMR that stood on the bridge under our marker of another lineage is taken over, and nobody is told."""
    keeper = Keeper()
    meeting = keeper.book()
    [row] = keeper.open_effects(EnsureVmr)
    keeper.report(row.key, Done("found", adopted_from="a lost history"))
    assert keeper.step_of(meeting) is Step.PROVISIONED
    assert not keeper.told()


def test_a_change_is_told_behind_a_door_from_a_lost_history() -> None:
    """What was changed after everything was lost is told, although the door stood there before."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.do(Amend(id=meeting, subject="Another review"))
    [row] = [row for row in keeper.open_effects(EnsureVmr) if row.key.endswith("/new")]
    keeper.report(row.key, Done("found", adopted_from="a lost history"))
    assert {mail.revision for mail in keeper.told()} == {2}
