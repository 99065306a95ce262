"""Hostile bytes: whatever arrives, the reader answers with an item, a problem or nothing, and in bounded time."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.lines import ITEM_BYTES_MAX
from meetkeeper.itemtext.reading import Problem, read_item
from meetkeeper.itemtext.writing import Venue, to_calendar
from tests.calendars.texts import OSLO_BY_RULE, calendar, event, meeting

READ_S_MAX = 5.0
"""Nothing of an item's size takes more processor time on a slow machine; most take a millisecond."""
WHOLE = calendar(
    OSLO_BY_RULE.format(tzid="Ours"),
    event(
        "DTSTART;TZID=Ours:20261201T100000",
        "DTEND;TZID=Ours:20261201T113000",
        "RRULE:FREQ=WEEKLY;UNTIL=20270101T000000Z;BYDAY=TU",
        "EXDATE;TZID=Europe/Oslo:20261208T100000",
        "RDATE;VALUE=PERIOD:20261203T090000Z/PT2H",
        "SUMMARY:Plan\\, part two",
        "DESCRIPTION:a\\nb",
        'ORGANIZER;CN="Berg, Ada";SENT-BY="mailto:x@y.z":mailto:ada@example.org',
        "ATTENDEE;CUTYPE=ROOM;PARTSTAT=ACCEPTED:mailto:room@example.org",
        "ATTENDEE;CN=Bo:mailto:bo@example.org",
        "SEQUENCE:3",
        "LAST-MODIFIED:20261101T000000Z",
    ),
    event(
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20261215T090000Z",
        "DTSTART;TZID=W. Europe Standard Time:20261215T120000",
        "DURATION:P1DT2H",
        "STATUS:CANCELLED",
    ),
)
_SCRAPS = [
    b"",
    b"\r\n",
    b"\r\n ",
    b";",
    b":",
    b'"',
    b"\\",
    b"^",
    b",",
    b"=",
    b"%",
    b"\0",
    b"\xff",
    b"\xc3",
    "\u2028".encode(),
    b"BEGIN:VEVENT\r\n",
    b"END:VEVENT\r\n",
    b"BEGIN:VCALENDAR\r\n",
    b"99999999999999999999",
    b"-",
    b"T",
    b"Z",
    b"00000000T000000",
    b"99991231T235959Z",
    b"TZID=",
    b"VALUE=DATE",
    b"FREQ=SECONDLY",
]


def check(data: bytes) -> None:
    """Neither an exception nor a long wait; what was read can be written again (a date at the edge may not be read)."""
    begun = time.thread_time()
    result = read_item("a.ics", data, own_email="room@example.org")
    assert time.thread_time() - begun < READ_S_MAX
    assert result is None or isinstance(result, Problem | CalendarItem)
    if isinstance(result, CalendarItem):
        again = read_item("a.ics", to_calendar(result, Venue()))
        assert again is not None
        assert isinstance(again, Problem) or again.uid == result.uid


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(WHOLE)), st.integers(0, 40), st.sampled_from(_SCRAPS) | st.binary(max_size=8)
        ),
        max_size=6,
    )
)
@settings(max_examples=400)
def test_a_mutated_item_never_raises(cuts: list[tuple[int, int, bytes]]) -> None:
    """Cut, overwritten and spliced anywhere, a valid item is read, is a problem, or is no meeting."""
    data = WHOLE
    for at, length, scrap in cuts:
        data = data[:at] + scrap + data[at + length :]
    check(data)


@given(st.permutations(WHOLE.split(b"\r\n")), st.integers(0, 60))
@settings(max_examples=150)
def test_lines_in_any_order_never_raise(lines: list[bytes], kept: int) -> None:
    """The lines of a valid item, shuffled and some lost, make an item, a problem or nothing."""
    check(b"\r\n".join(lines[:kept]))
    check(
        b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n"
        + b"\r\n".join(lines[:kept])
        + b"\r\nEND:VEVENT\r\nEND:VCALENDAR"
    )


@given(
    st.sampled_from(
        [
            "DTSTART",
            "DTEND",
            "DURATION",
            "RRULE",
            "RDATE",
            "EXDATE",
            "RECURRENCE-ID",
            "ATTENDEE",
            "UID",
            "SEQUENCE",
        ]
    ),
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=40),
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=40),
)
@example("DTSTART", ";TZID=Europe/Oslo", "19000101T000000")
@example("DTEND", ";TZID=Pacific/Kiritimati", "22001231T235959")
@example("EXDATE", "", "22001231T235959Z,19000101")
@settings(max_examples=400)
def test_any_value_of_any_property_never_raises(name: str, params: str, value: str) -> None:
    """Each property that is read, with any parameters and any value, makes an item or a problem."""
    check(calendar(event("DTSTART;TZID=Europe/Oslo:20261201T100000", f"{name}{params}:{value}")))
    check(calendar(event(f"{name}{params}:{value}", "DTSTART:20261201T100000Z")))


@given(st.binary(max_size=400))
@settings(max_examples=100)
def test_any_bytes_never_raise(data: bytes) -> None:
    """Bytes that were never a calendar are a problem or nothing."""
    check(data)


_ROOM = ITEM_BYTES_MAX - 400


@pytest.mark.parametrize(
    "filling",
    [
        b"SUMMARY:" + b"x\r\n " * (_ROOM // 4),
        b"DESCRIPTION:" + b"\\n---- Join online [x] ----" * (_ROOM // 27),
        b"DESCRIPTION:" + b"\\" * _ROOM,
        b"DESCRIPTION;X=" + b'"' * _ROOM + b":x",
        b"ATTENDEE;CN=" + b" =" * (_ROOM // 2),
        b"ATTENDEE:mailto:a@b.c\r\n" * (_ROOM // 23),
        b"ATTENDEE;" + b";" * 60_000 + b":mailto:a@b.c",
        b"ATTENDEE;" + b"A=1;" * 16_000 + b"B=2:mailto:a@b.c",
        b"ATTENDEE;CN=" + b"^" * 60_000 + b":mailto:a@b.c",
        b"ATTENDEE;CN=" + b"%2C" * 20_000 + b":mailto:a@b.c",
        b"ATTENDEE:mailto:" + b"a@" * 30_000,
        b"RRULE:" + b"FREQ=DAILY;" * 5_000,
        b"EXDATE:" + b"20261201T100000Z," * 3_000,
        b"\r\n" * (_ROOM // 2),
        b"\n " * (_ROOM // 2),
        b" \t" * (_ROOM // 2),
        b"BEGIN:VTIMEZONE\r\n" * 7,
        b"X" * _ROOM,
        b"DTSTART;TZID=" + b"Europe/" * 9_000 + b":20261201T100000",
        b"DTSTART;TZID=" + b"a " * 30_000 + b":20261201T100000",
    ],
    ids=lambda filling: filling[:18].decode(),
)
def test_the_largest_hostile_items_take_bounded_time(filling: bytes) -> None:
    """A megabyte of folds, quotes, escapes, parameters or people is read or refused within bounds."""
    data = meeting("u").replace(b"SUMMARY:Talk", filling[:_ROOM])
    assert len(data) <= ITEM_BYTES_MAX
    check(data)
