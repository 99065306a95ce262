"""Audits in a running engine: what a calendar hides is found, counted and mended; what it reports raises no alarm."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from meetkeeper.core.configuration import SyncConfig
from meetkeeper.core.errors import TheirMistake, Unavailable
from meetkeeper.core.identity import is_comparable
from meetkeeper.core.plan import Plan
from meetkeeper.core.settling import kept_row
from meetkeeper.core.words import RoomId, Step
from meetkeeper.engine.neighbours import RoomCalendar
from meetkeeper.engine.reading import EMPTY_PAGES_MAX, guarded
from meetkeeper.engine.status import RoomStatus
from meetkeeper.ports.calendar import Page
from tests.engine.desk import Desk, make_config, until
from tests.engine.test_poll import entry, meetings

OSLO = RoomId("oslo")


def audited_every(seconds: int) -> Desk:
    """A server that audits its one calendar so often."""
    return Desk(replace(make_config(calendar=True), sync=SyncConfig(audit_every_s=seconds)))


def oslo(desk: Desk) -> RoomStatus:
    """How the room's calendar stands."""
    return desk.engine.status().rooms[0]


async def an_audit_later(desk: Desk) -> None:
    """Two whole audits from now on: what was under way may have read before."""
    for _ in range(2):
        before_s = oslo(desk).audited_s
        await until(lambda before_s=before_s: oslo(desk).audited_s > before_s, 30.0)  # type: ignore[misc]


async def test_a_change_that_was_never_reported_is_mended() -> None:
    """Moved, removed and made in hiding: found, told once, counted; an audit that finds nothing ends the alarm."""
    desk = audited_every(1)
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running() as engine:
        for uid in ("moves", "goes", "stays"):
            desk.calendar.put(f"{uid}.ics", entry(uid, start_s))
        await until(lambda: len(desk.mailer.sent) == 6)
        before = {str(meeting.uid): meeting for meeting in meetings(desk)}
        desk.calendar.hides = True
        desk.calendar.put("moves.ics", entry("moves", start_s + 7_200, sequence=1))
        desk.calendar.delete("goes.ics")
        desk.calendar.put("comes.ics", entry("comes", start_s))
        await until(lambda: oslo(desk).mended == 3, 30.0)
        await until(lambda: len(desk.mailer.sent) == 12)
        after = {str(meeting.uid): meeting for meeting in meetings(desk)}
        assert after["moves"].start_s == start_s + 7_200
        assert {uid: after[uid].vmr for uid in before} == {uid: before[uid].vmr for uid in before}
        assert desk.step(after["goes"].id) is Step.CANCELLED
        assert after["stays"] == before["stays"]
        history = await engine.history(OSLO, 1_000)
        assert sum("sync.mended" in note for row in history for note in row.notes) == 3
        await until(lambda: oslo(desk).unreported == 0, 30.0)
        assert oslo(desk).mended == 3


async def test_the_first_audit_after_an_upgrade_is_no_alarm() -> None:
    """Rows kept by a release that compared less: counted by themselves once, nothing mended, nobody mailed."""
    desk = audited_every(1)
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running() as engine:
        desk.calendar.put("a.ics", entry("a", start_s))
        desk.calendar.put("b.ics", entry("b", start_s).replace(b"SEQUENCE", b"RRULE:FREQ=DAILY\r\nSEQUENCE"))
        await until(lambda: len(desk.mailer.sent) == 4)
        before = meetings(desk)
        rows = desk.engine.state.items[OSLO].values()
        older = tuple(kept_row(replace(row, fingerprint="kept-by-another-release")) for row in rows)
        desk.database.commit(Plan(desk.clock.now_s(), older))
        await an_audit_later(desk)
        await until(lambda: not engine.state.unsettled)
        assert (oslo(desk).mended, oslo(desk).unreported) == (0, 0)
        assert meetings(desk) == before
        assert len(desk.mailer.sent) == 4
        notes = [note for row in await engine.history(OSLO, 1_000) for note in row.notes]
        assert sum("sync.renewed" in note for note in notes) == 1
        assert all(is_comparable(row.fingerprint) for row in engine.state.items[OSLO].values())


async def test_what_is_reported_raises_no_alarm() -> None:
    """Audits beside a calendar in which people work all the time, with cookies refused now and then, find nothing."""
    desk = audited_every(1)
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running():
        for turn in range(30):
            desk.calendar.put(f"{turn % 7}.ics", entry(f"u{turn % 7}", start_s + turn * 60, sequence=turn))
            if turn % 3 == 0:
                desk.calendar.delete(f"{(turn + 3) % 7}.ics")
            desk.calendar.refuse_cookies = turn % 10 == 9
            passes = oslo(desk).passes
            await until(lambda passes=passes: oslo(desk).passes > passes)  # type: ignore[misc]
        desk.calendar.refuse_cookies = False
        await an_audit_later(desk)
        assert oslo(desk).mended == 0


async def test_an_audit_that_breaks_off_takes_nothing_away() -> None:
    """Nothing is cancelled, polls go on, and what its pages had found is counted by the audit that ends."""
    desk = audited_every(1)
    desk.calendar.page_items = 1
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running() as engine:
        for uid in ("a", "b", "c"):
            desk.calendar.put(f"{uid}.ics", entry(uid, start_s))
        await until(lambda: len(desk.mailer.sent) == 6)
        desk.calendar.hides = True
        desk.calendar.put("a.ics", entry("a", start_s + 60, sequence=1))
        desk.calendar.hides = False
        desk.calendar.cut_after = 2
        await until(lambda: len(desk.mailer.sent) == 8, 30.0)
        assert oslo(desk).mended == 0
        desk.calendar.cut_after = None
        engine._poller._auditor._not_before_s.clear()
        await until(lambda: oslo(desk).mended == 1, 30.0)
        assert all(desk.step(meeting.id) is Step.PROVISIONED for meeting in meetings(desk))


async def test_a_silent_full_list_leaves_no_ghost_for_good() -> None:
    """A cookie nobody knows is answered with everything as news, and what is gone is never named: the audit sweeps."""
    desk = audited_every(0)
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running() as engine:
        for uid in ("goes", "stays"):
            desk.calendar.put(f"{uid}.ics", entry(uid, start_s))
        await until(lambda: len(desk.mailer.sent) == 4)
        desk.calendar.silent_full = desk.calendar.refuse_cookies = True
        desk.calendar.delete("goes.ics")
        passes = oslo(desk).passes
        await until(lambda: oslo(desk).passes > passes + 2)
        assert {desk.step(meeting.id) for meeting in meetings(desk)} == {Step.PROVISIONED}
        assert len(desk.mailer.sent) == 4
        poller = engine._poller
        async with poller.turn_of(OSLO):
            await poller._auditor.audit(engine.neighbours.calendars[0], lambda page: None, engine.now_s())
        await until(lambda: len(desk.mailer.sent) == 6)
        steps = {str(meeting.uid): desk.step(meeting.id) for meeting in meetings(desk)}
        assert steps == {"goes": Step.CANCELLED, "stays": Step.PROVISIONED}
        assert oslo(desk).mended == 1


async def test_an_audit_of_a_calendar_that_shows_nothing_meets_the_brake() -> None:
    """A listing without items holds the meetings, as it would in any pass."""
    desk = audited_every(1)
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running():
        for number in range(8):
            desk.calendar.put(f"{number}.ics", entry(f"u{number}", start_s))
        await until(lambda: len(desk.mailer.sent) == 16)
        desk.calendar.hides = True
        for number in range(8):
            desk.calendar.delete(f"{number}.ics")
        await until(lambda: oslo(desk).held == 8, 30.0)
        await an_audit_later(desk)
        assert {desk.step(meeting.id) for meeting in meetings(desk)} == {Step.PROVISIONED}
        assert len(desk.mailer.sent) == 16


async def test_without_audits_nothing_is_read_twice() -> None:
    """0 means never: only what is reported is known."""
    desk = audited_every(0)
    async with desk.running():
        desk.calendar.put("a.ics", entry("a", int(desk.clock.now_s()) + 3_600))
        await until(lambda: len(desk.mailer.sent) == 2)
        desk.calendar.hides = True
        desk.calendar.put("b.ics", entry("b", int(desk.clock.now_s()) + 3_600))
        passes = oslo(desk).passes
        await until(lambda: oslo(desk).passes > passes + 5)
        assert len(meetings(desk)) == 1
        assert oslo(desk).audited_s == 0.0


async def test_one_room_of_a_server_is_audited_at_a_time() -> None:
    """While one is read, no other room of the same server is due; rooms of other servers are."""
    desk = audited_every(1)
    async with desk.running() as engine:
        await until(lambda: oslo(desk).passes > 0)
        auditor = engine._poller._auditor
        rooms = [
            RoomCalendar(RoomId(f"r{at}"), "x", desk.calendar.client(), 60.0, f"server-{at % 2}")
            for at in range(4)
        ]
        later_s = desk.clock.now_s() + 10
        auditor._busy.add("server-0")
        assert [auditor.is_due(one, later_s) for one in rooms] == [False, True, False, True]


async def test_pages_without_end_are_their_mistake() -> None:
    """A calendar that goes on without telling anything is broken off; one that tells little is not."""

    async def idle(mark: str | None) -> AsyncIterator[Page]:
        for number in range(EMPTY_PAGES_MAX + 5):
            yield Page(cookie=mark if mark is None else f"{mark}{number}" * (number % 2))

    with pytest.raises(TheirMistake, match="without end"):
        async for _ in guarded(OSLO, idle(None)):
            pass
    assert len([page async for page in guarded(OSLO, idle("moves"))]) == EMPTY_PAGES_MAX + 5


async def test_trouble_in_an_audit_is_no_trouble_of_the_room() -> None:
    """A busy server is left alone for as long as it asks."""
    desk = audited_every(1)
    async with desk.running() as engine:
        desk.calendar.put("a.ics", entry("a", int(desk.clock.now_s()) + 3_600))
        await until(lambda: len(desk.mailer.sent) == 2)
        auditor, calendar = engine._poller._auditor, engine.neighbours.calendars[0]
        now_s = desk.clock.now_s()
        desk.calendar.trouble = Unavailable("busy", "It is busy.", retry_after_s=5_000.0)
        await auditor.audit(calendar, lambda page: None, now_s)
        desk.calendar.trouble = None
        assert not auditor.is_due(calendar, now_s + 4_999)
        assert auditor.is_due(calendar, now_s + 5_001)
