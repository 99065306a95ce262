"""What a room mailbox in Microsoft 365 does in its life: two steps to yes, series, windows, trash, lost cookies."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from meetkeeper.calendars.graph.source import GraphSource
from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry, Person, Uid
from meetkeeper.ports.calendar import CookieRefused, Doctor, NearestFirst
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held
from meetkeeper.testing.fakes.mailbox import VENDOR_DEFAULTS, Answer
from tests.calendars.graphvenue import NOW_S, GraphVenue

DAY_S = 86_400
ADA = Person("ada@example.org", "Ada")
GOID = "040000008200E00074C5B7101A82E008{}" + "A" * 40


@pytest.fixture
async def venue() -> AsyncIterator[GraphVenue]:
    """A mailbox for each test, on a service that forgets as quickly as the real one."""
    venue = GraphVenue()
    await venue.open()
    venue.graph.api.generations_live = 3
    yield venue
    await venue.close()


def entry(day: int = 1, hour: int = 10, **fields: object) -> Entry:
    """A meeting of one hour in December 2026."""
    start = datetime(2026, 12, day, hour)  # noqa: DTZ001 - a wall time
    plain = Entry(start=start, duration_s=3_600, zone="Europe/Oslo", subject="Talk", organizer=ADA)
    return replace(plain, **fields)


def at_nine_in_june() -> datetime:
    """A start half a year ago."""
    return datetime(2026, 6, 1, 9)  # noqa: DTZ001 - a wall time


def only(held: Held) -> CalendarItem:
    """The one item held."""
    (item,) = held.items.values()
    return item


def starts(item: CalendarItem, from_day: int = 1, days: int = 31) -> list[str]:
    """When its meetings in December begin, in Oslo, as `day hour`."""
    from_s = int(datetime.fromisoformat(f"2026-12-{from_day:02}T00:00:00+01:00").timestamp())
    found = expand(item, "Europe/Oslo", from_s, from_s + days * DAY_S).occurrences
    walls = (datetime.fromisoformat("1970-01-01") + timedelta(seconds=one.start_s + 3_600) for one in found)
    return [f"{wall:%d %H}" for wall in walls]


# --- rooms -----------------------------------------------------------------------------------------------------------


async def test_a_meeting_counts_when_the_room_has_accepted(venue: GraphVenue) -> None:
    """A tentative copy is neither shown nor gone; accepted and rewritten it is shown as the room has left it."""
    venue.mailbox.settings = VENDOR_DEFAULTS
    venue.mailbox.deliver("m", entry(private=True, description="Agenda"))
    held = await Held().follow(venue.source)
    assert (held.items, held.problems, len(held.listing or ())) == ({}, {}, 1)
    venue.mailbox.attend()
    await held.follow(venue.source)
    master = only(held).master
    assert master is not None
    assert (master.subject, master.private, master.description) == ("Ada", False, "")


async def test_an_update_that_waits_for_its_answer_changes_nothing_yet(venue: GraphVenue) -> None:
    """While the room thinks about an update the accepted version stays, also over a complete pass; then the new one."""
    venue.mailbox.deliver("m", entry())
    venue.mailbox.attend()
    held = await Held().follow(venue.source)
    before = held.prints
    venue.mailbox.deliver("m", entry(day=2))
    await held.follow(venue.source)
    assert (held.prints, held.gone) == (before, set())
    await held.follow(venue.standby, "")
    assert held.prints.keys() <= before.keys()
    assert only(held).href in (held.listing or ())
    venue.mailbox.attend()
    await held.follow(venue.source)
    assert starts(only(held)) == ["02 10"]


async def test_what_is_never_accepted_is_told(venue: GraphVenue) -> None:
    """A room that does not answer by itself makes no meetings, and after ten minutes a complete pass says why."""
    venue.mailbox.deliver("m", entry())
    held = await Held().follow(venue.source)
    assert not held.problems
    venue.clock.now_s += 3_600
    await held.follow(venue.source, "")
    (why,) = held.problems.values()
    assert "AutoAccept" in why
    assert not held.items


@pytest.mark.parametrize(
    ("answer", "organizer", "shown"),
    [
        (Answer.ACCEPTED, ADA, True),
        (Answer.TENTATIVE, ADA, False),
        (Answer.WAITING, ADA, False),
        (Answer.NONE, ADA, False),
        (Answer.NONE, None, True),
        (Answer.ORGANIZER, None, True),
    ],
)
async def test_the_rooms_answer_decides(
    venue: GraphVenue, answer: Answer, organizer: Person | None, shown: bool
) -> None:
    """Accepted and self-organized meetings stand, whatever still waits does not."""
    venue.mailbox.put("m", entry(organizer=organizer), answer=answer)
    assert bool((await Held().follow(venue.source)).items) is shown


async def test_declined_and_cancelled_copies_are_cancelled(venue: GraphVenue) -> None:
    """A copy that the room declined, or that stays as “Canceled: …”, is told as cancelled, not as a meeting."""
    venue.mailbox.put("declined", entry(), answer=Answer.DECLINED)
    venue.mailbox.put("called-off", entry(day=2))
    venue.mailbox.cancel("called-off")
    held = await Held().follow(venue.source)
    assert [item.master is not None and item.master.cancelled for item in held.items.values()] == [True, True]


async def test_one_meeting_has_one_uid_however_it_is_spelled(venue: GraphVenue) -> None:
    """Exchange's global object ids meet in one UID: hex in any case, the instance's date zeroed."""
    venue.mailbox.put(GOID.format("07EA0C01").lower(), entry())
    held = await Held().follow(venue.source)
    assert held.uids == {GOID.format("00000000")}


async def test_items_without_a_uid_are_known_by_their_mailbox(venue: GraphVenue) -> None:
    """Two items without UID are two meetings, with a remark."""
    venue.mailbox.put("", entry())
    venue.mailbox.put("", entry(day=2))
    held = await Held().follow(venue.source)
    assert len(held.uids) == 2
    assert all(uid.endswith(f"@{ROOM_EMAIL}") for uid in held.uids)
    assert all("no UID" in item.remarks[0] for item in held.items.values())


async def test_touching_an_item_is_no_change(venue: GraphVenue) -> None:
    """A new change key, version and time of change with the same content give the same fingerprint."""
    stored = venue.mailbox.put("m", entry())
    held = await Held().follow(venue.source)
    before = held.prints
    venue.clock.now_s += 500
    venue.mailbox.put("m", stored.master, item_id=stored.id)
    await held.follow(venue.source)
    assert held.reported
    assert held.prints == before


async def test_an_update_as_delete_and_create_is_one_change(venue: GraphVenue) -> None:
    """Where an update replaces the item, the old name goes in the very page in which the new one comes."""
    venue.mailbox.updates_replace = True
    others = {f"o{number}": venue.mailbox.put(f"o{number}", entry(day=9)) for number in range(40)}
    venue.mailbox.deliver("m", entry())
    venue.mailbox.attend()
    held = await Held().follow(venue.source)
    venue.mailbox.deliver("m", entry(day=3))
    venue.mailbox.attend()
    for uid, stored in others.items():
        venue.mailbox.put(uid, replace(stored.master, subject="Other"), item_id=stored.id)
    pages = [page async for page in venue.source.changes(held.cookie)]
    (both,) = [page for page in pages if page.gone]
    (moved,) = [item for item in both.items if item.uid == "m"]
    assert moved.href not in both.gone
    assert len(pages) > 1


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone_name", "zone"),
    [
        ("", "Europe/Berlin"),  # the fake calls Oslo's zone as Windows does, and that is Berlin's there
        ("Pacific Standard Time", "America/Los_Angeles"),
        ("Europe/Paris", "Europe/Paris"),
        ("tzone://Microsoft/Utc", "UTC"),
        ("tzone://Microsoft/Custom", "Asia/Tokyo"),
        ("Customized Time Zone", "Asia/Tokyo"),
    ],
)
async def test_the_instant_is_right_whatever_the_zone_is_called(
    venue: GraphVenue, zone_name: str, zone: str
) -> None:
    """Windows, IANA, custom and unknown names: the instant is the server's, the wall one that is known."""
    venue.mailbox.put("m", entry(), zone_name=zone_name)
    master = only(await Held().follow(venue.look(zone="Asia/Tokyo"))).master
    assert master is not None
    assert master.zone == zone
    assert starts(CalendarItem(href="", uid=Uid("-"), fingerprint="", master=master)) == ["01 10"]


async def test_whole_days_are_days(venue: GraphVenue) -> None:
    """An all-day meeting is dates, whatever midnight the mailbox means."""
    venue.graph.api.zone = "America/New_York"
    start = datetime(2026, 12, 24)  # noqa: DTZ001 - a date
    venue.mailbox.put("m", entry(start=start, duration_s=2 * DAY_S, zone="", all_day=True))
    master = only(await Held().follow(venue.source)).master
    assert master is not None
    assert (master.start, master.duration_s, master.all_day, master.zone) == (start, 2 * DAY_S, True, "")


async def test_an_hour_that_comes_twice_is_the_right_one(venue: GraphVenue) -> None:
    """A meeting in the second of two equal hours keeps its instant."""
    venue.clock.now_s = NOW_S - 40 * DAY_S
    twice = entry(start=datetime(2026, 10, 25, 1, 30), zone="UTC")  # noqa: DTZ001 - 02:30 in Oslo, the second one
    venue.mailbox.put("m", twice, zone_name="W. Europe Standard Time")
    master = only(await Held().follow(venue.source)).master
    assert master is not None
    assert (master.start, master.zone) == (twice.start, "UTC")


# --- series ----------------------------------------------------------------------------------------------------------


async def test_a_series_is_rebuilt_with_everything_that_was_done_to_it(venue: GraphVenue) -> None:
    """Rule, moved and cancelled occurrences and dates taken out come together as one item."""
    at = datetime(2026, 12, 1, 10)  # noqa: DTZ001 - a wall time
    moved = entry(day=3, hour=15, recurrence_id=at + timedelta(days=2), subject="Moved")
    off = entry(day=4, recurrence_id=at + timedelta(days=3), cancelled=True)
    master = entry(rrule="FREQ=DAILY;COUNT=6", exdates=(at + timedelta(days=4),))
    venue.mailbox.put("s", master, (moved, off))
    for source in (venue.source, venue.standby):
        item = only(await Held().follow(source))
        assert starts(item) == ["01 10", "02 10", "03 15", "06 10"]
        assert item.master is not None
        assert item.master.rrule == "FREQ=DAILY;COUNT=6"
        assert not item.remarks


async def test_a_change_to_one_occurrence_is_a_change_of_the_series(venue: GraphVenue) -> None:
    """Moved, taken out and put back: each next round gives the series as it is, though taken out is never told."""
    stored = venue.mailbox.put("s", entry(rrule="FREQ=DAILY;COUNT=4"))
    held = await Held().follow(venue.source)
    at = stored.master.start
    moved = entry(day=2, hour=16, recurrence_id=at + timedelta(days=1))
    for master, overrides, expected in (
        (stored.master, (moved,), ["01 10", "02 16", "03 10", "04 10"]),
        (replace(stored.master, exdates=(at + timedelta(days=2),)), (moved,), ["01 10", "02 16", "04 10"]),
        (stored.master, (), ["01 10", "02 10", "03 10", "04 10"]),
        (replace(stored.master, rrule="FREQ=DAILY;COUNT=2"), (), ["01 10", "02 10"]),
    ):
        venue.mailbox.put("s", master, overrides, item_id=stored.id)
        await held.follow(venue.source)
        assert starts(only(held)) == expected


async def test_an_occurrence_that_is_removed_under_its_own_id_alone(venue: GraphVenue) -> None:
    """A date that goes is told by an id that nobody has ever seen as an item: the series loses it, and nothing else."""
    stored = venue.mailbox.put("s", entry(rrule="FREQ=DAILY;COUNT=3"))
    venue.mailbox.put("m", entry(hour=15))
    held = await Held().follow(venue.source)
    venue.graph.api.occurrences_alone = True
    without = replace(stored.master, exdates=(stored.master.start + timedelta(days=1),))
    venue.mailbox.put("s", without, item_id=stored.id)
    await held.follow(venue.source)
    assert starts(held.items[next(name for name, item in held.items.items() if item.uid == "s")]) == [
        "01 10",
        "03 10",
    ]
    assert held.uids == {"s", "m"}


async def test_removed_items_without_a_uid(venue: GraphVenue) -> None:
    """Without a UID the time says whether a removed item is gone or merely far away."""
    near = venue.mailbox.put("", entry())
    moved = venue.mailbox.put("", entry(day=2))
    held = await Held().follow(venue.source)
    venue.mailbox.remove(near.id)
    venue.mailbox.put("", entry(start=datetime(2027, 9, 1, 10)), item_id=moved.id)  # noqa: DTZ001 - a wall time
    await held.follow(venue.source)
    assert len(held.gone) == 1
    assert [item.master.start.year for item in held.items.values() if item.master] == [2027]


async def test_a_rescheduled_series_leaves_no_old_dates(venue: GraphVenue) -> None:
    """When a series moves to another hour its occurrences have new ids and the old ones are never called removed."""
    stored = venue.mailbox.put("s", entry(rrule="FREQ=WEEKLY;COUNT=3"))
    held = await Held().follow(venue.source)
    venue.mailbox.put("s", entry(hour=14, rrule="FREQ=WEEKLY;COUNT=3"), item_id=stored.id)
    await held.follow(venue.source)
    assert starts(only(held)) == ["01 14", "08 14", "15 14"]


async def test_the_servers_own_dates_decide(venue: GraphVenue) -> None:
    """Occurrences that the room has declined one by one are missing from its calendar, whatever the rule says."""
    venue.mailbox.put("s", entry(rrule="FREQ=DAILY;COUNT=4"))
    view_of_stubs = venue.graph.api._shown

    def without_the_second(*args: object) -> list[dict[str, object]]:
        return [one for one in view_of_stubs(*args) if not str(one.get("start", "")).count("2026-12-02")]  # type: ignore[arg-type]

    venue.graph.api._shown = without_the_second  # type: ignore[assignment,method-assign]
    item = only(await Held().follow(venue.source))
    # The complete pass found the two at odds and asked the series itself, which is whole.
    assert starts(item) == ["01 10", "02 10", "03 10", "04 10"]
    assert venue.graph.kinds["batch"] == 2


async def test_a_series_begun_long_ago_is_seen(venue: GraphVenue) -> None:
    """A weekly series from years back has its meetings in the window, and its old exceptions stay with it for ever."""
    long_ago = datetime(2019, 1, 1, 10)  # noqa: DTZ001 - a wall time
    moved = entry(start=long_ago + timedelta(days=7, hours=2), recurrence_id=long_ago + timedelta(days=7))
    venue.mailbox.put("s", entry(start=long_ago, rrule="FREQ=WEEKLY"), (moved,))
    held = await Held().follow(venue.source)
    assert starts(only(held)) == ["01 10", "08 10", "15 10", "22 10", "29 10"]
    before = held.prints
    venue.clock.now_s += 3 * DAY_S
    await held.follow(venue.source)
    assert held.listing is not None
    assert held.prints == before


async def test_series_between_two_dates_stay_listed(venue: GraphVenue) -> None:
    """A yearly series whose next date is beyond the window is there; one that has ended is not."""
    june = at_nine_in_june()
    venue.mailbox.put("yearly", entry(start=june, rrule="FREQ=YEARLY"))
    venue.mailbox.put("over", entry(start=june, rrule="FREQ=DAILY;COUNT=3"))
    venue.mailbox.put("ended", entry(start=june, rrule="FREQ=DAILY;UNTIL=20260603T235959Z"))
    held = await Held().follow(venue.source)
    assert held.uids == {"yearly"}
    assert len(held.listing or ()) == 1


async def test_a_series_that_will_not_hold_still_is_read_next_time(venue: GraphVenue) -> None:
    """A series that changes while it is read is neither told half nor taken as gone; the next round tells it whole."""
    stored = venue.mailbox.put("s", entry(rrule="FREQ=DAILY;COUNT=4"))
    held = await Held().follow(venue.source)
    before = held.prints
    honest, hour = venue.graph.api.answer, 11

    def restless(asked: object) -> object:
        nonlocal hour
        if asked.path.endswith("/instances"):  # type: ignore[attr-defined]
            hour = 12 if hour == 11 else 11
            venue.mailbox.put("s", entry(hour=hour, rrule="FREQ=DAILY;COUNT=4"), item_id=stored.id)
        return honest(asked)  # type: ignore[arg-type]

    venue.graph.api.answer = restless  # type: ignore[assignment,method-assign]
    venue.mailbox.put("s", entry(hour=13, rrule="FREQ=DAILY;COUNT=4"), item_id=stored.id)
    await held.follow(venue.source)
    assert (held.prints, held.gone) == (before, set())
    venue.graph.api.answer = honest  # type: ignore[method-assign]
    await held.follow(venue.source)
    assert starts(only(held))[0] == f"01 {hour}"


# --- windows and trash -----------------------------------------------------------------------------------------------


async def test_a_meeting_beyond_the_window_is_no_meeting_gone(venue: GraphVenue) -> None:
    """Moved far ahead it is called removed; it is kept with its new time, also by the next complete pass."""
    stored = venue.mailbox.put("m", entry())
    held = await Held().follow(venue.source)
    far = entry(start=datetime(2027, 9, 1, 10))  # noqa: DTZ001 - a wall time
    venue.mailbox.put("m", far, item_id=stored.id)
    await held.follow(venue.source)
    assert not held.gone
    assert only(held).master.start == far.start  # type: ignore[union-attr]
    await held.follow(venue.source, "")
    assert held.uids == {"m"}
    venue.mailbox.put("m", entry(day=5), item_id=stored.id)
    await held.follow(venue.source)
    assert starts(only(held)) == ["05 10"]


async def test_what_lies_in_the_trash_is_gone(venue: GraphVenue) -> None:
    """A deleted single, far single or series can still be read by its id; it is gone all the same."""
    names = {
        uid: venue.mailbox.put(uid, one).id
        for uid, one in (
            ("near", entry()),
            ("far", entry(start=datetime(2027, 9, 1, 10))),  # noqa: DTZ001 - a wall time
            ("series", entry(rrule="FREQ=DAILY;COUNT=9")),
        )
    }
    held = await Held().follow(venue.source)
    assert held.uids == names.keys()
    for uid, name in names.items():
        venue.mailbox.remove(name)
        assert venue.mailbox.deleted(name) is not None
        stranger = Held()
        stranger.items = dict(held.items)
        await stranger.follow(venue.standby, held.cookie)
        await held.follow(venue.source)
        assert uid not in held.uids | stranger.uids
        assert len(held.gone) == 1


async def test_windows_are_made_anew_at_night(venue: GraphVenue) -> None:
    """A cookie of today is used; after the next night it costs a complete pass over a new window, by itself."""
    venue.mailbox.put("m", entry())
    held = await Held().follow(venue.source)
    venue.clock.now_s += 3_600
    await held.follow(venue.source)
    assert held.listing is None
    venue.clock.now_s += DAY_S
    await held.follow(venue.source)
    assert held.listing is not None
    assert held.uids == {"m"}
    await held.follow(venue.source)
    assert held.listing is None


async def test_a_clock_that_was_wrong_costs_a_complete_pass(venue: GraphVenue) -> None:
    """A window from far in the future is made anew."""
    venue.clock.now_s += 30 * DAY_S
    held = await Held().follow(venue.source)
    venue.clock.now_s -= 30 * DAY_S
    await held.follow(venue.source)
    assert held.listing is not None


# --- cookies ---------------------------------------------------------------------------------------------------------


async def test_the_last_three_generations_are_known(venue: GraphVenue) -> None:
    """A cookie that lags by a few polls is refused by the service; a complete pass says what it would have."""
    venue.mailbox.put("m", entry())
    held = await Held().follow(venue.source)
    old = held.cookie
    for _ in range(2):
        await held.follow(venue.source)
    await Held().follow(venue.source, old)
    with pytest.raises(CookieRefused):
        await Held().follow(venue.standby, old)
    assert (await Held().follow(venue.standby, "")).prints == held.prints


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (410, "SyncStateNotFound"),
        (410, ""),
        (400, "syncStateInvalid"),
        (404, "resyncRequired"),
        (400, "ErrorInvalidIdMalformed"),
        (400, "Whatever"),
    ],
)
async def test_every_way_to_say_that_a_cookie_is_unknown(venue: GraphVenue, status: int, code: str) -> None:
    """The service says so in many words; each is a refused cookie and no error."""
    venue.mailbox.put("m", entry())
    held = await Held().follow(venue.source)
    venue.graph.api.lost_status, venue.graph.api.lost_code = status, code
    venue.graph.api.forget()
    with pytest.raises(CookieRefused):
        await held.follow(venue.source)
    assert held.uids == {"m"}


async def test_a_restored_mailbox_refuses_cookies_of_its_future(venue: GraphVenue) -> None:
    """After a restore from backup newer cookies are refused, and a complete pass finds what there is."""
    venue.mailbox.put("old", entry())
    backup = venue.mailbox.back_up()
    venue.mailbox.put("lost", entry(day=2))
    held = await Held().follow(venue.source)
    venue.mailbox.restore(backup)
    with pytest.raises(CookieRefused):
        await held.follow(venue.source)
    venue.mailbox.put("reborn", entry(day=3))
    venue.mailbox.remove(venue.mailbox.put("noise", entry(day=4)).id)
    await held.follow(venue.source, "")
    assert held.uids == {"old", "reborn"}


async def test_a_hidden_change_is_found_by_the_next_complete_pass(venue: GraphVenue) -> None:
    """What the service never reports is seen when everything is read."""
    stored = venue.mailbox.put("m", entry())
    held = await Held().follow(venue.source)
    venue.mailbox.hide(stored.id, entry(day=9))
    await held.follow(venue.source)
    assert starts(only(held)) == ["01 10"]
    await held.follow(venue.source, "")
    assert starts(only(held)) == ["09 10"]


async def test_rooms_do_not_know_each_others_cookies(venue: GraphVenue) -> None:
    """A cookie of another mailbox or endpoint is refused before anybody is asked."""
    held = await Held().follow(venue.source)
    asked = len(venue.graph.requests)
    other = venue.look(venue.client(endpoint=venue.graph.endpoint.replace("v1.0", "beta")))
    for source in (venue.elsewhere, other):
        with pytest.raises(CookieRefused):
            await Held().follow(source, held.cookie)
    assert len(venue.graph.requests) == asked


async def test_the_nearest_come_first(venue: GraphVenue) -> None:
    """A complete pass gives meetings by their start, a series by its next date."""
    for day in range(28, 0, -1):
        venue.mailbox.put(f"m{day}", entry(day=day))
    venue.mailbox.put("s", entry(start=datetime(2026, 1, 5, 9), rrule="FREQ=WEEKLY"))  # noqa: DTZ001 - a wall time
    pages = [page async for page in venue.source.changes("")]
    first = {item.uid for item in pages[0].items}
    assert {"s", *(f"m{day}" for day in range(1, 24))} <= first


def test_the_source_is_what_the_port_wants() -> None:
    """The source can give the next hours by themselves and examine itself."""
    assert issubclass(GraphSource, NearestFirst)
    assert issubclass(GraphSource, Doctor)
