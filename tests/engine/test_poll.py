"""Calendars as the engine follows them: found, changed, lost cookies, broken passes."""

import asyncio

from meetkeeper.core.changes import CookieKept
from meetkeeper.core.errors import Unavailable
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import Meeting, RoomId, Step
from tests.engine.desk import Desk, make_config, until


def entry(uid: str, start_s: int, subject: str = "Review", sequence: int = 0) -> bytes:
    """One VEVENT."""
    from datetime import UTC, datetime

    def stamp(at_s: int) -> str:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")

    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//t//EN\r\nBEGIN:VEVENT\r\n"
        f"UID:{uid}\r\nDTSTAMP:{stamp(start_s)}\r\nDTSTART:{stamp(start_s)}\r\nDTEND:{stamp(start_s + 600)}\r\n"
        f"SUMMARY:{subject}\r\nSEQUENCE:{sequence}\r\nORGANIZER:mailto:kari@demo.example\r\n"
        "ATTENDEE:mailto:ola@guests.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    ).encode()


def meetings(desk: Desk) -> list[Meeting]:
    """Those the server knows."""
    state = desk.engine.state
    return [state.decode(row) for row in state.meetings.values()]


async def test_an_entry_becomes_a_meeting_with_a_door_and_mail() -> None:
    """An entry in the room's calendar is a provisioned meeting, its people told once."""
    desk = Desk(make_config(calendar=True))
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running():
        desk.calendar.put("a.ics", entry("a", start_s))
        await until(lambda: len(desk.mailer.sent) == 2)
        (meeting,) = meetings(desk)
        assert meeting.vmr is not None
        assert desk.step(meeting.id) is Step.PROVISIONED


async def test_a_damaged_cookie_costs_a_full_pass_and_nothing_else() -> None:
    """With a cookie that is not ours the calendar is read from the beginning: same door, no mail."""
    desk = Desk(make_config(calendar=True))
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running() as engine:
        desk.calendar.put("a.ics", entry("a", start_s))
        await until(lambda: len(desk.mailer.sent) == 2)
        before = meetings(desk)
        passes = engine.status().rooms[0].full_passes
        desk.database.commit(Plan(desk.clock.now_s(), (CookieKept(RoomId("oslo"), "mk1|damaged|x"),)))
        await until(lambda: engine.status().rooms[0].full_passes > passes)
        await engine.read(lambda _: None)
        assert meetings(desk) == before
        assert len(desk.mailer.sent) == 2


async def test_a_refused_cookie_costs_a_full_pass_and_nothing_else() -> None:
    """A server that forgets its tokens is read from the beginning: same door, no mail."""
    desk = Desk(make_config(calendar=True))
    async with desk.running() as engine:
        desk.calendar.put("a.ics", entry("a", int(desk.clock.now_s()) + 3_600))
        await until(lambda: len(desk.mailer.sent) == 2)
        before = meetings(desk)
        passes = engine.status().rooms[0].full_passes
        desk.calendar.refuse_cookies = True
        await until(lambda: engine.status().rooms[0].full_passes > passes + 1)
        assert meetings(desk) == before
        assert len(desk.mailer.sent) == 2


async def test_a_calendar_that_is_away_takes_nothing_away() -> None:
    """Errors are shown, nothing is cancelled, and the room is well again when the calendar is."""
    desk = Desk(make_config(calendar=True))
    async with desk.running() as engine:
        desk.calendar.put("a.ics", entry("a", int(desk.clock.now_s()) + 3_600))
        await until(lambda: len(desk.mailer.sent) == 2)
        desk.calendar.trouble = Unavailable("away", "The calendar is away.", retry_after_s=0.1)
        await until(lambda: engine.status().rooms[0].error != "")
        assert desk.step(meetings(desk)[0].id) is Step.PROVISIONED
        desk.calendar.trouble = None
        engine.poke(RoomId("oslo"))
        await until(lambda: engine.status().rooms[0].error == "")


async def test_an_entry_that_moves_keeps_its_door() -> None:
    """A moved entry is the same meeting with the same VMR, announced once more."""
    desk = Desk(make_config(calendar=True))
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running():
        desk.calendar.put("a.ics", entry("a", start_s))
        await until(lambda: len(desk.mailer.sent) == 2)
        (before,) = meetings(desk)
        desk.calendar.put("a.ics", entry("a", start_s + 7_200, sequence=1))
        await until(lambda: len(desk.mailer.sent) == 4)
        (after,) = meetings(desk)
        assert after.start_s == start_s + 7_200
        assert after.vmr == before.vmr
        assert after.revision == before.revision + 1


async def test_a_booking_is_written_into_the_rooms_calendar_and_its_echo_changes_nothing() -> None:
    """A meeting booked here appears in the calendar; reading it back makes no second meeting and no mail."""
    desk = Desk(make_config(calendar=True))
    async with desk.running() as engine:
        await engine.submit(desk.booking())
        await until(lambda: len(desk.mailer.sent) == 2)
        await until(lambda: bool(engine.state.items.get(RoomId("oslo"))))
        await until(lambda: not engine.state.unsettled and not engine.state.outbox)
        (meeting,) = meetings(desk)
        assert meeting.revision == 1
        assert len(desk.mailer.sent) == 2


async def test_an_entry_removed_from_the_calendar_is_cancelled() -> None:
    """Removing the entry cancels the meeting and tells everybody."""
    desk = Desk(make_config(calendar=True))
    async with desk.running():
        desk.calendar.put("a.ics", entry("a", int(desk.clock.now_s()) + 3_600))
        await until(lambda: len(desk.mailer.sent) == 2)
        desk.calendar.delete("a.ics")
        await until(lambda: len(desk.mailer.sent) == 4)
        assert desk.step(meetings(desk)[0].id) is Step.CANCELLED


async def test_whoever_does_not_act_reads_no_calendar() -> None:
    """Before its reign and after it a server asks nobody: two servers at once would use up each other's cookies."""
    desk = Desk(make_config(calendar=True))
    assert desk.calendar.passes == 0
    async with desk.running():
        await until(lambda: desk.calendar.passes > 2)
    passes = desk.calendar.passes
    looked_until_s = asyncio.get_running_loop().time() + 1.0
    await until(lambda: asyncio.get_running_loop().time() > looked_until_s)
    assert desk.calendar.passes == passes


async def test_deleted_and_made_anew_in_one_batch_is_one_change() -> None:
    """An update that arrives as a removal and a new item under another name: same door, one mail each, no CANCEL."""
    desk = Desk(make_config(calendar=True))
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running() as engine:
        desk.calendar.put("a.ics", entry("a", start_s))
        await until(lambda: len(desk.mailer.sent) == 2)
        (before,) = meetings(desk)
        desk.calendar.trouble = Unavailable("away", "The calendar is away.", retry_after_s=0.1)
        await until(lambda: engine.status().rooms[0].error != "")
        desk.calendar.delete("a.ics")
        desk.calendar.put("b.ics", entry("a", start_s + 7_200, sequence=1))
        desk.calendar.trouble = None
        await until(lambda: len(desk.mailer.sent) == 4)
        (after,) = meetings(desk)
        assert (after.start_s, after.vmr, after.revision) == (
            start_s + 7_200,
            before.vmr,
            before.revision + 1,
        )
        assert not [one for one in desk.mailer.taken if "CANCEL" in one.message_id]
        assert desk.step(after.id) is Step.PROVISIONED


async def test_a_cookie_of_an_earlier_reign_is_used_and_shown() -> None:
    """After a restart or a failover the calendar is asked on from where it was; the status says whose mark it was."""
    desk = Desk(make_config(calendar=True))
    async with desk.running():
        desk.calendar.put("a.ics", entry("a", int(desk.clock.now_s()) + 3_600))
        await until(lambda: len(desk.mailer.sent) == 2)
    desk.database.close()
    desk.start()
    async with desk.running() as engine:
        await until(lambda: engine.status().rooms[0].passes > 0)
        status = engine.status().rooms[0]
        assert status.full_passes == 0
        assert status.cookie == f"kept in reign {engine.state.epoch - 1}, now is reign {engine.state.epoch}"
        desk.calendar.put("b.ics", entry("b", int(desk.clock.now_s()) + 3_600))
        await until(lambda: len(desk.mailer.sent) == 4)
        await until(lambda: engine.status().rooms[0].cookie == "")


async def test_a_pass_under_way_counts_what_it_has_read() -> None:
    """The first index shows its progress, and nothing once it is done."""
    desk = Desk(make_config(calendar=True))
    desk.calendar.page_items = 1
    desk.calendar.slow_s = 0.02
    for number in range(10):
        desk.calendar.put(f"{number}.ics", entry(f"u{number}", int(desk.clock.now_s()) + 172_800))
    async with desk.running() as engine:
        seen: set[int | None] = set()

        def look() -> bool:
            seen.add(engine.status().rooms[0].reading)
            return engine.status().rooms[0].full_passes == 1

        await until(look)
        assert {one for one in seen if one is not None} & set(range(2, 10))
        assert engine.status().rooms[0].reading is None
