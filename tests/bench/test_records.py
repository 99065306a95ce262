"""The meetings everybody keeps: same size, same content for the same number, nobody in anybody's way."""

from itertools import pairwise

import pytest

from bench import questions
from bench.records import (
    ATTENDEES,
    DAY_S,
    DAYS,
    FIRST_DAY_S,
    LENGTH_MAX_S,
    MEETINGS_PER_DAY,
    RECORD_BYTES,
    ROOMS,
    Records,
    slot_of,
)

NUMBERS = [0, 1, 999, 1_000, 54_321, 199_999, 999_999]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_record_has_the_same_size(number: int) -> None:
    """A meeting is 1,490 bytes of JSON with seven attendees, whichever it is."""
    records = Records()
    assert len(records.json(number)) == RECORD_BYTES == 1_490
    assert len(records.booking(number).attendees) == ATTENDEES == 7


def test_records_are_a_function_of_seed_and_number() -> None:
    """The same seed gives the same meeting, another seed another one."""
    assert Records(1).json(42) == Records(1).json(42) != Records(2).json(42)


def test_the_calendar_form_tells_the_same_meeting() -> None:
    """The iCalendar form has the same UID, its lines are folded at 75 bytes and end as the standard wants."""
    records = Records()
    lines = records.ical(7).decode().split("\r\n")
    assert f"UID:{records.booking(7).uid}" in lines
    assert sum(line.startswith("ATTENDEE") for line in lines) == ATTENDEES
    assert all(len(line.encode()) <= 75 for line in lines)


def test_no_two_meetings_of_a_room_touch_the_same_time() -> None:
    """Meetings of one room follow each other, five a day, none longer than an hour."""
    for room in (0, 7, ROOMS - 1):
        slots = [slot_of(index * ROOMS + room) for index in range(MEETINGS_PER_DAY * DAYS)]
        assert {slot.room for slot in slots} == {room}
        assert all(0 < slot.end_s - slot.start_s <= LENGTH_MAX_S for slot in slots)
        assert all(before.end_s <= after.start_s for before, after in pairwise(slots))


def test_questions_lie_in_the_calendar() -> None:
    """Every question is about a room and a day on which there are meetings, and an hour that some rooms have free."""
    for number in range(50):
        room, day_s = questions.room_and_day(number)
        start_s, end_s = questions.hour(number)
        assert 0 <= room < ROOMS
        assert FIRST_DAY_S <= day_s < FIRST_DAY_S + DAYS * DAY_S
        assert end_s - start_s == 3_600
        day = (start_s - FIRST_DAY_S) // DAY_S
        of_day = (slot_of(n) for n in range(day * 5 * ROOMS, (day + 1) * 5 * ROOMS))
        busy = {slot.room for slot in of_day if slot.start_s < end_s and slot.end_s > start_s}
        assert 0 < len(busy) < ROOMS
