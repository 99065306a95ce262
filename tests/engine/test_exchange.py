"""A running engine on a room mailbox of the fake Exchange: same door, nothing twice, whatever happens to cookies."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from meetkeeper.calendars.exchange.hints import Pace
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.terms import Secrets
from meetkeeper.core.configuration import ExchangeServer
from meetkeeper.core.words import Entry, Meeting, Person, RoomId, Step
from meetkeeper.testing.fakes.exchange.cookies import Bad
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.mailbox import VENDOR_DEFAULTS, Mailbox
from tests.calendars.exchangevenue import PASSWORD, PLENTY, USER, server_of, source_of
from tests.engine.desk import Desk, make_config, until
from tests.engine.test_poll import meetings

ROOM = "oslo@rooms.example"
KARI, OLA = Person("kari@demo.example", "Kari"), Person("ola@guests.example", "Ola")
PATIENCE_S = 60.0
OSLO = RoomId("oslo")


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
    """So many further looks at the calendar, in their own time: what would follow from one has followed."""
    before = fake.count("SyncFolderItems")
    await until(lambda: fake.count("SyncFolderItems") >= before + count, PATIENCE_S)


async def hurried_polls(desk: Desk, fake: FakeExchange, count: int = 3) -> None:
    """So many further looks, each asked for when the one before was had."""
    for _ in range(count):
        before = fake.count("SyncFolderItems")
        desk.engine.poke(OSLO)
        await until(lambda before=before: fake.count("SyncFolderItems") > before, PATIENCE_S)  # type: ignore[misc]


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
            await hurried_polls(desk, fake)
            fake.refuse_cookies = False
            await hurried_polls(desk, fake)
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


async def test_a_change_is_seen_long_before_the_room_is_polled_again(fake: FakeExchange) -> None:
    """Told on the stream: booked, moved and cancelled are known at once where the next poll is an hour away."""
    desk = Desk(make_config(calendar=True, poll_s=3_600.0), source_of(listening_to(fake), ROOM))
    room = room_of(fake)
    async with desk.running():
        await until(lambda: fake.streaming.hanging == 1, PATIENCE_S)
        room.deliver("a", talk(3_600))
        room.attend()
        await until(lambda: len(desk.mailer.sent) == 2, PATIENCE_S)
        meeting = the(desk, "a")
        room.deliver("a", talk(7_200))
        room.attend()
        await until(lambda: len(desk.mailer.sent) == 4, PATIENCE_S)
        assert the(desk, "a").vmr == meeting.vmr
        room.cancel("a")
        await until(lambda: desk.step(meeting.id) is Step.CANCELLED, PATIENCE_S)
    await until(lambda: fake.streaming.hanging == 0, PATIENCE_S)


async def test_a_lost_stream_costs_the_poll_interval_and_no_more(fake: FakeExchange) -> None:
    """Nothing can be subscribed and nothing is told: polling finds the same."""
    fake.streaming.subscriptions_max = 0
    desk = Desk(make_config(calendar=True), source_of(listening_to(fake), ROOM))
    room = room_of(fake)
    async with desk.running():
        await until(lambda: fake.count("Subscribe") > 0, PATIENCE_S)
        room.deliver("a", talk(3_600))
        room.attend()
        await until(lambda: len(desk.mailer.sent) == 2, PATIENCE_S)


def listening_to(fake: FakeExchange) -> EwsServer:
    """The fake, listened to without rests."""
    config = ExchangeServer(id="mail", url=fake.url, auth="basic", username=USER)
    pace = Pace(gather_s=0.0, lull_s=0.05, rest_s_min=0.05)
    return EwsServer(config, Secrets(PASSWORD), limits=PLENTY, pace=pace)


async def test_an_unanswered_invitation_costs_no_second_pass(fake: FakeExchange) -> None:
    """The first full pass ends although the room has yet to answer; what follows reads changes, and sweeps in time."""
    room = room_of(fake)
    room.put("known", talk(7_200, "Known"))
    room.deliver("asked", talk(3_600))
    desk = Desk(make_config(calendar=True), source_of(server_of(fake), ROOM))
    async with desk.running() as engine:
        await until(lambda: engine.status().rooms[0].passes > 0, PATIENCE_S)
        assert len(meetings(desk)) == 1
        passes, loaded = engine.status().rooms[0].passes, fake.count("GetItem")
        await until(lambda: engine.status().rooms[0].passes > passes + 2, PATIENCE_S)
        assert engine.status().rooms[0].full_passes == 1
        assert fake.count("GetItem") == loaded
        room.attend()
        await until(lambda: len(meetings(desk)) == 2, PATIENCE_S)
        assert engine.status().rooms[0].full_passes == 1
