"""A room in Microsoft 365 on a whole engine: doors and mails come once, whatever becomes of a cookie."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from meetkeeper.core import cookie as cookies
from meetkeeper.core.changes import CookieKept
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import Entry, Meeting, Person, RoomId, Step
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL
from meetkeeper.testing.fakes.mailbox import VENDOR_DEFAULTS, Stored
from tests.calendars.graphvenue import GraphVenue
from tests.engine.desk import Desk, make_config, until

OSLO = RoomId("oslo")
PATIENCE_S = 60.0


@pytest.fixture
async def venue() -> AsyncIterator[GraphVenue]:
    """A mailbox in the present, on a service that remembers three cookies."""
    venue = GraphVenue()
    venue.clock.now_s = time.time()
    await venue.open()
    venue.graph.api.generations_live = 3
    yield venue
    await venue.close()


def soon(hours: int = 3, **fields: object) -> Entry:
    """A meeting of an hour, some hours ahead."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None) + timedelta(hours=hours)
    plain = Entry(
        start=start,
        duration_s=3_600,
        zone="UTC",
        subject="Review",
        organizer=Person("kari@demo.example", "Kari"),
        attendees=(Person("ola@guests.example", "Ola"),),
    )
    return replace(plain, **fields)


def meetings(desk: Desk) -> dict[str, Meeting]:
    """Those the server knows, by id."""
    state = desk.engine.state
    return {row.id: state.decode(row) for row in state.meetings.values()}


def full_passes(desk: Desk) -> int:
    """How often everything was read."""
    return desk.engine.status().rooms[0].full_passes


def invite(venue: GraphVenue, uid: str, entry: Entry) -> Stored:
    """Somebody invites the room, and the room accepts."""
    venue.mailbox.deliver(uid, entry)
    venue.mailbox.attend()
    stored = venue.mailbox.find(uid)
    assert stored is not None
    return stored


async def test_a_booking_in_outlook_gets_its_door_when_the_room_has_accepted(venue: GraphVenue) -> None:
    """Tentative: nothing. Accepted and rewritten: one meeting, one mail to each; moved: the same door, told once."""
    venue.mailbox.settings = replace(VENDOR_DEFAULTS, delete_subject=False, add_organizer_to_subject=False)
    desk = Desk(make_config(calendar=True), venue.source)
    async with desk.running():
        venue.mailbox.deliver("m", soon())
        passes = venue.graph.kinds["delta"]
        await until(lambda: venue.graph.kinds["delta"] >= passes + 3, PATIENCE_S)
        assert not meetings(desk)
        venue.mailbox.attend()
        await until(lambda: len(desk.mailer.sent) == 2, PATIENCE_S)
        (before,) = meetings(desk).values()
        assert before.vmr is not None
        assert desk.step(before.id) is Step.PROVISIONED
        invite(venue, "m", soon(5))
        await until(lambda: len(desk.mailer.sent) == 4, PATIENCE_S)
        (after,) = meetings(desk).values()
        assert (after.id, after.vmr) == (before.id, before.vmr)
        assert after.start_s == before.start_s + 7_200


async def test_no_cookie_whatever_changes_a_door_or_mails_anybody(venue: GraphVenue) -> None:
    """Forgotten, damaged, foreign, from a backup, of an old generation: a complete pass, same doors, no mail."""
    stored = invite(venue, "m", soon())
    invite(venue, "s", soon(4, rrule="FREQ=DAILY;COUNT=3", exdates=(soon(4).start + timedelta(days=1),)))
    desk = Desk(make_config(calendar=True), venue.source)
    async with desk.running() as engine:
        await until(lambda: len(desk.mailer.sent) == 4, PATIENCE_S)
        name = desk.config.rooms[0].calendar.url  # type: ignore[union-attr]
        old = engine.state.cookies[OSLO]
        doors = {one.id: one.vmr for one in meetings(desk).values()}
        sent = len(desk.mailer.sent)
        epoch = desk.database.position.epoch
        mark = cookies.unseal(OSLO, name, old, epoch)
        assert mark is not None
        text = mark.text
        venue.graph.api.forget()
        spoilt = [
            text[:-3],
            text[: len(text) // 2],
            text.swapcase(),
            text.replace(ROOM_EMAIL, "other@example.org"),
            text.replace("127.0.0.1", "127.0.0.2"),
            "x",
        ]
        for one in ("mk1|damaged|x", "", old, *(cookies.seal(OSLO, name, each, epoch) for each in spoilt)):
            passes = full_passes(desk)
            desk.database.commit(Plan(desk.clock.now_s(), (CookieKept(OSLO, one),)))
            await until(lambda passes=passes: full_passes(desk) > passes, PATIENCE_S)  # type: ignore[misc]
            await engine.read(lambda _: None)
            assert {one.id: one.vmr for one in meetings(desk).values()} == doors
            assert len(desk.mailer.sent) == sent
        venue.mailbox.put("m", soon(6), item_id=stored.id)
        await until(lambda: len(desk.mailer.sent) == sent + 2, PATIENCE_S)
        assert {one.id: one.vmr for one in meetings(desk).values()} == doors


async def test_a_service_that_fails_for_a_while_cancels_nothing(venue: GraphVenue) -> None:
    """Throttled, denied, cut off and lying in turn: the meeting stands, nobody is mailed, and then all goes on."""
    invite(venue, "m", soon())
    desk = Desk(make_config(calendar=True), venue.source)
    async with desk.running() as engine:
        await until(lambda: len(desk.mailer.sent) == 2, PATIENCE_S)
        venue.mailbox.denied = True
        await until(lambda: "403" in engine.status().rooms[0].error, PATIENCE_S)
        del venue.site.mailboxes[ROOM_EMAIL]
        await until(lambda: "404" in engine.status().rooms[0].error, PATIENCE_S)
        venue.site.mailboxes[ROOM_EMAIL] = venue.mailbox
        venue.mailbox.denied = False
        venue.graph.pauses.append("3")
        await until(lambda: "429" in engine.status().rooms[0].error, PATIENCE_S)
        await until(lambda: not engine.status().rooms[0].error, PATIENCE_S)
        assert len(desk.mailer.sent) == 2
        venue.mailbox.cancel("m")
        await until(lambda: len(desk.mailer.sent) == 4, PATIENCE_S)
