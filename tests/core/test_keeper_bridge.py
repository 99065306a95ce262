"""What stands on a bridge and what ought to: brought back, taken down after a grace, and never taken from its owner."""

from meetkeeper.core.configuration import TimeConfig, VmrConfig
from meetkeeper.core.effects import EnsureVmr, Phase, RetireVmr
from meetkeeper.core.events import BridgeSurveyed, Done
from meetkeeper.core.seen import RESTORED_MAX
from meetkeeper.core.vmr import marker
from meetkeeper.core.words import Alias, Uid
from tests.core.keeper_kit import HOUR_S, NOW_S, Keeper, configured, effects_of

START_S = NOW_S + HOUR_S


def test_a_bridge_that_lost_everything_gets_everything_back() -> None:
    """After a survey without them, VMRs of meetings ahead are asked for as booked, running ones as open and first."""
    keeper = Keeper()
    first, second = keeper.book(), keeper.book(start_s=START_S + HOUR_S, end_s=START_S + 2 * HOUR_S)
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    keeper.settle_bridge()
    asked = effects_of(keeper.do(BridgeSurveyed("link", {})).plan, EnsureVmr)
    assert [(effect.alias, effect.phase) for effect in asked if isinstance(effect, EnsureVmr)] == [
        (keeper.vmr(first).alias, Phase.OPEN),
        (keeper.vmr(second).alias, Phase.BOOKED),
    ]


def test_one_survey_brings_back_a_bounded_number() -> None:
    """However many VMRs a bridge has lost, one plan asks for so many, each once, and the next survey for the others."""
    keeper = Keeper(configured(time=TimeConfig(horizon_days=1)))
    for number in range(3):
        keeper.book(start_s=START_S + number * HOUR_S, end_s=START_S + (number + 1) * HOUR_S)
    keeper.settle_bridge()
    asked = effects_of(keeper.do(BridgeSurveyed("link", {})).plan, EnsureVmr)
    assert len(asked) == 3 < RESTORED_MAX
    assert keeper.do(BridgeSurveyed("link", {})).plan.empty


def test_an_orphan_is_taken_down_after_a_grace_and_not_buried() -> None:
    """A VMR under our marker that nobody knows leaves late, and its alias stays free for the meeting it belongs to."""
    keeper = Keeper()
    elsewhere = Keeper()
    vmr = elsewhere.vmr(elsewhere.book(uid=Uid("restored")))
    found = {vmr.alias: marker("lineage", vmr)}
    keeper.do(BridgeSurveyed("link", found))
    [row] = keeper.open_effects(RetireVmr)
    assert row.again_at_s == NOW_S + 900
    keeper.report(row.key, Done("taken off the bridge"))
    assert keeper.vmr(keeper.book(uid=Uid("restored"))) == vmr


def test_a_vmr_of_another_history_is_left_alone() -> None:
    """What another lineage made may belong to a database that is about to be restored."""
    keeper = Keeper()
    keeper.do(BridgeSurveyed("link", {Alias("abcdefghjk"): "mk1:another:abcdefghjk:0"}))
    assert not keeper.open_effects(RetireVmr)


def test_a_retired_alias_is_buried_with_its_owner() -> None:
    """After its meeting a VMR leaves the bridge; its alias is kept for its own UID for a while."""
    keeper = Keeper(configured(vmr=VmrConfig(retire_after_s=60, tombstone_s=600)))
    meeting = keeper.book(uid=Uid("mine"))
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    keeper.tick_through(START_S + HOUR_S)
    [row] = keeper.open_effects(RetireVmr)
    assert row.again_at_s == START_S + HOUR_S + 60
    keeper.now_s = row.again_at_s
    keeper.report(row.key, Done("taken off the bridge"))
    buried = keeper.state.tombstones[keeper.vmr(meeting).alias]
    assert (buried.uid, buried.until_s) == ("mine", START_S + HOUR_S + 660)


def test_a_meeting_that_comes_back_keeps_its_vmr_from_being_retired() -> None:
    """Booked again within the grace, a meeting finds its door where it was, and no tombstone is set."""
    keeper = Keeper()
    meeting = keeper.book(uid=Uid("mine"))
    door = keeper.vmr(meeting)
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    keeper.tick_through(START_S + HOUR_S)
    keeper.book(uid=Uid("mine"), start_s=START_S + 2 * HOUR_S, end_s=START_S + 3 * HOUR_S)
    [row] = keeper.open_effects(RetireVmr)
    keeper.report(row.key, Done("a meeting needs it again", idle=True))
    assert keeper.vmr(meeting) == door
    assert not keeper.state.tombstones
