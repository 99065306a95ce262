"""The room doctor's table and what it sees in items alone: each wrong setting is named with symptom and remedy."""

from typing import Any

import pytest

from meetkeeper.core.roomsettings import SETTINGS, Finding, diagnose, judge, reading
from meetkeeper.core.words import CalendarItem, Person
from tests.core.reconcile_desk import single

ROOM = "oslo@rooms.example"
ANN = Person("ann@corp.example", "Ann Berg")
DEFAULTS = {
    "AutomateProcessing": "AutoAccept",
    "DeleteSubject": "True",
    "AddOrganizerToSubject": "True",
    "DeleteComments": "True",
    "RemovePrivateProperty": "True",
    "ProcessExternalMeetingMessages": "False",
    "AllowConflicts": "False",
    "ConflictPercentageAllowed": "0",
    "BookingWindowInDays": "180",
    "EnforceSchedulingHorizon": "True",
    "MaximumDurationInMinutes": "1440",
    "RemoveCanceledMeetings": "False",
    "EnableAutoRelease": "False",
    "DeleteAttachments": "True",
}
"""What a mailbox made in the admin centre answers to Get-CalendarProcessing."""


def calendar(count: int = 60, **fields: Any) -> list[CalendarItem]:
    """Meetings with subject, text and organizer, unless said otherwise."""
    known: dict[str, Any] = {"subject": "Budget", "description": "Agenda", "organizer": ANN}
    return [single(f"u{number}", 2 + number, **{**known, **fields}) for number in range(count)]


def codes(findings: tuple[Finding, ...], *levels: str) -> set[str]:
    """Which were found at these levels."""
    return {one.code for one in findings if one.level in levels}


def test_a_mailbox_as_it_is_delivered_is_named_setting_by_setting() -> None:
    """Four settings take something away, one is policy; the others are as they should be."""
    found = judge(ROOM, DEFAULTS)
    assert codes(found, "amber") == {
        "DeleteSubject",
        "AddOrganizerToSubject",
        "DeleteComments",
        "RemovePrivateProperty",
    }
    assert codes(found, "note") == {"ProcessExternalMeetingMessages"}
    assert not codes(found, "red")
    mend = next(one.mend for one in found if one.code == "DeleteSubject")
    assert mend == f"Set-CalendarProcessing {ROOM} -DeleteSubject $false"


@pytest.mark.parametrize("value", ["AutoUpdate", "None", ""])
def test_a_room_that_answers_nobody_does_not_work(value: str) -> None:
    """Only AutoAccept runs the booking attendant."""
    assert codes(judge(ROOM, {"AutomateProcessing": value}), "red") == {"AutomateProcessing"}


def test_every_setting_says_symptom_and_remedy() -> None:
    """Nothing wrong is told without what it does and what to do, and settings nobody knows are passed over."""
    for one in SETTINGS:
        (found,) = judge(ROOM, {one.name: "something else", "Unheard-of": "1"})
        assert found.symptom.endswith(".")
        assert one.name in found.mend
        assert (judge("", {one.name: one.good[0].lower()})[0]).level == "good"


def test_a_calendar_that_looks_as_it_should_is_good() -> None:
    """Subjects, texts, organizers and a private one now and then."""
    found = diagnose([*calendar(), *calendar(1, private=True)], ROOM)
    assert [one.level for one in found] == ["good"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"subject": ""}, "DeleteSubject"),
        ({"subject": "Ann Berg "}, "AddOrganizerToSubject"),
        ({"subject": "Ann Berg Budget"}, "AddOrganizerToSubject"),
        ({"description": " \n"}, "DeleteComments"),
        ({}, "RemovePrivateProperty"),
        ({"organizer": None}, "organizers"),
    ],
)
def test_a_setting_shows_in_the_items(fields: dict[str, Any], code: str) -> None:
    """Without any right but reading, the setting is named with its command or what else to do."""
    found = [one for one in diagnose(calendar(**fields), ROOM) if one.code == code]
    assert [bool(one.symptom and one.mend) for one in found] == [True]


def test_few_meetings_say_nothing() -> None:
    """Four meetings without a subject are four people who gave none."""
    (found,) = diagnose(calendar(4, subject=""), ROOM)
    assert (found.code, found.level) == ("few", "note")


def test_bookings_on_the_spot_are_no_sign() -> None:
    """A room that organizes its own meetings has no organizer's name in their subjects."""
    own = Person(ROOM, "Oslo")
    assert not codes(diagnose(calendar(organizer=own, subject="Oslo Budget"), ROOM.upper()), "amber")


def test_the_way_to_the_calendar_is_judged() -> None:
    """Slow reads, items that can't be read and cookies that are refused all the time."""
    assert codes(reading(50, 0, 0.5, 100, 1), "good") == {"read"}
    assert codes(reading(50, 0, 30.0, 100, 1), "note") == {"read"}
    assert codes(reading(50_000, 0, 30.0, 100, 1), "good") == {"read"}
    assert codes(reading(50, 3, 0.5, 100, 50), "amber") == {"unreadable", "cookies"}
