"""A meeting's clock: opened in its window and once, warned, ended, forgotten; found late it catches up at once."""

import msgspec

from meetkeeper.core.changes import EffectMoved
from meetkeeper.core.commands import Amend
from meetkeeper.core.configuration import TimeConfig
from meetkeeper.core.effects import EnsureVmr, Phase, RetireVmr
from meetkeeper.core.events import Later, PageSeen, ReignStarted
from meetkeeper.core.keeping import untold_key
from meetkeeper.core.plan import Plan, apply_plan
from meetkeeper.core.state import IdempotencyRow, Status
from meetkeeper.core.timing import ACTS_MAX, keep_watch
from meetkeeper.core.words import RoomId, Step, Uid
from meetkeeper.core.zones import wall_of
from tests.core.keeper_kit import HOUR_S, NOW_S, PER, Keeper, configured, effects_of, keys_of, shown

START_S = NOW_S + HOUR_S
END_S = NOW_S + 2 * HOUR_S
EARLY = configured(time=TimeConfig(open_before_s=600))


def test_a_meeting_lives_by_its_clock() -> None:
    """Provisioned, verified, opened, warned and ended, each at its time and each once."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    assert keeper.step_of(meeting) is Step.PROVISIONED
    assert keeper.tick(START_S - 901).empty
    verifying = f"vmr/{keeper.vmr(meeting).alias}/booked/verify-{START_S}"
    assert keys_of(keeper.tick(START_S - 900)) == [verifying]
    assert keeper.tick(START_S - 1).empty
    opening = keeper.tick(START_S)
    assert [effect.phase for effect in effects_of(opening, EnsureVmr) if isinstance(effect, EnsureVmr)] == [
        Phase.OPEN
    ]
    assert keeper.step_of(meeting) is Step.LIVE
    assert keeper.tick(END_S - 301).empty
    keeper.tick(END_S - 300)
    assert keeper.step_of(meeting) is Step.ENDING
    assert keeper.tick(END_S - 1).empty
    keeper.tick(END_S)
    assert keeper.step_of(meeting) is Step.ENDED
    assert keeper.tick(END_S + 1).empty


def test_a_meeting_that_moved_is_verified_for_its_new_start() -> None:
    """A VMR that was verified before one start is verified again before another."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick(START_S - 900)
    keeper.settle_bridge()
    keeper.do(Amend(id=meeting, start_s=START_S + HOUR_S, end_s=END_S + HOUR_S))
    verifying = f"vmr/{keeper.vmr(meeting).alias}/booked/verify-{START_S + HOUR_S}"
    assert keys_of(keeper.tick(START_S + HOUR_S - 900)) == [verifying]
    assert keeper.tick(START_S + HOUR_S - 899).empty


def test_a_meeting_that_was_never_confirmed_is_verified_too() -> None:
    """A VMR that no bridge has confirmed is asked for again before the start, unless it is being asked for anyway."""
    keeper = Keeper()
    meeting = keeper.book()
    apply_plan(
        keeper.state, Plan(keeper.now_s, (EffectMoved(untold_key(keeper.vmr(meeting).alias), Status.DONE),))
    )
    other = keeper.book(rooms=(RoomId("r2"),))
    assert {keeper.step_of(meeting), keeper.step_of(other)} == {Step.SCHEDULED}
    assert keys_of(keeper.tick(START_S - 900)) == [f"vmr/{keeper.vmr(meeting).alias}/booked/verify-{START_S}"]
    keeper.settle_bridge()
    assert keeper.step_of(meeting) is Step.PROVISIONED
    assert keeper.tick(START_S - 1).empty


def test_a_meeting_found_late_is_opened_at_once() -> None:
    """Inside its window a late meeting is live after the very next look at the clock, and noted as late."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    plan = keeper.tick(START_S + 1_000)
    assert keeper.step_of(meeting) is Step.LIVE
    assert [note.code for note in plan.notes] == ["meeting.late"]


def test_a_missed_meeting_is_never_opened() -> None:
    """After its end a meeting that was never opened is ended, noted as missed, and its VMR retired."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    plan = keeper.tick(END_S)
    assert keeper.step_of(meeting) is Step.ENDED
    assert [note.code for note in plan.notes] == ["meeting.missed"]
    assert not effects_of(plan, EnsureVmr)
    assert [row.again_at_s for row in keeper.open_effects(RetireVmr)] == [END_S + 900]


def test_a_meeting_found_after_its_end_is_ended_at_once() -> None:
    """A running meeting whose warning and end were both missed takes one step, not two."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    keeper.tick(END_S + 60)
    assert keeper.step_of(meeting) is Step.ENDED


def test_an_edit_before_the_start_leaves_an_open_meeting_open() -> None:
    """Who is let in early stays in when somebody edits the invitees before the start."""
    keeper = Keeper(EARLY)
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(START_S - 600)
    assert keeper.step_of(meeting) is Step.LIVE
    plan = keeper.do(Amend(id=meeting, invitees=(PER, PER))).plan
    assert keeper.step_of(meeting) is Step.LIVE
    assert not effects_of(plan, EnsureVmr)


def test_an_edit_leaves_a_running_meeting_open_whatever_the_clock_says() -> None:
    """A clock set back, or a later opening deployed, throws nobody out of a meeting whose start stays."""
    keeper = Keeper(EARLY)
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(START_S - 600)
    keeper.now_s -= HOUR_S
    assert not effects_of(keeper.do(Amend(id=meeting, end_s=END_S + 60)).plan, EnsureVmr)
    assert keeper.step_of(meeting) is Step.LIVE


def test_a_running_meeting_that_is_moved_ahead_closes_and_waits() -> None:
    """Moved beyond its opening time, the door closes, and opens again at the new time."""
    keeper = Keeper(EARLY)
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    later_s = START_S + 5 * HOUR_S
    plan = keeper.do(Amend(id=meeting, start_s=later_s, end_s=later_s + HOUR_S)).plan
    assert keeper.step_of(meeting) is Step.PROVISIONED
    assert [effect.phase for effect in effects_of(plan, EnsureVmr) if isinstance(effect, EnsureVmr)] == [
        Phase.CLOSED
    ]
    keeper.tick_through(later_s - 601)
    assert keeper.step_of(meeting) is Step.PROVISIONED
    keeper.tick_through(later_s - 600)
    assert keeper.step_of(meeting) is Step.LIVE


def test_an_ending_meeting_that_is_extended_is_live_again() -> None:
    """Extended after the warning, a meeting runs on, is warned again and ends at its new end."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(END_S - 300)
    keeper.do(Amend(id=meeting, end_s=END_S + HOUR_S))
    assert keeper.step_of(meeting) is Step.LIVE
    keeper.tick_through(END_S + HOUR_S - 300)
    assert keeper.step_of(meeting) is Step.ENDING
    keeper.tick_through(END_S + HOUR_S)
    assert keeper.step_of(meeting) is Step.ENDED


def test_an_ended_meeting_is_forgotten_in_time() -> None:
    """After `keep_days` nothing of a meeting is left in any index."""
    keeper = Keeper(configured(time=TimeConfig(keep_days=1)))
    meeting = keeper.book()
    kept = msgspec.structs.astuple(keeper.state.meetings[meeting])
    assert kept[0] == meeting
    keeper.tick_through(END_S)
    keeper.tick_through(END_S + 86_399)
    assert meeting in keeper.state.meetings
    keeper.tick_through(END_S + 86_400)
    assert not keeper.state.meetings
    assert not keeper.state.by_alias
    assert not keeper.state.numeric_ids
    assert not keeper.state.live_at_s


def test_overlapping_occurrences_that_end_at_one_look_close_their_door() -> None:
    """When the last two meetings in a VMR are found over together, it is closed and retired all the same."""
    keeper = Keeper()
    first = keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=2")
    second = next(one for one in keeper.state.occurrences[Uid("daily")] if one != first)
    keeper.settle_bridge()
    keeper.do(Amend(id=second, rooms=(RoomId("r2"),), start_s=START_S, end_s=END_S))
    keeper.tick_through(START_S)
    assert {keeper.step_of(one) for one in (first, second)} == {Step.LIVE}
    plan = keeper.tick(END_S + 1)
    assert {keeper.step_of(one) for one in (first, second)} == {Step.ENDED}
    assert [effect.phase for effect in effects_of(plan, EnsureVmr) if isinstance(effect, EnsureVmr)] == [
        Phase.CLOSED
    ]
    assert keeper.open_effects(RetireVmr)


def test_a_series_missed_to_its_end_at_one_look_is_retired() -> None:
    """When a server finds the last occurrences of a series over together, none of them keeps the VMR for another."""
    keeper = Keeper()
    keeper.book(uid=Uid("daily"), recurrence="FREQ=DAILY;COUNT=3")
    keeper.settle_bridge()
    keeper.tick(END_S + 3 * 86_400)
    assert keeper.open_effects(RetireVmr)


def test_a_clock_set_back_gives_back_what_it_made_miss() -> None:
    """Meetings that a clock ahead of time ended unopened come back, and are held when their time really comes."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(END_S + HOUR_S)
    assert keeper.step_of(meeting) is Step.ENDED
    keeper.tick_through(NOW_S)
    assert keeper.step_of(meeting) is Step.SCHEDULED
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    assert keeper.step_of(meeting) is Step.LIVE


def test_a_clock_set_right_while_the_server_was_down_is_noticed() -> None:
    """What a new server reads of its predecessor says how late it was then: the same meetings come back."""
    before = Keeper()
    meeting = before.book()
    before.tick_through(END_S + HOUR_S)
    after = Keeper()
    for plan in before.plans:
        if not plan.empty:
            apply_plan(after.state, plan)
    after.tick_through(NOW_S)
    assert after.step_of(meeting) is Step.SCHEDULED


def test_a_clock_set_back_opens_nothing_twice() -> None:
    """A meeting that was opened and is over stays over, whatever the clock says afterwards."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    keeper.tick_through(END_S)
    keeper.tick_through(START_S + 60)
    assert keeper.step_of(meeting) is Step.ENDED


def test_a_meeting_does_not_come_back_into_a_room_that_was_given_away() -> None:
    """Who booked the room meanwhile keeps it."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(END_S + HOUR_S)
    keeper.now_s = float(NOW_S)
    other = keeper.book()
    keeper.tick_through(NOW_S)
    assert (keeper.step_of(meeting), keeper.step_of(other)) == (Step.ENDED, Step.SCHEDULED)


def test_a_clock_set_back_makes_no_effect_wait() -> None:
    """What was to be done at once, or soon, by a clock that was ahead is done at once by the right one."""
    keeper = Keeper()
    keeper.now_s += 12 * HOUR_S
    keeper.tick()
    keeper.book(start_s=START_S + 24 * HOUR_S, end_s=END_S + 24 * HOUR_S)
    [row] = keeper.open_effects(EnsureVmr)
    keeper.report(row.key, Later("away"))
    keeper.tick(NOW_S)
    assert [row.again_at_s for row in keeper.state.outbox.values()] == [NOW_S]


def test_a_clock_set_back_is_noticed_although_something_was_decided_since() -> None:
    """A booking comes by the right clock before anybody looks at it: what the wrong one put off is still done."""
    keeper = Keeper()
    keeper.now_s += 40
    keeper.tick()
    meeting = keeper.book()
    keeper.settle_bridge()
    keeper.tick_through(START_S)
    [opening] = keeper.open_effects(EnsureVmr)
    keeper.now_s = START_S - 40.0
    keeper.book(rooms=(RoomId("r2"),))
    keeper.tick(START_S - 39.5)
    assert keeper.state.outbox[opening.key].again_at_s == START_S - 39.5
    assert keeper.step_of(meeting) is Step.LIVE


def test_a_clock_set_back_by_a_little_makes_no_retry_wait() -> None:
    """A door that was to be tried again in seconds by a clock half a minute ahead is tried by the right one at once."""
    keeper = Keeper()
    keeper.book()
    keeper.now_s += 40
    keeper.tick()
    [row] = keeper.open_effects(EnsureVmr)
    keeper.report(row.key, Later("away"))
    keeper.tick(NOW_S + 1)
    assert keeper.state.outbox[row.key].again_at_s == NOW_S + 1


def test_a_new_active_whose_clock_is_behind_notices() -> None:
    """What the other server ended by a clock ahead of ours comes back, although our reign has begun since."""
    keeper = Keeper()
    meeting = keeper.book()
    keeper.tick_through(END_S + HOUR_S)
    keeper.now_s = float(NOW_S)
    keeper.do(ReignStarted(2, "b", "0", "2026a"))
    keeper.tick_through(NOW_S)
    assert keeper.step_of(meeting) is Step.SCHEDULED


def test_a_calendar_page_settles_although_the_clock_was_wrong() -> None:
    """An item that was seen by a clock ahead of time becomes a meeting as soon as the clock is right."""
    keeper = Keeper()
    keeper.now_s += 2 * HOUR_S
    keeper.tick()
    keeper.do(PageSeen(RoomId("shown"), (shown("one", start=wall_of(NOW_S + 9 * HOUR_S)),)))
    keeper.tick_through(NOW_S)
    assert keeper.state.meetings_of(Uid("one"))


def test_an_item_that_was_over_by_a_wrong_clock_becomes_a_meeting() -> None:
    """What a calendar showed while the clock was far ahead is held all the same when the clock is right."""
    keeper = Keeper()
    keeper.now_s += 12 * HOUR_S
    keeper.show(shown("one"))
    assert not keeper.state.meetings_of(Uid("one"))
    keeper.do(PageSeen(RoomId("shown"), cookie="mark"))
    keeper.tick_through(NOW_S)
    assert keeper.state.cookies[RoomId("shown")] == ""
    keeper.show(shown("one"))
    [row] = keeper.state.meetings_of(Uid("one"))
    assert row.step is Step.SCHEDULED


def test_answers_are_forgotten_a_few_at_a_time() -> None:
    """However many Idempotency-Keys expire at once, one plan forgets a bounded number of them."""
    keeper = Keeper()
    for number in range(ACTS_MAX + 1):
        row = IdempotencyRow(f"key-{number}", "request", "answer", NOW_S)
        keeper.state.idempotency[row.key] = row
    keeper.tick(NOW_S + 86_400)
    assert len(keeper.state.idempotency) == 1
    keeper.tick(NOW_S + 86_401)
    assert not keeper.state.idempotency


def test_a_server_that_follows_does_not_gather_the_past() -> None:
    """Somebody else acts on what is due: looked at again, each meeting is watched once, for what it is due next."""
    keeper = Keeper()
    meeting = keeper.book()
    for number in range(50):
        keeper.do(Amend(id=meeting, subject=f"Again {number}"))
    keep_watch(keeper.state, START_S - 900)
    for now_s in range(START_S - 900, START_S + 30, 30):
        keep_watch(keeper.state, now_s)
        assert len(keeper.state.due._heap) <= 1
    assert list(keeper.state.due.watched()) == [meeting]
