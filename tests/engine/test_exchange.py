"""A running engine on a room mailbox of the fake Exchange: same door, nothing twice, whatever happens to cookies."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from meetkeeper.core.words import Entry, Meeting, Person, Step
from meetkeeper.testing.fakes.exchange.cookies import Bad
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.mailbox import VENDOR_DEFAULTS, Mailbox
from tests.calendars.exchangevenue import PASSWORD, USER, server_of, source_of
from tests.engine.desk import Desk, make_config, until
from tests.engine.test_poll import meetings

ROOM = "oslo@rooms.example"
KARI, OLA = Person("kari@demo.example", "Kari"), Person("ola@guests.example", "Ola")
PATIENCE_S = 60.0


@pytest.fixture
async def fake() -> AsyncIterator[FakeExchange]:
    """An Exchange whose updates arrive as Delete and Create, as its rooms come from the vendor."""
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.impersonators = {USER}
    fake.site.open(ROOM, settings=replace(VENDOR_DEFAULTS, allow_conflicts=True)).updates_replace = True
    await fake.start()
    yield fake
    await fake.stop()


def room_of(fake: FakeExchange) -> Mailbox:
    """The room."""
    return fake.site.open(ROOM)


def talk(in_s: int, subject: str = "Talk") -> Entry:
    """A meeting that begins so many seconds from now and was sent a moment ago."""
    start = (datetime.now(UTC) + timedelta(seconds=in_s)).replace(tzinfo=None, microsecond=0)
    return Entry(
        start=start,
        duration_s=1_800,
        zone="UTC",
        subject=subject,
        organizer=KARI,
        attendees=(OLA,),
        modified_s=int(time.time()),
    )


def the(desk: Desk, uid: str) -> Meeting:
    """The meeting of this UID."""
    (found,) = [meeting for meeting in meetings(desk) if meeting.uid == uid]
    return found


async def some_polls(fake: FakeExchange, count: int = 3) -> None:
    """So many further looks at the calendar."""
    before = fake.count("SyncFolderItems")
    await until(lambda: fake.count("SyncFolderItems") >= before + count, PATIENCE_S)


async def test_lost_cookies_and_replaced_items_cost_no_door_and_no_mail(fake: FakeExchange) -> None:
    """Accepted: told once. Spoilt cookies: nothing. Moved by Delete and Create: same door, one update."""
    desk = Desk(make_config(calendar=True), source_of(server_of(fake), ROOM))
    room = room_of(fake)
    async with desk.running():
        room.deliver("a", talk(3_600))
        await some_polls(fake)
        assert not meetings(desk)
        room.attend()
        await until(lambda: len(desk.mailer.sent) == 2, PATIENCE_S)
        meeting = the(desk, "a")
        outbox = len(desk.engine.state.outbox)
        for bad in Bad:
            fake.bad_cookie, fake.refuse_cookies = bad, True
            await some_polls(fake)
            fake.refuse_cookies = False
            await some_polls(fake)
        assert the(desk, "a") == meeting
        assert len(desk.mailer.sent) == 2
        assert len(desk.engine.state.outbox) == outbox
        room.deliver("a", talk(7_200))
        await some_polls(fake, 5)
        assert the(desk, "a") == meeting
        assert desk.step(meeting.id) is Step.PROVISIONED
        room.attend()
        await until(lambda: len(desk.mailer.sent) == 4, PATIENCE_S)
        after = the(desk, "a")
        assert after.start_s - meeting.start_s in range(3_590, 3_615)
        assert (after.id, after.vmr) == (meeting.id, meeting.vmr)
        await some_polls(fake)
        assert len(desk.mailer.sent) == 4


async def test_withdrawn_rights_and_a_broken_server_cancel_nothing(fake: FakeExchange) -> None:
    """Denied, gone and busy for a while: the meeting stays, trouble is told, and all goes on afterwards."""
    desk = Desk(make_config(calendar=True), source_of(server_of(fake), ROOM))
    room = room_of(fake)
    async with desk.running() as engine:
        room.deliver("a", talk(3_600))
        room.attend()
        await until(lambda: len(desk.mailer.sent) == 2, PATIENCE_S)
        meeting = the(desk, "a")
        room.denied = True
        await until(lambda: "ErrorAccessDenied" in engine.status().rooms[0].error, PATIENCE_S)
        room.denied = False
        fake.missing_folders = {"calendar"}
        await until(lambda: "ErrorSyncFolderNotFound" in engine.status().rooms[0].error, PATIENCE_S)
        fake.missing_folders = set()
        fake.busy, fake.back_off_ms = 1, 300
        await until(lambda: not engine.status().rooms[0].error, PATIENCE_S)
        assert the(desk, "a") == meeting
        assert len(desk.mailer.sent) == 2
        room.cancel("a")
        await until(lambda: desk.step(meeting.id) is Step.CANCELLED, PATIENCE_S)
