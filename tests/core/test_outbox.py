"""The life of an effect: done once, tried again with growing pauses, parked with a reason, never forgotten."""

from meetkeeper.core.commands import Amend, Cancel, Resend
from meetkeeper.core.configuration import TimeConfig
from meetkeeper.core.effects import Announce, EnsureVmr, Phase, WriteItem
from meetkeeper.core.events import Done, Taken
from meetkeeper.core.words import RoomId, Step, Uid
from meetkeeper.core.zones import wall_of
from meetkeeper.engine.dispatch import bridge_of, wanted_vmr
from tests.core.keeper_kit import HOUR_S, KIM, NOW_S, OLGA, PER, Keeper, configured, effects_of, shown


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


def test_who_comes_back_behind_a_known_door_is_told_at_once() -> None:
    """A cancelled meeting that is booked again waits for no bridge: people know its door, and it stays."""
    keeper = Keeper()
    meeting = keeper.book(uid=Uid("again"))
    door = keeper.vmr(meeting)
    keeper.told()
    keeper.do(Cancel(id=meeting))
    keeper.told()
    keeper.book(uid=Uid("again"), invitees=(KIM,))
    assert [row.key for row in keeper.open_effects(Announce)] == [f"announce/{meeting}/3"]
    [row] = keeper.open_effects(EnsureVmr)
    keeper.report(row.key, Taken("a stranger's room"))
    assert keeper.vmr(meeting) == door
    assert {(mail.to, mail.method) for mail in keeper.told()} == {
        (OLGA.email, "REQUEST"),
        (KIM.email, "REQUEST"),
        (PER.email, "CANCEL"),
    }


def test_a_taken_alias_is_passed_over_before_anyone_is_told() -> None:
    """When a stranger holds the alias, the next derived one is asked for, shown in the calendars, and told."""
    keeper = Keeper()
    meeting = keeper.book(rooms=(RoomId("shown"),))
    first = keeper.vmr(meeting)
    for row in keeper.open_effects(WriteItem):
        keeper.report(row.key, Done("written"))
    [row] = keeper.open_effects(EnsureVmr)
    keeper.report(row.key, Taken("a stranger's room"))
    second = keeper.vmr(meeting)
    assert (second.attempt, second.alias == first.alias) == (1, False)
    assert [row.key.split("/")[1] for row in keeper.open_effects(EnsureVmr)] == [second.alias]
    assert len(keeper.open_effects(WriteItem)) == 1
    assert len(keeper.told()) == 2
    assert list(keeper.state.by_alias) == [second.alias]


def test_nobody_is_told_of_a_door_that_no_bridge_was_asked_for() -> None:
    """When there was nothing left to ask the bridge for, nobody hears of the VMR."""
    keeper = Keeper()
    keeper.book()
    [row] = keeper.open_effects(EnsureVmr)
    keeper.report(row.key, Done("no meeting needs it any more", idle=True))
    assert not keeper.told()


def test_a_series_beyond_the_horizon_has_its_door_asked_for() -> None:
    """A series whose next meeting lies beyond the horizon has a VMR that can be asked of its bridge."""
    keeper = Keeper(configured(time=TimeConfig(horizon_days=1)))
    keeper.show(shown("later", rrule="FREQ=DAILY;COUNT=3", start=wall_of(NOW_S + 20 * 86_400)))
    [row] = keeper.open_effects(EnsureVmr)
    assert isinstance(row.effect, EnsureVmr)
    assert bridge_of(keeper.state, row.effect.alias) == "link"
    wanted = wanted_vmr(keeper.state, row.effect.alias, row.effect.phase)
    assert wanted is not None
    assert (wanted.title, wanted.phase) == ("Review", Phase.BOOKED)
