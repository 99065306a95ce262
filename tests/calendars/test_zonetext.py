"""VTIMEZONE components: a foreign reader reckons with them as we do with the zone itself."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meetkeeper.itemtext.lines import parse
from meetkeeper.itemtext.observances import offset_at, read_observances
from meetkeeper.itemtext.zonetext import OPEN_YEARS, vtimezone

ZONES = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))


def read(zone: str, first: int, last: int) -> tuple[Any, str]:
    """The component as our own reader of foreign calendars understands it, and its text."""
    text = vtimezone(zone, first, last).to_ical().decode()
    calendar = parse(f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{text}END:VCALENDAR\r\n".encode())
    observances = read_observances(next(iter(calendar.inside("VTIMEZONE"))))
    assert observances is not None
    return observances, text


@given(zone=st.sampled_from(ZONES), year=st.integers(1975, 2060), years=st.integers(0, 12), data=st.data())
@settings(max_examples=150)
def test_offsets_are_those_of_the_zone(zone: str, year: int, years: int, data: st.DataObject) -> None:
    """In every zone, at any time of the years asked for, the component gives the zone's own offset."""
    observances, _ = read(zone, year, year + years)
    begin = datetime(year, 1, 1, tzinfo=UTC)
    hours = data.draw(st.integers(0, 365 * 24 * (years + 1) - 48))
    local = (begin + timedelta(hours=hours)).astimezone(ZoneInfo(zone))
    before, after = local - timedelta(hours=2), local + timedelta(hours=2)
    if before.utcoffset() != after.utcoffset():
        return  # in the hours around a change a wall time alone says too little
    offset = local.utcoffset()
    assert offset is not None
    assert offset_at(observances, local.replace(tzinfo=None)) == offset.total_seconds()


@pytest.mark.parametrize("zone", ["Europe/Oslo", "America/New_York", "Australia/Sydney", "Europe/Dublin"])
def test_a_zone_with_a_rule_is_two_yearly_rules(zone: str) -> None:
    """The form that every calendar program reads: one STANDARD, one DAYLIGHT, each with a yearly rule."""
    _, text = read(zone, 2026, 2026)
    assert text.count("BEGIN:STANDARD") == text.count("BEGIN:DAYLIGHT") == 1
    assert text.count("RRULE:FREQ=YEARLY") == 2
    assert "RDATE" not in text


def test_an_onset_is_the_wall_time_before_the_change() -> None:
    """Two o'clock in spring, three in autumn: what the clock shows when it is turned (RFC 5545 §3.6.5)."""
    _, text = read("Europe/Oslo", 2026, 2026)
    assert "BEGIN:DAYLIGHT\r\nDTSTART:20250330T020000\r\n" in text
    assert "BEGIN:STANDARD\r\nDTSTART:20251026T030000\r\n" in text


def test_a_rule_that_is_young_is_told_from_when_it_holds() -> None:
    """A series that began before the rule changed is right on both sides of the change."""
    observances, text = read("America/New_York", 2005, 2026 + OPEN_YEARS)
    assert "RRULE" in text
    april = datetime.fromisoformat
    assert offset_at(observances, april("2005-03-20 12:00")) == -5 * 3_600
    assert offset_at(observances, april("2026-03-20 12:00")) == -4 * 3_600


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Tokyo", "Africa/Lagos"])
def test_a_zone_that_never_changes_is_one_standard(zone: str) -> None:
    """No rule where there is none."""
    _, text = read(zone, 2026, 2036)
    assert text.count("BEGIN:STANDARD") == 1
    assert "DAYLIGHT" not in text
