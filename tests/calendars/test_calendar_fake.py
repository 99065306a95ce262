"""The calendar in memory keeps the contract, so what is tested against it is tested against any calendar."""

import asyncio

import pytest

from meetkeeper.core.errors import Refused, Unavailable
from meetkeeper.ports.calendar import CookieRefused
from meetkeeper.testing.contracts.annotating import AnnotatingContract
from meetkeeper.testing.contracts.calendar import CalendarContract, Held, text_of
from meetkeeper.testing.fakes.calendar import FakeCalendar
from tests.calendars.venues import FakeVenue


class TestFakeCalendar(CalendarContract, AnnotatingContract):
    """The whole contract."""

    @pytest.fixture
    def venue(self) -> FakeVenue:
        """A calendar for each test."""
        return FakeVenue()


async def test_a_stubborn_calendar_refuses_every_cookie() -> None:
    """With `refuse_cookies` only a full pass works; `forget_history` and `restore` make old ones unknown."""
    fake = FakeCalendar()
    fake.put("a.ics", text_of("a"))
    held = await Held().follow(fake.client())
    fake.refuse_cookies = True
    with pytest.raises(CookieRefused):
        await held.follow(fake.client())
    fake.refuse_cookies = False
    await held.follow(fake.client())
    fake.forget_history()
    with pytest.raises(CookieRefused):
        await held.follow(fake.client())
    await held.follow(fake.client(), "")
    fake.restore(fake.items)
    with pytest.raises(CookieRefused):
        await held.follow(fake.client())


async def test_a_silent_full_answer_says_everything_and_not_that_it_is_all() -> None:
    """With `silent_full` an unknown cookie is answered with every item, no listing and nothing gone."""
    fake = FakeCalendar()
    fake.put("a.ics", text_of("a"))
    fake.silent_full = True
    held = await Held().follow(fake.client(), "garbage")
    assert (held.uids, held.listing) == ({"a"}, None)


async def test_a_cut_pass_gives_pages_and_then_an_error() -> None:
    """With `cut_after` the pages before the cut arrive, and no listing and no cookie do."""
    fake = FakeCalendar()
    fake.page_items = 1
    for uid in ("a", "b", "c"):
        fake.put(f"{uid}.ics", text_of(uid))
    fake.cut_after = 2
    held = Held()
    with pytest.raises(Unavailable):
        await held.follow(fake.client())
    assert (held.uids, held.listing, held.cookie) == ({"a", "b"}, None, "")


async def test_pages_may_come_twice() -> None:
    """With `repeats` every page but a complete pass's last is given twice, and what is held is the same."""
    fake = FakeCalendar()
    fake.put("a.ics", text_of("a"))
    held = await Held().follow(fake.client())
    fake.repeats = True
    fake.put("b.ics", text_of("b"))
    fake.delete("a.ics")
    assert (await held.follow(fake.client())).uids == {"b"}


async def test_a_hanging_calendar_never_answers() -> None:
    """With `hangs` nothing comes back, and whoever waits has to give up by themselves."""
    fake = FakeCalendar()
    fake.hangs = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await fake.client().probe()


async def test_a_write_may_be_refused_or_go_unanswered() -> None:
    """With `objects` nothing is written; with `unsaid` it is written and the caller does not hear of it."""
    fake = FakeCalendar()
    fake.objects = "busy"
    with pytest.raises(Refused, match="busy"):
        await fake.client().write("w", text_of("w"))
    assert not fake.items
    fake.objects = ""
    fake.unsaid = True
    with pytest.raises(Unavailable):
        await fake.client().write("w", text_of("w"))
    assert [item.uid for item in fake.items.values()] == ["w"]


async def test_slowness_is_in_the_callers_time() -> None:
    """`slow_s` is handed to the caller's own sleep, so a world with its own time can wait in it."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    fake = FakeCalendar()
    fake.slow_s = 7.0
    await fake.client(sleep).probe()
    assert slept == [7.0]
