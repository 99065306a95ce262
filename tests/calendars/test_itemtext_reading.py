"""Reading an iCalendar object: what each property becomes, what is guessed with a remark, what is a problem."""

from datetime import datetime

import pytest

from meetkeeper.core.identity import is_comparable
from meetkeeper.core.words import LINKS_MAX, CalendarItem, Entry, Person
from meetkeeper.itemtext import reading
from meetkeeper.itemtext.reading import Problem, read_item
from tests.calendars.texts import calendar, event, meeting, wall

OSLO = "TZID=Europe/Oslo"
OUTLOOK = "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE"
TEN, OCT24 = wall(2026, 12, 1, 10), wall(2026, 10, 24)
ROOM = "room@example.org"
ROOMS = frozenset({ROOM, "other.room@example.org"})


def read(data: bytes) -> CalendarItem:
    """The item, which must be readable."""
    item = read_item("a.ics", data, own_email=ROOM, room_emails=ROOMS)
    assert isinstance(item, CalendarItem), item
    return item


def master_of(data: bytes) -> Entry:
    """The master of a readable item."""
    master = read(data).master
    assert master is not None
    return master


def problem_of(data: bytes) -> str:
    """The sentence about an unreadable item."""
    problem = read_item("a.ics", data)
    assert isinstance(problem, Problem), problem
    assert problem.href == "a.ics"
    assert problem.sentence.endswith(".")
    return problem.sentence


def test_a_meeting_with_everything() -> None:
    """Each property that matters lands in its field; people in lower case, rooms and repetitions left out."""
    item = read(
        calendar(
            event(
                "DTSTART;TZID=Europe/Oslo:20261201T100000",
                "DTEND;TZID=Europe/Oslo:20261201T113000",
                "SUMMARY:Plan\\, part\\n two\\; now",
                "DESCRIPTION:one\\ntwo\\\\three",
                'ORGANIZER;CN="Berg, Ada":MAILTO:Ada@Example.ORG',
                "ATTENDEE;CN=Bo:mailto:bo@example.org",
                "ATTENDEE:mailto:BO@example.org",
                "ATTENDEE;CUTYPE=ROOM:mailto:unknown.room@example.org",
                "ATTENDEE:mailto:other.room@example.org",
                "ATTENDEE;EMAIL=cy@example.org:urn:uuid:1",
                "SEQUENCE:4",
                "LAST-MODIFIED:20261102T000000Z",
                "CLASS:CONFIDENTIAL",
            )
        )
    )
    assert item.uid == "u1@example.org"
    assert item.remarks == ()
    assert item.master == Entry(
        start=wall(2026, 12, 1, 10),
        duration_s=5400,
        zone="Europe/Oslo",
        subject="Plan, part two; now",
        description="one\ntwo\\three",
        organizer=Person("ada@example.org", "Berg, Ada"),
        attendees=(Person("bo@example.org", "Bo"), Person("cy@example.org")),
        private=True,
        sequence=4,
        modified_s=1793577600,
        resources=("unknown.room@example.org",),
    )


@pytest.mark.parametrize(
    ("lines_", "start", "seconds", "zone", "all_day"),
    [
        (["DTSTART:20261201T100000Z"], wall(2026, 12, 1, 10), 0, "UTC", False),
        (["DTSTART:20261201T100000", "DURATION:PT45M"], wall(2026, 12, 1, 10), 2700, "", False),
        (["DTSTART;VALUE=DATE:20261201"], wall(2026, 12, 1), 86400, "", True),
        (["DTSTART;VALUE=DATE:20261201", "DTEND;VALUE=DATE:20261204"], wall(2026, 12, 1), 259200, "", True),
        (["DTSTART;VALUE=DATE:20261201", "DTEND;VALUE=DATE:20261201"], wall(2026, 12, 1), 86400, "", True),
        # a day by the calendar has 25 hours when summer time ends
        ([f"DTSTART;{OSLO}:20261024T120000", "DURATION:P1D"], wall(2026, 10, 24, 12), 90000, "Europe/Oslo", False),
        ([f"DTSTART;{OSLO}:20261201T100000", "DTEND:20261201T100000Z"], TEN, 3600, "Europe/Oslo", False),
        ([f"DTSTART;{OSLO}:20261024T000000", f"DTEND;{OSLO}:20261026T000000", OUTLOOK], OCT24, 172800, "", True),
    ],
)  # fmt: skip
def test_start_and_length(lines_: list[str], start: datetime, seconds: int, zone: str, all_day: bool) -> None:
    """Dates, floating, UTC and zoned times, with an end, a duration or neither, give exact seconds."""
    master = master_of(calendar(event(*lines_)))
    assert (master.start, master.duration_s, master.zone, master.all_day) == (start, seconds, zone, all_day)


def test_dates_of_a_series_come_into_the_masters_zone() -> None:
    """EXDATE and RDATE in UTC, in another zone, as days and as periods become wall times where the master lives."""
    master = master_of(
        calendar(
            event(
                "DTSTART;TZID=Europe/Oslo:20261201T100000",
                "DURATION:PT1H",
                "RRULE:BYDAY=TU;freq=weekly;UNTIL=20270630",
                "EXDATE:20261208T090000Z,20261215T090000Z",
                "EXDATE;TZID=America/New_York:20261222T040000",
                "EXDATE;VALUE=DATE:20261229",
                "RDATE;VALUE=PERIOD:20261203T090000Z/PT2H",
            )
        )
    )
    assert master.exdates == tuple(wall(2026, 12, day, 10) for day in (8, 15, 22, 29))
    assert master.rdates == (wall(2026, 12, 3, 10),)
    assert master.rrule == "FREQ=WEEKLY;BYDAY=TU;UNTIL=20270630T215959Z"


def test_an_override_names_its_original_start_in_the_masters_zone() -> None:
    """RECURRENCE-ID in UTC or another zone, with RANGE, of a cancelled occurrence: keyed like the master's starts."""
    item = read(
        calendar(
            event("DTSTART;TZID=Europe/Oslo:20261201T100000", "DURATION:PT1H", "RRULE:FREQ=DAILY"),
            event(
                "RECURRENCE-ID:20261203T090000Z",
                "DTSTART:20261203T150000Z",
                "DURATION:PT1H",
                "STATUS:CANCELLED",
            ),
            event(
                "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=America/New_York:20261205T040000",
                "DTSTART;TZID=Europe/Oslo:20261205T110000",
                "DURATION:PT1H",
            ),
        )
    )
    first, second = item.overrides
    assert (first.recurrence_id, first.cancelled, first.zone) == (wall(2026, 12, 3, 10), True, "UTC")
    assert (second.recurrence_id, second.this_and_future) == (wall(2026, 12, 5, 10), True)


def test_an_override_alone_is_read_in_its_own_zone() -> None:
    """A room asked to one occurrence only sees no master; the original start is said in the override's zone."""
    item = read(
        calendar(
            event(
                "RECURRENCE-ID:20261203T090000Z", "DTSTART;TZID=Europe/Oslo:20261203T120000", "DURATION:PT1H"
            )
        )
    )
    assert item.master is None
    assert item.overrides[0].recurrence_id == wall(2026, 12, 3, 10)
    assert item.repeats


def test_of_two_versions_the_newer_counts() -> None:
    """The same occurrence twice: the higher SEQUENCE stands, and a remark says so."""
    item = read(
        calendar(
            event("DTSTART:20261201T100000Z", "SEQUENCE:2", "SUMMARY:new"),
            event("DTSTART:20261201T090000Z", "SEQUENCE:1", "SUMMARY:old"),
        )
    )
    assert item.master is not None
    assert item.master.subject == "new"
    assert len(item.remarks) == 1


def test_a_room_that_has_declined_holds_no_meeting() -> None:
    """PARTSTAT=DECLINED of the room's own address means the same as a cancelled meeting, for this room."""
    declined = meeting("u", "20261201T100000Z", "x", f"ATTENDEE;PARTSTAT=DECLINED;CUTYPE=ROOM:mailto:{ROOM}")
    other = meeting("u", "20261201T100000Z", "x", "ATTENDEE;PARTSTAT=DECLINED:mailto:other.room@example.org")
    assert master_of(declined).cancelled
    assert not master_of(other).cancelled


def test_a_room_is_nobodys_organizer() -> None:
    """A meeting booked in the room's own calendar names the room as organizer, which is nobody to write to."""
    assert master_of(meeting("u", "20261201T100000Z", "x", f"ORGANIZER:mailto:{ROOM}")).organizer is None


def test_our_own_block_is_not_part_of_the_description() -> None:
    """The join block written by us is taken out again, wherever a person has put their own text."""
    block = "---- Join online [abc] ----\\nJoin: x\\n---- End [abc] ----"
    data = meeting("u", "20261201T100000Z", "x", f"DESCRIPTION:before\\n{block}\\nafter")
    assert master_of(data).description == "before\nafter"


@pytest.mark.parametrize("part", ["VTODO", "VJOURNAL", "VFREEBUSY"])
def test_what_is_no_meeting_is_nothing(part: str) -> None:
    """Tasks, journals and busy times are neither items nor problems."""
    assert read_item("a.ics", calendar(f"BEGIN:{part}\r\nUID:x\r\nEND:{part}")) is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not iCalendar"),
        (b"\x89PNG\r\n\x1a\n", "UTF-8"),
        (b"\0" * 400, "NUL"),
        ("BEGIN:VCALENDAR\r\nÆ".encode("utf-16"), "UTF-8"),
        (b"<html>login</html>", "not iCalendar"),
        (meeting("u")[:-40], "cut off"),
        (calendar(event("DTSTART:20261201T100000Z", uid="")), "no UID"),
        (calendar(event("DTSTART:20261201T100000Z", uid=" ")), "no UID"),
        (calendar(event("SUMMARY:x")), "no DTSTART"),
        (calendar(event("DTSTART:20261201T100000Z", "DTEND:20261201T090000Z")), "ends before"),
        (calendar(event("DTSTART:20261201T100000Z", "DURATION:-PT1H")), "negative"),
        (calendar(event("DTSTART:20261201T100000Z", "DURATION:P9999W")), "longer than a year"),
        (calendar(event("DTSTART:20261201T100000Z", "DURATION:soon")), "duration"),
        (calendar(event("DTSTART:20261301T100000Z")), "does not exist"),
        (calendar(event("DTSTART:00010101T000000Z")), "outside the years"),
        (calendar(event("DTSTART:tomorrow")), "can't be read"),
        (calendar(event("DTSTART:20261201T100000Z", "RRULE:often")), "RRULE"),
        (calendar(event("DTSTART:20261201T100000Z", "RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY")), "more than one"),
        (calendar(event("DTSTART:20261201T100000Z", "RRULE:FREQ=DAILY;X-A=" + "9" * 5000)), "longer"),
        (calendar(event("DTSTART:20261201T100000Z"), event("DTSTART:20261201T100000Z", uid="u2")), "2 different"),
        (meeting("u") + meeting("u"), "several calendars"),
        (meeting("u").replace(b"VERSION:2.0", b"METHOD:CANCEL"), "METHOD"),
        (b"BEGIN:VCARD\r\nEND:VCARD\r\n", "not a VCALENDAR"),
        (b"BEGIN:VCALENDAR\r\nEND:VEVENT\r\n", "do not match"),
        (calendar("BEGIN:A\r\n" * 20), "nested"),
        (calendar("BEGIN:A\r\nEND:A\r\n" * 3000), "parts"),
        (meeting("u", "20261201T100000Z", "x" * (1 << 20)), "larger"),
        (b"BEGIN:VCALENDAR\r\n" + b"\r\n" * 60_000, "lines"),
        (meeting("u", "20261201T100000Z", "x", "ATTENDEE;CN=" + "x" * 70_000 + ":mailto:a@b.c"), "ATTENDEE is longer"),
        (calendar(event("DTSTART;TZID=\"a:20261201T100000")), "DTSTART can't be read"),
        (meeting("u" * 1001), "UID is longer"),
    ],
)  # fmt: skip
def test_a_bad_item_is_a_problem_with_a_sentence(data: bytes, said: str) -> None:
    """Whatever is wrong with an item is said in one sentence; it is never an exception and never nothing."""
    assert said in problem_of(data)


def test_counts_are_bounded() -> None:
    """Too many single dates or overrides make an item unreadable, too many attendees are cut with a remark."""
    dates = ",".join(
        f"2026120{1 + day % 9}T{day % 24:02}{day % 60:02}00Z" for day in range(reading.DATES_MAX + 1)
    )
    assert "single dates" in problem_of(calendar(event("DTSTART:20261201T100000Z", f"EXDATE:{dates}")))
    changed = [
        event(f"RECURRENCE-ID:20{26 + n // 500}0101T{n % 24:02}{n % 60:02}00Z", "DTSTART:20261201T100000Z")
        for n in range(reading.OVERRIDES_MAX + 1)
    ]
    assert "changed occurrences" in problem_of(calendar(*changed))
    many = [f"ATTENDEE:mailto:p{n}@example.org" for n in range(600)]
    item = read(meeting("u", "20261201T100000Z", "x", *many))
    assert item.master is not None
    assert len(item.master.attendees) == 500
    assert "500" in item.remarks[0]


def test_long_texts_are_cut_and_inline_files_passed_over() -> None:
    """A description of half a megabyte and an attachment as large leave a meeting with bounded texts."""
    master = master_of(
        meeting(
            "u",
            "20261201T100000Z",
            "x" * 5000,
            "DESCRIPTION:" + "y" * 400_000,
            "ATTACH;VALUE=BINARY:" + "z" * 400_000,
        )
    )
    assert (len(master.subject), len(master.description)) == (1000, 32_000)


@pytest.mark.parametrize(
    ("method", "fine"), [("PUBLISH", True), ("request", True), ("REPLY", False), ("COUNTER", False)]
)
def test_an_exported_item_says_method_and_means_itself(method: str, fine: bool) -> None:
    """PUBLISH and REQUEST, which programs write into exported files, are read with a remark; messages are not items."""
    result = read_item("a.ics", meeting("u").replace(b"VERSION:2.0", f"METHOD:{method}".encode()))
    assert isinstance(result, CalendarItem) == fine
    if isinstance(result, CalendarItem):
        assert "METHOD" in result.remarks[0]


def test_decoration_that_is_broken_costs_no_meeting() -> None:
    """A broken attendee, an unknown class, a bad sequence and alarms inside leave the meeting readable."""
    item = read(
        meeting(
            "u",
            "20261201T100000Z",
            "x",
            "ATTENDEE;CN=\"open:mailto:a@b.c",
            "ATTENDEE:mailto:nobody",
            "CLASS:X-SECRET",
            "SEQUENCE:many",
            "BEGIN:VALARM\r\nDURATION:PT9H\r\nDESCRIPTION:ring\r\nATTENDEE:mailto:alarm@b.c\r\nEND:VALARM",
        )
    )  # fmt: skip
    assert item.master is not None
    assert (item.master.private, item.master.sequence, item.master.attendees) == (True, 0, ())
    assert item.master.duration_s == 3600
    assert item.remarks == ("An attendee without a readable mail address was left out.",)


def test_the_uid_is_normalised() -> None:
    """Exchange's global object id loses the instance's date, so that all copies of a series meet under one UID."""
    text = "040000008200e00074c5b7101a82e00807ea0c01" + "ab" * 20
    assert read(meeting(text)).uid == "040000008200E00074C5B7101A82E00800000000" + "AB" * 20


def test_line_endings_folding_and_a_byte_order_mark_are_no_content() -> None:
    """The same item with bare newlines, folded differently and with a BOM has the same fingerprint."""
    plain = meeting("u", "20261201T100000Z", "A rather long subject that will be folded somewhere")
    folded = plain.replace(b"rather ", b"ra\r\n ther ").replace(b"\r\n", b"\n")
    assert read(plain).fingerprint == read(b"\xef\xbb\xbf" + folded).fingerprint


def test_fingerprints_tell_content_apart() -> None:
    """Another subject, time, person or exception changes the fingerprint; etag and name do not."""
    base = meeting("u")
    prints = {
        read(data).fingerprint
        for data in (
            base,
            meeting("u", "20261201T110000Z"),
            meeting("u", "20261201T100000Z", "Other"),
            meeting("u", "20261201T100000Z", "Talk", "ATTENDEE:mailto:a@b.c"),
            meeting("u", "20261201T100000Z", "Talk", "RRULE:FREQ=DAILY"),
            meeting("u", "20261201T100000Z", "Talk", "RRULE:FREQ=DAILY", "EXDATE:20261202T100000Z"),
        )
    }
    assert len(prints) == 6
    renamed = read_item("b.ics", base, etag="7")
    assert isinstance(renamed, CalendarItem)
    assert renamed.fingerprint in prints


@pytest.mark.parametrize(
    ("params", "name"),
    [
        (";CN=Bo", "Bo"),
        (';CN="Berg; Bo: x, y"', "Berg; Bo: x, y"),
        (";CN=Berg, Bo", "Berg, Bo"),
        (';CN=Bo "B" Berg', "Bo B Berg"),
        (";CN=Bo^'s ^^ ^n Berg", 'Bo"s ^ Berg'),
        (";CN=100%25\\;ROLE=CHAIR", "100%25\\"),
        (";ROLE=CHAIR ; CN = Bo", "Bo"),
        (';DELEGATED-TO="mailto:a@b.c","mailto:d@e.f";CN=Bo', "Bo"),
    ],
)
def test_parameters_are_taken_apart(params: str, name: str) -> None:
    """Quoted, unquoted, escaped by RFC 6868, with backslashes and percent signs: a name is what its owner wrote."""
    master = master_of(meeting("u", "20261201T100000Z", "x", f"ATTENDEE{params}:mailto:bo@example.org"))
    assert master.attendees == (Person("bo@example.org", name),)


def test_a_zone_with_an_unquoted_colon() -> None:
    """A display name as TZID, colon and all and without its quotes, still names the zone."""
    master = master_of(calendar(event("DTSTART;TZID=(UTC+01:00) Amsterdam, Rome:20261201T100000")))
    assert (master.zone, master.start) == ("Europe/Amsterdam", TEN)


def test_where_and_by_which_links_people_get_in() -> None:
    """LOCATION is one line; the properties made for links give each once, the provider's own before URL."""
    entry = master_of(
        meeting(
            "u1",
            "20261201T100000Z",
            "Talk",
            "LOCATION:Oslo 3\\, https://example.zoom.us/j/1\\nsecond floor",
            "URL:https://example.org/agenda",
            'CONFERENCE;VALUE=URI;FEATURE=VIDEO;LABEL="Join":https://meet.example.org/a',
            "CONFERENCE;VALUE=URI:sip:a@meet.example.org",
            "X-MICROSOFT-ONLINEMEETINGCONFLINK:conf:sip:ada@example.org\\;gruu\\;opaque=app:conf:focus:id:X",
            "X-GOOGLE-CONFERENCE:https://meet.google.com/abc-defg-hij",
            "CONFERENCE;VALUE=URI:https://meet.example.org/a",
        )
    )
    assert entry.location == "Oslo 3, https://example.zoom.us/j/1 second floor"
    assert entry.links == (
        "https://meet.google.com/abc-defg-hij",
        "conf:sip:ada@example.org;gruu;opaque=app:conf:focus:id:X",
        "https://meet.example.org/a",
        "sip:a@meet.example.org",
        "https://example.org/agenda",
    )


def test_links_without_end_are_passed_over() -> None:
    """An address that is none for its length costs nothing but itself, and a flood of them is cut."""
    long = master_of(
        meeting(
            "u1",
            "20261201T100000Z",
            "Talk",
            "URL:https://example.org/" + "a" * 3_000,
            "CONFERENCE:" + "x" * 70_000,
        )
    )
    assert long.links == ()
    flood = master_of(
        meeting(
            "u1",
            "20261201T100000Z",
            "Talk",
            *(f"CONFERENCE:https://example.org/{number}" for number in range(500)),
        )
    )
    assert len(flood.links) == LINKS_MAX


def test_what_we_wrote_ourselves_says_nothing_new() -> None:
    """Of an item that we wrote, place, ways in and invited resources are our own words and are not read back."""
    lines = (
        "LOCATION:Room",
        "CONFERENCE;VALUE=URI:https://x.example/1",
        "ATTENDEE;CUTYPE=ROOM:mailto:r2@example.org",
    )
    assert master_of(
        meeting("u1", "20261201T100000Z", "Talk", *lines, "X-MEETKEEPER-ITEM:TRUE")
    ) == master_of(meeting("u1", "20261201T100000Z", "Talk"))
    assert master_of(meeting("u1", "20261201T100000Z", "Talk", *lines)) != master_of(
        meeting("u1", "20261201T100000Z", "Talk")
    )


def test_entries_without_new_words_keep_their_fingerprint() -> None:
    """A release that reads more of an item finds the same in one that has none of it, whatever its make is by then."""
    item = read(calendar(event("DTSTART:20261201T100000Z", "DTEND:20261201T110000Z", "SUMMARY:Talk")))
    _, _, content = item.fingerprint.rpartition("-")
    assert content == "keu5fxhbrj7ynm347qqs2435"
    assert is_comparable(item.fingerprint)
