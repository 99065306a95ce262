"""What calendars show, carried over: one door through every change of kind, everybody told once and what is so."""

from meetkeeper.core.changes import MeetingStepped
from meetkeeper.core.commands import Cancel
from meetkeeper.core.configuration import IcsCalendar, RoomConfig, TimeConfig, VmrConfig
from meetkeeper.core.effects import Announce, EnsureVmr, RetireVmr, SendMail, WriteItem
from meetkeeper.core.events import Done, PageSeen
from meetkeeper.core.words import OPEN_STEPS, Person, RoomId, Step, Uid
from meetkeeper.core.zones import wall_of
from meetkeeper.engine.dispatch import told_by
from tests.core.keeper_kit import HOUR_S, NOW_S, OLGA, PER, Keeper, configured, shown

OTHER = RoomConfig(id="other", calendar=IcsCalendar(folder="other"))


def kinds(keeper: Keeper) -> list[tuple[str, str]]:
    """Methods and units of the mails that go out now."""
    return sorted({(mail.method, "series" if mail.series else "meeting") for mail in keeper.told()})


def test_a_meeting_that_becomes_a_series_keeps_its_door() -> None:
    """A single meeting that starts to repeat is told once, as a series, with the door it had."""
    keeper = Keeper()
    keeper.show(shown("one"))
    single = keeper.state.meetings_of(Uid("one"))[0]
    door = keeper.vmr(single.id)
    assert kinds(keeper) == [("REQUEST", "meeting")]
    keeper.show(shown("one", rrule="FREQ=DAILY;COUNT=3", sequence=1))
    rows = keeper.state.meetings_by_alias(door.alias)
    assert [row.step for row in rows] == [Step.SCHEDULED] * 3
    assert {keeper.vmr(row.id) for row in rows} == {door}
    assert kinds(keeper) == [("REQUEST", "series")]


def test_a_series_that_becomes_a_meeting_keeps_its_door() -> None:
    """A series that stops repeating is told once, as a meeting, with the door it had; the series is told no more."""
    keeper = Keeper()
    keeper.show(shown("one", rrule="FREQ=DAILY;COUNT=3"))
    series = keeper.state.one_series(Uid("one"))
    assert series is not None
    assert series.vmr is not None
    assert kinds(keeper) == [("REQUEST", "series")]
    keeper.show(shown("one", sequence=1))
    rows = keeper.state.meetings_by_alias(series.vmr.alias)
    assert [(row.series, row.step) for row in rows] == [(None, Step.SCHEDULED)]
    assert keeper.vmr(rows[0].id) == series.vmr
    assert kinds(keeper) == [("REQUEST", "meeting")]
    assert not keeper.open_effects(RetireVmr)


def test_what_goes_on_as_another_kind_is_told_no_more_as_the_old_one() -> None:
    """An invitation that still waits for the mail server when its meeting becomes a series is superseded."""
    keeper = Keeper()
    keeper.show(shown("one"))
    keeper.settle_bridge()
    keeper.report(keeper.open_effects(Announce)[0].key, Done())
    waiting = [row.effect for row in keeper.open_effects(SendMail)]
    keeper.show(shown("one", rrule="FREQ=DAILY;COUNT=3", sequence=1))
    for effect in waiting:
        assert isinstance(effect, SendMail)
        assert isinstance(told_by(keeper.state, effect), Done)


def test_a_meeting_that_is_over_is_told_no_more_when_its_uid_goes_on_as_a_series() -> None:
    """An invitation that still waits when its meeting is over and a series goes by its UID is superseded."""
    keeper = Keeper()
    keeper.show(shown("one"))
    keeper.settle_bridge()
    keeper.report(keeper.open_effects(Announce)[0].key, Done())
    waiting = [row.effect for row in keeper.open_effects(SendMail)]
    keeper.tick_through(NOW_S + HOUR_S)
    keeper.tick_through(NOW_S + 2 * HOUR_S)
    keeper.show(shown("one", rrule="FREQ=DAILY;COUNT=3", sequence=1))
    for effect in waiting:
        assert isinstance(effect, SendMail)
        assert isinstance(told_by(keeper.state, effect), Done)


def test_doors_of_single_occurrences_do_not_outlive_their_series() -> None:
    """Where each occurrence has a door of its own, a series that stops repeating cancels and retires all of them."""
    keeper = Keeper(configured(vmr=VmrConfig(each_occurrence=True)))
    keeper.show(shown("one", rrule="FREQ=DAILY;COUNT=3"))
    keeper.told()
    keeper.show(shown("one", sequence=1))
    assert len(keeper.open_effects(RetireVmr)) == 3
    assert kinds(keeper) == [("CANCEL", "meeting"), ("REQUEST", "meeting")]


def test_back_and_forth_between_kinds_leaves_one_door() -> None:
    """Meeting, series, meeting, series: the door stays, and at the end one owner has it and its number."""
    keeper = Keeper()
    door = None
    for sequence in range(6):
        rule = "FREQ=DAILY;COUNT=3" if sequence % 2 else ""
        keeper.show(shown("one", sequence=sequence, rrule=rule))
        keeper.told()
        row = next(row for row in keeper.state.meetings_of(Uid("one")) if row.step is Step.PROVISIONED)
        assert door in (None, keeper.vmr(row.id))
        door = keeper.vmr(row.id)
        assert len(keeper.state.numeric_ids) == 1
        assert len(keeper.state.by_alias) + len(keeper.state.series_by_alias) == 1


def test_occurrences_of_a_new_pattern_meet_behind_the_door_that_stands() -> None:
    """A calendar's series that gets another rule, or rolls on, brings occurrences that nobody is asked or told of."""
    keeper = Keeper(configured(time=TimeConfig(horizon_days=1)))
    keeper.show(shown("one", rrule="FREQ=DAILY"))
    keeper.told()
    keeper.show(shown("one", rrule="FREQ=DAILY;BYHOUR=9,15", sequence=1))
    assert not keeper.open_effects(EnsureVmr)
    ahead = [row for row in keeper.state.meetings_of(Uid("one")) if row.step in OPEN_STEPS]
    assert len(ahead) > 1
    assert {row.step for row in ahead} == {Step.PROVISIONED}
    assert kinds(keeper) == [("REQUEST", "series")]
    keeper.tick_through(NOW_S + 16 * HOUR_S)
    rolled = [row for row in keeper.state.meetings_of(Uid("one")) if row.step is Step.PROVISIONED]
    assert rolled[-1].start_s > ahead[-1].start_s
    assert not keeper.told()


def test_a_series_that_ends_is_told_and_its_door_retired() -> None:
    """A series that no calendar shows any more is cancelled for everybody, once, and its VMR leaves."""
    keeper = Keeper()
    keeper.show(shown("one", rrule="FREQ=DAILY;COUNT=3"))
    keeper.told()
    keeper.show(gone=("one.ics",))
    assert [
        row.effect.cancelled for row in keeper.open_effects(Announce) if isinstance(row.effect, Announce)
    ] == [True]
    assert sorted(mail.to for mail in keeper.told()) == [OLGA.email, PER.email]
    assert len(keeper.open_effects(RetireVmr)) == 1


def test_a_change_that_settles_as_the_meeting_opens_does_not_close_it() -> None:
    """A meeting whose start and change are found at one look at the clock is opened once and stays open."""
    keeper = Keeper()
    keeper.show(shown("one"))
    keeper.told()
    row = keeper.state.meetings_of(Uid("one"))[0]
    keeper.do(PageSeen(RoomId("shown"), (shown("one", subject="Another review", sequence=1),)))
    steps = []
    for _ in range(4):
        plan = keeper.tick(row.start_s + 5)
        steps += [change.step for change in plan.changes if isinstance(change, MeetingStepped)]
    assert steps == [Step.LIVE]
    assert keeper.step_of(row.id) is Step.LIVE
    assert keeper.meeting(row.id).subject == "Another review"


def test_a_booking_made_anew_does_not_lose_its_room_to_its_own_removed_copy() -> None:
    """A calendar that tells late of the copy that we removed ourselves takes nothing from the meeting booked anew."""
    keeper = Keeper()
    rooms = (RoomId("r1"), RoomId("shown"))
    meeting = keeper.book(uid=Uid("again"), rooms=rooms)
    keeper.report(keeper.open_effects(WriteItem)[0].key, Done("written"))
    keeper.show(shown("again"))
    keeper.do(Cancel(id=meeting))
    keeper.report(keeper.open_effects(WriteItem)[0].key, Done("removed"))
    keeper.book(uid=Uid("again"), rooms=rooms)
    keeper.report(keeper.open_effects(WriteItem)[0].key, Done("written"))
    keeper.show(gone=("again.ics",))
    assert keeper.meeting(meeting).rooms == rooms


def test_a_person_who_moves_a_booked_series_moves_it_in_every_room() -> None:
    """Moved in one room's calendar, a booked series is written as a series into the others."""
    keeper = Keeper(configured(rooms=(*configured().rooms, OTHER)))
    keeper.book(uid=Uid("daily"), rooms=(RoomId("other"), RoomId("shown")), recurrence="FREQ=DAILY;COUNT=3")
    for row in keeper.open_effects(WriteItem):
        keeper.report(row.key, Done("written"))
    start = wall_of(NOW_S + 5 * HOUR_S)
    keeper.show(shown("daily", rrule="FREQ=DAILY;COUNT=3", start=start, sequence=9))
    assert {
        (row.effect.room, row.effect.series)
        for row in keeper.open_effects(WriteItem)
        if isinstance(row.effect, WriteItem)
    } == {("other", "daily"), ("shown", "daily")}


def test_a_series_too_large_to_keep_is_a_problem_and_not_the_end() -> None:
    """A calendar item whose meetings fill more than a plan is left out with a note, and everything else goes on."""
    keeper = Keeper(configured(time=TimeConfig(horizon_days=100)))
    crowd = tuple(Person(f"person-{number}@a-rather-long-domain.example.org") for number in range(500))
    rule = "FREQ=DAILY;BYHOUR=" + ",".join(str(hour) for hour in range(24))
    keeper.do(
        PageSeen(RoomId("shown"), (shown("large", rrule=rule, duration_s=60, attendees=crowd), shown("one")))
    )
    plan = keeper.tick(NOW_S + 1)
    assert [note.code for note in plan.notes] == ["sync.too-large"]
    assert keeper.state.meetings_of(Uid("one"))
    assert not keeper.state.meetings_of(Uid("large"))
    assert keeper.tick(NOW_S + 2).empty
