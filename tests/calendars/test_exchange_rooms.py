"""Rooms behave as they do: answers in two steps, stripped texts, replaced, hidden and restored items, odd zones."""

import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from meetkeeper.calendars.exchange.client import WAITING_S, ExchangeSource
from meetkeeper.core.errors import Refused
from meetkeeper.core.words import CalendarItem, Entry, Person
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held, booked, written
from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.items import Style, occurrence_id
from meetkeeper.testing.fakes.exchange.wire import Reply, Request
from meetkeeper.testing.fakes.mailbox import VENDOR_DEFAULTS, Answer, Mailbox
from tests.calendars.exchangevenue import ExchangeVenue, fresh, server_of, source_of

OUTLOOK_UID = (
    "040000008200E00074C5B7101A82E00800000000" + "20C5A4F1D2B5DB01" + "00" * 8 + "10000000" + "A1" * 16
)
TALK = Entry(
    start=datetime(2026, 12, 1, 10),  # noqa: DTZ001 - a wall time
    duration_s=3_600,
    zone="Europe/Oslo",
    subject="Talk",
    description="Words\n\nMore words",
    organizer=Person("ada@example.org", "Ada"),
    attendees=(Person("bo@example.org", "Bo"), Person("cy@example.org")),
    sequence=3,
    modified_s=1_790_000_000,
)


@pytest.fixture
async def venue() -> AsyncIterator[ExchangeVenue]:
    """A fresh fake with an empty mailbox."""
    async with fresh() as venue:
        yield venue


def just_now() -> int:
    """A change that was made a moment ago, by the fake's clock."""
    return int(time.time())


async def only(venue: ExchangeVenue) -> CalendarItem:
    """The one item of a complete pass."""
    held = await Held().follow(venue.source)
    (item,) = held.items.values()
    return item


async def test_an_item_arrives_as_it_was_meant(venue: ExchangeVenue) -> None:
    """Time, zone, texts, people, sequence and UID, of an Outlook UID with the date of an occurrence in it too."""
    venue.mailbox.put(OUTLOOK_UID[:32] + "07EA0C01" + OUTLOOK_UID[40:], TALK)
    item = await only(venue)
    assert item.uid == OUTLOOK_UID
    # Windows names one zone for many cities
    assert item.master == replace(TALK, zone="Europe/Berlin")
    assert not item.remarks


async def test_only_what_the_room_accepted_counts(venue: ExchangeVenue) -> None:
    """Tentative: nothing. Accepted: a meeting, as the room rewrote it. Declined and removed: never a meeting."""
    mailbox = venue.mailbox
    mailbox.settings = VENDOR_DEFAULTS
    held = await Held().follow(venue.source)
    mailbox.deliver("a", replace(TALK, private=True, modified_s=just_now()))
    await held.follow(venue.source)
    assert (held.items, held.problems, held.gone) == ({}, {}, set())
    mailbox.attend()
    mailbox.deliver("b", replace(TALK, modified_s=just_now()))
    await held.follow(venue.source)
    (item,) = held.items.values()
    assert item.master is not None
    assert (item.uid, item.master.subject, item.master.description) == ("a", "Ada", "")
    mailbox.attend()
    await held.follow(venue.source)
    assert held.uids == {"a"}
    answers = {one.uid: one.answer for one in mailbox.items.values()}
    assert answers == {"a": Answer.ACCEPTED}


async def test_an_update_that_waits_for_the_room_is_not_a_cancellation(venue: ExchangeVenue) -> None:
    """Delete and Create while the room has not accepted: nothing is gone until it has, and then both come together; the
    mark moves on all the same, so that nothing is read twice, and whoever has read all meanwhile sweeps in the end."""
    mailbox = venue.mailbox
    mailbox.updates_replace = True
    mailbox.deliver("a", replace(TALK, modified_s=just_now()))
    mailbox.attend()
    held = await Held().follow(venue.source)
    before, cookie = set(held.items), held.cookie
    mailbox.deliver("a", replace(TALK, subject="Moved", modified_s=just_now()))
    await held.follow(venue.source)
    assert (set(held.items), held.gone) == (before, set())
    assert held.cookie != cookie
    swept = await Held().follow(venue.standby, "")
    assert swept.listing is None
    loaded = venue.fake.count("GetItem")
    for one, source in ((held, venue.source), (swept, venue.standby)):
        await one.follow(source)
        assert (one.reported, one.gone, one.listing) == (set(), set(), None)
    assert venue.fake.count("GetItem") == loaded
    cookie = held.cookie
    mailbox.attend()
    await swept.follow(venue.standby)
    assert swept.listing == frozenset(mailbox.items)
    await swept.follow(venue.standby)
    assert (swept.listing, swept.reported) == (None, set())
    await held.follow(venue.source)
    assert held.gone == before
    (item,) = held.items.values()
    assert item.master is not None
    assert (item.uid, item.master.subject) == ("a", "Moved")
    assert held.cookie != cookie


async def test_what_the_room_never_answers_is_waited_for_so_long_and_no_longer(venue: ExchangeVenue) -> None:
    """Then it is told as a problem, and what was held back for it goes: by name, or with the listing that was left."""
    goes = venue.mailbox.put("goes", TALK)
    held = await Held().follow(venue.source)
    venue.mailbox.remove(goes.id)
    late = venue.mailbox.deliver("late", replace(TALK, modified_s=just_now()))
    await held.follow(venue.source)
    swept = await Held().follow(venue.standby)
    assert (held.gone, held.problems, swept.listing) == (set(), {}, None)
    venue.fake.wire.skew_s = WAITING_S + 60.0
    await held.follow(venue.source)
    await swept.follow(venue.standby)
    assert held.gone == {goes.id}
    assert swept.listing == frozenset({late.id})
    assert held.problems.keys() == swept.problems.keys() == {late.id}
    for one, source in ((held, venue.source), (swept, venue.standby)):
        await one.follow(source)
        assert (one.gone, one.listing, one.reported) == (set(), None, set())


@pytest.mark.parametrize("skew_s", [-86_400.0, 0.0, 86_400.0])
async def test_a_room_that_never_answers_is_told_and_blocks_nothing(
    venue: ExchangeVenue, skew_s: float
) -> None:
    """Long tentative is a problem with advice, whatever the server's clock says, and deletions go on."""
    venue.fake.wire.skew_s = skew_s
    goes = venue.mailbox.put("goes", TALK)
    held = await Held().follow(venue.source)
    venue.mailbox.remove(goes.id)
    old = venue.mailbox.deliver("a", replace(TALK, modified_s=just_now() - int(WAITING_S) - 60))
    await held.follow(venue.source)
    assert not held.items
    assert held.gone == {goes.id}
    assert "AutomateProcessing" in held.problems[old.id]


async def test_a_declined_copy_takes_no_place_here(venue: ExchangeVenue) -> None:
    """An item that the room has declined, and one that is cancelled and stays, are cancelled meetings."""
    venue.mailbox.put("declined", TALK, answer=Answer.DECLINED)
    venue.mailbox.put("cancelled", TALK)
    venue.mailbox.cancel("cancelled")
    held = await Held().follow(venue.source)
    assert {item.uid: item.master.cancelled for item in held.items.values() if item.master} == {
        "declined": True,
        "cancelled": True,
    }


async def test_private_meetings_say_so(venue: ExchangeVenue) -> None:
    """The private flag arrives; without it nothing is private."""
    venue.mailbox.put("a", replace(TALK, private=True))
    item = await only(venue)
    assert item.master is not None
    assert item.master.private


async def test_two_rooms_hold_one_meeting(venue: ExchangeVenue) -> None:
    """Two mailboxes, two ids, one UID; a booking by the room itself has no organizer to mail."""
    other = venue.fake.site.open("other@example.org")
    venue.fake.site.invite("a", TALK, rooms=(ROOM_EMAIL, "other@example.org"))
    for mailbox in (venue.mailbox, other):
        mailbox.attend()
    mine, theirs = await Held().follow(venue.source), await Held().follow(venue.elsewhere)
    assert mine.uids == theirs.uids == {"a"}
    assert not mine.items.keys() & theirs.items.keys()
    assert mine.prints == theirs.prints
    venue.mailbox.put("own", replace(TALK, organizer=None), answer=Answer.ORGANIZER)
    await mine.follow(venue.source)
    assert {item.master.organizer for item in mine.items.values() if item.master and item.uid == "own"} == {
        None
    }


@pytest.mark.parametrize(
    "entry",
    [
        replace(TALK, rrule="FREQ=DAILY;COUNT=5"),
        replace(TALK, rrule="FREQ=WEEKLY;BYDAY=TU,TH;INTERVAL=2;UNTIL=20270301T235959Z"),
        replace(TALK, rrule="FREQ=MONTHLY;BYMONTHDAY=1"),
        replace(TALK, rrule="FREQ=MONTHLY;BYDAY=-1FR;COUNT=3", zone="America/New_York"),
        replace(TALK, rrule="FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"),
        replace(TALK, rrule="FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1"),
        replace(TALK, rrule="FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1"),
        replace(TALK, rrule="FREQ=YEARLY;BYDAY=1TU;BYMONTH=12"),
        replace(TALK, rrule="FREQ=WEEKLY;BYDAY=TU", start=datetime(2027, 3, 23, 23, 30)),  # noqa: DTZ001
        replace(
            TALK,
            rrule="FREQ=WEEKLY;BYDAY=TU",
            start=datetime(2026, 12, 1),  # noqa: DTZ001 - a wall time
            duration_s=2 * 86_400,
            all_day=True,
            zone="",
        ),
    ],
    ids=lambda entry: entry.rrule,
)
async def test_a_series_is_read_whole(venue: ExchangeVenue, entry: Entry) -> None:
    """Every pattern and end, with a moved, a removed and a renamed occurrence: the same series as in any calendar."""
    entry = replace(entry, zone="Europe/Berlin") if entry.zone == "Europe/Oslo" else entry
    week = timedelta(days=7)
    entry = replace(entry, exdates=(entry.start + week,))
    moved = replace(
        entry,
        rrule="",
        exdates=(),
        recurrence_id=entry.start + 2 * week,
        start=entry.start + 2 * week,
        subject="X",
    )
    if not entry.all_day:
        moved = replace(moved, start=moved.start + timedelta(hours=3), duration_s=1_800)
    venue.mailbox.put("s", entry, (moved,))
    item = await only(venue)
    assert item.master == _canonical(entry)
    assert item.overrides == (moved,)


def _canonical(entry: Entry) -> Entry:
    """A rule ends with the last day it names, in the zone of the series."""
    rule = entry.rrule.replace("UNTIL=20270301T235959Z", "UNTIL=20270302T225959Z")
    return replace(entry, rrule=rule)


async def test_an_occurrence_that_goes_meanwhile_keeps_its_time(venue: ExchangeVenue) -> None:
    """A changed occurrence that GetItem doesn't find any more is read from the series' own list."""
    entry = replace(TALK, rrule="FREQ=DAILY;COUNT=5", zone="Europe/Berlin")
    moved = replace(
        entry,
        rrule="",
        recurrence_id=entry.start + timedelta(days=1),
        start=entry.start + timedelta(days=1, hours=2),
    )
    stored = venue.mailbox.put("s", entry, (moved,))
    venue.fake.vanishing = {occurrence_id(stored, moved)}
    item = await only(venue)
    assert item.overrides == (moved,)


@pytest.mark.parametrize(
    ("style", "zone", "remarks"),
    [
        (Style(zone_names="Europe/Oslo"), "Europe/Oslo", 0),
        (Style(zone_names="W. Europe Standard Time"), "Europe/Berlin", 0),
        (
            Style(zone_names="(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"),
            "Europe/Amsterdam",
            1,
        ),
        (Style(zone_names="Customized Time Zone", zone_definitions=True), "Europe/Berlin", 1),
        (Style(zone_names="tzone://Microsoft/Custom", zone_definitions=True), "Europe/Berlin", 1),
        (Style(zone_names="Tidssone 7"), "UTC", 1),
        (Style(zone_names=";:\r\nBEGIN:VEVENT"), "UTC", 1),
    ],
    ids=lambda value: str(getattr(value, "zone_names", value)),
)
async def test_zones_are_found_or_said_to_be_unknown(
    venue: ExchangeVenue, style: Style, zone: str, remarks: int
) -> None:
    """A single meeting is never shifted; a series is read in the zone that is meant, or a remark says that it isn't."""
    venue.fake.style = style
    venue.mailbox.put("single", TALK)
    venue.mailbox.put("series", replace(TALK, rrule="FREQ=DAILY;COUNT=2"))
    held = await Held().follow(venue.source)
    found = {str(item.uid): item for item in held.items.values()}
    single, series = found["single"].master, found["series"].master
    assert single is not None
    assert series is not None
    assert series.zone == zone
    assert len(found["series"].remarks) == remarks
    assert not found["single"].remarks
    hour = {"UTC": 9}.get(zone, 10)
    assert single.start == series.start == datetime(2026, 12, 1, hour)  # noqa: DTZ001 - a wall time


@pytest.mark.parametrize("style", [Style(fractions=True), Style(shuffled=True), Style(no_goid=True)])
async def test_other_servers_styles_are_read_alike(venue: ExchangeVenue, style: Style) -> None:
    """Fractions of seconds, elements out of order, items without a global object id: the same fingerprint."""
    venue.mailbox.put(OUTLOOK_UID, TALK)
    before = await only(venue)
    venue.fake.style, venue.fake.bare_type = style, True
    after = await only(venue)
    assert after == before


async def test_an_item_without_uid_and_organizer_is_still_a_meeting(venue: ExchangeVenue) -> None:
    """Its own id names it, the same at every look."""
    venue.fake.style = Style(no_goid=True, no_uid=True, no_organizer=True)
    venue.mailbox.put("a", TALK)
    item = await only(venue)
    assert item.uid.startswith("ews-")
    assert (await only(venue)).uid == item.uid
    assert item.master is not None
    assert item.master.organizer is None


async def test_a_hidden_change_is_found_by_a_complete_pass(venue: ExchangeVenue) -> None:
    """What the server never reports differs in the fingerprint of the next complete pass, with the same id and key."""
    stored = venue.mailbox.put("a", TALK)
    held = await Held().follow(venue.source)
    before = held.prints
    venue.mailbox.hide(stored.id, replace(TALK, subject="Hidden"))
    assert (await held.follow(venue.source)).prints == before
    assert (await held.follow(venue.source, "")).prints != before


async def test_a_restored_mailbox_is_mended_by_a_complete_pass(venue: ExchangeVenue) -> None:
    """Other items under ids and keys of lost ones, and a cookie from the future: the complete pass has them right."""
    backup = venue.mailbox.back_up()
    lost = venue.mailbox.put("lost", TALK)
    held = await Held().follow(venue.source)
    venue.mailbox.restore(backup)
    new = venue.mailbox.put("new", TALK)
    assert (new.id, new.change_key) == (lost.id, lost.change_key)
    await held.follow(venue.source)
    assert (await held.follow(venue.source, "")).uids == {"new"}


async def test_a_vanished_item_is_a_normal_race(venue: ExchangeVenue) -> None:
    """Listed as changed and not found when loaded: it is gone, the cookie moves on, the others are there."""
    first, second = venue.mailbox.put("a", TALK), venue.mailbox.put("b", TALK)
    held = await Held().follow(venue.source)
    cookie = held.cookie
    for one in (first, second):
        venue.mailbox.put(one.uid, replace(TALK, subject="Later"), item_id=one.id)
    venue.fake.vanishing = {first.id}
    await held.follow(venue.source)
    assert held.uids == {"b"}
    assert held.gone == {first.id}
    assert held.cookie != cookie
    whole = await Held().follow(venue.source)
    assert whole.listing == frozenset({second.id})


async def test_nobody_is_mailed_by_what_we_write(venue: ExchangeVenue) -> None:
    """Booked, changed and removed by us: no mail leaves the mailbox, and the item names nobody who could be mailed."""
    await venue.source.write("w", written(booked("w")))
    await venue.source.write("w", written(booked("w", "Later")))
    (stored,) = venue.mailbox.items.values()
    assert not stored.master.attendees
    assert "https://meet.example/join/abc" in stored.master.description
    await venue.source.remove("w")
    assert not venue.mailbox.items
    assert venue.mailbox.mails == []


async def test_a_persons_change_of_what_we_wrote_is_seen(venue: ExchangeVenue) -> None:
    """Moved or renamed in Outlook: their time and subject; the join block added to or cut: no change at all."""
    await venue.source.write("w", written(booked("w")))
    (stored,) = venue.mailbox.items.values()
    held = await Held().follow(venue.source)
    before = held.prints
    hand(venue.mailbox, stored.id, description="Somebody's own words")
    assert (await held.follow(venue.source)).prints == before
    hand(venue.mailbox, stored.id, start=datetime(2026, 12, 1, 15))  # noqa: DTZ001 - a wall time
    await held.follow(venue.source)
    (item,) = held.items.values()
    assert held.prints != before
    assert item.master is not None
    assert item.master.start == datetime(2026, 12, 1, 15)  # noqa: DTZ001 - a wall time


async def test_writing_what_is_there_writes_nothing(venue: ExchangeVenue) -> None:
    """The same text again touches nothing, so that no echo runs around."""
    await venue.source.write("w", written(booked("w")))
    (stored,) = venue.mailbox.items.values()
    await venue.source.write("w", written(booked("w")))
    assert venue.mailbox.items[stored.id] == stored


async def test_a_read_only_room_is_not_written(venue: ExchangeVenue) -> None:
    """Without `write` nothing is asked of the server, and the sentence says where to allow it."""
    source = source_of(server_of(venue.fake), write=False)
    for verb in (source.write("w", written(booked("w"))), source.remove("w")):
        with pytest.raises(Refused, match="write"):
            await verb
    assert not venue.fake.requests
    await source.close()


def hand(mailbox: Mailbox, item_id: str, **fields: object) -> None:
    """Somebody changes an item in Outlook."""
    stored = mailbox.items[item_id]
    mailbox.put(stored.uid, replace(stored.master, **fields), stored.overrides, item_id=item_id)


async def test_a_doctor_sees_a_room_that_never_answers_and_a_clock_that_is_off(venue: ExchangeVenue) -> None:
    """Each with the command that mends it; a room that is well has only its login to tell."""
    assert isinstance(venue.source, ExchangeSource)
    venue.mailbox.put("well", TALK)
    (login,) = await venue.source.doctor()
    assert (login.code, login.level) == ("login", "good")
    venue.fake.wire.skew_s = -7_200
    venue.mailbox.deliver("old", replace(TALK, modified_s=just_now() - int(WAITING_S) - 60))
    venue.mailbox.deliver("young", replace(TALK, modified_s=just_now()))
    _, clock, setting = await venue.source.doctor()
    assert (clock.code, clock.level) == ("clock", "amber")
    assert (setting.code, setting.level) == ("AutomateProcessing", "red")
    assert setting.mend == f"Set-CalendarProcessing {ROOM_EMAIL} -AutomateProcessing AutoAccept"


async def test_the_nearest_meetings_come_first(venue: ExchangeVenue) -> None:
    """A complete pass gives series, then what begins soon, then later ones, and the past at the end."""
    now = datetime.now(ZoneInfo("Europe/Berlin")).replace(tzinfo=None, microsecond=0)
    days = {"past": -3, "late": 40, "soon": 1, "sooner": 0.1}
    for uid, day in days.items():
        venue.mailbox.put(uid, replace(TALK, start=now + timedelta(days=day), zone="Europe/Berlin"))
    venue.mailbox.put("series", replace(TALK, rrule="FREQ=DAILY"))
    pages = [page async for page in venue.source.changes("")]
    assert [item.uid for page in pages for item in page.items] == ["series", "sooner", "soon", "late", "past"]


async def test_a_span_is_asked_for_by_itself(venue: ExchangeVenue) -> None:
    """What takes place in it and nothing else: one question, then the items; of a series all that a pass would give."""
    now = datetime.now(ZoneInfo("Europe/Berlin")).replace(tzinfo=None, microsecond=0)
    here = replace(TALK, zone="Europe/Berlin")
    for uid, day in {"past": -3, "late": 40, "soon": 1, "sooner": 0.1}.items():
        venue.mailbox.put(uid, replace(here, start=now + timedelta(days=day)))
    daily = replace(here, start=now - timedelta(days=10) + timedelta(hours=3), rrule="FREQ=DAILY")
    original = daily.start + timedelta(days=11)
    moved = replace(here, start=original + timedelta(hours=1), recurrence_id=original, subject="Moved")
    venue.mailbox.put("daily", daily, (moved,))
    venue.mailbox.put("begins-later", replace(here, start=now + timedelta(days=5), rrule="FREQ=DAILY"))
    assert isinstance(venue.source, ExchangeSource)
    begin = int(time.time())
    pages = [page async for page in venue.source.soon(begin, begin + 2 * 86_400)]
    assert {"SyncFolderItems", "FindItem", "GetItem"} >= {one.operation for one in venue.fake.requests}
    assert (venue.fake.count("FindItem"), venue.fake.count("SyncFolderItems")) == (1, 0)
    near = {str(item.uid): item for page in pages for item in page.items}
    assert near.keys() == {"sooner", "soon", "daily"}
    held = await Held().follow(venue.source)
    assert all(held.items[item.href].fingerprint == item.fingerprint for item in near.values())
    assert len(near["daily"].overrides) == 1


async def test_ids_that_differ_in_case_are_two_items(venue: ExchangeVenue) -> None:
    """Ids are compared as they are: one of two is changed and the other removed."""
    upper = venue.mailbox.put("upper", TALK, item_id="QUFBQUFB")
    lower = venue.mailbox.put("lower", TALK, item_id="qufbqufb")
    held = await Held().follow(venue.source)
    assert set(held.items) == {upper.id, lower.id}
    hand(venue.mailbox, upper.id, subject="Other")
    venue.mailbox.remove(lower.id)
    await held.follow(venue.source)
    assert held.gone == {lower.id}
    assert {item.master.subject for item in held.items.values() if item.master} == {"Other"}


async def test_read_flags_are_no_changes(venue: ExchangeVenue) -> None:
    """A ReadFlagChange, and whatever else a server may list, loads nothing; a stranger's removal harms nobody."""
    stored = venue.mailbox.put("a", TALK)
    held = await Held().follow(venue.source)
    before = held.prints
    named = f'<t:ItemId Id="{stored.id}" ChangeKey="x"/>'
    noise = (
        f"<t:ReadFlagChange>{named}<t:IsRead>true</t:IsRead></t:ReadFlagChange><t:Create/><t:Odd>{named}</t:Odd>"
        '<t:Delete><t:ItemId Id="bmV2ZXI=" ChangeKey="x"/></t:Delete><t:Delete/>'
    )
    state = "<m:SyncState>QUFB</m:SyncState><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
    page = soap.success("SyncFolderItems", f"{state}<m:Changes>{noise}</m:Changes>")

    async def noisy(_request: Request, asked: soap.Asked | None) -> Reply | None:
        quiet = asked is None or asked.name != "SyncFolderItems"
        return None if quiet else Reply(200, soap.response("SyncFolderItems", page))

    venue.fake.trick = noisy
    loaded = venue.fake.count("GetItem")
    await held.follow(venue.source)
    assert (held.prints, held.gone) == (before, {"bmV2ZXI="})
    assert venue.fake.count("GetItem") == loaded
