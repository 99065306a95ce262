"""Looking at a room in a running engine: a preview keeps nothing, and a doctor says what is wrong on the way there."""

import pytest

from meetkeeper.core.errors import NotFound, Unavailable
from meetkeeper.core.words import RoomId
from tests.calendars.standin import StandIn
from tests.engine.desk import Desk, make_config, until
from tests.engine.test_poll import entry

OSLO = RoomId("oslo")


async def test_a_preview_says_what_the_resync_then_does() -> None:
    """What nobody reported is named, nothing is kept; the resync makes it so, with as many mails as were said."""
    desk = Desk(make_config(calendar=True))
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running() as engine:
        for uid in ("moves", "goes", "stays"):
            desk.calendar.put(f"{uid}.ics", entry(uid, start_s))
        await until(lambda: len(desk.mailer.sent) == 6 and not engine.state.outbox)
        desk.calendar.hides = True
        desk.calendar.put("moves.ics", entry("moves", start_s + 60, sequence=1))
        desk.calendar.put("comes.ics", entry("comes", start_s - 60))
        desk.calendar.delete("goes.ics")
        seq = engine.applied_seq
        found = await engine.preview_resync(OSLO)
        assert engine.applied_seq == seq
        assert [(line.what, line.meeting.uid) for line in found.lines] == [
            ("create", "comes"),
            ("delete", "goes"),
            ("change", "moves"),
        ]
        assert (found.uris_changed, found.same, len(found.mails)) == (0, 1, 6)
        desk.calendar.refuse_cookies = True
        await until(lambda: len(desk.mailer.sent) == 6 + len(found.mails))
        again = await engine.preview_resync(OSLO)
        assert (again.lines, again.mails) == ((), ())


async def test_a_calendar_that_is_away_has_no_preview() -> None:
    """The error is the answer, and a room without a calendar is not found."""
    desk = Desk(make_config(calendar=True))
    async with desk.running() as engine:
        await until(lambda: engine.status().rooms[0].passes > 0)
        desk.calendar.trouble = Unavailable("away", "The calendar is away.")
        with pytest.raises(Unavailable):
            await engine.preview_resync(OSLO)
        with pytest.raises(NotFound, match="no calendar"):
            await engine.preview_resync(RoomId("bergen"))
        with pytest.raises(NotFound):
            await engine.examine(RoomId("nowhere"))


async def test_a_doctor_says_who_answers_and_what_the_items_give_away() -> None:
    """Over real HTTP: the server, the time it takes, and the settings that show in the items."""
    server = StandIn()
    await server.start()
    for number in range(8):
        server.put(f"{number}.ics", entry(f"u{number}", 1_900_000_000 + number * 3_600, subject=""))
    desk = Desk(make_config(calendar=True), server.source())
    try:
        async with desk.running() as engine:
            found = await engine.examine(OSLO)
            codes = {one.code: one.level for one in found.findings}
            assert codes["reached"] == codes["read"] == "good"
            assert "DeleteComments" in codes
            assert found.items == 10
            server.props = "<D:resourcetype><D:collection/></D:resourcetype>"
            broken = await engine.examine(OSLO)
            assert [one.level for one in broken.findings] == ["red"]
            assert broken.findings[0].mend
    finally:
        await server.stop()
