"""Which zone is meant: every way programs have of naming one, and what is said when it had to be guessed."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from meetkeeper.core.words import CalendarItem, Entry
from meetkeeper.itemtext.lines import parse
from meetkeeper.itemtext.observances import offset_at, read_observances
from meetkeeper.itemtext.reading import read_item
from meetkeeper.itemtext.zonetext import zone_lines
from tests.calendars.texts import OSLO_BY_RULE, calendar, event, wall


def read(tzid: str, *definitions: str) -> tuple[Entry, tuple[str, ...]]:
    """Ten o'clock on a summer's day in the zone of this name, and the remarks about it."""
    quoted = f'"{tzid}"' if set(tzid) & set(",:;") else tzid
    item = read_item(
        "a", calendar(*definitions, event(f"DTSTART;TZID={quoted}:20260701T100000", "DURATION:PT1H"))
    )
    assert isinstance(item, CalendarItem), item
    assert item.master is not None
    return item.master, item.remarks


@pytest.mark.parametrize(
    ("tzid", "zone"),
    [
        ("Europe/Oslo", "Europe/Oslo"),
        ("europe/oslo", "Europe/Oslo"),
        ("US/Eastern", "US/Eastern"),
        ("UTC", "UTC"),
        ("Etc/UTC", "Etc/UTC"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("w. europe standard time", "Europe/Berlin"),
        ("Pacific Standard Time", "America/Los_Angeles"),
        ("tzone://Microsoft/Utc", "UTC"),
        ("/freeassociation.sourceforge.net/Europe/Oslo", "Europe/Oslo"),
        ("/freeassociation.sourceforge.net/Tzfile/America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("/mozilla.org/20050126_1/Europe/Oslo", "Europe/Oslo"),
        ("/citadel.org/20190914_1/UTC", "UTC"),
    ],
)  # fmt: skip
def test_a_name_that_names_a_zone_by_itself(tzid: str, zone: str) -> None:
    """IANA names, Windows names and names at the end of a path need no guessing and leave no remark."""
    entry, remarks = read(tzid)
    assert (entry.zone, entry.start, remarks) == (zone, wall(2026, 7, 1, 10), ())


def test_a_location_beside_a_custom_name() -> None:
    """X-LIC-LOCATION in the VTIMEZONE names the zone that a private name hides."""
    definition = OSLO_BY_RULE.format(tzid="Ours").replace("TZID:Ours", "TZID:Ours\nX-LIC-LOCATION:Asia/Tokyo")
    assert read("Ours", definition) == (read("Asia/Tokyo")[0], ())


@pytest.mark.parametrize(
    "tzid", ["Customized Time Zone", "Mitteleuropäische Zeit", "tzone://Microsoft/Custom", "1"]
)
def test_a_description_is_matched_by_its_offsets(tzid: str) -> None:
    """A private or localised name with a VTIMEZONE becomes a zone with the very same offsets, and a remark says so."""
    entry, (remark,) = read(tzid, OSLO_BY_RULE.format(tzid=tzid))
    assert (entry.zone, entry.start) == ("Europe/Berlin", wall(2026, 7, 1, 10))
    assert "Europe/Berlin" in remark


def test_a_city_in_the_name_is_preferred_where_offsets_agree() -> None:
    """Among the zones with the same offsets, the one the name speaks of is taken; alone, that is a guess."""
    name = "(UTC+01:00) Amsterdam, Berlin, Bern, Rom, Stockholm, Wien"
    assert read(name, OSLO_BY_RULE.format(tzid=name))[0].zone == "Europe/Amsterdam"
    entry, (remark,) = read(name)
    assert entry.zone == "Europe/Amsterdam"
    assert "by its name" in remark
    wrong = "(UTC+09:00) Tokyo"
    assert read(wrong, OSLO_BY_RULE.format(tzid=wrong))[0].zone == "Europe/Berlin"


def test_offsets_nobody_has_are_reckoned_to_utc() -> None:
    """A zone like no other gives the right instant in UTC, with a remark that the wall time is gone."""
    definition = OSLO_BY_RULE.format(tzid="Odd").replace("+0200", "+0217").replace("+0100", "+0117")
    entry, (remark,) = read("Odd", definition)
    assert (entry.zone, entry.start) == ("UTC", wall(2026, 7, 1, 7, 43))
    assert "UTC" in remark


@pytest.mark.parametrize(
    "rule", ["FREQ=SECONDLY", "FREQ=YEARLY;BYMONTH=13", "FREQ=YEARLY;BYDAY=SU,MO", "FREQ=DAILY;COUNT=9", "x"]
)
def test_a_name_nobody_knows_floats(rule: str) -> None:
    """Neither name nor description help: the time is read in the room's zone, never silently in UTC."""
    hostile = OSLO_BY_RULE.format(tzid="Odd").replace("FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10", rule)
    for definitions in ((), (hostile,)):
        entry, (remark,) = read("Odd", *definitions)
        assert (entry.zone, entry.start) == ("", wall(2026, 7, 1, 10))
        assert "room's own zone" in remark


@pytest.mark.parametrize("tzid", ["../../etc/passwd", "/", "x" * 300, "Europe", "Etc/", "\u0661"])
def test_a_name_that_is_a_trap_is_just_unknown(tzid: str) -> None:
    """Paths, folders and monsters as zone names are unknown zones, not errors and not files to be opened."""
    assert read(tzid)[0].zone == ""


def test_one_item_cannot_redefine_a_zone_for_another() -> None:
    """A VTIMEZONE under a known name with false offsets changes neither this item's zone nor the next one's."""
    false = OSLO_BY_RULE.format(tzid="Asia/Tokyo")
    assert read("Asia/Tokyo", false) == read("Asia/Tokyo") == (read("Asia/Tokyo")[0], ())
    read("Shared", OSLO_BY_RULE.format(tzid="Shared"))
    assert read("Shared")[0].zone == ""


@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Oslo",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Kolkata",
        "Europe/Dublin",
    ],
)
def test_what_we_describe_reads_back_with_the_same_offsets(zone: str) -> None:
    """The VTIMEZONE written for a zone, read by ourselves, agrees with the zone on every day of three years."""
    info = ZoneInfo(zone)
    definition = parse(calendar(*zone_lines(zone, 2026))).parts[0]
    observances = read_observances(definition)
    assert observances is not None
    for day in range(3 * 365):
        noon = wall(2026, 1, 1, 12) + timedelta(days=day)
        assert timedelta(seconds=offset_at(observances, noon)) == noon.replace(tzinfo=info).utcoffset(), noon
