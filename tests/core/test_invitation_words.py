"""Rules of repetition in words: each says all of its rule, or sends the reader to the calendar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.core.invitation_words import SEE_CALENDAR, say_list, say_offset, say_recurrence

FIRST = datetime(2026, 10, 6, 10, tzinfo=ZoneInfo("Europe/Oslo"))
"""A Tuesday, the first of its month."""


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=DAILY", "Every day"),
        ("FREQ=DAILY;INTERVAL=3", "Every 3 days"),
        ("FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR", "Every weekday (Monday to Friday)"),
        ("FREQ=WEEKLY", "Every week on Tuesday"),
        ("FREQ=WEEKLY;BYDAY=FR,MO", "Every week on Monday and Friday"),
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "Every weekday (Monday to Friday)"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TU,WE,TH,FR", "Every 2 weeks on every weekday"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;WKST=SU", "Every 2 weeks on Tuesday"),
        ("FREQ=WEEKLY;COUNT=10", "Every week on Tuesday, 10 times"),
        ("FREQ=WEEKLY;COUNT=1", "Every week on Tuesday, once"),
        ("FREQ=MONTHLY", "Every month on the 6th"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,15", "Every month on the 1st and 15th"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "Every month on the last day"),
        ("FREQ=MONTHLY;BYDAY=2TU", "Every month on the second Tuesday"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "Every month on the last Friday"),
        ("FREQ=MONTHLY;BYDAY=TU", "Every month on every Tuesday"),
        ("FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2", "Every month on the second Tuesday"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "Every month on the last weekday"),
        ("FREQ=YEARLY", "Every year on 6 October"),
        ("FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=3", "Every year on 3 March"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1FR", "Every year on the last Friday of March"),
        ("FREQ=WEEKLY;UNTIL=20261201", "Every week on Tuesday, until Tuesday 1 December 2026"),
        ("FREQ=WEEKLY;UNTIL=20261130T230000Z", "Every week on Tuesday, until Tuesday 1 December 2026"),
        ("FREQ=WEEKLY;UNTIL=99991231T235959Z", "Every week on Tuesday"),
        ("rrule:freq=weekly;byday=tu", "Every week on Tuesday"),
    ],
)
def test_simple_rules_are_said(rule: str, words: str) -> None:
    """What people book is told as they would say it."""
    assert say_recurrence(rule, FIRST) == words


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "FREQ=HOURLY",
        "FREQ=SOMETIMES",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=DAILY;BYDAY=SA",
        "FREQ=DAILY;INTERVAL=2;BYDAY=MO,TU,WE,TH,FR",
        "FREQ=DAILY;BYMONTH=7",
        "FREQ=WEEKLY;BYHOUR=9,15",
        "FREQ=WEEKLY;BYMONTH=7",
        "FREQ=MONTHLY;BYMONTH=7",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=1",
        "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=1,3",
        "FREQ=MONTHLY;BYDAY=TU,2WE",
        "FREQ=MONTHLY;BYMONTHDAY=-2",
        "FREQ=YEARLY;BYYEARDAY=100",
        "FREQ=YEARLY;BYWEEKNO=20",
        "FREQ=YEARLY;BYMONTH=3,9",
        "FREQ=YEARLY;BYDAY=20MO",
    ],
)
def test_other_rules_send_the_reader_to_the_calendar(rule: str) -> None:
    """A rule that words would tell half is not told in words."""
    assert say_recurrence(rule, FIRST) == SEE_CALENDAR


@given(st.text(alphabet="FREQ=WKLYDAINTV;BOUPS0123456789,-+MTH:Z ", max_size=60))
def test_no_rule_breaks_the_words(rule: str) -> None:
    """Whatever stands in a rule, there is a sentence for it."""
    assert say_recurrence(rule, FIRST)


@pytest.mark.parametrize(
    ("words", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_read_like_lists(words: list[str], said: str) -> None:
    """Commas, and an "and" before the last."""
    assert say_list(words) == said


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Asia/Kolkata", "UTC+05:30"),
        ("America/St_Johns", "UTC-02:30"),
        ("Pacific/Kiritimati", "UTC+14:00"),
        ("UTC", "UTC+00:00"),
    ],
)
def test_offsets_read_like_offsets(zone: str, said: str) -> None:
    """Sign, hours and minutes."""
    assert say_offset(datetime(2026, 7, 1, tzinfo=ZoneInfo(zone))) == said


def test_an_offset_needs_no_zone() -> None:
    """UTC itself has one too."""
    assert say_offset(datetime(2026, 7, 1, tzinfo=UTC) + timedelta(hours=1)) == "UTC+00:00"
