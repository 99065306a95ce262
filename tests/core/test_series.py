"""Series booked here: every occurrence a meeting of its own, one change for one of them or for all, one door."""

import pytest

from meetkeeper.core.commands import Amend, Cancel
from meetkeeper.core.configuration import TimeConfig, VmrConfig
from meetkeeper.core.effects import Announce, EnsureVmr, Phase, RetireVmr
from meetkeeper.core.errors import Refused, TheirMistake
from meetkeeper.core.keeping import NEW
from meetkeeper.core.state import State
from meetkeeper.core.words import MeetingId, RoomId, Step, Uid
from meetkeeper.core.zones import wall_of
from tests.core.keeper_kit import HOUR_S, KIM, NOW_S, OLGA, PER, Keeper, configured, effects_of, shown

DAY_S = 86_400
START_S = NOW_S + HOUR_S
SHORT = configured(time=TimeConfig(horizon_days=1, keep_days=1))


def occurrences(state: State, uid: str) -> list[MeetingId]:
    """The known occurrences by start."""
    ids = state.occurrences.get(Uid(uid), {})
    return sorted(ids, key=lambda one: state.meetings[one].start_s)


def test_every_occurrence_is_a_meeting_behind_one_door() -> None:
    """Three days give three meetings with one VMR and one announcement for all of them."""
    keeper = Keeper()
    first = keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    ids = occurrences(keeper.state, "daily")
    assert ids[0] == first
    assert [keeper.meeting(one).start_s for one in ids] == [START_S, START_S + DAY_S, START_S + 2 * DAY_S]
    assert len({keeper.vmr(one).alias for one in ids}) == 1
    assert sorted(mail.to for mail in keeper.told()) == [OLGA.email, PER.email]


def test_each_occurrence_may_have_a_door_of_its_own() -> None:
    """Where the configuration says so, every occurrence has its VMR and is announced by itself."""
    keeper = Keeper(configured(vmr=VmrConfig(each_occurrence=True)))
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    ids = occurrences(keeper.state, "daily")
    assert len({keeper.vmr(one).alias for one in ids}) == 3
    assert len(keeper.told()) == 6


def test_booking_a_series_again_changes_nothing() -> None:
    """The same request for the same uid is the same series, and nobody is told twice."""
    keeper = Keeper()
    first = keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    keeper.told()
    assert keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3") == first
    assert keeper.plans[-1].empty


def test_a_conflict_of_any_occurrence_refuses_the_series() -> None:
    """One taken day is enough, and nothing of the series is kept."""
    keeper = Keeper()
    taken = keeper.book(start_s=START_S + DAY_S, end_s=START_S + DAY_S + 60)
    with pytest.raises(Refused) as refused:
        keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    assert refused.value.detail["conflicts"][0]["id"] == taken  # type: ignore[index]
    assert not occurrences(keeper.state, "daily")


def test_a_rule_that_cannot_be_read_is_the_callers_mistake() -> None:
    """A rule that means nothing is refused before anything is kept."""
    keeper = Keeper()
    for rule in ("FREQ=SOMETIMES", "COUNT=3", "FREQ=DAILY;COUNT=0"):
        with pytest.raises(TheirMistake):
            keeper.book(uid=Uid("never"), recurrence=rule)
    assert not keeper.state.series


def test_one_occurrence_is_changed_alone() -> None:
    """An occurrence that is moved takes its neighbours nowhere, and all invitees hear of the series' new revision."""
    keeper = Keeper()
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    keeper.told()
    first, second, third = occurrences(keeper.state, "daily")
    plan = keeper.do(Amend(id=second, start_s=START_S + DAY_S + 60, end_s=START_S + DAY_S + HOUR_S)).plan
    assert [keeper.meeting(one).start_s for one in (first, second, third)] == [
        START_S,
        START_S + DAY_S + 60,
        START_S + 2 * DAY_S,
    ]
    assert effects_of(plan, Announce) == [Announce(2, series=Uid("daily"))]


def test_one_occurrence_is_cancelled_alone() -> None:
    """An occurrence that is cancelled frees its room; the others stay, and the door with them."""
    keeper = Keeper()
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    keeper.told()
    first, second, third = occurrences(keeper.state, "daily")
    keeper.do(Cancel(id=second))
    assert [keeper.step_of(one) for one in (first, second, third)] == [
        Step.PROVISIONED,
        Step.CANCELLED,
        Step.PROVISIONED,
    ]
    assert not keeper.open_effects(RetireVmr)
    keeper.book(start_s=START_S + DAY_S, end_s=START_S + DAY_S + HOUR_S)


def test_the_whole_series_is_cancelled() -> None:
    """All occurrences ahead are cancelled, everybody is told once, and the VMR leaves after its grace."""
    keeper = Keeper()
    first = keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    keeper.told()
    keeper.do(Cancel(id=first, whole_series=True))
    assert {keeper.step_of(one) for one in occurrences(keeper.state, "daily")} == {Step.CANCELLED}
    assert [(mail.method, mail.to) for mail in keeper.told()] == [
        ("CANCEL", OLGA.email),
        ("CANCEL", PER.email),
    ]
    assert [row.again_at_s for row in keeper.open_effects(RetireVmr)] == [NOW_S + 900]


def test_a_cancelled_series_comes_back_behind_the_same_door() -> None:
    """Booked again under its uid, a cancelled series has the alias and PIN it had."""
    keeper = Keeper()
    first = keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    door = keeper.vmr(first)
    keeper.told()
    keeper.do(Cancel(id=first, whole_series=True))
    keeper.told()
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    assert keeper.vmr(first) == door
    assert keeper.step_of(first) is Step.SCHEDULED
    assert {mail.method for mail in keeper.told()} == {"REQUEST"}


def test_a_uid_is_one_thing() -> None:
    """A series can't be booked over a single meeting, nor a single meeting over a series, while that one goes on."""
    keeper = Keeper()
    single = keeper.book(uid=Uid("one"))
    series = keeper.book(uid=Uid("many"), rooms=(RoomId("r2"),), recurrence="FREQ=DAILY;COUNT=3")
    for uid, recurrence in (("one", "FREQ=DAILY;COUNT=3"), ("many", "")):
        with pytest.raises(Refused, match="uid belongs"):
            keeper.book(uid=Uid(uid), rooms=(RoomId("r3"),), recurrence=recurrence)
    keeper.do(Cancel(id=single))
    keeper.do(Cancel(id=series, whole_series=True))
    keeper.book(uid=Uid("one"), recurrence="FREQ=DAILY;COUNT=3")
    many = keeper.book(uid=Uid("many"), rooms=(RoomId("r2"),))
    assert [row.id for row in keeper.state.meetings_by_alias(keeper.vmr(many).alias)] == [many]


def test_a_calendars_series_is_not_booked_over() -> None:
    """A series that a calendar brought has its master there."""
    keeper = Keeper()
    keeper.show(shown("theirs", rrule="FREQ=DAILY;COUNT=3"))
    with pytest.raises(Refused, match="lives in the calendar"):
        keeper.book(uid=Uid("theirs"), recurrence="FREQ=DAILY;COUNT=3")


def test_two_series_that_roll_on_at_once_share_no_room() -> None:
    """Of two series that reach for one room beyond the horizon one takes it, the other leaves it out."""
    keeper = Keeper(SHORT)
    every_other = "FREQ=DAILY;INTERVAL=2"
    keeper.book(uid=Uid("a"), recurrence=every_other)
    keeper.book(
        uid=Uid("b"),
        start_s=START_S + DAY_S,
        end_s=START_S + DAY_S + HOUR_S,
        recurrence="FREQ=DAILY;INTERVAL=3",
    )
    for day in range(1, 8):
        plan = keeper.tick(NOW_S + day * DAY_S)
        rows = [
            row for row in keeper.state.meetings.values() if row.step in (Step.SCHEDULED, Step.PROVISIONED)
        ]
        starts = [row.start_s for row in rows]
        assert len(starts) == len(set(starts)), plan.notes


def test_series_that_are_over_do_not_stop_others_from_rolling_on() -> None:
    """However many series are over and not yet forgotten, one that goes on gets its next occurrence."""
    keeper = Keeper(configured(time=TimeConfig(horizon_days=1, keep_days=30)))
    for number in range(210):
        at_s = START_S + 60 * number
        one = keeper.book(uid=Uid(f"over-{number}"), start_s=at_s, end_s=at_s + 60, recurrence="FREQ=DAILY")
        keeper.do(Cancel(id=one, whole_series=True))
    keeper.book(uid=Uid("on"), recurrence="FREQ=DAILY")
    known = len(occurrences(keeper.state, "on"))
    keeper.tick_through(NOW_S + DAY_S)
    assert len(occurrences(keeper.state, "on")) == known + 1


def test_a_forgotten_series_leaves_nothing() -> None:
    """When its last occurrences are forgotten at one look at the clock, the series is forgotten with them."""
    keeper = Keeper(SHORT)
    first = keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=2", invitees=(KIM,))
    keeper.do(Cancel(id=first, whole_series=True))
    keeper.tick_through(START_S + 9 * DAY_S)
    assert not keeper.state.meetings
    assert not keeper.state.series
    assert not keeper.state.series_by_alias
    assert not keeper.state.numeric_ids


def test_a_booked_series_is_asked_of_the_bridge_once() -> None:
    """However many occurrences it has, a series with one door is one question."""
    keeper = Keeper()
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=9")
    assert len(keeper.open_effects(EnsureVmr)) == 1


def test_an_occurrence_that_the_horizon_brings_is_verified_like_the_others() -> None:
    """It meets where its siblings meet already: provisioned from the start, nobody asked and nobody told for it."""
    keeper = Keeper(SHORT)
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY")
    keeper.told()
    alias = keeper.vmr(occurrences(keeper.state, "daily")[0]).alias
    keeper.tick_through(START_S - 900)
    keeper.settle_bridge()
    known = len(occurrences(keeper.state, "daily"))
    rolled = keeper.tick(NOW_S + 17 * HOUR_S)
    while len(occurrences(keeper.state, "daily")) == known:
        keeper.settle_bridge()
        rolled = keeper.tick(keeper.now_s + HOUR_S)
    new = occurrences(keeper.state, "daily")[-1]
    assert (keeper.step_of(new), keeper.vmr(new).alias) == (Step.PROVISIONED, alias)
    assert not rolled.effects
    start_s = keeper.meeting(new).start_s
    keeper.tick_through(start_s - 900)
    assert f"vmr/{alias}/booked/verify-{start_s}" in keeper.state.outbox


def test_an_occurrence_without_a_sibling_asks_the_bridge_and_tells_nobody() -> None:
    """All that is known of the series is over: whether its VMR still stands the bridge alone can say."""
    keeper = Keeper(configured(time=TimeConfig(horizon_days=1, keep_days=30)))
    keeper.book(uid=Uid("weekly"), recurrence="FREQ=WEEKLY")
    keeper.told()
    door = keeper.vmr(occurrences(keeper.state, "weekly")[0])
    rolled = keeper.tick(keeper.now_s + HOUR_S)
    while len(occurrences(keeper.state, "weekly")) == 1:
        keeper.settle_bridge()
        rolled = keeper.tick(keeper.now_s + HOUR_S)
    new = occurrences(keeper.state, "weekly")[-1]
    assert keeper.vmr(new) == door
    assert [(effect.alias, effect.phase) for effect in effects_of(rolled, EnsureVmr)] == [  # type: ignore[union-attr]
        (door.alias, Phase.BOOKED)
    ]
    assert keeper.step_of(new) is Step.SCHEDULED
    assert not keeper.told()
    assert keeper.step_of(new) is Step.PROVISIONED


def test_a_series_rolls_on_behind_a_bridge_that_is_away_with_one_question() -> None:
    """While the first question is open no other is asked, and its answer stands for all occurrences."""
    keeper = Keeper(SHORT)
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY")
    keeper.tick_through(NOW_S + 16 * HOUR_S)
    ids = occurrences(keeper.state, "daily")
    asked = [row.effect for row in keeper.open_effects(EnsureVmr)]
    assert [effect.turn for effect in asked if isinstance(effect, EnsureVmr)] == [NEW]
    assert keeper.step_of(ids[-1]) is Step.SCHEDULED
    keeper.settle_bridge()
    assert keeper.step_of(ids[-1]) is Step.PROVISIONED


def test_a_series_that_moves_makes_room_for_its_running_meeting() -> None:
    """Booked anew at another time, a series may not overlap the occurrence of it that is running."""
    keeper = Keeper()
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    with pytest.raises(Refused, match="is taken"):
        keeper.book(
            uid=Uid("daily"),
            start_s=START_S + 60,
            end_s=START_S + HOUR_S + 60,
            recurrence="FREQ=DAILY;COUNT=3",
        )
    keeper.book(
        uid=Uid("daily"),
        start_s=START_S + HOUR_S,
        end_s=START_S + 2 * HOUR_S,
        recurrence="FREQ=DAILY;COUNT=3",
    )


def test_a_series_does_not_overlap_itself() -> None:
    """Meetings that last longer than the time to the next one are refused as the caller's mistake."""
    keeper = Keeper()
    with pytest.raises(TheirMistake, match="overlap each other"):
        keeper.book(uid=Uid("long"), end_s=START_S + DAY_S + 60, recurrence="FREQ=DAILY;COUNT=3")


def test_a_series_without_a_door_is_told_as_a_whole() -> None:
    """Booked without a VMR, a series is announced, changed and cancelled for everybody as one thing."""
    keeper = Keeper()
    first = keeper.book(uid=Uid("plain"), recurrence="FREQ=DAILY;COUNT=3", vmr=False)
    assert {(mail.method, mail.series) for mail in keeper.told()} == {("REQUEST", Uid("plain"))}
    keeper.do(Amend(id=first, subject="Another review"))
    assert {(mail.method, mail.revision) for mail in keeper.told()} == {("REQUEST", 2)}
    keeper.do(Cancel(id=first, whole_series=True))
    assert {(mail.method, mail.revision) for mail in keeper.told()} == {("CANCEL", 3)}


def test_no_door_is_made_that_nobody_asked_for() -> None:
    """A series booked without a VMR has none, also where each occurrence would have one of its own."""
    keeper = Keeper(configured(vmr=VmrConfig(each_occurrence=True)))
    first = keeper.book(uid=Uid("plain"), recurrence="FREQ=DAILY;COUNT=3", vmr=False)
    assert keeper.meeting(first).vmr is None


def test_an_edit_in_a_calendar_leaves_doors_and_owner_as_they_are() -> None:
    """A person who moves a booked series in its room's calendar changes its time, not whose it is, nor its doors."""
    keeper = Keeper(configured(vmr=VmrConfig(each_occurrence=True)))
    first = keeper.book(uid=Uid("daily"), rooms=(RoomId("shown"),), recurrence="FREQ=DAILY;COUNT=3")
    keeper.told()
    later = wall_of(START_S + HOUR_S)
    keeper.show(shown("daily", rrule="FREQ=DAILY;COUNT=3", start=later, sequence=9))
    ahead = [one for one in occurrences(keeper.state, "daily") if keeper.step_of(one) is not Step.CANCELLED]
    assert keeper.step_of(first) is Step.CANCELLED
    assert {keeper.meeting(one).origin for one in ahead} == {"api"}
    assert len({keeper.vmr(one).alias for one in ahead}) == 3
    series = keeper.state.one_series(Uid("daily"))
    assert series is not None
    assert series.own_vmrs


def test_a_series_does_not_begin_where_the_wall_shows_a_time_twice() -> None:
    """An hour that a zone's wall shows twice can only be the first of the two in a series: the second is refused."""
    twice_s = 1_824_944_820
    keeper = Keeper(now_s=twice_s - HOUR_S)
    with pytest.raises(TheirMistake, match="occurs twice"):
        keeper.book(
            start_s=twice_s, end_s=twice_s + 60, time_zone="Europe/Oslo", recurrence="FREQ=DAILY;COUNT=3"
        )
    keeper.book(start_s=twice_s, end_s=twice_s + 60, time_zone="UTC", recurrence="FREQ=DAILY;COUNT=3")
