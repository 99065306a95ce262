"""The fake Exchange, judged by a client that nobody here wrote: exchangelib's own high-level API, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from exchangelib import (
    IMPERSONATION,
    Account,
    CalendarItem,
    Configuration,
    Credentials,
    EWSDateTime,
    EWSTimeZone,
    FailFast,
)
from exchangelib.errors import (
    ErrorAccessDenied,
    ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange,
    ErrorCalendarOccurrenceIsDeletedFromRecurrence,
    ErrorImpersonateUserDenied,
    ErrorInvalidSyncStateData,
    ErrorItemNotFound,
    ErrorNonExistentMailbox,
    ErrorServerBusy,
    ErrorSubscriptionNotFound,
    UnauthorizedError,
)
from exchangelib.items import SEND_TO_ALL_AND_SAVE_COPY, SEND_TO_NONE
from exchangelib.recurrence import WeeklyPattern
from msgspec.structs import replace

from meetkeeper.core.words import Entry, Person
from meetkeeper.testing.fakes.exchange.cookies import Bad
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.mailbox import Mailbox

ROOM = "oslo@rooms.example"
USER, PASSWORD = "svc", "secret"
UTC = EWSTimeZone("UTC")
OSLO = EWSTimeZone("Europe/Oslo")
T = TypeVar("T")
SERIES = Entry(
    start=datetime(2026, 12, 1, 10),  # noqa: DTZ001 - a wall time
    duration_s=3_600,
    zone="Europe/Oslo",
    subject="Standup",
    description="Line one\nLine two",
    organizer=Person("ada@example.org", "Ada"),
    attendees=(Person("bo@example.org", "Bo"),),
    rrule="FREQ=WEEKLY;BYDAY=TU,TH;COUNT=6",
    exdates=(datetime(2026, 12, 3, 10),),  # noqa: DTZ001 - a wall time
)
MOVED = Entry(
    start=datetime(2026, 12, 8, 14),  # noqa: DTZ001 - a wall time
    duration_s=1_800,
    zone="Europe/Oslo",
    subject="Standup, moved",
    organizer=SERIES.organizer,
    recurrence_id=datetime(2026, 12, 8, 10),  # noqa: DTZ001 - a wall time
)


@pytest.fixture
async def fake() -> AsyncIterator[FakeExchange]:
    """A server with one room, a service account that may impersonate, and a user without rights."""
    fake = FakeExchange()
    fake.logins |= {USER: PASSWORD, "nobody": PASSWORD}
    fake.impersonators = {USER}
    fake.site.open(ROOM, name="Oslo")
    await fake.start()
    yield fake
    await fake.stop()


def room_of(fake: FakeExchange) -> Mailbox:
    """The room."""
    mailbox = fake.site.find(ROOM)
    assert mailbox is not None
    return mailbox


def account_of(fake: FakeExchange, user: str = USER, mailbox: str = ROOM, password: str = PASSWORD) -> Any:
    """The room's mailbox as exchangelib sees it."""
    config = Configuration(
        service_endpoint=fake.url,
        credentials=Credentials(user, password),
        auth_type="basic",
        retry_policy=FailFast(),
    )
    return Account(
        mailbox, config=config, autodiscover=False, access_type=IMPERSONATION, default_timezone=UTC
    )


async def off(work: Callable[[], T]) -> T:
    """exchangelib blocks; the fake answers meanwhile."""
    return await asyncio.to_thread(work)


async def test_folders_and_items_are_read(fake: FakeExchange) -> None:
    """Root and calendar are found, the version is guessed, every field of an item arrives as it was meant."""
    room_of(fake).put("040000008200E00074C5B7101A82E00807EA0C01" + "00" * 36, SERIES, (MOVED,))
    account = account_of(fake)

    def read() -> tuple[str, list[Any]]:
        return account.calendar.name, list(account.calendar.all())

    name, (item,) = await off(read)
    assert name == "Calendar"
    assert str(account.version.build).startswith("15.2.2562")
    assert (item.subject, item.organizer.email_address) == ("Standup", "ada@example.org")
    assert item.text_body.splitlines() == ["Line one", "Line two"]
    assert item.start == EWSDateTime(2026, 12, 1, 9, tzinfo=UTC)
    assert item.end - item.start == timedelta(hours=1)
    assert [one.mailbox.email_address for one in item.required_attendees] == ["bo@example.org"]
    assert (item.type, item.my_response_type) == ("RecurringMaster", "Accept")
    pattern = item.recurrence.pattern
    assert isinstance(pattern, WeeklyPattern)
    assert (pattern.interval, list(pattern.weekdays), pattern.first_day_of_week) == (1, [2, 4], 1)
    assert item.recurrence.boundary.number == 6
    (moved,) = item.modified_occurrences
    assert moved.original_start == EWSDateTime(2026, 12, 8, 9, tzinfo=UTC)
    assert moved.start == EWSDateTime(2026, 12, 8, 13, tzinfo=UTC)
    (deleted,) = item.deleted_occurrences
    assert deleted.start == EWSDateTime(2026, 12, 3, 9, tzinfo=UTC)
    assert item._start_timezone == EWSTimeZone("Europe/Berlin")


async def test_a_calendar_view_is_expanded(fake: FakeExchange) -> None:
    """A view gives occurrences; the moved one once, where it is now; the deleted one not."""
    room_of(fake).put("a", SERIES, (MOVED,))
    account = account_of(fake)
    begin, end = (EWSDateTime(2026, 12, day, tzinfo=UTC) for day in (1, 31))
    found = await off(lambda: list(account.calendar.view(start=begin, end=end)))
    assert len(found) == 5
    assert "Standup, moved" in {one.subject for one in found}


async def test_what_changed_is_synced_in_pages(fake: FakeExchange) -> None:
    """Several pages, newest first; then one change of each kind; an old state gives them again."""
    room = room_of(fake)
    stored = [room.put(f"u{number}", SERIES) for number in range(7)]
    fake.page_max = 3
    calendar = await off(lambda: account_of(fake).calendar)
    first = await off(lambda: list(calendar.sync_items(only_fields=["subject"])))
    assert [kind for kind, _ in first] == ["create"] * 7
    assert [item.id for _, item in first] == [one.id for one in reversed(stored)]
    state = calendar.item_sync_state
    room.put("u0", MOVED, item_id=stored[0].id)
    room.remove(stored[1].id)
    new = room.put("new", SERIES)
    for _ in range(2):
        calendar.item_sync_state = state
        found = await off(lambda: list(calendar.sync_items(only_fields=["subject"])))
        assert {(kind, item.id) for kind, item in found} == {
            ("update", stored[0].id),
            ("delete", stored[1].id),
            ("create", new.id),
        }
    assert fake.count("SyncFolderItems") == 5


@pytest.mark.parametrize("bad", [Bad.REFUSE, Bad.FAULT])
async def test_a_bad_state_is_refused_in_both_forms(fake: FakeExchange, bad: Bad) -> None:
    """As a response message, and as a bare SOAP fault: exchangelib reads the same error."""
    fake.bad_cookie = bad
    calendar = await off(lambda: account_of(fake).calendar)
    calendar.item_sync_state = "Z2FyYmFnZQ=="
    with pytest.raises(ErrorInvalidSyncStateData):
        await off(lambda: list(calendar.sync_items()))


async def test_a_busy_server_names_its_pause(fake: FakeExchange) -> None:
    """ErrorServerBusy carries BackOffMilliseconds in the SOAP fault."""
    calendar = await off(lambda: account_of(fake).calendar)
    fake.busy, fake.back_off_ms = 1, 1_500
    with pytest.raises(ErrorServerBusy) as caught:
        await off(lambda: list(calendar.all()))
    assert caught.value.back_off == 1.5


async def test_rights_are_asked_for(fake: FakeExchange) -> None:
    """A wrong password, no impersonation, no such mailbox, withdrawn rights: each its own error."""
    for account, error in (
        (account_of(fake, password="wrong"), UnauthorizedError),
        (account_of(fake, user="nobody"), ErrorImpersonateUserDenied),
        (account_of(fake, mailbox="none@rooms.example"), ErrorNonExistentMailbox),
    ):
        with pytest.raises(error):
            await off(lambda account=account: list(account.calendar.all()))  # type: ignore[misc]
    calendar = await off(lambda: account_of(fake).calendar)
    room_of(fake).denied = True
    with pytest.raises(ErrorAccessDenied):
        await off(lambda: list(calendar.all()))


async def test_a_removed_item_is_still_read_by_its_id_for_a_while(fake: FakeExchange) -> None:
    """A soft-deleted id is answered, an id that never was is ErrorItemNotFound."""
    stored = room_of(fake).put("a", SERIES)
    account = account_of(fake)
    room_of(fake).remove(stored.id)
    (item,) = await off(lambda: list(account.fetch([(stored.id, None)])))
    assert item.subject == "Standup"
    (missing,) = await off(lambda: list(account.fetch([("bm9uZQ==", None)])))
    assert isinstance(missing, ErrorItemNotFound)


async def test_outlook_may_book_and_change_in_the_room(fake: FakeExchange) -> None:
    """An item made, changed and deleted through exchangelib; mails that would go out are counted."""
    account = account_of(fake)
    room = room_of(fake)

    def book() -> Any:
        return CalendarItem(
            account=account,
            folder=account.calendar,
            subject="Direct",
            body="Words",
            start=EWSDateTime(2026, 12, 1, 10, tzinfo=OSLO),
            end=EWSDateTime(2026, 12, 1, 11, 30, tzinfo=OSLO),
            required_attendees=["bo@example.org"],
        ).save(send_meeting_invitations=SEND_TO_ALL_AND_SAVE_COPY)

    item = await off(book)
    (stored,) = room.items.values()
    assert (stored.master.subject, stored.master.duration_s, stored.answer) == ("Direct", 5_400, "organizer")
    assert stored.master.start == datetime(2026, 12, 1, 10)  # noqa: DTZ001 - a wall time
    assert room.mails == ["to bo@example.org: Direct"]
    item.subject = "Directly"
    await off(lambda: item.save(update_fields=["subject"], send_meeting_invitations=SEND_TO_NONE))
    assert room.items[stored.id].master.subject == "Directly"
    assert room.items[stored.id].change_key != stored.change_key
    await off(lambda: item.delete(send_meeting_cancellations=SEND_TO_NONE))
    assert not room.items
    assert len(room.mails) == 1


async def test_streaming_notifications_are_told(fake: FakeExchange) -> None:
    """Made, changed and removed while a connection hangs; its orderly end; a subscription that is given back."""
    room = room_of(fake)
    fake.streaming.minute_s = 5.0
    calendar = await off(lambda: account_of(fake).calendar)
    name = await off(calendar.subscribe_to_streaming)

    def listen() -> list[Any]:
        events = calendar.get_streaming_events(name, connection_timeout=1, max_notifications_returned=None)
        return [event for told in events for event in told.events]

    async def change() -> str:
        while not fake.streaming.is_heard(name):  # noqa: ASYNC110 - a level is looked at
            await asyncio.sleep(0.01)
        stored = room.put("a", SERIES)
        await asyncio.sleep(0.2)
        room.put("a", MOVED, item_id=stored.id)
        await asyncio.sleep(0.2)
        room.remove(stored.id)
        return stored.id

    told, item_id = await asyncio.gather(off(listen), change())
    kinds = [event.ELEMENT_NAME for event in told if event.ELEMENT_NAME != "StatusEvent"]
    assert kinds == ["CreatedEvent", "ModifiedEvent", "DeletedEvent"]
    assert {event.item_id.id for event in told if event.ELEMENT_NAME != "StatusEvent"} == {item_id}
    assert "StatusEvent" in {event.ELEMENT_NAME for event in told}
    await off(lambda: calendar.unsubscribe(name))
    assert not fake.streaming.open
    with pytest.raises(ErrorSubscriptionNotFound):
        await off(listen)


async def test_subscriptions_live_on_one_mailbox_server(fake: FakeExchange) -> None:
    """Affinity: the cookie leads there again, wherever the mailbox is now; others do not know the subscription."""
    fake.streaming.places[ROOM] = "two"
    account = account_of(fake)
    calendar = await off(lambda: account.calendar)
    name = await off(calendar.subscribe_to_streaming)
    assert fake.streaming.open[name].place == account.affinity_cookie == "two"
    fake.streaming.places[ROOM] = "three"
    await off(lambda: calendar.unsubscribe(name))
    fake.streaming.places[ROOM] = "two"
    name = await off(calendar.subscribe_to_streaming)
    fake.streaming.open[name].place = "three"
    with pytest.raises(ErrorSubscriptionNotFound):
        await off(lambda: calendar.unsubscribe(name))


async def test_single_occurrences_are_changed_and_left_out_by_their_number(fake: FakeExchange) -> None:
    """exchangelib counts them from 1 as the pattern has them; one that is left out can't be had any more."""
    room = room_of(fake)
    stored = room.put("a", replace(SERIES, exdates=()), (MOVED,))
    account = account_of(fake)

    def work() -> tuple[str, str]:
        (master,) = account.calendar.all()
        third, fourth = master.occurrence(index=3), master.occurrence(index=4)
        third.refresh()
        subject = third.subject
        fourth.subject = "Only today"
        fourth.save(update_fields=["subject"], send_meeting_invitations=SEND_TO_NONE)
        master.occurrence(index=2).delete(send_meeting_cancellations=SEND_TO_NONE)
        with pytest.raises(ErrorCalendarOccurrenceIsDeletedFromRecurrence):
            master.occurrence(index=2).refresh()
        with pytest.raises(ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange):
            master.occurrence(index=7).refresh()
        return subject, master.id

    subject, name = await off(work)
    assert (subject, name) == ("Standup, moved", stored.id)
    after = room.items[stored.id]
    assert after.master.exdates == (datetime(2026, 12, 3, 10),)  # noqa: DTZ001 - a wall time
    assert [(f"{one.recurrence_id:%d}", one.subject) for one in after.overrides] == [
        ("08", "Standup, moved"),
        ("10", "Only today"),
    ]
    assert not room.mails
