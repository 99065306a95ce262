"""What settled items mean: meetings made, changed and cancelled, in one room or several, single or in series."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from meetkeeper.core.changes import EffectOpen, ItemKept, MeetingKept, SeriesKept, apply, raw
from meetkeeper.core.configuration import MailConfig, RoomConfig, TimeConfig
from meetkeeper.core.effects import WriteItem, key_of
from meetkeeper.core.findings import Changed, Field, MeetingFinding, New, SeriesEvent, UidFindings, Vanished
from meetkeeper.core.reconcile import horizon_s, roll
from meetkeeper.core.settling import kept_row
from meetkeeper.core.state import Series, Status
from meetkeeper.core.words import (
    DESCRIPTION_CHARS_MAX,
    INVITEES_MAX,
    SUBJECT_CHARS_MAX,
    Alias,
    CalendarItem,
    Entry,
    Meeting,
    Person,
    RoomId,
    Step,
    Uid,
    Vmr,
)
from tests.core.reconcile_desk import (
    ANN,
    BEN,
    DAY_S,
    HALL,
    HOUR_S,
    NOON,
    NOW_S,
    A,
    B,
    C,
    Desk,
    config,
    entry,
    item,
    nth_id,
    single,
    single_id,
    weekly,
)

CAT = Person("cat@corp.example", "Cat")
WEEK = 24 * 7


def shown(desk: Desk, *where: tuple[RoomId, CalendarItem]) -> UidFindings:
    """Items arrive in rooms and settle; one UID's findings, which must leave nothing to find."""
    for room, one in where:
        desk.show(room, one)
    return calm(desk)


def gone(desk: Desk, *where: tuple[RoomId, str]) -> UidFindings:
    """Items leave rooms, and that settles."""
    for room, href in where:
        desk.show(room, gone=[href])
    return calm(desk)


def calm(desk: Desk) -> UidFindings:
    """Let things settle; asked again, nothing is found."""
    found = desk.wait()
    for uid in {findings.uid: None for findings in found}:
        again = desk.settle(uid)
        assert (again.items, again.series, again.meetings) == ((), None, ())
    [findings] = found
    return findings


def only(findings: UidFindings) -> MeetingFinding:
    """The one finding there is."""
    [finding] = findings.meetings
    return finding


def made(findings: UidFindings) -> Meeting:
    """The one new meeting there is."""
    finding = only(findings)
    assert isinstance(finding, New)
    return finding.meeting


def fields(findings: UidFindings) -> tuple[Field, ...]:
    """What the one change is about."""
    finding = only(findings)
    assert isinstance(finding, Changed)
    return finding.fields


def kinds(findings: UidFindings) -> dict[str, int]:
    """How many findings of each kind there are."""
    found: dict[str, int] = {}
    for finding in findings.meetings:
        found[type(finding).__name__] = found.get(type(finding).__name__, 0) + 1
    return found


# --- one meeting ----------------------------------------------------------------------------------------------


def test_a_settled_item_is_a_meeting() -> None:
    """A new item in one room gives a meeting with its content, told for the first time, and lets the item go."""
    desk = Desk()
    findings = shown(desk, (A, single("x", description="agenda", sequence=3, modified_s=77)))
    assert made(findings) == Meeting(
        id=single_id("x"),
        uid=Uid("x"),
        subject="Talk",
        organizer=ANN,
        rooms=(A,),
        start_s=NOW_S + DAY_S,
        end_s=NOW_S + DAY_S + HOUR_S,
        time_zone="UTC",
        sequence=3,
        modified_s=77,
        invitees=(BEN,),
        description="agenda",
    )
    assert desk.state.items[A]["x.ics"].item is None
    assert desk.state.unsettled == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hours": 25}, (Field.TIME,)),
        ({"duration_s": 60}, (Field.TIME,)),
        ({"zone": "Europe/London"}, (Field.TIME,)),
        ({"subject": "Other"}, (Field.SUBJECT,)),
        ({"organizer": CAT}, (Field.ORGANIZER,)),
        ({"attendees": (BEN, CAT)}, (Field.INVITEES,)),
        ({"description": "agenda"}, (Field.DESCRIPTION,)),
        ({"private": True}, (Field.SUBJECT, Field.PRIVATE)),
        ({"hours": 26, "subject": "Other"}, (Field.TIME, Field.SUBJECT)),
        ({"attendees": (Person(BEN.email, "Benjamin"),)}, ()),
        ({"attendees": (BEN, ANN)}, ()),
        ({"attendees": (BEN, BEN)}, ()),
        ({"sequence": 9, "modified_s": 9}, ()),
    ],
)
def test_a_change_says_what_it_is_about(change: dict[str, Any], expected: tuple[Field, ...]) -> None:
    """What a person would notice is named; a spelling of a name, a repeated address or a mere number is nothing."""
    desk = Desk()
    shown(desk, (A, single("x")))
    findings = shown(desk, (A, single("x", **change)))
    if expected:
        assert fields(findings) == expected
    else:
        assert findings.meetings == ()
        assert findings.same == 1


def test_a_change_keeps_door_and_origin() -> None:
    """The changed meeting has the VMR, the revision and the origin of the one before."""
    desk = Desk()
    shown(desk, (A, single("x")))
    vmr = Vmr(Alias("door"), "1", "2", "janus")
    keep(desk, replace(desk.open()[0], vmr=vmr, revision=7))
    finding = only(shown(desk, (A, single("x", hours=30))))
    assert isinstance(finding, Changed)
    assert (finding.after.vmr, finding.after.revision, finding.after.origin) == (vmr, 7, "calendar")
    assert finding.before.start_s + 6 * HOUR_S == finding.after.start_s


def keep(desk: Desk, meeting: Meeting, step: Step = Step.SCHEDULED) -> None:
    """A meeting as another part of the house keeps it."""
    series = None if meeting.original_start_s is None else meeting.uid
    body = raw(meeting)
    apply(
        desk.state,
        MeetingKept(meeting.id, meeting.start_s, meeting.end_s, meeting.rooms, step, body, series=series),
    )


def test_who_is_invited() -> None:
    """Rooms and the organizer are no invitees, nobody is one twice, and they come in one order."""
    people = (CAT, Person("a@rooms.example"), ANN, BEN, Person("hall@rooms.example"), BEN, Person(""))
    found = made(shown(Desk(), (A, single("x", attendees=people))))
    assert found.invitees == (BEN, CAT, Person("hall@rooms.example"))


def test_a_meeting_without_organizer_has_somebody_to_write_to() -> None:
    """Nobody named, or the room itself: the configured fallback, else the room's own address."""
    for organizer in (None, Person("a@rooms.example"), Person("")):
        assert made(shown(Desk(), (A, single("x", organizer=organizer)))).organizer == Person(
            "a@rooms.example"
        )
        desk = Desk(config(mail=MailConfig(fallback_organizer="Desk@corp.example")))
        assert made(shown(desk, (A, single("x", organizer=organizer)))).organizer == Person(
            "desk@corp.example"
        )
    assert made(
        shown(Desk(config(rooms=(RoomConfig(id=A),))), (A, single("x", organizer=None)))
    ).organizer == Person("")


def test_a_private_meeting_says_nothing() -> None:
    """Neither subject nor description of a private meeting, or of a private date of a series, goes on."""
    desk = Desk()
    found = made(shown(desk, (A, single("x", subject="Layoffs", description="all of them", private=True))))
    assert (found.subject, found.description, found.private) == ("Private meeting", "", True)
    secret = entry(
        24 + WEEK, subject="Layoffs", description="all", private=True, recurrence_id=entry(24 + WEEK).start
    )
    findings = shown(desk, (A, weekly("w", secret)))
    one = desk.state.meeting(nth_id("w", 24 + WEEK))
    assert one is not None
    assert (one.subject, one.description) == ("Private meeting", "")
    findings = shown(desk, (A, weekly("w", subject="Layoffs", private=True)))
    assert findings.series is not None
    assert findings.series.series.subject == "Private meeting"


def test_texts_and_lists_are_bounded() -> None:
    """Subject, description and invitees are cut at their bounds; who is left out is noted."""
    crowd = tuple(Person(f"p{number:04}@corp.example") for number in range(INVITEES_MAX + 5))
    long = single("x", subject="s" * 2_000, description="d" * 40_000, attendees=crowd)
    findings = shown(Desk(), (A, long))
    found = made(findings)
    assert len(found.subject) == SUBJECT_CHARS_MAX
    assert len(found.description) == DESCRIPTION_CHARS_MAX
    assert found.invitees == crowd[:INVITEES_MAX]
    assert [note.code for note in findings.notes] == ["sync.problem"]


def test_what_can_be_no_meeting_is_noted() -> None:
    """An entry without a length makes no meeting; the reason is a note; a known meeting it was is cancelled."""
    desk = Desk()
    shown(desk, (A, single("x")))
    findings = shown(desk, (A, single("x", duration_s=0)))
    assert isinstance(only(findings), Vanished)
    assert [note.code for note in findings.notes] == ["sync.problem"]


def test_whole_days_are_the_rooms_days() -> None:
    """An all-day entry is a meeting from midnight to midnight in its room's zone, and stays it when seen again."""
    rooms = (RoomConfig(id=A, time_zone="Europe/Oslo"), RoomConfig(id=B, time_zone="Asia/Tokyo"))
    day = item("x", entry(12, all_day=True, zone="", duration_s=DAY_S))
    desk = Desk(config(rooms=rooms))
    found = made(shown(desk, (A, day)))
    assert (found.start_s, found.time_zone, found.all_day) == (NOW_S + 11 * HOUR_S, "Europe/Oslo", True)
    assert fields(shown(desk, (B, day))) == (Field.ROOMS,)
    assert desk.open()[0].start_s == found.start_s


def test_a_floating_series_in_two_zones_is_one_series() -> None:
    """Ten o'clock in two rooms far apart is ten o'clock in the first of them, and no two meetings."""
    rooms = (RoomConfig(id=A, time_zone="Europe/Oslo"), RoomConfig(id=B, time_zone="Asia/Tokyo"))
    desk = Desk(config(rooms=rooms))
    shown(desk, (B, weekly("w", zone="")), (A, weekly("w", zone="")))
    assert {one.rooms for one in desk.open()} == {(A, B)}
    assert {one.time_zone for one in desk.open()} == {"Europe/Oslo"}


# --- past and present -----------------------------------------------------------------------------------------


def test_the_past_makes_no_meetings() -> None:
    """An item that is over when it is first seen makes nothing; one that is running makes a meeting."""
    desk = Desk()
    assert shown(desk, (A, single("over", -1.01))).meetings == ()
    assert desk.state.items[A]["over.ics"].item is None
    assert made(shown(desk, (A, single("now", -0.5)))).end_s == NOW_S + HOUR_S // 2
    assert shown(desk, (A, weekly("ended", hours=-24 * 60, rrule="FREQ=WEEKLY;COUNT=3"))).series is None
    assert kinds(shown(desk, (A, weekly("on", hours=-24 * 70)))) == {"New": 5}


def test_moved_into_the_past_is_quiet() -> None:
    """A meeting moved to yesterday is changed without a word; its clock ends it."""
    desk = Desk()
    shown(desk, (A, single("x")))
    finding = only(shown(desk, (A, single("x", -24))))
    assert isinstance(finding, Changed)
    assert finding.quiet


def test_what_is_over_stays_as_it_was() -> None:
    """Changes to a meeting that is over, ended or not, and the loss of its item, find nothing."""
    for step in (Step.ENDED, Step.SCHEDULED):
        desk = Desk()
        shown(desk, (A, single("x", 1)))
        desk.step(single_id("x"), step)
        desk.now_s += DAY_S
        assert shown(desk, (A, single("x", 1, subject="Minutes"))).meetings == ()
        desk.show(A, gone=["x.ics"])
        assert all(not one.meetings for one in desk.wait())
        assert desk.step_of(single_id("x")) is step


def test_a_meeting_that_was_over_may_be_held_again() -> None:
    """Rescheduled after its end it is a new meeting with the old door, and a revision after the last one told."""
    desk = Desk()
    shown(desk, (A, single("x", 1)))
    vmr = Vmr(Alias("door"), "1", "2", "janus")
    keep(desk, replace(desk.open()[0], vmr=vmr, revision=4), Step.ENDED)
    desk.now_s += DAY_S
    finding = only(shown(desk, (A, single("x", 72))))
    assert isinstance(finding, New)
    assert finding.revived is not None
    assert (finding.meeting.vmr, finding.meeting.revision) == (vmr, 5)


def test_a_cancelled_meeting_comes_back_with_its_copy() -> None:
    """Deleted and restored, or cancelled and confirmed again: the same meeting, revived."""
    desk = Desk()
    shown(desk, (A, single("x")))
    for deleted in (True, False):
        away = gone(desk, (A, "x.ics")) if deleted else shown(desk, (A, single("x", cancelled=True)))
        assert isinstance(only(away), Vanished)
        finding = only(shown(desk, (A, single("x"))))
        assert isinstance(finding, New)
        assert finding.revived is not None
        assert finding.meeting.id == single_id("x")


def test_what_the_clock_has_closed_stays_closed() -> None:
    """Ended or failed, a meeting does not come back while its time is what it was, whatever else changes."""
    desk = Desk()
    shown(desk, (A, single("x")), (B, single("x")))
    for step in (Step.FAILED, Step.ENDED):
        desk.step(single_id("x"), step)
        assert desk.settle("x").meetings == ()
        assert shown(desk, (A, single("x", subject=f"Same time, {step}"))).meetings == ()


def test_a_cancelled_running_meeting_ends() -> None:
    """Cancelled in the calendar, or struck from its series, a running meeting is found vanished while it runs."""
    desk = Desk()
    shown(desk, (A, single("x", 0.5)))
    shown(desk, (A, weekly("w", hours=0.5)))
    desk.now_s += 0.6 * HOUR_S
    for meeting in (single_id("x"), nth_id("w", 0.5)):
        desk.step(meeting, Step.LIVE)
    finding = only(shown(desk, (A, single("x", 0.5, cancelled=True))))
    assert isinstance(finding, Vanished)
    assert finding.step is Step.LIVE
    finding = only(shown(desk, (A, weekly("w", hours=0.5, exdates=(entry(0.5).start,)))))
    assert isinstance(finding, Vanished)
    assert finding.step is Step.LIVE


def test_a_running_meeting_outlives_its_copy() -> None:
    """A room released in the middle of a meeting ends nothing: the last copy gone it runs on, and a note says so."""
    desk = Desk()
    shown(desk, (A, single("x", 0.5)), (B, single("x", 0.5)))
    desk.now_s += 0.6 * HOUR_S
    desk.step(single_id("x"), Step.LIVE)
    assert fields(gone(desk, (A, "x.ics"))) == (Field.ROOMS,)
    findings = gone(desk, (B, "x.ics"))
    assert findings.meetings == ()
    assert [note.code for note in findings.notes] == ["sync.running"]
    assert desk.step_of(single_id("x")) is Step.LIVE


def test_a_running_meeting_may_be_moved_and_renamed() -> None:
    """Extended or postponed while it runs, it is the same meeting with another time."""
    desk = Desk()
    shown(desk, (A, single("x", 0.5)))
    desk.now_s += 0.6 * HOUR_S
    desk.step(single_id("x"), Step.LIVE)
    assert fields(shown(desk, (A, single("x", 0.5, duration_s=2 * HOUR_S)))) == (Field.TIME,)
    assert fields(shown(desk, (A, single("x", 5)))) == (Field.TIME,)


# --- several rooms --------------------------------------------------------------------------------------------


def test_two_rooms_share_a_meeting() -> None:
    """Copies in two rooms are one meeting in both; one gone is a change of rooms, both gone its end."""
    desk = Desk()
    assert made(shown(desk, (B, single("x")), (A, single("x")))).rooms == (A, B)
    assert fields(gone(desk, (A, "x.ics"))) == (Field.ROOMS,)
    assert desk.open()[0].rooms == (B,)
    assert isinstance(only(gone(desk, (B, "x.ics"))), Vanished)


def test_a_room_that_declines_is_out() -> None:
    """A copy cancelled in one room takes that room out and no more, even when it is the newest."""
    desk = Desk()
    shown(desk, (A, single("x")), (B, single("x")))
    assert fields(shown(desk, (B, single("x", cancelled=True, sequence=9)))) == (Field.ROOMS,)
    assert desk.open()[0].rooms == (A,)


def test_the_newest_copy_decides() -> None:
    """By sequence, then by time of change, then by the room's name; the others follow."""
    desk = Desk()
    shown(desk, (A, single("x", subject="a")), (B, single("x", subject="b")))
    assert desk.open()[0].subject == "a"
    shown(desk, (B, single("x", subject="b newer", modified_s=5)))
    assert desk.open()[0].subject == "b newer"
    shown(desk, (A, single("x", subject="a sequence", sequence=1)))
    assert desk.open()[0].subject == "a sequence"
    shown(desk, (C, single("x", subject="c old")))
    assert (desk.open()[0].subject, desk.open()[0].rooms) == ("a sequence", (A, B, C))
    gone(desk, (A, "x.ics"))
    assert desk.open()[0].subject == "b newer"


def test_a_copy_that_is_over_decides_nothing() -> None:
    """A room that still shows last week's date does not keep the others from meeting."""
    desk = Desk()
    shown(desk, (A, single("x", -48, sequence=5)))
    assert made(shown(desk, (B, single("x")))).rooms == (B,)
    shown(desk, (A, single("y", -48, sequence=5)))
    assert made(shown(desk, (A, replace(single("y"), href="again.ics")))).rooms == (A,)


def test_several_items_of_one_uid_in_one_room() -> None:
    """A master in one file and an override in another make one series; the newer of two masters counts."""
    desk = Desk()
    moved = entry(24 + WEEK + 5, recurrence_id=entry(24 + WEEK).start, subject="moved")
    shown(desk, (A, weekly("w")), (A, item("w", None, moved, href="w-moved.ics")))
    one = desk.state.meeting(nth_id("w", 24 + WEEK))
    assert one is not None
    assert (one.subject, one.rooms) == ("moved", (A,))
    shown(desk, (A, single("x")), (A, replace(single("x", subject="newer", sequence=1), href="again.ics")))
    assert [(one.subject, one.rooms) for one in desk.open() if one.uid == "x"] == [("newer", (A,))]


def test_a_room_no_longer_configured_does_not_count() -> None:
    """What is left of a room that was taken out of the configuration holds no meeting."""
    desk = Desk()
    shown(desk, (A, single("x")), (B, single("x")))
    desk.deploy(config(rooms=(RoomConfig(id=A),)))
    assert fields(desk.settle("x")) == (Field.ROOMS,)
    assert desk.open()[0].rooms == (A,)


# --- series ---------------------------------------------------------------------------------------------------


def test_a_series_becomes_meetings_within_the_horizon() -> None:
    """A weekly series in sixty days' reach: its series is told, its occurrences are meetings of their own."""
    desk = Desk()
    findings = shown(desk, (A, weekly("w", description="agenda", sequence=2)))
    assert findings.series is not None
    assert (findings.series.event, findings.series.told) == (SeriesEvent.NEW, True)
    assert findings.series.expanded_until_s == horizon_s(desk.state, NOW_S)
    series = findings.series.series
    assert (series.subject, series.organizer, series.rooms, series.sequence) == ("Talk", ANN, (A,), 2)
    assert [one.id for one in desk.open()] == [nth_id("w", 24 + WEEK * number) for number in range(5)]
    assert [one.original_start_s for one in desk.open()] == [one.start_s for one in desk.open()]
    assert desk.state.items[A]["w.ics"].item is not None


def test_a_series_far_ahead_is_told_at_once() -> None:
    """A series that begins beyond the horizon is known and told, its meetings come with the horizon."""
    desk = Desk()
    findings = shown(desk, (A, weekly("w", hours=24 * 40)))
    assert findings.series is not None
    assert findings.series.event is SeriesEvent.NEW
    assert findings.meetings == ()
    desk.now_s += 15 * DAY_S
    assert sum(len(one.meetings) for one in desk.roll()) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"subject": "Other"}, True),
        ({"attendees": (CAT,)}, True),
        ({"organizer": CAT}, True),
        ({"rrule": "FREQ=WEEKLY;INTERVAL=2"}, True),
        ({"duration_s": 60}, True),
        ({"zone": "Europe/London"}, True),
        ({"hours": 25}, True),
        ({"exdates": (entry(24).start,)}, True),
        ({"rdates": (entry(48).start,)}, True),
        ({"private": True}, True),
        ({"description": "agenda"}, False),
        ({"sequence": 4, "modified_s": 9}, False),
        ({"attendees": (Person(BEN.email, "Benjamin"),)}, False),
    ],
)
def test_a_changed_series_is_told_when_it_matters(change: dict[str, Any], told: bool) -> None:
    """Subject, people, rule, times and exceptions are told anew; a description or a version is kept in silence."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    findings = shown(desk, (A, weekly("w", **change)))
    assert findings.series is not None
    assert (findings.series.event, findings.series.told) == (SeriesEvent.CHANGED, told)


def test_a_room_joins_a_series() -> None:
    """A second room's copy puts every occurrence it shows into both rooms."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    without = weekly("w", exdates=(entry(24 + WEEK).start,), modified_s=-1)
    findings = shown(desk, (B, without))
    assert findings.series is not None
    assert findings.series.told
    assert [one.rooms for one in desk.open()] == [(A, B), (A,), (A, B), (A, B), (A, B)]


def test_one_date_moved_and_one_struck() -> None:
    """An override changes its occurrence alone, known by its original start; an exception date ends its own."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    moved = entry(24 + WEEK + 3, recurrence_id=entry(24 + WEEK).start, attendees=(BEN, CAT))
    findings = shown(desk, (A, weekly("w", moved, exdates=(entry(24).start,))))
    assert kinds(findings) == {"Vanished": 1, "Changed": 1}
    assert findings.same == 3
    vanished, changed = findings.meetings
    assert isinstance(vanished, Vanished)
    assert vanished.meeting.id == nth_id("w", 24)
    assert isinstance(changed, Changed)
    assert (changed.after.id, changed.fields) == (nth_id("w", 24 + WEEK), (Field.TIME, Field.INVITEES))


def test_a_date_moved_beyond_the_horizon_is_still_held() -> None:
    """An occurrence moved to next year stays the meeting it is."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    away = entry(24 * 300, recurrence_id=entry(24 + WEEK).start)
    findings = shown(desk, (A, weekly("w", away)))
    assert fields(findings) == (Field.TIME,)
    desk.now_s += 100 * DAY_S
    again = desk.settle("w")
    assert not any(isinstance(finding, Vanished) for finding in again.meetings)
    away = entry(24 * 301, recurrence_id=entry(24 + WEEK).start)
    assert kinds(shown(desk, (A, weekly("w", away)))) == {"Changed": 1}
    assert kinds(shown(desk, (A, weekly("w", hours=24 * 200)))).get("Vanished", 0) > 1


def test_a_new_pattern_sweeps_the_old_dates() -> None:
    """Mondays become Tuesdays: what the old rule gave is over, exceptions included, what the new one gives is made."""
    desk = Desk()
    moved = entry(24 + WEEK + 3, recurrence_id=entry(24 + WEEK).start)
    shown(desk, (A, weekly("w", moved)))
    findings = shown(desk, (A, weekly("w", moved, hours=48, sequence=1)))
    assert kinds(findings) == {"Vanished": 5, "New": 5}
    assert not any(finding.replaced for finding in findings.meetings if isinstance(finding, Vanished))
    assert findings.series is not None
    assert findings.series.told


def test_this_and_following_is_a_shorter_series_and_a_new_one() -> None:
    """The old UID ends earlier and says so, the rest is another UID's."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    findings = shown(desk, (A, weekly("w", rrule="FREQ=WEEKLY;COUNT=2")))
    assert kinds(findings) == {"Vanished": 3}
    assert findings.series is not None
    assert (findings.series.event, findings.series.told) == (SeriesEvent.CHANGED, True)


def test_a_series_ends() -> None:
    """Gone from its calendar, or cancelled, a series ends with all its meetings and is told; restored it is new."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    for deleted in (True, False):
        findings = gone(desk, (A, "w.ics")) if deleted else shown(desk, (A, weekly("w", cancelled=True)))
        assert findings.series is not None
        assert (findings.series.event, findings.series.told, findings.series.replaced) == (
            SeriesEvent.ENDED,
            True,
            False,
        )
        assert kinds(findings) == {"Vanished": 5}
        assert desk.open() == []
        revision = findings.series.series.revision
        findings = shown(desk, (A, weekly("w")))
        assert findings.series is not None
        assert (findings.series.event, findings.series.told) == (SeriesEvent.NEW, True)
        assert findings.series.series.revision > revision
        assert kinds(findings) == {"New": 5}


def test_a_series_that_was_over_ends_in_silence() -> None:
    """Deleting a series whose last date has passed tells nobody."""
    desk = Desk()
    shown(desk, (A, weekly("w", rrule="FREQ=WEEKLY;COUNT=2")))
    desk.now_s += 30 * DAY_S
    findings = gone(desk, (A, "w.ics"))
    assert findings.series is not None
    assert (findings.series.event, findings.series.told) == (SeriesEvent.ENDED, False)
    assert findings.meetings == ()


def test_single_becomes_series_and_series_single() -> None:
    """The UID goes on as the other kind: the old meetings give way without a word, revisions go on."""
    desk = Desk()
    shown(desk, (A, single("x")))
    keep(desk, replace(desk.open()[0], revision=6))
    findings = shown(desk, (A, weekly("x")))
    assert kinds(findings) == {"Vanished": 1, "New": 5}
    assert all(finding.replaced for finding in findings.meetings if isinstance(finding, Vanished))
    assert findings.series is not None
    assert findings.series.series.revision == 7
    findings = shown(desk, (A, single("x")))
    assert kinds(findings) == {"Vanished": 5, "New": 1}
    assert all(finding.replaced for finding in findings.meetings if isinstance(finding, Vanished))
    assert findings.series is not None
    assert (findings.series.event, findings.series.replaced, findings.series.told) == (
        SeriesEvent.ENDED,
        True,
        False,
    )
    [single_again] = [finding for finding in findings.meetings if isinstance(finding, New)]
    assert single_again.meeting.revision > 7


def test_dates_without_their_series() -> None:
    """A room invited to two dates of a series alone holds these two."""
    one = entry(24, recurrence_id=entry(24).start)
    two = entry(24 + WEEK + 2, recurrence_id=entry(24 + WEEK).start)
    desk = Desk()
    findings = shown(desk, (A, item("w", None, two, one)))
    assert [finding.meeting.id for finding in findings.meetings if isinstance(finding, New)] == [
        nth_id("w", 24),
        nth_id("w", 24 + WEEK),
    ]


def test_the_whole_series_is_told_by_who_knows_it() -> None:
    """Beside a room that holds one date of it, as new or newer, the series is what the other room's copy says."""
    desk = Desk()
    date = entry(24 + WEEK + 2, recurrence_id=entry(24 + WEEK).start, subject="One date", sequence=1)
    findings = shown(desk, (A, item("w", None, date)), (B, weekly("w")))
    assert findings.series is not None
    assert findings.series.series.item.master is not None
    assert [(one.subject, one.rooms) for one in desk.open()[:2]] == [("Talk", (B,)), ("One date", (A, B))]


def test_a_bad_rule_leaves_the_first_meeting() -> None:
    """An hourly rule is noted and its first date is a meeting."""
    desk = Desk()
    findings = shown(desk, (A, weekly("w", rrule="FREQ=HOURLY")))
    assert kinds(findings) == {"New": 1}
    assert [note.code for note in findings.notes] == ["sync.problem"]


# --- the horizon ----------------------------------------------------------------------------------------------


def test_the_horizon_brings_meetings_quietly() -> None:
    """Day by day the next occurrences are made, each once, and the series is told nothing."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    for _ in range(21):
        desk.now_s += DAY_S
        for findings in desk.roll():
            assert findings.series is not None
            assert findings.series.event is SeriesEvent.ROLLED
            assert not findings.series.told
            assert set(kinds(findings)) <= {"New"}
        assert desk.roll() == []
        assert roll(desk.state, Uid("w"), desk.now_s) == UidFindings(uid=Uid("w"))
    assert len(desk.open()) == 8
    assert desk.settle("w").meetings == ()


def test_the_horizon_waits_for_what_settles() -> None:
    """While an item is settling, or the series is over or booked here, rolling finds nothing."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    later_s = desk.now_s + 5 * DAY_S
    desk.show(A, weekly("w", subject="Other"))
    assert roll(desk.state, Uid("w"), later_s) == UidFindings(uid=Uid("w"))
    calm(desk)
    assert roll(desk.state, Uid("w"), later_s).series is not None
    assert roll(desk.state, Uid("nobody"), later_s) == UidFindings(uid=Uid("nobody"))
    gone(desk, (A, "w.ics"))
    assert roll(desk.state, Uid("w"), later_s) == UidFindings(uid=Uid("w"))


def test_a_nearer_horizon_cancels_nothing() -> None:
    """Configured shorter, the horizon leaves the meetings that are there."""
    desk = Desk()
    shown(desk, (A, weekly("w")))
    desk.deploy(config(time=TimeConfig(horizon_days=2)))
    assert desk.settle("w").meetings == ()
    assert len(desk.open()) == 5


# --- booked here ----------------------------------------------------------------------------------------------


def test_a_booking_that_was_over_may_be_held_again() -> None:
    """Moved to a later day by a person's hand in the calendar, a booking that has ended is held again."""
    desk = Desk()
    booking(desk)
    shown(desk, (A, echo()))
    desk.step(single_id("x"), Step.ENDED)
    desk.now_s += 2 * DAY_S
    finding = only(shown(desk, (A, echo(hours=72, sequence=3))))
    assert isinstance(finding, New)
    assert finding.revived is not None


def kept_item(desk: Desk, href: str) -> ItemKept:
    """The change that keeps a row of room a as it stands."""
    return kept_row(desk.state.items[A][href])


def booking(desk: Desk, rooms: tuple[RoomId, ...] = (A, B), **changes: Any) -> Meeting:
    """A meeting booked here."""
    known = {
        "id": single_id("x"),
        "uid": Uid("x"),
        "subject": "Talk",
        "organizer": ANN,
        "rooms": rooms,
        "start_s": NOW_S + DAY_S,
        "end_s": NOW_S + DAY_S + HOUR_S,
        "time_zone": "UTC",
        "invitees": (BEN,),
        "sequence": 2,
        "modified_s": 50,
        "origin": "api",
    }
    meeting = Meeting(**{**known, **changes})
    keep(desk, meeting)
    return meeting


def echo(**changes: Any) -> CalendarItem:
    """What a calendar shows of the booking: our own writing, perhaps a little different."""
    return single("x", **{"sequence": 2, "modified_s": 50, "description": "Join: https://meet", **changes})


def test_an_echo_is_no_news() -> None:
    """Copies of a booking as we wrote them, or older, in some rooms or all, find nothing and settle."""
    desk = Desk()
    booking(desk, (A, B, HALL))
    assert shown(desk, (A, echo())).meetings == ()
    assert shown(desk, (B, echo(hours=30, sequence=1, modified_s=99))).meetings == ()
    assert shown(desk, (C, echo(sequence=0))).meetings == ()
    assert desk.open()[0].rooms == (A, B, HALL)


def test_a_hand_in_the_calendar_moves_a_booking() -> None:
    """A copy newer than the booking is a person's: the booking follows, in all its rooms."""
    desk = Desk()
    booking(desk, (A, B, HALL))
    shown(desk, (A, echo()), (B, echo()))
    finding = only(shown(desk, (A, echo(hours=30, sequence=3))))
    assert isinstance(finding, Changed)
    assert Field.TIME in finding.fields
    assert (finding.after.rooms, finding.after.origin) == ((A, B, HALL), "api")


def test_a_booking_deleted_in_its_rooms() -> None:
    """Deleted or cancelled in one room's calendar it leaves that room, in the last one it ends."""
    desk = Desk()
    booking(desk)
    shown(desk, (A, echo()), (B, echo()))
    assert fields(gone(desk, (A, "x.ics"))) == (Field.ROOMS,)
    assert desk.open()[0].rooms == (B,)
    assert isinstance(only(shown(desk, (B, echo(cancelled=True)))), Vanished)


def test_a_booking_being_written_is_not_gone() -> None:
    """While our own copy is on its way into a calendar, its absence there says nothing."""
    desk = Desk()
    booking(desk)
    shown(desk, (A, echo()), (B, echo()))
    effect = WriteItem(A, 2, meeting=single_id("x"))
    apply(desk.state, EffectOpen(key_of(effect), effect, Status.OPEN, 0, 0.0, ""))
    assert gone(desk, (A, "x.ics")).meetings == ()
    assert desk.open()[0].rooms == (A, B)


def test_a_cancelled_booking_stays_cancelled() -> None:
    """A late echo of a booking that was cancelled here brings nothing back."""
    desk = Desk()
    booking(desk)
    desk.step(single_id("x"), Step.CANCELLED)
    assert shown(desk, (A, echo())).meetings == ()
    assert shown(desk, (A, echo(sequence=9))).meetings == ()
    assert shown(desk, (A, weekly("x", sequence=9))) == UidFindings(
        uid=Uid("x"), items=(kept_item(desk, "x.ics"),), same=1
    )
    assert gone(desk, (A, "x.ics")).meetings == ()


def test_a_booked_series_is_its_own_master() -> None:
    """Echoes of a booked series find nothing; its deletion in every room ends it; a hand changes it."""
    desk = Desk()
    master = weekly("w", sequence=1, modified_s=50)
    series = Series(
        uid=Uid("w"),
        subject="Talk",
        organizer=ANN,
        invitees=(BEN,),
        rooms=(A, B),
        sequence=1,
        modified_s=50,
        item=master,
        digest="theirs",
        origin="api",
    )
    apply(desk.state, SeriesKept(series.uid, horizon_s(desk.state, NOW_S), raw(series)))
    for number in range(5):
        start_s = NOW_S + DAY_S + number * WEEK * HOUR_S
        booking(
            desk,
            id=nth_id("w", 24 + number * WEEK),
            uid=Uid("w"),
            start_s=start_s,
            end_s=start_s + HOUR_S,
            original_start_s=start_s,
        )
    findings = shown(desk, (A, weekly("w", sequence=1, modified_s=50, description="Join")), (B, master))
    assert (findings.series, findings.meetings) == (None, ())
    assert roll(desk.state, Uid("w"), desk.now_s + 9 * DAY_S) == UidFindings(uid=Uid("w"))
    findings = shown(desk, (A, weekly("w", sequence=2, modified_s=60, exdates=(entry(24).start,))))
    assert kinds(findings) == {"Vanished": 1}
    findings = gone(desk, (A, "w.ics"))
    assert kinds(findings) == {"Changed": 4}
    assert findings.series is not None
    assert findings.series.series.rooms == (B,)
    findings = gone(desk, (B, "w.ics"))
    assert kinds(findings) == {"Vanished": 4}
    assert findings.series is not None
    assert findings.series.event is SeriesEvent.ENDED


def test_nobody_knows_the_uid() -> None:
    """Settling a UID that no calendar shows and no meeting has finds nothing."""
    assert Desk().settle("nobody") == UidFindings(uid=Uid("nobody"))


def test_the_desk_tells_time() -> None:
    """The desk's clock begins on a Monday at noon, and an entry's start is hours from there."""
    assert entry(1).start == NOON + timedelta(hours=1)
    assert isinstance(entry(), Entry)
